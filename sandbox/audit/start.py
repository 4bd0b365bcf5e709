"""What an exchange must find before it records anything: a log that is whole, its own, and what was published."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from sandbox.audit import store
from sandbox.audit.layout import CHECKPOINT, HEIGHT, WIDTH, bundle, bundle_path, levels, split, tile_path
from sandbox.audit.merkle import complete_root, leaf_hash
from sandbox.audit.note import Checkpoint, Verifier, open_checkpoint
from sandbox.audit.store import Head, log_tile
from sandbox.audit.tiles import checkpoint_in, damaged, published
from sandbox.core.errors import Invalid, Tampered

_FULL: Final = sa.select(log_tile.c.level, sa.func.count().label("tiles")).group_by(log_tile.c.level)
_RESTORE: Final = (
    "Keep a copy of the database, put its newest backup in its place, then run: sandbox log recover --home HOME"
)
_KEY: Final = "Put the log's own key back in keys/log.jwk. If it is there, keep everything and tell the regulator."


def require_sound(engine: Engine, directory: Path, log: Verifier) -> Head:
    """Refuse to start on a log that disagrees with itself, with its key, or with what was published of it.

    It looks at the newest head, at the last tile of each level and what lies below it, and at the newest published
    files; it takes the same few milliseconds however long the log is. What was altered further back, it does not see:
    that is found by whoever verifies the published log, and by the export when it concerns entries not yet published.

    Raises:
        Tampered: ``tampered.log`` for the database, ``tampered.export`` for the files; the hint is the way out.
    """
    content = checkpoint_in(directory)  # first, for a neighbour may commit and publish before the database is read
    with snapshot(engine) as connection:
        try:
            head = require_whole(connection, log)
        except TypeError:  # SQLite keeps a text where it was told to keep bytes
            raise _broken("A row of the log is not of its column's type.") from None
        if content is None:
            _require_unpublished(directory, head)
        else:
            _require_signed(content, log)
            _require_edge(connection, directory, published(connection, content))
    return head


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the database, though neighbours go on writing."""
    postgresql = engine.dialect.name == "postgresql"  # its default sees a new snapshot in each statement
    with (engine.execution_options(isolation_level="REPEATABLE READ") if postgresql else engine).connect() as reading:
        yield reading


# --- the database ---
def require_whole(connection: Connection, log: Verifier) -> Head:
    """The newest head, once it is the log's own and the tree below it adds up.

    Raises:
        Tampered: ``tampered.log``.
    """
    head = store.newest_head(connection)
    if head.size:
        _require_own(head, log)
    _require_tiles(connection, head.size)
    if store.stored_tree(connection, head.size).root != head.root:
        raise _broken("The newest entries do not have the root that the log's head states.")
    return head


def _require_own(head: Head, log: Verifier) -> None:
    try:
        stated = open_checkpoint(head.note, log)
    except (Invalid, Tampered):
        raise Tampered(
            "tampered.log", "The log's head is not signed with this exchange's log key.", hint=_KEY
        ) from None
    if stated != Checkpoint(log.name, head.size, head.root):
        raise _broken("The log's head states another size or root than its key signed.")


def _require_tiles(connection: Connection, size: int) -> None:
    found = {row.level: row.tiles for row in connection.execute(_FULL)}
    expected = {level: size >> (HEIGHT * (level + 1)) for level in levels(size)}
    for level in sorted({*found, *expected}):
        counted, due = found.get(level, 0), expected.get(level, 0)
        if counted != due:
            raise _broken(f"The database has {counted} full tiles of level {level}, and {size} entries make {due}.")
    for level, count in expected.items():
        if count:
            _require_tile(connection, level, count - 1)


def _require_tile(connection: Connection, level: int, n: int) -> None:
    """A full tile is read from its own row from now on, so it must be what lies below it."""
    row = connection.execute(
        sa.select(log_tile.c.hashes, log_tile.c.root).where(log_tile.c.level == level, log_tile.c.n == n)
    ).one_or_none()
    below = _below(connection, level, n)
    if row is None or split(row.hashes) != below or complete_root(below) != row.root:
        raise _broken(f"Tile {level}/{n} of the database is not what lies below it.")


def _below(connection: Connection, level: int, n: int) -> list[bytes]:
    start, stop = n * WIDTH, (n + 1) * WIDTH
    if level == 0:
        return [leaf_hash(leaf) for leaf in store.leaves(connection, start, stop)]
    tiles = (log_tile.c.level == level - 1, log_tile.c.n >= start, log_tile.c.n < stop)
    return [*connection.execute(sa.select(log_tile.c.root).where(*tiles).order_by(log_tile.c.n)).scalars()]


def _broken(what: str) -> Tampered:
    return Tampered("tampered.log", what, hint=_RESTORE)


# --- the published files ---
def _require_unpublished(directory: Path, head: Head) -> None:
    # making an exchange publishes its first entries, so a log with entries and no checkpoint has lost it
    if head.size:
        raise damaged(f"The published log has no {CHECKPOINT}, and the database has {head.size} entries.")


def _require_signed(content: bytes, log: Verifier) -> None:
    try:
        open_checkpoint(content, log)
    except Invalid:
        raise damaged("The published checkpoint is damaged.") from None
    except Tampered:
        raise damaged("The published checkpoint is not signed with this exchange's log key.") from None


def _require_edge(connection: Connection, directory: Path, size: int) -> None:
    """The last tile of each level and the last bundle are there, as the database has them."""
    read = store.tile_reader(connection)
    for level in levels(size):
        for n, width in _last(size, level):
            _require_file(directory, read(level, n, width), tile_path(level, n, width), tile_path(level, n))
            if level == 0:
                leaves = store.leaves(connection, n * WIDTH, n * WIDTH + width)
                _require_file(directory, bundle(leaves), bundle_path(n, width), bundle_path(n))


def _last(size: int, level: int) -> Iterator[tuple[int, int]]:
    full, rest = divmod(size >> (HEIGHT * level), WIDTH)
    if full:
        yield full - 1, WIDTH
    if rest:
        yield full, rest


def _require_file(directory: Path, expected: bytes, name: str, whole: str) -> None:
    for each in (name, whole):  # a partial tile may be dropped once the full one is there
        try:
            content = (directory / each).read_bytes()
        except OSError:
            continue
        if content == expected or (each != name and content.startswith(expected)):
            return
        raise damaged(f"The published file {each} is not what the database has.")
    raise damaged(f"The published file {name} is missing.")
