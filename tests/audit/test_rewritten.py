"""An operator against everyone: a log rewritten under its own key, put back to an older state, shown in two forms."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit import store
from sandbox.audit.layout import node_of
from sandbox.audit.log import Log
from sandbox.audit.merkle import consistency_proof
from sandbox.audit.note import verifier_key
from sandbox.audit.proof import read_proof
from sandbox.audit.quorum import TrustPolicy, read_policy
from sandbox.audit.receipt import receipt
from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log, verify_receipt
from sandbox.audit.witness import Answer, Submission, Witness
from sandbox.audit.witness_state import StateFile
from sandbox.core.canonical import parse
from sandbox.core.clock import ManualClock
from sandbox.core.database import Database, Transaction
from sandbox.core.engines import open_engine, sqlite_url
from sandbox.core.errors import NotCovered, SandboxError, Tampered
from sandbox.core.keys import key_from_seed
from tests.deeds import KEY, NOON, ORIGIN, VKEY, Deeds, deed
from tests.forging import forge

WITNESS_NAME = "regulator.example.vn/w1"
PAGES = ("docs/formats/log.md", "docs/security.md")


def names(count: int) -> list[str]:
    return [f"ent_{number}" for number in range(count)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Deeds:
    """300 entries, published at 120 and at 300; to be copied by tests."""
    folder = tmp_path_factory.mktemp("published")
    deeds = Deeds(sqlite_url(folder / "exchange.db"), folder / "log").found()
    deeds.do(*names(120)).judge(names(120))
    deeds.do(*names(300)[120:]).judge(names(300))
    return deeds


@pytest.fixture
def honest(published: Deeds, tmp_path: Path) -> Deeds:
    return copied(published, tmp_path / "honest")


def rewritten(honest: Deeds, tmp_path: Path, size: int, without: int) -> Deeds:
    """The same log under the same key, with one entry left out, and all the others as they were, byte for byte."""
    folder = tmp_path / f"rewritten-{size}-{without}"
    folder.mkdir()
    deeds = Deeds(sqlite_url(folder / "exchange.db"), folder / "log").found()
    with honest.opened() as (database, _), database.read() as connection:
        leaves = store.leaves(connection, 0, 300)
    leaves = [*leaves[:without], *leaves[without + 1 :], *[leaf.replace(b"ent_", b"add_") for leaf in leaves]][:size]
    leaves += [leaf.replace(b"ent_", b"new_") for leaf in leaves][: size - len(leaves)]

    def unit(tx: Transaction) -> None:
        for number, leaf in enumerate(leaves):
            tx.record(f"{number}", leaf)

    with deeds.opened() as (database, _):
        database.write(unit)
    deeds.publish()
    return deeds


def copied(deeds: Deeds, folder: Path) -> Deeds:
    before = Path(deeds.url.removeprefix("sqlite:///")).parent
    shutil.copytree(before, folder)
    return Deeds(sqlite_url(folder / "exchange.db"), folder / "log", [*deeds.kept])


def proof(deeds: Deeds, old: int) -> list[bytes]:
    """The best proof that this log can give of its growth since ``old``."""
    with deeds.opened() as (database, _), database.read() as connection:
        head = store.newest_head(connection)
        return consistency_proof(min(old, head.size), head.size, node_of(head.size, store.tile_reader(connection)))


# --- rewritten whole ---


@pytest.mark.parametrize(("size", "without"), [(300, 0), (300, 119), (310, 60), (700, 5)])
def test_a_log_rewritten_under_its_own_key_passes_alone_and_fails_against_any_checkpoint_kept(
    honest: Deeds, tmp_path: Path, size: int, without: int
) -> None:
    other = rewritten(honest, tmp_path, size, without)
    assert verify_log(other.folder, VKEY).size == size
    for kept in honest.kept:
        with pytest.raises(Tampered) as refusal:
            verify_log(other.folder, VKEY, kept)
        assert refusal.value.code == "verify.fork"


def test_what_was_rewritten_after_the_kept_checkpoint_is_not_found_by_that_one(honest: Deeds, tmp_path: Path) -> None:
    """So keep a new one at each visit: a checkpoint binds what came before it, and nothing after."""
    other = rewritten(honest, tmp_path, 300, 150)
    assert verify_log(other.folder, VKEY, honest.kept[0]).size == 300
    with pytest.raises(Tampered):
        verify_log(other.folder, VKEY, honest.kept[1])


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_that_a_log_alone_proves_nothing_against_its_operator(page: str) -> None:
    text = " ".join((Path(__file__).parents[2] / page).read_text("utf-8").split())
    assert "rewrite" in text
    assert "own key" in text or "sign it anew" in text
    assert "checkpoint" in text


def test_a_rewritten_log_cannot_keep_a_receipt_that_was_given_out(honest: Deeds, tmp_path: Path) -> None:
    """The buyer's receipt carries a checkpoint: it is evidence against the rewritten log, without any other."""
    given = given_receipt(honest, "ent_60")
    assert verify_receipt(given, VKEY, log=honest.folder).index == 60
    document: Any = parse(given)
    for size in (300, 310):
        other = rewritten(honest, tmp_path, size, 60)
        with pytest.raises(Tampered):
            verify_receipt(given, VKEY, log=other.folder)
        with pytest.raises(Tampered):
            verify_log(other.folder, VKEY, read_proof(document["proof"]).checkpoint)


