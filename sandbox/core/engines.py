"""How a database is opened, so that what it says is committed is durable."""

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry

from sandbox.core.errors import Unavailable

_WAL_TRIES: Final = 200
_WAL_PAUSE: Final = 0.05
_PRIMARY_CODE: Final = 0xFF


def open_engine(url: str) -> Engine:
    """An engine with durable commits for ``sqlite:///FILE`` or ``postgresql+psycopg://...``.

    Raises:
        Unavailable: ``database.unsupported`` for any other kind of URL, without repeating it (it may hold a password).
    """
    try:
        if url.startswith("sqlite:"):
            engine = sa.create_engine(url, connect_args={"check_same_thread": False}, hide_parameters=True)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if url.startswith("postgresql+psycopg:"):
            engine = sa.create_engine(url, pool_size=10, pool_pre_ping=True, hide_parameters=True)
            event.listen(engine, "connect", _prepare_postgresql)
            return engine
    except ImportError:
        raise Unavailable(
            "database.unsupported", "The driver of PostgreSQL is not installed.",
            hint="Run: pip install 'data-exchange-sandbox[postgres]'",
        ) from None  # fmt: skip
    except (sa.exc.ArgumentError, ValueError):
        pass
    raise Unavailable(
        "database.unsupported", "The database URL is neither SQLite nor PostgreSQL.",
        hint="Set SANDBOX_DATABASE_URL to sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
    )  # fmt: skip


def _prepare_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late; ours is in _begin_sqlite
    for pragma in ("busy_timeout=10000", "synchronous=full", "foreign_keys=on"):
        # synchronous=full on every connection: NORMAL may roll back the last commits at power loss, a fork of the log
        connection.execute(f"PRAGMA {pragma}").close()
    _enter_wal(connection)


def _enter_wal(connection: Any) -> None:
    # of two that open a new file at once, SQLite tells one "locked" without heeding busy_timeout
    for _ in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode=wal").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_WAL_PAUSE)
        else:
            return
    connection.execute("PRAGMA journal_mode=wal").close()


def _prepare_postgresql(connection: Any, record: ConnectionPoolEntry) -> None:
    # an administrator's synchronous_commit=off would answer before a commit is durable
    durable = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    connection.execute(durable).close()
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"
