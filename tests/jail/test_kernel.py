"""The kernel holds a child when gate and lock-down do not: each layer alone, and both together.

Every operation is also tried without them, so that a denial is theirs. Nothing of this can be asked of the worker: a
fresh interpreter calls the hardening itself and then misbehaves.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import seccompy

from sandbox.jail import attempts, kernel, syscalls
from sandbox.query.duckdb import JailedEngine

LANDLOCK, SECCOMP, BOTH = {"landlock"}, {"seccomp"}, {"landlock", "seccomp"}
LIMITS = {"memory_mb": 512, "seconds": 20, "file_mb": 1}

OPERATIONS = {
    "read_passwd": ("open('/etc/passwd').read()", LANDLOCK),
    "read_another_extract": ("open(OTHER, 'rb').read()", LANDLOCK),
    "read_the_parents_environment": ("open(f'/proc/{PARENT}/environ', 'rb').read()", LANDLOCK),
    "list_a_folder": ("os.listdir(FOLDER)", LANDLOCK),
    "write_over_the_extract": ("os.close(os.open(EXTRACT, os.O_WRONLY))", BOTH),
    "read_and_write_the_extract": ("os.close(os.open(EXTRACT, os.O_RDWR))", BOTH),
    "create": ("os.close(os.open(FOLDER + '/new', os.O_CREAT))", BOTH),
    "truncate": ("os.truncate(OTHER, 0)", BOTH),
    "rename": ("os.rename(OTHER, OTHER + '.moved'); os.rename(OTHER + '.moved', OTHER)", BOTH),
    "link": ("os.link(OTHER, FOLDER + '/linked')", BOTH),
    "symlink": ("os.symlink(OTHER, FOLDER + '/symlinked')", BOTH),
    "mkdir": ("os.mkdir(FOLDER + '/made')", BOTH),
    "unlink": ("os.unlink(FOLDER + '/doomed')", BOTH),
    "chmod": ("os.chmod(OTHER, 0o644)", SECCOMP),
    "socket": ("socket.socket().close()", SECCOMP),
    "socketpair": ("[end.close() for end in socket.socketpair()]", SECCOMP),
    "connect_a_socket_left_open": ("LEFT_OPEN.connect(LISTENING.getsockname())", BOTH),
    "send_on_a_socket_left_open": ("LEFT_OPEN_PAIR[0].send(b'x')", SECCOMP),
    "exec": ("os.execv('/bin/nosuch', ['nosuch'])", SECCOMP),
    "fork": ("os.waitpid(os.fork() or os._exit(0), 0)", SECCOMP),
    "spawn": ("os.waitpid(os.posix_spawn(sys.executable, ['python', '-c', ''], {}), 0)", SECCOMP),
    "ptrace": ("checked(libc.ptrace(3, PARENT, None, None))", SECCOMP),
    "read_the_parents_memory": ("call('process_vm_readv', PARENT, None, 0, None, 0, 0)", SECCOMP),
    "kill_the_parent": ("os.kill(PARENT, 0)", BOTH),
    "kill_a_thread_of_the_parent": ("call('tgkill', PARENT, PARENT, 0)", BOTH),
    "open_the_parent": ("os.close(os.pidfd_open(PARENT))", SECCOMP),
    "limit_the_parent": ("resource.prlimit(PARENT, resource.RLIMIT_NOFILE)", SECCOMP),
    "file_in_memory": ("os.close(os.memfd_create('x'))", SECCOMP),
    "unshare": ("call('unshare', 0)", SECCOMP),
    "setns": ("call('setns', -1, 0)", SECCOMP),
    "shared_memory": ("call('shmget', 0, 4096, 0o600)", SECCOMP),
    "process_by_a_structure": ("call('clone3', None, 0)", SECCOMP),
    "open_by_a_structure": ("call('openat2', -100, None, None, 0)", SECCOMP),
}
"""What is tried, and which layers deny it alone."""

NEVER = syscalls.known(" ".join(syscalls.DENIED.values()))
"""Calls some of which machines deny to everybody; called with nothing that could do harm."""

PRELUDE = """
import ctypes, errno, json, os, resource, socket, sys, threading
import seccompy
from sandbox.jail import kernel
libc = ctypes.CDLL(None, use_errno=True)
PARENT = os.getppid()
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
def call(name, *given):
    checked(libc.syscall(seccompy.syscall_nr(name), *given))
def tried(code):
    try:
        exec(code)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""
SOCKETS = """
LISTENING = socket.create_server(("127.0.0.1", 0))
LEFT_OPEN, LEFT_OPEN_PAIR = socket.socket(), socket.socketpair()
"""


