"""The child in the jail: it answers questions about SQL, makes extracts, and runs checked SQL over them.

It knows neither the exchange nor the network. A run answers with a header line, an Arrow IPC stream and a trailer::

    {"status":"rows"} ⏎ <Arrow IPC stream> {"status":"done","rows":6} ⏎

Only the trailer makes a result: an error in mid-stream leaves a well-formed stream behind.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
from pyarrow import ipc

from sandbox.jail import attempts, kernel
from sandbox.jail.frames import Out
from sandbox.query import analysis
from sandbox.query.guard import THRESHOLD
from sandbox.query.nodes import Node
from sandbox.query.refusal import Refusal

_OFF: Final = (
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_community_extensions",
    "allow_unsigned_extensions",
    "allow_persistent_secrets",
    "python_enable_replacements",
    "python_scan_all_frames",
    "enable_external_file_cache",
)
_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 1,
    "async_threads": 0,  # a fork keeps one thread, and kernel rules bind the threads that start after them
    "temp_directory": "",
    "pivot_limit": 1000,
    "max_expression_depth": 250,
    "allow_extension_repositories": "forbidden",
    **dict.fromkeys(_OFF, "false"),
}
_BATCH: Final = 122_880
_ROWS: Final = "rows"
"""The one table of an extract."""
_PARSE: Final = "SELECT json_serialize_sql(?, skip_null := true, skip_empty := true, skip_default := true)"
_RENDER: Final = "SELECT json_deserialize_sql(?)"
_held: list[duckdb.DuckDBPyConnection] = []


def warm() -> None:
    """Open the connection that every child inherits: opened with one thread, it survives a fork."""
    if not _held:
        connection = duckdb.connect(":memory:", config=_CONFIG)
        connection.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        connection.execute(_PARSE, ["SELECT 1"]).fetchall()
        _held.append(connection)


def quoted(text: str) -> str:
    """An SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def open_jail(
    limits: Mapping[str, int],
    paths: Sequence[str] = (),
    extracts: Mapping[str, Sequence[str]] | None = None,
    *,
    folder: str | None = None,
    written: Sequence[str] = (),
    made: str | None = None,
    stranger: int = 0,
) -> duckdb.DuckDBPyConnection:
    """A locked connection that may open exactly ``paths`` and make ``written``, among them the database ``made``.

    ``extracts`` are attached and stand behind views of the relations' names. The order of the steps is what makes it
    tight.
    """
    warm()
    connection = _held[0]
    kernel.harden(paths, folder, limits, stranger)
    connection.execute(f"SET memory_limit = '{limits['memory_mb'] * 3 // 4}MiB'")
    connection.execute(f"SET max_execution_time = {_LAST_RESORT * limits['seconds'] * 1000}")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, [*paths, *written]))}]")
    for relation, files in (extracts or {}).items():
        _attach(connection, relation, files)
    if made:
        connection.execute(f"ATTACH {quoted(made)} AS made")
    connection.execute("SET enable_external_access = false")  # after this, allowed_paths cannot change
    connection.execute("SET threads = 2")  # new threads inherit the restrictions
    connection.execute("SET lock_configuration = true")
    return connection


_LAST_RESORT: Final = 8
"""The parent kills at the deadline; the engine counts also the time that it is held up."""


def _with_logs(path: str) -> list[str]:
    """A database's file, and those that the engine makes beside it while it writes."""
    return [path, f"{path}.wal", f"{path}.wal.checkpoint"]


def _attach(connection: duckdb.DuckDBPyConnection, relation: str, files: Sequence[str]) -> None:
    """An extract holds what the contract grants; a view hides that its rows have numbers."""
    parts: list[str] = []
    for path in files:
        alias = f"{relation} {len(parts)}"
        connection.execute(f"ATTACH {quoted(path)} AS {named(alias)} (READ_ONLY)")
        _require_rows_only(connection, alias)
        parts.append(f"FROM {named(alias)}.main.{named(_ROWS)}")
    connection.execute(f"CREATE VIEW {named(relation)} AS {' UNION ALL '.join(parts)}")


def _require_rows_only(connection: duckdb.DuckDBPyConnection, alias: str) -> None:
    """A database may bring views and types along; an extract is one table.

    Macros are not looked for, which takes 50 ms: nobody calls a function by its database's name, see the gate.
    """
    own = {"tables": "", "views": "", "sequences": "", "types": " AND NOT internal", "indexes": ""}
    counts = ", ".join(
        f"(SELECT count(*) FROM duckdb_{kind}() WHERE database_name = {quoted(alias)}{those})"  # noqa: S608
        for kind, those in own.items()
    )
    if connection.execute(f"SELECT {counts}").fetchall() != [(1, 0, 0, 0, 0)]:
        raise duckdb.CatalogException("An extract holds more than its rows.")


