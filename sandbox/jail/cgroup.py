"""One control group for all of a zygote's children, so that together they cannot take the machine's memory."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_PREFIX: Final = "sandbox-"
_PATIENCE: Final = 50
_FILES: Final = ("memory.max", "memory.limit_in_bytes")
"""The limit of version 2 and of version 1."""


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of this process's making."""

    folder: Path

    @property
    def processes(self) -> Path:
        """The file that takes the pid of who joins."""
        return self.folder / "cgroup.procs"

    def remove(self) -> None:
        """Remove it once its processes are gone; what is left is removed by a later exchange."""
        for _ in range(_PATIENCE):
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:  # killed processes take a moment to go
                time.sleep(0.01)


def make(number: int, memory_mb: int) -> Group | None:
    """A group of so much memory, or ``None`` where this process may not make one."""
    for own in _own():
        _sweep(own)
        folder = own / f"{_PREFIX}{os.getpid()}-{number}"
        with suppress(OSError):
            folder.mkdir()
            if _limited(folder, memory_mb << 20):
                return Group(folder)
            folder.rmdir()
    return None


def _own() -> list[Path]:
    """Where this process stands in the trees that count memory."""
    places: list[Path] = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in {"", "memory"}:
                root = _ROOT / controllers
                places += [root / path.lstrip("/"), root]  # a container may see its own place as the root
    return [place for place in places if place.is_dir()]


def _limited(folder: Path, most: int) -> bool:
    for name in _FILES:
        if (folder / name).exists():
            (folder / name).write_text(str(most))
            return True
    return False


def _sweep(own: Path) -> None:
    """Groups of exchanges that were killed."""
    for left in own.glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with suppress(OSError):
                left.rmdir()
