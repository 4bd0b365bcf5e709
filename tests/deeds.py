"""A log and the state it tells of, small enough to be broken a thousand times, and what must hold after each time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from sandbox.audit import index, log, store
from sandbox.audit.events import EventType, read_entry
from sandbox.audit.layout import node_of
from sandbox.audit.log import Log, guard_statements
from sandbox.audit.merkle import consistency_proof, verify_consistency
from sandbox.audit.note import Checkpoint, open_checkpoint, verifier_key
from sandbox.audit.start import require_sound
from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log
from sandbox.core.database import Database, Transaction, metadata
from sandbox.core.engines import open_engine
from sandbox.core.errors import Invalid
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import EntryId

ORIGIN = "exchange.example.vn/log"
KEY = key_from_seed("log", b"\1" * 32)
VKEY = verifier_key(ORIGIN, KEY.verify_key)
NOON = datetime(2026, 11, 22, 5, tzinfo=UTC)
OWN = sa.MetaData()  # not the house's: the migration tests compare that one with the schema
DEED = sa.Table(
    "deed", OWN, sa.Column("entry_id", sa.Text, nullable=False)
)  # only the log keeps one from doing it twice
COUNT = sa.Table("deed_count", OWN, sa.Column("value", sa.Integer, nullable=False))
_ONE_MORE, _DONE = COUNT.update().values(value=COUNT.c.value + 1), DEED.insert()
LOG_TABLES = [table for name, table in metadata.tables.items() if name.startswith("log_")]
MODULES = (index, log, store)
"""Imported for the tables that they define."""

Prepare = Callable[[Engine], None]
Unit = Callable[[Transaction], str]


@dataclass
class Deeds:
    """A database of deeds, each with its entry, and the folder where its log is published.

    ``kept`` are the checkpoints that a regulator took home; all of them bind for ever.
    """

    url: str
    folder: Path
    kept: list[bytes] = field(default_factory=list)

    def found(self) -> "Deeds":
        """Make the tables, guarded as the migrations guard them."""
        engine = open_engine(self.url)
        with engine.execution_options(writes=True).begin() as connection:
            metadata.create_all(connection, tables=LOG_TABLES)
            OWN.create_all(connection)
            connection.execute(COUNT.insert().values(value=0))
            for statement in guard_statements(engine.dialect.name):
                connection.exec_driver_sql(statement)
        engine.dispose()
        return self

    @contextmanager
    def opened(self, prepare: Prepare = lambda engine: None) -> Iterator[tuple[Database, Log]]:
        """Open it as the exchange does: the log is taken up and compared with what was published."""
        engine, mine = open_engine(self.url), Log(ORIGIN, KEY)
        prepare(engine)
        try:
            mine.load(engine)
            if (
                self.folder / "checkpoint"
            ).exists():  # making an exchange publishes its first entries; here a test does
                require_sound(engine, self.folder, mine.verifier)
        except BaseException:
            engine.dispose()
            raise
        with Database(engine, mine) as database:
            yield database, mine

    def do(self, *names: str) -> "Deeds":
        """Deeds in one unit, answered."""
        with self.opened() as (database, mine):
            for name in names[:-1]:
                database.submit(deed(mine, name))
            database.write(deed(mine, names[-1]))
        return self

    def publish(self) -> int:
        """Bring the files up to the database."""
        engine = open_engine(self.url)
        try:
            return export(engine, self.folder)
        finally:
            engine.dispose()

    def names(self) -> list[str]:
        """The ids of all entries, in the order of the log."""
        with self.opened() as (database, _), database.read() as connection:
            return entry_names(connection)

    def judge(self, done: Sequence[str] = (), in_doubt: Sequence[str] = (), *, after: Sequence[str] = ()) -> list[str]:
        """Assert that it is whole: answers the names in it. ``done`` was answered, ``in_doubt`` may have been.

        ``after`` are deeds to do first, to see that it goes on.
        """
        with self.opened() as (database, mine):
            for name in after:
                database.write(deed(mine, name))
            with database.read() as connection:
                names = entry_names(connection)
                _state_stands_with_entries(connection, names)
                self._one_history(connection)
            self._published(export(database.engine, self.folder))
        assert len(names) == len({*names}), "an entry stands twice"
        assert not {*done, *after} - {*names}, "an answered deed is lost"
        assert not {*names} - {*done, *in_doubt, *after}, "a deed is there that nobody asked for, or that was refused"
        return names

    def _one_history(self, connection: Connection) -> None:
        """Every checkpoint ever signed is a prefix of the newest."""
        head = store.newest_head(connection)
        node = node_of(head.size, store.tile_reader(connection))
        seen = opened(self.kept[-1]).size if self.kept else 0  # those before were judged by then
        heads = [*connection.execute(sa.select(store.log_head.c.note).where(store.log_head.c.size >= seen)).scalars()]
        for old in (opened(note) for note in (*heads, *self.kept)):
            assert old.size <= head.size, "a signed checkpoint promises more than there is"
            proof = consistency_proof(old.size, head.size, node)
            assert verify_consistency(old.size, head.size, proof, old.root, head.root), "the log has forked"

    def _published(self, size: int) -> None:
        left = [path for path in self.folder.rglob("*.tmp") if not path.parent.name.endswith(".p")]
        assert left == [], "a leftover outlives the export that writes its file"  # an open tile's goes when it is full
        if size:
            verdict = verify_log(self.folder, VKEY, self.kept[-1] if self.kept else None)
            assert verdict.size == size
            self.kept.append((self.folder / "checkpoint").read_bytes())


def opened(note: bytes) -> Checkpoint:
    """A checkpoint that our log signed."""
    return open_checkpoint(note, log.Verifier(ORIGIN, log.ED25519_NOTE, KEY.verify_key))


def entry_names(connection: Connection) -> list[str]:
    """The ids of all entries, as the leaves tell them."""
    size = store.newest_head(connection).size
    return [read_entry(leaf)["id"] for leaf in store.leaves(connection, 0, size)]


def _state_stands_with_entries(connection: Connection, names: Sequence[str]) -> None:
    rows = [*connection.execute(sa.select(DEED.c.entry_id)).scalars()]
    assert sorted(rows) == sorted(names), "there is a deed without its entry, or an entry without its deed"
    assert connection.scalar(sa.select(COUNT.c.value)) == len(rows), "a deed was counted twice, or never"
    sealed = [*connection.execute(sa.select(store.log_body.c.entry_id)).scalars()]
    assert sorted(sealed) == sorted(names), "a sealed body is there twice, or not at all"


def deed(mine: Log, name: str, at: datetime = NOON, *, refuse: bool = False) -> Unit:
    """A unit that changes the state, and says so on the record; to be refused after it has done both, if so told."""

    def unit(tx: Transaction) -> str:
        tx.connection.execute(_ONE_MORE)
        tx.connection.execute(_DONE, {"entry_id": name})
        mine.record(tx, EventType.QUERY_FAILED, at, entry_id=EntryId(name), clear={}, sealed={"sql": "SELECT 1"})
        if refuse:
            raise Invalid("test.refused", "No.")
        return name

    return unit
