"""May it run, and may its result leave? The questions that a query puts, and how their answers are taken."""

from dataclasses import replace
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.contracts import registry
from sandbox.core.errors import Insufficient, PolicyRefused, ReleaseRefused, Unavailable
from sandbox.exchange import caps, questions, runs
from sandbox.exchange.case import Case
from sandbox.exchange.house import House
from sandbox.exchange.passes import way_out
from sandbox.exchange.questions import Answer, Around, Query, State
from sandbox.market import ledger
from sandbox.policy.decision import Decision
from sandbox.policy.reasons import sentence
from sandbox.query.engine import Limits
from sandbox.query.release import Released

KNOWN_OBLIGATIONS: Final = frozenset({"min_group", "max_rows", "max_bytes"})


def decide(house: House, case: Case) -> Decision:
    """Ask the decision point; only a yes whose every duty is known comes back.

    Raises:
        PolicyRefused: with every failing rule, or ``policy.obligation_unknown``.
        Insufficient: ``wallet.insufficient`` when the price is all that fails, or ``price.above_limit``.
        Unavailable: the decision point does not answer.
    """
    asked = _asked(case)
    with house.database.read() as connection:
        state = State(
            balance_vnd=int(ledger.balance(connection, case.buyer.id)),
            usage=caps.usage(connection, house.now(), case.buyer.id, {each.agreement.provider for each in case.grants}),
            log_healthy=house.log.head(connection).size > 0,
            limits=_limits(house),
        )
        around = _around(house, connection, case)
    case.charter = around.charter  # what was asked about is what is counted, not what held when the query came in
    case.question = questions.query(asked, state, around)
    decision = case.decision = house.policy.decide(case.question)
    if not decision.allow:
        raise _refusal(case, decision)
    if decision.obligations.keys() != KNOWN_OBLIGATIONS:  # a duty nobody here can fulfil is a refusal (I5)
        raise PolicyRefused("policy.obligation_unknown", "The policy asks for a duty that the exchange does not know.")
    _require_limit(case)
    return decision


def decide_release(house: House, case: Case, released: Released) -> None:
    """Ask again once it has run, by what holds now and what came out; only then may it be settled and given.

    Raises:
        ReleaseRefused: ``policy.refused`` with every failing rule.
        Unavailable: the decision point does not answer, or no longer by the policies that let it run.
    """
    asked, decision = _asked(case), case.decision
    if decision is None:
        raise Unavailable("policy.malformed", "The query was never decided on.")
    with house.database.read() as connection:
        around = _around(house, connection, case)
        states = [registry.agreement_state(connection, grant.agreement.id) for grant in case.grants]
        answer = Answer(
            rows=released.rows,
            bytes=released.spool.bytes,
            min_group=decision.obligations["min_group"],
            extracts=case.extracts,
            authorized=_authorization(connection, case),
            log_healthy=house.log.head(connection).size > 0,
            limits=_limits(house),
        )
    grants = [replace(grant, state=state) for grant, state in zip(case.grants, states, strict=True)]
    case.leaving = questions.release(replace(asked, grants=grants), answer, around)
    again = case.left = house.policy.decide(case.leaving)
    if not again.allow:
        raise ReleaseRefused(
            "policy.refused",
            f"The result may not leave. {in_words(again)}",
            hint=questions.way_in(again.reasons),
            reasons=again.reasons,
        )


def _asked(case: Case) -> Query:
    if case.facts is None or case.quote is None:
        raise Unavailable("engine.unreachable", "The query was not analysed.")
    return Query(case.id, case.identity, case.request.purpose, case.facts, case.grants, case.quote, case.free)


def _authorization(connection: Connection, case: Case) -> str:
    """The entry that lets it run."""
    state, entry = runs.decided_by(connection, case.id, case.buyer.id)
    if state != "authorized":
        raise runs.closed(case.id)
    return entry


def _around(house: House, connection: Connection, case: Case) -> Around:
    return Around(house.now(), house.charter(connection), case.standing(connection))


def _limits(house: House) -> Limits:
    chosen = house.settings
    return Limits(chosen.max_rows, chosen.max_bytes, chosen.query_seconds, chosen.query_memory_mb)


def _require_limit(case: Case) -> None:
    limit = case.request.max_price_vnd
    if case.quote and limit is not None and case.quote.total > limit:
        raise Insufficient(
            "price.above_limit",
            f"The price is {case.quote.total} VND, above your limit of {limit} VND.",
            hint="Raise max_price_vnd.",
        )


def in_words(decision: Decision) -> str:
    """Every failing rule's sentence."""
    return " ".join(sentence(rule, "en") for rule in decision.reasons)


def _refusal(case: Case, decision: Decision) -> PolicyRefused | Insufficient:
    kind = Insufficient if set(decision.reasons) == {"PAY-01"} else PolicyRefused
    code = "wallet.insufficient" if kind is Insufficient else "policy.refused"
    return kind(code, in_words(decision), hint=way_out(case, decision), reasons=decision.reasons)
