"""One child as its parent sees it: jobs go in, frames come out, and closing it is the order to kill it."""

import io
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.jail.frames import HEADER, framed
from sandbox.jail.turns import Turn

_PAGE: Final = resource.getpagesize()
_TICK: Final = 0.02
"""Seconds between two looks at a child at work."""
_LAST_WORDS: Final = 2.0
"""Seconds for the zygote to say how a child ended."""


class Ended(Exception):
    """A child's job did not come to its own end.

    ``why`` is ``crash``, ``deadline``, ``memory``, ``too_much``, ``cancelled`` or ``busy``.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one job may take: seconds at work, seconds held up, megabytes of memory, bytes of answer."""

    seconds: float
    patience: float
    memory_mb: int
    most_bytes: int
    cancelled: Callable[[], bool] = lambda: False


class Cell:
    """A child; its owner closes it, and then it is dead. Not for use by two threads at once."""

    def __init__(self, number: int, jobs: int, answer: int, verdict: int, order: Callable[[str, int], None]) -> None:
        self._number = number
        self._jobs, self.answer, self._verdict = jobs, answer, verdict
        self._order = order
        self._words: dict[str, Any] = {}
        self._open = True

    def send(self, document: Mapping[str, Any]) -> None:
        """Give it a job.

        Raises:
            Ended: it is dead, or does not listen.
        """
        job = framed(document)
        try:
            if os.write(self._jobs, job) != len(job):  # more than a pipe holds: no honest job is so large
                raise Ended("too_much")
        except OSError:
            raise Ended("crash") from None

    def alive(self) -> bool:
        """Whether it has not been said that it ended."""
        poll = select.poll()
        poll.register(self.answer, 0)
        return not poll.poll(0)

    def stop(self) -> None:
        """Hold it up."""
        self._order("stop", self._number)

    def go(self) -> None:
        """Let it go on."""
        self._order("go", self._number)

    @property
    def pid(self) -> int:
        """Its process id, 0 while the zygote has not told."""
        return int(self._told(0).get("pid", 0))

    def private_bytes(self) -> int:
        """Resident memory that is the child's own, 0 when there is no telling."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # noqa: PTH123 - read fifty times a second
                _, resident, shared, *_ = map(int, file.read().split())
        except (OSError, ValueError, KeyError):
            return 0
        return (resident - shared) * _PAGE

    def how_it_ended(self) -> str:
        """Of a child that closed its answer: ``exit``, ``signal``, or ``memory`` when the system killed it."""
        words = self._told(_LAST_WORDS, until="ended")
        return "memory" if words.get("code") == -signal.SIGKILL else str(words.get("ended", ""))

    def _told(self, seconds: float, until: str = "pid") -> dict[str, Any]:
        """What the zygote has said of it, waiting for a word at most so long."""
        poll = select.poll()
        poll.register(self._verdict, select.POLLIN)
        while until not in self._words and poll.poll(seconds * 1000):
            part = os.read(self._verdict, 4096)
            if not part:
                break
            for line in part.splitlines():
                self._words |= json.loads(line)
        return self._words

    def close(self) -> None:
        """Kill it, if it still lives."""
        if self._open:
            self._open = False
            for descriptor in (self._verdict, self._jobs, self.answer):
                os.close(descriptor)


def message(cell: Cell, turn: Turn, bounds: Bounds) -> bytes:
    """The whole of a short message; raises :class:`Ended`."""
    return io.BufferedReader(Answer(cell, turn, bounds)).read()


class Answer(io.RawIOBase):
    """The bytes of one message of a child, read while it works and never without looking after it.

    Reading raises :class:`Ended` when the child breaks off or goes beyond its bounds.
    """

    def __init__(self, cell: Cell, turn: Turn, bounds: Bounds) -> None:
        super().__init__()
        self._cell, self._turn, self._bounds = cell, turn, bounds
        self._poll = select.poll()
        self._poll.register(cell.answer, select.POLLIN)
        self._began = self._looked = time.monotonic()
        self._held_up = 0.0
        self._left = 0
        self._read = 0
        self.whole = False

    @property
    def most_bytes(self) -> int:
        """How long the message may be."""
        return self._bounds.most_bytes

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See :class:`io.RawIOBase`; 0 when the message is complete."""
        if self.whole:
            return 0
        if not self._left:
            (self._left,) = HEADER.unpack(self._exactly(HEADER.size))
            self._read += self._left
            if self._read > self._bounds.most_bytes:
                raise Ended("too_much")
            if not self._left:
                self.whole = True
                return 0
        view = memoryview(buffer)[: self._left]
        got = self._some(view)
        self._left -= got
        return got

    def _exactly(self, size: int) -> bytes:
        content = bytearray(size)
        got = 0
        while got < size:
            got += self._some(memoryview(content)[got:])
        return bytes(content)

    def _some(self, view: memoryview) -> int:
        self._wait()
        got = os.readv(self._cell.answer, [view])
        if not got:
            raise Ended("crash")
        return got

    def _wait(self) -> None:
        """Until there is something to read; a child that never stops talking is looked after too."""
        while True:
            now = time.monotonic()
            if now - self._looked >= _TICK:
                self._look(now)
            if self._poll.poll(_TICK * 1000):
                return

    def _look(self, now: float) -> None:
        self._looked = now
        bounds = self._bounds
        if bounds.cancelled():
            raise Ended("cancelled")
        if now - self._began - self._held_up > bounds.seconds:
            raise Ended("deadline")
        if self._cell.private_bytes() > bounds.memory_mb << 20:
            raise Ended("memory")
        if self._turn.due:
            self._make_room(now)

    def _make_room(self, since: float) -> None:
        self._cell.stop()
        self._turn.requeue()
        while not self._turn.wait(_TICK):
            if self._bounds.cancelled():
                raise Ended("cancelled")
            if self._held_up + time.monotonic() - since > self._bounds.patience:
                raise Ended("busy")
        self._cell.go()
        self._looked = time.monotonic()
        self._held_up += self._looked - since
