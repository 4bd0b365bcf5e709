"""Cosignatures under a failing disk: a witness never forgets what it answered, a log never loses what it was given."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from sandbox.audit.cosignatures import cosignatures, keep_cosignature
from sandbox.audit.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, node_hash, range_root
from sandbox.audit.note import Checkpoint, Verifier, cosignature, cosigner, sign_note, verifier_key
from sandbox.audit.quorum import TrustPolicy, read_policy
from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log
from sandbox.audit.witness import Submission, Witness
from sandbox.audit.witness_state import StateFile
from sandbox.core.clock import ManualClock
from sandbox.core.errors import Unavailable
from sandbox.core.keys import key_from_seed
from tests.deeds import KEY, NOON, ORIGIN, VKEY, Deeds, opened
from tests.saboteur import Call, Judge, Outcome, Say, Verdict, Work, at, innocent, patiently, sabotage

pytestmark = pytest.mark.usefixtures("watched_kernel")

NAME = "regulator.example.vn/w1"
WITNESS = key_from_seed("witness", b"\2" * 32)
FAULTS = [Verdict.LOST, Verdict.PERSISTED, Verdict.LAST]
FIRST, SECOND = 5, 9
"""Sizes at which a log is shown to the witness."""


# --- the witness ---


def node(history: str) -> Callable[[int, int], bytes]:
    """A log of a few entries, of which the last ones are those of one history or another."""

    def node_(height: int, index: int) -> bytes:
        if height == 0:
            return leaf_hash(f"{'' if index < FIRST else history}{index}".encode())
        return node_hash(node_(height - 1, 2 * index), node_(height - 1, 2 * index + 1))

    return node_


def shown(old: int, size: int, history: str = "") -> bytes:
    root = range_root(0, size, node(history)) if size else EMPTY_ROOT
    note = sign_note(Checkpoint(ORIGIN, size, root).text, ORIGIN, KEY)
    return Submission(old, consistency_proof(old, size, node(history)), note).as_bytes()


def witness_of(folder: Path) -> Witness:
    log = TrustPolicy.of_vkey(VKEY).log
    return Witness(NAME, WITNESS, [log], StateFile(folder / "witness.json"), ManualClock(NOON))


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """The state of a witness that has cosigned the first size."""
    folder = tmp_path / "memory"
    folder.mkdir()
    StateFile(folder / "witness.json").create()
    assert witness_of(folder).add_checkpoint(shown(0, FIRST)).status == 200
    return folder


def cosigning(folder: Path) -> Work:
    def work(say: Say) -> None:
        say(f"{witness_of(folder).add_checkpoint(shown(FIRST, SECOND)).status}")

    return work


def test_whatever_call_of_a_witness_fails_it_never_cosigns_a_second_history(memory: Path, tmp_path: Path) -> None:
    calls = sabotage(cosigning(copytree(memory, tmp_path / "calm")), innocent).calls
    assert len(calls) >= 6
    ends: Counter[str] = Counter()
    for call in calls:
        for verdict in FAULTS:
            folder = tmp_path / f"{verdict.name}-{call.number}"
            judge = at(call.number, verdict)

            def attempt(folder: Path = folder, judge: Judge = judge) -> Outcome:
                rmtree(folder, ignore_errors=True)
                return sabotage(cosigning(copytree(memory, folder)), judge)

            outcome = patiently(attempt)
            try:
                ends[remembered(folder, outcome)] += 1
            except BaseException as error:
                error.add_note(f"{verdict.name} at {call}: {outcome}")
                raise
            rmtree(folder)
    assert ends["first"] > 5
    assert ends["second"] > 0


def remembered(folder: Path, outcome: Outcome) -> str:
    """Which size the witness knows after a restart; if it cosigned the second, then no other form of it."""
    other = witness_of(folder).add_checkpoint(shown(FIRST, SECOND, "other"))
    if other.status == 200:
        assert "200" not in outcome.said, "it had cosigned another history of that size"
        return "first"
    assert (other.status, other.body) == (409, f"{SECOND}\n".encode())
    assert witness_of(folder).add_checkpoint(shown(SECOND, SECOND)).status == 200, "it says again what it said"
    return "second"


def test_a_witness_whose_disk_failed_cosigns_no_more_until_it_is_restarted(memory: Path) -> None:
    def work(say: Say) -> None:
        witness = witness_of(memory)
        say("now")
        for size in (SECOND, SECOND + 1):
            try:
                say(f"{witness.add_checkpoint(shown(FIRST, size)).status}")
            except Unavailable as error:
                say(error.code)

    def failing(call: Call, said: object) -> Verdict:
        return Verdict.LOST if call.name == "fsync" and said == ["now"] else Verdict.GO

    assert sabotage(work, failing).said == ("now", "witness.stopped", "witness.stopped")
    assert witness_of(memory).add_checkpoint(shown(FIRST, SECOND)).status == 200


# --- the exchange, which keeps and publishes cosignatures ---


def given(note: bytes) -> bytes:
    """The witness's line for a checkpoint."""
    return cosignature(note, witness_verifier(), WITNESS, 1795341600)


