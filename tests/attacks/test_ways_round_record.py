"""Ways round the record on a verifier's own machine: folders, receipts, packs and policies made to deceive."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.disclosure import DISCLOSURE
from sandbox.audit.events import seal
from sandbox.audit.evidence import verify_pack
from sandbox.audit.kept import Kept
from sandbox.audit.layout import node_of
from sandbox.audit.merkle import inclusion_proof
from sandbox.audit.note import ED25519_COSIGNATURE, b64, cosign, verifier_key
from sandbox.audit.pack import packed, unpacked
from sandbox.audit.proof import Proof
from sandbox.audit.quorum import read_policy
from sandbox.audit.replay import Exported
from sandbox.audit.source import Folder
from sandbox.audit.verify import verify_log, verify_receipt
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import Invalid, SandboxError, Tampered
from sandbox.core.keys import b64url, key_from_seed
from tests.logs import LOG_KEY, ORIGIN, checkpoint, write_log
from tests.terminal import Ended, command, environment
from tests.trying import refused
from tests.world import REGULATOR, World

VKEY = verifier_key(ORIGIN, LOG_KEY.verify_key)
WITNESS, NAME = key_from_seed("witness", b"\2" * 32), "regulator.example.vn/w1"
SALT = bytes(32)
ESCAPES = "\x1b]0;owned\x07\x9b31m\u202e\n✓ verified: 9 entries"
HOSTILE = frozenset("\x1b\x07\x9b\u202e\x7f")
Run = Callable[..., Ended]


def entry(number: int, **clear: Any) -> dict[str, Any]:
    return {"v": 1, "id": f"ent_{number}", "ts": "2026-11-22T05:00:00.123456Z", "sealed": {}} | clear


def published(folder: Path, *entries: dict[str, Any]) -> list[bytes]:
    """A log of these entries, and its key beside it."""
    leaves = [canonical(each) for each in entries]
    write_log(folder / "log", leaves)
    (folder / "log.vkey").write_text(VKEY + "\n")
    return leaves


def receipt(folder: Path, leaves: Sequence[bytes], index: int, **reveal: Any) -> bytes:
    hashes = inclusion_proof(index, len(leaves), node_of(len(leaves), Exported(Folder(folder / "log")).tile))
    proof = Proof(index, tuple(hashes), (folder / "log/checkpoint").read_bytes()).as_text()
    shown = {name: {"salt": b64url(SALT), "value": value} for name, value in reveal.items()}
    document = {"type": "sandbox.receipt/v1", "entry": parse(leaves[index]), "reveal": shown, "proof": proof}
    return canonical(document | {"signatures": []})


def disclosure(folder: Path, first: int, last: int, *lines: dict[str, Any], names: list[str] | None = None) -> bytes:
    note = (folder / "log/checkpoint").read_text()
    head = {"type": DISCLOSURE, "origin": ORIGIN, "from": first, "to": last, "names": names, "checkpoint": note}
    return b"".join(canonical(each) + b"\n" for each in (head, *lines))


def evidence(folder: Path, leaves: Sequence[bytes], decision: int, outcome: int | None = None) -> bytes:
    """A pack of two entries of a log that name no documents and seal nothing."""
    places = {"decision": decision} | ({} if outcome is None else {"outcome": outcome})
    files = {f"receipts/{name}.json": receipt(folder, leaves, at) for name, at in places.items()}
    files |= {f"disclosures/{name}.ndjson": disclosure(folder, at, at) for name, at in places.items()}
    return packed("q1", files)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``sandbox verify`` with the log's key, which never crashes and says nothing that a terminal would obey."""

    def run_(*words: str, code: int) -> Ended:
        done = command(tmp_path, ["verify", *words, "--vkey", "log.vkey"], environment())
        assert done.returncode == code, done.stderr
        assert not HOSTILE & {*done.stdout, *done.stderr}
        return done

    return run_


# --- a folder that was made to be verified ---
@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"])
def test_a_pipe_or_a_device_among_the_files_is_not_waited_for(tmp_path: Path, run: Run, name: str) -> None:
    published(tmp_path, entry(0, type="x"), entry(1, type="x"))
    file = tmp_path / "log" / name
    file.unlink()
    os.mkfifo(file)
    assert "could not check" in run("log", "log", code=8).stderr
    file.unlink()
    file.symlink_to("/dev/zero")
    assert "no plain file" in run("log", "log", code=8).stderr
    file.unlink()
    file.mkdir()
    run("log", "log", code=8)


