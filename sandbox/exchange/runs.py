"""The life of a query run, kept so that a crash leaves a visible "authorized without outcome"."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, NotFound, Unavailable
from sandbox.core.statements import Statement
from sandbox.core.terms import EntryId, ParticipantId, QueryId

RUN: Final[Mapping[str, frozenset[str]]] = {
    "authorized": frozenset({"completed", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "refused": frozenset(),
}
"""Every state of a run and those that may follow it."""


query_run: Final = sa.Table(
    "query_run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("buyer", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("uses", sa.JSON, nullable=False),
    sa.Column("lease_until", Instant, nullable=False, index=True),
)

_RUN: Final = sa.select(query_run.c.buyer, query_run.c.state, query_run.c.entry).where(
    query_run.c.id == sa.bindparam("wanted")
)
_BEGIN: Final = Statement(query_run.insert())


def _closing(state: str) -> Statement:
    """Sets the ``outcome`` of the run ``wanted`` and this state, if the run is in one that it may follow."""
    before: list[sa.ColumnElement[str]] = [
        sa.literal_column(f"'{name}'") for name, after in RUN.items() if state in after
    ]
    wanted = query_run.update().where(query_run.c.id == sa.bindparam("wanted"), query_run.c.state.in_(before))
    return Statement(wanted.values(state=sa.literal_column(f"'{state}'"), outcome=sa.bindparam("by")), "wanted", "by")


_CLOSE: Final = {state: _closing(state) for state in sorted(frozenset[str]().union(*RUN.values()))}


def begin(
    tx: Transaction,
    query_id: QueryId,
    buyer: ParticipantId,
    entry: EntryId,
    uses: list[tuple[str, int]],
    lease_until: datetime,
) -> None:
    """Note an authorized run; past ``lease_until`` nobody can still be working on it."""
    tx.put(_BEGIN, (query_id, buyer, "authorized", entry, None, uses, lease_until))


def refuse(tx: Transaction, query_id: QueryId, buyer: ParticipantId, entry: EntryId, at: datetime) -> None:
    """Note a refused query, so that its buyer can fetch the receipt of the refusal."""
    tx.put(_BEGIN, (query_id, buyer, "refused", entry, entry, [], at))


def finish(tx: Transaction, query_id: QueryId, state: str, outcome: EntryId) -> None:
    """Close an authorized run, once.

    Raises:
        Conflict: ``query.finished`` when the run already has its outcome.
    """
    if _CLOSE[state].run(tx.connection, query_id, outcome) != 1:
        raise Conflict("query.finished", f"Query {query_id} already has its outcome.", hint="Fetch its receipt.")


def outcome_of(connection: Connection, query_id: str, buyer: ParticipantId | None) -> tuple[str, EntryId]:
    """State and telling entry of a run; with ``buyer``, only of that buyer's.

    Raises:
        NotFound: ``query.unknown``.
    """
    found = sa.select(query_run.c.state, query_run.c.outcome, query_run.c.entry).where(query_run.c.id == query_id)
    if buyer is not None:
        found = found.where(query_run.c.buyer == buyer)
    # PostgreSQL fails on U+0000 before it could say "unknown"
    row = connection.execute(found).one_or_none() if query_id.isprintable() else None
    if row is None:
        raise _unknown(query_id)
    return row.state, EntryId(row.outcome or row.entry)


def closed(query_id: QueryId) -> Unavailable:
    """What is raised for a run that repair has closed before it could be settled."""
    return Unavailable(
        "run.abandoned",
        f"Query {query_id} took too long and was closed meanwhile; nothing was charged.",
        hint="Send it again.",
    )


def decided_by(connection: Connection, query_id: str, buyer: ParticipantId | None) -> tuple[str, EntryId]:
    """State of a run, and the entry that holds the decision on it; with ``buyer``, only of that buyer's.

    Raises:
        NotFound: ``query.unknown``.
    """
    row = connection.execute(_RUN, {"wanted": query_id}).one_or_none() if query_id.isprintable() else None
    if row is None or (buyer is not None and row.buyer != buyer):
        raise _unknown(query_id)
    return row.state, EntryId(row.entry)


def buyer_of(connection: Connection, query_id: str) -> ParticipantId:
    """Whose query it is.

    Raises:
        NotFound: ``query.unknown``.
    """
    buyer = connection.scalar(sa.select(query_run.c.buyer).where(query_run.c.id == query_id))
    if buyer is None:
        raise _unknown(query_id)
    return ParticipantId(buyer)


def _unknown(query_id: str) -> NotFound:
    return NotFound("query.unknown", f"No query {query_id[:40]!r}, or it is not yours.", hint="Check the id.")


def abandoned(connection: Connection, now: datetime) -> list[tuple[QueryId, list[tuple[str, int]]]]:
    """Authorized runs whose lease has ended, with what they hold of budgets and caps."""
    late = sa.select(query_run.c.id, query_run.c.uses).where(
        query_run.c.state == "authorized", query_run.c.lease_until < now
    )
    return [(QueryId(row.id), [(name, amount) for name, amount in row.uses]) for row in connection.execute(late)]
