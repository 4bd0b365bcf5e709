"""What a regulator finds out: every damaged file, a rewritten history, and the volume."""

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from sandbox.audit.books import fold_books
from sandbox.audit.events import EventType, read_entry
from sandbox.audit.layout import bundle, unbundle
from sandbox.audit.log import Log
from sandbox.audit.note import ED25519_COSIGNATURE, b64, cosign, verifier_key
from sandbox.audit.quorum import read_policy
from sandbox.audit.tiles import export
from sandbox.audit.totals import Totals
from sandbox.audit.verify import Forked, verify_log
from sandbox.core.canonical import canonical
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Invalid, NotCovered, SandboxError, Tampered, Unavailable
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import EntryId
from tests.logs import checkpoint, root_of, write_log

Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
LATE = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)


@pytest.fixture
def folder(open_log: OpenLog, sell: Sell, engine: Engine, tmp_path: Path) -> Path:
    """520 entries, published in three steps, so that partial tiles of older checkpoints are there too."""
    opened = open_log()
    for start, stop in ((0, 300), (300, 515), (515, 520)):
        sell(opened, start, stop)
        export(engine, tmp_path / "log")
    return tmp_path / "log"


def damaged(content: bytes) -> Iterator[bytes | None]:
    """The file deleted, emptied, truncated, extended, and with single bits flipped."""
    yield from (None, b"", content[:-1], content[: len(content) // 2], content[1:], content + b"\0", content + content)
    for place in (0, 1, len(content) // 3, len(content) // 2, len(content) - 1):
        yield content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


NOW = {"checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/8", "tile/1/000.p/2"}
NOW |= {"tile/entries/000", "tile/entries/001", "tile/entries/002.p/8"}
BEFORE = {"tile/entries/002.p/3", "tile/0/002.p/3", "tile/1/000.p/1"}  # needed only under an older checkpoint


def test_the_files_are_those_of_the_newest_checkpoint_and_of_older_ones(folder: Path, vkey: str) -> None:
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == NOW | BEFORE
    assert verify_log(folder, vkey).size == 520


def test_every_damaged_file_is_detected(folder: Path, vkey: str) -> None:
    missed = []
    for name in sorted(NOW | BEFORE):
        content = (folder / name).read_bytes()
        for change in damaged(content):
            _put(folder / name, change)
            if _verifies(folder, vkey) or _verifies(folder, vkey, replay=False):
                missed.append((name, change))
        _put(folder / name, content)
    assert missed == [(name, None) for name in sorted(BEFORE)]


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def _verifies(folder: Path, vkey: str, *, replay: bool = True) -> bool:
    try:
        verify_log(folder, vkey, replay=replay)
    except (Tampered, Invalid, Unavailable):
        return False
    return True


def test_no_byte_of_the_checkpoint_may_change(folder: Path, vkey: str) -> None:
    content = (folder / "checkpoint").read_bytes()
    for place in range(len(content)):
        (folder / "checkpoint").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(SandboxError):
            verify_log(folder, vkey)


@pytest.mark.parametrize("change", ["swap", "drop", "add"])
def test_a_bundle_with_other_entries_is_detected(folder: Path, vkey: str, change: str) -> None:
    path = folder / "tile/entries/001"
    leaves = unbundle(path.read_bytes())
    altered = {"swap": [leaves[1], leaves[0], *leaves[2:]], "drop": leaves[1:], "add": [*leaves, leaves[0]]}[change]
    path.write_bytes(bundle(altered))
    with pytest.raises(Tampered) as refusal:
        verify_log(folder, vkey)
    assert refusal.value.code == "verify.mismatch"


def test_a_missing_file_is_named(folder: Path, vkey: str) -> None:
    (folder / "tile/0/001").unlink()
    with pytest.raises(Unavailable, match="tile/0/001") as refusal:
        verify_log(folder, vkey)
    assert refusal.value.code == "verify.missing"


def test_where_nothing_is_published_nothing_is_verified(tmp_path: Path, vkey: str) -> None:
    with pytest.raises(Unavailable, match="no log is published here"):
        verify_log(tmp_path, vkey)
    with pytest.raises(Unavailable):
        verify_log(tmp_path / "nowhere", vkey)


def test_a_partial_tile_may_be_gone_when_the_full_one_is_there(
    folder: Path, vkey: str, open_log: OpenLog, sell: Sell, engine: Engine
) -> None:
    older = (folder / "checkpoint").read_bytes()
    sell(open_log(), 520, 800)
    export(engine, folder)
    (folder / "checkpoint").write_bytes(older)
    assert not (folder / "tile/0/002.p").exists()
    assert verify_log(folder, vkey).size == 520


def test_files_ahead_of_the_checkpoint_are_an_export_under_way(folder: Path, vkey: str) -> None:
    for name in ("tile/entries/002.p/9", "tile/0/002", "tile/0/003.p/1.tmp", "checkpoint.tmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not yet promised")
    assert verify_log(folder, vkey).size == 520


def test_an_unknown_key_verifies_nothing(folder: Path) -> None:
    other = key_from_seed("other", b"\3" * 32).verify_key
    for name in ("exchange.example.vn/log", "other.example.vn/log"):
        with pytest.raises(Tampered):
            verify_log(folder, verifier_key(name, other))
    with pytest.raises(Invalid) as refusal:
        verify_log(folder, "exchange.example.vn/log")
    assert refusal.value.code == "vkey.malformed"


# --- the log against its own operator ---


@pytest.fixture
def rewritten(tmp_path: Path, open_log: OpenLog, engine: Engine, sell: Sell) -> Callable[[int], Path]:
    """The same log started anew with the same key, one entry left out, up to some size."""

    def rewrite(size: int) -> Path:
        with engine.execution_options(writes=True).begin() as connection:
            for name in ("log_entry", "log_tile", "log_head", "log_body"):
                connection.execute(sa.text(f"DELETE FROM {name}"))
        opened = open_log()
        sell(opened, 0, 200)
        sell(opened, 201, size + 1)
        export(engine, tmp_path / "rewritten")
        return tmp_path / "rewritten"

    return rewrite


def test_a_rewritten_log_verifies_alone_and_fails_against_an_older_checkpoint(
    folder: Path, vkey: str, rewritten: Callable[[int], Path]
) -> None:
    kept = (folder / "checkpoint").read_bytes()
    for size in (520, 700):
        other = rewritten(size)
        assert verify_log(other, vkey).size == size
        with pytest.raises(Forked, match="older checkpoint") as refusal:
            verify_log(other, vkey, kept)
        assert refusal.value.code == "verify.fork"
        assert (refusal.value.old, refusal.value.new) == (kept, (other / "checkpoint").read_bytes())
        with pytest.raises(Forked):
            verify_log(other, vkey, kept=kept, replay=False)
        shutil.rmtree(other)


def test_a_log_that_shrank_fails_against_an_older_checkpoint(
    folder: Path, vkey: str, open_log: OpenLog, sell: Sell, engine: Engine, tmp_path: Path
) -> None:
    older = shutil.copytree(folder, tmp_path / "older")
    sell(open_log(), 520, 530)
    export(engine, folder)
    with pytest.raises(Tampered, match="had 530 entries at your older checkpoint and has 520 now"):
        verify_log(older, vkey, (folder / "checkpoint").read_bytes())


def test_every_older_checkpoint_is_shown_to_be_a_prefix(
    open_log: OpenLog, sell: Sell, engine: Engine, tmp_path: Path, vkey: str
) -> None:
    opened = database, log = open_log()
    kept = []
    for start, stop in ((0, 1), (1, 2), (2, 3), (3, 255), (255, 256), (256, 257), (257, 300)):
        sell(opened, start, stop)
        with database.read() as connection:
            kept.append(log.head(connection).note)
    export(engine, tmp_path / "log")
    for note in kept:
        assert verify_log(tmp_path / "log", vkey, note).size == 300


ROOTS = {  # of leaves that are the decimals of their places, computed by Go's x/mod/sumdb
    1: "2zQm6HgGjSjSabbIcXIyLOU3K2V1bQeJAB00g19gHAM=",
    3: "cl1SMNto9VdHDcNfHYhlgTrNfrsHrRUndBQd7LrnEyc=",
    256: "goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=",
    257: "HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=",
    65537: "3IeVol/UvVKguE9jn9MTm6FggkAj0YjkKOtdsPPOIho=",
}


def test_a_log_of_three_levels_has_the_roots_that_others_computed(tmp_path: Path, vkey: str) -> None:
    newest = write_log(tmp_path, [str(number).encode() for number in range(65_537)])
    for older in (1, 3, 256, 257):
        verdict = verify_log(tmp_path, vkey, promised(older), kept=newest, replay=False)
        assert b64(verdict.root) == ROOTS[65_537]


def promised(size: int) -> bytes:
    return checkpoint(size, base64.b64decode(ROOTS[size]))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513])
def test_every_edge_is_a_prefix_of_every_later_one(tmp_path: Path, vkey: str, size: int) -> None:
    leaves = [str(number).encode() for number in range(513)]
    write_log(tmp_path, leaves[:size])
    for older in (0, 1, 2, 255, 256, 257, 511, 512, 513):
        if older <= size:
            old = checkpoint(older, root_of(leaves[:older]))
            assert verify_log(tmp_path, vkey, old, replay=False).size == size
        if older:
            with pytest.raises(Forked):
                verify_log(tmp_path, vkey, checkpoint(older, root_of([b"x", *leaves[1:older]])), replay=False)


def test_a_log_without_entries_verifies(tmp_path: Path, vkey: str) -> None:
    write_log(tmp_path, [])
    verdict = verify_log(tmp_path, vkey)
    assert (verdict.size, verdict.totals) == (0, Totals())


def test_a_damaged_file_is_no_evidence_of_a_fork(folder: Path, vkey: str) -> None:
    """Only two signed checkpoints are: a file that was damaged on the way proves nothing against the operator."""
    kept = (folder / "checkpoint").read_bytes()
    (folder / "tile/entries/000").write_bytes(bundle([b"x"] * 256))
    with pytest.raises(Tampered) as refusal:
        verify_log(folder, vkey, kept)
    assert refusal.value.code == "verify.mismatch"


def test_a_fork_is_said_before_a_quorum_that_is_not_met(folder: Path, vkey: str) -> None:
    witness = verifier_key("w.example.vn", key_from_seed("w", b"\2" * 32).verify_key, ED25519_COSIGNATURE)
    policy = read_policy(f"log {vkey}\nwitness w {witness}\nquorum w\n")
    with pytest.raises(Forked):
        verify_log(folder, policy, checkpoint(520, bytes(32)))


def test_verifying_without_replay_reads_no_entry(tmp_path: Path, vkey: str) -> None:
    write_log(tmp_path, [b"{", b"no entry"])
    verdict = verify_log(tmp_path, vkey, replay=False)
    assert (verdict.size, verdict.books) == (2, None)
    with pytest.raises(ValueError, match="without its entries"):
        _ = verdict.totals


def test_books_are_compared_as_of_their_entry(tmp_path: Path, vkey: str) -> None:
    leaves = [canonical(top_up(number)) for number in range(1, 301)]
    write_log(tmp_path, leaves)
    then = fold_books(map(read_entry, leaves[:270]))
    assert then["ledger"]["topped_up"] == sum(range(271))
    verdict = verify_log(tmp_path, vkey, books=then, replay=False)
    assert verdict.books is not None
    assert verdict.books.ledger.topped_up == sum(range(301))
    for size in (269, 271):
        with pytest.raises(Tampered, match=f"After {size} entries log and books differ: ledger.topped_up") as refusal:
            verify_log(tmp_path, vkey, books=then | {"size": size})
        assert refusal.value.code == "verify.mismatch"
    with pytest.raises(Tampered, match="not of this log"):
        verify_log(tmp_path, vkey, books=then | {"origin": "other.example.vn/log"})
    with pytest.raises(NotCovered) as early:
        verify_log(tmp_path, vkey, books=then | {"size": 301})
    assert early.value.code == "verify.books_ahead"


def top_up(vnd: int) -> dict[str, object]:
    return {"v": 1, "type": "wallet.topped_up", "id": "e", "ts": "2026-12-01T00:00:00Z", "sealed": {}, "vnd": vnd}


def test_an_entry_that_is_none_is_said_only_when_the_log_itself_says_so(tmp_path: Path, vkey: str) -> None:
    write_log(tmp_path, [b"no entry"])
    with pytest.raises(Invalid):
        verify_log(tmp_path, vkey)
    (tmp_path / "checkpoint").write_bytes(checkpoint(1, bytes(32)))
    with pytest.raises(Tampered):
        verify_log(tmp_path, vkey)


@pytest.mark.parametrize("old", [b"", b"exchange.example.vn/log\n1\n", b"damaged\n\n"])
def test_an_older_checkpoint_must_be_one(folder: Path, vkey: str, old: bytes) -> None:
    with pytest.raises(Invalid):
        verify_log(folder, vkey, old)


def test_witnesses_that_are_asked_for_must_have_cosigned(folder: Path, vkey: str) -> None:
    witness = key_from_seed("witness", b"\2" * 32)
    name = "regulator.example.vn/w1"
    witness_vkey = verifier_key(name, witness.verify_key, ED25519_COSIGNATURE)
    policy = read_policy(f"log {vkey}\nwitness regulator {witness_vkey}\nquorum regulator\n")
    with pytest.raises(NotCovered, match="cosigned by no witness") as refusal:
        verify_log(folder, policy)
    assert refusal.value.code == "verify.quorum"
    assert verify_log(folder, policy, quorum="none").cosigned == {}
    path = folder / "checkpoint"
    path.write_bytes(cosign(path.read_bytes(), name, witness, 1795341600))
    assert verify_log(folder, policy).cosigned == {"regulator": 1795341600}


# --- the volume ---


def test_the_volume_is_folded_from_the_entries(
    open_log: OpenLog, sell: Sell, engine: Engine, tmp_path: Path, vkey: str
) -> None:
    opened = database, log = open_log()
    sell(opened, 0, 4)
    sell(opened, 4, 6, at=LATE)  # 00:30 on the 23rd in Ho Chi Minh City
    refused = {"query": "qry_9", "code": "policy.refused", "reasons": ["CONT-03"]}
    database.write(lambda tx: log.record(tx, EventType.QUERY_REFUSED, LATE, entry_id=EntryId("ent_9"), clear=refused))
    export(engine, tmp_path / "log")
    verdict = verify_log(tmp_path / "log", vkey)
    assert verdict.entries == {"query.completed": 6, "query.refused": 1}
    assert verdict.totals == Totals(count=6, vnd=15, rows=12, bytes=7872, count_open=1)
    assert verdict.by_day == {"2026-11-22": Totals(4, 6, 8, 5248, 1), "2026-11-23": Totals(2, 9, 4, 2624, 0)}
    assert {name: each.vnd for name, each in verdict.by_agreement.items()} == {"sha256:0": 6, "sha256:1": 9}


METER = {"rows_out": 1, "bytes_out": 2, "vnd": 5}
SHARES = [{"id": "sha256:0", "vnd": 2}, {"id": "sha256:1", "vnd": 3}]


@pytest.mark.parametrize(
    "clear",
    [
        pytest.param({"agreements": SHARES}, id="no meter"),
        pytest.param({"agreements": SHARES, "meter": METER | {"vnd": "5"}}, id="price is text"),
        pytest.param({"agreements": SHARES, "meter": METER | {"rows_out": -1}}, id="negative rows"),
        pytest.param({"agreements": SHARES, "meter": METER | {"rows_out": True}}, id="rows are a boolean"),
        pytest.param({"agreements": SHARES, "meter": METER | {"vnd": 6}}, id="shares do not add up"),
        pytest.param({"meter": METER}, id="no agreements"),
        pytest.param({"agreements": [SHARES[0], SHARES[0]], "meter": METER | {"vnd": 4}}, id="one twice"),
        pytest.param({"agreements": ["sha256:0"], "meter": METER}, id="no share"),
    ],
)
def test_a_sale_that_cannot_be_counted_is_not_skipped(
    open_log: OpenLog, engine: Engine, tmp_path: Path, vkey: str, clear: dict[str, object]
) -> None:
    database, log = open_log()

    def unit(tx: Transaction) -> None:
        log.record(tx, EventType.QUERY_COMPLETED, LATE, entry_id=EntryId("ent_0"), clear=clear)

    database.write(unit)
    export(engine, tmp_path / "log")
    with pytest.raises(Invalid) as refusal:
        verify_log(tmp_path / "log", vkey)
    assert refusal.value.code == "entry.malformed"


def test_a_leaf_that_is_no_entry_is_not_skipped(open_log: OpenLog, engine: Engine, tmp_path: Path, vkey: str) -> None:
    database, _ = open_log()
    database.write(lambda tx: tx.record("0", b"0"))
    export(engine, tmp_path / "log")
    with pytest.raises(Invalid) as refusal:
        verify_log(tmp_path / "log", vkey)
    assert refusal.value.code == "entry.malformed"


# --- alone ---

ALONE = """
import sys
from pathlib import Path
from sandbox.audit.verify import Forked, verify_log
print(verify_log(Path(sys.argv[1]), sys.argv[2]).totals.count)
heavy = {"sqlalchemy", "duckdb", "pyarrow", "starlette", "numpy", "regorus", "alembic"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
print(sorted(name for name in sys.modules if name.startswith("sandbox.") and name.count(".") == 1))
"""


def test_a_regulator_needs_neither_exchange_nor_database(folder: Path, vkey: str) -> None:
    command = [sys.executable, "-c", ALONE, str(folder), vkey]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "520\n[]\n['sandbox.audit', 'sandbox.core']\n"
