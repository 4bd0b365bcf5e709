"""Checkers that wait ready: each has one job and dies, and another takes its place."""

import threading
from collections import deque
from collections.abc import Callable

from sandbox.core.errors import SandboxError
from sandbox.jail.cell import Cell


class Spares:
    """At most ``most`` children made by ``begin``, ahead of those who need them."""

    def __init__(self, most: int, begin: Callable[[], Cell]) -> None:
        self._most = most
        self._begin = begin
        self._changed = threading.Condition()
        self._ready: deque[Cell] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def take(self) -> Cell:
        """A child of one's own, to be closed after its job; call :meth:`refill` then.

        Raises:
            Unavailable: ``engine.unreachable``.
        """
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._fill, name="spares", daemon=True)
                self._thread.start()
            cells = [self._ready.popleft()] if self._ready else []
        for cell in cells:
            if cell.alive():
                return cell
            cell.close()
        return self._begin()

    def refill(self) -> None:
        """Make up for what was taken: not before the answer is there, for the making would slow it down."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Kill those that wait, and make no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join()
        for cell in self._ready:
            cell.close()

    def _fill(self) -> None:
        while self._has_room():
            try:
                cell = self._begin()
            except SandboxError:  # the zygote is gone, or not shut in enough; whoever needs a child next wakes this
                self._rest()
            else:
                with self._changed:
                    self._ready.append(cell)

    def _has_room(self) -> bool:
        """Wait until one more is needed; false when none ever will be."""
        with self._changed:
            while len(self._ready) >= self._most and not self._closed:
                self._changed.wait()
            return not self._closed

    def _rest(self) -> None:
        with self._changed:
            if not self._closed:  # else nobody would wake it
                self._changed.wait()
