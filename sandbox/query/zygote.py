"""The zygote: it has the engine loaded and no data open, forks one child for each job, and is the only one that kills.

Over its control socket come, job by job, the limits as JSON and three file descriptors: the job (to read), the answer
(to write) and the verdict. It writes one line of verdict when the child has ended, ``{"ended":"exit","code":0}``, with
``deadline``, ``memory`` or ``cancelled`` when it killed the child, ``signal`` when the child died otherwise. Who no
longer waits closes the verdict's other end, and the child is killed. When the control socket closes, all ends.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from sandbox.query import kernel, worker

_TICK_MS: Final = 20
_PAGE: Final = resource.getpagesize()


@dataclass(slots=True)
class Child:
    """A job under way."""

    pid: int
    pidfd: int
    verdict: int
    deadline: float
    memory: int
    ended: str = ""

    def kill(self, why: str) -> None:
        """End the child; it is reaped when the kernel says so, and until then its pid is not used again."""
        self.ended = self.ended or why
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def private_bytes(self) -> int:
        """Resident memory that is the child's own."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # noqa: PTH123 - read fifty times a second
                _, resident, shared, *_ = map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return 0
        return (resident - shared) * _PAGE


class Zygote:
    """The loop: jobs in, children watched, verdicts out."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children: dict[int, Child] = {}  # by pidfd and by verdict

    def serve(self) -> None:
        """Work until the control socket closes; the children die with this process."""
        while True:
            ready = [descriptor for descriptor, _ in self._poll.poll(_TICK_MS if self._children else None)]
            for descriptor in ready:
                self._turn(descriptor)
            if self._control.fileno() in ready and not self._accept():  # last, for it may use closed numbers again
                return
            self._watch()

    def _accept(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 3)
        if not message:
            return False
        job, answer, verdict = descriptors
        limits, zygote = json.loads(message), os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no process to be had: closing the verdict says that nothing was done
            os.close(verdict)
        else:
            if pid == 0:
                _become_child(job, answer, zygote)
            self._watch_over(pid, verdict, limits)
        os.close(job)
        os.close(answer)
        return True

    def _watch_over(self, pid: int, verdict: int, limits: dict[str, int]) -> None:
        deadline = time.monotonic() + limits["seconds"]
        child = Child(pid, os.pidfd_open(pid), verdict, deadline, limits["memory_mb"] << 20)
        self._children |= {child.pidfd: child, verdict: child}
        self._poll.register(child.pidfd, select.POLLIN)
        self._poll.register(verdict, 0)  # an error is reported unasked: nobody reads any more

    def _turn(self, descriptor: int) -> None:
        child = self._children.get(descriptor)
        if child is None:
            return
        self._poll.unregister(descriptor)
        del self._children[descriptor]
        if descriptor == child.verdict:
            child.kill("cancelled")
        else:
            self._bury(child)

    def _watch(self) -> None:
        now = time.monotonic()
        for child in {child.pidfd: child for child in self._children.values()}.values():
            if child.ended:
                continue
            if now > child.deadline:
                child.kill("deadline")
            elif child.private_bytes() > child.memory:
                child.kill("memory")

    def _bury(self, child: Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        ended = child.ended or ("signal" if code < 0 else "exit")
        if self._children.pop(child.verdict, None):
            self._poll.unregister(child.verdict)
            with suppress(BrokenPipeError):  # who asked may have gone
                os.write(child.verdict, json.dumps({"ended": ended, "code": code}).encode() + b"\n")
        os.close(child.pidfd)
        os.close(child.verdict)


def _become_child(job: int, answer: int, zygote: int) -> NoReturn:
    """Keep the two descriptors of this job alone, do it, and end without any of the zygote's clean-up."""
    code = 1
    try:
        kernel.die_with(zygote)
        low, high = sorted((job, answer))
        for start, stop in ((3, low), (low + 1, high), (high + 1, 1 << 20)):
            os.closerange(start, stop)
        worker.answer(job, answer)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Serve on the inherited socket whose number is the only argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    kernel.layers()  # looked up here, once: a hardened child could not
    gc.collect()
    gc.freeze()  # children would copy every page that the collector touches
    control.sendall(b"ready")
    Zygote(control).serve()


if __name__ == "__main__":
    main()
