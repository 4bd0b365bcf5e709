"""Who works next: few work at a time, and of those who wait, whoever has had least.

Fair queueing by time used, as in start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996): each participant has a
clock that runs while its work does. One who comes anew starts at the slowest clock of those at work, so that idling
earns nothing, and debts are remembered up to ``_MOST_DEBT`` seconds. Work whose slice is over makes room when others
wait; it is held up, not ended.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from sandbox.core.errors import Busy

_MOST_DEBT: Final = 10.0
_ENTRY: Final = 0.001
"""Seconds that each turn costs at once, so that many short ones count."""
_SHORTEST: Final = 0.02
_MOST_REMEMBERED: Final = 4096
_LONGEST_RETRY: Final = 30
_TICK: Final = 0.05


class Stopped(Exception):
    """Nobody waits for the work any more."""


class Turns:
    """``slots`` pieces of work at a time; at most ``most_waiting`` wait, of one participant a quarter of that."""

    def __init__(self, slots: int, most_waiting: int = 256, slice_seconds: float = 0.2) -> None:
        self._lock = threading.Lock()
        self._free = slots
        self._slots = slots
        self._most = most_waiting
        self.slice = slice_seconds
        self._used: dict[str, float] = {}
        self._floor = 0.0
        self._present: dict[str, int] = {}
        self._waiting: list[Turn] = []
        self._mean = 0.05

    def join(self, who: str) -> "Turn":
        """Stand in the queue.

        Raises:
            Busy: ``engine.busy``, the queue is full; ``retry_after`` says in how many seconds to come again.
        """
        with self._lock:
            own = sum(turn.who == who for turn in self._waiting)
            if self._free == 0 and (len(self._waiting) >= self._most or own >= max(1, self._most // 4)):
                raise busy(self._retry_after())
            self._used[who] = min(max(self._used.get(who, 0.0), self._floor), self._floor + _MOST_DEBT)
            self._present[who] = self._present.get(who, 0) + 1
            turn = Turn(self, who)
            self._waiting.append(turn)
            self._next()
            return turn

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def retry_after(self) -> int:
        """In how many whole seconds there may be room."""
        with self._lock:
            return self._retry_after()

    def _retry_after(self) -> int:
        return min(_LONGEST_RETRY, 1 + int(len(self._waiting) * self._mean / self._slots))

    def _next(self) -> None:
        while self._free and self._waiting:
            turn = min(self._waiting, key=lambda each: self._used[each.who])  # among equals the first that came
            self._waiting.remove(turn)
            self._free -= 1
            self._used[turn.who] += _ENTRY
            turn.begin()
        clocks = [self._used[who] for who in self._present]
        self._floor = max(self._floor, min(clocks, default=self._floor))

    def due(self, turn: "Turn") -> bool:
        """Whether a turn should make room: its slice is over, or someone who has had less waits."""
        ran = time.monotonic() - turn.since
        if ran < _SHORTEST or not self._waiting:
            return False
        with self._lock:
            own = self._used[turn.who] + ran
            if ran >= self.slice:
                return any(self._used[each.who] < own for each in self._waiting)
            return any(self._used[each.who] + _SHORTEST < own for each in self._waiting if each.who != turn.who)

    def requeue(self, turn: "Turn") -> None:
        """Make room and stand in the queue again."""
        with self._lock:
            self._charge(turn)
            self._waiting.append(turn)
            self._next()

    def leave(self, turn: "Turn") -> None:
        """The work is over, or nobody waits for it any more."""
        with self._lock:
            if turn.working:
                self._charge(turn)
            else:
                with suppress(ValueError):
                    self._waiting.remove(turn)
            self._present[turn.who] -= 1
            if not self._present[turn.who]:
                del self._present[turn.who]
            self._next()
            if len(self._used) > _MOST_REMEMBERED:
                self._used = {who: at for who, at in self._used.items() if at > self._floor or who in self._present}

    def _charge(self, turn: "Turn") -> None:
        ran = turn.end()
        self._used[turn.who] += ran
        self._mean += (ran - self._mean) / 16
        self._free += 1


class Turn:
    """One piece of work's place in the queue; a context that leaves it."""

    def __init__(self, turns: Turns, who: str) -> None:
        self._turns = turns
        self.who = who
        self.since = 0.0
        self._granted = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """The work is over, or nobody waits for it any more."""
        self._turns.leave(self)

    @property
    def working(self) -> bool:
        """Whether it holds a place."""
        return self._granted.is_set()

    @property
    def due(self) -> bool:
        """Whether it should make room."""
        return self._turns.due(self)

    def begin(self) -> None:
        """It is this one's turn."""
        self.since = time.monotonic()
        self._granted.set()

    def end(self) -> float:
        """Its place is given up; answers for how many seconds it was held."""
        self._granted.clear()
        return time.monotonic() - self.since

    def requeue(self) -> None:
        """Make room and wait again."""
        self._turns.requeue(self)

    def begin_within(self, patience: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait for this one's turn.

        Raises:
            Busy: ``engine.busy``, it does not come within ``patience`` seconds.
            Stopped: nobody waits for the work any more.
        """
        until = time.monotonic() + patience
        while not self.wait(_TICK):
            if cancelled():
                raise Stopped
            if time.monotonic() > until:
                raise busy(self._turns.retry_after())

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; answers whether it is this one's turn."""
        return self._granted.wait(seconds)


def busy(retry_after: int) -> Busy:
    """The refusal of who comes when all places are taken."""
    return Busy(
        "engine.busy",
        "Too many queries are running or waiting.",
        hint=f"Send the query again in {retry_after} s; nothing was charged.",
        retry_after=retry_after,
    )
