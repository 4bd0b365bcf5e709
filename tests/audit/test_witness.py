"""A witness: each answer of tlog-witness, its memory, and that it never signs two histories."""

import base64
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run
from sys import executable

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, node_hash, range_root
from sandbox.audit.note import (
    Checkpoint,
    Verifier,
    cosign,
    cosigner,
    open_checkpoint,
    read_checkpoint,
    read_vkey,
    sign_note,
    time_of,
    verifier_key,
)
from sandbox.audit.witness import SIZE_MEDIA, Answer, Submission, Witness, read_submission
from sandbox.audit.witness_state import StateFile
from sandbox.core.algorithms import new_witness_key
from sandbox.core.clock import ManualClock
from sandbox.core.errors import Conflict, Invalid, NotFound, SandboxError, Tampered, Unavailable
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.witness import MOST_BYTES, create_witness

ORIGIN, NAME = "exchange.example.vn/log", "regulator.example.vn/w1"
LOG = key_from_seed("log", b"\1" * 32)
KEY = key_from_seed("witness", b"\2" * 32)
FOREIGN = key_from_seed("foreign", b"\3" * 32)
VERIFIER = read_vkey(verifier_key(ORIGIN, LOG.verify_key))
NOON = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


def _node(history: str) -> Callable[[int, int], bytes]:
    def node(height: int, index: int) -> bytes:
        if height == 0:
            return leaf_hash(f"{history}{index}".encode())
        return node_hash(node(height - 1, 2 * index), node(height - 1, 2 * index + 1))

    return node


def root(size: int, history: str = "") -> bytes:
    return range_root(0, size, _node(history)) if size else EMPTY_ROOT


def note(size: int, history: str = "", key: SigningKey = LOG) -> bytes:
    return sign_note(Checkpoint(ORIGIN, size, root(size, history)).text, ORIGIN, key)


def body(old: int, size: int, history: str = "") -> bytes:
    proof = consistency_proof(old, size, _node(history)) if old <= size else []
    return Submission(old, proof, note(size, history)).as_bytes()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    memory = StateFile(tmp_path / "witness.state")
    memory.create()
    return memory


@pytest.fixture
def witness(state: StateFile, clock: ManualClock) -> Witness:
    return Witness(NAME, KEY, [VERIFIER], state, clock)


def is_cosigned(answer: Answer, size: int, history: str = "", witness: Verifier | None = None) -> bool:
    checkpoint = open_checkpoint(note(size, history) + answer.body, VERIFIER, witness or cosigner(NAME, KEY.verify_key))
    return (answer.status, checkpoint.size) == (200, size)


# --- what it cosigns ---


