"""The questions that the exchange puts to its policies: one builder for each action, from typed records.

What each input looks like, member by member, is written in ``policies/README.md``; here and in the Rego are the only
two places that know it. Nothing is decided here: a fact that is not known is ``None``, and no rule holds it for proved.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sandbox.catalog.descriptor import Descriptor
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.charter import Charter
from sandbox.contracts.orders import Order, Standing
from sandbox.core.canonical import Json
from sandbox.core.clock import microseconds
from sandbox.core.terms import Digest, Identity, Participant, ParticipantId
from sandbox.exchange.grants import Grant
from sandbox.market.price import Quote
from sandbox.policy.decision import Question
from sandbox.query.engine import Facts, Limits
from sandbox.query.functions import AGGREGATES

KEPT_DAYS: Final = 3_650
"""For how long the exchange undertakes to keep its log, whose entries no part of this program ever deletes."""
SIGNED: Final[list[Json]] = ["pop"]
"""How the sender of a signed document is identified: by possession of a key (RFC 8176)."""
_SUSPEND: Final = "suspend"


@dataclass(frozen=True, slots=True)
class Around:
    """What is asked about happens at an instant, under a charter, while some orders stand."""

    now: datetime
    charter: Charter | None
    standing: tuple[Standing, ...]

    def under(self, kind: str) -> dict[str, Json]:
        """Time, charter and suspensions; ``kind`` is what is asked for: ``query`` or ``contract``."""
        return {
            "time_us": microseconds(self.now),
            "charter": self.charter.as_input(self.now, kind) if self.charter else None,
            "suspensions": self._orders(suspending=True),
        }

    def incidents(self) -> list[Json]:
        """The incidents that are open."""
        return self._orders(suspending=False)

    def _orders(self, *, suspending: bool) -> list[Json]:
        chosen = (each for each in self.standing if (each.act == _SUSPEND) is suspending)
        return [{"kind": each.kind, "id": each.target, "order": each.id} for each in chosen]


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query: who asks what for which purpose, under which grants, for how much."""

    id: str
    identity: Identity
    purpose: str
    facts: Facts
    grants: Sequence[Grant]
    quote: Quote
    free: Collection[Digest]


@dataclass(frozen=True, slots=True)
class State:
    """How things stand when a query is asked: purse, counters of the day (see ``caps.usage``), log and limits."""

    balance_vnd: int
    usage: Mapping[str, Json]
    log_healthy: bool
    limits: Limits


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run has produced: the result's size, the threshold that was applied to its groups, what was read."""

    rows: int
    bytes: int
    min_group: int
    extracts: Mapping[str, Json]
    authorized: str | None
    log_healthy: bool
    limits: Limits


def participant(who: Participant) -> dict[str, Json]:
    """A participant, as the subject of a question or beside it."""
    properties: dict[str, Json] = {
        "roles": [*sorted(who.roles)],
        "territory": who.territory,
        "entity_verified": who.entity_verified,
        "eid_level": who.eid_level,
        "payment_account": who.payment_account,
    }
    return {"type": "participant", "id": who.id, "properties": properties}


def admission(who: Participant, counts: Mapping[str, int], charter: Charter | None, now: datetime) -> Question:
    """May an organisation be admitted? ``counts`` says how many providers and buyers there are without it."""
    context = Around(now, charter, ()).under("contract")
    del context["suspensions"]
    return Question(
        subject=participant(who),
        action="participant.admit",
        resource={"type": "participant", "id": who.id},
        context=context | {"counts": dict(counts)},
    )


def publication(descriptor: Descriptor, files: Sequence[Json], provider: Participant, around: Around) -> Question:
    """May a dataset version be listed? ``files`` holds for each what was ``declared`` and what it ``actual``-ly is."""
    columns: list[Json] = [{"name": each.name, "sensitivity": each.sensitivity} for each in descriptor.columns]
    properties: dict[str, Json] = {
        "class": descriptor.data_class,
        "sector": descriptor.sector,
        "personal_origin": descriptor.personal_origin,
        "deidentification": descriptor.deidentification,
        "columns": columns,
        "titles": [*sorted(descriptor.title)],
        "update_frequency": descriptor.update_frequency,
        "unit": descriptor.privacy_unit,
        "min_group": descriptor.min_group,
        "files": list(files),
        "signed_by_provider": True,
    }
    return Question(
        subject=participant(provider),
        action="dataset.publish",
        resource={"type": "dataset", "id": descriptor.id, "properties": properties | _claims(descriptor)},
        context=around.under("contract") | {"amr": SIGNED},
    )


