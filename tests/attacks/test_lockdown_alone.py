"""Layer by layer, with those before switched off: what the gate refuses is run all the same.

First without the gate, straight in the jail; then without the engine's lock-down too, so that the kernel stands alone.
Secrets lie in a file, in the environment, in another participant's extract and in the names of folders; a listener
counts who comes. Each statement is also shown to do harm where no layer holds it.
"""

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sandbox.core.errors import SandboxError
from sandbox.core.terms import Column, DatasetId, Digest, Scope
from sandbox.jail import kernel
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits
from tests import processes

HERE = Path(__file__).parent
LIMITS = Limits(max_rows=10_000, max_bytes=1 << 22, seconds=2, memory_mb=512)
SECRETS = {
    "file": "QXZJKVWBPYGHTR",
    "environment": "ZYQWVKJXBGPHDL",
    "extract": "WKJQZXVYGBPNMC",
    "folder": "VBQXKZJWYPGSTF",
}
TELLS_PATHS = re.compile(r"duckdb_settings|_databases|database_list", re.IGNORECASE)
"""Where the engine's catalogue tells of attached files."""


def corpus() -> list[str]:
    """Every attack of both corpora that the engine can read, but for bombs: they meet the same limits elsewhere."""
    lines = [json.loads(line) for name in ("sql.jsonl", "own.jsonl") for line in (HERE / name).read_text().splitlines()]
    return [
        line["sql"]
        for line in lines
        if (line["stage"], line["expect"]) == ("static", "deny")
        and line["category"] not in {"parser_dos", "characters", "resource", "size", "engine_crash"}
        and _readable(line["sql"])
    ]


def _readable(sql: str) -> bool:
    try:
        return bool(duckdb.extract_statements(sql))
    except (duckdb.Error, UnicodeEncodeError):
        return False


STATEMENTS = corpus()
AIMED = (HERE / "aimed.txt").read_text().splitlines()
"""A statement a line, with names in braces for what lies about."""


