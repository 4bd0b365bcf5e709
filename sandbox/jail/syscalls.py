"""The few system calls that a child of the jail may make, as a program that the kernel runs before each call.

What is on no list does not exist for a child (ENOSYS), and its libraries do as on an older kernel. What is known to be
dangerous is refused by name (EPERM), so that the refusal can be told from an absence.
"""

import errno
import os
from functools import cache
from typing import Final

import seccompy

ALLOWED: Final = {
    "memory": "brk munmap mremap madvise membarrier",
    "threads": "futex rseq set_robust_list set_tid_address sched_yield sched_getaffinity getcpu exit exit_group "
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall",
    "clocks": "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times",
    "itself": "getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getrusage "
    "getrlimit getrandom uname sysinfo getcwd",
    "files": "read readv pread64 preadv write writev lseek close fadvise64 flock poll ppoll fstat stat lstat "
    "newfstatat statx access faccessat faccessat2 readlink readlinkat fstatfs",
}
"""Reading, threads, memory and clocks. Measured: what Python, DuckDB and Arrow call in each kind of job, and the names
that other processors and C libraries have for it."""
CHANGES: Final = "pwrite64 pwritev ftruncate fallocate fsync fdatasync sync_file_range creat truncate unlink unlinkat"
"""Allowed to a job that writes, and to no other; as is opening with any flag of these."""
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
    # It stays who it has become, and with its own kind: a session or a group of its own would be out of reach.
    "identity": "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset setsid setpgid",
    # No meeting place with other processes of the same user.
    "meeting": "shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink "
    "mq_timedsend mq_timedreceive mq_notify mq_getsetattr add_key request_key keyctl",
    # Parts of the kernel where most of its holes were found, and calls that go round this very filter.
    "surface": "io_uring_setup io_uring_enter io_uring_register io_setup io_submit bpf userfaultfd memfd_create "
    "memfd_secret personality modify_ldt remap_file_pages uselib fanotify_init fanotify_mark inotify_init1 "
    "inotify_add_watch splice tee vmsplice pkey_mprotect",
    # The view of the file tree stays as it is: no mounts, no namespaces, no opening past names, no looking around.
    "mounts": "mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr "
    "unshare setns name_to_handle_at open_by_handle_at quotactl quotactl_fd getdents getdents64",
    # The machine, should the exchange run as root.
    "machine": "init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct syslog "
    "sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex iopl ioperm vhangup",
    # The file tree is changed by the parent alone; who works in a folder makes and removes plain files there.
    "tree": "rename renameat renameat2 link linkat symlink symlinkat mkdir mkdirat rmdir mknod mknodat "
    "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat "
    "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr",
}
"""Never on the list above, whatever a later library may call: a test holds the two apart and tries each of these."""
_OPENED_TO_CHANGE: Final = (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC)
_CLONE_THREAD: Final = 0x10000
_CLONE_NEW: Final = 0x7E020080
"""A thread in namespaces of its own; nothing starts such a one."""
_EXECUTABLE: Final = 4
_LOCKS_AND_FLAGS: Final = (1, 2, 3, 4, 5, 6, 7, 36, 37, 38)
"""What ``fcntl`` may do. Not: name who gets signals of a descriptor, lease or watch a file, seal, enlarge a pipe."""
_NAMES_OF_THREADS_AND_MEMORY: Final = (15, 0x53564D41)
"""What ``prctl`` may do. Not: outlive the parent, be dumped or traced by others."""
_EQUAL: Final = seccompy.CmpOp.MASKED_EQ
_INT: Final = 0xFFFFFFFF
"""The kernel looks at this half of a register alone where a parameter is an ``int``."""


@cache
def program(*, writes: bool) -> bytes:
    """The filter in the kernel's own code, made once before the children are forked.

    Raises:
        seccompy.UnsupportedError: when this processor's calls are not known.
    """
    rules = seccompy.Filter(seccompy.Action.ERRNO | errno.ENOSYS)
    _allow_in_part(rules, writes=writes)
    for name in known(" ".join(ALLOWED.values()) + (f" {CHANGES}" if writes else "")):
        rules.allow(name)
    for name in known(" ".join(DENIED.values()) + ("" if writes else f" {CHANGES}")):
        rules.errno(name, errno.EPERM)
    rules.errno("ioctl", errno.ENOTTY)  # what libraries ask of a file is whether it is a terminal
    return rules.program


def _allow_in_part(rules: seccompy.Filter, *, writes: bool) -> None:
    """Calls that are allowed for some of what they can do; a rule that comes first holds."""
    for name, place in {"open": 1, "openat": 2}.items():
        for flag in () if writes or not known(name) else _OPENED_TO_CHANGE:
            rules.errno(name, errno.EPERM, args=[(place, _EQUAL, flag, flag)])
        for each in known(name):
            rules.allow(each)
    for name in ("mmap", "mprotect"):  # all code is there by now
        rules.errno(name, errno.EPERM, args=[(2, _EQUAL, _EXECUTABLE, _EXECUTABLE)])
        rules.allow(name)
    rules.allow("clone", args=[(0, _EQUAL, _CLONE_THREAD, _CLONE_THREAD | _CLONE_NEW)])
    rules.allow("prlimit64", args=[(0, _EQUAL, 0, _INT)])  # its own limits, not another's
    for command in _LOCKS_AND_FLAGS:
        rules.allow("fcntl", args=[(1, _EQUAL, command, _INT)])
    for option in _NAMES_OF_THREADS_AND_MEMORY:
        rules.allow("prctl", args=[(0, _EQUAL, option, _INT)])
    for name in ("clone", "prlimit64", "fcntl", "prctl"):
        rules.errno(name, errno.EPERM)


def known(names: str) -> list[str]:
    """Those names that this processor has; a newer kind of processor has no ``open`` or ``fork``."""
    return [name for name in names.split() if _has(name)]


def _has(name: str) -> bool:
    try:
        seccompy.syscall_nr(name)
    except ValueError:
        return False
    return True
