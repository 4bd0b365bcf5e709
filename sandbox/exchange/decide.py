"""May it run? The question that a query puts to the decision point, and how its answer is taken."""

from collections.abc import Mapping
from typing import Final

from sandbox.core.canonical import Json
from sandbox.core.clock import microseconds
from sandbox.core.errors import Insufficient, PolicyRefused, Unavailable
from sandbox.core.terms import Participant
from sandbox.exchange.case import Case
from sandbox.exchange.house import House
from sandbox.market import ledger
from sandbox.policy.decision import Decision, Question
from sandbox.policy.reasons import sentence

KNOWN_OBLIGATIONS: Final = frozenset({"min_group", "max_rows", "max_bytes"})


def decide(house: House, case: Case) -> Decision:
    """Ask the decision point; only a yes whose every duty is known comes back.

    Raises:
        PolicyRefused: with every failing rule, or ``policy.obligation_unknown``.
        Insufficient: ``wallet.insufficient`` when the price is all that fails, or ``price.above_limit``.
        Unavailable: the decision point does not answer.
    """
    decision = house.policy.decide(_question(house, case))
    case.decision = decision
    limit = case.request.max_price_vnd
    if not decision.allow:
        kind = Insufficient if set(decision.reasons) == {"PAY-01"} else PolicyRefused
        code = "wallet.insufficient" if kind is Insufficient else "policy.refused"
        raise kind(code, in_words(decision), hint=_way_out(case, decision), reasons=decision.reasons)
    if decision.obligations.keys() != KNOWN_OBLIGATIONS:  # a duty nobody here can fulfil is a refusal (I5)
        raise PolicyRefused("policy.obligation_unknown", "The policy asks for a duty that the exchange does not know.")
    if case.quote and limit is not None and case.quote.total > limit:
        raise Insufficient(
            "price.above_limit",
            f"The price is {case.quote.total} VND, above your limit of {limit} VND.",
            hint="Raise max_price_vnd.",
        )
    return decision


def in_words(decision: Decision) -> str:
    """Every failing rule's sentence."""
    return " ".join(sentence(rule, "en") for rule in decision.reasons)


def _way_out(case: Case, decision: Decision) -> str:
    """What would pass, where that is one thing to change."""
    hints = {
        "CONT-03": "Purposes of the contract: " + ", ".join(sorted(_purposes(case))) + ".",
        "PAY-01": "Ask the operator for a top-up: sandbox wallet top-up.",
        "QRY-04": "Group and filter by: " + ", ".join(d.name for g in case.grants for d in g.relation.dimensions) + ".",
    }
    return " ".join(hints[rule] for rule in decision.reasons if rule in hints)


def _purposes(case: Case) -> set[str]:
    return set.intersection(*({*grant.agreement.terms.purposes} for grant in case.grants))


def _question(house: House, case: Case) -> Question:
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
