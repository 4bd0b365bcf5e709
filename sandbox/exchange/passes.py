"""What would pass: for each rule that can refuse a query, what its buyer can do about it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from sandbox.exchange.case import Case
from sandbox.exchange.questions import scalar, way_in
from sandbox.policy.decision import Decision


def way_out(case: Case, decision: Decision) -> str:
    """What would pass, rule by rule, where that is something the buyer can change."""
    own = [PASSES[rule](case) for rule in decision.reasons if rule in PASSES]
    others = tuple(rule for rule in decision.reasons if rule not in PASSES)
    return " ".join(filter(None, [*own, way_in(others)]))


def _common(case: Case, member: str) -> str:
    """What the contracts of a query all name under a member of their terms."""
    named = [set(getattr(grant.agreement.terms, member)) for grant in case.grants]
    return ", ".join(sorted(set.intersection(*named))) or "(none)"


def _dimensions(case: Case) -> str:
    return ", ".join(each.name for grant in case.grants for each in grant.relation.dimensions)


def _measures(case: Case) -> str:
    return ", ".join(
        f"{function.lower()}({column})"
        for grant in case.grants
        for measure in grant.agreement.terms.measures
        for column in measure.columns
        for function in measure.functions
    )


def _unit(case: Case) -> str:
    return ", ".join(grant.relation.unit for grant in case.grants if grant.relation.unit)


def _opened(case: Case) -> str:
    """What each contract opens, and of what the query does besides, the first that none of them names."""
    said = [
        f"{grant.relation.name} opens {', '.join(_columns(case, place))}." for place, grant in enumerate(case.grants)
    ]
    return " ".join([*said, *_closed_functions(case), *_closed_comparisons(case), *_joins(case)])


def _columns(case: Case, place: int) -> list[str]:
    terms = case.grants[place].agreement.terms
    measured = [column for measure in terms.measures for column in measure.columns]
    return list(dict.fromkeys([*terms.dimensions, *terms.columns, *measured])) or ["(nothing)"]


def _closed_functions(case: Case) -> list[str]:
    if case.facts is None:
        return []
    allowed = [set(grant.agreement.terms.scalar_functions) for grant in case.grants]
    closed = [name for name in scalar(case.facts) if not all(name in each for each in allowed)]
    return [f"Functions that the contract does not name: {', '.join(closed)}."] if closed else []


def _closed_comparisons(case: Case) -> list[str]:
    limited = [grant for grant in case.grants if case.facts and case.facts.compared]
    return [
        f"Constants may be compared with: {', '.join(grant.agreement.terms.literal_columns) or '(nothing)'}."
        for grant in limited
    ]


def _joins(case: Case) -> list[str]:
    if case.facts is None or not case.facts.joins:
        return []
    return [
        f"Joins of {grant.relation.name}: {grant.agreement.terms.join_condition}"
        f" on {', '.join(grant.agreement.terms.join_columns) or '(no column)'}."
        for grant in case.grants
    ]


def _caps_left(case: Case) -> str:
    context = case.question.context if case.question else {}
    charter, usage = context.get("charter"), context.get("usage")
    caps_now = charter.get("caps") if isinstance(charter, dict) else None
    if not isinstance(caps_now, dict) or not isinstance(usage, dict):
        return ""
    most, spent, asked = caps_now["per_buyer_day_vnd"], usage["buyer_day_vnd"], caps_now["per_buyer_day_queries"]
    return (
        f"Today you have spent {spent} of {most} VND and asked {usage['buyer_day_queries']} of {asked} queries;"
        f" one query may cost {caps_now['per_transaction_vnd']} VND. The day ends at midnight, Asia/Ho_Chi_Minh."
    )


PASSES: Final[Mapping[str, Callable[[Case], str]]] = MappingProxyType(
    {
        "CHARTER-05": _caps_left,
        "CONT-03": lambda case: f"Purposes of the contract: {_common(case, 'purposes')}.",
        "CONT-04": lambda case: f"Its territory: {_common(case, 'territories')}.",
        "CONT-05": lambda case: f"Who may receive results: {_common(case, 'receivers')}.",
        "CONT-06": _opened,
        "PAY-01": lambda _: "Ask the operator for a top-up: sandbox wallet top-up.",
        "QRY-03": lambda case: f"Aggregates: count(*), count(DISTINCT {_unit(case)}), {_measures(case)}.",
        "QRY-04": lambda case: f"Group and filter by: {_dimensions(case)}.",
        "QRY-08": lambda _: "Ask a query of the contract's list, word for word.",
        "QRY-09": lambda case: f"Use {_unit(case)} inside count(DISTINCT {_unit(case)}) only.",
    }
)
"""What would pass under a rule that refused a query, by its id."""
