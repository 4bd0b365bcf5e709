"""Processes as the kernel shows them in /proc: whose they are, and what they take."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> Sequence[str]:
    """State, parent and so on of a process; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ()


def descendants(of: int | None = None) -> dict[int, int]:
    """Every process below one, this one unless said otherwise, and how far below."""
    depths: dict[int, int] = {}
    todo = [(of or os.getpid(), 0)]
    while todo:
        pid, depth = todo.pop()
        below = dict.fromkeys(children(pid), depth + 1)
        depths |= below
        todo += below.items()
    return depths


def children(pid: int) -> list[int]:
    """The processes just below one; none when it is gone, or goes meanwhile."""
    found: list[str] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += (thread / "children").read_text().split()
    return [*map(int, found)]


def state(pid: int) -> str:
    """``R``, ``S``, ``T`` for held up, ``Z`` for dead and not buried; empty when it is gone."""
    stat = _stat(pid)
    return stat[0] if stat else ""


def cpu_seconds(pid: int) -> float:
    """The time that it has worked."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / _TICKS if stat else 0.0


def memory_mb(pid: int) -> float:
    """Its resident memory, of which some may be shared."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
    return 0.0
