"""Keys, notes, checkpoints and proofs, against the golden vectors and damaged ones."""

import pytest

from sandbox.audit.merkle import leaf_hash, verify_inclusion
from sandbox.audit.note import (
    ED25519_COSIGNATURE,
    Checkpoint,
    cosign,
    open_checkpoint,
    open_note,
    read_checkpoint,
    read_vkey,
    sign_note,
    unverified,
    verifier_key,
)
from sandbox.audit.proof import Proof, read_proof
from sandbox.audit.tree import Tree
from sandbox.core.errors import Invalid, SandboxError, Tampered
from sandbox.core.keys import SigningKey, key_from_seed

ORIGIN, WITNESS = "exchange.example.vn/log", "regulator.example.vn/w1"
LOG_VKEY = "exchange.example.vn/log+b271c152+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
WITNESS_VKEY = "regulator.example.vn/w1+bf776913+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
NOTE = """exchange.example.vn/log
257
HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=

— exchange.example.vn/log snHBUtHwXMdHqLVXBWsL3+o1AHw7a5jMUB7Dk5QFSNoMmzPpyu7u4NRYTkJDhZRhLdRkzDN1CAjUw+doL7/9HtfDDww=
— regulator.example.vn/w1 \
v3dpEwAAAABrAr0g41oT8qx1pljtgrQ7k4AsKubfsnuk1cnMhpcc2sBUwmaQ7mDz4/66vQSPI1Oqf9XrRG2wSdtIOWQe1adZWK+2BQ==
""".encode()
PROOF = "c2sp.org/tlog-proof@v1\nindex 256\ngoUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=\n\n" + NOTE.decode()


@pytest.fixture
def witness() -> SigningKey:
    return key_from_seed("witness", b"\2" * 32)


def test_the_golden_checkpoint_is_written_byte_for_byte(key: SigningKey, witness: SigningKey) -> None:
    tree, _ = Tree().appended(leaf_hash(str(number).encode()) for number in range(257))
    note = sign_note(Checkpoint(ORIGIN, 257, tree.root).text, ORIGIN, key)
    assert cosign(note, WITNESS, witness, 1795341600) == NOTE


def test_the_golden_keys_are_written_and_read(key: SigningKey, witness: SigningKey) -> None:
    assert verifier_key(ORIGIN, key.verify_key) == LOG_VKEY
    assert verifier_key(WITNESS, witness.verify_key, ED25519_COSIGNATURE) == WITNESS_VKEY
    assert read_vkey(LOG_VKEY + "\n").key.raw() == key.verify_key.raw()


def test_the_golden_checkpoint_is_opened_under_both_keys() -> None:
    checkpoint = open_checkpoint(NOTE, read_vkey(LOG_VKEY), read_vkey(WITNESS_VKEY))
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 257)


def test_the_golden_proof_needs_one_hash() -> None:
    proof = read_proof(PROOF)
    root = open_checkpoint(proof.checkpoint, read_vkey(LOG_VKEY)).root
    assert (proof.index, len(proof.hashes), proof.as_text()) == (256, 1, PROOF)
    assert verify_inclusion(leaf_hash(b"256"), 256, 257, proof.hashes, root)


def test_an_extra_line_of_a_proof_is_skipped() -> None:
    assert read_proof(PROOF.replace("index", "extra eA==\nindex", 1)) == read_proof(PROOF)


@pytest.mark.parametrize("place", range(len(NOTE)))
def test_no_byte_of_a_cosigned_checkpoint_may_change(place: int) -> None:
    altered = NOTE[:place] + bytes([NOTE[place] ^ 1]) + NOTE[place + 1 :]
    with pytest.raises(SandboxError):
        open_checkpoint(altered, read_vkey(LOG_VKEY), read_vkey(WITNESS_VKEY))


def test_a_signature_of_an_unknown_key_is_ignored(witness: SigningKey) -> None:
    note = NOTE
    for number in range(15):
        note = cosign(note, f"other.example/{number}", witness, 1)
    assert open_checkpoint(note, read_vkey(LOG_VKEY)).size == 257


def test_one_bad_signature_of_a_known_key_spoils_the_note(key: SigningKey) -> None:
    lines = sign_note("other\n1\n\n", ORIGIN, key).decode().splitlines()
    with pytest.raises(Tampered, match="does not match"):
        open_note(NOTE + (lines[-1] + "\n").encode(), read_vkey(LOG_VKEY))


def test_an_unknown_key_opens_nothing(witness: SigningKey) -> None:
    with pytest.raises(Tampered) as refusal:
        open_checkpoint(NOTE, read_vkey(verifier_key(ORIGIN, witness.verify_key)))
    assert refusal.value.code == "verify.mismatch"


def test_a_key_opens_no_checkpoint_of_another_log(key: SigningKey) -> None:
    note = sign_note(Checkpoint("other.example/log", 0, bytes(32)).text, ORIGIN, key)
    with pytest.raises(Tampered, match="another log"):
        open_checkpoint(note, read_vkey(LOG_VKEY))


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"text without signature\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"257", b"257\r"),
        NOTE.replace("— ".encode(), b"- "),
        NOTE.replace(b"snHB", b"snH*"),
        NOTE + NOTE.splitlines(keepends=True)[-1] * 70,
        b"x" * 1_000_001,
    ],
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        unverified(note)
    assert refusal.value.code == "note.malformed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n01\nAAAA\n",
        "a\n-1\nAAAA\n",
        "a\n1\nAAAA\n",
        "\n1\nAAAA\n",
        "a\n١\nAAAA\n",
        "a\n1\nA\nextension\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_checkpoint(text)
    assert refusal.value.code == "note.malformed"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name only",
        LOG_VKEY.replace("b271c152", "b271c153"),
        LOG_VKEY.replace("exchange", "exchang3"),
        LOG_VKEY.replace("AYqI", "AoqI"),
        LOG_VKEY[:-4],
        LOG_VKEY.replace("+AY", "+*Y"),
    ],
)
def test_what_is_no_vkey_is_refused(vkey: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_vkey(vkey)
    assert refusal.value.code == "vkey.malformed"


def test_a_name_with_a_space_or_a_plus_names_no_key(key: SigningKey) -> None:
    for name in ("a b", "a+b", "", "a\u00a0b"):
        with pytest.raises(Invalid):
            verifier_key(name, key.verify_key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROOF.replace("@v1", "@v2"),
        PROOF.replace("index 256", "index 0256"),
        PROOF.replace("index 256\n", ""),
        PROOF.replace("goUV", "go*V"),
        PROOF.replace("goUV0DPB", ""),
        PROOF.partition("\n\n")[0],
        Proof(0, (bytes(32),) * 64, b"").as_text(),
    ],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_proof(text)
    assert refusal.value.code == "proof.malformed"
