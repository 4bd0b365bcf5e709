"""Without gate and lock-down: a plain engine runs the attacks, and the kernel alone keeps what it must not reach."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.jail import kernel
from tests.scene import SECRETS, Scene, named, set_up, told


@pytest.fixture(scope="module")
def scene(bus: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with set_up(bus, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


HARNESS = """
import json, os, signal, sys
import duckdb, pyarrow
from sandbox.jail import kernel
job = json.load(sys.stdin)
connection = duckdb.connect(config={"threads": 1, "async_threads": 0, "python_enable_replacements": "false"})
for setting in ("home_directory", "extension_directory"):
    connection.execute(f"SET {setting} = '{job['extensions']}'")
connection.execute(f"ATTACH '{job['extract']}' AS \\"bus_trips 0\\" (READ_ONLY)")
connection.execute('CREATE VIEW bus_trips AS FROM "bus_trips 0".main.rows')
kernel.layers()
def misbehave(sql, outgoing):
    if job["hardened"]:
        kernel.harden([job["extract"]], None, {"memory_mb": 512, "seconds": 2, "file_mb": 0})
    try:
        table = connection.execute(sql).to_arrow_table()
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.slice(0, 2000))
        said = bytes(sink.getvalue())
    except Exception as error:
        said = b"refused " + str(error).encode(errors="replace")
    os.write(outgoing, said[:1_000_000])
ends = []
for sql in job["statements"]:
    incoming, outgoing = os.pipe()
    if os.fork() == 0:
        signal.alarm(1)
        try:
            misbehave(sql, outgoing)
        finally:
            os._exit(0)
    os.close(outgoing)
    with open(incoming, "rb") as stream:
        ends.append(stream.read().decode("latin-1"))
    os.wait()
json.dump(ends, sys.stdout)
"""


def unlocked(scene: Scene, statements: Sequence[str], *, hardened: bool) -> Mapping[str, str]:
    """What statements give in a plain engine, each in a process of its own that the kernel holds or does not."""
    job = {"extract": scene.extract, "statements": statements, "hardened": hardened, "extensions": scene.folder.parent}
    done = subprocess.run(
        [sys.executable, "-I", "-c", HARNESS],
        input=json.dumps(job, default=str),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={"SANDBOX_SECRET": SECRETS["environment"]},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(statements, json.loads(done.stdout), strict=True))


def need(*layers: str) -> None:
    if missing := {*layers} - kernel.layers():
        pytest.skip(f"this kernel has no {' and no '.join(sorted(missing))}")


HARM = {
    "file": "FROM read_text('{folder}/secret')",
    "extract": "ATTACH '{other}' AS other (READ_ONLY); SELECT * FROM other.main.rows",
    "environment": "FROM read_text('/proc/self/environ')",
}


def test_where_nothing_holds_it_a_statement_does_harm(scene: Scene) -> None:
    """Otherwise it would prove nothing that the same statement fails in the jail."""
    places = {"folder": scene.folder, "other": scene.other}
    for name, sql in HARM.items():
        ((_, outcome),) = unlocked(scene, [sql.format(**places)], hardened=False).items()
        assert name in told(outcome.encode("latin-1")), outcome
    came = scene.listener.count
    unlocked(scene, [f"INSTALL spam FROM 'http://127.0.0.1:{scene.listener.port}'"], hardened=False)
    assert scene.listener.count > came
    written = scene.folder / "written.csv"
    unlocked(scene, [f"COPY (SELECT 1) TO '{written}'"], hardened=False)
    assert written.exists()
    written.unlink()
    scene.listener.count = came


def test_without_gate_and_lock_down_the_kernel_alone_keeps_files_and_network_out_of_reach(scene: Scene) -> None:
    need("landlock", "seccomp")
    before, came = scene.state(), scene.listener.count
    statements = list(dict.fromkeys(scene.statements()))
    with ThreadPoolExecutor(6) as pool:  # most of them wait: for a host that does not answer, or for their alarm
        parts = pool.map(lambda first: unlocked(scene, statements[first::6], hardened=True), range(6))
        outcomes = {sql: outcome for part in parts for sql, outcome in part.items()}
    assert len(outcomes) == len(statements)
    shown = {
        sql: told(outcome.encode("latin-1").replace(str(scene.extract).encode(), b"")) - named(scene, sql)
        for sql, outcome in outcomes.items()
    }
    assert {sql: names for sql, names in shown.items() if names} == {}
    assert scene.state() == before
    assert scene.listener.count == came
    assert not outcomes["SELECT 1; SELECT 2; SELECT 3"].startswith("refused"), "what harms nobody runs"


EXECUTIONS = {
    "exec": "os.execv('/bin/true', ['true'])",
    "fork": "os._exit(0) if os.fork() == 0 else os.wait()",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "shell": "subprocess.run('true', shell=True, check=True)",
    "socket": "socket.create_connection(('127.0.0.1', PORT), 1)",
    "read": "open(SECRET).read()",
    "write": "open(SECRET + '.new', 'w').write('x')",
    "extract_to_write": "open(EXTRACT, 'r+b')",
    "other_extract": "open(OTHER, 'rb').read(1)",
    "listing": "os.listdir('/')",
    "environment": "open('/proc/self/environ').read()",
}


@pytest.mark.parametrize("name", EXECUTIONS)
def test_code_of_an_attacker_in_a_child_is_refused_by_the_kernel(scene: Scene, name: str) -> None:
    """Should the engine be taken over, Python is what the attacker finds."""
    need("landlock", "seccomp")
    code = f"""
import os, socket, subprocess, sys
import duckdb
from sandbox.jail import kernel
PORT, SECRET = {scene.listener.port}, {str(scene.folder / "secret")!r}
EXTRACT, OTHER = {str(scene.extract)!r}, {str(scene.other)!r}
connection = duckdb.connect(config={{"threads": 1, "async_threads": 0}})
if "-" not in sys.argv:
    kernel.harden([EXTRACT], None, {{"memory_mb": 512, "seconds": 2, "file_mb": 0}})
    assert open(EXTRACT, "rb").read(1)
try:
    {EXECUTIONS[name]}
except OSError:
    os._exit(7)
os._exit(0)
"""
    came, before = scene.listener.count, scene.state()
    command = [sys.executable, "-I", "-c", code]
    assert subprocess.run(command, check=False, timeout=60).returncode == 7
    assert (scene.listener.count, scene.state()) == (came, before)
    assert subprocess.run([*command, "-"], check=False, timeout=60).returncode == 0, "it is possible without"
    (scene.folder / "secret.new").unlink(missing_ok=True)
