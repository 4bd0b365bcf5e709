"""TPC-H through the jail, beside plain DuckDB over the same extracts and over the Parquet files they were made of."""

import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from sandbox.query.duckdb import JailedEngine
from tests.bench.figures import Act, Bench, Row, compared, medians, seconds_of, took
from tests.bench.jailing import Shop, drained, opened, shop

GENERATOR = "tpchgen-cli"
PINNED = f"{GENERATOR}==4.0.0"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
QUERIES = tuple(sql.strip() for sql in Path(__file__).with_suffix(".sql").read_text().split(";"))
CACHE = Path(__file__).parents[2] / ".benchmarks"
"""Ignored by git; generating at scale 1 takes a quarter of a minute and 350 MB."""


def tpch(bench: Bench) -> Iterator[Row]:
    """(h) The 22 queries: read, run and drained; each median of a query takes part in the total."""
    scale = "0.02" if bench.quick else "1"
    files = sources(scale)
    if files is None:
        yield Row(f"TPC-H at scale {scale}", "not measured", f"run `pip install {PINNED}` first", math.nan)
        return
    with closing(JailedEngine(patience=600)) as engine:
        made: list[Shop] = []
        taken = seconds_of(lambda: made.append(shop(engine, files, bench.fresh("tpch"))))
        size, before = (sum(path.stat().st_size for path in paths.values()) for paths in (made[0].extracts, files))
        against = f"Parquet as it came, {before / 1e6:,.0f} MB; made in {took(taken)}"
        yield Row(f"TPC-H at scale {scale}, extracts", f"{size / 1e6:,.0f} MB", against, size / before)
        yield from _turns(bench, made[0], files, scale)


def _turns(bench: Bench, made: Shop, files: dict[str, Path], scale: str) -> Iterator[Row]:
    same, parquet = opened(made.extracts), opened(files)
    found: dict[str, list[float]] = {"jail": [], "same": [], "parquet": []}
    for sql in QUERIES:
        if (got := made.asked(sql)) != (due := drained(parquet, sql)):
            raise RuntimeError(f"{got} rows came out of the jail, due are {due}: {sql}")
        acts: dict[str, Act] = {
            "jail": partial(made.asked, sql),
            "same": partial(drained, same, sql),
            "parquet": partial(drained, parquet, sql),
        }
        for name, median in medians(bench, bench.sized(3, 1), acts).items():
            found[name].append(median)
    what = f"TPC-H at scale {scale}, 22 queries through the jail"
    for other, words in (("same", "DuckDB alone, same extracts"), ("parquet", "DuckDB alone, Parquet as it came")):
        yield compared(f"{what}, total", sum(found["jail"]), words, sum(found[other]))
        yield compared("… geometric mean", _mean(found["jail"]), words, _mean(found[other]))
    pairs = zip(found["jail"], found["same"], strict=True)
    ratio, number, ours, theirs = max((ours / same, number, ours, same) for number, (ours, same) in enumerate(pairs, 1))
    yield Row(f"… worst by ratio, query {number}", took(ours), f"DuckDB alone, same extracts, {took(theirs)}", ratio)


def _mean(numbers: list[float]) -> float:
    return statistics.geometric_mean(numbers)


def sources(scale: str) -> dict[str, Path] | None:
    """The Parquet file of each table, generated once; ``None`` without the generator."""
    folder = CACHE / f"tpch-{scale}"
    if not folder.exists():
        beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        if (program := shutil.which(GENERATOR, path=beside)) is None:
            return None
        part = CACHE / f"tpch-{scale}.part"  # a broken run leaves no folder that looks whole
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        subprocess.run([program, "parquet", "-s", scale, "-o", str(part), "--quiet"], check=True)
        part.rename(folder)
    return {table: folder / f"{table}.parquet" for table in TABLES}
