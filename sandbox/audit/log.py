"""The log: entries become leaves of a Merkle tree in the transaction of the state they tell of."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from sandbox.audit import store
from sandbox.audit.events import SALT_BYTES, EventType, entry_leaf, seal
from sandbox.audit.layout import LARGEST_LEAF
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import ED25519_NOTE, Checkpoint, Verifier, open_checkpoint, signature_line
from sandbox.audit.store import Head, guard_statements, log_body, log_entry
from sandbox.audit.tree import Tree
from sandbox.core.canonical import Json, canonical
from sandbox.core.clock import Clock, SystemClock
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, NotFound, SandboxError
from sandbox.core.keys import SigningKey
from sandbox.core.statements import Values
from sandbox.core.terms import EntryId

__all__ = ["Entry", "Head", "Log", "guard_statements", "written_down"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that is ready for the log: its leaf, and the rows of what it seals."""

    id: EntryId
    leaf: bytes
    bodies: tuple[Values, ...]


def written_down(
    kind: EventType,
    at: datetime,
    *,
    entry_id: EntryId,
    clear: Mapping[str, Json],
    sealed: Mapping[str, Json] | None = None,
) -> Entry:
    """Make an entry, outside of any transaction: the writer has one thread, and its units may run twice.

    Raises:
        Invalid: ``log.leaf_too_large``, ``log.entry_malformed`` or ``document.malformed``.
    """
    bodies, seals = _sealed(entry_id, sealed or {})
    return Entry(entry_id, entry_leaf(kind, at, entry_id, clear, seals), bodies)


