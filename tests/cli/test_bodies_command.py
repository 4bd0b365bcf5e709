"""Sealed values at the terminal: erased, disclosed, packed as evidence, and each of these checked by a stranger."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from sandbox.audit.pack import packed, unpacked
from sandbox.cli.bodies import new_file
from sandbox.core.clock import ManualClock, SystemClock
from sandbox.core.errors import Conflict, Invalid
from tests.terminal import Terminal, Today
from tests.world import BUYER, INDEX, REGULATOR, World

BASIS = ("--basis", "D314-4(6): thư 12/CV")
SHOWN = ("--basis", "D314-5(2)(c)", "--to", REGULATOR)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a closed exchange in which one query was answered, and that query."""
    folder = tmp_path_factory.mktemp("traded")
    world: World = Today(folder, ManualClock(SystemClock().now()))
    world.publish(INDEX)
    world.agree(INDEX)
    query = world.query("SELECT noi FROM chi_so", dataset=INDEX).id
    world.exchange.close()
    return folder, query


@pytest.fixture
def terminal(traded: tuple[Path, str], tmp_path: Path) -> Terminal:
    shutil.copytree(traded[0], tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "home" / "log.vkey", tmp_path / "log.vkey")
    return Terminal(tmp_path)


@pytest.fixture
def query(traded: tuple[Path, str]) -> str:
    return traded[1]


def entry_of(terminal: Terminal, query: str, kind: str) -> str:
    found = json.loads(terminal.run("audit", "show", query, "--json").stdout)
    return str(next(each["entry"]["id"] for each in found if each["entry"]["type"] == kind))


def test_values_are_erased_and_all_else_verifies_on(terminal: Terminal, query: str) -> None:
    entry = entry_of(terminal, query, "query.completed")
    done = terminal.run("erase", entry, "sql", "actor", *BASIS)
    assert f"erased of {entry}: actor, sql" in done.stderr
    assert "VACUUM" not in done.stderr
    again = terminal.run("erase", entry, "sql", *BASIS, code=5)
    assert "body.unknown" in again.stderr
    terminal.run("verify", "log", "home/log", "--vkey", "log.vkey")
    assert json.loads(terminal.run("erase", "--scrub", "--json").stdout) == {"erased": [], "scrubbed": True}


def test_all_that_names_a_participant_is_erased_by_one_command(terminal: Terminal) -> None:
    told = json.loads(terminal.run("erase", "--participant", BUYER, *BASIS, "--json").stdout)
    assert told["scrubbed"]
    assert {"actor", "question", "participant", "tax_code"} <= {
        name for each in told["erased"] for name in each["names"]
    }
    assert b'"' + BUYER.encode() + b'"' not in terminal.run("audit", "search", "--json", "--reveal").stdout.encode()


def test_an_erasure_that_says_too_little_or_too_much_is_refused(terminal: Terminal, query: str) -> None:
    entry = entry_of(terminal, query, "query.completed")
    wrong = [("erase",), ("erase", entry, *BASIS), ("erase", entry, "sql"), ("erase", "--participant", BUYER)]
    wrong += [("erase", entry, "sql", "--participant", BUYER, *BASIS), ("erase", entry, "sql", "--basis", "because")]
    wrong += [("erase", entry, "meter", *BASIS), ("erase", entry, "sql", "--scrub", *BASIS)]
    for words in wrong:
        assert "→" in terminal.run(*words, code=2).stderr, words


def test_a_disclosure_is_written_once_and_verified_by_a_stranger(terminal: Terminal) -> None:
    terminal.run("disclose", "--entries", "0..5", *SHOWN, "--out", "shown.ndjson")
    assert (terminal.folder / "shown.ndjson").stat().st_mode & 0o777 == 0o600
    words = ("verify", "disclosure", "shown.ndjson", "--log", "home/log", "--vkey", "log.vkey")
    assert "verified: entries 0 to 5" in terminal.run(*words).stdout
    assert json.loads(terminal.run(*words, "--json").stdout)["entries"] == 6
    again = terminal.run("disclose", "--entries", "0..5", *SHOWN, "--out", "shown.ndjson", code=6)
    assert "file.exists" in again.stderr


