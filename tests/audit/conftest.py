"""A log in a fresh database, under the key of the golden vectors."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from sandbox.audit.events import EventType, read_entry
from sandbox.audit.log import Log, guard_statements
from sandbox.audit.note import verifier_key
from sandbox.audit.store import log_body, log_cosignature, log_entry, log_head, log_tile
from sandbox.core.database import Database, Transaction, metadata, open_engine, sqlite_url
from sandbox.core.errors import SandboxError
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.terms import EntryId

ORIGIN = "exchange.example.vn/log"
TABLES = [log_entry, log_tile, log_head, log_body, log_cosignature]
NOON = datetime(2026, 11, 22, 5, 0, 0, 123456, tzinfo=UTC)

Opened = tuple[Database, Log]


@pytest.fixture
def key() -> SigningKey:
    return key_from_seed("log", b"\1" * 32)


@pytest.fixture
def vkey(key: SigningKey) -> str:
    return verifier_key(ORIGIN, key.verify_key)


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    """SQLite; test_log_databases.py runs on each kind of database."""
    return sqlite_url(tmp_path / "exchange.db")


@pytest.fixture
def engine(log_url: str) -> Engine:
    """An empty database with the log's tables and no triggers, so that a test may play the forger."""
    engine = open_engine(log_url)
    with engine.execution_options(writes=True).begin() as connection:
        metadata.create_all(connection, tables=TABLES)
    return engine


@pytest.fixture
def guarded(engine: Engine) -> Engine:
    with engine.execution_options(writes=True).begin() as connection:
        for statement in guard_statements(engine.dialect.name):
            connection.exec_driver_sql(statement)
    return engine


@pytest.fixture
def open_log(engine: Engine, key: SigningKey) -> Iterator[Callable[..., Opened]]:
    opened: list[Database] = []

    def open_(log: Log | None = None) -> Opened:
        mine = log or Log(ORIGIN, key)
        again = open_engine(engine.url.render_as_string(hide_password=False))
        try:
            mine.load(again)
        except SandboxError:
            again.dispose()
            raise
        opened.append(Database(again, mine))
        return opened[-1], mine

    yield open_
    for database in opened:
        database.close()
    engine.dispose()


@pytest.fixture
def note() -> Callable[..., None]:
    """Record one entry in a unit of its own."""

    def note_(opened: Opened, name: str, at: datetime = NOON, **sealed: str) -> None:
        database, log = opened

        def unit(tx: Transaction) -> None:
            log.record(tx, EventType.QUERY_FAILED, at, entry_id=EntryId(name), clear={}, sealed=sealed)

        database.write(unit)

    return note_


@pytest.fixture
def ids() -> Callable[[Opened], list[str]]:
    """The ids of all entries, in the order of the log."""

    def ids_(opened: Opened) -> list[str]:
        database, log = opened
        with database.read() as connection:
            return [read_entry(leaf)["id"] for leaf in log.entries(connection, 0, log.head(connection).size)]

    return ids_


@pytest.fixture
def forge(engine: Engine) -> Callable[..., None]:
    """Change the database behind the log's back."""

    def forge_(*statements: Any) -> None:
        with engine.execution_options(writes=True).begin() as connection:
            for statement in statements:
                connection.execute(statement)

    return forge_


@pytest.fixture
def together() -> Callable[..., list[BaseException | None]]:
    """Run units in one batch, for they queue while an earlier unit holds the writer; answers their failures."""

    def together_(database: Database, *units: Callable[[Transaction], None]) -> list[BaseException | None]:
        started, go = threading.Event(), threading.Event()

        def hold(tx: Transaction) -> None:
            started.set()
            go.wait(5)

        first = database.submit(hold)
        started.wait(5)
        futures = [database.submit(unit) for unit in units]
        go.set()
        first.result()
        return [future.exception() for future in futures]

    return together_


def _completed(number: int, vnd: int) -> dict[str, Any]:
    agreements = [{"id": f"sha256:{number % 2}", "dataset": "chi_so_cds", "vnd": vnd}]
    meter = {"rows_out": 2, "bytes_out": 1312, "vnd": vnd}
    return {"query": f"qry_{number}", "agreements": agreements, "meter": meter, "isolation": "landlock"}


@pytest.fixture
def sell() -> Callable[..., None]:
    """Record completed queries ``first`` to ``last`` in one unit; number n costs n đồng."""

    def sell_(opened: Opened, first: int, last: int, at: datetime = NOON) -> None:
        database, log = opened

        def unit(tx: Transaction) -> None:
            for number in range(first, last):
                sealed = {"actor": "cong-ty-fintech", "sql": f"SELECT {number}"}
                entry = EntryId(f"ent_{number}")
                clear = _completed(number, number)
                log.record(tx, EventType.QUERY_COMPLETED, at, entry_id=entry, clear=clear, sealed=sealed)

        database.write(unit)

    return sell_