def test_the_example_of_the_page_is_answered_as_it_says(state: StateFile) -> None:
    page = (Path(__file__).parents[2] / "docs/formats/witness.md").read_text()
    asked_, answered, *_ = (block + "\n" for block in re.findall(r"^```\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL))
    witness = Witness(NAME, KEY, [VERIFIER], state, ManualClock(datetime.fromtimestamp(1_795_341_600, UTC)))
    witness.add_checkpoint(body(0, 256))
    assert witness.add_checkpoint(asked_.encode()) == Answer(200, answered.encode())


def test_a_log_is_cosigned_from_its_first_checkpoint_through_every_older_one(witness: Witness) -> None:
    old = 0
    for size in (1, 2, 3, 8, 13, 13, 64, 300):
        assert is_cosigned(witness.add_checkpoint(body(old, size)), size)
        old = size


def test_an_empty_log_is_cosigned(witness: Witness) -> None:
    assert is_cosigned(witness.add_checkpoint(body(0, 0)), 0)
    assert is_cosigned(witness.add_checkpoint(body(0, 5)), 5)


def test_a_witness_of_ml_dsa_cosigns_in_its_own_kind(state: StateFile, clock: ManualClock) -> None:
    key = new_witness_key("quantum.example/w")
    quantum = Witness("quantum.example/w", key, [VERIFIER], state, clock)
    assert is_cosigned(quantum.add_checkpoint(body(0, 5)), 5, "", cosigner("quantum.example/w", key.verify_key))


def test_logs_are_remembered_apart_and_one_log_may_have_two_keys(state: StateFile, clock: ManualClock) -> None:
    second = read_vkey(verifier_key(ORIGIN, FOREIGN.verify_key))
    other = read_vkey(verifier_key("other.example/log", LOG.verify_key))
    witness = Witness(NAME, KEY, [VERIFIER, second, other], state, clock)
    assert witness.add_checkpoint(body(0, 9)).status == 200
    elsewhere = sign_note(Checkpoint("other.example/log", 4, root(4)).text, "other.example/log", LOG)
    assert witness.add_checkpoint(Submission(0, [], elsewhere).as_bytes()).status == 200
    renewed = Submission(9, consistency_proof(9, 12, _node("")), note(12, key=FOREIGN))
    assert witness.add_checkpoint(renewed.as_bytes()).status == 200


def test_a_checkpoint_of_another_log_may_have_extension_lines(witness: Witness) -> None:
    text = Checkpoint(ORIGIN, 3, root(3)).text + "extension\n"
    answer = witness.add_checkpoint(Submission(0, [], sign_note(text, ORIGIN, LOG)).as_bytes())
    assert answer.status == 200
    assert read_checkpoint(text, extended=True).size == 3


# --- what it refuses, exactly as the page says ---


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"old 0",
        b"old 0\n",
        b"old 00\n\n" + note(1),
        b"old -1\n\n" + note(1),
        b"old  0\n\n" + note(1),
        b"old +1\n\n" + note(1),
        b"old 0 \n\n" + note(1),
        b"Old 0\n\n" + note(1),
        b"old 1\r\n\r\n" + note(1),
        "old \u0660\n\n".encode() + note(1),
        b"0\n\n" + note(1),
        note(1),
        b"old 0\nAAAA\n\n" + note(1),
        b"old 0\n" + base64.b64encode(bytes(33)) + b"\n\n" + note(1),
        b"old 0\n" + base64.b64encode(bytes(32)).rstrip(b"=") + b"\n\n" + note(1),
        b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + note(1),
        b"old 0\n\n" + note(1)[:-1],
        b"old 0\n\nno checkpoint\n",
        b"old 0\n\n" + sign_note("no checkpoint\n", ORIGIN, LOG),
        b"old 0\n\n" + sign_note(f"{ORIGIN}\n01\nAAAA\n", ORIGIN, LOG),
        body(2, 1),
        body(10**17, 1),
    ],
)
def test_what_is_no_submission_is_answered_400(witness: Witness, state: StateFile, content: bytes) -> None:
    before = state.path.read_bytes()
    assert witness.add_checkpoint(content).status == 400
    assert state.path.read_bytes() == before


def test_sixty_three_hashes_are_read(witness: Witness) -> None:
    assert len(read_submission(Submission(0, [bytes(32)] * 63, note(1)).as_bytes()).proof) == 63
    assert witness.add_checkpoint(Submission(0, [bytes(32)] * 63, note(1)).as_bytes()).status == 422


def test_a_log_that_is_not_known_is_answered_404(witness: Witness) -> None:
    other = sign_note(Checkpoint("other.example/log", 1, root(1)).text, "other.example/log", LOG)
    assert witness.add_checkpoint(Submission(0, [], other).as_bytes()).status == 404


@pytest.mark.parametrize(
    "unsigned",
    [
        note(5, key=FOREIGN),
        cosign(note(5, key=FOREIGN), NAME, KEY, 1),
        note(5).replace(b"\n5\n", b"\n6\n"),
        note(5) + note(6).splitlines(keepends=True)[-1],
    ],
)
def test_what_the_log_did_not_sign_is_answered_403(witness: Witness, state: StateFile, unsigned: bytes) -> None:
    before = state.path.read_bytes()
    assert witness.add_checkpoint(Submission(0, [], unsigned).as_bytes()).status == 403
    assert state.path.read_bytes() == before


