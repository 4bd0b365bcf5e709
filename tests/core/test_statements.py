"""Rows that a unit puts beside its SQL: seen by whoever looks, written with their neighbours', gone with their unit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.core.database import Database, Instant, Transaction, open_engine
from sandbox.core.errors import Conflict, Insufficient
from sandbox.core.statements import Statement

OWN = sa.MetaData()
SHELF = sa.Table(
    "shelf", OWN,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", Instant),
    sa.Column("content", sa.LargeBinary),
    sa.Column("tags", sa.JSON),
)  # fmt: skip
AT = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
WAIT = 30


def taken() -> Conflict:
    return Conflict("shelf.taken", "That place is taken.")


PLACE = Statement(SHELF.insert(), taken=taken)
BARE = Statement(SHELF.insert(), "name")
REFILL = Statement(
    SHELF.update().where(SHELF.c.name == sa.bindparam("which")).values(content=sa.bindparam("what")), "what", "which"
)
LONGEST = Statement(sa.text("SELECT name, content FROM shelf ORDER BY length(content) DESC, name LIMIT 1"))


def row(name: str, content: bytes = b"\0x", tags: Any = ()) -> tuple[Any, ...]:
    return name, AT, content, [*tags]


@pytest.fixture
def shelf(database_url: str) -> Any:
    engine = open_engine(database_url)
    with engine.execution_options(writes=True).begin() as connection:
        OWN.create_all(connection)
    with Database(engine) as database:
        yield database


@pytest.fixture
def names(shelf: Database) -> Callable[[], list[str]]:
    def names_() -> list[str]:
        with shelf.read() as connection:
            return [*connection.execute(sa.select(SHELF.c.name).order_by(SHELF.c.name)).scalars()]

    return names_


def one_batch(database: Database, *units: Callable[[Transaction], Any]) -> list[Future[Any]]:
    begun, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        assert go.wait(WAIT)

    database.submit(hold)
    assert begun.wait(WAIT)
    futures = [database.submit(unit) for unit in units]
    go.set()
    for future in futures:
        future.exception(WAIT)
    return futures


def put(*rows: tuple[Any, ...]) -> Callable[[Transaction], None]:
    return lambda tx: tx.put(PLACE, *rows)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 100])
def test_what_is_put_is_what_sqlalchemy_would_have_written(shelf: Database, count: int) -> None:
    given = [row(f"{number:03}", bytes([number]) * number, ["đ", {"n": number}, None]) for number in range(count)]
    shelf.write(put(*given))
    with shelf.read() as connection:
        assert [tuple(each) for each in connection.execute(SHELF.select().order_by(SHELF.c.name))] == given


def test_columns_that_are_not_named_stay_empty(shelf: Database) -> None:
    shelf.write(lambda tx: tx.put(BARE, ("a",)))
    with shelf.read() as connection:
        assert tuple(connection.execute(SHELF.select()).one()) == ("a", None, None, None)


def test_values_follow_the_names_and_not_the_sql(shelf: Database) -> None:
    shelf.write(put(row("a", b"1"), row("b", b"2")))
    assert shelf.write(lambda tx: REFILL.run(tx.connection, b"new", "a")) == 1
    assert shelf.write(lambda tx: REFILL.run(tx.connection, b"new", "nobody")) == 0
    with shelf.read() as connection:
        assert LONGEST.first(connection) == ("a", b"new")


def test_a_query_without_rows_answers_none_and_reads_one_snapshot(shelf: Database) -> None:
    with shelf.read() as connection:
        assert LONGEST.first(connection) is None
        shelf.write(put(row("a")))
        assert LONGEST.first(connection) is None
    with shelf.read() as connection:
        assert LONGEST.first(connection) == ("a", b"\0x")


def test_a_unit_and_its_neighbours_see_what_was_put_before(shelf: Database) -> None:
    count = sa.select(sa.func.count()).select_from(SHELF)

    def unit(tx: Transaction) -> tuple[int, int]:
        before = tx.connection.scalar(count)
        tx.put(PLACE, row(f"mine{before}"))
        return before or 0, tx.connection.scalar(count) or 0

    futures = one_batch(shelf, put(row("a")), unit, unit)
    assert [future.result(WAIT) for future in futures] == [None, (1, 2), (2, 3)]


def test_of_a_batch_only_the_unit_whose_row_is_taken_fails(shelf: Database, names: Callable[[], list[str]]) -> None:
    shelf.write(put(row("007")))
    futures = one_batch(shelf, *(put(row(f"{number:03}"), row(f"{number:03}b")) for number in range(70)))
    errors = {number: future.exception(WAIT) for number, future in enumerate(futures)}
    assert {number: getattr(error, "code", error) for number, error in errors.items() if error} == {7: "shelf.taken"}
    assert names() == sorted([*(f"{n:03}" for n in range(70)), *(f"{n:03}b" for n in range(70) if n != 7)])


def test_a_row_that_is_taken_is_an_integrity_error_where_nothing_else_was_said(shelf: Database) -> None:
    shelf.write(put(row("a")))
    with pytest.raises(sa.exc.IntegrityError) as refused:
        shelf.write(lambda tx: tx.put(BARE, ("a",)))
    assert "'a'" not in str(refused.value)


def test_what_a_refused_unit_put_is_not_written(shelf: Database, names: Callable[[], list[str]]) -> None:
    def refuse(tx: Transaction) -> None:
        tx.put(PLACE, row("refused"))
        raise Insufficient("wallet.insufficient", "No.")

    futures = one_batch(shelf, put(row("a")), refuse, put(row("b")))
    assert [future.exception(WAIT) is None for future in futures] == [True, False, True]
    assert names() == ["a", "b"]


def test_a_unit_that_goes_on_after_its_row_was_refused_is_not_taken_for_written(
    shelf: Database, names: Callable[[], list[str]]
) -> None:
    shelf.write(put(row("a")))

    def careless(tx: Transaction) -> None:
        tx.put(PLACE, row("a"), row("new"))
        try:
            _ = tx.connection
        except Conflict:
            return

    with pytest.raises((Conflict, sa.exc.DBAPIError)):
        shelf.write(careless)
    assert names() == ["a"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_lost_under_a_put_row_is_said_so_and_another_is_taken(
    shelf: Database, names: Callable[[], list[str]]
) -> None:
    def cut(tx: Transaction) -> None:
        tx.put(PLACE, row("lost"))
        killer = open_engine(shelf.engine.url.render_as_string(hide_password=False))
        own = tx._connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        with killer.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend({own}, 1000)")
        killer.dispose()

    future = shelf.submit(cut)
    assert getattr(future.exception(WAIT), "code", None) == "database.unreachable"
    shelf.write(put(row("a")))
    assert names() == ["a"]