def test_a_log_under_a_new_key_of_the_old_name_is_another_log(tmp_path: Path, run: Run) -> None:
    leaves = published(tmp_path, entry(0, type="x"))
    given = receipt(tmp_path, leaves, 0)
    root = verify_log(tmp_path / "log", VKEY).root
    forged = checkpoint(1, root, key_from_seed("log", b"\7" * 32))
    (tmp_path / "log/checkpoint").write_bytes(forged)
    assert run("log", "log", code=7).stderr.startswith("✗ MISMATCH")
    document: dict[str, Any] = parse(given)
    document["proof"] = document["proof"].partition("\n\n")[0] + "\n\n" + forged.decode()
    with pytest.raises(Tampered):
        verify_receipt(canonical(document), VKEY)


@pytest.mark.parametrize(
    "ts", ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9Z", "2026-11-22T29:00:00.000000Z", "2026-13-01", ""]
)
def test_a_sale_at_the_end_of_the_calendar_is_named_and_crashes_nobody(tmp_path: Path, run: Run, ts: str) -> None:
    meter = {"rows_out": 1, "bytes_out": 1, "vnd": 5}
    sale = entry(0, type="query.completed", query="q1", agreements=[{"id": "a", "vnd": 5}], meter=meter)
    published(tmp_path, sale | {"ts": ts})
    run("log", "log", code=0)
    assert "[entry.malformed]" in run("log", "log", "--replay", code=2).stderr


# --- what is printed ---
def test_no_name_kind_or_value_of_a_receipt_speaks_to_the_terminal_or_adds_a_line(tmp_path: Path, run: Run) -> None:
    name = f"n{ESCAPES}".encode("ascii", "ignore").decode()
    leaves = published(tmp_path, entry(0, type=f"x{ESCAPES}", sealed={name: seal(name, SALT, canonical(ESCAPES))}))
    (tmp_path / "r.json").write_bytes(receipt(tmp_path, leaves, 0, **{name: ESCAPES}))
    for line in run("receipt", "r.json", code=0).stdout.splitlines()[1:]:
        assert not line.startswith("✓")
    told = json.loads(run("receipt", "r.json", "--json", code=0).stdout)
    assert told["revealed"] == {name: ESCAPES}  # escaped, and the same
    run("log", "log", "--replay", code=0)
    run("log", "log", "--replay", "--json", code=0)


def test_no_member_named_by_a_disclosure_and_no_key_of_books_speaks_to_the_terminal(tmp_path: Path, run: Run) -> None:
    published(tmp_path, entry(0, type="x"))
    (tmp_path / "d.ndjson").write_bytes(disclosure(tmp_path, 0, 0, names=[ESCAPES]))
    for also in ([], ["--json"]):
        done = run("disclosure", "d.ndjson", "--log", "log", *also, code=0)
        assert not any(line.startswith("✓ verified: 9") for line in done.stdout.splitlines())
    key = "a\x1b[2J\x7f"
    books = {"type": "sandbox.books/v1", "size": 1, "volume": {}, "by_day": {key: {"count": 1}}, "by_agreement": {}}
    (tmp_path / "books.json").write_bytes(canonical(books | {"ledger": {}}))
    for also in ([], ["--json"]):
        assert "MISMATCH" in run("log", "log", "--books", "books.json", *also, code=7).stderr


