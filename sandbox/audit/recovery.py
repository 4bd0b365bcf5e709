"""Bringing the log's database and its published files together again, after one of them was lost or put back older.

What was published can be relied on by others, so it always wins: a database that is behind takes the missing entries
from the published bundles, which hold whole entries, and the signed checkpoint with them. Nothing is signed for that.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Engine

from sandbox.audit import store
from sandbox.audit.events import EventType, read_entry
from sandbox.audit.layout import WIDTH, tiles_of
from sandbox.audit.log import Log
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import Checkpoint, Verifier, b64, open_checkpoint, unverified
from sandbox.audit.replay import Exported
from sandbox.audit.source import Folder
from sandbox.audit.start import require_whole, snapshot
from sandbox.audit.store import Head
from sandbox.audit.tiles import FORK, checkpoint_in, published
from sandbox.audit.tree import Tree
from sandbox.core.clock import Clock, new_id
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound, Tampered, Unavailable
from sandbox.core.terms import EntryId

_AGAIN: Final[Mapping[str, str]] = {EventType.CHARTER_ADOPTED: "digest", EventType.ORDER_GIVEN: "order"}
"""What is in force only once its signed document is handed in again, and the member of its entry that names it."""
COPY: Final = "Put back a whole copy of the published log (a regulator has one) and try again."


@dataclass(frozen=True, slots=True)
class Missing:
    """What was published and is not in the database: the entries ``first`` to ``last``, both inclusive.

    ``since`` and ``until`` are the times that the first and the last of them state; ``again`` are the digests of the
    charters and orders among them, which must be handed in again to be in force.
    """

    first: int
    last: int
    root: bytes
    promise: Checkpoint
    note: bytes
    entries: Mapping[str, int]
    since: str
    until: str
    again: tuple[str, ...]


def missing(engine: Engine, directory: Path, log: Verifier) -> Missing | None:
    """What the database lacks of the published log, which is verified from entry 0; None when it lacks nothing.

    Raises:
        NotFound: ``log.unpublished`` when there is no published log.
        Tampered: ``tampered.log`` when the database is damaged, or its own entries are others than the published ones:
            then neither can be made of the other; ``tampered.export`` when the published log is damaged or another's.
    """
    content = checkpoint_in(directory)
    if content is None:
        raise NotFound("log.unpublished", "There is no published log to recover from.", hint=COPY)
    promise, note = _promise(content, log)
    with snapshot(engine) as connection:
        head = require_whole(connection, log)
        if promise.size <= head.size:
            published(connection, content)
            return None
    return _counted(directory, head, promise, note)


def _promise(content: bytes, log: Verifier) -> tuple[Checkpoint, bytes]:
    """The published checkpoint, and its note as this log signed it, without what others added."""
    try:
        promise = open_checkpoint(content, log)
    except (Invalid, Tampered):
        raise _damaged("The published checkpoint is damaged, or not signed with this log's key.") from None
    text, signatures = unverified(content)
    own = next(blob for name, blob in signatures if (name, blob[:4]) == (log.name, log.id))
    return promise, f"{text}\n— {log.name} {b64(own)}\n".encode()


def _counted(directory: Path, head: Head, promise: Checkpoint, note: bytes) -> Missing:
    """Read everything once: the root proves each entry, and the root at the database's size that it is a beginning."""
    tree, before, seen = Tree(), Tree(), _Seen()
    for start, leaves in _bundles(directory, promise.size):
        cut = max(0, head.size - start)
        if start <= head.size < start + len(leaves):
            before, _ = tree.appended(map(leaf_hash, leaves[:cut]))
        tree, _ = tree.appended(map(leaf_hash, leaves))
        for leaf in leaves[cut:]:
            seen.add(leaf)
    if tree.root != promise.root:
        raise _damaged("The published entries do not have the root that the published checkpoint states.")
    if before.root != head.root:
        sentence = f"The {head.size} entries of the database are not the first {head.size} of the published log."
        raise Tampered(
            "tampered.log", sentence, hint=f"{FORK} Trade only on a database that continues the published log."
        )
    return Missing(
        head.size, promise.size - 1, head.root, promise, note, dict(sorted(seen.entries.items())),
        seen.since, seen.until, tuple(seen.again),
    )  # fmt: skip


class _Seen:
    """What the missing entries are."""

    def __init__(self) -> None:
        self.entries: Counter[str] = Counter()
        self.since = self.until = ""
        self.again: list[str] = []

    def add(self, leaf: bytes) -> None:
        entry = read_entry(leaf)
        kind, at = entry["type"], entry["ts"]
        self.entries[kind] += 1
        self.since, self.until = min(self.since or at, at), max(self.until, at)
        if kind in _AGAIN:
            self.again.append(str(entry[_AGAIN[kind]]))


def _bundles(directory: Path, size: int, done: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Each bundle with the index of its first entry, from that on in which the entry ``done`` stands."""
    files = Exported(Folder(directory))
    for n, width in tiles_of(size, 0, done):
        yield n * WIDTH, _bundle(files, n, width)


def _bundle(files: Exported, n: int, width: int) -> list[bytes]:
    try:
        return files.leaves(n, width)
    except (Tampered, Unavailable) as error:
        raise _damaged(f"Of the published log: {error.message}") from None


def restore(tx: Transaction, directory: Path, found: Missing, at: datetime) -> None:
    """Put the missing entries, their tiles and the published head into the database, with this transaction.

    Raises:
        Conflict: ``log.moved_on`` when the database is not the one any more in which they were missing.
        Tampered: ``tampered.export`` when the published files changed meanwhile.
    """
    head = store.newest_head(tx.connection)
    if (head.size, head.root) != (found.first, found.root):
        raise Conflict(
            "log.moved_on", "The database was written to meanwhile.", hint="Stop the exchange and try again."
        )
    tree = store.stored_tree(tx.connection, head.size)
    for start, leaves in _bundles(directory, found.promise.size, head.size):
        first = max(start, head.size)
        rows = [(index, read_entry(leaf)["id"], leaf) for index, leaf in enumerate(leaves, start) if index >= first]
        tree, tiles = tree.appended(leaf_hash(leaf) for _, _, leaf in rows)
        store.ADD_ENTRY.insert(tx.connection, rows)
        if tiles:
            store.ADD_TILE.insert(tx.connection, [(tile.level, tile.n, tile.hashes, tile.root) for tile in tiles])
    if tree.root != found.promise.root:
        raise _damaged("The published entries changed while they were read.")
    store.ADD_HEAD.insert(tx.connection, [(found.promise.size, tree.root, found.note, at)])


def recover(engine: Engine, log: Log, directory: Path, found: Missing, clock: Clock) -> EntryId:
    """Bring the missing entries back and say so in a new entry, all in one transaction; answers that entry's id.

    Only the log comes back: what those entries did to wallets, agreements and so on is not in it.

    Raises:
        Conflict, Tampered: as :func:`restore`; then the database is as it was.
    """
    log.load(engine)
    entry, at = EntryId(new_id("ent", clock)), clock.now()

    def write(tx: Transaction) -> None:
        restore(tx, directory, found, at)
        log.record(tx, EventType.LOG_RECOVERED, at, entry_id=entry, clear={"from": found.first, "to": found.last})

    with Database(engine, log) as database:
        database.write(write)
    return entry


def _damaged(what: str) -> Tampered:
    # not the hint to publish anew: the files may be all that is left of these entries
    return Tampered("tampered.export", what, hint=COPY)
