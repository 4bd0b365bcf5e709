"""What a child gives up for good before it meets anybody's SQL, so that the kernel holds it when the engine does not.

Each layer stands alone: limits end what runs away; where the exchange runs as root a child becomes a user of its own,
shared with no other child, and keeps at most the right to open files; Landlock lets it open the files of its job and
none else; seccomp leaves out the calls that a reader of files never makes.
"""

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import landlockpy
import seccompy

from sandbox.jail import syscalls

PR_SET_PDEATHSIG: Final = 1
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_FILTER: Final = 2
CAPABILITIES_V3: Final = 0x20080522
DAC_OVERRIDE: Final = 1 << 1
_DAC_READ_SEARCH: Final = 1 << 2
_CGROUP: Final = ("/proc/self/cgroup", "/sys/fs/cgroup")
"""The engine reads its memory limit there, and aborts when it sees them but may not."""
_READ: Final = landlockpy.AccessFS.READ_FILE
_WORK: Final = (
    landlockpy.AccessFS.READ_FILE
    | landlockpy.AccessFS.WRITE_FILE
    | landlockpy.AccessFS.TRUNCATE
    | landlockpy.AccessFS.MAKE_REG
    | landlockpy.AccessFS.REMOVE_FILE
)
"""What a job may do in the one folder that it writes to."""
_STRANGERS: Final = 2_000_000_000
"""Above the users of any system; each child takes the next one."""
_NOBODY: Final = 65_534
_SCOPE: Final = landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL
libc: Final = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def die_with(parent: int) -> None:
    """Be killed when the parent ends, also if it has ended already."""
    _prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


@cache
def layers() -> frozenset[str]:
    """What this kernel has of ``landlock`` and ``seccomp``; asked once, before the children are forked."""
    found = {"landlock": _has_landlock, "seccomp": _has_seccomp}
    return frozenset(name for name, has in found.items() if has())


def _has_landlock() -> bool:
    try:
        return landlockpy.abi_version() >= 1
    except OSError:  # a container's own filter may deny the question
        return False


def _has_seccomp() -> bool:
    try:
        for writes in (True, False):
            syscalls.program(writes=writes)
        _prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), None)  # a program at no address
    except seccompy.UnsupportedError:  # an unknown processor
        return False
    except OSError as error:
        return error.errno == errno.EFAULT  # the kernel would take programs, it complains of the address
    return False


def threads() -> int:
    """How many threads this process has."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def harden(files: Sequence[str], folder: str | None, limits: Mapping[str, int], stranger: int = 0) -> None:
    """Keep the right to read ``files`` and to work in ``folder``, and no other; ``stranger`` numbers the user.

    Kernel rules bind the thread that asks and those that it starts later, so a child still has one thread only.

    Raises:
        OSError: when a layer that this kernel has does not hold; the child must then not go on.
    """
    _limit(files, folder, limits)
    opens = _DAC_READ_SEARCH if files else 0
    _become(stranger, keep=opens | (DAC_OVERRIDE if folder else 0))
    _prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))  # a change of credentials clears it
    _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    if "landlock" in layers():
        _confine(files, folder)
    if "seccomp" in layers():
        program = syscalls.program(writes=folder is not None)
        _prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(_Program(len(program) // 8, program)))


def _limit(files: Sequence[str], folder: str | None, limits: Mapping[str, int]) -> None:
    bounds = {
        resource.RLIMIT_AS: (limits["memory_mb"] << 20) + (5 << 30),  # a connection alone maps more than a gigabyte
        resource.RLIMIT_FSIZE: limits["file_mb"] << 20 if folder else 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64 + 4 * len(files),
        resource.RLIMIT_CPU: 4 * limits["seconds"] + 4,
    }
    for bound, value in bounds.items():
        resource.setrlimit(bound, (value, value))


def _become(stranger: int, keep: int) -> None:
    """Another user than any, where root may choose, with at most the capabilities ``keep``.

    What is kept opens files whoever owns them; Landlock says which.
    """
    if os.geteuid() == 0:
        _prctl(_PR_SET_KEEPCAPS, ctypes.c_ulong(1))
        for user in (_STRANGERS + stranger, _NOBODY):  # a container may know few users
            with suppress(OSError):
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                break
    header, held = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    checked(libc.capget(header, held))
    kept = held[1] & keep  # effective, permitted, inheritable; then the same of the capabilities from 32 on
    checked(libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)))


def _confine(files: Sequence[str], folder: str | None) -> None:
    with landlockpy.Ruleset(scoped=_SCOPE) as rules:  # of what the library knows, all that this kernel knows
        for path in files:
            rules.allow_path(path, _READ)
        for path in _CGROUP:
            with suppress(FileNotFoundError):
                rules.allow_path(path, _READ)
        if folder:
            rules.allow_path(folder, _WORK)
        rules.restrict()


def _prctl(option: int, *values: object) -> None:
    given = [*values, 0, 0, 0, 0][:4]
    checked(libc.prctl(option, *given))


def checked(result: int) -> None:
    """Raise :class:`OSError` for a call of the C library that answered with an error."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