class Log:
    """The log of one exchange, under its own Ed25519 key; the :class:`~sandbox.core.database.Seal` of its database.

    ``origin`` is its name in every checkpoint. Reading takes a connection and may happen on any thread.
    """

    def __init__(self, origin: str, key: SigningKey, clock: Clock | None = None) -> None:
        self.verifier: Final = Verifier(origin, ED25519_NOTE, key.verify_key)
        self._key = key
        self._clock = clock or SystemClock()
        self._tree = Tree()

    # --- the seal: on the writer thread, around its COMMIT ---

    def load(self, engine: Engine) -> None:
        """Take up the log where the database ends.

        Raises:
            Tampered: ``tampered.log`` when entries, tree and signed head disagree.
        """
        with engine.connect() as connection:
            self._tree = self._stored(connection, store.newest_head(connection))

    def before_commit(self, connection: Connection, leaves: list[tuple[str, bytes]]) -> Tree | None:
        """Write the batch's leaves, the tiles they fill and the signed head."""
        if not leaves:
            return None
        if max(len(leaf) for _, leaf in leaves) > LARGEST_LEAF:  # it could never be published
            raise Invalid("log.leaf_too_large", f"A leaf has more than {LARGEST_LEAF} bytes.")
        tree = self._tree  # the writers of a database take turns from BEGIN on, so what is read here stays the newest
        head = store.newest_head(connection)
        if (head.size, head.root) != (tree.size, tree.root):  # another process appended, or a COMMIT's outcome was lost
            tree = self._stored(connection, head)
        grown, tiles = tree.appended(leaf_hash(leaf) for _, leaf in leaves)
        store.ADD_ENTRY.insert(connection, [(idx, name, leaf) for idx, (name, leaf) in enumerate(leaves, tree.size)])
        if tiles:
            store.ADD_TILE.insert(connection, [(tile.level, tile.n, tile.hashes, tile.root) for tile in tiles])
        root = grown.root
        store.ADD_HEAD.insert(connection, [(grown.size, root, self._note(grown.size, root), self._clock.now())])
        return grown

    def _note(self, size: int, root: bytes) -> bytes:
        text = Checkpoint(self.verifier.name, size, root).text.encode()
        return text + b"\n" + signature_line(self.verifier, self._key.sign(text))

    def after_commit(self, grown: object) -> None:
        """Adopt the tree that is now durable."""
        if isinstance(grown, Tree):
            self._tree = grown

    def after_failure(self) -> None:
        """Nothing was adopted; the next batch compares with the stored head before it signs."""

    def _stored(self, connection: Connection, head: Head) -> Tree:
        if self._tree.size:  # never sign a checkpoint that contradicts one of ours: a backup may have been restored
            before = store.head_at(connection, self._tree.size)
            if before.root != self._tree.root:
                raise store.disagrees("The database holds another history than the log already signed.")
        tree = store.stored_tree(connection, head.size)
        if tree.root != head.root:
            raise store.disagrees("The log's entries do not have the root that its head states.")
        if head.size and self._signed(head.note) != Checkpoint(self.verifier.name, head.size, head.root):
            raise store.disagrees("The log's head is not what its key signed.")
        return tree

    def _signed(self, note: bytes) -> Checkpoint | None:
        try:
            return open_checkpoint(note, self.verifier)
        except SandboxError:
            return None

    # --- writing, inside a unit ---

    def record(
        self,
        tx: Transaction,
        kind: EventType,
        at: datetime,
        *,
        entry_id: EntryId,
        clear: Mapping[str, Json],
        sealed: Mapping[str, Json] | None = None,
    ) -> None:
        """Put an event on the record with this transaction; see :func:`written_down` and :meth:`add`."""
        self.add(tx, written_down(kind, at, entry_id=entry_id, clear=clear, sealed=sealed))

    def add(self, tx: Transaction, entry: Entry) -> None:
        """Put an entry on the record with this transaction.

        Raises:
            Conflict: ``entry.exists``, here or at the commit, when an entry of that id is in the log: a unit whose
                outcome was unknown, and which is tried again, was committed after all.
        """
        tx.record(entry.id, entry.leaf)
        if entry.bodies:
            tx.put(store.ADD_BODY, *entry.bodies)

    def erase(
        self, tx: Transaction, at: datetime, *, entry_id: EntryId, erased: EntryId, names: Sequence[str], basis: str
    ) -> None:
        """Delete sealed values of the entry ``erased`` and say so in a new entry; every proof stays valid.

        Raises:
            NotFound: ``body.unknown`` when one of them is not there.
        """
        which = sa.and_(log_body.c.entry_id == erased, log_body.c.name.in_(names))
        if tx.connection.execute(log_body.delete().where(which)).rowcount != len(set(names)):
            raise NotFound("body.unknown", f"Entry {erased} does not hold all of those values.")
        clear: dict[str, Json] = {"entry": erased, "names": [*sorted(set(names))], "basis": basis}
        self.record(tx, EventType.BODY_ERASED, at, entry_id=entry_id, clear=clear)

    # --- reading ---

    def head(self, connection: Connection) -> Head:
        """Size, root and signed checkpoint of the last commit."""
        return store.newest_head(connection)

    def entries(self, connection: Connection, start: int, stop: int) -> list[bytes]:
        """The leaves ``start`` to ``stop``, in order."""
        return store.leaves(connection, start, stop)

    def find(self, connection: Connection, entry_id: str) -> tuple[int, bytes]:
        """Index and leaf of an entry.

        Raises:
            NotFound: ``entry.unknown``.
        """
        found = sa.select(log_entry.c.idx, log_entry.c.leaf).where(log_entry.c.entry_id == entry_id)
        row = connection.execute(found).one_or_none()
        if row is None:
            raise NotFound("entry.unknown", f"No entry {entry_id[:40]!r} in the log.", hint="Check the id.")
        return row.idx, row.leaf

    def bodies(self, connection: Connection, entry_id: str) -> dict[str, tuple[bytes, Json]]:
        """Salt and value of each sealed member of an entry, but for those that were erased."""
        found = sa.select(log_body.c.name, log_body.c.salt, log_body.c.value).where(log_body.c.entry_id == entry_id)
        rows = connection.execute(found.order_by(log_body.c.name))
        return {row.name: (row.salt, orjson.loads(row.value)) for row in rows}


def _sealed(entry_id: EntryId, sealed: Mapping[str, Json]) -> tuple[tuple[Values, ...], dict[str, str]]:
    """The rows of an entry's sealed values, each with a salt of its own, and what the log holds in their place."""
    salts, bodies, seals = secrets.token_bytes(SALT_BYTES * len(sealed)), [], {}
    for number, (name, value) in enumerate(sealed.items()):
        salt, content = salts[SALT_BYTES * number : SALT_BYTES * (number + 1)], canonical(value)
        bodies.append((entry_id, name, salt, content))
        seals[name] = seal(name, salt, content)
    return tuple(bodies), seals
