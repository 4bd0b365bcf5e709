"""Receipts: what verifies offline, and what does not."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from sandbox.audit.cosignatures import keep_cosignature
from sandbox.audit.events import EventType
from sandbox.audit.log import Log
from sandbox.audit.note import ED25519_COSIGNATURE, Checkpoint, Verifier, cosign, sign_note, verifier_key
from sandbox.audit.proof import Proof, read_proof
from sandbox.audit.quorum import read_policy
from sandbox.audit.receipt import receipt
from sandbox.audit.tiles import export
from sandbox.audit.verify import Forked, verify_receipt
from sandbox.core.canonical import canonical
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Invalid, NotCovered, NotFound, SandboxError, Tampered, Unavailable
from sandbox.core.keys import SigningKey, key_from_seed, new_key
from sandbox.core.signing import sign
from sandbox.core.terms import EntryId
from tests.logs import root_of, write_log
from tests.served import serving

Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
Change = Callable[[dict[str, Any]], object]
EXCHANGE = key_from_seed("san-du-lieu", b"\5" * 32)
OTHER = key_from_seed("other", b"\3" * 32)
ORIGIN = "exchange.example.vn/log"


@pytest.fixture
def opened(open_log: OpenLog, sell: Sell) -> Opened:
    mine = open_log()
    sell(mine, 0, 300)
    return mine


@pytest.fixture
def given(opened: Opened) -> bytes:
    """The receipt of entry 280 under a checkpoint of 300."""
    database, log = opened
    with database.read() as connection:
        return receipt(connection, log, "ent_280", EXCHANGE)


def altered(content: bytes, change: Change) -> bytes:
    document = json.loads(content)
    change(document)
    return canonical(document)


def test_a_receipt_verifies_and_tells_all(given: bytes, vkey: str) -> None:
    verdict = verify_receipt(given, vkey, signers=[EXCHANGE.verify_key])
    assert (verdict.origin, verdict.index, verdict.size, verdict.signers) == (ORIGIN, 280, 300, (EXCHANGE.kid,))
    assert verdict.revealed == {"actor": "cong-ty-fintech", "sql": "SELECT 280"}
    assert verdict.entry["meter"] == {"rows_out": 2, "bytes_out": 1312, "vnd": 280}
    assert json.loads(given)["type"] == "sandbox.receipt/v1"
    assert len(given) < 2500


@pytest.mark.parametrize("number", [0, 1, 255, 256, 299])
def test_every_place_in_the_log_has_its_receipt(opened: Opened, vkey: str, number: int) -> None:
    database, log = opened
    with database.read() as connection:
        unsigned = receipt(connection, log, f"ent_{number}")
    verdict = verify_receipt(unsigned, vkey)
    assert (verdict.index, verdict.signers) == (number, ())


@pytest.mark.parametrize("names", [["sql"], ["actor"], ["sql", "actor"]])
def test_a_receipt_with_a_reveal_removed_still_verifies(given: bytes, vkey: str, names: list[str]) -> None:
    less = altered(given, lambda document: [document["reveal"].pop(name) for name in names])
    verdict = verify_receipt(less, vkey, signers=[EXCHANGE.verify_key])
    assert verdict.revealed.keys() == {"sql", "actor"} - {*names}
    assert verdict.entry["sealed"].keys() == {"sql", "actor"}


def test_a_receipt_made_after_an_erasure_reveals_less_and_one_made_before_still_verifies(
    opened: Opened, given: bytes, vkey: str
) -> None:
    database, log = opened

    def erase(tx: Transaction) -> None:
        at, basis = datetime(2026, 12, 1, tzinfo=UTC), "Luật 91/2025/QH15, Điều 14"
        log.erase(tx, at, entry_id=EntryId("ent_x"), erased=EntryId("ent_280"), names=["actor"], basis=basis)

    database.write(erase)
    with database.read() as connection:
        after = receipt(connection, log, "ent_280", EXCHANGE)
    assert verify_receipt(after, vkey).revealed == {"sql": "SELECT 280"}
    assert b"fintech" not in after
    assert verify_receipt(given, vkey).revealed["actor"] == "cong-ty-fintech"


def _flip(document: dict[str, Any], *path: str) -> None:
    *way, last = path
    for step in way:
        document = document[step]
    value = document[last]
    document[last] = value + 1 if isinstance(value, int) else ("A" if value[0] != "A" else "B") + value[1:]


def _signature(document: dict[str, Any], **change: Any) -> None:
    document["signatures"][0] |= change


CHANGES: dict[str, Change] = {
    "price": lambda document: _flip(document, "entry", "meter", "vnd"),
    "rows": lambda document: _flip(document, "entry", "meter", "rows_out"),
    "type": lambda document: _flip(document, "entry", "type"),
    "time": lambda document: document["entry"].update(ts="2026-11-22T05:00:00.123457Z"),
    "agreement": lambda document: document["entry"]["agreements"][0].update(id="sha256:1"),
    "member added": lambda document: document["entry"].update(discount=1),
    "member removed": lambda document: document["entry"].pop("isolation"),
    "seal": lambda document: _flip(document, "entry", "sealed", "sql"),
    "seal removed": lambda document: document["entry"]["sealed"].pop("sql"),
    "sql": lambda document: _flip(document, "reveal", "sql", "value"),
    "actor": lambda document: _flip(document, "reveal", "actor", "value"),
    "salt": lambda document: _flip(document, "reveal", "actor", "salt"),
    "reveals swapped": lambda document: document.update(
        reveal={"sql": document["reveal"]["actor"], "actor": document["reveal"]["sql"]}
    ),
    "reveal of what is not sealed": lambda document: document["reveal"].update(price=document["reveal"]["sql"]),
    "reveal not an object": lambda document: document["reveal"].update(sql="SELECT 280"),
    "reveal with more": lambda document: document["reveal"]["sql"].update(note="x"),
    "index": lambda document: document.update(proof=document["proof"].replace("index 280", "index 281")),
    "hash": lambda document: document.update(proof=document["proof"].replace("=\n", "=\n" + "A" * 43 + "=\n", 1)),
    "no proof": lambda document: document.update(proof=""),
    "size": lambda document: document.update(proof=document["proof"].replace("\n300\n", "\n301\n")),
    "origin": lambda document: document.update(proof=document["proof"].replace("exchange.", "exchang3.")),
    "checkpoint cut": lambda document: document.update(proof=document["proof"][:-2]),
    "signature": lambda document: _flip(document["signatures"][0], "signature"),
    "header": lambda document: _flip(document["signatures"][0], "protected"),
    "signature stripped": lambda document: document.update(signatures=[]),
    "another's signature": lambda document: document.update(signatures=[sign(document["entry"], OTHER, "receipt+jws")]),
    "signature of another type": lambda document: document.update(
        signatures=[sign(document["entry"], EXCHANGE, "contract+jws")]
    ),
    "signature twice": lambda document: document.update(signatures=document["signatures"] * 2),
    "unknown member": lambda document: document.update(extra=1),
    "another document": lambda document: document.update(type="sandbox.receipt/v2"),
    "no entry": lambda document: document.pop("entry"),
    "entry of another version": lambda document: document["entry"].update(v=2),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_altered_receipt_fails(given: bytes, vkey: str, what: str) -> None:
    with pytest.raises((Tampered, Invalid)):
        verify_receipt(altered(given, CHANGES[what]), vkey, signers=[EXCHANGE.verify_key])


@pytest.mark.parametrize("what", [name for name in CHANGES if not any(w in name for w in ("signature", "header"))])
def test_it_fails_by_the_log_alone_even_when_the_exchange_signs_the_alteration(
    given: bytes, vkey: str, what: str
) -> None:
    def resigned(document: dict[str, Any]) -> None:
        CHANGES[what](document)
        if "entry" in document:
            document["signatures"] = [sign(document["entry"], EXCHANGE, "receipt+jws")]

    with pytest.raises((Tampered, Invalid)):
        verify_receipt(altered(given, resigned), vkey, signers=[EXCHANGE.verify_key])


def test_a_receipt_under_a_checkpoint_that_the_log_did_not_sign_fails(given: bytes, vkey: str) -> None:
    def forged(document: dict[str, Any]) -> None:
        proof = read_proof(document["proof"])
        note = sign_note(Checkpoint(ORIGIN, 1, bytes(32)).text, ORIGIN, OTHER)
        document["proof"] = Proof(0, proof.hashes, note).as_text()

    with pytest.raises(Tampered) as refusal:
        verify_receipt(altered(given, forged), vkey)
    assert refusal.value.code == "verify.mismatch"


def test_an_unknown_key_verifies_no_receipt(given: bytes) -> None:
    for name in (ORIGIN, "other.example.vn/log"):
        with pytest.raises(Tampered):
            verify_receipt(given, verifier_key(name, OTHER.verify_key))
    with pytest.raises(Invalid):
        verify_receipt(given, "")


def test_all_required_parties_must_have_signed(given: bytes, vkey: str) -> None:
    both = [EXCHANGE.verify_key, OTHER.verify_key]
    with pytest.raises(Tampered, match="required party"):
        verify_receipt(given, vkey, signers=both)

    def add(document: dict[str, Any]) -> None:
        document["signatures"].append(sign(document["entry"], OTHER, "receipt+jws"))

    signed = altered(given, add)
    assert verify_receipt(signed, vkey, signers=both).signers == (EXCHANGE.kid, OTHER.kid)


def test_an_es256_key_may_sign_receipts(opened: Opened, vkey: str) -> None:
    database, log = opened
    exchange = new_key("san-du-lieu", "ES256")
    with database.read() as connection:
        content = receipt(connection, log, "ent_7", exchange)
    assert verify_receipt(content, vkey, signers=[exchange.verify_key]).index == 7


def test_witnesses_that_are_asked_for_must_have_cosigned_the_checkpoint(given: bytes, vkey: str) -> None:
    witness = verifier_key("regulator.example.vn/w1", OTHER.verify_key, ED25519_COSIGNATURE)
    policy = read_policy(f"log {vkey}\nwitness w1 {witness}\nquorum w1\n")
    with pytest.raises(NotCovered):
        verify_receipt(given, policy)

    def cosigned(document: dict[str, Any]) -> None:
        proof = read_proof(document["proof"])
        note = cosign(proof.checkpoint, "regulator.example.vn/w1", OTHER, 1795341600)
        document["proof"] = Proof(proof.index, proof.hashes, note).as_text()

    assert verify_receipt(altered(given, cosigned), policy).index == 280


def test_an_unknown_entry_has_no_receipt(opened: Opened) -> None:
    database, log = opened
    with database.read() as connection, pytest.raises(NotFound) as refusal:
        receipt(connection, log, "ent_999", EXCHANGE)
    assert refusal.value.code == "entry.unknown"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"type":"sandbox.receipt/v1"}'])
def test_what_is_no_receipt_is_refused(content: bytes, vkey: str) -> None:
    with pytest.raises(Invalid):
        verify_receipt(content, vkey)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@hypothesis.given(st.sampled_from(["entry", "reveal", "proof", "signatures", "type"]), JSON)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_stands_in_a_receipt_it_is_refused_in_a_sentence(given: bytes, vkey: str, name: str, odd: Any) -> None:
    document = json.loads(given) | {name: odd}
    try:
        verify_receipt(json.dumps(document).encode(), vkey, signers=[EXCHANGE.verify_key])
    except SandboxError:
        return
    assert (name, odd) == ("reveal", {})  # without its reveals it still verifies


def test_no_bit_of_a_receipt_changes_unnoticed(given: bytes, vkey: str) -> None:
    for place in range(0, len(given), 7):
        flipped = given[:place] + bytes([given[place] ^ 1]) + given[place + 1 :]
        with pytest.raises(SandboxError):
            verify_receipt(flipped, vkey, signers=[EXCHANGE.verify_key])


def test_every_kind_of_entry_has_its_receipt(open_log: OpenLog, vkey: str) -> None:
    database, log = open_log()
    at = datetime(2026, 12, 1, tzinfo=UTC)

    def unit(tx: Transaction) -> None:
        for kind in EventType:
            log.record(tx, kind, at, entry_id=EntryId(kind.value), clear={"x": [None]})

    database.write(unit)
    with database.read() as connection:
        for kind in EventType:
            assert verify_receipt(receipt(connection, log, kind.value), vkey).entry["type"] == kind


# --- against the published log ---


@pytest.fixture
def published(opened: Opened, engine: Engine, tmp_path: Path) -> Path:
    """The log at 300 entries."""
    export(engine, tmp_path / "log")
    return tmp_path / "log"


def test_a_receipt_stands_in_what_is_published(
    published: Path, opened: Opened, sell: Sell, engine: Engine, given: bytes, vkey: str
) -> None:
    assert verify_receipt(given, vkey, log=published).size == 300
    sell(opened, 300, 700)
    export(engine, published)
    verdict = verify_receipt(given, vkey, signers=[EXCHANGE.verify_key], log=published)
    assert (verdict.index, verdict.size) == (280, 700)
    with serving(published) as served:
        assert verify_receipt(given, vkey, log=served.url).size == 700
        assert len(served.asked) < 12  # a few tiles, not the log


def test_a_receipt_of_what_is_not_published_yet_is_not_covered_yet(
    published: Path, opened: Opened, sell: Sell, vkey: str
) -> None:
    sell(opened, 300, 301)
    database, log = opened
    with database.read() as connection:
        newest, older = receipt(connection, log, "ent_300"), receipt(connection, log, "ent_299")
    with pytest.raises(NotCovered, match="entry 300, and entries 0 to 299 are published") as refusal:
        verify_receipt(newest, vkey, log=published)
    assert (refusal.value.code, refusal.value.exit_code) == ("verify.uncovered", 9)
    assert verify_receipt(older, vkey, log=published).size == 300  # its entry is published, its checkpoint is not


def test_a_receipt_of_another_history_than_the_published_one_is_a_mismatch(
    published: Path, given: bytes, vkey: str, key: SigningKey
) -> None:
    other = sign_note(Checkpoint(ORIGIN, 300, bytes(32)).text, ORIGIN, key)
    (published / "checkpoint").write_bytes(other)
    with pytest.raises(Forked) as refusal:
        verify_receipt(given, vkey, log=published)
    assert (refusal.value.old, refusal.value.new) == (read_proof(json.loads(given)["proof"]).checkpoint, other)
    (published / "checkpoint").write_bytes(sign_note(Checkpoint(ORIGIN, 301, bytes(32)).text, ORIGIN, key))
    with pytest.raises((Tampered, Unavailable)):
        verify_receipt(given, vkey, log=published)


def test_a_receipt_of_a_log_that_went_on_otherwise_is_proof_of_a_fork(
    tmp_path: Path, vkey: str, given: bytes, key: SigningKey
) -> None:
    leaves = [f'{{"n":{number}}}'.encode() for number in range(520)]
    write_log(tmp_path / "other", leaves)
    other = sign_note(Checkpoint(ORIGIN, 520, root_of(leaves)).text, ORIGIN, key)
    (tmp_path / "other/checkpoint").write_bytes(other)
    with pytest.raises(Forked) as refusal:
        verify_receipt(given, vkey, log=tmp_path / "other")
    assert (refusal.value.old, refusal.value.new) == (read_proof(json.loads(given)["proof"]).checkpoint, other)


def test_a_damaged_tile_is_no_proof_of_a_fork(
    published: Path, opened: Opened, sell: Sell, engine: Engine, given: bytes, vkey: str
) -> None:
    sell(opened, 300, 520)
    export(engine, published)
    for path in ("tile/0/001", "tile/0/002.p/8"):
        whole = (published / path).read_bytes()
        (published / path).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(Tampered) as refusal:
            verify_receipt(given, vkey, log=published)
        assert refusal.value.code == "verify.mismatch"
        (published / path).write_bytes(whole)
    assert verify_receipt(given, vkey, log=published).size == 520


def test_a_published_log_that_lacks_a_file_could_not_be_checked(published: Path, given: bytes, vkey: str) -> None:
    (published / "tile/0/001.p/44").unlink()
    with pytest.raises(Unavailable) as refusal:
        verify_receipt(given, vkey, log=published)
    assert refusal.value.code == "verify.missing"


def test_the_quorum_may_be_met_by_what_is_published_later(published: Path, given: bytes, vkey: str) -> None:
    witness = verifier_key("w1.example.vn", OTHER.verify_key, ED25519_COSIGNATURE)
    policy = read_policy(f"log {vkey}\nwitness w1 {witness}\nquorum w1\n")
    with pytest.raises(NotCovered):
        verify_receipt(given, policy, log=published)
    path = published / "checkpoint"
    path.write_bytes(cosign(path.read_bytes(), "w1.example.vn", OTHER, 1795341600))
    with pytest.raises(NotCovered):
        verify_receipt(given, policy)
    assert verify_receipt(given, policy, log=published).index == 280


def test_a_receipt_is_made_under_the_newest_witnessed_head_that_covers_it(
    opened: Opened, sell: Sell, vkey: str
) -> None:
    database, log = opened
    name = "w1.example.vn"
    witness = Verifier(name, ED25519_COSIGNATURE, OTHER.verify_key)
    policy = read_policy(
        f"log {vkey}\nwitness w1 {verifier_key(name, OTHER.verify_key, ED25519_COSIGNATURE)}\nquorum w1\n"
    )

    def witnessed(tx: Transaction) -> None:
        note = log.head(tx.connection).note
        line = cosign(note, name, OTHER, 1795341600)[len(note) :]
        keep_cosignature(tx, 300, witness, line, datetime(2026, 12, 1, tzinfo=UTC))

    database.write(witnessed)
    sell(opened, 300, 310)
    with database.read() as connection:
        covered, newer = receipt(connection, log, "ent_299"), receipt(connection, log, "ent_300")
    assert verify_receipt(covered, policy).size == 300
    with pytest.raises(NotCovered):
        verify_receipt(newer, policy)
    assert verify_receipt(newer, vkey).size == 310
