"""Measure the exchange on temporary folders and print a Markdown table: ``python -m tests.bench.run [NAME ...]``."""

import argparse
import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from tests.bench.asking import ask
from tests.bench.deciding import decide
from tests.bench.desk import desk
from tests.bench.figures import Bench, Row, table
from tests.bench.jailing import jail
from tests.bench.publishing import publish
from tests.bench.recording import prove, record
from tests.bench.serving import serve
from tests.bench.streaming import arrow
from tests.bench.tpch import tpch
from tests.bench.trusting import trust

MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "query": ask,
    "http": serve,
    "commit": record,
    "log": prove,
    "policy": decide,
    "trust": trust,
    "publish": publish,
    "jail": jail,
    "tpch": tpch,
    "arrow": arrow,
    "desk": desk,
}
PACKAGES = ("duckdb", "pyarrow", "sqlalchemy", "cryptography", "gordon-to-regorus", "starlette", "uvicorn", "httpx2")


def machine() -> str:
    """On what this was measured."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{cores} cores, load {load:.1f} at the start; {platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
    )


def measured(names: list[str], bench: Bench) -> Iterator[Row]:
    """The rows of these measures, each as soon as it is known."""
    for name in names or MEASURES:
        yield from MEASURES[name](bench)


def main() -> None:
    """Measure what is asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and less data: a smoke test")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(MEASURES)}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in MEASURES]:
        parser.error(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    print(machine(), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="sandbox-bench-") as folder:
        bench = Bench(Path(folder), asked.quick)
        try:
            for line in table(measured(asked.names, bench)):
                print(line, flush=True)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
