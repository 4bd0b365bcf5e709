"""The jail: crashes, bombs, liars and a dead zygote end in a clean error, and the next query works."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.core.errors import Busy, QueryRefused, SandboxError, Unavailable
from sandbox.jail.cell import Cell
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits
from sandbox.query.spares import Spares
from tests import processes

SLOW = "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))"
"""Minutes in one call, which the engine itself cannot interrupt."""


def run(engine: JailedEngine, sql: str, owner: str = "", **given: int) -> int:
    limits = {"max_rows": 1000, "max_bytes": 1 << 20, "seconds": 20, "memory_mb": 512} | given
    with engine.run(Job("qry", sql, {}, Limits(**limits), owner=owner)) as outcome:
        return int(outcome.read().num_rows)


COUNTING = "SELECT count(*) FROM range(40000) a, range(40000) b WHERE a.range + b.range = 7"
"""A second or so, in small steps."""
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
    """Of the zygote proper, which is a fork of what was started."""
    return [child for fork in processes.children(zygote(engine)) for child in processes.children(fork)]


def at_work(engine: JailedEngine) -> list[int]:
    """Those that run, or are held up, and do not wait for a job."""
    return [child for child in children(engine) if processes.state(child) in {"R", "T"}]


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds in a while; on a busy machine that may be seconds."""
    until = time.monotonic() + 10
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


def alive(pid: int) -> bool:
    """Whether a process still runs; dead, it may wait for an init that reaps."""
    return processes.state(pid) not in {"", "Z"}


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


def test_the_zygote_and_its_children_have_an_empty_environment(engine: JailedEngine) -> None:
    run(engine, "SELECT 1")
    environment = Path(f"/proc/{zygote(engine)}/environ").read_bytes()
    assert environment.strip(b"\0") == b""
    for child in children(engine):
        with suppress(ProcessLookupError, FileNotFoundError):  # a spare may end while it is looked at
            assert Path(f"/proc/{child}/environ").read_bytes().strip(b"\0") == b""


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
    assert soon(lambda: all(map(alive, children(engine)))), "the child is reaped"
    assert soon(lambda: not at_work(engine))


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
        busy: list[int] = []
        while not busy and time.monotonic() < deadline:
            time.sleep(0.05)
            busy = at_work(engine)
        bounds, status = (Path(f"/proc/{busy[0]}/{name}").read_text() for name in ("limits", "status"))
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
        while not at_work(own):
            time.sleep(0.02)
        (child,) = at_work(own)
        time.sleep(0.6)  # it has begun, and is not begun again
        os.kill(zygote(own), signal.SIGKILL)
        with pytest.raises(SandboxError) as failed:
            slow.result()
    assert failed.value.code in {"engine.unreachable", "run.failed"}
    assert run(own, "SELECT 1") == 1
    assert not alive(child)


def test_a_long_query_is_held_up_for_a_short_one_and_ends_all_the_same(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(run, own, COUNTING, "a", seconds=20)
        while not at_work(own):
            time.sleep(0.02)
        assert run(own, "SELECT 1", "b") == 1
        assert not long.done()
        assert long.result() == 1


def test_one_query_too_many_is_told_when_to_come_again(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    own._turns._most = 1
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(run, own, COUNTING, "a", seconds=2) for _ in range(2)]
        while own._turns.waiting < 1:
            time.sleep(0.01)
        with pytest.raises(Busy) as busy:
            run(own, "SELECT 1", "b")
        ends = [each.exception() for each in slow]
    assert (busy.value.code, busy.value.status) == ("engine.busy", 429)
    assert 1 <= busy.value.retry_after <= 30
    assert all(end is None or isinstance(end, SandboxError) for end in ends)
    assert run(own, "SELECT 1") == 1


def test_who_waits_too_long_is_told_so_and_so_is_who_is_held_up_too_long(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(run, own, SLOW, f"p{number}", seconds=1).exception for number in range(4)]
        codes = {str(getattr(end(), "code", "")) for end in ends}
    assert codes <= {"run.limit", "engine.busy"}
    assert "engine.busy" in codes


def test_a_query_that_nobody_wants_any_more_is_killed_at_once(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    gone = threading.Event()
    job = Job("qry", SLOW, {}, Limits(10, 1000, 20, 512), cancelled=gone.is_set)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lambda: own.run(job).read())
        while not at_work(own):
            time.sleep(0.02)
        gone.set()
        began = time.monotonic()
        with pytest.raises(QueryRefused) as cancelled:
            waits.result()
    assert cancelled.value.code == "run.cancelled"
    assert time.monotonic() - began < 1
    assert soon(lambda: not at_work(own))


def test_a_worker_is_kept_warm_for_its_owner_and_for_nobody_else(own: JailedEngine) -> None:
    def workers(owner: str, **limits: int) -> set[int]:
        run(own, "SELECT 1", owner, **limits)
        return {session.cell.pid for session in own._sessions._idle}

    first = workers("a")
    assert len(first) == 1
    assert workers("a") == first
    both = workers("b")
    assert first < both
    assert len(both) == 2


def test_a_worker_whose_query_failed_has_no_other(own: JailedEngine) -> None:
    run(own, "SELECT 1")
    (before,) = own._sessions._idle
    refusal(own, "SELECT 'x'::INTEGER")
    assert before.cell.pid not in {session.cell.pid for session in own._sessions._idle}


@pytest.mark.parametrize("who", ["worker", "checker", "zygote"])
def test_what_died_while_it_idled_is_not_the_next_querys_fault(own: JailedEngine, who: str) -> None:
    def ask(number: int) -> int:
        return run(own, own.analyse(f"SELECT {number}", []).runs)

    assert ask(1) == 1
    for number in range(2, 12):
        time.sleep(0.1)  # spares are ready again
        killed = zygote(own) if who == "zygote" else [
            *(session.cell.pid for session in own._sessions._idle if who == "worker"),
            *(cell.pid for cell in own._checkers._spares._ready if who == "checker"),
        ][0]  # fmt: skip
        family = [killed, *processes.descendants(killed)]
        with suppress(ProcessLookupError):  # a dead zygote may be on the way to be replaced
            os.kill(killed, signal.SIGKILL)
        assert soon(lambda: not any(map(alive, family)))  # noqa: B023  # those behind a dead zygote die a little later
        time.sleep(0.002 * number)
        assert ask(number) == 1


def test_an_outcome_that_is_not_read_to_its_end_costs_its_worker(own: JailedEngine) -> None:
    with own.run(Job("qry", "SELECT * FROM range(1000000)", {}, Limits(1_000_000, 1 << 26, 20, 512))) as outcome:
        next(outcome.batches())
    assert not own._sessions._idle
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
    assert threading.active_count() < 30


def test_spares_that_cannot_be_made_do_not_hold_up_the_end() -> None:
    def ends() -> bool:
        begun, close = threading.Event(), threading.Event()

        def begin() -> Cell:
            begun.set()
            close.wait(1)
            raise Unavailable("engine.isolation", "Not shut in enough.")

        spares = Spares(1, begin)
        closing = threading.Thread(target=spares.close, daemon=True)
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(spares.take)
            begun.wait()
            closing.start()
            close.set()
            assert isinstance(taken.exception(), Unavailable)
        closing.join(5)
        return not closing.is_alive()

    assert all(ends() for _ in range(200))