def _claims(descriptor: Descriptor) -> dict[str, Json]:
    assessment, derived = descriptor.assessment, descriptor.derived
    return {
        "flags": None if descriptor.flags is None else list(descriptor.flags),
        "subject_count": descriptor.subject_count,
        "subject_sensitive": descriptor.subject_sensitive,
        "assessment": {"assessor": assessment.assessor, "report": assessment.report} if assessment else None,
        "derived": {
            "label": derived.label,
            "method": derived.method,
            "inputs": derived.inputs,
            "frequency": derived.frequency,
        }
        if derived
        else None,
        "quality": [*sorted(descriptor.quality)] if descriptor.quality else None,
        "lawful_origin": [*sorted(descriptor.lawful_origin)] if descriptor.lawful_origin else None,
        "seller_status": descriptor.seller_status,
    }


def agreement(
    made: Agreement,
    version: DatasetVersion,
    latest: DatasetVersion,
    parties: tuple[Participant, Participant],
    around: Around,
) -> Question:
    """May an agreement be countersigned? ``parties`` are its buyer and its provider."""
    buyer, provider = parties
    terms, descriptor = made.terms, version.descriptor
    properties: dict[str, Json] = {
        "verified": True,  # an Agreement exists only so
        "signed_by": [each.participant for each in made.signatures],
        "provider": made.provider,
        "buyer": made.buyer,
        "dataset_provider": version.provider,
        "version_current": version.digest == latest.digest,
        "not_before_us": microseconds(made.not_before),
        "not_after_us": microseconds(made.not_after),
        "purposes": list(terms.purposes),
        "territories": list(terms.territories),
        "sector": descriptor.sector,
        "class": descriptor.data_class,
        "personal_origin": descriptor.personal_origin,
        "deidentification": descriptor.deidentification,
        "unit": terms.unit,
        "dataset_unit": descriptor.privacy_unit,
        "min_group": terms.min_group,
        "dataset_min_group": descriptor.min_group,
        "price_vnd": int(terms.price),
        "release": terms.release,
    }
    return Question(
        subject=participant(buyer),
        action="agreement.sign",
        resource={"type": "agreement", "id": made.id, "properties": properties},
        context=around.under("contract") | {"amr": SIGNED, "provider": participant(provider)},
    )


def query(asked: Query, state: State, around: Around) -> Question:
    """May a query run?"""
    facts, buyer = asked.facts, asked.identity.participant
    aggregates: list[Json] = [
        {"function": each.function, "column": each.column, "distinct": each.distinct} for each in facts.aggregates
    ]
    properties: dict[str, Json] = {
        "statement": facts.statement,
        "shape": facts.shape,
        "fingerprint": facts.fingerprint,
        "scalar_functions": list(scalar(facts)),
        "expressions": any(each.expression for each in facts.aggregates),
        "aggregates": aggregates,
        "joins": list(facts.joins),
        "undeclared": list(facts.undeclared),
        "unit_exposed": facts.unit_exposed,
        "price_vnd": int(asked.quote.total),
        "datasets": [_priced(grant, facts, asked) for grant in asked.grants],
    }
    return Question(
        subject=participant(buyer),
        action="query.run",
        resource={"type": "query", "id": asked.id, "properties": properties},
        context=around.under("query")
        | {
            "purpose": asked.purpose,
            "country": buyer.territory,
            "dossier": None,
            "amr": list(asked.identity.amr),
            "incidents": around.incidents(),
            "balance_vnd": state.balance_vnd,
            "usage": _usage(state.usage),
            "log": _log(healthy=state.log_healthy),
            "limits": _limits(state.limits),
        },
    )


def scalar(facts: Facts) -> tuple[str, ...]:
    """The functions that a query calls besides aggregates; an operator such as ``+`` is one, too."""
    return tuple(name for name in facts.functions if name not in AGGREGATES)


def _priced(grant: Grant, facts: Facts, asked: Query) -> dict[str, Json]:
    name = grant.agreement.id
    return grant.as_input(facts, scalar(facts)) | {
        "price_vnd": int(asked.quote.shares[name]),
        "free": name in asked.free,
        "nano_rho": {"query": 0, "contract_spent": 0, "dataset_spent": 0},  # no mode that spends is performed yet
    }


