"""What the clauses of one contract must be to one another: terms that contradict themselves are refused at reading."""

from collections.abc import Collection
from typing import Final

from sandbox.contracts.members import refuse
from sandbox.contracts.record import Dp, Terms
from sandbox.core.terms import ReleaseMode

_OF_ONE_UNIT: Final = frozenset({"MIN", "MAX"})
"""Aggregates that answer with one row's own value, whatever the size of the group."""
_ADDED: Final = frozenset({"SUM", "AVG"})
_OF_UNITS: Final = frozenset({ReleaseMode.SAFE_CUBE, ReleaseMode.DP, ReleaseMode.THRESHOLD})
"""Modes that protect units, and mean nothing where none is named."""


def check_consistency(terms: Terms) -> None:
    """Refuse terms whose clauses contradict one another.

    Raises:
        Invalid: ``contract.invalid``, naming the clauses.
    """
    _check_mode(terms)
    if len(set(terms.measured)) != len(terms.measured):
        refuse("aggregate_columns names a column twice.")
    _check_unit(terms)
    _check_joins(terms)
    _within("comparison_controls.literals", terms.literal_columns, terms.opened)
    _within("comparison_controls.columns", terms.compared_columns, terms.opened)
    _within("disallowed_output_columns", terms.hidden_columns, terms.opened)


def _check_mode(terms: Terms) -> None:
    mode = terms.release
    if (terms.dp is not None) != (mode == ReleaseMode.DP):
        refuse(f"release is {mode}, and dp is {_given(terms.dp)}: dp stands exactly in contracts of release dp.")
    if bool(terms.templates) != (mode == ReleaseMode.TEMPLATE):
        refuse(
            f"release is {mode}, and templates holds {len(terms.templates)} digests: "
            "there are some exactly in contracts of release template."
        )
    if mode in _OF_UNITS and terms.unit is None:
        refuse(f"release is {mode}, which protects units, and privacy_unit names none.")
    if terms.dp is not None:
        _check_dp(terms.dp, terms)


def _given(dp: Dp | None) -> str:
    return "null" if dp is None else "given"


def _check_dp(dp: Dp, terms: Terms) -> None:
    if dp.nano_rho_query > dp.nano_rho_total:
        refuse("dp.nano_rho_query is above dp.nano_rho_total: not one query could run.")
    clipped = [clip.column for clip in dp.clipping]
    added = {column for measure in terms.measures if _ADDED & {*measure.functions} for column in measure.columns}
    if len(set(clipped)) != len(clipped) or {*clipped} != added:  # noise covers no sum whose parts have no bound
        refuse("dp.clipping bounds each column that aggregate_columns gives to SUM or AVG, once, and no other.")


def _check_unit(terms: Terms) -> None:
    if terms.unit is not None:
        _check_protection(terms, terms.unit)
    elif not (terms.columns or terms.dimensions or terms.measures):
        refuse("The terms open nothing: columns, dimensions and aggregate_columns are empty.")


def _check_protection(terms: Terms, unit: str) -> None:
    if terms.columns:
        refuse("columns must be empty where a privacy unit is protected: rows of one unit would leave.")
    shown = {*terms.opened, *(condition.column for condition in terms.rows)}
    if unit in shown | {*terms.literal_columns, *terms.compared_columns, *terms.hidden_columns}:
        refuse("The privacy unit may only be counted, never grouped by, measured, joined, compared or filtered on.")
    if any(_OF_ONE_UNIT.intersection(measure.functions) for measure in terms.measures):
        refuse("aggregate_columns may not name MIN or MAX where a privacy unit is protected.")
    if terms.any_expression:  # sum(CASE WHEN … THEN x END) asks for one row
        refuse("aggregate_expressions must be columns_only where a privacy unit is protected.")
    if shared := {*terms.join_columns} & {*terms.dimensions, *terms.measured}:
        refuse(f"join_columns names {min(shared)}, which the terms also show: a protected join column never leaves.")


def _check_joins(terms: Terms) -> None:
    condition = terms.join_condition
    if condition == "blocked" and terms.join_columns:
        refuse("join_condition is blocked, and join_columns names some.")
    if condition in {"any", "all"} and not terms.join_columns:
        refuse(f"join_condition is {condition}, and join_columns names none: not one query could run.")


def _within(where: str, names: Collection[str], opened: frozenset[str]) -> None:
    if strange := {*names} - opened:
        refuse(f"{where} names {min(strange)}, which the terms do not open.")
