"""The jail: crashes, bombs, liars and a dead zygote end in a clean error, and the next query works."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from sandbox.core.errors import QueryRefused, SandboxError, Unavailable
from sandbox.query.duckdb import JailedEngine, _outcome
from sandbox.query.engine import Job, Limits

SLOW = "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))"
"""Minutes in one call, which the engine itself cannot interrupt."""


def run(engine: JailedEngine, sql: str, **given: int) -> int:
    limits = {"max_rows": 1000, "max_bytes": 1 << 20, "seconds": 20, "memory_mb": 512} | given
    return engine.run(Job("qry", sql, {}, Limits(**limits))).rows


MANY = {"max_rows": 2_000_000, "max_bytes": 1 << 26}
LATE_ERROR = "SELECT CASE WHEN i < 900000 THEN i ELSE 'x'::INT END FROM range(1000000) t(i)"


def refusal(engine: JailedEngine, sql: str, **limits: int) -> SandboxError:
    with pytest.raises(SandboxError) as refused:
        run(engine, sql, **limits)
    assert run(engine, "SELECT 1") == 1, "the next query works"
    return refused.value


def zygote(engine: JailedEngine) -> int:
    assert engine._jail._zygote
    return engine._jail._zygote.process.pid


def children(engine: JailedEngine) -> list[int]:
    pid = zygote(engine)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process still runs; dead, it may wait for an init that reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def own() -> Iterator[JailedEngine]:
    """An engine of the test's own, to be ill-treated."""
    engine = JailedEngine(workers=1, patience=0.2)
    yield engine
    engine.close()


def test_the_server_process_never_imports_the_engine() -> None:
    code = "import sys, sandbox.query.duckdb, sandbox.query.release; print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_runs_before_the_first_question(own: JailedEngine) -> None:
    assert own._jail._zygote is None


def test_the_zygote_has_an_empty_environment_and_keeps_no_child(engine: JailedEngine) -> None:
    run(engine, "SELECT 1")
    environment = Path(f"/proc/{zygote(engine)}/environ").read_bytes()
    assert environment.strip(b"\0") == b""
    assert children(engine) == []


@pytest.mark.parametrize(
    ("sql", "limits", "code"),
    [
        ("SELECT mode(row([1, 2]::FLOAT[2])) FROM range(10)", {}, "run.failed"),  # SIGSEGV
        ("SELECT length(list_sort(range(200000000)))", {"memory_mb": 256}, "run.limit"),
        ("SELECT length(repeat('x', 2000000000))", {"memory_mb": 256}, "run.limit"),
        (SLOW, {"seconds": 1}, "run.limit"),
        ("SELECT count(*) FROM range(1000000000) a, range(1000000000) b", {"seconds": 1}, "run.limit"),
        ("SELECT * FROM range(1002)", {}, "run.limit"),
        ("SELECT i FROM range(1000000) t(i)", MANY | {"max_bytes": 1000}, "run.limit"),
        ("SELECT 'Nguyễn Văn A'::INTEGER", {}, "run.failed"),
        (LATE_ERROR, MANY, "run.failed"),
        ("SELECT * FROM nosuch", {}, "run.failed"),
        ("SELECT", {}, "run.failed"),
        ("SELECT 'a'::ENUM('a', 'withheld')", {}, "run.failed"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_refused_in_time_without_the_engines_words(
    engine: JailedEngine, sql: str, limits: dict[str, int], code: str
) -> None:
    began = time.monotonic()
    refused = refusal(engine, sql, **limits)
    assert isinstance(refused, QueryRefused)
    assert refused.code == code
    assert refused.reasons == (("QRY-07",) if code == "run.limit" else ())
    assert time.monotonic() - began < 10
    assert "Nguyễn" not in refused.message
    assert "nosuch" not in refused.message
    assert children(engine) == [], "the child is reaped"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM duckdb_secrets()",
        "COPY (SELECT 1) TO '{folder}/written.csv'",
        "ATTACH '{folder}/attached.db' AS a",
        "EXPORT DATABASE '{folder}/exported'",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SET lock_configuration = false",
        "SET temp_directory = '{folder}/spill'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT 1; COPY (SELECT 1) TO '{folder}/second.csv'",
    ],
)
def test_with_the_gate_open_the_lock_down_still_refuses(engine: JailedEngine, tmp_path: Path, sql: str) -> None:
    try:
        assert run(engine, sql.format(folder=tmp_path)) == 0
    except QueryRefused as refused:
        assert refused.code == "run.failed"
    assert [*tmp_path.iterdir()] == []


def test_a_child_gives_up_what_it_does_not_need(engine: JailedEngine) -> None:
    run(engine, "SELECT 1")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, engine, SLOW, seconds=2)
        deadline = time.monotonic() + 2
        bounds, status = "", ""
        while "NoNewPrivs:\t1" not in status and time.monotonic() < deadline:
            time.sleep(0.05)
            for child in children(engine):
                bounds, status = (Path(f"/proc/{child}/{name}").read_text() for name in ("limits", "status"))
        with pytest.raises(QueryRefused):
            slow.result()
    values = {line[:26].strip(): line[26:].split()[:2] for line in bounds.splitlines()}
    assert "NoNewPrivs:\t1" in status
    assert values["Max file size"] == ["0", "0"]
    assert values["Max core file size"] == ["0", "0"]
    assert values["Max open files"] == ["64", "64"]
    assert values["Max address space"] == [str((512 << 20) + (5 << 30))] * 2


