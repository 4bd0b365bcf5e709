"""Recovery under a failing disk: the published entries come back whole or not at all, and nothing is signed anew."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from sandbox.audit import recovery, store
from sandbox.audit.log import Log
from sandbox.audit.verify import verify_log
from sandbox.core.clock import ManualClock
from sandbox.core.engines import open_engine, sqlite_url
from sandbox.core.errors import SandboxError, Tampered
from tests.deeds import KEY, NOON, ORIGIN, VKEY, Deeds, deed, opened
from tests.saboteur import Judge, Outcome, Say, Verdict, Work, at, innocent, patiently, sabotage

FAULTS = [Verdict.LOST, Verdict.PERSISTED, Verdict.LAST]
NAMES = [f"ent_{number}" for number in range(270)]
OLD = 240
"""What the backup has of them."""


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of 240 entries beside a published log of 270; a full tile lies between the two."""
    folder = tmp_path_factory.mktemp("behind")
    deeds = Deeds(sqlite_url(folder / "exchange.db"), folder / "log").found()
    deeds.do(*NAMES[:OLD]).publish()
    shutil.copy(folder / "exchange.db", folder / "backup.db")
    deeds.do(*NAMES[OLD:]).publish()
    (folder / "backup.db").replace(folder / "exchange.db")
    return folder


def copied(behind: Path, folder: Path) -> Deeds:
    shutil.copytree(behind, folder)
    return Deeds(sqlite_url(folder / "exchange.db"), folder / "log")


def recovering(deeds: Deeds) -> Work:
    def work(say: Say) -> None:
        engine, mine = open_engine(deeds.url), Log(ORIGIN, KEY)
        try:
            found = recovery.missing(engine, deeds.folder, mine.verifier)
            assert found
            say(f"{found.first} to {found.last}")
            recovery.recover(engine, mine, deeds.folder, found, ManualClock(NOON))
            say("recovered")
        finally:
            engine.dispose()

    return work


def entries(deeds: Deeds) -> list[str]:
    engine = open_engine(deeds.url)
    with engine.connect() as connection:
        found = [*connection.execute(sa.select(store.log_entry.c.entry_id).order_by(store.log_entry.c.idx)).scalars()]
    engine.dispose()
    return found


def wholly_back(deeds: Deeds) -> None:
    """All that was published stands in the log, which goes on from there and contradicts no checkpoint."""
    published = (deeds.folder / "checkpoint").read_bytes()
    assert entries(deeds)[:270] == NAMES
    with deeds.opened() as (database, mine):
        database.write(deed(mine, "ent_after"))
    assert deeds.publish() == 272
    verdict = verify_log(deeds.folder, VKEY, published)
    assert (verdict.size, verdict.entries["log.recovered"]) == (272, 1)


def test_a_database_that_is_behind_what_was_published_takes_it_back(behind: Path, tmp_path: Path) -> None:
    deeds = copied(behind, tmp_path / "calm")
    with pytest.raises(Tampered), deeds.opened():
        pass
    said: list[str] = []
    recovering(deeds)(said.append)
    assert said == ["240 to 269", "recovered"]
    wholly_back(deeds)


@pytest.mark.usefixtures("watched_kernel")
def test_whatever_call_of_a_recovery_fails_all_of_it_is_there_or_nothing_and_it_can_be_done_again(
    behind: Path, tmp_path: Path
) -> None:
    calm = sabotage(recovering(copied(behind, tmp_path / "calm")), innocent)
    assert calm.end == "done"
    several = {(call.name, call.file): call for call in calm.calls if not call.file.endswith("-shm")}
    middle = calm.calls[len(calm.calls) // 2]
    ends: Counter[str] = Counter()
    for call in {middle.number: middle, **{call.number: call for call in several.values()}}.values():
        for verdict in FAULTS:
            if verdict is Verdict.PERSISTED and call.name != "pwrite64":
                continue  # the same as lost, or no harm
            folder = tmp_path / f"{verdict.name}-{call.number}"
            judge = at(call.number, verdict)

            def attempt(folder: Path = folder, judge: Judge = judge) -> tuple[Deeds, Outcome]:
                shutil.rmtree(folder, ignore_errors=True)
                deeds = copied(behind, folder)
                return deeds, sabotage(recovering(deeds), judge)

            files = {path: path.read_bytes() for path in copied(behind, folder).folder.rglob("*") if path.is_file()}
            deeds, outcome = patiently(attempt)
            try:
                ends[after_the_fault(deeds, recovered="recovered" in outcome.said)] += 1
                assert all(
                    path.read_bytes() == content for path, content in files.items() if "checkpoint" not in path.name
                )
            except BaseException as error:
                error.add_note(f"{verdict.name} at {call}: {outcome.said} {outcome.end}")
                raise
    assert min(ends["nothing"], ends["all"]) > 2


def after_the_fault(deeds: Deeds, *, recovered: bool) -> str:
    found = entries(deeds)
    assert opened((deeds.folder / "checkpoint").read_bytes()).size == 270
    if len(found) == OLD:
        assert not recovered, "it said that all was back"
        recovering(deeds)(lambda said: None)
        wholly_back(deeds)
        return "nothing"
    assert len(found) == 271, "a part of it came back"
    wholly_back(deeds)
    return "all"


@pytest.mark.parametrize("name", ["checkpoint", "tile/entries/000", "tile/entries/001.p/14"])
@pytest.mark.parametrize("change", ["missing", "empty", "cut", "longer", "flipped", "exchanged"])
def test_from_a_damaged_publication_nothing_is_recovered(behind: Path, tmp_path: Path, name: str, change: str) -> None:
    deeds = copied(behind, tmp_path / "damaged")
    path = deeds.folder / name
    content = path.read_bytes()
    other = (deeds.folder / "tile/0/000").read_bytes()
    half = len(content) // 2
    changed = {
        "empty": b"", "cut": content[:half], "longer": content + content,
        "flipped": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :], "exchanged": other,
    }  # fmt: skip
    path.unlink() if change == "missing" else path.write_bytes(changed[change])
    before = entries(deeds)
    with pytest.raises(SandboxError) as refusal:
        recovering(deeds)(lambda said: None)
    assert refusal.value.hint
    assert entries(deeds) == before


def test_a_fork_is_not_recovered_and_nothing_is_signed(behind: Path, tmp_path: Path) -> None:
    """The backup went on by itself before anyone saw that more had been published."""
    deeds = copied(behind, tmp_path / "fork")
    alone = Deeds(deeds.url, tmp_path / "elsewhere")
    alone.do("other_0", "other_1")
    before = entries(deeds)
    with pytest.raises(Tampered) as refusal:
        recovering(deeds)(lambda said: None)
    assert refusal.value.code == "tampered.log"
    assert entries(deeds) == before
    assert verify_log(deeds.folder, VKEY).size == 270
