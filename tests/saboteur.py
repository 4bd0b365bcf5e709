"""A child process that cannot change a file without asking: each such call is let through, failed, or its last.

The kernel stops the child at every system call that changes a file or makes it durable (seccomp's user notification)
and asks here. What a test finds at the k-th call is thus what a power switch, a dying disk or a full one would leave.
"""

import errno
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeAlias, TypeVar

import pytest
import seccompy
from seccompy import Action, CmpOp, Filter, FilterFlag
from seccompy.notify import Listener, Notification, RespFlag, pidfd_getfd, pidfd_open

BY_DESCRIPTOR = ("fsync", "fdatasync", "write", "writev", "pwrite64", "ftruncate", "fallocate")
BY_PATH = {"rename": 0, "renameat": 1, "renameat2": 1, "unlink": 0, "unlinkat": 1, "mkdir": 0, "mkdirat": 1, "rmdir": 0}
SYNCS = ("fsync", "fdatasync")
WRITES = ("write", "writev", "pwrite64", "ftruncate", "fallocate")
_PATIENCE_MS = 10_000
_LONGEST_PATH = 4_096


class Verdict(Enum):
    """What becomes of a call."""

    GO = "it is made"
    LOST = "it is not made, and fails"
    PERSISTED = "it is made, and fails all the same"
    LAST = "it is not made, and the process is dead"


@dataclass(frozen=True, slots=True)
class Call:
    """The ``number``-th call (from 0) that would change ``file``."""

    number: int
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child fared: its calls, what it said, and how it ended (``done``, ``killed``, or the name of its error)."""

    calls: tuple[Call, ...]
    said: tuple[str, ...]
    end: str


class Hung(AssertionError):
    """The child made no call for a long time, and did not end."""


_T = TypeVar("_T")
Say: TypeAlias = Callable[[str], None]
Work: TypeAlias = Callable[[Say], None]
Judge: TypeAlias = Callable[[Call, Sequence[str]], Verdict]


def at(number: int, verdict: Verdict) -> Judge:
    """One call gets the verdict, all others go."""
    return lambda call, said: verdict if call.number == number else Verdict.GO


def patiently(attempt: Callable[[], _T]) -> _T:
    """Make an attempt, and make it anew when its child hangs: what the test is of hangs each time.

    A fork of a process with several threads may, now and then, inherit a lock of the cryptographic library that one of
    them held.
    """
    for _ in range(2):
        with suppress(Hung):
            return attempt()
    return attempt()


def innocent(call: Call, said: Sequence[str]) -> Verdict:
    """All calls go."""
    return Verdict.GO


def require_kernel() -> None:
    """Skip the test where no child can be watched."""
    try:
        outcome = sabotage(lambda say: None, innocent)
    except (OSError, seccompy.UnsupportedError) as error:
        pytest.skip(f"this kernel lets nobody watch system calls: {error}")
    if outcome.end != "done":
        pytest.skip(f"this kernel lets nobody watch system calls: {outcome.end}")


def sabotage(work: Work, judge: Judge, error: int = errno.EIO) -> Outcome:
    """Run ``work`` in a fork of this process; ``error`` is what a call that fails answers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        os._exit(_live(work, theirs))
    theirs.close()
    with closing(ours):
        try:
            return _Watch(child, ours, judge, error).until_its_end()
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


# --- the child ---


def _live(work: Work, channel: socket.socket) -> int:
    def say(what: str) -> None:
        channel.send(what.encode())
        channel.recv(1)  # it is heard before the next call is judged

    try:
        rules = Filter(Action.ALLOW, flags=FilterFlag.NEW_LISTENER)
        for name in BY_DESCRIPTOR:  # not what it prints
            rules.notify(name, args=[(0, CmpOp.GT, 2)])
        for name in BY_PATH:
            rules.notify(name)
        rules.notify("openat", args=[(2, CmpOp.MASKED_EQ, os.O_CREAT, os.O_CREAT)])
        listener = rules.load()
        socket.send_fds(channel, [b"listen"], [listener.fileno()])
        work(say)
    except BaseException as error:
        channel.send(f"!{getattr(error, 'code', type(error).__name__)}".encode())
        return 1
    return 0


# --- who watches it ---