class DuckDB:
    """The engine's reading of SQL, over empty relations of the granted columns."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, relations: Sequence[Mapping[str, Any]]) -> None:
        self._columns = {each["name"]: ", ".join(name for name, _ in each["columns"]) for each in relations}
        self._connection = connection
        for each in relations:
            connection.execute(f"CREATE VIEW {named(each['name'].lower())} AS {_empty(each['columns'])}")

    def parse(self, sql: str) -> Node:
        ((text,),) = self._connection.execute(_PARSE, [sql]).fetchall()
        document: Node = json.loads(text)
        return document

    def render(self, node: Node) -> str:
        document = json.dumps({"error": False, "statements": [{"node": node}]})
        ((text,),) = self._connection.execute(_RENDER, [document]).fetchall()
        return str(text)

    def bind(self, sql: str) -> analysis.Columns:
        try:
            relation = self._connection.sql(sql)
        except duckdb.Error as error:
            raise self._refusal(error) from None
        return [(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]

    def _refusal(self, error: duckdb.Error) -> Refusal:
        first = str(error).split("\n", maxsplit=1)[0].split("Error: ", maxsplit=1)[-1]
        if isinstance(error, duckdb.OutOfMemoryException):
            return Refusal("query.too_large", "The query needs too much memory to be read.", "Make it smaller.")
        if isinstance(error, duckdb.BinderException) and "column" in first and "not found" in first:
            offered = "; ".join(f"{name}: {columns}" for name, columns in self._columns.items())
            said = first.split('"')[1:2]
            what = f"There is no column {said[0]!r} among those granted." if said else first
            hint = f"Granted columns of {offered}." if offered else "No dataset is named."
            return Refusal("query.column", what, hint)
        return Refusal("sql.syntax", first, "Write it in DuckDB's SQL.")


def _empty(columns: Sequence[Sequence[str]]) -> str:
    return "SELECT " + ", ".join(f"CAST(NULL AS {kind}) AS {named(name)}" for name, kind in columns) + " WHERE false"


def analyse(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Wait shut in; answer one job with the facts of a query, or the refusal; and end, for its words forge verdicts."""
    connection = open_jail(next(jobs)["limits"], stranger=stranger)
    _rehearse(connection)
    job = next(jobs, None)
    if job is None:  # it was a spare, and is not needed
        return
    try:
        engine = DuckDB(connection, job["relations"])
        out.say(status="facts", facts=analysis.facts(job["sql"], job["relations"], job["today"], engine))
    except Refusal as refusal:
        out.say(status="refused", code=refusal.code, message=refusal.message, hint=refusal.hint)
    out.end()


def _rehearse(connection: duckdb.DuckDBPyConnection) -> None:
    """Touch, before anybody waits for it, the memory that reading a query takes: after a fork each page is copied."""
    relation = {"name": "t", "columns": [["a", "VARCHAR"], ["b", "BIGINT"]], "dimensions": [["a", "a"]], "unit": "b"}
    engine = DuckDB(connection, [relation | {"nullable": []}])
    sql = "SELECT a, count(DISTINCT b) AS n FROM t WHERE a IN ('x') GROUP BY a ORDER BY n DESC LIMIT 5"
    analysis.facts(sql, [relation | {"nullable": []}], "2026-01-01", engine)
    connection.execute("DROP VIEW t")


def grant(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Take the granted columns and rows out of their sources."""
    job = next(jobs)
    try:
        connection = open_jail(
            job["limits"], job["sources"], folder=job["folder"], written=[job["target"]], stranger=stranger
        )
        connection.execute(job["sql"]).fetchall()
    except duckdb.Error as error:
        out.say(status="failed", kind=_kind(error))
    else:
        out.say(status="done")
    out.end()


def extract(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Write the granted rows, and nothing else that this process has ever seen, to one file."""
    job = next(jobs)
    target = job["target"]
    try:
        connection = open_jail(
            job["limits"],
            [job["granted"]],
            folder=job["folder"],
            written=_with_logs(target),
            made=target,
            stranger=stranger,
        )
        connection.execute(job["sql"])
        ((rows,),) = connection.execute(f"SELECT count(*) FROM made.main.{named(_ROWS)}").fetchall()  # noqa: S608
        connection.execute("DETACH made")  # only now all is in the one file
    except duckdb.Error as error:
        out.say(status="failed", kind=_kind(error))
    else:
        out.say(status="done", rows=rows)
    out.end()


def run(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Stream what checked SQL returns over the extracts, job by job."""
    setup = next(jobs)
    extracts = setup["files"]
    files = [path for paths in extracts.values() for path in paths]
    connection = open_jail(setup["limits"], files, extracts, stranger=stranger)
    for job in jobs:
        # anew for each: what ran before should not have been able to set it, and would be believed
        connection.execute(f"SET VARIABLE {THRESHOLD} = {int(job['min_group'])}")
        try:
            trailer = {"status": "done", "rows": _stream(connection.sql(job["sql"]), job["max_rows"], out)}
        except (duckdb.Error, OSError) as error:  # Arrow's reader raises OSError for what fails in mid-stream
            trailer = {"status": "failed", "kind": _kind(error)}
        out.say(**trailer)
        out.end()


def _stream(relation: duckdb.DuckDBPyRelation, most: int, out: Out) -> int:
    reader = relation.to_arrow_reader(_BATCH)
    out.say(status="rows")
    rows = 0
    with ipc.new_stream(out, reader.schema) as stream:
        for batch in reader:
            rows += batch.num_rows
            stream.write_batch(batch)
            if rows > most:  # no use in going on: the parent counts, and will refuse
                break
    reader.close()
    return rows


def _kind(error: Exception) -> str:
    """A word of a closed set; the engine's own words may hold values and paths, and never leave."""
    if isinstance(error, BrokenPipeError):
        raise error
    interrupted = isinstance(error, duckdb.OutOfMemoryException | duckdb.InterruptException)
    return "limit" if interrupted or "INTERRUPT" in str(error) or "Out of Memory" in str(error) else "value"


def probe(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Say what a child that is shut in like all others tries in vain."""
    open_jail(next(jobs)["limits"], stranger=stranger)
    out.say(status="probed", denied=attempts.denied())
    out.end()


KINDS: Final = {"analyse": analyse, "grant": grant, "extract": extract, "run": run, "probe": probe}
