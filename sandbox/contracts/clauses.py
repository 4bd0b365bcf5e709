"""What a contract allows, clause by clause.

As a provider writes it, here for a dataset of protected units::

    {"purposes": ["thong_ke"], "territories": ["VN"], "term_days": 365, "price_vnd": 25000,
     "release": "exact", "privacy_unit": "nguoi_ban_pid", "dimensions": ["tinh", "nganh"], "columns": [],
     "aggregate_columns": [{"columns": ["doanh_thu_vnd"], "functions": ["SUM", "AVG"]}], "row_filter": [],
     "output_constraints": [{"column": "nguoi_ban_pid", "minimum": 10, "type": "COUNT_DISTINCT"}],
     "max_rows": 5000, "access_budget": {"day": 20, "lifetime": null},
     "exclusive": false, "sublicence": false, "intellectual_property": "…",
     "allowed_result_receivers": ["odrl:assignee"]}

Every member stands in every contract. An empty list allows nothing; what has no limit says so with ``null``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sandbox.contracts import members
from sandbox.contracts.members import list_of, object_of, refuse
from sandbox.core.canonical import Json
from sandbox.core.terms import Condition, ReleaseMode, Vnd

FUNCTIONS: Final = ("SUM", "AVG", "COUNT", "MIN", "MAX")
_OF_ONE_UNIT: Final = frozenset({"MIN", "MAX"})
"""Aggregates that answer with one row's own value, whatever the size of the group."""
ASSIGNEE: Final = "odrl:assignee"
"""A receiver of results in an offer: whoever accepts it. The colon keeps it apart from every participant's id."""
MEMBERS: Final = frozenset(
    {
        *("purposes", "territories", "not_after", "price_vnd"),
        *("release", "privacy_unit", "dimensions", "columns", "aggregate_columns", "row_filter", "output_constraints"),
        *("max_rows", "access_budget", "allowed_result_receivers"),
        *("exclusive", "sublicence", "intellectual_property"),
    }
)
MOST_VND: Final = 10**15 - 1
MOST_ROWS: Final = 1_000_000
MOST_USES: Final = 10**9
MOST_TEXT: Final = 2_000
MOST_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Measure:
    """Columns that may be aggregated, with the functions allowed on each of them."""

    columns: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """All that the parties agree on. Budgets of None are unlimited; ``min_group`` is 1 where no unit is protected."""

    release: ReleaseMode
    unit: str | None
    dimensions: tuple[str, ...]
    measures: tuple[Measure, ...]
    columns: tuple[str, ...]
    rows: tuple[Condition, ...]
    min_group: int
    max_rows: int
    day_budget: int | None
    lifetime_budget: int | None
    purposes: tuple[str, ...]
    territories: tuple[str, ...]
    not_after: datetime
    price: Vnd
    exclusive: bool
    sublicence: bool
    intellectual_property: str
    receivers: tuple[str, ...]


def read_terms(document: Mapping[str, Json]) -> Terms:
    """Read terms in the form above, with ``not_after`` in the place of ``term_days``.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = object_of(dict(document), "terms", MEMBERS)
    budget = object_of(said["access_budget"], "access_budget", ("day", "lifetime"))
    unit = None if said["privacy_unit"] is None else members.column(said["privacy_unit"], "privacy_unit")
    terms = Terms(
        release=ReleaseMode(members.choice([*ReleaseMode])(said["release"], "release")),
        unit=unit,
        dimensions=list_of(said["dimensions"], "dimensions", members.column),
        measures=list_of(said["aggregate_columns"], "aggregate_columns", _measure),
        columns=list_of(said["columns"], "columns", members.column),
        rows=list_of(said["row_filter"], "row_filter", _condition),
        min_group=_min_group(said["output_constraints"], unit),
        max_rows=members.whole(said["max_rows"], "max_rows", 1, MOST_ROWS),
        day_budget=_uses(budget["day"], "access_budget.day"),
        lifetime_budget=_uses(budget["lifetime"], "access_budget.lifetime"),
        purposes=list_of(said["purposes"], "purposes", members.purpose, least=1),
        territories=list_of(said["territories"], "territories", members.territory, least=1),
        not_after=members.instant(said["not_after"], "not_after"),
        price=Vnd(members.whole(said["price_vnd"], "price_vnd", 0, MOST_VND)),
        exclusive=members.flag(said["exclusive"], "exclusive"),
        sublicence=members.flag(said["sublicence"], "sublicence"),
        intellectual_property=members.text(said["intellectual_property"], "intellectual_property", MOST_TEXT),
        receivers=list_of(said["allowed_result_receivers"], "allowed_result_receivers", _receiver, least=1),
    )
    _check_openings(terms)
    return terms


def _check_openings(terms: Terms) -> None:
    measured = [column for measure in terms.measures for column in measure.columns]
    if len(set(measured)) != len(measured):
        refuse("aggregate_columns names a column twice.")
    if terms.unit is not None:
        _check_protection(terms, terms.unit, measured)
    elif not (terms.columns or terms.dimensions or measured):
        refuse("The terms open nothing: columns, dimensions and aggregate_columns are empty.")


def _check_protection(terms: Terms, unit: str, measured: list[str]) -> None:
    if terms.columns:
        refuse("columns must be empty where a privacy unit is protected: rows of one unit would leave.")
    filtered = [condition.column for condition in terms.rows]
    if unit in {*terms.dimensions, *measured, *filtered}:
        refuse("The privacy unit may only be counted, never grouped by, measured or filtered on.")
    if any(_OF_ONE_UNIT.intersection(measure.functions) for measure in terms.measures):
        refuse("aggregate_columns may not name MIN or MAX where a privacy unit is protected.")


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
