"""The log on each kind of database: groups, faults, crashes, two writers, append-only tables."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from sandbox.audit.events import EventType, read_entry, seal
from sandbox.audit.log import Log
from sandbox.audit.receipt import receipt
from sandbox.audit.store import log_entry, log_head, log_tile
from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log, verify_receipt
from sandbox.core.canonical import canonical
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound, Tampered, Unavailable
from sandbox.core.keys import SigningKey
from sandbox.core.terms import EntryId

ORIGIN = "exchange.example.vn/log"
NOON = datetime(2026, 11, 22, 5, tzinfo=UTC)
Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
Note = Callable[..., None]
Ids = Callable[[Opened], list[str]]
Forge = Callable[..., None]
Together = Callable[..., list[BaseException | None]]


@pytest.fixture
def log_url(database_url: str) -> str:
    return database_url


# --- the golden log, through the database ---


def test_the_database_signs_the_golden_checkpoint(open_log: OpenLog) -> None:
    database, log = open_log()
    leaves = [database.submit(lambda tx, name=str(number): tx.record(name, name.encode())) for number in range(257)]
    leaves[-1].result()
    with database.read() as connection:
        head = log.head(connection)
    assert head.note.decode() == (
        "exchange.example.vn/log\n257\nHtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=\n\n— exchange.example.vn/log "
        "snHBUtHwXMdHqLVXBWsL3+o1AHw7a5jMUB7Dk5QFSNoMmzPpyu7u4NRYTkJDhZRhLdRkzDN1CAjUw+doL7/9HtfDDww=\n"
    )


def test_an_entry_is_found_with_its_bodies(open_log: OpenLog, note: Note) -> None:
    opened = database, log = open_log()
    note(opened, "ent_0")
    note(opened, "ent_1", sql="SELECT 1", actor="cong-ty-fintech")
    with database.read() as connection:
        index, leaf = log.find(connection, "ent_1")
        bodies = log.bodies(connection, "ent_1")
    entry = read_entry(leaf)
    assert (index, entry["type"], entry["ts"]) == (1, "query.failed", "2026-11-22T05:00:00.123456Z")
    assert entry["sealed"] == {name: seal(name, salt, canonical(value)) for name, (salt, value) in bodies.items()}
    assert {name: value for name, (_, value) in bodies.items()} == {"sql": "SELECT 1", "actor": "cong-ty-fintech"}
    assert b"SELECT" not in leaf
    assert b"fintech" not in leaf


# --- groups ---


def test_a_failing_unit_takes_no_other_with_it(open_log: OpenLog, ids: Ids, together: Together) -> None:
    opened = database, log = open_log()

    def unit(number: int) -> Callable[[Transaction], None]:
        def write(tx: Transaction) -> None:
            log.record(
                tx, EventType.QUERY_FAILED, NOON, entry_id=EntryId(f"ent_{number}"), clear={}, sealed={"sql": "x"}
            )
            if number % 3 == 0:
                raise Invalid("test.refused", "No.")

        return write

    failures = together(database, *map(unit, range(9)))
    assert [getattr(failure, "code", None) for failure in failures] == ["test.refused", None, None] * 3
    assert ids(opened) == [f"ent_{number}" for number in range(9) if number % 3]
    with database.read() as connection:
        assert log.bodies(connection, "ent_0") == {}


@pytest.mark.parametrize("sealed", [{}, {"sql": "x"}], ids=["clear", "sealed"])
def test_of_two_units_with_one_entry_the_second_is_refused_and_their_neighbours_live(
    open_log: OpenLog, ids: Ids, together: Together, sealed: dict[str, str]
) -> None:
    opened = database, log = open_log()

    def unit(name: str) -> Callable[[Transaction], None]:
        return lambda tx: log.record(tx, EventType.QUERY_FAILED, NOON, entry_id=EntryId(name), clear={}, sealed=sealed)

    failures = together(database, *map(unit, ["ent_0", "ent_1", "ent_1", "ent_2"]))
    assert [getattr(failure, "code", None) for failure in failures] == [None, None, "entry.exists", None]
    assert ids(opened) == ["ent_0", "ent_1", "ent_2"]


# --- faults ---


def test_a_commit_that_fails_and_is_lost_may_be_tried_again(open_log: OpenLog, note: Note, ids: Ids) -> None:
    opened = database, _ = open_log()
    note(opened, "ent_0")
    broken = [True]

    def lose(connection: Any) -> None:
        if broken and connection.get_execution_options().get("writes"):
            broken.clear()
            connection.invalidate()
            raise OSError("connection lost")

    event.listen(database.engine, "commit", lose)
    with pytest.raises(Unavailable) as failure:
        note(opened, "ent_1", sql="x")
    assert (failure.value.code, ids(opened)) == ("database.outcome_unknown", ["ent_0"])
    note(opened, "ent_1", sql="x")
    assert ids(opened) == ["ent_0", "ent_1"]


class _Forgetful(Log):
    """Loses the connection after COMMIT, once: the caller is told of a failure and the entry is there."""

    lost = 0

    def after_commit(self, grown: object) -> None:
        if grown and not self.lost:
            self.lost = 1
            raise OSError("connection lost")
        super().after_commit(grown)


def test_a_commit_that_fails_and_persists_is_not_done_twice(
    open_log: OpenLog, key: SigningKey, note: Note, ids: Ids
) -> None:
    opened = open_log(_Forgetful(ORIGIN, key))
    with pytest.raises(Unavailable) as failure:
        note(opened, "ent_0")
    assert failure.value.code == "database.outcome_unknown"
    with pytest.raises(Conflict) as again:
        note(opened, "ent_0")
    assert again.value.code == "entry.exists"
    note(opened, "ent_1")
    assert ids(opened) == ["ent_0", "ent_1"] == ids(open_log())


def test_two_writers_on_one_database_take_turns(open_log: OpenLog, note: Note, ids: Ids) -> None:
    pair = open_log(), open_log()

    def write(opened: Opened, name: str) -> None:
        for number in range(40):
            note(opened, f"{name}_{number}", sql="x")

    threads = [threading.Thread(target=write, args=(opened, name)) for opened, name in zip(pair, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = ids(pair[0])
    for name in "ab":
        assert [each for each in seen if each[0] == name] == [f"{name}_{number}" for number in range(40)]
    assert seen == ids(open_log())


WRITER = """
import sys
from datetime import UTC, datetime
from sandbox.audit.events import EventType
from sandbox.audit.log import Log
from sandbox.core.database import Database, open_engine
from sandbox.core.keys import key_from_seed
engine, log = open_engine(sys.argv[1]), Log("exchange.example.vn/log", key_from_seed("log", b"\\1" * 32))
log.load(engine)
database, at = Database(engine, log), datetime(2026, 11, 22, tzinfo=UTC)
for number in range(100_000):
    name = f"{sys.argv[2]}_{number}"
    database.write(lambda tx: log.record(tx, EventType.QUERY_FAILED, at, entry_id=name, clear={}, sealed={"sql": "x"}))
    print(name, flush=True)
