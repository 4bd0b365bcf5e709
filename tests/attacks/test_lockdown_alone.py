"""Without the gate: what it refuses is run all the same, straight in the jail, and nothing comes of it.

Secrets lie in a file, in the environment, in another participant's extract and in the names of folders; a listener
counts who comes. That each statement does harm where no layer holds it, the tests of the kernel alone show.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sandbox.core.errors import SandboxError
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits
from tests import processes
from tests.scene import STATEMENTS, Scene, named, set_up, told

LIMITS = Limits(max_rows=10_000, max_bytes=1 << 22, seconds=2, memory_mb=512)
TELLS_PATHS = re.compile(r"duckdb_settings|_databases|database_list", re.IGNORECASE)
"""Where the engine's catalogue tells of attached files."""


@pytest.fixture(scope="module")
def scene(bus: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with set_up(bus, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


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
    return [pid, *(each for child in processes.children(pid) for each in family(child))]


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
