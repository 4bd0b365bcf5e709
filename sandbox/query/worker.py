"""The child in the jail: it answers one job and dies.

It knows neither the exchange nor the network. A job is one JSON document; the answer is a header line, for a run
followed by an Arrow IPC stream, a newline and a trailer line::

    {"status":"rows"} ⏎ <Arrow IPC stream> ⏎ {"status":"done","rows":6} ⏎

Only the trailer makes a result: an error in mid-stream leaves a well-formed stream behind.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import duckdb
from pyarrow import ipc

from sandbox.query import analysis, kernel
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
    "async_threads": 0,  # kernel rules bind the threads that start after them
    "temp_directory": "",
    "pivot_limit": 1000,
    "max_expression_depth": 250,
    "allow_extension_repositories": "forbidden",
    **dict.fromkeys(_OFF, "false"),
}
_BATCH: Final = 122_880
_PARSE: Final = "SELECT json_serialize_sql(?, skip_null := true, skip_empty := true, skip_default := true)"
_RENDER: Final = "SELECT json_deserialize_sql(?)"


def quoted(text: str) -> str:
    """An SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def open_jail(
    limits: Mapping[str, int],
    paths: Sequence[str] = (),
    views: Mapping[str, str] | None = None,
    writable: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """A locked connection that may open exactly ``paths``; the order of the steps is what makes it tight."""
    config = _CONFIG | {
        "memory_limit": f"{limits['memory_mb'] * 3 // 4}MiB",
        "max_execution_time": limits["seconds"] * 1000,
    }
    threads = kernel.threads()  # one, in a child
    connection = duckdb.connect(":memory:", config=config)
    if kernel.threads() != threads:
        raise OSError("The engine started threads that the kernel's rules would not bind.")
    kernel.harden(paths, writable, limits)
    connection.execute("SET threads = 2")  # new threads inherit the restrictions
    connection.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
    connection.execute(f"SET VARIABLE {THRESHOLD} = {int(limits.get(THRESHOLD, 1))}")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, [*paths, *([writable] if writable else [])]))}]")
    for name, body in (views or {}).items():
        connection.execute(f"CREATE VIEW {named(name)} AS {body}")
    connection.execute("SET enable_external_access = false")  # after this, allowed_paths cannot change
    connection.execute("SET lock_configuration = true")
    return connection


class _DuckDB:
    """The engine's reading of SQL, over empty relations of the granted columns."""

    def __init__(self, relations: Sequence[Mapping[str, Any]], limits: Mapping[str, int]) -> None:
        views = {each["name"].lower(): _empty(each["columns"]) for each in relations}
        self._columns = {each["name"]: ", ".join(name for name, _ in each["columns"]) for each in relations}
        self._connection = open_jail(limits, views=views)

    def parse(self, sql: str) -> Node:
        (text,) = self._connection.execute(_PARSE, [sql]).fetchone() or ("{}",)
        document: Node = json.loads(text)
        return document

    def render(self, node: Node) -> str:
        document = json.dumps({"error": False, "statements": [{"node": node}]})
        (text,) = self._connection.execute(_RENDER, [document]).fetchone() or ("",)
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


def _say(out: BinaryIO, **words: Any) -> None:
    out.write(json.dumps(words).encode() + b"\n")


def analyse(job: Mapping[str, Any], out: BinaryIO) -> None:
    """Answer with the facts of a query, or the refusal."""
    try:
        engine = _DuckDB(job["relations"], job["limits"])
        _say(out, status="facts", facts=analysis.facts(job["sql"], job["relations"], job["today"], engine))
    except Refusal as refusal:
        _say(out, status="refused", code=refusal.code, message=refusal.message, hint=refusal.hint)


def extract(job: Mapping[str, Any], out: BinaryIO) -> None:
    """Write the granted columns and rows to one file."""
    try:
        connection = open_jail(job["limits"], job["sources"], writable=job["target"])
        (rows,) = connection.execute(job["sql"]).fetchone() or (0,)
    except duckdb.Error as error:
        _say(out, status="failed", kind=_kind(error))
    else:
        _say(out, status="done", rows=rows)


def run(job: Mapping[str, Any], out: BinaryIO) -> None:
    """Stream what checked SQL returns over the extracts."""
    files = [path for paths in job["files"].values() for path in paths]
    views = {
        name: f"FROM read_parquet([{', '.join(map(quoted, paths))}])"  # the extract holds what the contract grants
        for name, paths in job["files"].items()
    }
    try:
        connection = open_jail(job["limits"], files, views)
        rows = _stream(connection.sql(job["sql"]), job["limits"]["max_rows"], out)
        trailer: dict[str, Any] = {"status": "done", "rows": rows}
    except (duckdb.Error, OSError) as error:  # Arrow's reader raises OSError for what fails in mid-stream
        trailer = {"status": "failed", "kind": _kind(error)}
    out.write(b"\n")
    _say(out, **trailer)


def _stream(relation: duckdb.DuckDBPyRelation, most: int, out: BinaryIO) -> int:
    reader = relation.to_arrow_reader(_BATCH)
    _say(out, status="rows")
    rows = 0
    with ipc.new_stream(out, reader.schema) as stream:
        for batch in reader:
            rows += batch.num_rows
            stream.write_batch(batch)
            if rows > most:  # no use in going on: the parent counts, and will refuse
                break
    return rows


def _kind(error: Exception) -> str:
    """A word of a closed set; the engine's own words may hold values and paths, and never leave."""
    if isinstance(error, BrokenPipeError):
        raise error
    interrupted = isinstance(error, duckdb.OutOfMemoryException | duckdb.InterruptException)
    return "limit" if interrupted or "INTERRUPT" in str(error) or "Out of Memory" in str(error) else "value"


def probe(job: Mapping[str, Any], out: BinaryIO) -> None:
    """Say what a child that is shut in like all others tries in vain."""
    open_jail(job["limits"])
    _say(out, status="probed", denied=kernel.denied())


KINDS: Final = {"analyse": analyse, "extract": extract, "run": run, "probe": probe}


def answer(job_file: int, result: int) -> None:
    """Read one job from a file descriptor and write its answer to another."""
    with os.fdopen(job_file, "rb") as source:
        job = json.load(source)
    with os.fdopen(result, "wb") as out:
        KINDS[job["kind"]](job, out)
