"""Bombs: whatever eats time or memory ends in time, takes nothing along, leaves nothing behind and holds up nobody."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.core.errors import SandboxError
from sandbox.core.terms import Column
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation
from tests import processes

SECONDS = 1
ANALYSE_SECONDS = 2
MARGIN = 1.0
"""Seconds after its limit within which a bomb must have ended."""
LOOK = 0.1
"""Seconds for which those who are left are looked at."""
MOST_BUSY = 0.07
"""Seconds of CPU time meanwhile that each of them may use: they wait, they do not work."""
MOST_MB = 256 + 512
"""Scalars are not accounted by the engine: what is seen of them is what the jail lets through."""
MOST_PROCESSES = 16
MOST_KEPT_MB = 400
GROWTH_MB = 48
"""What the parent may grow by over a round of bombs that try to answer hundreds of megabytes each."""
READ_MB = 16
"""What it may grow by over rounds of texts that are only read."""
ROUNDS = 3
RELATION = Relation("t", (Column("a", "INTEGER"), Column("b", "VARCHAR")))


def rows_of(engine: JailedEngine, job: Job) -> int:
    """Run a job to its end and count its rows."""
    with engine.run(job) as outcome:
        return sum(batch.num_rows for batch in outcome.batches())


def limits(**given: int) -> Limits:
    return Limits(**({"max_rows": 1000, "max_bytes": 1 << 20, "seconds": SECONDS, "memory_mb": 256} | given))


_OTHERS: set[int] = set()


def nothing_is_left(engine: JailedEngine) -> None:
    """The engine answers; and what processes it keeps are few, small and idle."""
    assert rows_of(engine, Job("qry", "SELECT 42 AS x", {}, limits(seconds=10))) == 1
    time.sleep(0.05)  # who was killed is buried, and spares come up
    kept = {*processes.descendants()} - _OTHERS
    before = {pid: processes.cpu_seconds(pid) for pid in kept}
    time.sleep(LOOK)
    busy = {pid: used for pid in kept if (used := processes.cpu_seconds(pid) - before[pid]) > MOST_BUSY}
    assert busy == {}, "a child works on although nobody waits for it"
    assert [pid for pid in kept if processes.state(pid) in {"Z", "T"}] == []
    assert len(kept) <= MOST_PROCESSES
    assert all(processes.memory_mb(pid) < MOST_KEPT_MB for pid in kept)


@pytest.fixture(scope="module")
def fort() -> Iterator[JailedEngine]:
    _OTHERS.update(processes.descendants())  # of other tests
    engine = JailedEngine(workers=4, analyse_seconds=ANALYSE_SECONDS)
    assert rows_of(engine, Job("qry", "SELECT 1", {}, limits(seconds=20))) == 1
    yield engine
    engine.close()


def timed(work: Callable[[], object]) -> tuple[float, str]:
    """For how long it worked, and the code of its refusal."""
    began, code = time.monotonic(), ""
    try:
        work()
    except SandboxError as refused:
        code = refused.code
    return time.monotonic() - began, code


def watched(work: Callable[[], object]) -> tuple[float, str, float]:
    """The same, and the most memory in megabytes that a child had meanwhile."""
    peak = 0.0
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(timed, work)
        while not run.done():
            peak = max([peak, *map(processes.memory_mb, {*processes.descendants()} - _OTHERS)])
            time.sleep(0.002)
    return *run.result(), peak


# --- one by one ---
GIANT = "levenshtein(repeat('a', 400000), repeat('b', 400000))"
CPU = {
    "one call that cannot be interrupted": f"SELECT {GIANT}",
    "a call in WHERE": f"SELECT 1 WHERE {GIANT} > 5",
    "a cross join": "SELECT count(*) FROM range(1000000000) a, range(1000000000) b",
    "a product in ORDER BY": "SELECT 1 FROM range(99999) a, range(99999) b ORDER BY hash(a.range, b.range) LIMIT 1",
    "hashes": "SELECT max(sha256(i::VARCHAR)) FROM range(10000000000) t(i)",
    "a regex for each row": "SELECT count(*) FROM range(9999999999) t(i) WHERE md5(i::TEXT) SIMILAR TO '(.*a){9}'",
    "a regex over a long text": "SELECT regexp_replace(repeat('ab', 9000000), '(a|b|ab)*(ba)*c', 'x', 'g')",
    "a regex that counts": "SELECT regexp_matches(repeat('a', 9000000), '((a{1,30}){1,30}){1,30}b')",
    "endless recursion": "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT (n + 1) % 1000007 FROM r) SELECT max(n) FROM r",
    "doubling": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r, range(2)) SELECT max(n) FROM r",
    "lambdas in lambdas": "SELECT list_sum(list_transform(range(30000), lambda x: "
    "list_sum(list_transform(range(30000), lambda y: x * y))))",
    "reduce": "SELECT list_reduce(range(100000000), lambda x, y: (x * 31 + y) % 1000003)",
    "a distance for each": "SELECT sum(levenshtein(repeat('ab', 2000), i || repeat('ba', 2000))) FROM range(9999) t(i)",
    "a sleep": "SELECT sleep_ms(60000)",
    "a sleep for each row": "SELECT sum(sleep_ms(100)) FROM range(1000)",
    "a sleep by another name": "SELECT pg_sleep(60)",
    "a window over all": "SELECT max(s) FROM (SELECT median(i) OVER (ORDER BY i ROWS 90000 PRECEDING) s "
    "FROM range(10000000) t(i))",
}
MEMORY = {
    "one text": "SELECT length(repeat('x', 2000000000))",
    "one list": "SELECT length(list_sort(range(200000000)))",
    "many texts": "SELECT count(DISTINCT repeat(i::VARCHAR, 1000)) FROM range(100000000) t(i)",
    "a text of all": "SELECT length(string_agg(md5(i::VARCHAR), ',')) FROM range(1000000000) t(i)",
    "a list of all": "SELECT length(list(i)) FROM range(1000000000) t(i)",
    "a hash table": "SELECT count(*) FROM (SELECT i, count(*) FROM range(1000000000) t(i) GROUP BY i)",
    "a sort": "SELECT i FROM range(1000000000) t(i) ORDER BY hash(i) DESC OFFSET 999999990",
    "a join": "SELECT count(*) FROM range(500000000) a JOIN range(500000000) b ON hash(a.range) = hash(b.range)",
    "a structure": "SELECT length(list({'a': repeat('x', 9000), 'b': range(999)})) FROM range(10000000)",
    "texts that double": "WITH RECURSIVE r(t) AS (SELECT 'x' UNION ALL SELECT t || t FROM r) SELECT max(t) FROM r",
    "a map": "SELECT cardinality(map_from_entries(list({'k': i, 'v': i}))) FROM range(100000000) t(i)",
    "a histogram": "SELECT length(histogram(i)::VARCHAR) FROM range(1000000000) t(i)",
    "windows": "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY hash(i)) r FROM range(1000000000) t(i))",
}
SIZE = {
    "rows": "SELECT i FROM range(10000000000) t(i)",
    "wide rows": f"SELECT {', '.join(f'i AS c{n}' for n in range(3000))} FROM range(1000000) t(i)",
    "long texts": "SELECT repeat('x', 100000) AS x FROM range(1000000)",
    "one cell": "SELECT repeat('x', 60000000) AS x",
    "one list": "SELECT range(9000000) AS x",
    "nested lists": "SELECT [[[[range(1000)]]]] AS x FROM range(1000000)",
    "nulls": "SELECT NULL AS x FROM range(10000000000)",
    "a schema": f"SELECT {', '.join(f'1 AS {chr(97 + n % 26) * 600}{n}' for n in range(9000))}",
}
BOMBS = {
    f"{kind}: {name}": sql
    for kind, of in (("cpu", CPU), ("memory", MEMORY), ("size", SIZE))
    for name, sql in of.items()
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_without_the_gate_ends_in_time_and_takes_no_more_memory_than_it_may(
    fort: JailedEngine, name: str
) -> None:
    most = limits(max_rows=10**9, max_bytes=1 << 22) if name.startswith("size") else limits()
    look = watched if name.startswith("memory") else lambda work: (*timed(work), 0.0)
    seconds, code, peak = look(lambda: rows_of(fort, Job("qry", BOMBS[name], {}, most)))
    assert seconds < SECONDS + MARGIN
    assert peak <= MOST_MB
    assert code in {"run.limit", "run.failed"}
    nothing_is_left(fort)


def nested(outer: str, inner: str, times: int) -> str:
    """``outer`` around itself around ``inner``."""
    before, after = outer.split("…")
    return before * times + inner + after * times


NUMBERS = ",".join(map(str, range(3_000)))
DOUBLED = ", ".join(f"t{n} AS (SELECT * FROM t{n - 1} a, t{n - 1} b)" for n in range(1, 28))
TEXT = {
    "brackets": "SELECT " + nested("(…)", "1", 30_000),
    "brackets within the cap": "SELECT " + nested("(…)", "1", 199),
    "brackets in quotes": f"SELECT '{nested('(…)', '1', 30_000)}'",
    "brackets that close first": "SELECT " + ")(" * 30_000,
    "calls": "SELECT " + nested("abs(…)", "1", 199),
    "subqueries": nested("SELECT * FROM (…)", "SELECT 1", 199),
    "not": "SELECT " + "NOT " * 16_000 + "true",
    "minus": "SELECT " + "- " * 32_000 + "1",
    "plus": "SELECT 1" + "+1" * 32_000,
    "and": "SELECT a FROM t WHERE a = 1" + " AND a = 1" * 6_000,
    "or of equals": "SELECT a FROM t WHERE " + " OR ".join(f"a = {n}" for n in range(4_500)),
    "case": "SELECT " + "CASE WHEN a = 1 THEN " * 3_000 + "1" + " END" * 3_000 + " FROM t",
    "one long case": "SELECT CASE " + " ".join(f"WHEN a = {n} THEN {n}" for n in range(2_500)) + " END FROM t",
    "casts": "SELECT 1" + "::INT" * 13_000,
    "list types": "SELECT NULL::INT" + "[]" * 32_000,
    "struct types": "SELECT NULL::" + nested("STRUCT(a …)", "INT", 190),
    "arrows": "SELECT '{}'::JSON" + "->'a'" * 12_000,
    "dots": "SELECT a" + ".a" * 32_000 + " FROM t",
    "slices": "SELECT b" + "[1]" * 20_000 + " FROM t",
    "collations": "SELECT b" + " COLLATE nocase" * 4_000 + " FROM t",
    "unions": "SELECT 1" + " UNION SELECT 1" * 4_300,
    "unions of stars": "SELECT * FROM t" + " UNION ALL SELECT * FROM t" * 2_400,
    "an IN list": f"SELECT a FROM t WHERE a IN ({','.join(map(str, range(11_000)))})",
    "values": f"SELECT * FROM (VALUES {','.join('(1,2,3)' for _ in range(7_000))})",
    "columns": f"SELECT {','.join('a' for _ in range(32_000))} FROM t",
    "stars": f"SELECT {','.join('*' for _ in range(32_000))} FROM t",
    "stars that double": f"WITH t0 AS (SELECT 1 AS x), {DOUBLED} SELECT * FROM t27",
    "stars that double behind a count": f"WITH t0 AS (SELECT 1 AS x), {DOUBLED} SELECT count(*) FROM t20",
    "names that unfold": "WITH t0 AS (SELECT 1 x), "
    + ", ".join(f"t{n} AS (SELECT x + x AS x FROM t{n - 1})" for n in range(1, 900))
    + " SELECT x FROM t899",
    "joins": "SELECT count(*) FROM t" + " JOIN t USING (a)" * 3_600,
    "cross joins": "SELECT count(*) FROM " + ", ".join(f"t a{n}" for n in range(5_000)),
    "with": "WITH " + ", ".join(f"c{n} AS (SELECT 1)" for n in range(2_900)) + " SELECT 1",
    "lambdas": "SELECT " + nested("list_transform([1], lambda x: …)", "x", 190),
    "windows": f"SELECT {','.join('sum(a) OVER (ORDER BY b)' for _ in range(2_500))} FROM t",
    "a cube": f"SELECT count(*) FROM t GROUP BY CUBE ({','.join(f'a+{n}' for n in range(60))})",
    "cubes": "SELECT count(*) FROM t GROUP BY " + ", ".join("CUBE (a, b)" for _ in range(4_000)),
    "a pivot": f"PIVOT t ON a IN ({','.join(map(str, range(11_000)))}) USING count(*)",
    "a pivot of pairs": f"PIVOT t ON a IN ({NUMBERS}), b IN ({NUMBERS})",
    "folded text": "SELECT " + nested("repeat(…, 10000)", "'x'", 3),
    "folded lists": "SELECT list_sum(list_resize(list_resize([1], 100000), 100000))" + " + 1" * 100,
    "folded padding": "SELECT length(" + nested("lpad(…, 10000, 'ab')", "'x'", 190) + ")",
    "folded regex": "SELECT regexp_matches(repeat('a', 10000), '((a{1,30}){1,30}){1,30}b')",
    "folded ranges": "SELECT list_sum(list_transform(range(99999999), lambda x: x * 2))",
    "folded distance": "SELECT levenshtein(repeat('a', 10000) || repeat('a', 10000), repeat('b', 10000))" + "+1" * 9,
    "folded power": "SELECT " + "2**" * 9_000 + "2",
    "folded factorial": "SELECT " + "!".join(["9"] * 2) + "!" * 9_000,
    "comments": "SELECT 1 " + "/*" * 32_000,
    "dashes": "SELECT 1 " + "--\n" * 20_000,
    "quotes": "SELECT " + "'" * 65_000,
    "dollar quotes": "SELECT " + "$a$" * 20_000,
    "a long name": f'SELECT 1 AS "{"x" * 65_000}"',
    "a long number": "SELECT " + "9" * 65_000,
    "marks": "SELECT 1 AS a" + "\u0301" * 30_000,
    "statements": "SELECT 1;" * 7_000,
    "recursion in a CTE": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r, r b) SELECT * FROM r",
    "samples": "SELECT * FROM t" + " TABLESAMPLE 10%" * 3_000,
}


@pytest.mark.parametrize("name", TEXT)
def test_a_text_that_is_hard_to_read_is_read_or_refused_in_time(fort: JailedEngine, name: str) -> None:
    facts: list[Any] = []
    seconds, code = timed(lambda: facts.append(fort.analyse(TEXT[name], [RELATION])))
    assert seconds < ANALYSE_SECONDS + MARGIN
    assert facts or code.startswith(("query.", "sql."))
    if facts and "t" not in facts[0].tables:  # what was read may still be hard to run
        seconds, _ = timed(lambda: rows_of(fort, Job("qry", facts[0].runs, {}, limits())))
        assert seconds < SECONDS + MARGIN
    nothing_is_left(fort)


# --- the process that asks ---
def grown(bombs: list[str], texts: list[str]) -> tuple[float, float, list[list[float]]]:
    """Megabytes by which a process grew from the first round to the last, by its greatest too, and all that it said."""
    asked = json.dumps([bombs, texts, ROUNDS])
    script = Path(__file__).with_name("bombed.py")
    done = subprocess.run([sys.executable, script], input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    return seen[-1][0] - seen[0][0], seen[-1][1] - seen[0][0], seen


def test_the_process_that_asks_stays_small_whatever_is_answered() -> None:
    growth, highest, seen = grown([*SIZE.values()], [])
    assert growth < GROWTH_MB, seen
    assert highest < GROWTH_MB, seen


def test_the_process_that_asks_stays_small_whatever_is_read() -> None:
    """Long texts, each another one: what is remembered of them must have a bound in bytes."""
    texts = [f"SELECT a AS c{{n}} FROM t WHERE b <> '{'x' * 60_000}'"] * 12
    texts += [f"SELECT {','.join(f'a AS c{n}' for n in range(5_000))}, a AS d{{n}} FROM t"] * 6
    growth, _, seen = grown([], texts)
    assert growth < READ_MB, seen


def test_the_process_that_asks_stays_small_when_short_texts_unfold() -> None:
    unfolds = ", ".join(f"t{n} AS (SELECT * FROM t{n - 1} a, t{n - 1} b)" for n in range(1, 12))
    growth, _, seen = grown([], [f"WITH t0 AS (SELECT 1 AS c{{n}}), {unfolds} SELECT * FROM t11"] * 20)
    assert growth < READ_MB / 2, seen
