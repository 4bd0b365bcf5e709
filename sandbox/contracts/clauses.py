"""What a contract allows, clause by clause.

As a provider writes it, here for a dataset of protected units::

    {"purposes": ["thong_ke"], "territories": ["VN"], "term_days": 365, "price_vnd": 25000,
     "price_plan": {"free_queries": 20}, "version": "pinned", "release": "exact",
     "privacy_unit": "nguoi_ban_pid", "dimensions": ["tinh", "nganh"], "columns": [],
     "aggregate_columns": [{"columns": ["doanh_thu_vnd"], "functions": ["SUM", "AVG"]}],
     "aggregate_expressions": "columns_only", "scalar_functions": ["date_trunc", "/"],
     "join_columns": [], "join_condition": "blocked", "row_filter": [],
     "comparison_controls": {"literals": ["tinh", "nganh"], "columns": []}, "disallowed_output_columns": [],
     "output_constraints": [{"column": "nguoi_ban_pid", "minimum": 10, "type": "COUNT_DISTINCT"}],
     "dp": null, "templates": [], "max_rows": 5000,
     "access_budget": {"day": 20, "week": null, "month": null, "lifetime": 500}, "retention_days": 365,
     "exclusive": false, "sublicence": false, "intellectual_property": "…",
     "allowed_result_receivers": ["odrl:assignee"]}

Every member stands in every contract. An empty list allows nothing; what has no limit says so with ``null``.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from sandbox.contracts import members
from sandbox.contracts.consistency import check_consistency
from sandbox.contracts.members import list_of, object_of, refuse
from sandbox.contracts.record import ASSIGNEE, FUNCTIONS, JOIN_CONDITIONS, Clip, Dp, Measure, Terms
from sandbox.core.canonical import LARGEST, Json
from sandbox.core.terms import Condition, Digest, ReleaseMode, Vnd

__all__ = ["ASSIGNEE", "BUDGETS", "FUNCTIONS", "MEMBERS", "Clip", "Dp", "Measure", "Terms", "read_terms"]

MEMBERS: Final = frozenset(
    {
        *("purposes", "territories", "not_after", "price_vnd", "price_plan", "version"),
        *("release", "privacy_unit", "dimensions", "columns", "aggregate_columns", "row_filter", "output_constraints"),
        *("aggregate_expressions", "scalar_functions", "join_columns", "join_condition"),
        *("comparison_controls", "disallowed_output_columns", "dp", "templates"),
        *("max_rows", "access_budget", "allowed_result_receivers", "retention_days"),
        *("exclusive", "sublicence", "intellectual_property"),
    }
)
BUDGETS: Final = ("day", "week", "month", "lifetime")
MOST_VND: Final = 10**15 - 1
MOST_ROWS: Final = 1_000_000
MOST_USES: Final = 10**9
MOST_TEXT: Final = 2_000
MOST_LETTERS: Final = 200
MOST_FUNCTIONS: Final = 1_024
MOST_DAYS: Final = 36_600
MOST_NANO_RHO: Final = 10**12
MOST_DELTA_PICO: Final = 10**9
MOST_GROUPS: Final = 100_000
_FUNCTION: Final = re.compile(r"[!-@\[-~]{1,64}", re.ASCII)
"""As the engine names it, in small letters; an operator is a function too."""


def read_terms(document: Mapping[str, Json]) -> Terms:
    """Read terms in the form above, with ``not_after`` in the place of ``term_days``.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = object_of(dict(document), "terms", MEMBERS)
    budget = object_of(said["access_budget"], "access_budget", BUDGETS)
    controls = object_of(said["comparison_controls"], "comparison_controls", ("literals", "columns"))
    unit = None if said["privacy_unit"] is None else members.column(said["privacy_unit"], "privacy_unit")
    terms = Terms(
        release=ReleaseMode(members.choice([*ReleaseMode])(said["release"], "release")),
        unit=unit,
        dimensions=_columns(said["dimensions"], "dimensions"),
        measures=list_of(said["aggregate_columns"], "aggregate_columns", _measure),
        columns=_columns(said["columns"], "columns"),
        rows=list_of(said["row_filter"], "row_filter", _condition),
        min_group=_min_group(said["output_constraints"], unit),
        max_rows=members.whole(said["max_rows"], "max_rows", 1, MOST_ROWS),
        day_budget=_uses(budget["day"], "access_budget.day"),
        week_budget=_uses(budget["week"], "access_budget.week"),
        month_budget=_uses(budget["month"], "access_budget.month"),
        lifetime_budget=_uses(budget["lifetime"], "access_budget.lifetime"),
        purposes=list_of(said["purposes"], "purposes", members.purpose, least=1),
        territories=list_of(said["territories"], "territories", members.territory, least=1),
        not_after=members.instant(said["not_after"], "not_after"),
        price=Vnd(members.whole(said["price_vnd"], "price_vnd", 0, MOST_VND)),
        free_queries=_free(said["price_plan"]),
        exclusive=members.flag(said["exclusive"], "exclusive"),
        sublicence=members.flag(said["sublicence"], "sublicence"),
        intellectual_property=members.text(said["intellectual_property"], "intellectual_property", MOST_TEXT),
        receivers=list_of(said["allowed_result_receivers"], "allowed_result_receivers", _receiver, least=1),
        retention_days=_days(said["retention_days"]),
        follows=members.choice(["pinned", "follows"])(said["version"], "version") == "follows",
        any_expression=_any_expression(said["aggregate_expressions"]),
        scalar_functions=list_of(said["scalar_functions"], "scalar_functions", _function, most=MOST_FUNCTIONS),
        join_columns=_columns(said["join_columns"], "join_columns"),
        join_condition=members.choice(JOIN_CONDITIONS)(said["join_condition"], "join_condition"),
        literal_columns=_columns(controls["literals"], "comparison_controls.literals"),
        compared_columns=_columns(controls["columns"], "comparison_controls.columns"),
        hidden_columns=_columns(said["disallowed_output_columns"], "disallowed_output_columns"),
        dp=None if said["dp"] is None else _dp(said["dp"]),
        templates=list_of(said["templates"], "templates", _template),
    )
    check_consistency(terms)
    return terms


