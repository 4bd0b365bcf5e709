"""The database: one schema for SQLite and PostgreSQL, and one writer thread that commits in groups.

A *unit* is a function of a transaction: it does its SQL and may :meth:`Transaction.record` log leaves. Units that
queue while a commit is under way are the next batch. What must happen just before COMMIT (sealing the leaves into the
log) and just after (adopting the new tree) is a :class:`Seal`, which ``bootstrap`` supplies.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect, Engine

from sandbox.core import faults
from sandbox.core.engines import open_engine, sqlite_url
from sandbox.core.errors import Unavailable
from sandbox.core.statements import Statement, Values, write_all

__all__ = [
    "BigId", "Database", "Instant", "NoSeal", "Seal", "Transaction", "Unit", "metadata", "open_engine", "sqlite_url",
]  # fmt: skip

metadata: Final = sa.MetaData()
"""Every room's tables; the migrations in ``core/migrations`` create them."""

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A counting primary key (SQLite counts up only for INTEGER)."""

_T = TypeVar("_T")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_UNITS: Final = 256
_TURNS: Final = 4
_TURN: Final = sa.text("SELECT pg_advisory_xact_lock(7263981)")


class Instant(sa.TypeDecorator[datetime]):
    """An aware instant, stored in UTC as microseconds since 1970, so both databases order it alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:  # read as local time it would be hours off, and on every machine by another number
            raise ValueError("an instant needs a zone")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        seconds, micro = divmod(value, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro)


class Transaction:
    """What a unit may touch: the connection, and the leaves that it adds to the log in the same commit.

    A unit may run twice (its batch is redone when a neighbour fails), so it touches nothing else.
    """

    __slots__ = ("_connection", "_rows", "leaves")

    def __init__(self, connection: Connection, rows: dict[Statement, list[Values]] | None = None) -> None:
        self._connection = connection
        self._rows: dict[Statement, list[Values]] = {} if rows is None else rows
        self.leaves: list[tuple[str, bytes]] = []

    @property
    def connection(self) -> Connection:
        """Sees everything that was put before."""
        if self._rows:
            write_all(self._connection, self._rows)
        return self._connection

    def put(self, statement: Statement, *rows: Values) -> None:
        """Write rows in this transaction, together with those of its neighbours in the batch.

        They are written when a unit next takes the connection, at the latest before the commit.
        """
        waiting = self._rows.get(statement)
        if waiting is None:
            self._rows[statement] = [*rows]
        else:
            waiting += rows

    def record(self, entry_id: str, leaf: bytes) -> None:
        """Add one entry to the log when, and only when, this transaction commits."""
        self.leaves.append((entry_id, leaf))


Unit = Callable[[Transaction], _T]
_Queued: TypeAlias = tuple[Unit[Any], Future[Any]]
_Answer: TypeAlias = Callable[[], None]


class Seal(Protocol):
    """What turns a batch's leaves into log entries inside its transaction."""

    def before_commit(self, connection: Connection, leaves: list[tuple[str, bytes]]) -> object: ...
    def after_commit(self, grown: object) -> None: ...
    def after_failure(self) -> None: ...


class NoSeal:
    """For a database without a log: refuses leaves, so that none is lost silently."""

    def before_commit(self, connection: Connection, leaves: list[tuple[str, bytes]]) -> object:
        if leaves:
            raise Unavailable("log.unwritable", "This database was opened without its log.")
        return None

    def after_commit(self, grown: object) -> None:
        pass

    def after_failure(self) -> None:
        pass


class _RolledBackError(Exception):
    """A batch was undone before its COMMIT began; what it raised is the cause."""


