"""One suite for SQLite and PostgreSQL: what is answered is durable, and a unit that fails fails alone."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from sandbox.core.database import Database, NoSeal, Transaction, open_engine, sqlite_url
from sandbox.core.errors import Conflict, Insufficient, Unavailable

Add = Callable[..., Callable[[Transaction], int]]
Stored = Callable[[], tuple[int, set[str]]]
WAIT = 30
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def refuse(tx: Transaction) -> None:
    """A unit that writes, records, and is then refused."""
    tx.connection.exec_driver_sql("UPDATE counter SET value = value + 1000")
    tx.record("refused", b"leaf")
    raise Insufficient("wallet.insufficient", "No.")


@contextmanager
def one_batch(database: Database) -> Iterator[Callable[[Callable[[Transaction], Any]], Future[Any]]]:
    """Whatever is submitted inside comes to the writer as one batch."""
    begun, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        assert go.wait(WAIT)

    held = database.submit(hold)
    assert begun.wait(WAIT)
    try:
        yield database.submit
    finally:
        go.set()
    held.result(WAIT)


# --- what a unit gets ---


def test_a_units_result_is_answered_and_its_writes_are_there(database: Database, add: Add, stored: Stored) -> None:
    assert database.write(add(3, "e1")) == 3
    assert stored() == (3, {"e1"})


def test_what_a_unit_raises_reaches_its_caller_alone(database: Database, add: Add, stored: Stored) -> None:
    with pytest.raises(Insufficient) as refused:
        database.write(refuse)
    assert refused.value.code == "wallet.insufficient"
    assert stored() == (0, set())
    assert database.write(add(1)) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_nothing_that_a_unit_raises_stops_the_writer(
    database: Database, add: Add, kind: type[BaseException], stored: Stored
) -> None:
    def unit(tx: Transaction) -> None:
        raise kind

    with one_batch(database) as submit:
        futures = [submit(add(1, "e1")), submit(unit), submit(add(2, "e2"))]
    assert isinstance(futures[1].exception(WAIT), kind)
    assert stored() == (3, {"e1", "e2"})


def test_an_exception_may_also_be_a_result(database: Database) -> None:
    answer = Conflict("a.b", "A value like any other.")
    assert database.write(lambda _: answer) is answer


def test_units_run_in_the_order_of_their_coming(database: Database, tables: dict[str, Any]) -> None:
    with one_batch(database) as submit:
        futures = [submit(lambda tx, n=n: tx.record(f"e{n:03}", b"")) for n in range(300)]
    for future in futures:
        future.result(WAIT)
    with database.read() as connection:
        leaf = tables["leaf"]
        entries = [*connection.execute(sa.select(leaf.c.entry).order_by(leaf.c.number)).scalars()]
    assert entries == sorted(entries)
    assert len(entries) == 300


def test_a_unit_sees_what_its_neighbours_wrote(database: Database, add: Add, tables: dict[str, Any]) -> None:
    def read(tx: Transaction) -> int:
        value: int = tx.connection.execute(sa.select(tables["counter"].c.value)).scalar_one()
        return value

    with one_batch(database) as submit:
        submit(add(5))
        seen = submit(read)
    assert seen.result(WAIT) == 5


def test_a_cancelled_unit_is_not_run(database: Database, add: Add, stored: Stored) -> None:
    with one_batch(database) as submit:
        submit(add(1))
        cancelled = submit(add(10))
        assert cancelled.cancel()
    assert database.write(add(0)) == 0
    assert stored()[0] == 1


def test_a_unit_that_waits_for_the_writer_is_told_so(database: Database, add: Add) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        database.write(lambda _: database.write(add(1)))
    assert database.write(add(1)) == 1


# --- batches ---


def test_units_that_queue_during_a_commit_share_the_next(database: Database, add: Add, stored: Stored) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    with one_batch(database) as submit:
        futures = [submit(add(1, f"e{n}")) for n in range(50)]
    assert [future.result(WAIT) for future in futures] == [1] * 50
    assert len(commits) == 2  # the one that held the queue, and one for the fifty
    assert stored()[0] == 50


def test_a_failing_unit_keeps_its_neighbours_writes_and_leaves(
    database: Database, add: Add, notebook: Any, stored: Stored
) -> None:
    with one_batch(database) as submit:
        before, refused, after = submit(add(1, "before")), submit(refuse), submit(add(2, "after"))
    assert (before.result(WAIT), after.result(WAIT)) == (1, 2)
    assert isinstance(refused.exception(WAIT), Insufficient)
    assert stored() == (3, {"before", "after"})
    assert notebook.adopted == [0, 2]


def test_a_redo_does_not_double(database: Database, add: Add, stored: Stored) -> None:
    runs: list[int] = []

    def counted(tx: Transaction) -> int:
        runs.append(1)
        return add(1, "once")(tx)

    with one_batch(database) as submit:
        first, refused = submit(counted), submit(refuse)
    assert first.result(WAIT) == 1
    assert refused.exception(WAIT)
    assert len(runs) == 2  # it did run twice
    assert stored() == (1, {"once"})


def test_many_failing_units_fail_each_for_its_own_reason(database: Database, add: Add, stored: Stored) -> None:
    def fail(number: int) -> Callable[[Transaction], None]:
        def unit(tx: Transaction) -> None:
            add(1000, f"refused{number}")(tx)
            raise Conflict(f"test.{number}", "No.")

        return unit

    with one_batch(database) as submit:
        futures = [submit(fail(n) if n % 3 == 0 else add(1, f"e{n}")) for n in range(60)]
    errors = [future.exception(WAIT) for future in futures]
    assert [error.code for error in errors if isinstance(error, Conflict)] == [f"test.{n}" for n in range(0, 60, 3)]
    assert stored() == (40, {f"e{n}" for n in range(60) if n % 3})


def test_leaves_that_the_seal_refuses_fail_their_unit_alone(database: Database, add: Add, stored: Stored) -> None:
    with one_batch(database) as submit:
        futures = [submit(add(1, "e1")), submit(add(10, "e1")), submit(add(100, "e2"))]
    assert isinstance(futures[1].exception(WAIT), sa.exc.IntegrityError)
    assert stored() == (101, {"e1", "e2"})


def test_a_unit_that_goes_on_after_a_refused_statement_is_not_taken_for_written(
    database: Database, tables: dict[str, Any], stored: Stored
) -> None:
    def careless(tx: Transaction) -> str:
        tx.connection.execute(tables["counter"].update().values(value=7))
        try:
            tx.connection.execute(tables["counter"].insert().values(name="a", value=1))
        except sa.exc.IntegrityError:
            return "written"
        return "never"

    future = database.submit(careless)
    # PostgreSQL has aborted the transaction and would answer COMMIT with a silent ROLLBACK; SQLite goes on
    assert (future.exception(WAIT) is None) == (stored()[0] == 7) == (database.engine.dialect.name == "sqlite")


def test_leaves_without_a_log_are_refused(database_url: str) -> None:
    with Database(open_engine(database_url), NoSeal()) as database:
        with pytest.raises(Unavailable) as refused:
            database.write(lambda tx: tx.record("e", b"leaf"))
        assert refused.value.code == "log.unwritable"
        assert database.write(lambda _: 1) == 1


# --- failures around COMMIT ---


def test_nothing_is_redone_once_it_may_have_been_written(
    database: Database, add: Add, notebook: Any, stored: Stored
) -> None:
    notebook.fail_after_commit = True
    with pytest.raises(Unavailable) as unknown:
        database.write(add(1, "e1"))
    assert unknown.value.code == "database.outcome_unknown"
    assert notebook.failures == 1
    notebook.fail_after_commit = False
    assert database.write(add(1, "e2")) == 1
    assert stored() == (2, {"e1", "e2"})


def test_each_caller_of_a_failed_commit_gets_an_error_of_its_own(
    database: Database, add: Add, tables: dict[str, Any], stored: Stored
) -> None:
    with one_batch(database) as submit:  # a foreign key that is checked only by COMMIT itself
        futures = [
            submit(add(1, "e1")),
            submit(lambda tx: tx.connection.execute(tables["child"].insert().values(name="x"))),
        ]
    errors = [future.exception(WAIT) for future in futures]
    assert [getattr(error, "code", error) for error in errors] == ["database.outcome_unknown"] * 2
    assert errors[0] is not errors[1]
    assert stored() == (0, set())
    assert database.write(add(1)) == 1


@only_postgresql
def test_a_lost_connection_costs_no_neighbour_its_writes(database: Database, add: Add, stored: Stored) -> None:
    def cut(tx: Transaction) -> None:
        tx.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with one_batch(database) as submit:
        futures = [submit(add(1, "e1")), submit(cut), submit(add(2, "e2"))]
    assert (futures[0].result(WAIT), futures[2].result(WAIT)) == (1, 2)
    lost = futures[1].exception(WAIT)
    assert isinstance(lost, Unavailable)
    assert lost.code == "database.unreachable"
    assert stored() == (3, {"e1", "e2"})


# --- concurrency ---


def test_eight_threads_lose_no_update(database: Database, add: Add, stored: Stored) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: database.write(add(1)), range(400))) == 400
    assert stored()[0] == 400


def test_two_writers_of_one_database_lose_no_update(
    database: Database, database_url: str, add: Add, stored: Stored, tables: dict[str, Any]
) -> None:
    def look_and_add(tx: Transaction) -> int:  # SQLite refuses it at once when its transaction began as a reader's
        tx.connection.execute(sa.select(tables["counter"])).all()
        return add(1)(tx)

    with Database(open_engine(database_url)) as neighbour, ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda n: (database, neighbour)[n % 2].write(look_and_add), range(200))]
    assert answers == [1] * 200
    assert stored()[0] == 200


def test_a_reader_neither_waits_for_a_unit_nor_sees_half_of_it(database: Database, add: Add, stored: Stored) -> None:
    written, go = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        add(9, "e1")(tx)
        written.set()
        assert go.wait(WAIT)

    future = database.submit(slow)
    assert written.wait(WAIT)
    assert stored() == (0, set())
    go.set()
    future.result(WAIT)
    assert stored() == (9, {"e1"})


def test_what_a_reader_writes_is_not_kept(database: Database, stored: Stored) -> None:
    with database.read() as connection:
        connection.exec_driver_sql("UPDATE counter SET value = 77")
    assert stored()[0] == 0


# --- closing ---


def test_closing_answers_what_is_queued(database: Database, add: Add, database_url: str) -> None:
    with one_batch(database) as submit:
        futures = [submit(add(1, f"e{n}")) for n in range(300)]  # more than one batch
        closing = threading.Thread(target=database.close)
        closing.start()
    closing.join(WAIT)
    assert [future.result(0) for future in futures] == [1] * 300
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT value FROM counter").scalar_one() == 300
    engine.dispose()


def test_writing_after_closing_is_refused(database: Database, add: Add) -> None:
    database.close()
    database.close()
    with pytest.raises(Unavailable) as refused:
        database.write(add(1))
    assert refused.value.code == "database.closed"


def test_every_unit_is_answered_however_closing_falls(database_url: str) -> None:
    for _ in range(20):
        database = Database(open_engine(database_url))
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(database.submit, lambda _: 1) for _ in range(40)]
            database.close()
        for future in futures:
            outcome = future.result(WAIT)
            assert outcome.exception(WAIT) is None or outcome.exception(WAIT).code == "database.closed"


# --- types and settings ---


def test_an_instant_keeps_its_moment_and_comes_back_in_utc(database: Database, tables: dict[str, Any]) -> None:
    moment, zone = tables["moment"], timezone(timedelta(hours=7))
    instants = [
        datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=zone),
        datetime(2026, 11, 22, 3, 0, 0, 123457, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        None,
    ]
    database.write(lambda tx: tx.connection.execute(moment.insert(), [{"at": each} for each in instants]))
    with database.read() as connection:
        assert [*connection.execute(sa.select(moment.c.at).order_by(moment.c.number)).scalars()] == instants
        known = sa.select(moment.c.at).where(moment.c.at.is_not(None))
        ordered = [*connection.execute(known.order_by(moment.c.at)).scalars()]
        assert ordered == sorted(filter(None, instants))
        assert {each.tzinfo for each in ordered} == {UTC}
        later = sa.select(sa.func.count()).where(moment.c.at > instants[0])
        assert connection.execute(later).scalar_one() == 2


def test_an_instant_without_a_zone_is_refused(database: Database, tables: dict[str, Any]) -> None:
    naive = datetime(2026, 11, 22, 10, 0)  # noqa: DTZ001
    with pytest.raises(sa.exc.StatementError, match="zone"):
        database.write(lambda tx: tx.connection.execute(tables["moment"].insert().values(at=naive)))


def test_money_keeps_every_dong(database: Database, tables: dict[str, Any]) -> None:
    database.write(lambda tx: tx.connection.execute(tables["counter"].update().values(value=2**53 + 1)))
    with database.read() as connection:
        assert connection.execute(sa.select(tables["counter"].c.value)).scalar_one() == 2**53 + 1


def test_every_pooled_connection_commits_durably(database: Database) -> None:
    engine = database.engine
    connections = [engine.connect() for _ in range(5)]
    try:
        for connection in connections:
            if engine.dialect.name == "sqlite":
                names = ("synchronous", "foreign_keys", "journal_mode", "busy_timeout")
                found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
                assert found == [2, 1, "wal", 10_000]
            else:
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    finally:
        for connection in connections:
            connection.close()


def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    def connect(engine: sa.Engine) -> int:
        barrier.wait(WAIT)
        with engine.connect() as connection:
            answer: int = connection.exec_driver_sql("SELECT 1").scalar_one()
            return answer

    with ThreadPoolExecutor(4) as pool:  # a race: so many rounds find it nearly always
        for number in range(120):
            barrier, engines = (
                threading.Barrier(4),
                [open_engine(sqlite_url(tmp_path / f"{number}.db")) for _ in range(4)],
            )
            assert [*pool.map(connect, engines)] == [1] * 4
            for engine in engines:
                engine.dispose()


@only_postgresql
def test_an_administrator_cannot_switch_durability_off(database: Database, database_url: str) -> None:
    name = sa.make_url(database_url).database
    database.write(lambda tx: tx.connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    database.engine.dispose()
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    database.engine.dispose()
    database.write(lambda tx: tx.connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = local"))
    database.engine.dispose()
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "local"


# --- no database ---


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "postgresql+psycopg://nobody@127.0.0.1:1/none"])
def test_a_database_that_does_not_answer_is_said_so(url: str) -> None:
    with Database(open_engine(url)) as database:
        with pytest.raises(Unavailable) as refused:
            database.write(lambda _: None)
        assert refused.value.code == "database.unreachable"
        assert "nowhere" not in refused.value.message


@pytest.mark.parametrize(
    "url",
    ["mysql://u:secret@h/d", "secret", "", "postgresql://u:secret@h/d", "postgresql+psycopg:secret", "sqlite:secret"],
)
def test_another_kind_of_database_is_refused_without_repeating_its_url(url: str) -> None:
    with pytest.raises(Unavailable) as refused:
        open_engine(url)
    assert refused.value.code == "database.unsupported"
    assert "secret" not in refused.value.message


def test_two_nodes_whose_batches_take_rows_in_opposite_orders_do_not_deadlock(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text("CREATE TABLE purse (id INTEGER PRIMARY KEY, held BIGINT NOT NULL)"))
        connection.execute(sa.text("INSERT INTO purse VALUES (1, 0), (2, 0)"))
    engine.dispose()

    runs: list[int] = []
    pause = sa.text("SELECT pg_sleep(0.02)" if database_url.startswith("postgresql") else "SELECT 1")

    def add(first: int) -> Any:
        def unit(tx: Transaction) -> None:
            runs.append(first)
            for purse in (first, 3 - first):
                tx.connection.execute(sa.text("UPDATE purse SET held = held + 1 WHERE id = :id"), {"id": purse})
                tx.connection.execute(pause)

        return unit

    with Database(open_engine(database_url)) as one, Database(open_engine(database_url)) as two:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda turn: (one, two)[turn % 2].write(add(1 + turn % 2)), range(24)))
        with one.read() as connection:
            assert connection.execute(sa.text("SELECT held FROM purse ORDER BY id")).scalars().all() == [24, 24]
    assert len(runs) == 24  # a deadlock would be undone and done again
