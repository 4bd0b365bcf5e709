"""What a database's failure means for the writes that come after it."""

import sqlite3
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from sandbox.core.errors import Unavailable

_PRIMARY_CODE: Final = 0xFF
_DISK_FULL: Final = "53100"  # PostgreSQL's SQLSTATE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it wraps and what led to it, for a unit may have raised a refusal of its own about it."""
    while error is not None:
        yield error
        if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
            yield error.orig
        error = error.__cause__ or error.__context__


def _has(error: BaseException, code: int) -> bool:
    return any(
        isinstance(each, sqlite3.Error) and getattr(each, "sqlite_errorcode", 0) & _PRIMARY_CODE == code
        for each in _causes(error)
    )


def broken(error: BaseException) -> bool:
    """Whether SQLite could not read or write its own file.

    After a failed fsync the system may hold pages for written that never reached the disk, and say so when it is asked
    again. A lost connection to PostgreSQL is another thing: its server has the files, and stops by itself.
    """
    return _has(error, sqlite3.SQLITE_IOERR)


def full(error: BaseException) -> bool:
    """Whether the disk has no room: the transaction is undone, and nothing else has happened."""
    return _has(error, sqlite3.SQLITE_FULL) or any(
        getattr(each, "sqlstate", None) == _DISK_FULL for each in _causes(error)
    )


def unreachable() -> Unavailable:
    """The database does not answer; nothing was written."""
    return Unavailable("database.unreachable", "The database does not answer.", hint="Start it and try again.")


def no_room() -> Unavailable:
    """The disk is full; nothing was written."""
    return Unavailable(
        "database.full", "The database's disk is full; nothing was written.", hint="Make room and try again."
    )


def stopped() -> Unavailable:
    """An earlier write failed in a way after which no later one can be promised."""
    return Unavailable(
        "database.stopped",
        "The database could not read or write its file, so the exchange writes no more; this was not written.",
        hint="Check the disk, then restart the exchange: it checks itself at start.",
    )


def unknown() -> Unavailable:
    """COMMIT itself failed."""
    return Unavailable(
        "database.outcome_unknown",
        "The database failed while it wrote; whether it has written is unknown.",
        hint="Look whether it was written before you try again.",
    )
