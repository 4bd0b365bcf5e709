"""The market's tables: accounts and their postings, holds, settlements, access budgets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from sandbox.core.database import BigId, Instant, metadata
from sandbox.core.guards import guarded

HOLD: Final[Mapping[str, frozenset[str]]] = {
    "held": frozenset({"captured", "refunded"}),
    "captured": frozenset(),
    "refunded": frozenset(),
}
"""The life of a query's money."""

account = sa.Table(
    "account", metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("balance", sa.BigInteger, nullable=False),
    sa.CheckConstraint("name = 'bank' OR balance >= 0", name="account_not_negative"),
)  # fmt: skip
posting = guarded(sa.Table(
    "posting", metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("entry_id", sa.Text, nullable=False),
    sa.Column("query_id", sa.Text),
    sa.Column("account", sa.Text, sa.ForeignKey("account.name"), nullable=False, index=True),
    sa.Column("vnd", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("entry_id", "account", name="posting_once"),
    sa.CheckConstraint("vnd <> 0", name="posting_moves"),
))  # fmt: skip
hold = sa.Table(
    "hold", metadata,
    sa.Column("query_id", sa.Text, primary_key=True),
    sa.Column("buyer", sa.Text, nullable=False),
    sa.Column("vnd", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("reserved_by", sa.Text, nullable=False),
    sa.Column("ended_by", sa.Text),
    sa.CheckConstraint("vnd >= 0", name="hold_not_negative"),
    sa.CheckConstraint(f"state IN {tuple(HOLD)}", name="hold_state"),
    sa.CheckConstraint("(state = 'held') = (ended_by IS NULL)", name="hold_ended"),
)  # fmt: skip
settlement = guarded(sa.Table(
    "settlement", metadata,
    sa.Column("query_id", sa.Text, sa.ForeignKey("hold.query_id"), primary_key=True),
    sa.Column("entry_id", sa.Text, nullable=False, unique=True),
    sa.Column("buyer", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("day", sa.Date, nullable=False),  # of Asia/Ho_Chi_Minh: the two databases cut days differently
    sa.Column("rows_out", sa.BigInteger, nullable=False),
    sa.Column("bytes_out", sa.BigInteger, nullable=False),
    sa.Column("fee_bp", sa.Integer, nullable=False),
))  # fmt: skip
settlement_share = guarded(sa.Table(
    "settlement_share", metadata,
    sa.Column("query_id", sa.Text, sa.ForeignKey("settlement.query_id"), primary_key=True),
    sa.Column("agreement", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("sector", sa.Text, nullable=False),
    sa.Column("vnd", sa.BigInteger, nullable=False),
    sa.CheckConstraint("vnd >= 0", name="settlement_share_not_negative"),
))  # fmt: skip
budget = sa.Table(
    "budget", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("cap", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.CheckConstraint("spent BETWEEN 0 AND cap", name="budget_within_cap"),
)  # fmt: skip

_INSERT: Final[Mapping[str, Callable[[sa.Table], Any]]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_missing(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert the rows whose key is new. A neighbour that inserts the same key at the same time is no error."""
    connection.execute(_INSERT[connection.dialect.name](table).on_conflict_do_nothing(), rows)
