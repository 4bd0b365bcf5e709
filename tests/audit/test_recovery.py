"""A database that is behind its published log takes the missing entries from it, or is refused and stays as it is."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from sandbox.audit.anew import export_anew, export_whole
from sandbox.audit.events import EventType, entry_leaf, read_entry
from sandbox.audit.log import Log
from sandbox.audit.note import Verifier
from sandbox.audit.recovery import Missing, missing, recover, restore
from sandbox.audit.start import require_sound
from sandbox.audit.store import log_cosignature
from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log
from sandbox.core.clock import ManualClock
from sandbox.core.database import Database, Transaction, open_engine, sqlite_url
from sandbox.core.errors import Conflict, NotFound, Tampered
from sandbox.core.keys import SigningKey, key_from_seed

ORIGIN = "exchange.example.vn/log"
CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published" / "log"


@pytest.fixture
def verifier(key: SigningKey) -> Verifier:
    return Log(ORIGIN, key).verifier


@pytest.fixture
def set_back(open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, tmp_path: Path) -> Callable[..., Engine]:
    """A database put back as it was at ``size`` entries, after ``published`` were published."""

    def set_back_(size: int, published: int) -> Engine:
        opened = open_log()
        if size:
            sell(opened, 0, size)
            export(engine, folder)
        backup = back_up(engine, tmp_path / "backup.db")
        sell(opened, size, published)
        export(engine, folder)
        return backup

    return set_back_


def back_up(engine: Engine, path: Path) -> Engine:
    """A copy of the database as it is now."""
    with closing(sqlite3.connect(str(engine.url.database))) as connection:
        connection.execute("VACUUM INTO ?", [str(path)])
    return open_engine(sqlite_url(path))


def entries(engine: Engine, log: Log) -> list[str]:
    with engine.connect() as connection:
        return [read_entry(leaf)["id"] for leaf in log.entries(connection, 0, log.head(connection).size)]


def found(engine: Engine, folder: Path, verifier: Verifier) -> Missing:
    absent = missing(engine, folder, verifier)
    assert absent
    return absent


@pytest.mark.parametrize(
    ("size", "published"), [(0, 1), (0, 256), (1, 2), (255, 256), (256, 257), (200, 300), (300, 300 + 700), (512, 514)]
)
def test_what_was_published_comes_back_and_the_log_says_so(
    set_back: Callable[..., Engine], folder: Path, key: SigningKey, vkey: str, size: int, published: int
) -> None:
    engine, log = set_back(size, published), Log(ORIGIN, key)
    kept = (folder / "checkpoint").read_bytes()
    with pytest.raises(Tampered, match=f"{published} entries were published, and the database has {size}"):
        require_sound(engine, folder, log.verifier)
    absent = found(engine, folder, log.verifier)
    assert (absent.first, absent.last) == (size, published - 1)
    assert absent.entries == {"query.completed": published - size}
    assert absent.since == absent.until == "2026-11-22T05:00:00.123456Z"
    entry = recover(engine, log, folder, absent, CLOCK)
    assert entries(engine, log) == [f"ent_{number}" for number in range(published)] + [entry]
    assert require_sound(engine, folder, log.verifier).size == published + 1
    with engine.connect() as connection:
        told = read_entry(log.find(connection, entry)[1])
    assert (told["type"], told["from"], told["to"]) == ("log.recovered", size, published - 1)
    assert missing(engine, folder, log.verifier) is None
    assert export_whole(engine, folder) == published + 1
    assert verify_log(folder, vkey, kept).size == published + 1
    engine.dispose()


def test_a_recovered_log_goes_on(
    set_back: Callable[..., Engine], sell: Sell, folder: Path, key: SigningKey, vkey: str
) -> None:
    engine, log = set_back(100, 700), Log(ORIGIN, key)
    recover(engine, log, folder, found(engine, folder, log.verifier), CLOCK)
    again = Log(ORIGIN, key)
    again.load(engine)
    with Database(engine, again) as database:
        sell((database, again), 700, 900)
        assert export_whole(engine, folder) == 901
    assert verify_log(folder, vkey).size == 901


def test_charters_and_orders_among_the_missing_are_named(
    open_log: OpenLog, engine: Engine, folder: Path, tmp_path: Path, verifier: Verifier
) -> None:
    database, _ = open_log()
    at = CLOCK.now()
    empty = back_up(engine, tmp_path / "empty.db")
    told = [(EventType.CHARTER_ADOPTED, {"digest": "sha256:c"}), (EventType.ORDER_GIVEN, {"order": "sha256:o"})]
    for number, (kind, clear) in enumerate(told):
        leaf = entry_leaf(kind, at, f"ent_{number}", clear, {})
        database.write(lambda tx, name=f"ent_{number}", leaf=leaf: tx.record(name, leaf))
    export(engine, folder)
    assert found(empty, folder, verifier).again == ("sha256:c", "sha256:o")
    empty.dispose()


# --- refusals ---
def test_nothing_is_missing_of_what_is_there(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, verifier: Verifier
) -> None:
    with pytest.raises(NotFound) as refusal:
        missing(engine, folder, verifier)
    assert refusal.value.code == "log.unpublished"
    opened = open_log()
    sell(opened, 0, 5)
    export(engine, folder)
    sell(opened, 5, 8)
    assert missing(engine, folder, verifier) is None


def test_a_database_with_entries_of_its_own_is_a_fork_and_stays_as_it_is(
    set_back: Callable[..., Engine], sell: Sell, folder: Path, key: SigningKey
) -> None:
    engine, log = set_back(100, 300), Log(ORIGIN, key)
    log.load(engine)
    with Database(engine, log) as database:
        sell((database, log), 1_000, 1_003)
    before = entries(engine, log)
    with pytest.raises(Tampered, match="not the first 103 of the published log") as refusal:
        missing(engine, folder, log.verifier)
    assert (refusal.value.code, "tell the regulator" in refusal.value.hint) == ("tampered.log", True)
    assert entries(engine, log) == before
    engine.dispose()


@pytest.mark.parametrize("name", ["tile/entries/000", "tile/entries/001.p/44", "checkpoint"])
def test_a_damaged_published_log_brings_nothing_back(
    set_back: Callable[..., Engine], folder: Path, key: SigningKey, name: str
) -> None:
    engine, log = set_back(280, 300), Log(ORIGIN, key)
    whole = (folder / name).read_bytes()
    for damage in (whole[:-1], b"", whole + b"\0\0", whole[:40] + b"X" + whole[41:], None):
        (folder / name).unlink() if damage is None else (folder / name).write_bytes(damage)
        with pytest.raises((Tampered, NotFound)) as refusal:
            missing(engine, folder, log.verifier)
        assert refusal.value.code in {"tampered.export", "log.unpublished"}
        assert "copy of the published log" in refusal.value.hint
    assert len(entries(engine, log)) == 280
    engine.dispose()


def test_a_published_log_of_another_key_brings_nothing_back(set_back: Callable[..., Engine], folder: Path) -> None:
    engine = set_back(0, 3)
    with pytest.raises(Tampered, match="not signed with this log's key"):
        missing(engine, folder, Log(ORIGIN, key_from_seed("log", b"\2" * 32)).verifier)
    engine.dispose()


# --- in the middle ---
def test_files_that_change_between_looking_and_recovering_leave_the_database_as_it_was(
    set_back: Callable[..., Engine], folder: Path, key: SigningKey
) -> None:
    engine, log = set_back(100, 600), Log(ORIGIN, key)
    absent = found(engine, folder, log.verifier)
    path = folder / "tile/entries/002.p/88"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"ent_599", b"ent_999"))
    with pytest.raises(Tampered, match="changed while they were read"):
        recover(engine, log, folder, absent, CLOCK)
    assert len(entries(engine, log)) == 100
    path.write_bytes(whole)
    recover(engine, log, folder, absent, CLOCK)
    assert len(entries(engine, log)) == 601
    engine.dispose()


def test_a_crash_after_the_entries_and_before_the_commit_leaves_the_database_as_it_was(
    set_back: Callable[..., Engine], folder: Path, key: SigningKey
) -> None:
    engine, log = set_back(100, 600), Log(ORIGIN, key)
    absent = found(engine, folder, log.verifier)
    log.load(engine)

    def crash(tx: Transaction) -> None:
        restore(tx, folder, absent, CLOCK.now())
        raise OSError("power")

    with Database(engine, log) as database, pytest.raises(OSError, match="power"):
        database.write(crash)
    assert len(entries(engine, log)) == 100
    assert found(engine, folder, log.verifier) == absent
    engine.dispose()


def test_a_database_that_was_written_to_meanwhile_is_not_recovered(
    set_back: Callable[..., Engine], sell: Sell, folder: Path, key: SigningKey
) -> None:
    engine, log = set_back(100, 600), Log(ORIGIN, key)
    absent = found(engine, folder, log.verifier)
    recover(engine, log, folder, absent, CLOCK)
    with pytest.raises(Conflict) as refusal:
        recover(engine, log, folder, absent, CLOCK)
    assert refusal.value.code == "log.moved_on"
    assert len(entries(engine, log)) == 601
    engine.dispose()


# --- anew ---
def test_damaged_files_are_published_anew_and_the_old_ones_kept(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, verifier: Verifier, vkey: str
) -> None:
    sell(open_log(), 0, 300)
    export(engine, folder)
    (folder / "tile/0/000").write_bytes(b"damaged")
    (folder / "checkpoint").write_bytes(b"damaged")
    aside = export_anew(engine, folder, verifier, "ab12")
    assert aside == folder.with_name("log.old-ab12")
    assert (aside / "checkpoint").read_bytes() == b"damaged"
    assert verify_log(folder, vkey).size == 300
    assert require_sound(engine, folder, verifier).size == 300
    assert sorted(path.name for path in folder.parent.iterdir()) == ["log", "log.old-ab12"]


def test_a_lost_folder_is_published_anew(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, verifier: Verifier
) -> None:
    sell(open_log(), 0, 300)
    export(engine, folder)
    shutil.rmtree(folder)
    assert export_anew(engine, folder, verifier, "ab12") is None
    assert require_sound(engine, folder, verifier).size == 300


@pytest.mark.parametrize("checkpoint", ["whole", "damaged", "gone"])
def test_what_others_rely_on_is_never_replaced_by_less(
    set_back: Callable[..., Engine], folder: Path, verifier: Verifier, checkpoint: str
) -> None:
    engine = set_back(100, 600)
    if checkpoint == "damaged":
        (folder / "checkpoint").write_bytes(b"damaged")
    elif checkpoint == "gone":
        (folder / "checkpoint").unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(Tampered, match="the database has 100") as refusal:
        export_anew(engine, folder, verifier, "ab12")
    assert (refusal.value.code, "sandbox log recover" in refusal.value.hint) == ("tampered.log", True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    engine.dispose()


def test_a_new_publication_never_shows_less_than_the_old_one(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, verifier: Verifier, vkey: str
) -> None:
    """The head that witnesses cosigned last is older than the one that was published."""
    opened = open_log()
    sell(opened, 0, 100)
    line = {"size": 100, "witness": "w", "line": "— w AAAA\n".encode(), "at": CLOCK.now()}
    opened[0].write(lambda tx: tx.connection.execute(log_cosignature.insert().values(line)))
    sell(opened, 100, 300)
    export_whole(engine, folder)
    kept = (folder / "checkpoint").read_bytes()
    export_anew(engine, folder, verifier, "ab12")
    assert verify_log(folder, vkey, kept).size == 300