def _usage(usage: Mapping[str, Json]) -> dict[str, Json]:
    """The counters, with those of providers by their ids: a rule finds each without walking."""
    listed = usage.get("providers")
    sold: dict[str, Json] = {}
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict):
            sold[str(each["id"])] = each["day_vnd"]
    return {**usage, "providers": sold}


def _log(*, healthy: bool) -> dict[str, Json]:
    return {"healthy": healthy, "kept_days": KEPT_DAYS}


def _limits(limits: Limits) -> dict[str, Json]:
    return {
        "max_rows": limits.max_rows,
        "max_bytes": limits.max_bytes,
        "seconds": limits.seconds,
        "memory_mb": limits.memory_mb,
    }


def release(asked: Query, answer: Answer, around: Around) -> Question:
    """May a result leave, now that it has been computed?"""
    buyer = asked.identity.participant
    properties: dict[str, Json] = {
        "rows_out": answer.rows,
        "bytes_out": answer.bytes,
        "min_group": answer.min_group,
        "guards": asked.facts.guards,
        "price_vnd": int(asked.quote.total),
        "datasets": [_leaving(grant, answer) for grant in asked.grants],
    }
    return Question(
        subject=participant(buyer),
        action="query.release",
        resource={"type": "query", "id": asked.id, "properties": properties},
        context=around.under("query")
        | {
            "country": buyer.territory,
            "dossier": None,
            "incidents": around.incidents(),
            "log": _log(healthy=answer.log_healthy) | {"authorized": answer.authorized},
            "limits": _limits(answer.limits),
        },
    )


def _leaving(grant: Grant, answer: Answer) -> Json:
    made, descriptor = grant.agreement, grant.version.descriptor
    return {
        "id": grant.relation.name,
        "version": grant.version.digest,
        "class": descriptor.data_class,
        "unit": descriptor.privacy_unit,
        "extract": answer.extracts.get(made.id),
        "agreement": {
            "id": made.id,
            "state": grant.state,
            "not_before_us": microseconds(made.not_before),
            "not_after_us": microseconds(made.not_after),
            "territories": list(made.terms.territories),
            "unit": made.terms.unit,
            "min_group": made.terms.min_group,
            "max_rows": made.terms.max_rows,
        },
    }


def order(given: Order, signed_by: Sequence[Participant], parties: Iterable[ParticipantId], now: datetime) -> Question:
    """May an order be carried out? ``parties`` are those whose affair it is, beside the two offices."""
    issuer = next((who for who in signed_by if who.id == given.issuer), None)
    signers: list[Json] = [{"id": who.id, "roles": [*sorted(who.roles)]} for who in signed_by]
    properties: dict[str, Json] = {
        "act": given.act,
        "kind": given.kind,
        "target": given.target,
        "ends": given.ends,
        "parties": list(parties),
    }
    return Question(
        subject=participant(issuer) if issuer else {"type": "participant", "id": None, "properties": {}},
        action="order.apply",
        resource={"type": "order", "id": given.id, "properties": properties},
        context={"time_us": microseconds(now), "signers": signers},
    )


_WAY_IN: Final[Mapping[str, str]] = {
    "CHARTER-01": "Wait until the charter is in force: sandbox charter show.",
    "CHARTER-02": "Wait for a charter with more places or territories: sandbox charter show.",
    "CHARTER-03": "Sectors that take part: sandbox charter show.",
    "CHARTER-04": "Classes of data that take part: sandbox charter show.",
    "CHARTER-06": "See what is suspended: sandbox suspensions. The regulator and the operator resume it together.",
    "INC-01": "See what is open: sandbox suspensions. The regulator and the operator close it together.",
    "LIST-02": "De-identify the data, and say how in deidentification.",
    "LIST-04": "State subject_count and subject_sensitive, and the class that follows from them.",
    "LIST-05": "Give title, quality and lawful_origin in vi and en, seller_status and update_frequency.",
    "LIST-06": "Give derived its legal label, method, inputs and frequency.",
    "LIST-07": "Have the data assessed by somebody else, and name them in assessment.",
    "PART-01": "Have the operator verify legal entity, eID and payment account.",
    "PART-02": "Sign in with a second factor; where the charter asks for it, sign the request with a request key.",
}


def way_in(reasons: Iterable[str]) -> str:
    """What whoever was refused may do about it, where there is something."""
    return " ".join(_WAY_IN[rule] for rule in reasons if rule in _WAY_IN)
