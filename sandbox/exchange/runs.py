"""The life of a query run, kept so that a crash leaves a visible "authorized without outcome"."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, NotFound, Unavailable
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
_CLOSE: Final = (
    query_run.update()
    .where(query_run.c.id == sa.bindparam("wanted"), query_run.c.state.in_(sa.bindparam("befores", expanding=True)))
    .values(state=sa.bindparam("to_state"), outcome=sa.bindparam("by"))
)


def begin(
    tx: Transaction,
    query_id: QueryId,
    buyer: ParticipantId,
    entry: EntryId,
    uses: list[tuple[str, int]],
    lease_until: datetime,
) -> None:
    """Note an authorized run; past ``lease_until`` nobody can still be working on it."""
    row = {
        "id": query_id,
        "buyer": buyer,
        "state": "authorized",
        "entry": entry,
        "uses": uses,
        "lease_until": lease_until,
    }
    tx.connection.execute(query_run.insert(), row)


def refuse(tx: Transaction, query_id: QueryId, buyer: ParticipantId, entry: EntryId, at: datetime) -> None:
    """Note a refused query, so that its buyer can fetch the receipt of the refusal."""
    row = {
        "id": query_id,
        "buyer": buyer,
        "state": "refused",
        "entry": entry,
        "outcome": entry,
        "uses": [],
        "lease_until": at,
    }
    tx.connection.execute(query_run.insert(), row)


def finish(tx: Transaction, query_id: QueryId, state: str, outcome: EntryId) -> None:
    """Close an authorized run, once.

    Raises:
        Conflict: ``query.finished`` when the run already has its outcome.
    """
    before = [name for name, after in RUN.items() if state in after]
    given = {"wanted": query_id, "befores": before, "to_state": state, "by": outcome}
    closed = tx.connection.execute(_CLOSE, given)
    if closed.rowcount != 1:
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
