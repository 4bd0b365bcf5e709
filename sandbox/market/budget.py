"""Budgets: how much of something may be used up, counted so that no race exceeds a cap.

What is used before a query runs is given back if the query fails. (A privacy budget would never be: whether a query
fails depends on the data.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Insufficient
from sandbox.market.tables import budget


@dataclass(frozen=True, slots=True)
class Limit:
    """How whoever meets a cap is refused: ``name`` is what the cap limits, ``hint`` what to do about it.

    What is left of it is told where the budget is ``own``: of a shared one, that is what others have used.
    """

    code: str
    rule: str
    name: str
    hint: str
    own: bool = True


@dataclass(frozen=True, slots=True)
class Use:
    """Some of a budget: ``amount`` of what ``cap`` allows in all."""

    id: str
    amount: int
    cap: int
    limit: Limit


EXHAUSTED: Final = Limit(
    "budget.exhausted", "QRY-07", "The number of queries that the contract allows",
    "Wait for the next period's budget, or agree on a larger one.",
)  # fmt: skip


@cache
def _spending(rows: int) -> sa.TextClause:
    """One statement that spends on so many budgets and answers which: where a cap stands against it, none.

    It compares and counts at once: two that read the same number would both take the last use. Every query spends, and
    what SQLAlchemy builds of several rows it builds anew each time, which takes longer than running it.
    """
    values = ", ".join(f"(:id{row}, :cap{row}, :spent{row})" for row in range(rows))
    return sa.text(
        f"INSERT INTO budget (id, cap, spent) VALUES {values} "  # noqa: S608  # names of parameters only
        "ON CONFLICT (id) DO UPDATE SET spent = budget.spent + excluded.spent, cap = excluded.cap "
        "WHERE budget.spent + excluded.spent <= excluded.cap RETURNING id"
    )


_COLUMNS: Final = ("id", "cap", "spent")
_GIVE_BACK: Final = (
    sa.update(budget)
    .where(budget.c.id == sa.bindparam("budget_id"), budget.c.spent >= sa.bindparam("amount"))
    .values(spent=budget.c.spent - sa.bindparam("amount"))
)
_SPENT: Final = sa.select(budget.c.id, budget.c.spent).where(budget.c.id.in_(sa.bindparam("ids", expanding=True)))


def reserve(tx: Transaction, uses: Iterable[Use]) -> None:
    """Take every use, or none. What is named twice is used for both amounts, under the lower cap.

    The cap in force is the caller's, from contract or charter: when it changes, what has been spent stays spent.

    Raises:
        Insufficient: the code and rule of the first use that does not fit, in the order given.
    """
    wanted = _merged(uses)
    if not wanted:
        return
    with tx.connection.begin_nested():  # the caller may go on to record this refusal in the same transaction
        granted = _spend(tx.connection, wanted)
        first = next((use for use in wanted if use.id not in granted), None)
        if first is not None:
            raise above(first, used(tx.connection, [first.id])[first.id])


def _merged(uses: Iterable[Use]) -> list[Use]:
    merged: dict[str, Use] = {}
    for use in uses:
        before = merged.get(use.id)
        merged[use.id] = _together(before, use) if before else use
    return [use for use in merged.values() if use.amount != 0]


def _together(first: Use, second: Use) -> Use:
    return Use(first.id, first.amount + second.amount, min(first.cap, second.cap), first.limit)


def _spend(connection: Connection, uses: Iterable[Use]) -> set[str]:
    """Spend what fits; answers the ids of those budgets."""
    # one order everywhere, or two nodes would each hold a row that the other wants
    within = sorted((use.id, use.cap, use.amount) for use in uses if 0 < use.amount <= use.cap)
    if not within:
        return set()
    values = {
        f"{name}{row}": value for row, use in enumerate(within) for name, value in zip(_COLUMNS, use, strict=True)
    }
    return {*connection.scalars(_spending(len(within)), values)}


def above(use: Use, spent: int) -> Insufficient:
    """The refusal of a use that does not fit, where so much is spent already."""
    left = f"is {use.cap}, of which {max(use.cap - spent, 0)} are left"
    return Insufficient(
        use.limit.code,
        f"{use.limit.name} {left if use.limit.own else 'would be exceeded'}; this asks for {use.amount}.",
        hint=use.limit.hint,
        reasons=(use.limit.rule,),
    )


def release(tx: Transaction, taken: Iterable[tuple[str, int]]) -> None:
    """Give back what was reserved, all of it or nothing.

    Raises:
        Conflict: ``budget.unreserved`` when one of the budgets has less to give back.
    """
    with tx.connection.begin_nested():
        for budget_id, amount in sorted(each for each in taken if each[1] != 0):
            given = {"budget_id": budget_id, "amount": amount}
            if amount < 0 or tx.connection.execute(_GIVE_BACK, given).rowcount != 1:
                raise Conflict(
                    "budget.unreserved", "No such use of this budget is reserved.",
                    hint="Release what was reserved, once.",
                )  # fmt: skip


def take(tx: Transaction, budget_id: str, cap: int) -> bool:
    """Take one of a quota if one is left; answers whether it was."""
    return bool(_spend(tx.connection, [Use(budget_id, 1, cap, EXHAUSTED)]))


def reserve_uses(tx: Transaction, caps: Iterable[tuple[str, int]]) -> None:
    """Take one use of every named budget, or of none. A budget named twice is used once, under the lower cap.

    Raises:
        Insufficient: ``budget.exhausted`` (QRY-07).
    """
    lowest: dict[str, int] = {}
    for budget_id, cap in caps:
        lowest[budget_id] = min(cap, lowest.get(budget_id, cap))
    reserve(tx, [Use(budget_id, 1, cap, EXHAUSTED) for budget_id, cap in lowest.items()])


def release_uses(tx: Transaction, ids: Iterable[str]) -> None:
    """Give back one use of every named budget, or of none.

    Raises:
        Conflict: ``budget.unreserved`` when one of them has no use to give back.
    """
    release(tx, [(budget_id, 1) for budget_id in set(ids)])


def used(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """How much of each budget is taken so far; 0 where nothing ever was."""
    rows: Any = connection.execute(_SPENT, {"ids": list(ids)}) if ids else ()
    return dict.fromkeys(ids, 0) | {row.id: row.spent for row in rows}
