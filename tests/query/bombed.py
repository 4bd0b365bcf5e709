"""A process that asks the engine what it is told to on standard input, round after round, and says how large it is.

In comes ``[runs, texts, rounds]``, out goes ``[[VmRSS, VmHWM], ...]`` in megabytes, one after each round.
"""

import json
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from sandbox.core.errors import SandboxError
from sandbox.core.terms import Column
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation

LIMITS = Limits(max_rows=10**9, max_bytes=1 << 22, seconds=1, memory_mb=256)
RELATION = Relation("t", (Column("a", "INTEGER"), Column("b", "VARCHAR")))


def memory() -> list[float]:
    status = Path("/proc/self/status").read_text()
    return [int(status.split(name)[1].split()[0]) / 1024 for name in ("VmRSS:", "VmHWM:")]


def run(engine: JailedEngine, sql: str) -> None:
    with engine.run(Job("qry", sql, {}, LIMITS)) as outcome:
        for _ in outcome.batches():
            pass


def one_round(engine: JailedEngine, work: list[Callable[[], object]]) -> list[float]:
    for each in work:
        with suppress(SandboxError):
            each()
    run(engine, "SELECT 1")
    return memory()


def main() -> None:
    runs, texts, rounds = json.load(sys.stdin)
    seen = []
    with closing(JailedEngine(workers=2, analyse_seconds=1)) as engine:
        for turn in range(rounds):
            work = [lambda sql=sql: run(engine, sql) for sql in runs]
            named = [sql.replace("{n}", f"{turn}x{number}") for number, sql in enumerate(texts)]
            work += [lambda sql=sql: engine.analyse(sql, [RELATION]) for sql in named]
            seen.append(one_round(engine, work))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
