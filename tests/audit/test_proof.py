"""Proof files, with what the log's users may put beside them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.note import b64
from sandbox.audit.proof import Proof, read_proof
from sandbox.core.errors import Invalid

CHECKPOINT = "exchange.example.vn/log\n1\nAAAA\n\n— exchange.example.vn/log AAAAAAAA\n".encode()
PROOF = Proof(3, (bytes(32), b"\1" * 32), CHECKPOINT)


@given(st.none() | st.binary(max_size=300), st.integers(0, 10**18 - 1), st.integers(0, 63))
def test_what_is_written_is_read(extra: bytes | None, index: int, hashes: int) -> None:
    proof = Proof(index, (b"\7" * 32,) * hashes, CHECKPOINT, extra)
    found = read_proof(proof.as_text())
    assert (found, found.extra) == (proof, extra)


def test_the_extra_line_stands_between_header_and_index() -> None:
    lines = Proof(3, (), CHECKPOINT, b"more").as_text().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", f"extra {b64(b'more')}", "index 3"]


def test_what_nothing_authenticates_makes_no_difference() -> None:
    assert read_proof(Proof(3, PROOF.hashes, CHECKPOINT, b"x").as_text()) == PROOF


@pytest.mark.parametrize(
    "text",
    [
        PROOF.as_text().replace("index", "extra e*==\nindex", 1),
        PROOF.as_text().replace("index", "extra eB==\nindex", 1),
        PROOF.as_text().replace("index", "extra eA==\nextra eA==\nindex", 1),
        PROOF.as_text().replace("index 3\n", "index 3\nextra eA==\n", 1),
        PROOF.as_text().replace("index", "Extra eA==\nindex", 1),
        PROOF.as_text().replace("index 3", "index 03", 1),
        PROOF.as_text().replace("index 3", "index -3", 1),
        PROOF.as_text().replace("index 3", "index \u0663", 1),
    ],
)
def test_a_proof_with_a_foreign_line_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_proof(text)
    assert refusal.value.code == "proof.malformed"


@given(st.text())
def test_no_text_makes_the_reader_fail_otherwise_than_by_refusing(text: str) -> None:
    for content in (text, "c2sp.org/tlog-proof@v1\n" + text):
        try:
            read_proof(content)
        except Invalid as refusal:
            assert refusal.code == "proof.malformed"
