"""SQL of the busiest paths, compiled once for each kind of database and run on its driver's own cursor.

Building, binding and running it through SQLAlchemy takes several times as long, and the writer has one thread.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from sandbox.core.errors import SandboxError

Values: TypeAlias = tuple[Any, ...]
_Converter: TypeAlias = Callable[[Values], Sequence[Any]]
_Binder: TypeAlias = Callable[[Any], Any]

_TOGETHER: Final = 32
_ORDERED: Final = {"sqlite": "qmark", "postgresql": "format"}


class Statement:
    """A statement whose bound parameters are ``names``; rows give their values in that order.

    For an insert without names they are the table's columns. ``taken`` makes the error to raise when a row of that key
    is there already, instead of ``IntegrityError``; all other errors are SQLAlchemy's.
    """

    __slots__ = ("_clause", "_names", "_prepared", "_taken")

    def __init__(
        self,
        clause: sa.Insert | sa.Update | sa.TextClause,
        *names: str,
        taken: Callable[[], SandboxError] | None = None,
    ) -> None:
        if isinstance(clause, sa.Insert):
            clause, names = clause.inline(), names or tuple(clause.table.columns.keys())
        self._clause, self._names, self._taken = clause, names, taken
        self._prepared: dict[str, tuple[str, _Converter | None]] = {}

    def run(self, connection: Connection, *values: Any) -> int:
        """Run it once; answers how many rows it wrote."""
        with self._cursor(connection, [values]) as (cursor, sql, given):
            cursor.execute(sql, given[0])
            written: int = cursor.rowcount
        return written

    def first(self, connection: Connection, *values: Any) -> Values | None:
        """The first row of its result, as the driver gives it."""
        with self._cursor(connection, [values]) as (cursor, sql, given):
            cursor.execute(sql, given[0])
            row: Values | None = cursor.fetchone()
        return row

    def insert(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Insert these rows, many with each statement.

        A driver lets go of the interpreter around every statement, and another thread may keep it for 5 ms.
        """
        with self._cursor(connection, rows) as (cursor, sql, given):
            start, together = 0, _together(sql) if len(given) >= _TOGETHER else ""
            while len(given) - start >= _TOGETHER:
                cursor.execute(together, [*chain.from_iterable(given[start : start + _TOGETHER])])
                start += _TOGETHER
            if rest := given[start:]:
                cursor.executemany(sql, rest)

    @contextmanager
    def _cursor(self, connection: Connection, rows: Sequence[Values]) -> Iterator[tuple[Any, str, Sequence[Any]]]:
        """The driver's cursor, and the statement and its rows as the driver takes them."""
        sql, converted = self._prepared.get(connection.dialect.name) or self._prepare(connection.dialect)
        given = [*map(converted, rows)] if converted else rows
        if not connection.in_transaction():
            connection.begin()  # SQLAlchemy does not see what passes it by, and SQLite would take no snapshot
        cursor = connection.connection.cursor()
        try:
            yield cursor, sql, given
        except connection.dialect.loaded_dbapi.Error as error:
            raise self._told(connection, sql, error) from None
        finally:
            cursor.close()

    def _told(self, connection: Connection, sql: str, error: Exception) -> Exception:
        """The error as SQLAlchemy would raise it; a connection that is lost is given up."""
        dialect, raw = connection.dialect, connection.connection
        lost = dialect.is_disconnect(cast("Any", error), raw.dbapi_connection, None)
        if lost:
            connection.invalidate(error)
        base: Any = dialect.loaded_dbapi.Error
        told = sa.exc.DBAPIError.instance(
            sql, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=dialect
        )
        if self._taken is not None and isinstance(told, sa.exc.IntegrityError):
            return self._taken()
        return cast("Exception", told)

    def _prepare(self, dialect: Dialect) -> tuple[str, _Converter | None]:
        ordered = type(dialect)(paramstyle=_ORDERED[dialect.name])  # type: ignore[call-arg]
        keys = [*self._names] if isinstance(self._clause, sa.Insert) else None
        compiled: Any = self._clause.compile(dialect=ordered, column_keys=keys)
        places = [self._names.index(name) for name in compiled.positiontup]
        binders = [_binder(compiled.binds[name].type, dialect) for name in compiled.positiontup]
        prepared = self._prepared[dialect.name] = (compiled.string, _converter(places, binders))
        return prepared


@cache
def _together(sql: str) -> str:
    """The same insert for so many rows at once."""
    into, _, row = sql.partition(" VALUES ")
    return f"{into} VALUES {', '.join([row] * _TOGETHER)}"


def _binder(kind: Any, dialect: Dialect) -> _Binder | None:
    if isinstance(kind, sa.LargeBinary):  # both drivers take bytes as they are
        return None
    if isinstance(kind, sa.JSON):
        return _json
    binder: _Binder | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return binder


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _converter(places: list[int], binders: list[_Binder | None]) -> _Converter | None:
    """What makes a row what the driver takes; None where it is that already."""
    bound = [(number, binder) for number, binder in enumerate(binders) if binder]
    ordered = None if places == [*range(len(places))] else itemgetter(*places)
    if not bound:
        return ordered

    def converted(row: Values) -> list[Any]:
        given = [*(ordered(row) if ordered else row)]
        for number, binder in bound:
            given[number] = binder(given[number])
        return given

    return converted


def write_all(connection: Connection, rows: dict[Statement, list[Values]]) -> None:
    """Insert all of these rows, and forget them."""
    for statement, each in rows.items():
        statement.insert(connection, each)
    rows.clear()
