"""A database whose statements fail on demand, below SQLAlchemy: where the driver would tell of a lost connection."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Engine

COMMIT = "COMMIT"


class Fault(Enum):
    """What a failing statement left behind."""

    LOST = "it was not carried out"
    PERSISTED = "it was carried out, and only the answer is lost"


@dataclass
class Line:
    """The way to the database: counts what passes while it is ``watched``, and breaks at the statements told.

    ``armed`` it is watched from the end of the next COMMIT on.
    """

    fault: Fault = Fault.LOST
    breaks: range = range(0)
    armed: bool = False
    watched: bool = False
    passed: list[str] = field(default_factory=list)

    def prepare(self, engine: Engine) -> None:
        """Let every connection of the engine go over this line."""
        event.listen(engine, "do_connect", self._connect)

    def _connect(self, dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        if dialect.name == "sqlite":
            made: Any = sqlite3.connect(*arguments, **named, factory=_Sqlite)
        else:
            made = _Postgres.connect(*arguments, **named, cursor_factory=_PostgresCursor)
        made.line = self
        return made

    def carry(self, connection: Any, statement: Any, act: Callable[[], Any]) -> Any:
        """Carry one statement out, unless it is its turn to fail."""
        if not self.watched:
            self.watched, answer = self.armed and statement == COMMIT, act()
            return answer
        number = len(self.passed)
        self.passed.append(str(statement))
        if number not in self.breaks:
            return act()
        if self.fault is Fault.PERSISTED:
            act()
        raise connection.lost()


class _Cursor:
    """Statements of either driver."""

    connection: Any

    def execute(self, statement: Any, *rest: Any, **named: Any) -> Any:
        own = super()
        act = lambda: own.execute(statement, *rest, **named)  # type: ignore[misc]  # noqa: E731
        return self.connection.line.carry(self.connection, statement, act)

    def executemany(self, statement: Any, *rest: Any, **named: Any) -> Any:
        own = super()
        act = lambda: own.executemany(statement, *rest, **named)  # type: ignore[misc]  # noqa: E731
        return self.connection.line.carry(self.connection, statement, act)


class _SqliteCursor(_Cursor, sqlite3.Cursor):
    pass


class _Sqlite(sqlite3.Connection):
    line = Line()

    def cursor(self, factory: Any = _SqliteCursor) -> Any:
        return super().cursor(factory)

    def execute(self, *arguments: Any) -> Any:
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self.cursor().executemany(*arguments)

    def commit(self) -> None:
        own = super()
        self.line.carry(self, COMMIT, own.commit)

    def lost(self) -> Exception:
        """A file is not lost; another process held it, and the connection lives."""
        error = sqlite3.OperationalError("the database was lost to another process")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_BUSY, "SQLITE_BUSY"
        return error


class _PostgresCursor(_Cursor, psycopg.Cursor[Any]):
    pass


class _Postgres(psycopg.Connection[Any]):
    line = Line()

    def commit(self) -> None:
        own = super()
        self.line.carry(self, COMMIT, own.commit)

    def lost(self) -> Exception:
        """The server hears no more of it, and rolls back what was not committed."""
        self.close()
        return psycopg.OperationalError("the connection is lost")
