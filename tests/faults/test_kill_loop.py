"""A writer that publishes as it goes is killed again and again: what it answered is there, no checkpoint is broken."""

import itertools
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

import pytest

from sandbox.audit.log import Log
from sandbox.audit.tiles import export
from sandbox.core.database import Database, Transaction
from sandbox.core.engines import open_engine
from sandbox.core.errors import Invalid
from tests.deeds import Deeds, deed

THREADS = 8
REFUSED = 101
"""One in so many is refused, and its batch redone."""
ROUNDS = {"sqlite": 8, "postgresql": 4}
EACH = 270
"""Deeds of each of two processes."""
RARELY = 499
"""Of ten thousand, one in so many is refused."""
Say = Callable[[str], None]


def forked(work: Callable[[Say], None]) -> tuple[int, int]:
    """A child that does the work and says things: its pid, and the descriptor at which they are heard."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            work(lambda what: os.write(theirs, f"{what}\n".encode()) and None)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    return child, ours


def working(deeds: Deeds, turn: int) -> Callable[[Say], None]:
    """Deeds from eight threads, each said as soon as it is answered, while another thread publishes."""

    def work(say: Say) -> None:
        numbers = itertools.count(1)
        with deeds.opened() as (database, mine):

            def write() -> None:
                for number in numbers:
                    with suppress(Invalid):
                        say(database.write(deed(mine, f"ent_{turn}_{number}", refuse=number % REFUSED == 0)))

            for _ in range(THREADS):
                threading.Thread(target=write, daemon=True).start()
            publish_for_ever(database, deeds)

    return work


def publish_for_ever(database: Database, deeds: Deeds) -> None:
    while True:
        export(database.engine, deeds.folder)


def killed_after(child: int, heard: int, least: int, pause: float) -> list[str]:
    """All that the child had said when it was killed, some time after ``least`` of it."""
    said = b""
    while said.count(b"\n") < least:
        more = os.read(heard, 65_536)
        assert more, "the child ended by itself"
        said += more
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said += b"".join(iter(lambda: os.read(heard, 65_536), b""))
    os.close(heard)
    return [line.decode() for line in said.split(b"\n")[:-1]]


def await_end_of_sessions(url: str) -> None:
    """PostgreSQL may be busy with what the dead client sent last."""
    if url.startswith("sqlite"):
        return
    engine = open_engine(url)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        while connection.exec_driver_sql(count).scalar_one():
            time.sleep(0.02)
    engine.dispose()


def unanswered(names: list[str], done: set[str], turn: int) -> Iterator[str]:
    for name in names:
        if name not in done:
            assert name.startswith(f"ent_{turn}_"), "a deed of an earlier round came later"
            assert int(name.rpartition("_")[2]) % REFUSED, "a refused deed is there"
            yield name


def test_no_answered_deed_is_lost_and_no_checkpoint_broken_however_often_the_writer_is_killed(
    deeds_anywhere: Deeds,
) -> None:
    chance, done = Random(5), list[str]()
    for turn in range(ROUNDS[deeds_anywhere.url.partition(":")[0].partition("+")[0]]):
        child, heard = forked(working(deeds_anywhere, turn))
        answered = killed_after(child, heard, chance.randrange(50, 300), chance.uniform(0, 0.03))
        await_end_of_sessions(deeds_anywhere.url)
        done += answered
        in_doubt = [*unanswered(deeds_anywhere.names(), {*done}, turn)]
        assert len(in_doubt) <= THREADS
        deeds_anywhere.judge(done, in_doubt)
        done += in_doubt
    assert len(done) > 500


# --- two processes, and very many units ---


def test_two_processes_that_write_at_once_share_one_log_without_a_gap(deeds_anywhere: Deeds) -> None:
    waiting, start = os.pipe()

    def writing(name: str) -> Callable[[Say], None]:
        def work(say: Say) -> None:
            os.close(start)
            with deeds_anywhere.opened() as (database, mine):
                say("open")
                os.read(waiting, 1)  # ends when the parent lets both go
                for first in range(0, EACH, 5):
                    names = [f"{name}_{number}" for number in range(first, first + 5)]
                    for future in [database.submit(deed(mine, each)) for each in names]:
                        say(future.result(20))

        return work

    children = [forked(writing(name)) for name in "ab"]
    assert [os.read(heard, 5) for _, heard in children] == [b"open\n"] * 2
    os.close(start)
    said: list[str] = []
    for child, heard in children:
        said += b"".join(iter(lambda heard=heard: os.read(heard, 65_536), b"")).decode().split()
        os.waitpid(child, 0)
        os.close(heard)
    assert sorted(said) == sorted(f"{name}_{number}" for name in "ab" for number in range(EACH))
    await_end_of_sessions(deeds_anywhere.url)
    names = deeds_anywhere.judge(said)
    assert len(names) == 2 * EACH
    for name in "ab":
        assert [each for each in names if each[0] == name] == [f"{name}_{number}" for number in range(EACH)]
    os.close(waiting)


def test_of_ten_thousand_deeds_at_once_exactly_those_that_were_not_refused_are_there(deeds: Deeds) -> None:
    each = 10_000 // THREADS
    refused = {f"ent_{number}" for number in range(0, 10_000, RARELY)}
    done: list[str] = []
    failed: list[str] = []
    with deeds.opened() as (database, mine):

        def submit(first: int) -> None:
            names = [f"ent_{number}" for number in range(first, first + each)]
            futures = [database.submit(deed(mine, name, refuse=name in refused)) for name in names]
            for name, future in zip(names, futures, strict=True):
                (failed if isinstance(future.exception(60), Invalid) else done).append(name)

        threads = [threading.Thread(target=submit, args=(number * each,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(failed) == sorted(refused)
    names = deeds.judge(done)
    assert sorted(names) == sorted({f"ent_{number}" for number in range(10_000)} - refused)
    for first in range(0, 10_000, each):
        mine_alone = [name for name in names if first <= int(name[4:]) < first + each]
        assert mine_alone == sorted(mine_alone, key=lambda name: int(name[4:])), (
            "one caller's deeds changed their order"
        )


def test_what_a_redo_runs_again_is_done_once(deeds: Deeds) -> None:
    runs: Counter[str] = Counter()

    def counted(mine: Log, name: str) -> Callable[[Transaction], str]:
        unit = deed(mine, name, refuse=name.endswith("7"))

        def run(tx: Transaction) -> str:
            runs[name] += 1
            return unit(tx)

        return run

    with deeds.opened() as (database, mine):
        futures = [database.submit(counted(mine, f"ent_{number}")) for number in range(200)]
        failed = [future for future in futures if isinstance(future.exception(20), Invalid)]
    assert len(failed) == 20
    assert max(runs.values()) >= 2, "nothing was redone"
    deeds.judge([name for name in runs if not name.endswith("7")])


@pytest.mark.parametrize("turn", range(2))
def test_a_writer_killed_before_its_first_answer_leaves_a_log_that_opens(deeds: Deeds, turn: int) -> None:
    for number in range(5):
        child, heard = forked(working(deeds, number + 10 * turn))
        killed_after(child, heard, 0, 0.002 * number * (turn + 1))
        names = deeds.names()
        assert not [name for name in names if int(name.rpartition("_")[2]) % REFUSED == 0]
        deeds.judge(names)
