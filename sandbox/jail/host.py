"""What this machine has for the jail, what it lacks, and what its operator can do about it."""

import ctypes
import errno
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import landlockpy
import seccompy

from sandbox.jail import kernel

_LIBRARIES: Final = ("duckdb", "pyarrow", "landlockpy", "seccompy")
_WITH_SCOPES: Final = 6
_CREATE_RULESET: Final = 444
_ITS_VERSION: Final = 1
_LANDLOCK: Final = {
    errno.ENOSYS: "The kernel has no Landlock: use Linux 5.13 or newer, built with it.",
    errno.EOPNOTSUPP: "Landlock is off: add landlock to the kernel's boot option lsm=.",
    errno.EPERM: "A container's own filter hides Landlock: allow landlock_create_ruleset, landlock_add_rule and "
    "landlock_restrict_self in its seccomp profile.",
}


@dataclass(frozen=True, slots=True)
class Lack:
    """A layer that is not reached here, and what to do."""

    layer: str
    advice: str


def versions() -> dict[str, str]:
    """Of the system, the interpreter, and the libraries that the jail is made of."""
    named = {"kernel": platform.release(), "processor": platform.machine(), "python": platform.python_version()}
    named["landlock_abi"] = str(_abi() or "none")
    named["libc"] = " ".join(platform.libc_ver()).strip() or "unknown"
    return named | {name: _version(name) for name in _LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # landlockpy and seccompy are for Linux alone
        return "none"


def _abi() -> int:
    return landlockpy.abi_version() if "landlock" in kernel.layers() else 0


def lacks(reached: str) -> list[Lack]:
    """What ``reached``, such as ``process+uid``, leaves out, with advice for this machine."""
    layers, found = set(reached.split("+")), []
    if "landlock" not in layers:
        found.append(Lack("landlock", _about_landlock()))
    elif _abi() < _WITH_SCOPES:
        found.append(Lack("landlock", f"Landlock ABI {_abi()} knows no scopes for signals; Linux 6.12 does."))
    if "seccomp" not in layers:
        found.append(Lack("seccomp", _about_seccomp()))
    if "uid" not in layers:
        found.append(Lack("uid", _about_users()))
    if "cgroup" not in layers:
        advice = "Memory is watched, not capped by the kernel: let the exchange write to its own control group."
        found.append(Lack("cgroup", advice))
    return found


def _about_landlock() -> str:
    ctypes.set_errno(0)
    ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, _ITS_VERSION)
    return _LANDLOCK.get(ctypes.get_errno(), "Landlock does not hold here: run this machine's own kernel.")


def _about_seccomp() -> str:
    try:
        seccompy.arch()
    except seccompy.UnsupportedError:
        return f"No list of calls is known for the processor {platform.machine()}: use x86_64 or aarch64."
    return "The kernel takes no seccomp filters, or a container forbids it: use a kernel with CONFIG_SECCOMP_FILTER."


def _about_users() -> str:
    if os.geteuid() == 0:
        return "This root may not become another user: give the container the capabilities SETUID and SETGID."
    return "Children keep the server's user: only an exchange that root starts can give each child one of its own."
