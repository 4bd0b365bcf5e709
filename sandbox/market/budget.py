"""Access budgets: how many queries a contract allows in a day or a lifetime, counted so that no race exceeds a cap.

A use is reserved before a query runs and released if it fails. (A privacy budget would never be released: whether a
query fails depends on the data.)
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Insufficient
from sandbox.market.tables import budget, insert_missing


def reserve_uses(tx: Transaction, caps: Iterable[tuple[str, int]]) -> None:
    """Take one use of every named budget, or of none. A budget named twice is used once, under the lower cap.

    The cap in force is the caller's, from the contract: when it changes, what has been spent stays spent.

    Raises:
        Insufficient: ``budget.exhausted`` (QRY-07).
    """
    lowest: dict[str, int] = {}
    for budget_id, cap in caps:
        lowest[budget_id] = min(cap, lowest.get(budget_id, cap))
    if not lowest:
        return
    with tx.connection.begin_nested():  # the caller may go on to record this refusal in the same transaction
        for budget_id in sorted(
            lowest
        ):  # one order everywhere, or two nodes would each hold a row that the other wants
            if not _spend(tx.connection, budget_id, lowest[budget_id]):
                raise Insufficient(
                    "budget.exhausted", f"All {max(lowest[budget_id], 0)} uses that the contract allows are taken.",
                    hint="Wait for the next day's budget, or agree on a larger one.", reasons=("QRY-07",),
                )  # fmt: skip


def release_uses(tx: Transaction, ids: Iterable[str]) -> None:
    """Give back one use of every named budget, or of none.

    Raises:
        Conflict: ``budget.unreserved`` when one of them has no use to give back.
    """
    with tx.connection.begin_nested():
        for budget_id in sorted(set(ids)):
            given = sa.update(budget).where(budget.c.id == budget_id, budget.c.spent > 0)
            if tx.connection.execute(given.values(spent=budget.c.spent - 1)).rowcount != 1:
                raise Conflict(
                    "budget.unreserved", "No use of this budget is reserved.", hint="Release what was reserved, once."
                )


def used(connection: Connection, budget_id: str) -> int:
    """Uses taken so far."""
    return connection.scalar(sa.select(budget.c.spent).where(budget.c.id == budget_id)) or 0


def _spend(connection: Connection, budget_id: str, cap: int) -> bool:
    if cap < 1:
        return False
    insert_missing(connection, budget, [{"id": budget_id, "cap": cap, "spent": 0}])
    # one statement compares and counts: two that read the same number would both take the last use
    one_more = sa.update(budget).where(budget.c.id == budget_id, budget.c.spent < cap)
    return connection.execute(one_more.values(spent=budget.c.spent + 1, cap=cap)).rowcount == 1
