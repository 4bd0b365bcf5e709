"""The terms of a contract as the program holds them, once they have been read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sandbox.core.terms import Condition, Digest, ReleaseMode, Vnd

FUNCTIONS: Final = ("SUM", "AVG", "COUNT", "MIN", "MAX")
JOIN_CONDITIONS: Final = ("not_required", "any", "all", "blocked")
"""Whether a query must join on ``join_columns``: it need not, on any of them, on all of them, or it must not."""
ASSIGNEE: Final = "odrl:assignee"
"""A receiver of results in an offer: whoever accepts it. The colon keeps it apart from every participant's id."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Columns that may be aggregated, with the functions allowed on each of them."""

    columns: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """Values of a column beyond these bounds count as the bound, so that noise can cover any one of them."""

    column: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Dp:
    """Differential privacy (zCDP): what a query and all queries together may cost, in billionths of rho.

    ``delta_pico`` is in units of 1e-12; ``groups_per_unit`` is in how many groups one unit may count.
    """

    nano_rho_query: int
    nano_rho_total: int
    delta_pico: int
    groups_per_unit: int
    clipping: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """All that the parties agree on.

    Budgets of None are unlimited, so is a retention of None; ``min_group`` is 1 where no unit is protected. A name in
    ``literal_columns`` may meet a constant, one in ``compared_columns`` another column; a dimension's name stands there
    for the columns of its expression. ``any_expression`` lets aggregates take more than a bare column. ``follows``
    carries the agreement over to later versions of the dataset, else it holds for the one that it names.
    """

    release: ReleaseMode
    unit: str | None
    dimensions: tuple[str, ...]
    measures: tuple[Measure, ...]
    columns: tuple[str, ...]
    rows: tuple[Condition, ...]
    min_group: int
    max_rows: int
    day_budget: int | None
    week_budget: int | None
    month_budget: int | None
    lifetime_budget: int | None
    purposes: tuple[str, ...]
    territories: tuple[str, ...]
    not_after: datetime
    price: Vnd
    free_queries: int
    exclusive: bool
    sublicence: bool
    intellectual_property: str
    receivers: tuple[str, ...]
    retention_days: int | None
    follows: bool
    any_expression: bool
    scalar_functions: tuple[str, ...]
    join_columns: tuple[str, ...]
    join_condition: str
    literal_columns: tuple[str, ...]
    compared_columns: tuple[str, ...]
    hidden_columns: tuple[str, ...]
    dp: Dp | None
    templates: tuple[Digest, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """Every column that may be aggregated."""
        return tuple(column for measure in self.measures for column in measure.columns)

    @property
    def opened(self) -> frozenset[str]:
        """Every name that a buyer may write, but the unit's."""
        return frozenset({*self.dimensions, *self.columns, *self.join_columns, *self.measured})
