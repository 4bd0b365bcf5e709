"""The parent's side of the jail: it starts the zygote, hands it jobs, and collects answers under a cap."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from sandbox.core.errors import Unavailable

_START_SECONDS: Final = 60
_MARGIN_SECONDS: Final = 10
"""How long after a job's deadline a zygote may take to say that it killed the child; then it is dead itself."""
_CHUNK: Final = 1 << 20
_LONGEST_VERDICT: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child wrote, and how it ended: ``exit``, ``signal``, ``deadline``, ``memory`` or ``too_much``."""

    content: bytes
    ended: str
    code: int = 0

    @property
    def complete(self) -> bool:
        """Whether the child came to its own end."""
        return self.ended == "exit" and self.code == 0


@dataclass(frozen=True, slots=True)
class _Zygote:
    process: subprocess.Popen[bytes]
    control: socket.socket

    @staticmethod
    def start() -> "_Zygote":
        """A new zygote, once it says that it is ready.

        Raises:
            OSError: when it does not.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # By module name and isolated: by path, our own duckdb.py would be imported as the engine.
            command = [sys.executable, "-I", "-m", "sandbox.query.zygote", str(theirs.fileno())]
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                env={},  # children inherit what the zygote has, and it has no secrets
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the terminal is the parent's to handle
            )
        zygote = _Zygote(process, ours)
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


class Jail:
    """One zygote, started at first use and again when it has died; used by many threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._closed = False

    def ask(self, job: Mapping[str, Any], seconds: int, memory_mb: int, most_bytes: int) -> Answer:
        """Have a fresh child do a job, and wait for its end.

        Raises:
            Unavailable: ``engine.unreachable`` when the zygote does not do its part.
        """
        until = time.monotonic() + seconds + _MARGIN_SECONDS
        with ExitStack() as ours:
            zygote, answer, verdict = self._begin(job, {"seconds": seconds, "memory_mb": memory_mb}, ours)
            try:
                content = _collected(answer, most_bytes, until)
                line = None if content is None else _collected(verdict, _LONGEST_VERDICT, until)
            except TimeoutError:
                zygote.end()
                _unreachable()
        if content is None:  # closing our ends was the order to kill
            return Answer(b"", "too_much")
        return _answered(content, line or b"")

    def close(self) -> None:
        """End the zygote, and with it every child."""
        with self._lock:
            self._closed = True
            if self._zygote:
                self._zygote.end()

    def _begin(self, job: Mapping[str, Any], limits: Mapping[str, int], ours: ExitStack) -> tuple[_Zygote, int, int]:
        with ExitStack() as theirs:
            document = _written(job)
            theirs.callback(os.close, document)
            answer, to_answer = _pipe(ours, theirs)
            verdict, to_verdict = _pipe(ours, theirs)
            try:
                with self._lock:
                    zygote = self._living()
                    socket.send_fds(zygote.control, [json.dumps(limits).encode()], [document, to_answer, to_verdict])
            except OSError:
                _unreachable()
        return zygote, answer, verdict

    def _living(self) -> _Zygote:
        if self._closed:
            _unreachable()
        if self._zygote is None or self._zygote.process.poll() is not None:
            if self._zygote:
                self._zygote.end()
            self._zygote = _Zygote.start()
        return self._zygote


def _written(job: Mapping[str, Any]) -> int:
    """A job as a file in memory: unlike a pipe it never makes the writer wait."""
    document = os.memfd_create("job")
    with open(document, "wb", closefd=False) as file:
        file.write(json.dumps(job).encode())
    os.lseek(document, 0, os.SEEK_SET)
    return document


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    return reading, writing


def _unreachable() -> NoReturn:
    raise Unavailable(
        "engine.unreachable", "The query engine does not answer.", hint="Send the query again in a moment."
    )


def _collected(descriptor: int, most: int, until: float) -> bytes | None:
    """All that is written to a pipe until it closes, ``None`` when it is more than ``most`` bytes."""
    content = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        if not poll.poll(max(0, until - time.monotonic()) * 1000):
            raise TimeoutError
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > most:
            return None


def _answered(content: bytes, line: bytes) -> Answer:
    match json.loads(line) if line.endswith(b"\n") else None:
        case {"ended": str(ended), "code": int(code)}:
            return Answer(content, ended, code)
    _unreachable()  # the zygote died before it could say how the child ended
