"""The child that shows the jail: shut in like a worker with an extract, it tries what no worker should be able to do.

It says a line for each attempt, and then for each thing that must still work::

    {"tried": "fork", "layer": "seccomp", "stopped": true, "by": "EPERM"}
    {"works": "read its extract", "holds": true}
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import duckdb

from sandbox.jail import attempts
from sandbox.jail.frames import Out
from sandbox.query.worker import open_jail, quoted

ENGINE: Final = {
    "read a file": "FROM read_text({passwd})",
    "read another participant's extract": "ATTACH {foreign} AS other (READ_ONLY)",
    "write a file (COPY)": "COPY (SELECT 1) TO {made}",
    "make a database (ATTACH)": "ATTACH {made} AS made",
    "change its extract": 'DELETE FROM "own 0".main.rows',
    "read over the network": "FROM read_csv('http://127.0.0.1:9/x.csv')",
    "install an extension": "INSTALL httpfs",
    "load an extension": "LOAD httpfs",
    "open itself (SET)": "SET enable_external_access = true",
    "unlock its settings (SET)": "SET lock_configuration = false",
    "read the environment (getenv)": "SELECT getenv('HOME')",
}
"""The engine's own ways out, sent through a worker's locked connection as if the gate had let them pass."""


def trial(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Try everything, and say how each ended."""
    setup = next(jobs)
    target = attempts.Target(**setup["target"])
    connection = open_jail(setup["limits"], [target.extract], {"own": [target.extract]}, stranger=stranger)
    for attempt in attempts.ATTEMPTS:
        stopped, by = attempts.outcome(attempt, target)
        out.say(tried=attempt.words, layer=attempt.layer, stopped=stopped, by=by)
    paths = {"passwd": "/etc/passwd", "foreign": target.foreign, "made": f"{target.folder}/engine"}
    for words, sql in ENGINE.items():
        stopped, by = _sent(connection, sql.format(**{name: quoted(path) for name, path in paths.items()}))
        out.say(tried=words, layer="engine", stopped=stopped, by=by)
    for words, works in {"read its extract": _reads, "work on threads": _threads}.items():
        out.say(works=words, holds=_holds(lambda works=works: works(connection)))  # type: ignore[misc]
    out.end()


def _sent(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[bool, str]:
    try:
        connection.execute(sql).fetchall()
    except duckdb.Error as error:
        return True, type(error).__name__
    return False, "done"


def _reads(connection: duckdb.DuckDBPyConnection) -> bool:
    return connection.execute("SELECT sum(n) FROM own").fetchall() == [(6,)]


def _threads(_: duckdb.DuckDBPyConnection) -> bool:
    done = threading.Event()
    thread = threading.Thread(target=done.set)
    thread.start()
    thread.join()
    return done.is_set()


def _holds(works: Callable[[], bool]) -> bool:
    try:
        return works()
    except (duckdb.Error, OSError, RuntimeError):
        return False


def warm() -> None:
    """The worker's module opens the connection."""


KINDS: Final = {"trial": trial}