class _Watch:
    def __init__(self, child: int, channel: socket.socket, judge: Judge, error: int) -> None:
        self._child, self._channel, self._judge, self._error = child, channel, judge, error
        self._names = {seccompy.syscall_nr(name): name for name in (*BY_DESCRIPTOR, *BY_PATH, "openat")}
        self._calls: list[Call] = []
        self._said: list[str] = []

    def until_its_end(self) -> Outcome:
        first, descriptors, _, _ = socket.recv_fds(self._channel, 256, 1)
        if not descriptors:
            return Outcome((), (), first.decode().lstrip("!"))
        with Listener(descriptors[0]) as listener:
            self._watch(listener)
        _, status = os.waitpid(self._child, 0)
        end = "killed" if os.WIFSIGNALED(status) else "done"
        if self._said and self._said[-1].startswith("!"):
            end = self._said.pop()[1:]
        return Outcome(tuple(self._calls), tuple(self._said), end)

    def _watch(self, listener: Listener) -> None:
        poll = select.poll()
        poll.register(listener.fileno(), select.POLLIN)
        poll.register(self._channel, select.POLLIN)
        while True:
            ready = dict(poll.poll(_PATIENCE_MS))
            if not ready:
                raise Hung(f"after {self._calls[-3:]}")
            if ready.get(self._channel.fileno(), 0) & select.POLLIN and not self._hear():
                poll.unregister(self._channel)
            event = ready.get(listener.fileno(), 0)
            if event & select.POLLIN:
                self._answer(listener)
            elif event & select.POLLHUP:
                while self._hear():
                    pass
                return

    def _hear(self) -> bool:
        with suppress(ConnectionResetError, BrokenPipeError):
            heard = self._channel.recv(4096)
            if heard:
                self._said.append(heard.decode())
                self._channel.send(b".")
            return bool(heard)
        return False

    def _answer(self, listener: Listener) -> None:
        try:
            asked = listener.recv()
            call = Call(len(self._calls), self._names[asked.nr], self._file(asked))
            self._calls.append(call)
            self._carry_out(self._judge(call, self._said), call, asked, listener)
        except seccompy.SeccompError as error:
            if error.errno != errno.ENOENT:  # it died meanwhile
                raise

    def _carry_out(self, verdict: Verdict, call: Call, asked: Notification, listener: Listener) -> None:
        if verdict is Verdict.GO:
            listener.respond(asked.id, flags=RespFlag.CONTINUE)
        elif verdict is Verdict.LAST:
            os.kill(self._child, signal.SIGKILL)
        else:
            with suppress(OSError):  # it would have failed anyway
                self._make(call, asked) if verdict is Verdict.PERSISTED else None
            listener.respond(asked.id, error=self._error)

    def _file(self, asked: Notification) -> str:
        name = self._names[asked.nr]
        if name in BY_DESCRIPTOR:
            return str(Path(f"/proc/{self._child}/fd/{asked.args[0]}").readlink())
        return self._path(asked.args[BY_PATH.get(name, 1)])

    def _memory(self, address: int, length: int) -> bytes:
        with Path(f"/proc/{self._child}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(length)

    def _path(self, address: int) -> str:
        page = _LONGEST_PATH - address % _LONGEST_PATH  # the next page may not be there
        found = self._memory(address, page)
        if b"\0" not in found:
            found += self._memory(address + page, _LONGEST_PATH)
        return os.fsdecode(found.partition(b"\0")[0])

    def _make(self, call: Call, asked: Notification) -> None:
        """Make the call for the child; what it wrote is in the page cache already, which no test switches off."""
        args = asked.args
        if call.name in ("write", "pwrite64"):
            self._write(asked, None if call.name == "write" else args[3])
        elif call.name in ("rename", "renameat", "renameat2"):
            Path(call.file).rename(self._path(args[1 if call.name == "rename" else 3]))
        elif call.name in ("unlink", "unlinkat"):
            Path(call.file).rmdir() if args[2] and call.name == "unlinkat" else Path(call.file).unlink(missing_ok=True)
        elif call.name in ("mkdir", "mkdirat"):
            Path(call.file).mkdir(exist_ok=True)

    def _write(self, asked: Notification, offset: int | None) -> None:
        pidfd = pidfd_open(self._child)
        try:
            descriptor = pidfd_getfd(pidfd, asked.args[0])
        finally:
            os.close(pidfd)
        try:
            content = self._memory(asked.args[1], asked.args[2])
            os.write(descriptor, content) if offset is None else os.pwrite(descriptor, content, offset)
        finally:
            os.close(descriptor)
