"""The zygote: it has the engine loaded and no data open, and is the only one that forks, stops, kills and buries.

Over its control socket comes ``{"fork": "run", "id": 7}`` with three file descriptors: the child's jobs (to read), its
answers (to write) and the verdict. On the verdict the zygote tells the child's pid, and one line when it has ended:
``{"pid": 412}``, ``{"ended": "exit", "code": 0}``. Who closes the other end of the verdict has the child killed;
``{"stop": 7}`` and ``{"go": 7}`` hold it up meanwhile. When the control socket closes, all ends.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from sandbox.jail import frames, kernel

Kind: TypeAlias = Callable[[Iterator[dict[str, Any]], frames.Out, int], None]
"""What a child does: it hears jobs, answers, and shuts itself in as the stranger of that number."""
_SIGNALS: Final = {"stop": signal.SIGSTOP, "go": signal.SIGCONT}
_LONGEST_ORDER: Final = 4096
_FIRST_KILLED: Final = b"800"
"""Of 1000: when the machine has no memory left, a child goes before anything else."""


@dataclass(slots=True)
class Child:
    """A process under way."""

    id: int
    pid: int
    pidfd: int
    verdict: int

    def signal(self, which: int) -> None:
        """It is reaped when the kernel says so, and until then its pid is not used again."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, which)


class Zygote:
    """The loop: orders in, children watched, verdicts out."""

    def __init__(self, control: socket.socket, kinds: Mapping[str, Kind]) -> None:
        self._control = control
        self._kinds = kinds
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children: dict[int, Child] = {}  # by pidfd and by verdict
        self._by_id: dict[int, Child] = {}

    def serve(self) -> None:
        """Work until the control socket closes; the children die with this process."""
        while True:
            ready = [descriptor for descriptor, _ in self._poll.poll()]
            for descriptor in ready:
                self._turn(descriptor)
            if self._control.fileno() in ready and not self._obey():  # last, for it may use closed numbers again
                return

    def _obey(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, _LONGEST_ORDER, 3)
        if not message:
            return False
        order = json.loads(message)
        if "fork" in order:
            self._fork(order["fork"], order["id"], *descriptors)
        for name, number in _SIGNALS.items():
            if child := self._by_id.get(order.get(name, -1)):
                child.signal(number)
        return True

    def _fork(self, kind: str, number: int, jobs: int, answer: int, verdict: int) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no process to be had: closing the verdict says that nothing was done
            os.close(verdict)
        else:
            if pid == 0:
                _become_child(self._kinds[kind], jobs, answer, zygote, number)
            self._watch_over(Child(number, pid, os.pidfd_open(pid), verdict))
        os.close(jobs)
        os.close(answer)

    def _watch_over(self, child: Child) -> None:
        self._children |= {child.pidfd: child, child.verdict: child}
        self._by_id[child.id] = child
        self._poll.register(child.pidfd, select.POLLIN)
        self._poll.register(child.verdict, 0)  # an error is reported unasked: nobody reads any more
        _tell(child.verdict, pid=child.pid)

    def _turn(self, descriptor: int) -> None:
        child = self._children.get(descriptor)
        if child is None:
            return
        self._poll.unregister(descriptor)
        del self._children[descriptor]
        if descriptor == child.verdict:
            child.signal(signal.SIGKILL)
        else:
            self._bury(child)

    def _bury(self, child: Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        del self._by_id[child.id]
        if self._children.pop(child.verdict, None):
            self._poll.unregister(child.verdict)
            _tell(child.verdict, ended="signal" if code < 0 else "exit", code=code)
        os.close(child.pidfd)
        os.close(child.verdict)


def _tell(verdict: int, **words: Any) -> None:
    with suppress(BrokenPipeError):  # who asked may have gone
        os.write(verdict, json.dumps(words).encode() + b"\n")


def _become_child(kind: Kind, jobs: int, answer: int, zygote: int, number: int) -> NoReturn:
    """Keep the two descriptors of this job alone, do it, and end without any of the zygote's clean-up."""
    code = 1
    try:
        kernel.die_with(zygote)
        low, high = sorted((jobs, answer))
        for start, stop in ((3, low), (low + 1, high), (high + 1, 1 << 20)):
            os.closerange(start, stop)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_bytes(_FIRST_KILLED)
        kind(frames.jobs(jobs), frames.Out(answer), number)
        code = 0
    finally:
        os._exit(code)


def _prepared(modules: list[str]) -> dict[str, Kind]:
    """The kinds of job of each module, once it is warm; it must not have started threads, for a fork loses them."""
    kinds: dict[str, Kind] = {}
    for module in map(importlib.import_module, modules):
        module.warm()
        kinds |= module.KINDS
    if kernel.threads() != 1:
        raise OSError("The engine started threads that a child would miss.")
    return kinds


def main() -> None:
    """Serve on the inherited socket; arguments: its number, a control group's file of processes or ``-``, modules."""
    number, group, *modules = sys.argv[1:]
    if group != "-":
        Path(group).write_text(str(os.getpid()))
    for module in modules:
        importlib.import_module(module)
    kernel.layers()  # looked up here, once: a hardened child could not
    starter = os.getpid()
    if pid := os.fork():  # some libraries start threads at import: the zygote proper is a fork, and has one
        os.waitpid(pid, 0)
        return
    kernel.die_with(starter)
    control = socket.socket(fileno=int(number))
    kinds = _prepared(modules)
    gc.collect()
    gc.freeze()  # children would copy every page that the collector touches
    control.sendall(b"ready")
    Zygote(control, kinds).serve()


if __name__ == "__main__":
    main()
