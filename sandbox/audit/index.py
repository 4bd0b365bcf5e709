"""Where in the log something is named: an index that is derived from the entries and can be made anew.

It is brought up to the log when somebody searches, and now and then, never when something is recorded. What is to be
written is found out beside the writer, a stretch of entries at a time, and each unit only writes it down, so that
nothing waits long.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit import store
from sandbox.audit.bodies import Kept, require_sealed
from sandbox.audit.events import EventType, read_entry
from sandbox.audit.named import SEALED, Term, terms_of
from sandbox.audit.store import log_body, log_entry
from sandbox.core.clock import day_of, instant_of
from sandbox.core.database import BigId, Database, Transaction, metadata
from sandbox.core.statements import Statement

log_term: Final = sa.Table(  # kind and value of what an entry names; terms from sealed bodies are erased with them
    "log_term", metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("idx", BigId, primary_key=True, autoincrement=False, index=True),
    sa.Column("sealed", sa.Boolean, nullable=False),
)  # fmt: skip
log_indexed: Final = sa.Table(  # one row: how many entries the index covers
    "log_indexed", metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="log_indexed_once"),
)  # fmt: skip

DAY: Final = "day"
"""The kind of the term that stands only where the day is another than the entry's before: a day is a few stretches."""
STRETCH: Final = 500
_ADD: Final = Statement(log_term.insert())
_COVERED: Final = sa.select(log_indexed.c.size)
_FIRST: Final[sa.BindParameter[int]] = sa.bindparam("start")
_LAST: Final[sa.BindParameter[int]] = sa.bindparam("stop")
_LEAVES: Final = (
    sa.select(log_entry.c.idx, log_entry.c.entry_id, log_entry.c.leaf)
    .where(log_entry.c.idx >= _FIRST, log_entry.c.idx < _LAST)
    .order_by(log_entry.c.idx)
)
_KEPT: Final = log_entry.join(log_body, log_body.c.entry_id == log_entry.c.entry_id)
_OF_STRETCH: Final = (log_entry.c.idx >= _FIRST, log_entry.c.idx < _LAST, log_body.c.name.in_(SEALED))
_BODIES: Final = (
    sa.select(log_body.c.entry_id, log_body.c.name, log_body.c.salt, log_body.c.value)
    .select_from(_KEPT)
    .where(*_OF_STRETCH)
)
_COUNT: Final = sa.select(sa.func.count()).select_from(_KEPT).where(*_OF_STRETCH)
_DAY_BEFORE: Final = (
    sa.select(log_term.c.value).where(log_term.c.kind == DAY, log_term.c.idx < _FIRST).order_by(log_term.c.idx.desc())
)
_named, _traded = log_term.alias("named"), log_term.alias("traded")
_OF_QUERY: Final = (
    sa.select(_traded.c.kind, _traded.c.value)
    .join_from(_named, _traded, _traded.c.idx == _named.c.idx)
    .where(_named.c.kind == "query", _named.c.value == sa.bindparam("query"))
    .where(_traded.c.kind.in_(("agreement", "dataset")))
)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The terms of the entries from ``start`` on, and of how many sealed values they were taken."""

    start: int
    stop: int
    rows: Sequence[tuple[str, str, int, bool]]
    bodies: int


def covered(connection: Connection) -> int:
    """How many entries the index covers; its answers are complete up to there."""
    return connection.scalar(_COVERED) or 0


def catch_up(database: Database, stretch: int = STRETCH) -> int:
    """Bring the index up to the log's head as it is now; answers how many entries it covers then.

    May be broken off anywhere and be done by several at once, on several machines too.

    Raises:
        Tampered: ``tampered.body`` when a kept value is not what its entry seals: a search would miss that entry.
    """
    with database.read() as connection:
        size, done = store.newest_head(connection).size, covered(connection)
    while done < size:
        with database.read() as connection:  # anew each time: another may have gone on, or taken the index down
            done = covered(connection)
            found = _found(connection, done, max(done, min(done + stretch, size)))
        done = database.write(partial(_write, found))
    return done


def reindex(database: Database, stretch: int = STRETCH) -> int:
    """Take the index down from its end, then make it anew; answers how many entries it covers."""
    while database.write(lambda tx: _shorten(tx, stretch)):
        pass
    return catch_up(database, stretch)


def _write(found: _Stretch, tx: Transaction) -> int:
    """Write a stretch down if it is still the next one and nothing of it was erased; answers what is covered now."""
    connection = tx.connection
    done = covered(connection)
    bounds = {"start": found.start, "stop": found.stop}
    if done != found.start or connection.scalar(_COUNT, bounds) != found.bodies:
        return done  # another was faster, or a value was erased since it was read: its terms must not stay
    if found.rows:
        tx.put(_ADD, *found.rows)
    _note(connection, found.stop)
    return found.stop


def _shorten(tx: Transaction, by: int) -> int:
    left = max(covered(tx.connection) - by, 0)
    tx.connection.execute(log_term.delete().where(log_term.c.idx >= left))
    _note(tx.connection, left)
    return left


def _note(connection: Connection, size: int) -> None:
    if connection.execute(log_indexed.update().values(size=size)).rowcount == 0:
        connection.execute(log_indexed.insert(), {"id": 1, "size": size})


def _found(connection: Connection, start: int, stop: int) -> _Stretch:
    bounds = {"start": start, "stop": stop}
    bodies: dict[str, dict[str, tuple[bytes, bytes]]] = {}
    for row in connection.execute(_BODIES, bounds):
        bodies.setdefault(row.entry_id, {})[row.name] = (row.salt, row.value)
    rows: list[tuple[str, str, int, bool]] = []
    traded: dict[object, list[Term]] = {}
    day = connection.scalar(_DAY_BEFORE.limit(1), bounds)
    for idx, name, leaf in connection.execute(_LEAVES, bounds).all():
        entry = read_entry(leaf)
        terms = terms_of(entry, leaf, _proven(entry, bodies.get(name, {})))
        if "query" in entry:
            terms |= _inherited(connection, entry, terms, traded)
        if (today := day_of(instant_of(entry["ts"])).isoformat()) != day:
            terms[DAY, day := today] = False
        rows += [(kind, value, idx, each) for (kind, value), each in terms.items()]
    rows.sort()  # in the order of the key neighbours share a page
    return _Stretch(start, stop, rows, sum(map(len, bodies.values())))


def _proven(entry: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    """The kept values, each of them what the entry seals under its name."""
    require_sealed(entry, kept)
    return {name: orjson.loads(value) for name, (_, value) in kept.items()}


def _inherited(
    connection: Connection, entry: Mapping[str, Any], terms: Mapping[Term, bool], traded: dict[object, list[Term]]
) -> dict[Term, bool]:
    """Agreements and datasets of a query that failed: its own entry does not repeat them."""
    query = entry["query"]
    if entry["type"] != EventType.QUERY_FAILED:
        traded[query] = [term for term in terms if term[0] in {"agreement", "dataset"}]
        return {}
    known = traded.get(query)
    if known is None:
        known = [(row.kind, row.value) for row in connection.execute(_OF_QUERY, {"query": query})]
    return dict.fromkeys(known, False)


def stretches(connection: Connection, first: str, last: str, size: int) -> Iterator[tuple[int, int]]:
    """Where the entries of the days ``first`` to ``last`` (both included) stand: bounds of stretches, in order."""
    days = sa.select(log_term.c.idx, log_term.c.value).where(log_term.c.kind == DAY, log_term.c.idx < size)
    rows = [(row.idx, row.value) for row in connection.execute(days.order_by(log_term.c.idx))]
    start = None
    for idx, day in [*rows, (size, "")]:
        within = first <= day <= last
        if within and start is None:
            start = idx
        elif not within and start is not None:
            yield start, idx
            start = None
