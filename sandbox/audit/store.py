"""The log's tables, which only ever grow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.layout import HEIGHT, WIDTH, ReadTile, levels
from sandbox.audit.merkle import EMPTY_ROOT, leaf_hash
from sandbox.audit.tree import Tree, reopened
from sandbox.core.database import BigId, Instant, metadata
from sandbox.core.errors import Conflict, Tampered
from sandbox.core.guards import guarded
from sandbox.core.statements import Statement

log_entry: Final = sa.Table(
    "log_entry", metadata,
    sa.Column("idx", BigId, primary_key=True, autoincrement=False),
    sa.Column("entry_id", sa.Text, nullable=False, unique=True),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
)  # fmt: skip
log_tile: Final = sa.Table(  # full tiles only: one row for 256 entries
    "log_tile", metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hashes", sa.LargeBinary, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
)  # fmt: skip
log_head: Final = sa.Table(  # one row for each commit: the signed checkpoint itself
    "log_head", metadata,
    sa.Column("size", BigId, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("at", Instant, nullable=False),
)  # fmt: skip
log_cosignature: Final = guarded(sa.Table(  # what witnesses said of published heads: a signature line each
    "log_cosignature", metadata,
    sa.Column("size", BigId, primary_key=True, autoincrement=False),
    sa.Column("witness", sa.Text, primary_key=True),
    sa.Column("line", sa.LargeBinary, nullable=False),
    sa.Column("at", Instant, nullable=False),
))  # fmt: skip
log_body: Final = sa.Table(  # what the seals stand for; a row may be erased, and no proof changes
    "log_body", metadata,
    sa.Column("entry_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
)  # fmt: skip


def _taken() -> Conflict:
    return Conflict("entry.exists", "That entry is in the log already.", hint="Read it before trying again.")


ADD_ENTRY: Final = Statement(log_entry.insert(), taken=_taken)
ADD_TILE: Final = Statement(log_tile.insert())
ADD_HEAD: Final = Statement(log_head.insert())
ADD_BODY: Final = Statement(log_body.insert(), taken=_taken)
"""What the writer inserts; rows give the table's columns in their order."""

# built once: every commit and every query ask for the head, and building the statements takes longer than running them
_NEWEST: Final = Statement(  # one statement, so one snapshot: on PostgreSQL a neighbour may commit between two
    sa.text(
        "SELECT (SELECT max(idx) FROM log_entry), size, root, note FROM (SELECT 1 AS one) AS always "
        "LEFT JOIN (SELECT size, root, note FROM log_head ORDER BY size DESC LIMIT 1) AS newest ON one = 1"
    )
)
_HEAD_AT: Final = sa.select(log_head.c.size, log_head.c.root, log_head.c.note).where(
    log_head.c.size == sa.bindparam("at_size")
)

_SQLITE_TAKEN: Final = {
    "log_entry": "idx = NEW.idx OR entry_id = NEW.entry_id",
    "log_tile": "level = NEW.level AND n = NEW.n",
    "log_head": "size = NEW.size",
}


@dataclass(frozen=True, slots=True)
class Head:
    """The newest state of the log: size, root, and the checkpoint (empty when there is no entry yet)."""

    size: int
    root: bytes
    note: bytes


def guard_statements(dialect_name: str) -> list[str]:
    """The triggers that forbid every change but insertion, for ``sqlite`` or ``postgresql``."""
    if dialect_name == "sqlite":
        return [_sqlite_guard(table, event) for table in _SQLITE_TAKEN for event in ("UPDATE", "DELETE", "INSERT")]
    function = (
        "CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the log is append-only'; END $$"
    )
    return [function] + [
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()"
        for table in _SQLITE_TAKEN
    ]


def _sqlite_guard(table: str, event: str) -> str:
    # INSERT OR REPLACE deletes the old row without asking the DELETE trigger
    when = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {_SQLITE_TAKEN[table]}) " if event == "INSERT" else ""  # noqa: S608
    return (
        f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} {when}"
        "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
    )


def disagrees(what: str) -> Tampered:
    """The error for a log in the database that is not the log it was."""
    return Tampered(
        "tampered.log",
        what,
        hint="Stop, keep the database as it is, and compare it with the exported log and its backups.",
    )


def newest_head(connection: Connection) -> Head:
    """The head of the last commit.

    Raises:
        Tampered: ``tampered.log`` when entries and heads end at different places.
    """
    last, size, root, note = _NEWEST.first(connection) or (None, None, None, None)
    head = Head(0, EMPTY_ROOT, b"") if size is None else Head(size, root, note)
    if head.size != (0 if last is None else last + 1):
        raise disagrees("The log's entries and its signed heads end at different places.")
    return head


def head_at(connection: Connection, size: int) -> Head:
    """The head that the commit ending at ``size`` signed.

    Raises:
        Tampered: ``tampered.log`` when no commit ended there.
    """
    row = connection.execute(_HEAD_AT, {"at_size": size}).one_or_none()
    if row is None:
        raise disagrees(f"The log once had {size} entries, and the database has no head of that size.")
    return Head(*row)


def leaves(connection: Connection, start: int, stop: int) -> list[bytes]:
    """The leaves ``start`` to ``stop``.

    Raises:
        Tampered: ``tampered.log`` when one of them is missing.
    """
    found = (
        sa.select(log_entry.c.leaf).where(log_entry.c.idx >= start, log_entry.c.idx < stop).order_by(log_entry.c.idx)
    )
    return _whole([*connection.execute(found).scalars()], stop - start)


def _whole(rows: list[bytes], wanted: int) -> list[bytes]:
    if len(rows) != wanted:
        raise disagrees(f"The database has {len(rows)} of {wanted} rows of the log that stand side by side.")
    return rows


def _row(connection: Connection, level: int, n: int, width: int) -> list[bytes]:
    start, stop = n * WIDTH, n * WIDTH + width
    if level == 0:
        return [leaf_hash(leaf) for leaf in leaves(connection, start, stop)]
    below = (log_tile.c.level == level - 1, log_tile.c.n >= start, log_tile.c.n < stop)
    return _whole(
        [*connection.execute(sa.select(log_tile.c.root).where(*below).order_by(log_tile.c.n)).scalars()], width
    )


def tile_reader(connection: Connection) -> ReadTile:
    """Tiles from the database: full ones from their rows, open ones from what lies below."""

    def read(level: int, n: int, width: int) -> bytes:
        if width < WIDTH:
            return b"".join(_row(connection, level, n, width))
        full = sa.select(log_tile.c.hashes).where(log_tile.c.level == level, log_tile.c.n == n)
        return _whole([*connection.execute(full).scalars()], 1)[0]

    return read


def stored_tree(connection: Connection, size: int) -> Tree:
    """The tree of the first ``size`` entries, from the last leaves and tile roots of each level."""
    rows: list[Sequence[bytes]] = []
    for level in levels(size):
        n, width = divmod(size >> (HEIGHT * level), WIDTH)
        rows.append(_row(connection, level, n, width) if width else ())
    return reopened(rows)
