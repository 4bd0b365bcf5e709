"""Keys, notes, checkpoints and proofs, against the golden vectors and damaged ones."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.merkle import leaf_hash, verify_inclusion
from sandbox.audit.note import (
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Checkpoint,
    cosign,
    cosigner,
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
from sandbox.core.keys import SigningKey, key_from_seed, new_witness_key

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


# a note of golang.org/x/mod's own tests, and its key
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()
QUANTUM = new_witness_key("quantum.example.vn/w1")


def test_a_note_of_another_program_is_opened() -> None:
    assert open_note(GO_NOTE, read_vkey(GO_VKEY)).startswith("If you think")
    with pytest.raises(Tampered):
        open_note(GO_NOTE.replace(b"think", b"thunk"), read_vkey(GO_VKEY))


def test_the_text_of_a_note_may_hold_empty_lines(key: SigningKey) -> None:
    text = "trafitto\n\ned \u00e8 subito sera.\n"
    assert open_note(sign_note(text, ORIGIN, key), read_vkey(LOG_VKEY)) == text


def test_sixty_four_signatures_are_read_and_one_more_is_not(witness: SigningKey) -> None:
    line = cosign(NOTE, "other.example", witness, 1)[len(NOTE) :]
    assert len(unverified(NOTE + line * 62)[1]) == 64
    with pytest.raises(Invalid, match="more than 64"):
        unverified(NOTE + line * 63)


def test_sixteen_quantum_signatures_are_read() -> None:
    note = NOTE
    for number in range(14):
        note = cosign(note, f"w{number}.example", QUANTUM, 1)
    assert open_checkpoint(note, read_vkey(LOG_VKEY)).size == 257


def test_a_name_or_an_id_alone_makes_no_key_known(key: SigningKey, witness: SigningKey) -> None:
    same_name = sign_note("other\n1\n\n", ORIGIN, witness).splitlines(keepends=True)[-1]
    same_id = NOTE.splitlines(keepends=True)[4].replace(b" exchange.example", b" exchanged.example")
    assert open_checkpoint(NOTE + same_name + same_id, read_vkey(LOG_VKEY)).size == 257


def test_a_cosignature_of_kind_06_signs_what_the_page_says() -> None:
    name, note = "quantum.example.vn/w1", cosign(NOTE, "quantum.example.vn/w1", QUANTUM, 1795341600)
    blob = base64.b64decode(note.splitlines()[-1].split()[-1])
    raw = QUANTUM.verify_key.raw()
    assert blob[:4] == sha256(name.encode() + b"\n\x06" + raw).digest()[:4]
    assert int.from_bytes(blob[4:12], "big") == 1795341600
    root = base64.b64decode("HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=")
    message = b"subtree/v1\n\0" + bytes([21]) + name.encode() + (1795341600).to_bytes(8, "big")
    message += bytes([23]) + ORIGIN.encode() + bytes(8) + (257).to_bytes(8, "big") + root
    assert (len(raw), len(blob[12:])) == (1312, 2420)
    assert QUANTUM.verify_key.verifies(blob[12:], message)


def test_a_vkey_of_kind_06_is_written_and_read() -> None:
    verifier = cosigner("quantum.example.vn/w1", QUANTUM.verify_key)
    found = read_vkey(verifier.vkey)
    assert (found.kind, found.name, found.identity) == (MLDSA44_COSIGNATURE, verifier.name, verifier.identity)
    assert open_note(cosign(NOTE, "quantum.example.vn/w1", QUANTUM, 1), found).startswith(ORIGIN)


def test_a_cosignature_of_kind_06_holds_for_one_name_and_one_checkpoint_alone() -> None:
    line = cosign(NOTE, "quantum.example.vn/w1", QUANTUM, 1)[len(NOTE) :]
    blob = base64.b64decode(line.split()[-1])
    for name, text in (
        ("another.example", Checkpoint(ORIGIN, 257, bytes(32)).text),
        ("quantum.example.vn/w1", Checkpoint(ORIGIN, 257, bytes(32)).text),
        ("quantum.example.vn/w1", Checkpoint(ORIGIN, 258, bytes(32)).text),
        ("quantum.example.vn/w1", "no checkpoint\n"),
        ("quantum.example.vn/w1", Checkpoint("o" * 256, 257, bytes(32)).text),
    ):
        assert not cosigner(name, QUANTUM.verify_key).verifies(blob[4:], text)


@pytest.mark.parametrize("time", [1 << 63, (1 << 64) - 1])
def test_a_time_beyond_63_bits_is_no_time(witness: SigningKey, time: int) -> None:
    with pytest.raises(Tampered):
        open_note(cosign(NOTE, WITNESS + "b", witness, time), cosigner(WITNESS + "b", witness.verify_key))


@pytest.mark.parametrize("signature", [b"", b"\0" * 7, b"\0" * 8, b"\0" * 71, b"\0" * 73])
def test_a_signature_of_another_length_is_bad(signature: bytes) -> None:
    for vkey in (LOG_VKEY, WITNESS_VKEY, cosigner("q", QUANTUM.verify_key).vkey):
        assert not read_vkey(vkey).verifies(signature, Checkpoint(ORIGIN, 257, bytes(32)).text)


@pytest.mark.parametrize("kind", [0, 2, 3, 5, 255])
def test_a_vkey_of_another_kind_is_refused(kind: int) -> None:
    raw = bytes([kind]) + bytes(32)
    number = sha256(b"name\n" + raw).hexdigest()[:8]
    with pytest.raises(Invalid, match="of no kind"):
        read_vkey(f"name+{number}+{base64.b64encode(raw).decode()}")


def test_extension_lines_are_for_other_logs_and_may_not_be_empty() -> None:
    text = Checkpoint(ORIGIN, 1, bytes(32)).text
    assert read_checkpoint(text + "more\n", extended=True) == read_checkpoint(text)
    for added, extended in (("more\n", False), ("\n", True), ("more\n\nmore\n", True)):
        with pytest.raises(Invalid):
            read_checkpoint(text + added, extended=extended)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\0b", "\ud800", "\u00e9" * 128])
def test_a_witness_needs_a_name_that_a_note_can_hold(witness: SigningKey, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        cosigner(name, witness.verify_key)
    assert refusal.value.code == "vkey.malformed"


@given(st.text() | st.text(alphabet="a+0123456789abcdef=\n ").map("name+".__add__))
def test_no_text_makes_the_reader_of_keys_fail_otherwise_than_by_refusing(text: str) -> None:
    with pytest.raises(Invalid):
        read_vkey(text)


@given(st.binary() | st.text().map(lambda text: f"{text}\n\n— a AAAAAA==\n".encode("utf-8", "replace")))
def test_no_bytes_make_the_reader_of_notes_fail_otherwise_than_by_refusing(note: bytes) -> None:
    try:
        unverified(note)
    except Invalid as refusal:
        assert refusal.code == "note.malformed"