@pytest.mark.parametrize("old", [0, 3, 6, 8])
def test_another_old_size_is_answered_409_with_the_one_that_it_has(witness: Witness, old: int) -> None:
    witness.add_checkpoint(body(0, 5))
    answer = witness.add_checkpoint(body(old, 8))
    assert (answer.status, answer.body, answer.media) == (409, b"5\n", SIZE_MEDIA)
    assert is_cosigned(witness.add_checkpoint(body(5, 8)), 8)


def test_a_smaller_tree_than_it_saw_is_answered_409(witness: Witness) -> None:
    witness.add_checkpoint(body(0, 8))
    for old in (0, 5):
        assert witness.add_checkpoint(body(old, 5)).status == 409
    assert witness.add_checkpoint(body(8, 5)).status == 400


@pytest.mark.parametrize("proof", [[], [bytes(32)], [bytes(32)] * 3])
def test_a_proof_that_does_not_hold_is_answered_422(witness: Witness, state: StateFile, proof: list[bytes]) -> None:
    witness.add_checkpoint(body(0, 5))
    before = state.path.read_bytes()
    assert witness.add_checkpoint(Submission(5, proof, note(8)).as_bytes()).status == 422
    assert state.path.read_bytes() == before


def test_a_rewritten_history_is_answered_422_whatever_its_proof(witness: Witness) -> None:
    witness.add_checkpoint(body(0, 5))
    assert witness.add_checkpoint(body(5, 8, "forged")).status == 422
    assert is_cosigned(witness.add_checkpoint(body(5, 8)), 8)


def test_a_first_checkpoint_with_a_proof_is_answered_422(witness: Witness) -> None:
    assert witness.add_checkpoint(Submission(0, [bytes(32)], note(1)).as_bytes()).status == 422


def test_two_roots_of_one_size_are_answered_409_and_both_are_kept(witness: Witness, state: StateFile) -> None:
    witness.add_checkpoint(body(0, 5))
    answer = witness.add_checkpoint(Submission(5, [], note(5, "forged")).as_bytes())
    assert (answer.status, answer.body, answer.media) == (409, b"5\n", SIZE_MEDIA)
    kept = {path.read_bytes() for path in state.path.parent.glob("*.fork-*")}
    assert kept == {note(5), note(5, "forged")}
    assert is_cosigned(witness.add_checkpoint(body(5, 5)), 5)


def test_evidence_does_not_fill_the_disk(witness: Witness, state: StateFile) -> None:
    witness.add_checkpoint(body(0, 5))
    for number in range(50):
        witness.add_checkpoint(Submission(5, [], note(5, f"forged{number}")).as_bytes())
    assert len([*state.path.parent.glob("*.fork-*")]) == 32


def test_an_empty_tree_with_another_root_is_not_cosigned(witness: Witness) -> None:
    forged = sign_note(Checkpoint(ORIGIN, 0, bytes(32)).text, ORIGIN, LOG)
    assert witness.add_checkpoint(Submission(0, [], forged).as_bytes()).status == 409


@given(st.binary() | st.binary().map(b"old 0\n\n".__add__) | st.text().map(lambda text: f"old 0\n{text}".encode()))
def test_no_bytes_make_the_reader_of_submissions_fail_otherwise_than_by_refusing(content: bytes) -> None:
    try:
        read_submission(content)
    except Invalid as refusal:
        assert refusal.code == "witness.request"


# --- time ---


def _time(answer: Answer) -> int:
    return time_of(base64.b64decode(answer.body.split()[-1])[4:])


