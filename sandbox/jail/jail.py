"""The parent's side: one zygote, started at first use and again when it has died, and the children it forks."""

import fcntl
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from sandbox.core.errors import Unavailable
from sandbox.jail import cgroup
from sandbox.jail.cell import Cell
from sandbox.jail.cgroup import Group

_START_SECONDS: Final = 60
_PIPE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Zygote:
    process: subprocess.Popen[bytes]
    control: socket.socket
    group: Group | None

    @staticmethod
    def start(modules: Sequence[str], group: Group | None) -> "_Zygote":
        """A new zygote, once it says that it is ready.

        Raises:
            OSError: when it does not.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # By module name and isolated: by path, our own duckdb.py would be imported as the engine.
            joins = str(group.processes) if group else "-"
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-I", "-m", "sandbox.jail.zygote", str(theirs.fileno()), joins, *modules],
                env={},  # children inherit what the zygote has, and it has no secrets
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the terminal is the parent's to handle
            )
        zygote = _Zygote(process, ours, group)
        ours.settimeout(_START_SECONDS)
        try:
            ready = ours.recv(16)
        except OSError:
            ready = b""
        if ready != b"ready":
            zygote.end()
            raise ConnectionResetError
        return zygote

    def end(self) -> None:
        """Kill it; the kernel kills its children."""
        self.control.close()
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        if self.group:
            self.group.remove()


class Jail:
    """Forks children that know the jobs of ``modules``; used by many threads at once.

    Together they have ``memory_mb`` of memory where the system lets this process set a limit for all.
    """

    def __init__(self, modules: Sequence[str], memory_mb: int) -> None:
        self._modules = tuple(modules)
        self._memory = memory_mb
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._numbers = itertools.count(1)
        self._closed = False

    def fork(self, kind: str) -> Cell:
        """A child that waits for jobs of that kind.

        Raises:
            Unavailable: ``engine.unreachable`` when the zygote does not do its part.
        """
        with ExitStack() as theirs, ExitStack() as ours:
            hears, jobs = _pipe(theirs, ours)
            answer, answers = _pipe(ours, theirs)
            verdict, tells = _pipe(ours, theirs)
            os.set_blocking(jobs, False)
            number = next(self._numbers)
            self._send(_order(fork=kind, id=number), [hears, answers, tells])
            ours.pop_all()
            return Cell(number, jobs, answer, verdict, self._signal)

    @property
    def grouped(self) -> bool:
        """Whether the children's memory is limited together by the system."""
        with self._lock:
            return self._living().group is not None

    def close(self) -> None:
        """End the zygote, and with it every child; a closed jail stays closed."""
        with self._lock:
            self._closed = True
            if self._zygote:
                self._zygote.end()

    def _send(self, order: bytes, descriptors: list[int]) -> None:
        with self._lock:
            try:
                socket.send_fds(self._living().control, [order], descriptors)
            except OSError:  # it died just now: another takes its place
                self._replace(order, descriptors)

    def _replace(self, order: bytes, descriptors: list[int]) -> None:
        if self._zygote:
            self._zygote.end()
            self._zygote = None
        try:
            socket.send_fds(self._living().control, [order], descriptors)
        except OSError:
            unreachable()

    def _signal(self, name: str, number: int) -> None:
        with self._lock, suppress(OSError):  # a zygote that died has taken its children along
            if self._zygote:
                self._zygote.control.send(_order(**{name: number}))

    def _living(self) -> _Zygote:
        if self._closed:
            unreachable()
        if self._zygote is None or self._zygote.process.poll() is not None:
            if self._zygote:
                self._zygote.end()
            group = cgroup.make(next(self._numbers), self._memory)
            self._zygote = _Zygote.start(self._modules, group)
        return self._zygote


def _order(**words: Any) -> bytes:
    return json.dumps(words).encode()


def _pipe(reads: ExitStack, writes: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    reads.callback(os.close, reading)
    writes.callback(os.close, writing)
    with suppress(OSError):  # a user may have used up what it may have of larger pipes
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
    return reading, writing


def unreachable() -> NoReturn:
    """Raise :class:`Unavailable`, for the processes of the jail do not answer."""
    raise Unavailable(
        "engine.unreachable", "The query engine does not answer.", hint="Send the query again in a moment."
    )