class Database:
    """Reads on any thread; writes through one thread, in groups, each durable before its future answers.

    Close it, or use it as a context manager. After a failure whose outcome is unknown it reloads the log's head from
    the database before it writes again; after one of the disk it writes no more, see :func:`~.faults.broken`.
    """

    def __init__(self, engine: Engine, seal: Seal | None = None) -> None:
        self.engine = engine
        self._writing = engine.execution_options(writes=True)
        postgresql = engine.dialect.name == "postgresql"  # its default sees a new snapshot in each statement
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ") if postgresql else engine
        self._seal: Seal = seal or NoSeal()
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._closed = False
        self._stopped = False
        self._gate = threading.Lock()  # a unit queued behind the last item would wait for ever
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is queued, then let go of the connections."""
        with self._gate:
            first, self._closed = not self._closed, True
            if first:
                self._queue.put(None)
        if first:
            self._thread.join()
            self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection with one consistent snapshot for reading."""
        with self._reading.connect() as connection:
            yield connection

    def submit(self, unit: Unit[_T]) -> "Future[_T]":
        """Queue a unit; the future answers once its commit is durable, or carries what the unit raised."""
        future: Future[_T] = Future()
        with self._gate:
            if not self._closed:
                self._queue.put((unit, future))
                return future
        future.set_exception(Unavailable("database.closed", "The exchange is shutting down."))
        return future

    def write(self, unit: Unit[_T]) -> _T:
        """Run a unit and wait until it is durable.

        Raises:
            Unavailable: ``database.unreachable``; ``database.full``; ``database.outcome_unknown`` when COMMIT itself
                failed; ``database.stopped`` once the disk has failed.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a unit writes through its transaction; this would wait for itself")
        return self.submit(unit).result()

    def _run(self) -> None:
        open_ = True
        while open_:
            batch = [self._queue.get()]
            for _ in range(_TURNS):
                time.sleep(0)  # no wait: who is just about to submit would else miss this commit and wait for two
                before = len(batch)
                while len(batch) < _MOST_UNITS and not self._queue.empty():
                    batch.append(self._queue.get())
                if len(batch) == before:
                    break
            open_ = None not in batch
            units = [item for item in batch if item is not None and item[1].set_running_or_notify_cancel()]
            if units:
                self._commit(units)

    def _commit(self, units: list[_Queued]) -> None:
        """Commit a batch and answer each of its futures, whatever happens: its caller waits."""
        try:
            answers = self._committed(units)
        except BaseException as error:
            answers = [partial(future.set_exception, _own(error)) for _, future in units]
        for answer in answers:
            answer()

    def _committed(self, units: list[_Queued]) -> list[_Answer]:
        if self._stopped:
            raise faults.stopped()
        try:
            return self._attempt(units, apart=False)
        except _RolledBackError:
            pass
        try:  # one unit failed: all are redone, each under its own savepoint
            return self._attempt(units, apart=True)
        except _RolledBackError as undone:
            if len(units) == 1:
                return [partial(units[0][1].set_exception, undone.__cause__)]
        # one took the connection along, or has leaves that the seal refuses: each gets its own transaction
        return [answer for item in units for answer in self._alone(item)]

    def _alone(self, item: _Queued) -> list[_Answer]:
        try:
            return self._committed([item])
        except BaseException as error:  # those before it are written and must be answered
            return [partial(item[1].set_exception, error)]

    def _attempt(self, units: list[_Queued], *, apart: bool) -> list[_Answer]:
        """One transaction over the batch. Once COMMIT has begun nothing is redone, for it may have been written."""
        connection = _begun(self._writing)
        committing = False
        try:
            with connection:
                answers, leaves = _carry_out(connection, units, apart=apart)
                grown = self._seal.before_commit(connection, leaves)
                committing = True
                _commit_or_discard(connection)
            self._seal.after_commit(grown)  # memory changes only after COMMIT
        except BaseException as error:
            self._seal.after_failure()
            raise self._told(error, committing=committing) from _named(error)
        return answers

    def _told(self, error: BaseException, *, committing: bool) -> Exception:
        """What a failed transaction means: whether it was written, and whether another one may be tried."""
        if faults.broken(error):
            self._stopped = True
            return faults.unknown() if committing else faults.stopped()
        if faults.full(error):
            return faults.no_room()
        return faults.unknown() if committing else _RolledBackError()


def _begun(engine: Engine) -> Connection:
    try:
        connection = engine.connect()
        try:
            connection.begin()
            if connection.dialect.name == "postgresql":
                # a batch takes its rows in the order of its units: two nodes would wait for each other's. The log
                # orders all commits anyway, so nothing is lost by taking turns.
                connection.execute(_TURN)
        except BaseException:
            connection.close()
            raise
    except sa.exc.SQLAlchemyError as error:
        raise faults.no_room() if faults.full(error) else faults.unreachable() from error
    return connection


def _named(error: BaseException) -> BaseException:
    if not (isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated):
        return error
    lost = faults.unreachable()
    lost.__cause__ = error
    return lost


def _commit_or_discard(connection: Connection) -> None:
    try:
        connection.commit()
    except BaseException as error:
        # SQLite would go back into the pool inside the transaction that it could not end
        if not (faults.full(error) and _rolled_back(connection)):
            connection.invalidate()
        raise


def _rolled_back(connection: Connection) -> bool:
    """End a transaction on a full disk, keeping the connection: there is no room for the files of a new one."""
    try:
        connection.connection.rollback()
    except connection.dialect.loaded_dbapi.Error:
        return False
    return True


def _carry_out(
    connection: Connection, units: list[_Queued], *, apart: bool
) -> tuple[list[_Answer], list[tuple[str, bytes]]]:
    """Run the units, ``apart`` each under its own savepoint, so that one that fails takes only its own writes along."""
    answers: list[_Answer] = []
    leaves: list[tuple[str, bytes]] = []
    driver: Any = connection.connection.driver_connection
    shared: dict[Statement, list[Values]] = {}
    for unit, future in units:
        transaction = Transaction(connection, {} if apart else shared)
        # what fails around a unit (SAVEPOINT, RELEASE, ROLLBACK TO) leaves its writes where they are: all is undone
        savepoint = connection.begin_nested() if apart else None
        try:
            value = unit(transaction)
            if apart:
                _ = transaction.connection  # writes what was put
            _require_sound(driver)
        except BaseException as error:
            if savepoint is None or _undone(connection, driver, error):
                raise
            savepoint.rollback()
            answers.append(partial(future.set_exception, error))
        else:
            if savepoint is not None:
                savepoint.commit()
            answers.append(partial(future.set_result, value))
            leaves += transaction.leaves
    write_all(connection, shared)
    return answers, leaves


def _undone(connection: Connection, driver: Any, error: BaseException) -> bool:
    """Whether a unit's failure took the whole transaction along, so that its neighbours would write without one."""
    return connection.invalidated or faults.full(error) or faults.broken(error) or not _open(driver)


def _open(driver: Any) -> bool:
    return getattr(driver, "in_transaction", True)  # SQLite may end one by itself, when the disk is full


def _require_sound(driver: Any) -> None:
    # PostgreSQL answers COMMIT with ROLLBACK when a unit went on after a failed statement, and the driver says nothing
    info = getattr(driver, "info", None)
    if not _open(driver) or (info is not None and info.transaction_status.name == "INERROR"):
        raise RuntimeError("a unit went on after the database had refused a statement")


def _own(error: BaseException) -> BaseException:
    """An error for one caller alone, who notes on it which query it met."""
    if not isinstance(error, Unavailable):
        return error
    own = Unavailable(error.code, error.message, hint=error.hint, reasons=error.reasons)
    own.__cause__ = error
    return own