def test_the_time_is_the_clock_s_and_never_goes_back(state: StateFile, witness: Witness, clock: ManualClock) -> None:
    noon = int(NOON.timestamp())
    assert _time(witness.add_checkpoint(body(0, 1))) == noon
    clock.advance(timedelta(hours=-2))
    assert _time(witness.add_checkpoint(body(1, 2))) == noon
    again = Witness(NAME, KEY, [VERIFIER], StateFile(state.path), clock)
    assert _time(again.add_checkpoint(body(2, 3))) == noon
    clock.advance(timedelta(hours=3))
    assert _time(again.add_checkpoint(body(3, 4))) == noon + 3600


# --- memory ---


def test_a_witness_remembers_over_a_restart(state: StateFile, witness: Witness, clock: ManualClock) -> None:
    witness.add_checkpoint(body(0, 5))
    again = Witness(NAME, KEY, [VERIFIER], StateFile(state.path), clock)
    assert again.add_checkpoint(body(0, 8, "forged")).body == b"5\n"
    assert again.add_checkpoint(body(5, 8, "forged")).status == 422


def test_a_memory_is_never_made_anew_over_an_old_one(state: StateFile, witness: Witness) -> None:
    witness.add_checkpoint(body(0, 5))
    before = state.path.read_bytes()
    with pytest.raises(Conflict) as refusal:
        StateFile(state.path).create()
    assert refusal.value.code == "witness.exists"
    assert state.path.read_bytes() == before


def test_a_witness_whose_memory_is_gone_does_not_start(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(NotFound) as refusal:
        Witness(NAME, KEY, [VERIFIER], StateFile(tmp_path / "none.state"), clock)
    assert refusal.value.code == "witness.missing"
    assert not (tmp_path / "none.state").exists()


def test_a_witness_whose_memory_goes_while_it_serves_cosigns_nothing_more(state: StateFile, witness: Witness) -> None:
    witness.add_checkpoint(body(0, 5))
    state.path.unlink()
    with pytest.raises(NotFound):
        witness.add_checkpoint(body(0, 8, "forged"))
    assert not state.path.exists()


def test_a_memory_damaged_in_any_byte_is_refused(state: StateFile, witness: Witness, clock: ManualClock) -> None:
    witness.add_checkpoint(body(0, 5))
    content = state.path.read_bytes()
    damaged = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content) - 1)]
    for each in (*damaged, b"", content[:-30], b"{}\n", b"[]\n", content + b"x", b"\xff"):
        state.path.write_bytes(each)
        with pytest.raises(Tampered) as refusal:
            Witness(NAME, KEY, [VERIFIER], StateFile(state.path), clock)
        assert refusal.value.code == "tampered.witness"


