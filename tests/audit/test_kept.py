"""The checkpoint that a verifier keeps from visit to visit, and the evidence of a fork."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.audit.kept import Kept
from sandbox.audit.note import b64, cosign, sign_note
from sandbox.audit.quorum import TrustPolicy
from sandbox.core.errors import Invalid, Unavailable
from sandbox.core.keys import SigningKey, key_from_seed

ORIGIN = "exchange.example.vn/log"
OTHER = key_from_seed("other", b"\3" * 32)
MakeNote = Callable[..., bytes]


@pytest.fixture
def make_note(key: SigningKey) -> MakeNote:
    """A checkpoint that the log signed."""

    def make(size: int, root: int = 0) -> bytes:
        return sign_note(f"{ORIGIN}\n{size}\n{b64(bytes([root]) * 32)}\n", ORIGIN, key)

    return make


@pytest.fixture
def policy(vkey: str) -> TrustPolicy:
    return TrustPolicy.of_vkey(vkey)


@pytest.fixture
def kept(tmp_path: Path, vkey: str) -> Kept:
    (tmp_path / "log.vkey").write_text(vkey)
    return Kept(tmp_path / "log.vkey")


def files_beside(kept: Kept) -> set[str]:
    return {each.name for each in kept.path.parent.iterdir()}


def test_what_was_kept_is_there_at_the_next_visit_as_it_was_signed(
    kept: Kept, policy: TrustPolicy, make_note: MakeNote
) -> None:
    assert kept.read(policy) is None
    assert kept.advance(None, make_note(5))
    assert kept.read(policy) == make_note(5)
    assert kept.advance(make_note(5), make_note(9))
    assert kept.path.read_bytes() == make_note(9)
    assert files_beside(kept) == {"log.vkey", "log.vkey.seen"}


def test_a_cosignature_once_seen_is_not_given_up(kept: Kept, policy: TrustPolicy, make_note: MakeNote) -> None:
    cosigned = cosign(make_note(5), "w.example.vn", OTHER, 1795341600)
    kept.advance(None, make_note(5))
    assert kept.advance(make_note(5), cosigned)
    assert not kept.advance(cosigned, make_note(5))
    assert not kept.advance(cosigned, cosigned)
    assert kept.read(policy) == cosigned


def test_of_two_runs_that_began_at_one_checkpoint_only_one_replaces_it(
    kept: Kept, policy: TrustPolicy, make_note: MakeNote
) -> None:
    """Each compared its checkpoint with the one before, and nobody the two with each other."""
    kept.advance(None, make_note(5))
    start, outcomes = threading.Barrier(8), []

    def advance(size: int) -> None:
        start.wait()
        try:
            outcomes.append(kept.advance(make_note(5), make_note(size)))
        except Unavailable as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=advance, args=(size,)) for size in range(6, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [True, *["verify.concurrent"] * 7]
    assert kept.read(policy) in [make_note(size) for size in range(6, 14)]


@pytest.mark.parametrize("content", [b"", b"damaged", b"\xff\n\n", b"x" * 2_000_000])
def test_a_kept_checkpoint_that_was_damaged_is_not_taken_for_none(
    kept: Kept, policy: TrustPolicy, content: bytes
) -> None:
    kept.path.write_bytes(content)
    with pytest.raises(Invalid) as refusal:
        kept.read(policy)
    assert refusal.value.code == "verify.kept"
    assert kept.path.read_bytes() == content


def test_a_kept_checkpoint_of_another_key_is_not_taken_either(kept: Kept, policy: TrustPolicy) -> None:
    kept.path.write_bytes(sign_note(f"{ORIGIN}\n5\n{b64(bytes(32))}\n", ORIGIN, OTHER))
    with pytest.raises(Invalid, match="no checkpoint that this log has signed"):
        kept.read(policy)


def test_both_sides_of_a_fork_are_kept_and_what_was_seen_stays(kept: Kept, make_note: MakeNote) -> None:
    kept.advance(None, make_note(5))
    one, other = kept.keep_fork(make_note(5), make_note(5, 7))
    assert (one.read_bytes(), other.read_bytes()) == (make_note(5), make_note(5, 7))
    assert one.name.startswith("log.vkey.fork-5-")
    assert one != other
    assert kept.path.read_bytes() == make_note(5)
    third = kept.keep_fork(make_note(5, 8))[0]  # more evidence replaces none
    assert {one.name, other.name, third.name, "log.vkey", "log.vkey.seen"} == files_beside(kept)


def test_what_cannot_be_read_is_not_taken_for_none_either(kept: Kept, policy: TrustPolicy) -> None:
    kept.path.mkdir()
    with pytest.raises(Invalid) as refusal:
        kept.read(policy)
    assert refusal.value.code == "verify.kept"


def test_a_crash_while_it_is_written_leaves_the_one_before(
    kept: Kept, policy: TrustPolicy, make_note: MakeNote
) -> None:
    """The new one is written beside it and renamed: what a crash leaves is a draft that nobody reads."""
    kept.advance(None, make_note(5))
    (kept.path.parent / ".log.vkey.seen.abc.tmp").write_bytes(make_note(9)[:20])
    assert kept.read(policy) == make_note(5)
    assert kept.advance(make_note(5), make_note(9))


def test_a_folder_in_the_way_is_said_and_nothing_is_lost(kept: Kept, make_note: MakeNote) -> None:
    digest_named = kept.keep_fork(make_note(5))[0]
    digest_named.unlink()
    digest_named.mkdir()
    with pytest.raises(Unavailable) as refusal:
        kept.keep_fork(make_note(5))
    assert refusal.value.code == "verify.unkept"
    assert not [name for name in files_beside(kept) if name.endswith(".tmp")]
