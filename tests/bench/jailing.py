"""The jail beside plain DuckDB over the same extract: a small query, a new session, and the reading of its SQL."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from sandbox.core.terms import Column, DatasetId, Digest, Scope
from sandbox.query import analysis, worker
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation
from tests.bench.figures import Act, Bench, Row, compared, medians, took
from tests.world import TRIPS, trips

LIMITS = Limits(max_rows=1 << 30, max_bytes=1 << 34, seconds=600, memory_mb=1024)
VERSION = Digest("sha256:" + "0" * 64)
SMALL = f"SELECT tuyen, count(*) AS chuyen, sum(gia_vnd) AS tien FROM {TRIPS} GROUP BY tuyen"
SPARE_SECONDS = 0.1
"""Long enough for checkers to be made ahead."""


def rows_of(engine: JailedEngine, job: Job) -> int:
    """Run a job and read its rows to the end."""
    with engine.run(job) as outcome:
        return sum(batch.num_rows for batch in outcome.batches())


def opened(sources: Mapping[str, Path]) -> duckdb.DuckDBPyConnection:
    """The same files in the benchmark's own process, Parquet or extracts, with two threads as in the jail."""
    connection = duckdb.connect(":memory:", config={"threads": 2})
    for number, (name, path) in enumerate(sources.items()):
        if path.suffix == ".parquet":
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{path}')")
        else:
            connection.execute(f"ATTACH '{path}' AS file{number} (READ_ONLY)")
            connection.execute(f"CREATE VIEW {name} AS FROM file{number}.main.rows")
    return connection


def drained(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Run SQL and read its rows to the end."""
    return sum(batch.num_rows for batch in connection.sql(sql).to_arrow_reader(122_880))


@dataclass(frozen=True)
class Shop:
    """An engine, and the extracts of whole files."""

    engine: JailedEngine
    relations: tuple[Relation, ...]
    extracts: Mapping[str, Path]

    def asked(self, sql: str, owner: str = "bench") -> int:
        """What the exchange does of a query in the jail, all being granted: read the SQL, and run it."""
        facts = self.engine.analyse(sql, self.relations, owner)
        files = {name: (path,) for name, path in self.extracts.items()}
        return rows_of(self.engine, Job("qry_bench", facts.runs, files, LIMITS, owner=owner))


def shop(engine: JailedEngine, sources: Mapping[str, Path], folder: Path) -> Shop:
    """Everything in these Parquet files, granted."""
    relations = tuple(Relation(name, _columns(path)) for name, path in sources.items())
    extracts = {}
    for each in relations:
        scope = Scope(DatasetId(each.name), VERSION, tuple(column.name for column in each.columns))
        extracts[each.name] = engine.extract(scope, each.columns, (sources[each.name],), folder)
    return Shop(engine, relations, extracts)


def _columns(path: Path) -> tuple[Column, ...]:
    relation = duckdb.sql(f"FROM read_parquet('{path}')")
    return tuple(Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))


def jail(bench: Bench) -> Iterator[Row]:
    """(g) What the jail adds to a small query, warm and in a new session, and to reading its SQL."""
    folder = bench.fresh("jail")
    _, table = trips()
    pq.write_table(table, source := folder / "v1.parquet")
    with closing(JailedEngine()) as engine:
        made = shop(engine, {TRIPS: source}, folder / "extracts")
        yield from _asked(bench, made)
        yield from _read(bench, made)


def _asked(bench: Bench, made: Shop) -> Iterator[Row]:
    plain, strangers = opened(made.extracts), count()
    made.asked(SMALL)
    acts: dict[str, Act] = {
        "jail": lambda: made.asked(SMALL),
        "open": lambda: drained(plain, SMALL),
        "new": lambda: made.asked(SMALL, f"bench-{next(strangers)}"),
        "opened": lambda: drained(opened(made.extracts), SMALL),
    }
    found = medians(bench, bench.sized(100, 10), acts)
    yield compared("small query through the jail, session warm", found["jail"], "DuckDB alone", found["open"])
    added = found["jail"] - found["open"]
    sign = "-" if added < 0 else ""  # less than the noise of a busy machine
    yield Row("… of it added by the jail", sign + took(abs(added)), "the whole", added / found["jail"])
    yield compared("first query of a new session", found["new"], "DuckDB alone, connection opened", found["opened"])


def _read(bench: Bench, made: Shop) -> Iterator[Row]:
    """The gate itself is the same code; the jail adds a process that is used once."""
    numbers, relations = count(), _as_job(made.relations)
    inside = worker.DuckDB(duckdb.connect(":memory:", config={"threads": 1}), relations)

    def text() -> str:
        return f"{SMALL} HAVING count(*) > {next(numbers)}"

    acts: dict[str, Act] = {
        "new": lambda: made.engine.analyse(text(), made.relations, "bench"),
        "known": lambda: made.engine.analyse(SMALL, made.relations, "bench"),
        "inside": lambda: analysis.facts(text(), relations, "2026-12-01", inside),
    }
    found = medians(bench, bench.sized(100, 10), acts)
    yield compared("SQL read by a checker, a new text", found["new"], "the same code in process", found["inside"])
    rested = medians(bench, bench.sized(40, 5), {"rest": lambda: time.sleep(SPARE_SECONDS), "new": acts["new"]})
    yield compared("… when a spare one waits", rested["new"], "the same code in process", found["inside"])
    yield compared("… a text that was read before", found["known"], "a new text", found["new"])


def _as_job(relations: Sequence[Relation]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "columns": [[column.name, column.type] for column in each.columns],
            "dimensions": [],
            "unit": None,
            "nullable": [],
        }
        for each in relations
    ]