def test_what_a_crash_left_of_a_new_state_is_passed_over(state: StateFile, witness: Witness) -> None:
    witness.add_checkpoint(body(0, 5))
    state.path.with_name("witness.state.tmp").write_bytes(b"half a st")
    assert is_cosigned(witness.add_checkpoint(body(5, 8)), 8)


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_disk_that_fails_stops_the_witness_before_it_cosigns(
    state: StateFile, witness: Witness, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    witness.add_checkpoint(body(0, 5))
    with monkeypatch.context() as patch:
        patch.setattr(*{"replace": (Path, "replace", fail), "fsync": ("os.fsync", fail)}[step])
        with pytest.raises(Unavailable) as refusal:
            witness.add_checkpoint(body(5, 8))
    assert refusal.value.code == "witness.stopped"
    with pytest.raises(Unavailable):  # what the disk has is not known
        witness.add_checkpoint(body(5, 8))
    assert state.path.exists()


def test_of_many_threads_from_one_old_size_one_history_alone_is_cosigned(state: StateFile, clock: ManualClock) -> None:
    witnesses = [Witness(NAME, KEY, [VERIFIER], StateFile(state.path), clock) for _ in range(4)]
    histories = [f"history{number}" for number in range(12)]
    start = threading.Barrier(len(histories))

    def add(number: int) -> int:
        start.wait(10)
        return witnesses[number % 4].add_checkpoint(body(0, 5, histories[number])).status

    with ThreadPoolExecutor(len(histories)) as crowd:
        assert sorted(crowd.map(add, range(len(histories)))) == [200] + [409] * 11


_RACE = """
import sys
from pathlib import Path
from sandbox.audit.note import read_vkey
from sandbox.audit.witness import Witness
from sandbox.audit.witness_state import StateFile
from sandbox.core.clock import SystemClock
from sandbox.core.keys import key_from_seed
key, state = key_from_seed("w", b"\\2" * 32), StateFile(Path(sys.argv[3]))
witness = Witness(sys.argv[1], key, [read_vkey(sys.argv[2])], state, SystemClock())
sys.stdout.write(str(witness.add_checkpoint(Path(sys.argv[4]).read_bytes()).status))
"""


def test_of_two_processes_from_one_old_size_one_alone_advances(state: StateFile, tmp_path: Path) -> None:
    def add(history: str) -> str:
        request = tmp_path / history
        request.write_bytes(body(0, 5, history))
        words = [executable, "-c", _RACE, NAME, VERIFIER.vkey, str(state.path), str(request)]
        return run(words, capture_output=True, check=True, text=True).stdout

    with ThreadPoolExecutor(3) as crowd:
        assert sorted(crowd.map(add, ["one", "two", "three"])) == ["200", "409", "409"]


# --- its door ---


def asked(witness: Witness, method: str, path: str, content: bytes = b"") -> httpx2.Response:
    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(create_witness(witness))
        async with httpx2.AsyncClient(transport=transport, base_url="http://w") as http:
            return await http.request(method, path, content=content)

    return anyio.run(ask)


def test_the_door_answers_with_the_page_s_statuses_and_media(witness: Witness) -> None:
    answer = asked(witness, "POST", "/add-checkpoint", body(0, 5))
    assert (answer.status_code, is_cosigned(Answer(200, answer.content), 5)) == (200, True)
    conflict = asked(witness, "POST", "/add-checkpoint", body(0, 8))
    assert (conflict.status_code, conflict.content) == (409, b"5\n")
    assert conflict.headers["content-type"] == SIZE_MEDIA
    statuses = [asked(witness, "POST", "/add-checkpoint", each).status_code for each in (b"", body(5, 8, "forged"))]
    assert statuses == [400, 422]


def test_the_door_tells_the_key(witness: Witness) -> None:
    assert read_vkey(asked(witness, "GET", "/vkey").text).identity == cosigner(NAME, KEY.verify_key).identity


def test_a_submission_that_is_too_large_is_not_read(witness: Witness) -> None:
    assert asked(witness, "POST", "/add-checkpoint", b"x" * (MOST_BYTES + 1)).status_code == 400


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/add-checkpoint", 405), ("POST", "/", 404)])
def test_the_door_opens_for_nothing_else(witness: Witness, method: str, path: str, status: int) -> None:
    assert asked(witness, method, path).status_code == status


def test_the_door_says_when_the_memory_is_gone_and_nothing_of_where_it_was(state: StateFile, witness: Witness) -> None:
    state.path.write_bytes(b"damaged")
    answer = asked(witness, "POST", "/add-checkpoint", body(0, 5))
    assert (answer.status_code, answer.text) == (
        503,
        "This witness cannot check anything at present: tampered.witness\n",
    )


def test_a_name_that_no_note_can_hold_makes_no_witness(state: StateFile, clock: ManualClock) -> None:
    with pytest.raises(SandboxError):
        Witness("two words", KEY, [VERIFIER], state, clock)


def test_a_memory_is_not_made_while_another_is_at_work_on_it(tmp_path: Path) -> None:
    """Both would write the same draft, and the one at work would put the empty memory in place of its own."""
    state = StateFile(tmp_path / "state")
    state.create()
    with ThreadPoolExecutor(1) as other, state.alone():
        made = other.submit(StateFile(state.path).create)
        with pytest.raises(TimeoutError):
            made.result(0.1)
        state.store(state.read())
    with pytest.raises(Conflict):
        made.result()
