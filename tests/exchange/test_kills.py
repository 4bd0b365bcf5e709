"""Murder under load: workers, checkers and the zygote are killed at random, and every query still has one end."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from sandbox.app import create_app
from sandbox.core.database import metadata
from sandbox.core.errors import QueryRefused, SandboxError, Unavailable
from sandbox.core.terms import ParticipantId
from sandbox.exchange.case import QueryRequest
from sandbox.exchange.query import Result
from tests import invariants
from tests.processes import descendants, state
from tests.world import BUYER, INDEX, OTHER, PER_ROUTE, TRIPS, World

CLIENTS = 6
EACH = 8
"""Queries of each client in a round."""
WORKERS = 3
"""How far below the server they are: it starts one that starts the zygote, which forks them."""
PRICE = 100
BY_PLACE = "SELECT noi, diem * 2 AS gap_doi FROM chi_so ORDER BY noi"
ROUTES = [("R1", 30, 420_000), ("R2", 28, 392_000)]
PLACES = [("A", 10), ("B", 8), ("C", 6), ("D", 4), ("E", 2)]


# --- the killer ---
@dataclass
class Killer:
    """Kills at random, but none of ``spared``; one time in ``rarely`` anybody, else only who works."""

    chance: Random
    seconds: float
    rarely: int
    spared: frozenset[int]
    killed: list[int] = field(default_factory=list)

    def once(self) -> None:
        found = {pid: depth for pid, depth in descendants().items() if pid not in self.spared}
        rare = self.chance.randrange(self.rarely) == 0
        chosen = [pid for pid, depth in found.items() if rare or depth >= WORKERS]
        if chosen:
            self._kill(self.chance.choice(sorted(chosen)))

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError, OSError):
            descriptor = os.pidfd_open(pid)
            try:
                if pid in descendants():  # the number is still that process's
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    self.killed.append(pid)
            finally:
                os.close(descriptor)

    def until(self, stop: threading.Event) -> None:
        while not stop.wait(self.chance.uniform(0, 2 * self.seconds)):
            self.once()

    def _funeral(self) -> None:
        """Wait until who was killed is gone, and its children with it: that takes the system a moment."""
        while any(state(pid) not in {"", "Z"} for pid in self.killed):
            time.sleep(0.01)
        time.sleep(0.5)

    @contextmanager
    def at_large(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.until, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._funeral()


# --- the clients ---
@dataclass(frozen=True)
class Ask:
    """What one buyer asks, and the only right answer."""

    buyer: str
    dataset: str
    sql: str
    rows: list[tuple[Any, ...]]


ASKS = [Ask(BUYER, TRIPS, PER_ROUTE, ROUTES), Ask(OTHER, TRIPS, PER_ROUTE, ROUTES), Ask(BUYER, INDEX, BY_PLACE, PLACES)]


@pytest.fixture
def busy(ready: World) -> World:
    for dataset, buyer in ((TRIPS, BUYER), (TRIPS, OTHER)):
        ready.agree(dataset, buyer, price_vnd=PRICE)
    return ready


def ask(world: World, one: Ask) -> Result | BaseException:
    request = QueryRequest(one.sql, (world.agreements[one.dataset, one.buyer],), "nghien_cuu")
    try:
        return world.exchange.query(world.who(one.buyer), request)
    except BaseException as error:
        return error


def a_round(work: Callable[[Ask], Any]) -> list[tuple[Ask, Any]]:
    """All clients at once; who asked, and what came."""

    def client(number: int) -> list[tuple[Ask, Any]]:
        one = ASKS[number % len(ASKS)]
        return [(one, work(one)) for _ in range(EACH)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [each for answers in pool.map(client, range(CLIENTS)) for each in answers]


def rows(result: Result) -> list[tuple[Any, ...]]:
    table = pa.ipc.open_stream(result.ipc).read_all()
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))


def ends(world: World) -> Mapping[str, list[str]]:
    """What the log says of each query."""
    found: dict[str, list[str]] = {}
    for entry in world.entries():
        if entry["type"].startswith("query."):
            found.setdefault(entry["query"], []).append(entry["type"].removeprefix("query."))
    return found


def states(world: World) -> set[str]:
    runs = metadata.tables["query_run"]
    with world.exchange.house.database.read() as connection:
        return {row.state for row in connection.execute(sa.select(runs.c.state))}


def judge(world: World, answers: list[tuple[Ask, Any]]) -> None:
    """Each answer is the right one or a clean refusal, and the log says the same of it, once."""
    said = ends(world)
    for one, answer in answers:
        if isinstance(answer, Result):
            assert rows(answer) == one.rows
            assert said.pop(answer.id) == ["authorized", "completed"]
        else:
            assert isinstance(answer, Unavailable | QueryRefused), repr(answer)
            assert said.pop(str(answer.query)) in (["authorized", "failed"], ["refused"]), answer.code
    assert said == {}, "no query is in the log that nobody asked"
    assert states(world) <= {"completed", "failed", "refused"}


def paid(world: World) -> dict[str, int]:
    return {buyer: 100_000 - world.exchange.balance(ParticipantId(buyer)) for buyer in (BUYER, OTHER)}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open one more


KILLERS = [
    # seconds between two, one in so many may be the zygote: all the time anybody, now and then a worker, mostly workers
    (0.005, 1),
    (0.15, 10),
    (0.04, 25),
]


@pytest.mark.parametrize(("seconds", "rarely"), KILLERS)
def test_every_query_has_one_end_whoever_dies(busy: World, seconds: float, rarely: int) -> None:
    killer = Killer(Random(seconds), seconds, rarely, frozenset(descendants()))
    answers: list[tuple[Ask, Any]] = []
    for _ in range(2):
        with killer.at_large():
            answers += a_round(lambda one: ask(busy, one))
        shutil.rmtree(busy.exchange.house.extracts, ignore_errors=True)  # the next round makes them under fire
    assert killer.killed
    judge(busy, answers)
    completed = [one for one, answer in answers if isinstance(answer, Result)]
    assert paid(busy) == {
        buyer: PRICE * sum(one.buyer == buyer and one.dataset == TRIPS for one in completed) for buyer in (BUYER, OTHER)
    }
    invariants.check(busy.exchange, busy.vkey)
    for one in ASKS:
        last = ask(busy, one)
        assert isinstance(last, Result), repr(last)
        assert rows(last) == one.rows
    assert not [*busy.exchange.house.extracts.rglob("part-*")]


def test_calm_queries_all_complete_and_pay(busy: World) -> None:
    answers = a_round(lambda one: ask(busy, one))
    judge(busy, answers)
    assert all(isinstance(answer, Result) for _, answer in answers)
    each = PRICE * EACH * CLIENTS // len(ASKS)
    assert paid(busy) == {BUYER: each, OTHER: each}


def test_the_dead_leave_no_descriptor_thread_or_process_behind(busy: World) -> None:
    spared = frozenset(descendants())
    assert not isinstance(ask(busy, ASKS[0]), SandboxError)
    a_round(lambda one: ask(busy, one))
    before = descriptors(), threading.active_count()
    killer = Killer(Random(7), 0.02, 6, spared)
    for _ in range(2):
        with killer.at_large():
            a_round(lambda one: ask(busy, one))
    a_round(lambda one: ask(busy, one))
    assert descriptors() <= before[0] + 12, "a few for children that wait"
    assert threading.active_count() <= before[1] + 2
    busy.exchange.house.engine.close()
    time.sleep(0.3)
    assert {*descendants()} - spared == set()
    busy.reopen()


def test_over_http_the_dead_are_a_clean_503_or_403(busy: World) -> None:
    client = TestClient(create_app(busy.exchange), raise_server_exceptions=False)

    def post(one: Ask) -> tuple[int, dict[str, Any]]:
        body = {"sql": one.sql, "agreements": [busy.agreements[one.dataset, one.buyer]], "purpose": "nghien_cuu"}
        answer = client.post("/v1/queries", json=body, headers={"Authorization": f"Bearer {busy.tokens[one.buyer]}"})
        return answer.status_code, answer.json()

    killer = Killer(Random(3), 0.1, 8, frozenset(descendants()))
    with killer.at_large():
        answers = a_round(post)
    assert killer.killed
    said = ends(busy)
    for _, (status, answer) in answers:
        assert status in {201, 403, 503}, answer
        assert said.pop(answer["id"] if status == 201 else answer["query"])[-1] in {"completed", "failed", "refused"}
    assert said == {}
    assert states(busy) <= {"completed", "failed", "refused"}
    assert post(ASKS[0])[0] == 201