def test_a_forged_disclosure_ends_with_the_exit_code_of_a_mismatch(terminal: Terminal) -> None:
    terminal.run("disclose", "--entries", "0..9", "--names", "participant", *SHOWN, "--out", "shown.ndjson")
    shown = terminal.folder / "shown.ndjson"
    shown.write_bytes(shown.read_bytes().replace(b'"value":"', b'"value":"x'))
    words = ("verify", "disclosure", "shown.ndjson", "--log", "home/log")
    assert "MISMATCH" in terminal.run(*words, "--vkey", "log.vkey", code=7).stderr
    terminal.run(*words, code=2)
    terminal.run("verify", "disclosure", "none", "--log", "home/log", "--vkey", "log.vkey", code=5)
    terminal.run("verify", "disclosure", "shown.ndjson", "--log", "nowhere", "--vkey", "log.vkey", code=8)


def test_a_disclosure_that_is_refused_leaves_neither_file_nor_entry(terminal: Terminal) -> None:
    size = json.loads(terminal.run("audit", "books").stdout)["size"]
    wrong = [("--entries", "9..1", *SHOWN), ("--entries", "x", *SHOWN), ("--entries", "0..99999", *SHOWN)]
    wrong += [("--entries", "0..1", "--names", " , ", *SHOWN)]
    for words in wrong:
        assert "disclosure.range" in terminal.run("disclose", *words, "--out", "shown", code=2).stderr
    refused = terminal.run("disclose", "--entries", "0", *SHOWN[:3], BUYER, "--out", "shown", code=4)
    assert "disclosure.recipient" in refused.stderr
    assert not [*terminal.folder.glob("*shown*")]
    assert json.loads(terminal.run("audit", "books").stdout)["size"] == size


def test_a_pack_is_written_once_and_judged_by_a_stranger(terminal: Terminal, query: str) -> None:
    terminal.run("audit", "pack", query, "--out", "evidence.zip")
    words = ("verify", "pack", "evidence.zip", "--vkey", "log.vkey")
    told = terminal.run(*words)
    assert told.stdout.count("equal: ent_") == 2
    assert f"verified: decision of {query}" in told.stdout
    document = json.loads(terminal.run(*words, "--log", "home/log", "--json").stdout)
    assert document["verified"]
    assert {each["outcome"] for each in document["decisions"]} == {"equal"}
    terminal.run("audit", "pack", query, "--out", "evidence.zip", code=6)
    terminal.run("audit", "pack", "qry_none", "--out", "none.zip", code=5)
    assert not [*terminal.folder.glob("*none*")]


def test_a_pack_that_was_tampered_with_ends_with_the_exit_code_of_a_mismatch(terminal: Terminal, query: str) -> None:
    terminal.run("audit", "pack", query, "--out", "evidence.zip")
    path = terminal.folder / "evidence.zip"
    name, files = unpacked(path.read_bytes())
    descriptor = next(each for each in files if each.endswith("descriptor.json"))
    path.write_bytes(packed(name, files | {descriptor: files[descriptor] + b" "}))
    refused = terminal.run("verify", "pack", "evidence.zip", "--vkey", "log.vkey", code=7)
    assert "MISMATCH" in refused.stderr
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil", b"")
    terminal.run("verify", "pack", "evidence.zip", "--vkey", "log.vkey", code=2)


def test_a_file_is_there_whole_and_for_its_owner_alone_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def interrupted() -> None:
        with new_file(out) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert [*tmp_path.iterdir()] == []
    with new_file(out) as file:
        file.write(b"whole")
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (b"whole", 0o600)
    with pytest.raises(Conflict), new_file(out):
        pass
    with pytest.raises(Invalid), new_file(tmp_path / "no" / "out"):
        pass