"""


def test_no_acknowledged_entry_is_lost_when_the_writer_is_killed(open_log: OpenLog, engine: Engine, ids: Ids) -> None:
    acknowledged: list[str] = []
    for turn in range(2):
        url = engine.url.render_as_string(hide_password=False)
        command = [sys.executable, "-c", WRITER, url, f"turn{turn}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            acknowledged += [writer.stdout.readline().strip() for _ in range(80)]
            writer.kill()
            acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
        found = ids(open_log())
        assert [name for name in acknowledged if name not in found] == []
        assert len(found) <= len(acknowledged) + turn + 1


@pytest.mark.parametrize("table", [log_entry, log_tile, log_head], ids=lambda table: table.name)
def test_nobody_updates_deletes_or_replaces_a_row_of_the_log(
    guarded: Engine, open_log: OpenLog, sell: Sell, table: sa.Table, ids: Ids, forge: Forge
) -> None:
    opened = open_log()
    sell(opened, 0, 300)
    column = table.primary_key.columns.values()[0]
    changes = [table.update().values({column: column + 1000}), table.delete()]
    if guarded.dialect.name == "sqlite":
        changes.append(sa.text(f"INSERT OR REPLACE INTO {table.name} SELECT * FROM {table.name}"))
    else:
        changes.append(sa.text(f"TRUNCATE {table.name}"))
    for change in changes:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            forge(change)
    sell(opened, 300, 600)
    assert len(ids(opened)) == 600


# --- erasure ---


def test_erasing_a_body_leaves_the_tree_and_says_so(open_log: OpenLog, note: Note) -> None:
    opened = database, log = open_log()
    note(opened, "ent_0", sql="SELECT 1", actor="cong-ty-fintech")

    def erase(tx: Transaction) -> None:
        names, basis = ["actor"], "Luật 91/2025/QH15, Điều 14"
        log.erase(tx, NOON, entry_id=EntryId("ent_1"), erased=EntryId("ent_0"), names=names, basis=basis)

    with database.read() as connection:
        before = log.find(connection, "ent_0")
    database.write(erase)
    with database.read() as connection:
        assert log.find(connection, "ent_0") == before
        assert log.bodies(connection, "ent_0").keys() == {"sql"}
        told = read_entry(log.find(connection, "ent_1")[1])
    assert (told["type"], told["entry"], told["names"]) == ("body.erased", "ent_0", ["actor"])
    with pytest.raises(NotFound) as refusal:
        database.write(erase)
    assert refusal.value.code == "body.unknown"


# --- published ---


def test_what_was_committed_is_published_and_verified(
    open_log: OpenLog, sell: Sell, engine: Engine, tmp_path: Path, key: SigningKey, vkey: str
) -> None:
    opened = database, log = open_log()
    sell(opened, 0, 300)
    assert export(engine, tmp_path / "log") == 300
    sell(opened, 300, 520)
    assert export(engine, tmp_path / "log") == 520
    verdict = verify_log(tmp_path / "log", vkey)
    assert (verdict.size, verdict.totals.count, verdict.totals.vnd) == (520, 520, sum(range(520)))
    with database.read() as connection:
        for number in (0, 255, 256, 519):
            found = verify_receipt(receipt(connection, log, f"ent_{number}", key), vkey, signers=[key.verify_key])
            assert (found.index, found.size, found.revealed["sql"]) == (number, 520, f"SELECT {number}")


@pytest.mark.parametrize("table", [log_entry, log_head], ids=lambda table: table.name)
def test_an_altered_database_is_not_opened(open_log: OpenLog, sell: Sell, forge: Forge, table: sa.Table) -> None:
    sell(open_log(), 0, 5)
    column = table.columns.values()[2]
    forge(table.update().values({column: b"{}"}))
    with pytest.raises(Tampered) as refusal:
        open_log()
    assert refusal.value.code == "tampered.log"
