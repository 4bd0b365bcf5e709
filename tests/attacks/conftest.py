"""Fixtures: for the corpus one grant over a million bus trips, for the other attacks a small exchange."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from sandbox.core.terms import Column, Condition, DatasetId, Digest, Scope
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Facts, Job, Limits, Relation
from tests.answers import Ran
from tests.world import World, checked

ROWS = """
  SELECT i AS trip_id, 'R' || lpad((i * 7919 % 5000)::VARCHAR, 5, '0') AS rider_id,
    ['01', '03', '08', '14', '19', '27', '32', '53', '65', '93', '109', 'D4'][1 + i * 31 % 12] AS route,
    TIMESTAMP '2026-03-01' + to_seconds(i * 8) AS boarded_at, (5000 + i * 13 % 5 * 1000)::INTEGER AS fare_vnd
  FROM range(1000000) t(i)"""
TRIPS = Relation(
    "bus_trips",
    (
        Column("trip_id", "BIGINT"),
        Column("rider_id", "VARCHAR"),
        Column("route", "VARCHAR"),
        Column("boarded_at", "TIMESTAMP"),
        Column("fare_vnd", "INTEGER"),
    ),
)


@dataclass(frozen=True)
class Bus:
    """The jail, the granted relation, its extract, and its source for plain DuckDB."""

    engine: JailedEngine
    relation: Relation
    source: Path
    folder: Path
    extract: Path

    def analyse(self, sql: str) -> Facts:
        return self.engine.analyse(sql, [self.relation])

    def run(self, facts: Facts, extract: Path | None = None, seconds: int = 3) -> Ran:
        limits = Limits(max_rows=2_000_000, max_bytes=1 << 28, seconds=seconds, memory_mb=1024)
        with self.engine.run(Job("qry", facts.runs, {"bus_trips": (extract or self.extract,)}, limits)) as outcome:
            return Ran(outcome.read())

    def narrowed(self, source: Path, *rows: Condition) -> Path:
        """An extract of some rows only."""
        columns = self.relation.columns
        scope = Scope(
            DatasetId("bus_trips"), Digest("sha256:" + "0" * 64), tuple(column.name for column in columns), rows
        )
        return self.engine.extract(scope, columns, (source,), self.folder)

    def written(self, name: str, sql: str) -> Path:
        """Another source."""
        path = self.source.with_name(name)
        duckdb.sql(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
        return path


@pytest.fixture(scope="session")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    folder = tmp_path_factory.mktemp("bus")
    engine = JailedEngine(workers=6)
    source = folder / "bus_trips.parquet"
    bus = Bus(engine, TRIPS, source, folder / "extracts", source)
    bus.written(source.name, ROWS)
    yield Bus(engine, TRIPS, source, bus.folder, bus.narrowed(source))
    engine.close()


@pytest.fixture
def ready(tmp_path: Path, ready_world: World) -> Iterator[World]:
    """A small exchange of the test's own, whose invariants hold after whatever the test did to it."""
    yield from checked(ready_world.copy_to(tmp_path))


@pytest.fixture
def world(tmp_path: Path, bare_world: World) -> Iterator[World]:
    """One with its participants only."""
    yield from checked(bare_world.copy_to(tmp_path))