def _columns(value: Json, where: str) -> tuple[str, ...]:
    return list_of(value, where, members.column)


def _min_group(constraints: Json, unit: str | None) -> int:
    if unit is None:  # nothing to count, so nothing that a minimum could mean
        list_of(constraints, "output_constraints", members.column, most=0)
        return 1
    protections = list_of(constraints, "output_constraints", partial(_minimum, unit), least=1, most=1)
    return protections[0]


def _minimum(unit: str, value: Json, where: str) -> int:
    said = object_of(value, where, ("column", "minimum", "type"))
    members.choice([unit])(said["column"], f"{where}.column")
    members.choice(["COUNT_DISTINCT"])(said["type"], f"{where}.type")
    return members.whole(said["minimum"], f"{where}.minimum", 2, 100_000)


def _measure(value: Json, where: str) -> Measure:
    said = object_of(value, where, ("columns", "functions"))
    return Measure(
        list_of(said["columns"], f"{where}.columns", members.column, least=1),
        list_of(said["functions"], f"{where}.functions", members.choice(FUNCTIONS), least=1),
    )


def _condition(value: Json, where: str) -> Condition:
    said = object_of(value, where, ("column", "values"))
    values = list_of(said["values"], f"{where}.values", _literal, least=1)
    if len({type(each) for each in values}) != 1:
        refuse(f"{where}.values are of different kinds.")
    return Condition(members.column(said["column"], f"{where}.column"), values)


def _literal(value: Json, where: str) -> str | int | bool:
    if not isinstance(value, str | int) or (isinstance(value, str) and len(value) > MOST_LETTERS):
        members.expect(where, value, f"a text of at most {MOST_LETTERS} characters, a whole number, true or false")
    return value


def _uses(value: Json, where: str) -> int | None:
    return None if value is None else members.whole(value, where, 1, MOST_USES)


def _receiver(value: Json, where: str) -> str:
    return ASSIGNEE if value == ASSIGNEE else members.participant(value, where)


def _free(value: Json) -> int:
    said = object_of(value, "price_plan", ("free_queries",))
    return members.whole(said["free_queries"], "price_plan.free_queries", 0, MOST_USES)


def _days(value: Json) -> int | None:
    return None if value is None else members.whole(value, "retention_days", 1, MOST_DAYS)


def _any_expression(value: Json) -> bool:
    choices = ("columns_only", "any_expression")
    return members.choice(choices)(value, "aggregate_expressions") == "any_expression"


_function = members.word(_FUNCTION, "a function as the engine names it, in small letters, such as date_trunc")


def _template(value: Json, where: str) -> Digest:
    return Digest(members.digest(value, where))


def _dp(value: Json) -> Dp:
    said = object_of(value, "dp", ("nano_rho_query", "nano_rho_total", "delta_pico", "groups_per_unit", "clipping"))
    total = members.whole(said["nano_rho_total"], "dp.nano_rho_total", 1, MOST_NANO_RHO)
    return Dp(
        nano_rho_query=members.whole(said["nano_rho_query"], "dp.nano_rho_query", 1, MOST_NANO_RHO),
        nano_rho_total=total,
        delta_pico=members.whole(said["delta_pico"], "dp.delta_pico", 1, MOST_DELTA_PICO),
        groups_per_unit=members.whole(said["groups_per_unit"], "dp.groups_per_unit", 1, MOST_GROUPS),
        clipping=list_of(said["clipping"], "dp.clipping", _clip),
    )


def _clip(value: Json, where: str) -> Clip:
    said = object_of(value, where, ("column", "low", "high"))
    low = members.whole(said["low"], f"{where}.low", -LARGEST, LARGEST)
    high = members.whole(said["high"], f"{where}.high", -LARGEST, LARGEST)
    if low >= high:
        refuse(f"{where}: low is {low} and high is {high}, expected low below high.")
    return Clip(members.column(said["column"], f"{where}.column"), low, high)