def python(code: str, **names: object) -> subprocess.CompletedProcess[str]:
    given = "\n".join(f"{name} = {value!r}" for name, value in names.items())
    command = [sys.executable, "-I", "-c", f"{PRELUDE}\n{given}\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def told(code: str, **names: object) -> Any:
    """What an interpreter printed as JSON."""
    done = python(code, **names)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hardened(layers: set[str]) -> str:
    return f"kernel.layers = lambda: {layers!r}\nkernel.harden([EXTRACT], None, {LIMITS})\n"


def need(layers: set[str]) -> None:
    if missing := layers - kernel.layers():
        pytest.skip(f"this kernel has no {' and no '.join(sorted(missing))}")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Each operation's outcome without hardening, with each layer alone, and with both."""
    found = {}
    for name, layers in {"none": None, "landlock": LANDLOCK, "seccomp": SECCOMP, "both": BOTH}.items():
        if layers and not layers <= kernel.layers():
            continue
        folder = tmp_path_factory.mktemp(name)
        for file in ("extract", "other", "doomed"):
            (folder / file).write_text("row")
        codes = {operation: code for operation, (code, _) in OPERATIONS.items()}
        codes |= {call: f"call({call!r}, -1, 0, 0, 0, 0, 0)" for call in NEVER if layers and layers >= SECCOMP}
        begin = SOCKETS + (hardened(layers) if layers else "")
        code = f"{begin}print(json.dumps({{name: tried(code) for name, code in {codes!r}.items()}}))"
        paths = {"FOLDER": folder, "EXTRACT": folder / "extract", "OTHER": folder / "other"}
        found[name] = told(code, **{key: str(path) for key, path in paths.items()})
        if layers == BOTH:
            assert sorted(path.name for path in folder.iterdir()) == ["doomed", "extract", "other"]
            assert {path.read_text() for path in folder.iterdir()} == {"row"}
    return found


REFUSED = {"EPERM", "EACCES", "ENOSYS"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_a_child_never_does_is_denied_by_the_kernel(outcomes: dict[str, dict[str, str]], operation: str) -> None:
    need(BOTH)
    assert outcomes["none"][operation] not in REFUSED, "it is possible without the layers"
    assert outcomes["both"][operation] in REFUSED


@pytest.mark.parametrize("layer", sorted(BOTH))
def test_each_layer_denies_its_part_alone(outcomes: dict[str, dict[str, str]], layer: str) -> None:
    need({layer})
    expected = {operation for operation, (_, layers) in OPERATIONS.items() if layer in layers}
    refused = {operation for operation in OPERATIONS if outcomes[layer][operation] in REFUSED}
    assert expected <= refused, "root's lost capabilities may deny more"


@pytest.mark.parametrize("layers", ["seccomp", "both"])
def test_every_call_that_is_never_made_is_refused(outcomes: dict[str, dict[str, str]], layers: str) -> None:
    need(BOTH if layers == "both" else SECCOMP)
    assert {call: outcomes[layers][call] for call in NEVER} == dict.fromkeys(NEVER, "EPERM")


def test_a_call_on_no_list_or_counted_anew_by_x32_does_not_exist(tmp_path: Path) -> None:
    need(SECCOMP)
    (tmp_path / "extract").touch()
    named = ["epoll_create1", "eventfd2", "timerfd_create", "sendfile", "clone3", "openat2", "landlock_create_ruleset"]
    numbers = [seccompy.syscall_nr(name) for name in named]
    numbers += [463, 467, 10_000, 1 << 30 | 41, 1 << 30 | 520]  # setxattrat, open_tree_attr, none; socket, execve
    code = f"print(json.dumps([tried(f'checked(libc.syscall({{number}}, 1, 1, 0))') for number in {numbers}]))"
    assert told(hardened(BOTH) + code, EXTRACT=str(tmp_path / "extract")) == ["ENOSYS"] * len(numbers)


def test_a_child_still_reads_its_file_starts_threads_and_can_only_tighten_its_limits(tmp_path: Path) -> None:
    (tmp_path / "extract").write_text("row")
    code = """
thread = threading.Thread(target=lambda: print(json.dumps(open(EXTRACT).read())))
thread.start(); thread.join()
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
except (ValueError, OSError):
    sys.exit(0)
sys.exit(1)
"""
    assert told(hardened(set(kernel.layers())) + code, EXTRACT=str(tmp_path / "extract")) == "row"


def test_a_child_keeps_no_capability_but_to_read_what_its_owner_may(tmp_path: Path) -> None:
    (tmp_path / "extract").touch()
    code = "status = open('/proc/self/status').read()\nprint(json.dumps(status))"
    status = told(hardened(set()) + code, EXTRACT=str(tmp_path / "extract"))
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs")))
    assert int(sets["CapPrm"], 16) | int(sets["CapEff"], 16) in {0, 1 << 2}
    assert int(sets["CapInh"], 16) == 0
    assert sets["NoNewPrivs"] == "1"


def test_who_reads_no_file_keeps_no_capability_at_all() -> None:
    code = "kernel.layers = lambda: set()\nkernel.harden([], None, LIMITS)\n"
    status = told(f"{code}print(json.dumps(open('/proc/self/status').read()))", LIMITS=LIMITS)
    assert "CapPrm:\t0000000000000000" in status
    assert "CapEff:\t0000000000000000" in status


def test_under_root_a_child_becomes_a_user_that_no_other_child_is() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    code = "kernel.harden([], None, LIMITS, 7)\nprint(json.dumps([os.getresuid(), os.getresgid(), os.getgroups()]))"
    users, groups, others = told(code, LIMITS=LIMITS)
    assert users == groups == [kernel._STRANGERS + 7] * 3
    assert others == []


def test_a_crash_still_ends_a_child_that_may_send_no_signal(tmp_path: Path) -> None:
    (tmp_path / "extract").touch()
    done = python(hardened(set(kernel.layers())) + "os.abort()", EXTRACT=str(tmp_path / "extract"))
    assert done.returncode in {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGILL, -signal.SIGTRAP}


def test_who_makes_an_extract_works_in_its_folder_and_reads_its_sources(tmp_path: Path) -> None:
    need(BOTH)
    for name in ("source", "neighbour"):
        (tmp_path / name).write_text("row")
    (tmp_path / "work").mkdir()
    codes = {
        "source": "open(FOLDER + '/source').read()",
        "made": "open(FOLDER + '/work/made', 'w').write('new')",
        "log": "open(FOLDER + '/work/log', 'w').write('new')",
        "unlog": "os.unlink(FOLDER + '/work/log')",
        "neighbour": "open(FOLDER + '/neighbour', 'w')",
        "read": "open(FOLDER + '/neighbour').read()",
        "over_source": "open(FOLDER + '/source', 'w')",
        "new": "open(FOLDER + '/new', 'w')",
        "rename": "os.rename(FOLDER + '/work/made', FOLDER + '/work/other')",
        "link": "os.symlink('/etc/passwd', FOLDER + '/work/link')",
        "hard_link": "os.link(FOLDER + '/source', FOLDER + '/work/link')",
        "folder": "os.mkdir(FOLDER + '/work/deeper')",
        "unlink": "os.unlink(FOLDER + '/neighbour')",
        "socket": "socket.socket()",
    }
    begin = f"kernel.harden([FOLDER + '/source'], FOLDER + '/work', {LIMITS})\n"
    found = told(
        f"{begin}print(json.dumps({{name: tried(code) for name, code in {codes!r}.items()}}))", FOLDER=str(tmp_path)
    )
    assert {name for name, outcome in found.items() if outcome == "done"} == {"source", "made", "log", "unlog"}
    assert set(found.values()) <= REFUSED | {"done"}
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["made"]
    assert (tmp_path / "neighbour").read_text() == "row"


@pytest.mark.parametrize("threads", [0, 4])
def test_an_engine_that_starts_threads_is_not_forked(threads: int) -> None:
    """A fork would lose them, and the kernel's rules would not bind them."""
    change = f"from sandbox.query import worker\nworker._CONFIG['async_threads'] = {threads}\n"
    fork = "if os.fork() == 0:\n    zygote._prepared(['sandbox.query.worker'])\n    os._exit(0)\n"
    code = f"{change}from sandbox.jail import zygote\n{fork}"
    done = python(f"{code}print(json.dumps(os.waitstatus_to_exitcode(os.wait()[1])))")
    assert json.loads(done.stdout.splitlines()[-1]) == (1 if threads else 0)
    assert ("would miss" in done.stderr) == bool(threads)


def test_an_unlocked_engine_reads_its_extract_on_many_threads_and_nothing_else(tmp_path: Path) -> None:
    need(BOTH)
    with duckdb.connect() as source:
        for name in ("extract", "other"):
            source.execute(f"COPY (SELECT i FROM range(500000) t(i)) TO '{tmp_path / name}.parquet'")
    statements = {
        "extract": "SELECT sum(i) FROM read_parquet('{folder}/extract.parquet')",
        "passwd": "SELECT * FROM read_text('/etc/passwd')",
        "other": "SELECT * FROM read_parquet('{folder}/other.parquet')",
        "copy": "COPY (SELECT 1) TO '{folder}/written.csv'",
        "attach": "ATTACH '{folder}/attached.db' AS a",
        "export": "EXPORT DATABASE '{folder}/exported'",
        "http": "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    }
    code = f"""
import duckdb
connection = duckdb.connect(config={{"threads": 1, "async_threads": 0, "extension_directory": FOLDER}})
kernel.harden([FOLDER + "/extract.parquet"], None, {LIMITS})
connection.execute("SET threads = 4")
def ran(sql):
    try:
        return connection.execute(sql.format(folder=FOLDER)).fetchall()
    except duckdb.Error:
        return "refused"
print(json.dumps({{name: ran(sql) for name, sql in {statements!r}.items()}}, default=str))
"""
    found = told(code, FOLDER=str(tmp_path))
    assert found.pop("extract") == [[sum(range(500_000))]]
    assert set(found.values()) == {"refused"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["extract.parquet", "other.parquet"]


def test_the_engine_says_how_far_its_children_are_shut_in(engine: JailedEngine) -> None:
    layers = engine.isolation.split("+")
    assert layers[0] == "process"
    assert {"landlock", "seccomp"} & {*layers} == kernel.layers()
    assert ("uid" in layers) == (os.geteuid() == 0)
    assert engine.isolation == "+".join(layers)


@pytest.mark.parametrize("raised", [None, FileNotFoundError(2, ""), PermissionError(1, ""), OSError(38, "")])
def test_the_probe_counts_only_what_was_denied_by_right(raised: OSError | None) -> None:
    def act(_: object) -> None:
        if raised:
            raise raised

    nothing = attempts.Target(0, "", "", "", "", "")
    stopped, _ = attempts.outcome(attempts.Attempt("", "", act), nothing)
    assert stopped == (raised is not None and not isinstance(raised, FileNotFoundError))


def test_what_is_allowed_and_what_is_denied_have_nothing_in_common_and_exist() -> None:
    allowed = " ".join([*syscalls.ALLOWED.values(), syscalls.CHANGES]).split()
    denied = " ".join(syscalls.DENIED.values()).split()
    assert len(allowed + denied) == len({*allowed, *denied})
    if seccompy.arch() == "x86_64":
        assert syscalls.known(" ".join(allowed + denied)) == allowed + denied


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_kind_of_processor_has_a_filter_with_what_threads_and_files_need(machine: str) -> None:
    code = f"import platform; platform.machine = lambda: {machine!r}\nfrom sandbox.jail import syscalls\n"
    needed = "openat read writev mmap futex clone exit_group rt_sigreturn newfstatat ppoll getrandom"
    lengths = "[len(syscalls.program(writes=writes)) for writes in (True, False)]"
    found = told(f"{code}print(json.dumps({lengths} + syscalls.known({needed!r})))")
    assert found[2:] == needed.split()
    assert all(0 < length // 8 < 4096 for length in found[:2]), "the kernel takes so many steps"


IN_PART = {
    "fcntl": ("call('fcntl', 0, 3)", "call('fcntl', 0, 8, os.getpid())"),  # F_GETFL; F_SETOWN
    "prctl": ("libc.prctl(15, b'name', 0, 0, 0)", "checked(libc.prctl(1, 0, 0, 0, 0))"),  # the death signal
    "prlimit64": ("resource.prlimit(0, resource.RLIMIT_CORE)", "resource.prlimit(PARENT, resource.RLIMIT_CORE)"),
    "mmap": ("mmap.mmap(-1, 4096)", "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)"),
    "mprotect": ("call('mprotect', 0, 0, 1)", "call('mprotect', 0, 0, 5)"),
    "openat": ("os.close(os.open(EXTRACT, 0))", "os.close(os.open(EXTRACT, os.O_WRONLY))"),
    "clone": ("None", "call('clone', 0x10000 | 0x20000000, 0, 0, 0, 0)"),  # a thread in a space of its own
}


@pytest.mark.parametrize("call", IN_PART)
def test_what_is_allowed_in_part_is_refused_in_the_rest(tmp_path: Path, call: str) -> None:
    need(SECCOMP)
    (tmp_path / "extract").touch()
    code = f"import mmap\n{hardened(SECCOMP)}print(json.dumps([tried(code) for code in {IN_PART[call]!r}]))"
    assert told(code, EXTRACT=str(tmp_path / "extract")) == ["done", "EPERM"]


def test_arrow_reads_and_writes_parquet_under_the_filter(tmp_path: Path) -> None:
    need(BOTH)
    code = f"""
import pyarrow as pa, pyarrow.parquet as pq
pq.write_table(pa.table({{"i": [1, 2, 3]}}), FOLDER + "/source")
kernel.harden([FOLDER + "/source"], FOLDER + "/work", {LIMITS})
table = pq.ParquetFile(FOLDER + "/source").read(use_threads=True)
with pa.OSFile(FOLDER + "/work/made", "wb") as sink:
    pq.write_table(table, sink)
print(json.dumps(pq.ParquetFile(pa.memory_map(FOLDER + "/work/made")).read().to_pydict()))
"""
    (tmp_path / "work").mkdir()
    assert told(code, FOLDER=str(tmp_path)) == {"i": [1, 2, 3]}
