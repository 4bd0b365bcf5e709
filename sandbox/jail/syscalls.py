"""The system calls that no child of the jail may make, as a program that the kernel runs before each call."""

import errno
import os
import struct
from functools import cache
from typing import Final

import seccompy

DENIED: Final = {
    # No way out, and no descriptors over a socket. A child answers through the pipe that it was given.
    "network": "socket socketpair bind connect listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg "
    "shutdown getsockname getpeername setsockopt getsockopt",
    # No other program. New processes could outlive the kill at the deadline; a thread cannot (see clone below).
    "processes": "execve execveat fork vfork",
    # No look or reach into another process, which may hold another buyer's rows, and no signal to the zygote.
    "others": "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_open pidfd_getfd "
    "pidfd_send_signal kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo migrate_pages move_pages setpriority "
    "sched_setparam sched_setscheduler sched_setattr ioprio_set perf_event_open lookup_dcookie",
    # No meeting place with other processes of the same user.
    "meeting": "shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink "
    "mq_timedsend mq_timedreceive mq_notify mq_getsetattr add_key request_key keyctl",
    # Parts of the kernel where most of its holes were found, and calls that go round this very filter.
    "surface": "io_uring_setup io_uring_enter io_uring_register io_setup io_submit bpf userfaultfd memfd_create "
    "memfd_secret personality modify_ldt remap_file_pages uselib fanotify_init fanotify_mark",
    # The view of the file tree stays as it is: no mounts, no namespaces, no opening past names.
    "mounts": "mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr "
    "unshare setns name_to_handle_at open_by_handle_at quotactl quotactl_fd",
    # The machine, should the exchange run as root.
    "machine": "init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct syslog "
    "sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex iopl ioperm vhangup",
    # The file tree is changed by the parent alone; who works in a folder makes and removes plain files there.
    "tree": "rename renameat renameat2 link linkat symlink symlinkat mkdir mkdirat rmdir mknod mknodat "
    "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat "
    "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr",
}
_CHANGES: Final = "creat truncate ftruncate fallocate unlink unlinkat"
"""Denied too to a job that writes nothing; as is opening with any flag of these."""
_OPENED_TO_CHANGE: Final = (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC)
_CLONE_THREAD: Final = 0x10000
_LAST_REVIEWED: Final = 462
"""``mseal`` of Linux 6.10. Later calls were not read for this list, and x32 counts the denied ones anew from 2³⁰."""
_EQUAL: Final = seccompy.CmpOp.MASKED_EQ


@cache
def program(*, writes: bool) -> bytes:
    """The filter in the kernel's own code, made once before the children are forked.

    Raises:
        seccompy.UnsupportedError: when this processor's calls are not known.
    """
    rules = seccompy.Filter(seccompy.Action.ALLOW)
    for name in known(" ".join(DENIED.values()) + ("" if writes else f" {_CHANGES}")):
        rules.errno(name, errno.EPERM)
    rules.errno("clone", errno.EPERM, args=[(0, _EQUAL, 0, _CLONE_THREAD)])
    rules.errno("prlimit64", errno.EPERM, args=[(0, seccompy.CmpOp.NE, 0)])  # its own limits, not another's
    for name in ("clone3", "openat2"):  # their flags lie in memory, where no filter can see them; libraries fall back
        rules.errno(name, errno.ENOSYS)
    for name, place in {"open": 1, "openat": 2}.items():
        for flag in () if writes or not known(name) else _OPENED_TO_CHANGE:
            rules.errno(name, errno.EPERM, args=[(place, _EQUAL, flag, flag)])
    return _unknown_is_absent() + rules.program


def known(names: str) -> list[str]:
    """Those names that this processor has; a newer kind of processor has no ``open`` or ``fork``."""
    return [name for name in names.split() if _has(name)]


def _has(name: str) -> bool:
    try:
        seccompy.syscall_nr(name)
    except ValueError:
        return False
    return True


def _unknown_is_absent() -> bytes:
    """Load the call's number; if it is above the last that was reviewed, answer as an older kernel would."""
    load, jump_if_greater, answer = 0x20, 0x25, 0x06
    refusal = seccompy.Action.ERRNO | errno.ENOSYS
    steps = ((load, 0, 0, 0), (jump_if_greater, 0, 1, _LAST_REVIEWED), (answer, 0, 0, refusal))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