# --- documents ---
ODD = {
    "deep": b'{"a":' * 100_000,
    "a number of many digits": b'{"a":' + b"9" * 5_000 + b"}",
    "a number beyond 2^53": b'{"a":9007199254740993}',
    "infinite": b'{"a":1e999}',
    "not a number": b'{"a":NaN}',
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "a zero byte": b'{"a":"\\u0000"}',
    "half a character": b'{"a":"\\ud800"}',
    "a key twice": b'{"type":"sandbox.receipt/v1","type":"sandbox.receipt/v1"}',
    "a list": b"[]",
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("kind", ["receipt", "pack", "disclosure", "log"])
def test_odd_documents_are_refused_in_words(tmp_path: Path, run: Run, kind: str, content: bytes) -> None:
    published(tmp_path, entry(0, type="x"))
    (tmp_path / "odd").write_bytes(content)
    words = {"disclosure": ["odd", "--log", "log"], "log": ["log", "--books", "odd"]}.get(kind, ["odd"])
    assert run(kind, *words, code=2).stderr.startswith("✗ ")


@pytest.mark.parametrize("kind", ["receipt", "pack"])
def test_a_file_longer_than_memory_is_not_read(tmp_path: Path, run: Run, kind: str) -> None:
    published(tmp_path, entry(0, type="x"))
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(1 << 40)
    assert "[file.unreadable]" in run(kind, "endless", code=2).stderr


@pytest.mark.parametrize("member", ["entry", "meter", "proof", "index", "reveal"])
def test_a_receipt_in_which_anything_else_is_told_does_not_verify(tmp_path: Path, member: str) -> None:
    sealed = {"sql": seal("sql", SALT, canonical("SELECT 1")), "purpose": seal("purpose", SALT, canonical("SELECT 1"))}
    told = {"type": "query.completed", "meter": {"rows_out": 1, "bytes_out": 1, "vnd": 5}, "sealed": sealed}
    leaves = published(tmp_path, entry(0, type="x"), entry(1, **told), entry(2, type="x"))
    document: dict[str, Any] = parse(receipt(tmp_path, leaves, 1, sql="SELECT 1"))
    verify_receipt(canonical(document), VKEY)
    changes: dict[str, Callable[[], object]] = {
        "entry": lambda: document["entry"].update(v=1, id="ent_0"),
        "meter": lambda: document["entry"]["meter"].update(vnd=4),
        "proof": lambda: document.update(proof=document["proof"].replace("\n3\n", "\n2\n")),
        "index": lambda: document.update(proof=document["proof"].replace("index 1", "index 2")),
        "reveal": lambda: document["reveal"].update(purpose={"salt": b64url(SALT), "value": "SELECT 2"}),
    }
    changes[member]()
    with pytest.raises(Tampered):
        verify_receipt(canonical(document), VKEY)


@pytest.mark.parametrize("names", [[{}], {"a": 1}, [["a"]], "a", None, 7])
def test_an_erasure_told_in_an_odd_form_is_a_mismatch(tmp_path: Path, run: Run, names: Any) -> None:
    published(tmp_path, entry(0, type="x", sealed={"a": "b"}), entry(1, type="body.erased", entry={}, names=names))
    gone = {"by": 1, "entry": "ent_0", "erased": True, "index": 0, "name": "a"}
    (tmp_path / "d.ndjson").write_bytes(disclosure(tmp_path, 0, 0, gone))
    assert "MISMATCH" in run("disclosure", "d.ndjson", "--log", "log", code=7).stderr


# --- packs ---
@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, ready_world: World) -> tuple[str, bytes]:
    """The log's key, and the pack of a completed query."""
    world = ready_world.copy_to(tmp_path_factory.mktemp("given"))
    content = world.exchange.evidence(world.who(REGULATOR).participant, world.query().id)
    world.exchange.close()
    return world.vkey, content