@pytest.mark.parametrize("name", ["ent_60", "ent_119", "ent_120", "ent_299"])
def test_a_receipt_of_an_entry_that_was_rewritten_away_fails_against_the_published_log(
    honest: Deeds, tmp_path: Path, name: str
) -> None:
    """Without the log it still verifies: it is genuine, and the log is not what it was."""
    given = given_receipt(honest, name)
    other = rewritten(honest, tmp_path, 320, int(name[4:]))
    assert verify_receipt(given, VKEY).entry["id"] == name
    with pytest.raises(Tampered):
        verify_receipt(given, VKEY, log=other.folder)


def given_receipt(deeds: Deeds, name: str) -> bytes:
    with deeds.opened() as (database, mine), database.read() as connection:
        return receipt(connection, mine, name, KEY)


# --- an older state put back ---


def refused_to_open(deeds: Deeds) -> SandboxError:
    with pytest.raises(Tampered) as refusal, deeds.opened():
        pass
    return refusal.value


def test_a_backup_from_before_the_last_publication_does_not_start(honest: Deeds, tmp_path: Path) -> None:
    before = copied(honest, tmp_path / "before")
    honest.do("ent_300", "ent_301").judge(names(302))
    shutil.rmtree(before.folder)
    shutil.copytree(honest.folder, before.folder)
    files = {path: path.read_bytes() for path in before.folder.rglob("*") if path.is_file()}
    assert refused_to_open(before).hint
    assert {path: path.read_bytes() for path in before.folder.rglob("*") if path.is_file()} == files


def test_a_backup_is_refused_by_the_running_log_that_signed_more(honest: Deeds, tmp_path: Path) -> None:
    """Nothing was published meanwhile; but the process remembers what it signed."""
    kept = Log(ORIGIN, KEY)
    before = copied(honest, tmp_path / "before")
    with honest.opened() as (database, mine):
        database.write(deed(mine, "ent_300"))
    engine = open_engine(honest.url)
    kept.load(engine)
    engine.dispose()
    other = open_engine(before.url)
    with pytest.raises(Tampered):
        kept.load(other)
    with Database(other, kept) as database, pytest.raises(Tampered):
        database.write(deed(kept, "ent_301"))
    assert before.names() == names(300)


def test_a_backup_that_went_on_from_before_the_last_publication_is_a_fork_and_stays_shut(
    honest: Deeds, tmp_path: Path
) -> None:
    """The export was removed to get it going: then all looks well here, and every kept checkpoint says otherwise."""
    before = copied(honest, tmp_path / "before")
    honest.do("ent_300").judge(names(301))
    shutil.rmtree(before.folder)
    before.do(*[f"other_{number}" for number in range(5)])
    before.publish()
    assert verify_log(before.folder, VKEY).size == 305
    with pytest.raises(Tampered):
        verify_log(before.folder, VKEY, honest.kept[-1])
    shutil.rmtree(before.folder)
    shutil.copytree(honest.folder, before.folder)
    refused_to_open(before)
    engine = open_engine(before.url)
    try:
        with pytest.raises(Tampered):
            export(engine, before.folder)
    finally:
        engine.dispose()


