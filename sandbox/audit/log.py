"""The log: entries become leaves of a Merkle tree in the transaction of the state they tell of."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from sandbox.audit import store
from sandbox.audit.events import SALT_BYTES, EventType, entry_leaf, seal
from sandbox.audit.layout import LARGEST_LEAF
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import ED25519_NOTE, Checkpoint, Verifier, open_checkpoint, sign_note
from sandbox.audit.store import Head, guard_statements, log_body, log_entry, log_head, log_tile
from sandbox.audit.tree import Tree
from sandbox.core.canonical import Json, canonical
from sandbox.core.clock import Clock, SystemClock
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound, SandboxError
from sandbox.core.keys import SigningKey
from sandbox.core.terms import EntryId

__all__ = ["Head", "Log", "guard_statements"]

_LOCK: Final = 7_263_983


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
        if connection.dialect.name == "postgresql":  # taken last, so it never waits while holding what others wait for
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        tree = self._tree
        head = store.newest_head(connection)
        if (head.size, head.root) != (tree.size, tree.root):  # another process appended, or a COMMIT's outcome was lost
            tree = self._stored(connection, head)
        grown, tiles = tree.appended(leaf_hash(leaf) for _, leaf in leaves)
        rows = [{"idx": idx, "entry_id": name, "leaf": leaf} for idx, (name, leaf) in enumerate(leaves, tree.size)]
        _insert(connection, log_entry, rows)
        if tiles:
            columns = ("level", "n", "hashes", "root")
            connection.execute(log_tile.insert(), [{name: getattr(tile, name) for name in columns} for tile in tiles])
        note = sign_note(Checkpoint(self.verifier.name, grown.size, grown.root).text, self.verifier.name, self._key)
        now = self._clock.now()
        connection.execute(log_head.insert(), {"size": grown.size, "root": grown.root, "note": note, "at": now})
        return grown

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
        """Put an event on the record with this transaction.

        Raises:
            Invalid: ``log.leaf_too_large``, ``log.entry_malformed`` or ``document.malformed``; nothing is written.
            Conflict: ``entry.exists`` here or at the commit, when an entry of that id is in the log: a unit whose
                outcome was unknown, and which is tried again, was committed after all.
        """
        bodies = [(name, secrets.token_bytes(SALT_BYTES), canonical(value)) for name, value in (sealed or {}).items()]
        leaf = entry_leaf(kind, at, entry_id, clear, {name: seal(name, salt, value) for name, salt, value in bodies})
        if bodies:
            rows = [{"entry_id": entry_id, "name": name, "salt": salt, "value": value} for name, salt, value in bodies]
            _insert(tx.connection, log_body, rows)
        tx.record(entry_id, leaf)

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


def _insert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    try:
        connection.execute(table.insert(), rows)
    except sa.exc.IntegrityError:
        raise Conflict(
            "entry.exists", "That entry is in the log already.", hint="Read it before trying again."
        ) from None