class Listener:
    """Counts who connects to a port of this machine."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._socket.accept()
                self.count += 1
                guest.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@dataclass(frozen=True)
class Scene:
    """An engine over the granted extract, among what it must not reach."""

    engine: JailedEngine
    extract: Path
    other: Path
    folder: Path
    listener: Listener

    def statements(self) -> list[str]:
        places = {"secret": self.folder / "secret", "folder": self.folder, "other": self.other, "extract": self.extract}
        return [line.format(**places, port=self.listener.port) for line in AIMED] + [*map(self._aim, STATEMENTS)]

    def _aim(self, sql: str) -> str:
        """An attack of the corpora, at what lies here."""
        for name, path in (("/data/bus_trips.parquet", self.extract), ("/data/other.db", self.other)):
            sql = sql.replace(name, str(path))
        sql = re.sub(r"/etc/(passwd|hostname)|/data/x\.(json|db)", str(self.folder / "secret"), sql)
        sql = re.sub(r"/tmp/own-attack|/dev/shm/x|(?<=')/x(?=\.csv)|/tmp/x", str(self.folder / "written"), sql)
        host = f"127.0.0.1:{self.listener.port}"
        return re.sub(r"https?://(example\.com|x)", f"http://{host}", sql).replace("evil.example", host)

    def state(self) -> dict[str, str]:
        """Every file that is here, with a digest."""
        files = [path for path in sorted(self.folder.parent.rglob("*")) if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def scene(bus: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene") / f"home-{SECRETS['folder']}"
    folder.mkdir()
    for name in ("secret", "secret.csv"):
        (folder / name).write_text(f"{SECRETS['file']}\n")
    duckdb.sql(f"COPY (SELECT '{SECRETS['extract']}' AS rider_id FROM range(9)) TO '{folder}/other.parquet'")
    listener = Listener()
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("SANDBOX_SECRET", SECRETS["environment"])
        engine = JailedEngine(workers=4, patience=120)
        none = Digest("sha256:" + "0" * 64)
        columns = (Column("rider_id", "VARCHAR"),)
        scope = Scope(DatasetId("metro_trips"), none, ("rider_id",))
        other = engine.extract(scope, columns, (folder / "other.parquet",), folder / "extracts")
        granted = Scope(DatasetId("bus_trips"), none, tuple(column.name for column in bus.relation.columns))
        extract = engine.extract(granted, bus.relation.columns, (bus.source,), folder / "extracts")
        yield Scene(engine, extract, other, folder, listener)
        engine.close()
    listener.close()


def told(content: bytes) -> set[str]:
    """The names of the secrets in it, as text, hex or base64."""
    found = set()
    for name, secret in SECRETS.items():
        raw = secret.encode()
        writings = {
            raw,
            raw.lower(),
            raw[::-1],
            raw.hex().encode(),
            raw.hex().upper().encode(),
            base64.b64encode(raw)[:16],
        }
        writings |= {raw.decode().encode("utf-16-le"), raw[:8]}
        found |= {name for writing in writings if writing in content}
    return found


def rows_of(scene: Scene, sql: str, owner: str = "") -> pa.Table:
    """What a statement answers straight in the jail."""
    job = Job("qry", sql, {"bus_trips": (scene.extract,)}, LIMITS, owner=owner)
    with scene.engine.run(job) as outcome:
        return outcome.read()


def outcome_of(scene: Scene, sql: str) -> bytes:
    """All that comes out of the jail: rows, names, words of a refusal. Each statement finds an unspoilt session."""
    try:
        table = rows_of(scene, sql, owner=sql)
    except SandboxError as refused:
        return f"refused {refused.message} {refused.hint}".encode()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.fixture(scope="module")
def ran(scene: Scene) -> Mapping[str, bytes]:
    """What each statement gave without the gate."""
    before = scene.state()
    statements = list(dict.fromkeys(scene.statements()))
    with ThreadPoolExecutor(4) as pool:
        outcomes = dict(zip(statements, pool.map(lambda sql: outcome_of(scene, sql), statements), strict=True))
    assert scene.state() == before, "no file appeared, changed or went"
    return outcomes


def test_the_corpora_hold_enough_that_can_be_run() -> None:
    assert len(STATEMENTS) > 350


def test_without_the_gate_nothing_secret_comes_out(ran: Mapping[str, bytes]) -> None:
    found = {sql: told(outcome) - {"folder"} for sql, outcome in ran.items()}
    assert {sql: names for sql, names in found.items() if names} == {}


def test_without_the_gate_only_the_catalogue_tells_where_the_granted_file_lies(
    scene: Scene, ran: Mapping[str, bytes]
) -> None:
    telling = [sql for sql, outcome in ran.items() if told(outcome) - named(scene, sql)]
    assert [sql for sql in telling if not TELLS_PATHS.search(sql)] == []
    assert {name for sql in telling for name in told(ran[sql].replace(str(scene.extract).encode(), b""))} == set()
    home = str(Path.home()).encode()
    assert [sql for sql, outcome in ran.items() if home in outcome.replace(str(scene.folder).encode(), b"")] == []


def test_without_the_gate_no_file_is_made_and_no_socket_is_reached(scene: Scene, ran: Mapping[str, bytes]) -> None:
    assert len(ran) > 350
    assert scene.listener.count == 0
    assert [*Path("/tmp").glob("own-attack*")] == []
    assert [path for path in ("/x.csv", "/dev/shm/x.csv") if os.path.lexists(path)] == []


def test_without_the_gate_the_engine_goes_on_and_no_child_is_left_at_work(
    scene: Scene, ran: Mapping[str, bytes]
) -> None:
    assert ran
    assert rows_of(scene, "SELECT count(*) AS n FROM bus_trips").to_pylist() == [{"n": 1_000_000}]
    known = processes.descendants()
    before = {pid: processes.cpu_seconds(pid) for pid in known}
    time.sleep(0.3)
    assert {pid for pid in known if processes.cpu_seconds(pid) - before[pid] > 0.2} == set()
    assert [pid for pid in known if processes.state(pid) == "Z"] == []


def test_without_the_gate_a_session_spoils_itself_and_no_other(scene: Scene) -> None:
    asked = "SELECT count(*) AS n, sum(1) AS s, getvariable('min_group') AS k FROM bus_trips"
    for sql in (
        "CREATE OR REPLACE VIEW bus_trips AS SELECT 1 AS x",
        "DROP VIEW bus_trips",
        "CREATE MACRO sum(x) AS 7",
        "CREATE TEMP VIEW bus_trips AS SELECT 1 AS x",
        "SET VARIABLE min_group = 0",
        "USE system; BEGIN",
    ):
        outcome_of(scene, sql)
        assert rows_of(scene, asked, owner="another").to_pylist() == [{"n": 1_000_000, "s": 1_000_000, "k": 1}]


def family(pid: int) -> list[int]:
    """A process and all that are below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def test_when_the_engine_ends_no_child_remains(scene: Scene) -> None:
    engine = JailedEngine(workers=2)
    own = Scene(engine, scene.extract, scene.other, scene.folder, scene.listener)
    for sql in ("SELECT sum(fare_vnd) AS s FROM bus_trips", "FROM read_text('/etc/passwd')", "SELECT 1 AS x"):
        outcome_of(own, sql)
    assert engine._jail._zygote
    known = family(engine._jail._zygote.process.pid)
    assert len(known) > 2
    engine.close()
    until = time.monotonic() + 2
    while (left := [pid for pid in known if processes.state(pid) not in {"", "Z"}]) and time.monotonic() < until:
        time.sleep(0.02)
    assert left == []


# --- the kernel alone ---
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


def named(scene: Scene, sql: str) -> set[str]:
    """What a statement names itself: the engine's words may repeat it, and even cut it short."""
    return {"folder"} if str(scene.folder) in sql else set()


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