def witness_verifier() -> Verifier:
    return cosigner(NAME, WITNESS.verify_key)


def keeping(deeds: Deeds) -> Work:
    """Keep a cosignature of the newest head, say so, publish it, say so."""

    def work(say: Say) -> None:
        with deeds.opened() as (database, mine):
            with database.read() as connection:
                head = mine.head(connection)
            line = given(head.note)
            database.write(lambda tx: keep_cosignature(tx, head.size, witness_verifier(), line, NOON))
            say("kept")
            export(database.engine, deeds.folder)
            say("published")

    return work


def copied(deeds: Deeds, folder: Path) -> Deeds:
    copytree(Path(deeds.url.removeprefix("sqlite:///")).parent, folder)
    return Deeds(f"sqlite:///{folder / 'exchange.db'}", folder / "log", [*deeds.kept])


def test_whatever_call_fails_a_cosignature_is_kept_once_and_published_with_its_checkpoint(tmp_path: Path) -> None:
    names = [f"ent_{number}" for number in range(30)]
    (tmp_path / "calm").mkdir()
    deeds = Deeds(f"sqlite:///{tmp_path / 'calm' / 'exchange.db'}", tmp_path / "calm" / "log").found()
    deeds.do(*names[:20]).judge(names[:20])
    deeds.do(*names[20:])
    calls = sabotage(keeping(copied(deeds, tmp_path / "whole")), innocent).calls
    trust = read_policy(
        f"log {VKEY}\nwitness w {verifier_key(NAME, WITNESS.verify_key, witness_verifier().kind)}\nquorum w\n"
    )
    touched = [call for call in calls if call.file.endswith("-wal") or "checkpoint" in call.file]
    for call in {(call.name, call.file): call for call in touched}.values():
        for verdict in FAULTS if call.name in ("pwrite64", "rename") else (Verdict.LOST, Verdict.LAST):
            folder = tmp_path / f"{verdict.name}-{call.number}"
            judge = at(call.number, verdict)

            def attempt(folder: Path = folder, judge: Judge = judge) -> tuple[Deeds, Outcome]:
                rmtree(folder, ignore_errors=True)
                broken = copied(deeds, folder)
                return broken, sabotage(keeping(broken), judge)

            broken, outcome = patiently(attempt)
            try:
                after_the_fault(broken, outcome, trust, names)
            except BaseException as error:
                error.add_note(f"{verdict.name} at {call}: {outcome.said} {outcome.end}")
                raise
            rmtree(tmp_path / f"{verdict.name}-{call.number}")


def after_the_fault(broken: Deeds, outcome: Outcome, trust: TrustPolicy, names: list[str]) -> None:
    size = opened((broken.folder / "checkpoint").read_bytes()).size
    assert verify_log(broken.folder, VKEY, broken.kept[-1]).size == size
    if "published" in outcome.said:
        assert verify_log(broken.folder, trust).size == 30
    with broken.opened() as (database, _), database.read() as connection:
        kept = len(cosignatures(connection, 30))
        assert kept == 1 if "kept" in outcome.said else kept <= 1
    work = keeping(broken)
    work(lambda said: None)
    assert verify_log(broken.folder, trust, broken.kept[-1]).size == 30
    assert (broken.folder / "checkpoint").read_bytes().count("— ".encode()) == 2
    assert broken.names() == names
