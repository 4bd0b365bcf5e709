"""How a figure is taken, and the table in which it stands beside what it is compared with.

Nothing here judges a time: machines differ and are shared. What is compared is measured in the same run, in turns.
"""

import gc
import json
import math
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from sandbox.contracts.charter import months_after
from sandbox.core.clock import ManualClock, SystemClock
from sandbox.settings import share
from tests.world import BUYER, INDEX, TRIPS, World, charter

Act: TypeAlias = Callable[[], object]
RICH = 10**12
FUNCTIONS = json.loads((share("contracts") / "templates" / "exact.json").read_bytes())["scalar_functions"]
"""What contracts by the template name; those of tests name all that there are, which no provider would."""


class Today(World):
    """A world whose clock and charter began just now: a served copy of it goes by the real clock."""

    def adopt(self, **changes: Any) -> Any:
        start = self.clock.now()
        window = {"start": _instant(start), "end": _instant(months_after(start, 12))}
        return super().adopt(window=charter()["window"] | window, **changes)


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``ratio`` is figure ÷ compared."""

    measure: str
    figure: str
    against: str
    ratio: float


@dataclass
class Bench:
    """What every measure gets: a folder of its own to fill, how long it may take, and one furnished exchange."""

    folder: Path
    quick: bool = False
    _made: list[World] = field(default_factory=list)

    def sized(self, full: int, quick: int) -> int:
        """How many rounds, rows or entries."""
        return quick if self.quick else full

    @property
    def window(self) -> float:
        """Seconds for which a throughput is counted."""
        return 0.3 if self.quick else 2.0

    def rounds(self, most: int, least: int = 3) -> Iterator[int]:
        """Numbers to count rounds by; on a busy machine there are fewer, so that the whole ends in time."""
        until = time.perf_counter() + (1.5 if self.quick else 6.0)
        for number in range(most):
            if number >= least and time.perf_counter() > until:
                return
            yield number

    @cached_property
    def world(self) -> World:
        """The exchange that most measures ask."""
        return self.opened("world")

    def opened(self, name: str) -> World:
        """An open exchange of its own in which the buyer has money enough."""
        began = SystemClock().now().replace(microsecond=0)  # charters know whole seconds
        world = Today(self.fresh(name), clock=ManualClock(began)).ready()
        self._made.append(world)
        for dataset in (TRIPS, INDEX):
            world.agree(dataset, scalar_functions=FUNCTIONS)
        world.exchange.top_up(world.who(BUYER).id, RICH, "bench")
        return world

    def fresh(self, name: str) -> Path:
        """A new empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def close(self) -> None:
        """Close the exchange, if one was made."""
        for world in self._made:
            world.exchange.close()


def seconds_of(act: Act) -> float:
    """How long an act takes, once."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def medians(bench: Bench, rounds: int, acts: Mapping[str, Act]) -> dict[str, float]:
    """The median seconds of each act. They take turns, so that what slows the machine slows them alike."""
    for act in acts.values():
        act()  # the first time pays for caches
    taken: dict[str, list[float]] = {name: [] for name in acts}
    gc.collect()
    for _ in bench.rounds(rounds):
        for name, act in acts.items():
            taken[name].append(seconds_of(act))
    return {name: statistics.median(each) for name, each in taken.items()}


def per_second(make: Callable[[], Act], threads: int, window: float) -> float:
    """How often a second ``threads`` threads together do an act; each thread makes its own.

    What is under way when the window closes is finished and counted, with the time that it took.
    """
    counts, failures = [0] * threads, list[BaseException]()
    gate = threading.Barrier(threads + 1)

    def work(number: int) -> None:
        try:
            act = make()
            act()
            gate.wait()
            until = time.perf_counter() + window
            while time.perf_counter() < until:
                act()
                counts[number] += 1
        except BaseException as failure:
            failures.append(failure)
            gate.abort()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        gate.wait()
        start = time.perf_counter()
    except threading.BrokenBarrierError:
        start = 0.0
    for worker in workers:
        worker.join()
    for failure in failures:
        raise failure
    return sum(counts) / (time.perf_counter() - start)


def took(seconds: float) -> str:
    """A duration to three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds * 1e6)} µs"


def rate(number: float, what: str = "") -> str:
    """A throughput to three digits."""
    return f"{_three(number)}{what and f' {what}'}/s"


def _three(number: float) -> str:
    if number >= 100:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.3g}"


def compared(measure: str, seconds: float, other: str, others: float) -> Row:
    """A row of two durations."""
    return Row(measure, took(seconds), f"{other}, {took(others)}", seconds / others)


def table(rows: Iterator[Row]) -> Iterator[str]:
    """The lines of a Markdown table, each as soon as it is known."""
    yield "| measure | figure | compared with | ratio |"
    yield "|---|---:|---|---:|"
    for row in rows:
        yield f"| {row.measure} | {row.figure} | {row.against} | {_ratio(row.ratio)} |"


def _ratio(number: float) -> str:
    if math.isnan(number):
        return "–"
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"
