"""One query through the house: identity, agreement, facts, decision, record, run, release, settlement, result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.catalog import listing
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import registry
from sandbox.contracts.agreement import Agreement
from sandbox.core.canonical import Json, check, digest
from sandbox.core.clock import day_of, microseconds, new_id
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Insufficient, Invalid, PolicyRefused, SandboxError, Unavailable
from sandbox.core.terms import DatasetId, EntryId, Participant, QueryId, Vnd
from sandbox.exchange import runs
from sandbox.exchange.grants import Grant, grant_of
from sandbox.exchange.house import House
from sandbox.market import budget, ledger, price
from sandbox.market.ledger import Settlement, Share
from sandbox.policy.decision import Decision, Question
from sandbox.query.engine import Facts, Job, Limits
from sandbox.query.release import Released, release

KNOWN_OBLIGATIONS: Final = frozenset({"min_group", "max_rows", "max_bytes"})
ARROW: Final = "application/vnd.apache.arrow.stream"
MOST_AGREEMENTS: Final = 8
MOST_TEXT: Final = 65_536
_LEASE_MARGIN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What a buyer asks: SQL, under which agreements (digests or unique prefixes), for which purpose."""

    sql: str
    agreements: tuple[str, ...]
    purpose: str
    max_price_vnd: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a buyer gets: the bytes of an Arrow IPC stream, and what they cost in đồng."""

    id: QueryId
    entry: EntryId
    ipc: bytes
    rows: int
    groups_withheld: bool
    price_vnd: Vnd


@dataclass(slots=True)
class _Case:
    """One request on its way: what is known of it so far, for the record."""

    id: QueryId
    buyer: Participant
    request: QueryRequest
    grants: list[Grant] = field(default_factory=list)
    quote: price.Quote | None = None
    facts: Facts | None = None
    decision: Decision | None = None

    def clear(self) -> dict[str, Json]:
        """What the log says of it in clear."""
        shares = self.quote.shares if self.quote else {}
        agreements: list[Json] = [
            {
                "id": grant.agreement.id,
                "dataset": grant.agreement.dataset,
                "vnd": int(shares.get(grant.agreement.id, 0)),
            }
            for grant in self.grants
        ]
        return {"query": self.id, "agreements": agreements}

    def sealed(self) -> dict[str, Json]:
        """What the log commits to without showing it. Text that has no canonical form is named by its digest."""
        sql = self.facts.canonical if self.facts else self.request.sql
        return {"actor": self.buyer.id, "sql": _sealable(sql), "purpose": _sealable(self.request.purpose)}


def _sealable(text: str) -> str:
    try:
        check(text)
    except Invalid:
        return digest(text.encode("utf-8", "surrogatepass"))
    return text if len(text) <= MOST_TEXT else digest(text.encode())


def run_query(house: House, buyer: Participant, request: QueryRequest) -> Result:
    """Answer a buyer's query, or say why not; either way it stands in the log.

    Raises:
        AgreementRefused, QueryRefused, PolicyRefused, ReleaseRefused, Insufficient: refused, recorded, nothing charged.
        NotFound: an agreement that is not there, or not this buyer's.
        Unavailable: the decision point, the jail or the log does not answer; nothing charged.
    """
    # (0) Who asks? The door has identified the participant; the request gets its id.
    case = _Case(QueryId(new_id("qry", house.clock)), buyer, request)
    try:
        # (1) Under what?
        _under_what(house, case)
        # (2) What is touched?
        facts = _touched(house, case)
        # (3) May it run?
        decision = _decided(house, case)
        # (4) On the record, with price and uses reserved: durable before anything runs.
        uses = _admitted(house, case, decision)
    except SandboxError as refusal:
        if refusal.code != "database.outcome_unknown":  # it may be authorized after all; its lease then ends it
            _record_refusal(house, case, refusal)
        raise
    try:
        # (5) Run it.
        outcome = house.engine.run(_job(house, case, facts, decision))
        # (6) May it leave?
        duties = decision.obligations
        released = release(
            outcome,
            facts.guards,
            min_group=duties["min_group"],
            max_rows=duties["max_rows"],
            max_bytes=duties["max_bytes"],
        )
    except BaseException as failure:
        fail(house, case.id, uses, failure)
        if isinstance(failure, SandboxError):
            failure.query = case.id
        raise
    # (7) Settle. ── point of no return: charged and recorded ──
    entry = _settled(house, case, released, uses)
    # (8) Give.
    paid = case.quote.total if case.quote else Vnd(0)
    return Result(case.id, entry, released.ipc, released.rows, released.groups_withheld, paid)


def _under_what(house: House, case: _Case) -> None:
    names = case.request.agreements
    if not 1 <= len(names) <= MOST_AGREEMENTS:
        raise Invalid(
            "request.invalid",
            f"A query stands under 1 to {MOST_AGREEMENTS} agreements, got {len(names)}.",
            hint="Name the agreement of each dataset that the SQL reads.",
        )
    with house.database.read() as connection:
        for name in names:
            agreement = house.agreement(connection, name)
            if case.buyer.id not in {agreement.buyer, agreement.provider}:
                raise registry.unknown(name)  # a stranger's agreement and none at all look the same
            case.grants.append(_granted(house, connection, agreement))
    if len({grant.agreement.dataset for grant in case.grants}) != len(names):
        raise Invalid(
            "request.invalid", "Two agreements are about the same dataset.", hint="Name one for each dataset."
        )
    for grant in case.grants:
        registry.require_in_force(grant.agreement, house.now(), grant.state)
    case.quote = price.quote({grant.agreement.id: grant.agreement.terms.price for grant in case.grants})


def _granted(house: House, connection: Connection, agreement: Agreement) -> Grant:
    version = listing.version(connection, agreement.version)
    return grant_of(agreement, version, registry.agreement_state(connection, agreement.id))


def _touched(house: House, case: _Case) -> Facts:
    case.facts = house.engine.analyse(case.request.sql, [grant.relation for grant in case.grants])
    idle = {grant.relation.name for grant in case.grants} - {*case.facts.tables}
    if idle:  # it would be charged for, and would count as a trade, without being read
        raise Invalid(
            "request.invalid",
            f"The SQL does not read {', '.join(sorted(idle))}.",
            hint="Name the agreements of those datasets only that the SQL reads.",
        )
    return case.facts


def _decided(house: House, case: _Case) -> Decision:
    decision = house.policy.decide(_question(house, case))
    case.decision = decision
    limit = case.request.max_price_vnd
    if not decision.allow:
        kind = Insufficient if set(decision.reasons) == {"PAY-01"} else PolicyRefused
        code = "wallet.insufficient" if kind is Insufficient else "policy.refused"
        raise kind(code, "The policy refuses: " + ", ".join(decision.reasons) + ".", reasons=decision.reasons)
    if decision.obligations.keys() != KNOWN_OBLIGATIONS:  # a duty nobody here can fulfil is a refusal (I5)
        raise PolicyRefused("policy.obligation_unknown", "The policy asks for a duty that the exchange does not know.")
    if case.quote and limit is not None and case.quote.total > limit:
        raise Insufficient(
            "price.above_limit",
            f"The price is {case.quote.total} VND, above your limit of {limit} VND.",
            hint="Raise max_price_vnd.",
        )
    return decision


def _question(house: House, case: _Case) -> Question:
    facts, quote, request = case.facts, case.quote, case.request
    if facts is None or quote is None:
        raise Unavailable("engine.unreachable", "The query was not analysed.")
    with house.database.read() as connection:
        balance = ledger.balance(connection, case.buyer.id)
        healthy = house.log.head(connection).size > 0
    aggregates: list[Json] = [
        {"function": each.function, "column": each.column, "distinct": each.distinct} for each in facts.aggregates
    ]
    query: dict[str, Json] = {
        "statement": facts.statement,
        "shape": facts.shape,
        "functions": list(facts.functions),
        "price_vnd": int(quote.total),
        "aggregates": aggregates,
        "undeclared": list(facts.undeclared),
        "unit_exposed": facts.unit_exposed,
        "datasets": [grant.as_input(facts) for grant in case.grants],
    }
    return Question(
        subject=subject_of(case.buyer),
        action="query.run",
        resource={"type": "query", "id": case.id, "properties": query},
        context={
            "purpose": request.purpose,
            "country": case.buyer.territory,
            "time_us": microseconds(house.now()),
            "balance_vnd": int(balance),
            "log_healthy": healthy,
            "limits": {"max_rows": house.settings.max_rows, "max_bytes": house.settings.max_bytes},
        },
    )


def subject_of(participant: Participant) -> Mapping[str, Json]:
    """A participant as the subject of a policy question."""
    properties: dict[str, Json] = {"roles": [*sorted(participant.roles)], "territory": participant.territory}
    return {"type": "participant", "id": participant.id, "properties": properties}


def _admitted(house: House, case: _Case, decision: Decision) -> list[str]:
    entry, quote, at = house.new_entry(), case.quote, house.now()
    uses = [use for grant in case.grants for use in _uses(grant.agreement, day_of(at).isoformat())]
    lease = at + timedelta(seconds=house.settings.query_seconds) + _LEASE_MARGIN
    clear = case.clear() | {
        "policy": {"bundle": decision.policy, "decision": "allow"},
        "isolation": house.engine.isolation,
        "vnd": int(quote.total) if quote else 0,
    }

    def admit(tx: Transaction) -> None:
        budget.reserve_uses(tx, uses)
        ledger.reserve(tx, entry, case.id, case.buyer.id, quote.total if quote else Vnd(0))
        runs.begin(tx, case.id, case.buyer.id, entry, [name for name, _ in uses], lease)
        house.record(tx, EventType.QUERY_AUTHORIZED, entry, clear, case.sealed())

    house.database.write(admit)
    return [name for name, _ in uses]


def _uses(agreement: Agreement, day: str) -> list[tuple[str, int]]:
    caps = {
        f"{agreement.id}/{day}": agreement.terms.day_budget,
        f"{agreement.id}/life": agreement.terms.lifetime_budget,
    }
    return [(name, cap) for name, cap in caps.items() if cap is not None]


def _record_refusal(house: House, case: _Case, refusal: SandboxError) -> None:
    entry, at = house.new_entry(), house.now()
    clear = case.clear() | {"code": refusal.code, "reasons": list(refusal.reasons)}
    if case.decision is not None:
        clear["policy"] = {"bundle": case.decision.policy, "decision": "allow" if case.decision.allow else "deny"}

    def write(tx: Transaction) -> None:
        runs.refuse(tx, case.id, case.buyer.id, entry, at)
        house.record(tx, EventType.QUERY_REFUSED, entry, clear, case.sealed())

    house.database.write(write)
    refusal.query = case.id


def _job(house: House, case: _Case, facts: Facts, decision: Decision) -> Job:
    files = {grant.relation.name: (_extract(house, grant),) for grant in case.grants}
    settings = house.settings
    limits = Limits(
        max_rows=decision.obligations["max_rows"],
        max_bytes=decision.obligations["max_bytes"],
        seconds=settings.query_seconds,
        memory_mb=settings.query_memory_mb,
    )
    return Job(case.id, facts.runs, files, limits, decision.obligations["min_group"])


def _extract(house: House, grant: Grant) -> Path:
    sources = tuple(house.shelf.path(file.digest) for file in grant.version.files)
    return house.engine.extract(grant.scope, grant.relation.columns, sources, house.extracts)


def fail(house: House, query: QueryId, uses: list[str], failure: BaseException) -> None:
    """Close an authorized query without a result: money and uses go back, in one transaction with the entry."""
    entry = house.new_entry()
    known = failure if isinstance(failure, SandboxError) else SandboxError("run.interrupted", "")
    clear: dict[str, Json] = {"query": query, "code": known.code, "reasons": list(known.reasons)}

    def write(tx: Transaction) -> None:
        runs.finish(tx, query, "failed", entry)
        ledger.refund(tx, entry, query)
        budget.release_uses(tx, uses)
        house.record(tx, EventType.QUERY_FAILED, entry, clear)

    house.database.write(write)


def _settled(house: House, case: _Case, released: Released, uses: list[str]) -> EntryId:
    entry, quote, at = house.new_entry(), case.quote, house.now()
    shares = tuple(_share(grant.agreement, grant.version, quote) for grant in case.grants)
    settlement = Settlement(
        case.id, entry, case.buyer.id, at, released.rows, len(released.ipc), shares, house.settings.fee_bp
    )
    meter: dict[str, Json] = {
        "rows_out": released.rows,
        "bytes_out": len(released.ipc),
        "vnd": int(quote.total) if quote else 0,
    }
    clear = case.clear() | {"meter": meter, "groups_withheld": released.groups_withheld}
    sealed = case.sealed() | {"result": {"sha256": digest(released.ipc), "media": ARROW}}

    def settle(tx: Transaction) -> None:
        runs.finish(tx, case.id, "completed", entry)
        ledger.capture(tx, entry, case.id, settlement)
        house.record(tx, EventType.QUERY_COMPLETED, entry, clear, sealed)

    try:
        house.database.write(settle)
    except Exception as failure:
        _unsettled(house, case.id, uses, failure)
        raise
    return entry


def _unsettled(house: House, query: QueryId, uses: list[str], failure: Exception) -> None:
    """A settlement that raised may still have been written; then the run is closed and must not be refunded."""
    try:
        fail(house, query, uses, failure)
    except Conflict:
        raise Unavailable(
            "query.outcome_unknown",
            f"Query {query} was settled, and its result could not be given.",
            hint="Fetch its receipt; ask the operator to refund it.",
        ) from failure


def _share(agreement: Agreement, version: DatasetVersion, quote: price.Quote | None) -> Share:
    vnd = quote.shares[agreement.id] if quote else Vnd(0)
    return Share(agreement.id, agreement.provider, DatasetId(agreement.dataset), version.descriptor.sector, vnd)
