"""A governed query in process: whole, step by step, by several threads, beside DuckDB alone."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb

from sandbox.exchange import query
from tests.bench.figures import Act, Bench, Row, compared, medians, per_second, rate, took
from tests.world import PER_ROUTE, TRIPS, World

STEPS = {
    "agreement": "_under_what",
    "analyse": "_touched",
    "decide": "decide",
    "admit": "admit",
    "run and release": "release",
    "settle": "settle",
}
"""Each step's function in ``sandbox.exchange.query``; "start" is the engine's own, for release reads while it runs."""
ORDER = ("agreement", "analyse", "decide", "admit", "start", "run and release", "settle")
THREADS = (1, 4)


def ask(bench: Bench) -> Iterator[Row]:
    """(a) What the exchange adds to a small query, and in which step."""
    world = bench.world
    file = _file_of(world, TRIPS)
    warm, cold = plain(file), partial(_opened_and_asked, file)
    with _timed(world) as spent:
        found = medians(bench, bench.sized(40, 6), {"governed": world.query, "open": warm, "opened": cold})
    whole = found["governed"]
    yield compared("governed query of 120 rows", whole, "DuckDB alone, connection open", found["open"])
    yield compared("governed query of 120 rows", whole, "DuckDB alone, connection opened for it", found["opened"])
    for step in ORDER:
        yield Row(f"… of it {step}", took(each := statistics.median(spent[step])), "the whole", each / whole)
    for threads in THREADS:
        yield _throughput(bench, threads, lambda: world.query, lambda: plain(file))


def _throughput(bench: Bench, threads: int, ours: Callable[[], Act], theirs: Callable[[], Act]) -> Row:
    mine, other = (per_second(make, threads, bench.window) for make in (ours, theirs))
    crowd = f"{threads} thread{'s' * (threads > 1)}"
    return Row(f"governed queries, {crowd}", rate(mine), f"DuckDB alone, {crowd}, {rate(other)}", mine / other)


def _file_of(world: World, dataset: str) -> Path:
    (version,) = (each for each in world.exchange.datasets() if each.dataset == dataset)
    return world.exchange.house.shelf.path(version.files[0].digest)


def plain(path: Path) -> Act:
    """The same SQL over the same file, on a connection that stays open."""
    connection = duckdb.connect(":memory:", config={"threads": 2})
    connection.execute(f"CREATE VIEW {TRIPS} AS FROM read_parquet('{path}')")
    return lambda: connection.sql(PER_ROUTE).to_arrow_table()


def _opened_and_asked(path: Path) -> None:
    plain(path)()


@contextmanager
def _timed(world: World) -> Iterator[dict[str, list[float]]]:
    """The seconds of every step while this is open."""
    spent: dict[str, list[float]] = {step: [] for step in ORDER}
    engine: Any = world.exchange.house.engine
    places = [("start", engine, "run"), *((step, query, name) for step, name in STEPS.items())]
    with ExitStack() as patches:
        for step, place, name in places:
            patches.enter_context(patch.object(place, name, _clocked(getattr(place, name), spent[step])))
        yield spent


def _clocked(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def clocked(*given: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            spent.append(time.perf_counter() - start)

    return clocked
