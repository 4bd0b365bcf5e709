"""Ten million rows out of the jail and through release, beside a bare pipe that carries the same Arrow stream.

Either way is a process of its own, so that its peak of memory is its own: ``python -m tests.bench.streaming jail DIR``.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from pyarrow import ipc

from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job
from sandbox.query.release import release
from tests.bench.figures import Act, Bench, Row, seconds_of
from tests.bench.jailing import LIMITS, Shop, opened, shop

NAME = "dong"
SQL = f"SELECT * FROM {NAME}"
BATCH = 122_880
RESULT_BYTES_A_ROW = 16
ROUNDS = 3
"""Within one process, after a first one that pays for caches."""


def arrow(bench: Bench) -> Iterator[Row]:
    """(i) Throughput, and whether the parent's memory depends on the result."""
    rows, folder = bench.sized(10_000_000, 1_000_000), bench.fresh("arrow")
    duckdb.execute(f"COPY (SELECT range AS so, range / 7 AS gia FROM range({rows})) TO '{folder / 'v1.parquet'}'")
    with closing(JailedEngine()) as engine:
        shop(engine, {NAME: folder / "v1.parquet"}, folder / "extracts")
    found: dict[str, list[dict[str, Any]]] = {"jail": [], "pipe": []}
    for _ in range(bench.sized(3, 1)):
        for way, each in found.items():
            each.append(_measured(way, folder))
    mine, bare = (rows / median(each["seconds"] for each in found[way]) for way in ("jail", "pipe"))
    what = f"{rows:,} rows × 2 as Arrow"
    yield Row(f"{what}, run and release", _rate(mine), f"a bare pipe from a child, {_rate(bare)}", mine / bare)
    size = rows * RESULT_BYTES_A_ROW
    for way, words in (("jail", "run and release"), ("pipe", "a bare pipe")):
        grown = max(each["grown"] for each in found[way])
        peak = max(each["peak"] for each in found[way])
        against = f"the result, {size / 1e6:,.0f} MB; peak in all {peak / 1e6:,.0f} MB"
        yield Row(f"… parent's peak memory grew, {words}", f"{grown / 1e6:,.0f} MB", against, grown / size)


def _rate(number: float) -> str:
    return f"{number / 1e6:.3g} million rows/s"


def _measured(way: str, folder: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.bench.streaming", way, str(folder)]
    said: dict[str, Any] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return said


def jailed(made: Shop, folder: Path) -> int:
    """One result, spooled and read as an answer is; the engine's own processes are not the parent's memory."""
    facts = made.engine.analyse(SQL, made.relations, "bench")
    with made.engine.run(
        Job("qry_bench", facts.runs, {NAME: (made.extracts[NAME],)}, LIMITS, owner="bench")
    ) as outcome:
        released = release(outcome, facts.guards, 1, LIMITS.max_rows, LIMITS.max_bytes, folder)
    for _ in released.spool.chunks():
        pass
    released.spool.close()
    return released.rows


def piped(child: "subprocess.Popen[bytes]") -> int:
    """The same rows from a child that does nothing else, read and dropped."""
    assert child.stdin
    assert child.stdout
    child.stdin.write(b"\n")
    child.stdin.flush()
    return sum(batch.num_rows for batch in ipc.open_stream(child.stdout))


def child(extract: Path) -> None:
    """For each line that comes, the whole result."""
    connection = opened({NAME: extract})
    for _ in sys.stdin:
        reader = connection.sql(SQL).to_arrow_reader(BATCH)
        with ipc.new_stream(sys.stdout.buffer, reader.schema) as stream:
            for batch in reader:
                stream.write_batch(batch)
        sys.stdout.flush()


def _timed(act: Act) -> dict[str, float]:
    act()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _peak()
    seconds = median(seconds_of(act) for _ in range(ROUNDS))
    return {"seconds": seconds, "grown": _peak() - before, "peak": _peak()}


def _peak() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def main() -> None:
    """One way, measured alone."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    if way == "child":
        child(folder)
    elif way == "jail":
        with closing(JailedEngine()) as engine:
            made = shop(engine, {NAME: folder / "v1.parquet"}, folder / "extracts")
            print(json.dumps(_timed(lambda: jailed(made, folder))))
    else:
        (extract,) = (folder / "extracts").iterdir()
        words = [sys.executable, "-m", "tests.bench.streaming", "child", str(extract)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
            print(json.dumps(_timed(lambda: piped(bare))))


if __name__ == "__main__":
    main()