def _hidden(content: bytes) -> bytes:
    """A file in front that no listing names, and that whoever reads from the beginning finds first."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("receipts/decision.json", b"{}")
    return made.getvalue().partition(b"PK\1\2")[0] + content


BESIDE: dict[str, Callable[[bytes], bytes]] = {
    "before": lambda content: b"#!/bin/sh\necho owned\n" + content,
    "a hidden file": _hidden,
    "a comment": lambda content: content[:-2] + b"\4\0\x1b[2J",
    "behind": lambda content: content + b"more",
    "two archives": lambda content: content + content,
}


@pytest.mark.parametrize("change", BESIDE.values(), ids=BESIDE.keys())
def test_a_pack_that_another_reader_would_read_otherwise_is_refused(
    given: tuple[str, bytes], change: Callable[[bytes], bytes]
) -> None:
    vkey, content = given
    verify_pack(content, vkey)
    assert refused(lambda: verify_pack(change(content), vkey)).code == "pack.malformed"


def test_no_bit_of_a_pack_changes_what_is_in_it(given: tuple[str, bytes]) -> None:
    _, content = given
    whole = unpacked(content)
    for place in range(0, len(content), 401):
        changed = content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        try:
            assert unpacked(changed) == whole
        except SandboxError:
            continue


def test_a_descriptor_whose_manifest_is_left_out_is_not_taken_along(given: tuple[str, bytes]) -> None:
    vkey, content = given
    query, files = unpacked(content)
    left = {path: text for path, text in files.items() if not path.startswith("datasets/")}
    assert verify_pack(packed(query, left), vkey).absent
    name = next(path for path in files if path.endswith("/descriptor.json"))
    assert refused(lambda: verify_pack(packed(query, {**left, name: b"{}"}), vkey)).code == "verify.mismatch"


def test_a_pack_from_which_the_outcome_was_taken_says_so(given: tuple[str, bytes]) -> None:
    vkey, content = given
    query, files = unpacked(content)
    left = {path: text for path, text in files.items() if "outcome" not in path}
    assert any("outcome" in each for each in verify_pack(packed(query, left), vkey).absent)


def test_an_outcome_before_its_decision_or_of_another_query_makes_no_pack(tmp_path: Path) -> None:
    kinds = [("query.completed", "q1"), ("query.authorized", "q1"), ("query.completed", "q2"), ("query.failed", "q1")]
    leaves = published(tmp_path, *(entry(at, type=kind, query=query) for at, (kind, query) in enumerate(kinds)))
    assert verify_pack(evidence(tmp_path, leaves, 1, 3), VKEY).query == "q1"
    for decision, outcome in ((1, 0), (1, 2), (0, 3), (3, None)):
        content = evidence(tmp_path, leaves, decision, outcome)
        with pytest.raises(Tampered):
            verify_pack(content, VKEY)


@pytest.mark.parametrize("reasons", [7, [{}], "CONT-03", {"CONT-03": 1}, [None]])
def test_reasons_of_odd_types_are_a_mismatch(tmp_path: Path, run: Run, reasons: Any) -> None:
    policy = {"bundle": "sha256:a", "decision": "deny"}
    leaves = published(tmp_path, entry(0, type="query.refused", query="q1", policy=policy, reasons=reasons))
    (tmp_path / "p.zip").write_bytes(evidence(tmp_path, leaves, 0))
    run("pack", "p.zip", code=7)


# --- what a verifier keeps and trusts ---
def test_signatures_of_strangers_do_not_take_the_place_of_a_cosignature_kept(tmp_path: Path) -> None:
    published(tmp_path, entry(0, type="x"))
    note = (tmp_path / "log/checkpoint").read_bytes()
    seen = cosign(note, NAME, WITNESS, 1_795_341_600)
    kept = Kept(tmp_path / "log.vkey")
    assert kept.advance(None, seen)
    junk = note + b"".join(f"— stranger{n} {b64(bytes([n] * 68))}\n".encode() for n in range(9))
    assert not kept.advance(seen, junk)
    assert kept.path.read_bytes() == seen


def _policy(*lines: str) -> str:
    witness = verifier_key(NAME, WITNESS.verify_key, ED25519_COSIGNATURE)
    return "\n".join([f"log {VKEY}", f"witness w {witness}", *lines])


POLICIES = {
    "a million groups": _policy(*(f"group g{n} any w" for n in range(1_000_000))),
    "groups upon groups": _policy("group g0 any w", *(f"group g{n + 1} any g{n}" for n in range(900)), "quorum g900"),
    "a cycle": _policy("group a any b", "group b any a", "quorum a"),
    "itself": _policy("group a any a", "quorum a"),
    "a million members": _policy("group a any " + "w " * 400_000, "quorum a"),
    "a count of many digits": _policy(f"group a {'9' * 900_000} w", "quorum a"),
    "more than there are": _policy("group a 2 w", "quorum a"),
    "one witness twice": _policy("group a 2 w w", "quorum a"),
    "none of them": _policy("group a 0 w", "quorum a"),
    "two quorums": _policy("quorum w", "quorum none"),
    "no quorum": _policy(),
    "a terminal's words": _policy("quorum \x1b[2J"),
}


@pytest.mark.parametrize("text", POLICIES.values(), ids=POLICIES.keys())
def test_a_policy_that_is_endless_or_loops_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_policy(text)
