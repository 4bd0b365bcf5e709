"""A hundred at once, of whom twenty are hostile: the eighty wait hardly longer than they do among themselves."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from sandbox.core.errors import SandboxError
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits

BENIGN, HOSTILE = 80, 20
EACH = 1
"""Queries of each benign client in one measurement."""
ATTEMPTS = 3
"""Measurements, of which the best counts: another program may take the machine for a while."""
MOST = 2.0
LIMITS = Limits(max_rows=1000, max_bytes=1 << 20, seconds=10, memory_mb=256)
SHORT = Limits(max_rows=1000, max_bytes=1 << 20, seconds=2, memory_mb=128)
RUNS = (
    "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))",
    "SELECT count(*) FROM range(1000000000) a, range(1000000000) b",
    "SELECT length(list_sort(range(200000000)))",
    "SELECT max(sha256(i::VARCHAR)) FROM range(10000000000) t(i)",
    "SELECT sleep_ms(60000)",
    "SELECT i FROM range(10000000000) t(i)",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r, range(2)) SELECT count(*) FROM r",
)
TEXTS = (
    "SELECT 1" + " UNION SELECT 1" * 4_300,
    "SELECT a" + ".a" * 32_000,
    "SELECT " + "(" * 190 + "1" + ")" * 190,
)


def rows_of(engine: JailedEngine, job: Job) -> int:
    """Run a job to its end and count its rows."""
    with engine.run(job) as outcome:
        return sum(batch.num_rows for batch in outcome.batches())


@pytest.fixture(scope="module")
def crowd() -> Iterator[JailedEngine]:
    engine = JailedEngine(workers=4, patience=120)
    assert rows_of(engine, Job("qry", "SELECT 1", {}, LIMITS)) == 1
    yield engine
    engine.close()


def asked(engine: JailedEngine, owner: str, number: int) -> float:
    """Seconds from a benign query to its last row; each is another one, so that no answer is remembered."""
    began = time.monotonic()
    sql = f"SELECT sum(i * {time.monotonic_ns()}::HUGEINT % 97) AS x, {number} AS n FROM range(20000) t(i)"
    facts = engine.analyse(sql, [], owner)
    assert rows_of(engine, Job("qry", facts.runs, {}, LIMITS, owner=owner)) == 1
    return time.monotonic() - began


def eighty(engine: JailedEngine) -> float:
    """The median of what eighty clients wait, who each send their next query when they have the last one's answer."""

    def client(number: int) -> list[float]:
        return [asked(engine, f"benign {number}", turn) for turn in range(EACH)]

    with ThreadPoolExecutor(BENIGN) as pool:
        return statistics.median(seconds for each in pool.map(client, range(BENIGN)) for seconds in each)


def hostile(engine: JailedEngine, number: int, over: threading.Event) -> list[str]:
    """One that never rests, and knows no way but harm; answers how each attempt ended."""
    owner, ends = f"hostile {number}", []
    turn = number
    while not over.is_set():
        turn += 1
        try:
            if turn % 4 == 0:
                engine.analyse(TEXTS[turn // 4 % len(TEXTS)], [], owner)
            else:
                rows_of(engine, Job("qry", RUNS[turn % len(RUNS)], {}, SHORT, owner=owner))
            ends.append("answered")
        except SandboxError as refused:
            ends.append(refused.code)
    return ends


@contextmanager
def twenty(engine: JailedEngine) -> Iterator[Callable[[], list[str]]]:
    over = threading.Event()
    ends: list[str] = []
    with ThreadPoolExecutor(HOSTILE) as pool:
        running = [pool.submit(hostile, engine, number, over) for number in range(HOSTILE)]
        time.sleep(0.5)  # they are all in before anybody else
        try:
            yield lambda: ends
        finally:
            over.set()
            for each in running:
                ends += each.result()


def test_twenty_hostile_clients_do_not_double_what_eighty_others_wait(crowd: JailedEngine) -> None:
    eighty(crowd)  # warm
    ratios = []
    for _ in range(ATTEMPTS):
        alone = eighty(crowd)
        with twenty(crowd) as ends:
            among = eighty(crowd)
        assert ends(), "the hostile have been at work"
        ratios.append(among / alone)
        if ratios[-1] <= MOST:
            return
    pytest.fail(f"the median grew by {ratios}")


def test_one_hostile_client_with_many_queries_has_no_more_than_one_share(crowd: JailedEngine) -> None:
    """Twenty queries at once of one participant weigh less than twenty participants."""
    over = threading.Event()
    with ThreadPoolExecutor(HOSTILE) as pool:
        alone = min(asked(crowd, "a buyer", turn) for turn in range(5))
        running = [pool.submit(hostile, crowd, 0, over) for _ in range(HOSTILE)]
        time.sleep(0.5)
        among = [asked(crowd, "a buyer", turn) for turn in range(15)]
        over.set()
        assert all(each.result() for each in running)
    assert statistics.median(among) < alone + 0.5, "a slice of those at work, and not a queue of twenty"
