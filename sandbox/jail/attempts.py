"""What no child should be able to do, each tried in earnest: the probe takes a few of them, ``sandbox doctor`` all.

An attempt that is not stopped leaves nothing behind but a file in the folder of the trial.
"""

import ctypes
import errno
import mmap
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import seccompy

from sandbox.jail.kernel import CAPABILITIES_V3, DAC_OVERRIDE, PR_SET_PDEATHSIG, checked, libc

_STOPPED: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})
"""An error of another kind comes from behind the barrier, and is no proof."""
_EXECUTABLE: Final = mmap.PROT_READ | mmap.PROT_EXEC


@dataclass(frozen=True, slots=True)
class Target:
    """What the attempts are aimed at: the exchange's process and files, and files of the trial's own."""

    server: int
    database: str
    keys: str
    foreign: str
    extract: str
    folder: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """``layer`` is what should stop ``act``, each part alone; it raises :class:`OSError` then."""

    words: str
    layer: str
    act: Callable[[Target], object]


def _open(path: str, flags: int = os.O_RDONLY) -> None:
    os.close(os.open(path, flags))


def _call(name: str, *given: object) -> None:
    checked(libc.syscall(seccompy.syscall_nr(name), *given))


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _become_root() -> None:
    """Root by name has lost its rights: then one of them is asked back."""
    if os.getuid():
        _call("setresuid", 0, 0, 0)
    header, wanted = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)(DAC_OVERRIDE, DAC_OVERRIDE)
    checked(libc.capset(header, wanted))


def _is_another_user() -> bool:
    """Whether this is not the user that the exchange runs as."""
    try:
        return Path(f"/proc/{os.getppid()}").stat().st_uid != os.getuid()
    except OSError:
        return False


def _raise_limits() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = (ctypes.c_ulong * 2)(most + 1, most + 1)
    checked(libc.setrlimit(resource.RLIMIT_NOFILE, more))


_PASSWORDS: Final = Attempt("read /etc/passwd", "landlock", lambda _: _open("/etc/passwd"))
_WRITE: Final = Attempt("write to a device", "seccomp+landlock", lambda _: _open("/dev/null", os.O_WRONLY))
_SOCKET: Final = Attempt("make an internet socket", "seccomp", lambda _: _call("socket", 2, 1, 0))
_FORK: Final = Attempt("fork", "seccomp", lambda _: _fork())
_ROOT: Final = Attempt("become root with its rights", "seccomp+uid", lambda _: _become_root())
PROBE: Final = {"read": _PASSWORDS, "write": _WRITE, "socket": _SOCKET, "fork": _FORK, "user": _ROOT}
"""A layer counts only when such of these as are its own fail."""
ATTEMPTS: Final = (
    _PASSWORDS,
    Attempt("read the exchange's database", "landlock", lambda at: _open(at.database)),
    Attempt("read the exchange's keys", "landlock", lambda at: _open(at.keys)),
    Attempt("read another participant's extract", "landlock", lambda at: _open(at.foreign)),
    Attempt("read the exchange's environment", "landlock", lambda at: _open(f"/proc/{at.server}/environ")),
    Attempt("read the exchange's memory as a file", "landlock", lambda at: _open(f"/proc/{at.server}/mem")),
    Attempt("list a folder", "seccomp+landlock", lambda at: [*Path(at.folder).iterdir()]),
    _WRITE,
    Attempt("make a file", "seccomp+landlock", lambda at: _open(f"{at.folder}/made", os.O_WRONLY | os.O_CREAT)),
    Attempt("write over its own extract", "seccomp+landlock", lambda at: _open(at.extract, os.O_WRONLY)),
    Attempt("remove another participant's extract", "seccomp+landlock", lambda at: Path(at.foreign).unlink()),
    _SOCKET,
    Attempt("make a local socket", "seccomp", lambda _: _call("socket", 1, 1, 0)),
    Attempt("connect", "seccomp", lambda _: _call("connect", -1, None, 0)),
    Attempt("start a program", "seccomp", lambda _: _call("execve", b"/nosuch", None, None)),
    _FORK,
    Attempt("trace the exchange", "seccomp", lambda at: _call("ptrace", 3, at.server, None, None)),
    Attempt(
        "read the exchange's memory", "seccomp", lambda at: _call("process_vm_readv", at.server, None, 0, None, 0, 0)
    ),
    Attempt("signal the exchange", "seccomp", lambda at: os.kill(at.server, 0)),
    Attempt("outlive the exchange", "seccomp", lambda _: checked(libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0))),
    Attempt("make memory executable", "seccomp", lambda _: mmap.mmap(-1, 4096, prot=_EXECUTABLE)),
    Attempt("mount", "seccomp", lambda _: _call("mount", None, None, None, 0, None)),
    Attempt("leave its namespaces", "seccomp", lambda _: _call("unshare", 0)),
    Attempt("load a kernel module", "seccomp", lambda _: _call("init_module", None, 0, None)),
    Attempt("use io_uring", "seccomp", lambda _: _call("io_uring_setup", 1, None)),
    _ROOT,
    Attempt("raise its own limits", "process", lambda _: _raise_limits()),
)


def outcome(attempt: Attempt, target: Target) -> tuple[bool, str]:
    """Whether it was stopped, and by which error; ``done`` when it was not."""
    try:
        attempt.act(target)
    except OSError as error:
        return error.errno in _STOPPED, errno.errorcode.get(error.errno or 0, "an error")
    return False, "done"


def denied() -> list[str]:
    """What this process tried in vain just now: to read, to write, to reach the network, to become two, or root."""
    nothing = Target(0, "", "", "", "", "")
    names = [name for name, attempt in PROBE.items() if outcome(attempt, nothing)[0]]
    return [name for name in names if name != "user" or _is_another_user()]