# --- tampered in place ---

FORGERIES: dict[str, Sequence[str]] = {
    "a leaf": ("UPDATE log_entry SET leaf = X'7b7d' WHERE idx = 299",),
    "the order of two": (
        "UPDATE log_entry SET idx = 1000 WHERE idx = 298",
        "UPDATE log_entry SET idx = 298 WHERE idx = 299",
        "UPDATE log_entry SET idx = 299 WHERE idx = 1000",
    ),
    "the last one dropped": ("DELETE FROM log_entry WHERE idx = 299",),
    "one in the open tile dropped": ("DELETE FROM log_entry WHERE idx = 280",),
    "the head dropped": ("DELETE FROM log_head WHERE size = 300",),
    "all heads dropped": ("DELETE FROM log_head",),
    "the newest head's root": ("UPDATE log_head SET root = zeroblob(32) WHERE size = 300",),
    "the newest head's note": ("UPDATE log_head SET note = X'00' WHERE size = 300",),
    "another head's note": (
        "UPDATE log_head SET note = (SELECT note FROM log_head WHERE size = 120) WHERE size = 300",
    ),
    "a full tile dropped": ("DELETE FROM log_tile",),
    "a full tile's root": ("UPDATE log_tile SET root = zeroblob(32)",),
    "entries and heads cut back": ("DELETE FROM log_entry WHERE idx >= 120", "DELETE FROM log_head WHERE size > 120"),
    "everything gone": ("DELETE FROM log_entry", "DELETE FROM log_head", "DELETE FROM log_tile"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_database_that_was_edited_does_not_open(honest: Deeds, forgery: str) -> None:
    forge(honest.url, *FORGERIES[forgery])
    refused_to_open(honest)


# --- before a witness ---


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    state = StateFile(tmp_path / "witness.json")
    state.create()
    log = TrustPolicy.of_vkey(VKEY).log
    return Witness(WITNESS_NAME, key_from_seed("witness", b"\2" * 32), [log], state, ManualClock(NOON))


def shown(witness: Witness, deeds: Deeds, old: int) -> Answer:
    """The published checkpoint of a log shown to the witness, with the best proof that this log has."""
    note = (deeds.folder / "checkpoint").read_bytes()
    return witness.add_checkpoint(Submission(old, proof(deeds, old), note).as_bytes())


@pytest.mark.parametrize(("size", "without"), [(300, 60), (300, 299), (310, 60), (700, 0)])
def test_a_witness_that_saw_the_honest_log_cosigns_no_rewritten_one(
    honest: Deeds, witness: Witness, tmp_path: Path, size: int, without: int
) -> None:
    assert shown(witness, honest, 0).status == 200
    other = rewritten(honest, tmp_path, size, without)
    for old in (0, 120, 300, size):
        answer = shown(witness, other, min(old, size))
        assert (answer.status in {409, 422}, b"cosignature" in answer.body) == (True, False)
    honest.do("ent_300").judge(names(301))
    assert shown(witness, honest, 300).status == 200, "it goes on with the log that it saw"


def test_of_two_forms_of_a_log_one_alone_is_ever_cosigned(honest: Deeds, witness: Witness, tmp_path: Path) -> None:
    """A split view: each half of the world is shown another log. Whoever asks for the cosignature sees one of them."""
    trust = read_policy(f"log {VKEY}\nwitness w {witness_vkey(witness)}\nquorum w\n")
    other = rewritten(honest, tmp_path, 300, 299)
    honest_line, other_line = shown(witness, honest, 0).body, shown(witness, other, 0).body
    for deeds, line in ((honest, honest_line), (other, honest_line), (other, other_line)):
        path = deeds.folder / "checkpoint"
        note = path.read_bytes()
        path.write_bytes(note + line if line.startswith("— ".encode()) else note)
        if deeds is honest:
            assert verify_log(deeds.folder, trust).size == 300
        else:
            with pytest.raises((Tampered, NotCovered)):
                verify_log(deeds.folder, trust)
        path.write_bytes(note)
    assert verify_log(other.folder, VKEY).size == 300, "without a witness it passes"


def witness_vkey(witness: Witness) -> str:
    return verifier_key(WITNESS_NAME, witness.verifier.key, witness.verifier.kind)
