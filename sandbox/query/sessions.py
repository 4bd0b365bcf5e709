"""Workers kept warm: each belongs to one participant, one set of extracts, one policy, and has one job at a time."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sandbox.jail.cell import Cell

Key: TypeAlias = tuple[object, ...]
_MOST_JOBS: Final = 10_000
_LONGEST_LIFE: Final = 1800.0
_SWEEP: Final = 5.0


@dataclass(slots=True)
class Session:
    """A worker and what it has done; all of a key's sessions may open the same files."""

    key: Key
    cell: Cell
    jobs: int = 0
    born: float = field(default_factory=time.monotonic)
    idle_since: float = 0.0
    bytes: int = 0
    """What it holds in memory while it idles: the engine keeps what it has read."""

    @property
    def worn(self) -> bool:
        """Whether it should have no more jobs."""
        return self.jobs >= _MOST_JOBS or time.monotonic() - self.born > _LONGEST_LIFE or not self.cell.alive()


class Sessions:
    """The idle ones: at most ``most`` with ``memory_mb`` together, none for longer than ``idle_seconds``."""

    def __init__(self, most: int, idle_seconds: float, memory_mb: int) -> None:
        self._lock = threading.Lock()
        self._idle: deque[Session] = deque()  # the longest idle first
        self._most = most
        self._seconds = idle_seconds
        self._bytes = memory_mb << 20
        self._sweeper: threading.Timer | None = None
        self._closed = False

    def take(self, key: Key, begin: Callable[[], Cell]) -> Session:
        """A warm session of that key, or a new one."""
        with self._lock:
            found = next((session for session in reversed(self._idle) if session.key == key), None)
            if found:
                self._idle.remove(found)
        if found and not found.worn:
            return found
        if found:
            found.cell.close()
        return Session(key, begin())

    def give_back(self, session: Session) -> None:
        """Its job is done, and it may have another."""
        session.jobs += 1
        session.idle_since = time.monotonic()
        session.bytes = session.cell.private_bytes()
        left: list[Session] = []
        with self._lock:
            self._idle.append(session)
            while self._idle and (self._closed or self._too_much()):
                left.append(self._idle.popleft())
            self._look_again()
        for each in left:
            each.cell.close()

    def _too_much(self) -> bool:
        return len(self._idle) > self._most or sum(session.bytes for session in self._idle) > self._bytes

    def _look_again(self) -> None:
        """In a while, if there is then something to look at."""
        if self._idle and self._sweeper is None and not self._closed:
            self._sweeper = threading.Timer(_SWEEP, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def close(self) -> None:
        """Kill all, and keep none any more."""
        with self._lock:
            self._closed = True
            sweeper, self._sweeper = self._sweeper, None
            left, self._idle = self._idle, deque()
        if sweeper:
            sweeper.cancel()
        for session in left:
            session.cell.close()

    def _sweep(self) -> None:
        old = time.monotonic() - self._seconds
        with self._lock:
            left = [session for session in self._idle if session.idle_since < old or not session.cell.alive()]
            self._idle = deque(session for session in self._idle if session not in left)
            self._sweeper = None
            self._look_again()
        for session in left:
            session.cell.close()
