"""The disk fails, fills up or loses its power at every single call that an act makes on it."""

import errno
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log
from sandbox.core.engines import open_engine, sqlite_url
from sandbox.core.errors import Unavailable
from tests.deeds import VKEY, Deeds, deed
from tests.saboteur import SYNCS, WRITES, Call, Judge, Outcome, Say, Verdict, Work, at, innocent, patiently, sabotage

pytestmark = pytest.mark.usefixtures("watched_kernel")

NEW = ["ent_new_0", "ent_new_1"]
FAULTS = [Verdict.LOST, Verdict.PERSISTED, Verdict.LAST]


def copied(deeds: Deeds, folder: Path) -> Deeds:
    """Another one that begins where this ended."""
    published = republished(deeds, folder)
    for path in Path(deeds.url.removeprefix("sqlite:///")).parent.glob("exchange.db*"):
        shutil.copy(path, folder)
    return Deeds(sqlite_url(folder / "exchange.db"), published.folder, published.kept)


def republished(deeds: Deeds, folder: Path) -> Deeds:
    """The same database, and published files of its own."""
    folder.mkdir()
    if deeds.folder.exists():
        shutil.copytree(deeds.folder, folder / "log")
    return Deeds(deeds.url, folder / "log", [*deeds.kept])


def representative(calls: Sequence[Call]) -> Iterator[Call]:
    """Of calls in a row that do the same to the same file, the first, one in the middle and the last."""
    for _, alike in itertools.groupby(calls, key=lambda call: (call.name, call.file)):
        row = [*alike]
        yield from dict.fromkeys((row[0], row[len(row) // 2], row[-1]))


def every_fault(
    copy: Callable[[Path], Deeds], tmp_path: Path, work: Callable[[Deeds], Work], where: str
) -> Iterator[tuple[str, Deeds, Outcome]]:
    """``work`` on a copy for each of its calls on a file ``where``, and each thing that may become of that call.

    But not of those on SQLite's shared memory, which a restart makes anew.
    """
    numbers = itertools.count()
    whole = patiently(lambda: sabotage(work(copy(tmp_path / f"whole-{next(numbers)}")), innocent))
    assert whole.end == "done"
    for call in representative([call for call in whole.calls if where in call.file and not call.file.endswith("-shm")]):
        for verdict in FAULTS:
            if verdict is Verdict.PERSISTED and call.name in (*SYNCS, "openat"):
                continue  # for these it is the same as lost, or no harm
            folder = tmp_path / f"{verdict.name}-{call.number}"
            judge = at(call.number, verdict)

            def attempt(folder: Path = folder, judge: Judge = judge) -> tuple[Deeds, Outcome]:
                shutil.rmtree(folder, ignore_errors=True)
                broken = copy(folder)
                return broken, sabotage(work(broken), judge)

            broken, outcome = patiently(attempt)
            yield f"{verdict.name} at {call.number}, {call}: {outcome.end}", broken, outcome
            shutil.rmtree(folder)


# --- a commit ---


def committing(deeds: Deeds) -> Work:
    """Two deeds one after the other, each said when it is answered, or how it failed."""

    def work(say: Say) -> None:
        with deeds.opened() as (database, mine):
            for name in NEW:
                try:
                    say(database.write(deed(mine, name)))
                except Unavailable as error:
                    say(f"{error.code} {name}")

    return work


@pytest.fixture
def nearly_a_tile(deeds: Deeds) -> Deeds:
    """255 deeds, the first 200 of them published: the next one fills a tile."""
    names = [f"ent_{number}" for number in range(255)]
    deeds.do(*names[:200]).judge(names[:200])
    return deeds.do(*names[200:])


def test_whatever_call_of_a_commit_fails_what_was_answered_is_there_and_nothing_forks(
    nearly_a_tile: Deeds, tmp_path: Path
) -> None:
    old = nearly_a_tile.names()
    ends: Counter[str] = Counter()
    for fault, broken, outcome in every_fault(partial(copied, nearly_a_tile), tmp_path, committing, "exchange.db"):
        try:
            answered = [said for said in outcome.said if said in NEW]
            broken.judge([*old, *answered], NEW, after=["ent_after"])
        except BaseException as error:
            error.add_note(f"{fault}, said {outcome.said}")
            raise
        ends[outcome.end] += 1
    assert ends["killed"] > 15, "the commits were hardly touched"
    assert sum(ends.values()) > 40


# --- fsync ---


def failing_sync(call: Call, said: Sequence[str]) -> Verdict:
    """The disk no longer makes anything durable, from some moment on."""
    return Verdict.LOST if call.name in SYNCS and "now" in said and "cured" not in said else Verdict.GO


def answers(act: Callable[[], object]) -> str:
    try:
        return str(act())
    except Unavailable as error:
        return error.code


def without_sync(deeds: Deeds) -> Work:
    def work(say: Say) -> None:
        with deeds.opened() as (database, mine):
            say(answers(lambda: database.write(deed(mine, "ent_before"))))
            say("now")
            say(answers(lambda: database.write(deed(mine, "ent_failed"))))
            say("cured")
            say(answers(lambda: database.write(deed(mine, "ent_later"))))
            say(answers(lambda: database.write(deed(mine, "ent_last"))))
            with database.read() as connection:
                say(f"reads {connection.exec_driver_sql('SELECT 1').scalar()}")

    return work


def test_after_an_fsync_that_failed_nothing_is_written_until_a_restart_looks(deeds: Deeds, tmp_path: Path) -> None:
    deeds.do("ent_0").judge(["ent_0"])
    outcome = sabotage(without_sync(deeds), failing_sync)
    assert outcome.said == (
        *("ent_before", "now", "database.outcome_unknown", "cured"),
        *("database.stopped", "database.stopped", "reads 1"),
    )
    deeds.judge(["ent_0", "ent_before"], ["ent_failed"])
    deeds.judge(["ent_0", "ent_before"], ["ent_failed"], after=["ent_after"])


def test_what_an_fsync_lost_is_lost_whole_also_when_the_power_goes_with_it(deeds: Deeds, tmp_path: Path) -> None:
    """The kernel drops the pages that it could not write: the file ends where it was last durable."""
    deeds.do("ent_0").judge(["ent_0"])
    wal = Path(deeds.url.removeprefix("sqlite:///") + "-wal")
    durable = 0

    def watch(call: Call, said: Sequence[str]) -> Verdict:
        nonlocal durable
        if "now" not in said:
            durable = wal.stat().st_size if wal.exists() else 0
            return Verdict.GO
        return Verdict.LAST if call.name in SYNCS else Verdict.GO

    outcome = sabotage(without_sync(deeds), watch)
    assert (outcome.end, outcome.said) == ("killed", ("ent_before", "now"))
    os.truncate(wal, durable)
    deeds.judge(["ent_0", "ent_before"])
    deeds.judge(["ent_0", "ent_before"], after=["ent_after"])


# --- a full disk ---


def full(call: Call, said: Sequence[str]) -> Verdict:
    """No file of the database takes a byte more while the disk is full."""
    grows = call.name in WRITES and ".db" in call.file
    return Verdict.LOST if grows and "full" in said and "room" not in said else Verdict.GO


def on_a_full_disk(deeds: Deeds) -> Work:
    def work(say: Say) -> None:
        with deeds.opened() as (database, mine):
            say(answers(lambda: database.write(deed(mine, "ent_before"))))
            say("full")
            for number in range(3):
                say(answers(lambda number=number: database.write(deed(mine, f"ent_full_{number}"))))
            say("room")
            say(answers(lambda: database.write(deed(mine, "ent_full_0"))))

    return work


def test_a_full_disk_refuses_units_and_room_lets_them_in_again(deeds: Deeds) -> None:
    deeds.do("ent_0").judge(["ent_0"])
    outcome = sabotage(on_a_full_disk(deeds), full, errno.ENOSPC)
    assert outcome.said == ("ent_before", "full", *["database.full"] * 3, "room", "ent_full_0")
    assert deeds.judge(["ent_0", "ent_before", "ent_full_0"]) == ["ent_0", "ent_before", "ent_full_0"]


# --- an export ---


def exporting(deeds: Deeds) -> Work:
    def work(say: Say) -> None:
        engine = open_engine(deeds.url)
        try:
            say(str(export(engine, deeds.folder)))
        finally:
            engine.dispose()

    return work


def test_whatever_call_of_an_export_fails_the_folder_verifies_and_the_next_one_completes_it(
    deeds: Deeds, tmp_path: Path
) -> None:
    names = [f"ent_{number}" for number in range(260)]
    deeds.do(*names[:250]).judge(names[:250])
    deeds.do(*names[250:])
    shown: Counter[int] = Counter()
    for fault, broken, outcome in every_fault(partial(republished, deeds), tmp_path, exporting, "/log/"):
        try:
            size = verify_log(broken.folder, VKEY, deeds.kept[-1]).size
            if outcome.said:
                assert size == 260, "an export that failed said that it had not"
            assert broken.publish() == 260
            assert verify_log(broken.folder, VKEY, deeds.kept[-1]).size == 260
            assert not [*broken.folder.rglob("*.tmp")]
        except BaseException as error:
            error.add_note(f"{fault}, said {outcome.said}")
            raise
        shown[size] += 1
    assert shown.keys() == {250, 260}, "the files are at a checkpoint, never between two"
    assert min(shown.values()) > 5


def test_an_export_whose_fsync_fails_keeps_the_old_checkpoint(deeds: Deeds) -> None:
    names = [f"ent_{number}" for number in range(300)]
    deeds.do(*names[:100]).judge(names[:100])
    deeds.do(*names[100:])
    before = (deeds.folder / "checkpoint").read_bytes()

    def log_sync(call: Call, said: Sequence[str]) -> Verdict:
        return Verdict.LOST if call.name in SYNCS and str(deeds.folder) in call.file else Verdict.GO

    outcome = sabotage(exporting(deeds), log_sync)
    assert outcome.said == ()
    assert (deeds.folder / "checkpoint").read_bytes() == before
    assert verify_log(deeds.folder, VKEY, before).size == 100
    deeds.judge(names)
