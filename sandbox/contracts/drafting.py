"""Terms and statements to start from, drafted from a dataset's descriptor by a template of the release mode.

A template (``contracts/templates/<mode>.json``) holds every clause; what depends on the dataset is filled in here from
the descriptor with all its dimensions written out. A provider reads the draft, changes what needs it, and signs.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.contracts.clauses import read_terms
from sandbox.contracts.members import refuse
from sandbox.contracts.statement import FORMAT, ROLES, WITHHELD, read_statement
from sandbox.contracts.terms import dated
from sandbox.core.canonical import Json
from sandbox.core.terms import ReleaseMode

_FREE: Final = frozenset({"mo", "dung_chung"})
"""Classes that nobody pays for: open and shared data."""
_SOME_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


def statement_of(descriptor: Mapping[str, Any]) -> dict[str, Json]:
    """What an offer states of a dataset, from its descriptor.

    Raises:
        Invalid: ``contract.invalid``: the descriptor claims neither seller's status nor lawful origin, or has a column
            that is never offered.
    """
    origin = descriptor.get("lawful_origin")
    if not isinstance(origin, Mapping) or not descriptor.get("seller_status"):
        refuse("The descriptor has no seller_status or no lawful_origin, which every offer states.")
    statement: dict[str, Json] = {
        "seller_status": descriptor["seller_status"],
        "origin": origin["vi"],
        "format": FORMAT,
        "fields": [_field(column) for column in descriptor["columns"]],
    }
    read_statement(statement)
    return statement


def _field(column: Mapping[str, Any]) -> Json:
    name, sensitivity = column["name"], column["sensitivity"]
    if sensitivity not in ROLES:
        refuse(f"Column {name} has the sensitivity {sensitivity}, which is never offered.")
    role = ROLES[sensitivity] if column.get("exposed", True) else WITHHELD
    return {"name": name, "type": column["type"], "role": role}


def draft(
    descriptor: Mapping[str, Any],
    template: Mapping[str, Json],
    queries: Iterable[str] = (),
    bounds: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Json]:
    """Terms that open all that the descriptor exposes, in the template's release mode.

    Args:
        descriptor: the dataset's, with its dimensions complete, see ``catalog.descriptor.describe``.
        template: of ``contracts/templates``.
        queries: digests of approved queries, for the release mode ``template``.
        bounds: lowest and highest value of each measure, for the release mode ``dp``.

    Raises:
        Invalid: ``contract.invalid``: the mode does not fit the dataset, or misses queries or bounds.
    """
    terms = dict(template)
    mode, unit = terms.get("release"), descriptor["privacy_unit"]
    if unit is None and mode not in {ReleaseMode.EXACT, ReleaseMode.TEMPLATE}:
        refuse(f"The release mode {mode} protects units, and the descriptor names no privacy_unit.")
    exposed = [column["name"] for column in descriptor["columns"] if column.get("exposed", True)]
    terms |= _of_rows(exposed) if unit is None else _of_units(descriptor)
    terms["dimensions"] = [dimension["name"] for dimension in descriptor["dimensions"] if _is_open(dimension, unit)]
    terms["templates"] = list(queries)
    if isinstance(terms["dp"], dict):
        terms["dp"] = terms["dp"] | {"clipping": _clipping(descriptor, bounds or {})}
    if descriptor["data_class"] in _FREE:
        terms |= {"price_vnd": 0, "price_plan": {"free_queries": 0}}
    read_terms(dated(terms, _SOME_TIME))
    return terms


def _is_open(dimension: Mapping[str, Any], unit: str | None) -> bool:
    return unit is not None or dimension["expression"] != dimension["name"]  # else it is a column, and opened as one


def _of_rows(exposed: list[str]) -> dict[str, Json]:
    names: list[Json] = [*exposed]
    return {
        "privacy_unit": None,
        "columns": names,
        "aggregate_columns": [],
        "aggregate_expressions": "any_expression",
        "output_constraints": [],
        "join_columns": names,
        "join_condition": "not_required",
        "comparison_controls": {"literals": names, "columns": names},
    }


def _of_units(descriptor: Mapping[str, Any]) -> dict[str, Json]:
    unit, measures = descriptor["privacy_unit"], _measures(descriptor)
    constraint: Json = {"column": unit, "minimum": descriptor["min_group"], "type": "COUNT_DISTINCT"}
    names: list[Json] = [dimension["name"] for dimension in descriptor["dimensions"]]
    return {
        "privacy_unit": unit,
        "columns": [],
        "aggregate_columns": [{"columns": [*measures], "functions": ["SUM", "AVG"]}] if measures else [],
        "aggregate_expressions": "columns_only",
        "output_constraints": [constraint],
        "join_columns": [],
        "join_condition": "blocked",
        "comparison_controls": {"literals": names, "columns": []},
    }


def _measures(descriptor: Mapping[str, Any]) -> list[str]:
    columns = descriptor["columns"]
    return [each["name"] for each in columns if each["sensitivity"] == "M" and each.get("exposed", True)]


def _clipping(descriptor: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> list[Json]:
    measures = _measures(descriptor)
    if missing := [name for name in measures if name not in bounds]:
        refuse(f"Noise cannot cover a sum of values without bounds, and {', '.join(missing)} has none.")
    if strange := sorted(bounds.keys() - {*measures}):
        refuse(f"{', '.join(strange)} is no measure of the descriptor, and has bounds.")
    return [{"column": name, "low": bounds[name][0], "high": bounds[name][1]} for name in measures]