def test_a_zygote_that_dies_while_idle_is_replaced(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    first = zygote(own)
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    assert run(own, "SELECT 1") == 1
    assert zygote(own) != first


def test_a_zygote_that_dies_during_a_run_fails_it_and_takes_the_child_along(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, own, SLOW)
        while not children(own):
            time.sleep(0.02)
        (child,) = children(own)
        time.sleep(0.2)
        os.kill(zygote(own), signal.SIGKILL)
        with pytest.raises(Unavailable) as failed:
            slow.result()
    assert failed.value.code == "engine.unreachable"
    assert run(own, "SELECT 1") == 1
    assert not alive(child)


def test_one_query_too_many_waits_and_is_then_told_so(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, own, SLOW, seconds=2)
        while not children(own):
            time.sleep(0.02)
        with pytest.raises(Unavailable) as busy:
            run(own, "SELECT 1")
        with pytest.raises(QueryRefused):
            slow.result()
    assert busy.value.code == "engine.busy"
    assert run(own, "SELECT 1") == 1


def test_a_closed_engine_stays_closed(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    pid = zygote(own)
    own.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unavailable):
        run(own, "SELECT 1")


def test_many_threads_are_served_at_once_and_get_their_own_answers(engine: JailedEngine) -> None:
    def ask(number: int) -> int:
        facts = engine.analyse(f"SELECT * FROM range({number})", [])
        return run(engine, facts.runs)

    with ThreadPoolExecutor(12) as pool:
        assert [*pool.map(ask, range(1, 25))] == [*range(1, 25)]
    assert children(engine) == []
    assert threading.active_count() < 20


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def told(header: object = None, body: bytes = b"", trailer: object = None) -> bytes:
    lines = [json.dumps(line if line is not None else {}).encode() for line in (header, trailer)]
    return lines[0] + b"\n" + body + b"\n" + lines[1] + b"\n"


ROWS = {"status": "rows"}
GOOD = stream(pa.table({"a": [1, 2]}))
BROKEN = stream(pa.table({"a": ["x", "y"]})).replace(bytes([0, 0, 0, 0, 1, 0, 0, 0]), bytes([0, 0, 0, 0, 9, 0, 0, 0]))


def test_an_honest_answer_is_taken() -> None:
    assert _outcome(told(ROWS, GOOD, {"status": "done", "rows": 2}), 2).rows == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        told(ROWS, GOOD),
        told(ROWS, GOOD, {"status": "done", "rows": 3}),
        told(ROWS, GOOD, {"status": "done", "rows": "2"}),
        told(ROWS, GOOD, {"status": "rows", "rows": 2}),
        told(ROWS, GOOD, ["done", 2]),
        told({"status": "row"}, GOOD, {"status": "done", "rows": 2}),
        told({"status": "rows", "x": "y" * 5000}, GOOD, {"status": "done", "rows": 2}),
        told(ROWS, GOOD, {"status": "done", "rows": 2, "x": "y" * 5000}),
        told(ROWS, GOOD[:-40], {"status": "done", "rows": 2}),
        told(ROWS, b"", {"status": "done", "rows": 0}),
        told(ROWS, b"\0" * 64, {"status": "done", "rows": 0}),
        told(ROWS, BROKEN, {"status": "done", "rows": 2}),
        told(ROWS, stream(pa.table({"a": pa.array(["x"]).dictionary_encode()})), {"status": "done", "rows": 1}),
        told(None, b"", {"status": "failed", "kind": "value"}),
    ],
)
def test_a_forged_or_cut_answer_is_no_result(content: bytes) -> None:
    with pytest.raises(QueryRefused) as refused:
        _outcome(content, 100)
    assert refused.value.code == "run.failed"


def test_rows_are_counted_by_the_parent() -> None:
    with pytest.raises(QueryRefused) as refused:
        _outcome(told(ROWS, GOOD, {"status": "done", "rows": 1}), 1)
    assert refused.value.code == "run.limit"
