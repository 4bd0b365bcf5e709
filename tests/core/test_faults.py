"""When the disk fails nothing later is promised; when it is full, nothing has happened."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from sandbox.core.database import Database, Transaction, open_engine, sqlite_url
from sandbox.core.errors import Conflict, Insufficient, Unavailable

WAIT = 30
PAGES = 40
IO_ERRORS = [
    sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR,
]  # fmt: skip


class Disk(sqlite3.Connection):
    """A connection whose next COMMIT fails with a code of SQLite's, after it was carried out or before."""

    code = 0
    persists = False

    def commit(self) -> None:
        if not Disk.code:
            return super().commit()
        error = sqlite3.OperationalError("the disk failed")
        error.sqlite_errorcode, Disk.code = Disk.code, 0
        if Disk.persists:
            super().commit()
        raise error


@pytest.fixture(autouse=True)
def _sound() -> Iterator[None]:
    yield
    Disk.code = 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exchange.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    engine = open_engine(sqlite_url(path))

    def connect(dialect: Any, record: Any, arguments: Any, named: Any) -> sqlite3.Connection:
        return sqlite3.connect(*arguments, **named, factory=Disk)

    event.listen(engine, "do_connect", connect)
    with engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE note (text TEXT NOT NULL)")
    with Database(engine) as database:
        yield database


def note(text: str) -> Callable[[Transaction], str]:
    def unit(tx: Transaction) -> str:
        tx.connection.execute(sa.text("INSERT INTO note VALUES (:text)"), {"text": text})
        return text

    return unit


def notes(database: Database) -> list[str]:
    with database.read() as connection:
        return [*connection.execute(sa.text("SELECT text FROM note ORDER BY rowid")).scalars()]


def codes(database: Database, *units: Callable[[Transaction], Any]) -> list[str | None]:
    """The codes with which units of one batch fail."""
    begun, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        assert go.wait(WAIT)

    database.submit(hold)
    assert begun.wait(WAIT)
    futures = [database.submit(unit) for unit in units]
    go.set()
    return [getattr(future.exception(WAIT), "code", None) for future in futures]


def limit(pages: int) -> Callable[[Transaction], None]:
    """A disk with room for so many pages."""
    return lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()


def fails_at_commit(code: int, *, persists: bool = False) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        Disk.code, Disk.persists = code, persists

    return unit


@pytest.mark.parametrize("persists", [False, True], ids=["lost", "persisted"])
@pytest.mark.parametrize("code", IO_ERRORS)
def test_after_the_disk_failed_at_commit_nothing_more_is_written_until_a_restart(
    database: Database, path: Path, code: int, persists: bool
) -> None:
    database.write(note("before"))
    assert (
        codes(database, note("a"), fails_at_commit(code, persists=persists), note("b"))
        == ["database.outcome_unknown"] * 3
    )
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            database.write(note("later"))
        assert (refused.value.code, refused.value.exit_code) == ("database.stopped", 8)
        assert "restart" in refused.value.hint
    kept = ["before", *(["a", "b"] if persists else [])]
    assert notes(database) == kept  # reading goes on
    with Database(open_engine(sqlite_url(path))) as restarted:
        restarted.write(note("after"))
        assert notes(restarted) == [*kept, "after"]


def test_what_queued_behind_the_failed_batch_is_answered_too(database: Database) -> None:
    begun, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        assert go.wait(WAIT)
        fails_at_commit(sqlite3.SQLITE_IOERR_FSYNC)(tx)

    held = database.submit(hold)
    assert begun.wait(WAIT)
    behind = [database.submit(note(str(number))) for number in range(300)]
    go.set()
    assert getattr(held.exception(WAIT), "code", None) == "database.outcome_unknown"
    assert {getattr(future.exception(WAIT), "code", None) for future in behind} == {"database.stopped"}
    assert notes(database) == []


def test_a_disk_that_fails_before_commit_stops_the_writer_and_has_written_nothing(database: Database) -> None:
    def unreadable(tx: Transaction) -> None:
        note("half")(tx)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise Conflict("room.own", "A refusal about it.") from error

    assert codes(database, note("a"), unreadable, note("b")) == ["database.stopped"] * 3
    with pytest.raises(Unavailable) as refused:
        database.write(note("c"))
    assert refused.value.code == "database.stopped"
    assert notes(database) == []


def test_a_full_disk_undoes_its_batch_alone_and_is_written_again_once_there_is_room(database: Database) -> None:
    database.write(note("before"))
    database.write(limit(PAGES))
    large = note("x" * 4096 * PAGES)
    assert codes(database, note("a"), large, note("b")) == ["database.full"] * 3
    assert notes(database) == ["before"]
    assert database.write(note("small")) == "small"  # there is room for this one
    database.write(limit(2**30))
    database.write(large)
    assert [len(each) for each in notes(database)] == [6, 5, 4096 * PAGES]


def test_a_disk_that_is_full_at_commit_has_written_nothing_and_stops_nothing(database: Database) -> None:
    assert codes(database, note("a"), fails_at_commit(sqlite3.SQLITE_FULL), note("b")) == ["database.full"] * 3
    assert notes(database) == []
    assert codes(database, note("a"), note("b")) == [None, None]
    assert notes(database) == ["a", "b"]


def test_a_full_disk_found_while_a_batch_is_redone_lets_no_neighbour_write_without_a_transaction(
    database: Database,
) -> None:
    database.write(limit(PAGES))
    runs: list[int] = []

    def refuse(tx: Transaction) -> None:
        raise Insufficient("wallet.insufficient", "No.")

    def grows(tx: Transaction) -> None:  # only the second time, when each unit has its savepoint
        runs.append(1)
        note("y" * (4096 * PAGES if len(runs) > 1 else 1))(tx)

    assert codes(database, note("a"), grows, refuse, note("b")) == ["database.full"] * 4
    assert notes(database) == []


def test_a_unit_that_goes_on_after_sqlite_ended_its_transaction_is_not_taken_for_written(database: Database) -> None:
    def careless(tx: Transaction) -> None:
        tx.connection.connection.driver_connection.execute("ROLLBACK")  # as SQLite does by itself, when it must

    failed = codes(database, note("a"), careless, note("b"))
    assert failed[0] is None
    assert failed[2] is None
    assert notes(database) == ["a", "b"]


def test_any_other_failure_of_commit_stops_nothing(database: Database) -> None:
    assert codes(database, fails_at_commit(sqlite3.SQLITE_BUSY)) == ["database.outcome_unknown"]
    assert database.write(note("a")) == "a"
    assert notes(database) == ["a"]
