"""A regulator who knows nothing of the program walks the whole record: every command typed, every outcome met."""

import json
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox import bootstrap
from sandbox.core.clock import ManualClock, SystemClock
from sandbox.core.errors import SandboxError
from sandbox.exchange.witnessing import ask_witnesses
from sandbox.settings import load
from tests.served import serving
from tests.terminal import SANDBOX, Terminal, Today, environment
from tests.world import BUYER, INDEX, REGULATOR, TRIPS

LOG = ("home/log", "--vkey", "log.vkey")
SHOWN = ("--to", REGULATOR, "--basis", "D314-5(2)(c): thư 7/TT")


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a closed exchange that has sold one query and refused another."""
    folder = tmp_path_factory.mktemp("traded")
    world = Today(folder, ManualClock(SystemClock().now())).ready()
    (folder / "sold").write_text(world.query("SELECT noi FROM chi_so", dataset=INDEX).id)
    with pytest.raises(SandboxError) as refusal:
        world.query("SELECT bi_mat FROM chuyen_di", dataset=TRIPS)
    (folder / "refused").write_text(str(refusal.value.query))
    world.exchange.close()
    return folder


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Terminal:
    """The exchange's home, and beside it all that the regulator was handed: one key file."""
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "home" / "log.vkey", tmp_path / "log.vkey")
    return Terminal(tmp_path)


@contextmanager
def witness(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A witness in a process of its own: the line for a trust policy that it says itself, and the process."""
    line = [*SANDBOX, "witness", "serve", "--state", "w.state", "--key", "witness.jwk", "--log", "log.vkey"]
    process = subprocess.Popen(
        [*line, "--port", "0"], cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stderr
    try:
        process.stderr.readline()
        yield process.stderr.readline().rpartition("policy: ")[2].replace("LABEL", "w1"), process
    finally:
        process.terminate()
        process.communicate(timeout=10)


def asked(desk: Terminal, home: str = "home") -> int:
    """How many witnesses cosign the exchange's log, when it asks them as it does while it serves."""
    with bootstrap.build(load(desk.folder / home)) as exchange:
        return ask_witnesses(exchange.house)


def top_up(desk: Terminal, home: str, vnd: int) -> None:
    desk.run("wallet", "top-up", BUYER, str(vnd), "--evidence", f"UNC-{vnd}", "--home", home)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_first_visit_a_second_one_and_the_money_to_the_dong(desk: Terminal) -> None:
    first = desk.run("verify", "log", *LOG)
    assert first.stdout.startswith("✓ verified: ")
    assert "from now on each visit proves" in first.stdout
    assert first.stderr == ""
    top_up(desk, "home", 5000)
    again = desk.run("verify", "log", *LOG, "--replay")
    assert "of your last visit (log.vkey.seen)" in again.stdout
    assert "topped up 205000" in again.stdout
    (desk.folder / "books.json").write_text(desk.run("audit", "books").stdout)
    assert "books: equal" in desk.run("verify", "log", *LOG, "--books", "books.json").stdout
    books = json.loads((desk.folder / "books.json").read_text())
    books["ledger"]["paid"] += 1
    desk.write("wrong.json", books)
    wrong = desk.run("verify", "log", *LOG, "--books", "wrong.json", code=7).stderr
    assert wrong.startswith("✗ MISMATCH: ")
    assert "ledger.paid" in wrong
    assert "Keep the books" in wrong


def test_the_same_over_http_and_what_a_wrong_address_says(desk: Terminal) -> None:
    with serving(desk.folder / "home" / "log") as served:
        assert "✓ verified" in desk.run("verify", "log", served.url, "--vkey", "log.vkey").stdout
        wrong = desk.run("verify", "log", f"{served.url}/log", "--vkey", "log.vkey", code=8).stderr
    assert wrong.startswith("✗ could not check: ")
    assert "/log" in wrong
    assert (
        "verify.address" in desk.run("verify", "log", "ftp://san.example.vn/log", "--vkey", "log.vkey", code=2).stderr
    )


def test_each_outcome_has_its_words_and_its_exit_code(desk: Terminal) -> None:
    copy = desk.folder / "copy"
    shutil.copytree(desk.folder / "home" / "log", copy)
    words = ("verify", "log", "copy", "--vkey", "log.vkey", "--no-keep")
    size = json.loads(desk.run(*words, "--json").stdout)["size"]
    bundle, tile = copy / f"tile/entries/000.p/{size}", copy / f"tile/0/000.p/{size}"
    flip(bundle, 40)
    changed = desk.run(*words, code=7)
    assert (changed.stdout, changed.stderr[:11]) == ("", "✗ MISMATCH:")
    flip(bundle, 40)
    tile.rename(copy / "aside")
    assert desk.run(*words, code=8).stderr.startswith("✗ could not check: ")
    (copy / "aside").rename(tile)
    told = desk.run("disclose", "--entries", "0..3", *SHOWN, "--out", "shown.ndjson")
    assert "sandbox verify disclosure" in told.stderr
    early = desk.run("verify", "disclosure", "shown.ndjson", "--log", "copy", "--vkey", "log.vkey", code=9).stderr
    assert early.startswith("✗ not covered yet: ")
    assert "✓ verified: entries 0 to 3" in desk.run("verify", "disclosure", "shown.ndjson", "--log", *LOG).stdout


def test_a_witness_of_the_regulator_s_own_is_asked_and_notices_what_nobody_else_would(desk: Terminal) -> None:
    desk.run("witness", "keygen", "regulator.example.vn/w1")
    desk.run("witness", "init", "--state", "w.state")
    with witness(desk.folder) as (line, process):
        vkey = (desk.folder / "log.vkey").read_text()
        (desk.folder / "policy").write_text(f"log {vkey}{line}quorum w1\n")
        with (desk.folder / "home/sandbox.toml").open("a") as settings:
            settings.write(f"witness_policy = {str(desk.folder / 'policy')!r}\n")
        policy = ("--policy", "policy")
        alone = desk.run("verify", "log", "home/log", *policy, code=9).stderr
        assert "not covered yet" in alone
        assert "w1" in alone
        assert asked(desk) == 1
        assert "cosigned by w1 at 20" in desk.run("verify", "log", "home/log", *policy).stdout
        assert "witnesses: 1 of 1" in desk.run("log", "status").stdout
        # the operator puts an old copy back, and lets it go on another way
        shutil.copytree(desk.folder / "home", desk.folder / "old")
        top_up(desk, "home", 5000)
        assert asked(desk) == 1
        top_up(desk, "old", 6000)
        assert asked(desk, "old") == 0
        assert "ALARM w1" in desk.run("log", "status", "--home", "old").stdout
        assert "not covered yet" in desk.run("verify", "log", "old/log", *policy, code=9).stderr
        assert process.stderr
        assert "has signed two histories" in process.stderr.readline()
    assert len([*desk.folder.glob("w.state.fork-*")]) == 2


def test_a_restored_copy_that_went_on_another_way_is_a_fork_and_both_checkpoints_prove_it(desk: Terminal) -> None:
    shutil.copytree(desk.folder / "home", desk.folder / "old")
    top_up(desk, "home", 5000)
    desk.run("verify", "log", *LOG)
    kept = (desk.folder / "log.vkey.seen").read_bytes()
    top_up(desk, "old", 6000)
    fork = desk.run("verify", "log", "old/log", "--vkey", "log.vkey", code=7).stderr
    assert fork.startswith("✗ MISMATCH: ")
    assert "verify.fork" in fork
    assert "Tell the regulator" in fork
    assert len([*desk.folder.glob("log.vkey.fork-*")]) == 2
    assert (desk.folder / "log.vkey.seen").read_bytes() == kept
    desk.run("verify", "log", *LOG)


def test_a_query_is_found_read_packed_and_judged_and_stays_so_when_values_are_erased(desk: Terminal) -> None:
    sold, refused = ((desk.folder / name).read_text() for name in ("sold", "refused"))
    assert refused in desk.run("audit", "search", "--type", "query.refused", "--actor", BUYER).stdout
    shown = desk.run("audit", "show", sold)
    assert "characters; all of it with --json" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) < 700
    entry = json.loads(desk.run("audit", "show", sold, "--json").stdout)[-1]["entry"]["id"]
    desk.run("audit", "export", "--out", "all.ndjson")
    assert "complete_to" in (desk.folder / "all.ndjson").read_text().splitlines()[-1]
    for name, query in (("sold", sold), ("refused", refused)):
        desk.run("audit", "pack", query, "--out", f"{name}.zip")
        judged = desk.run("verify", "pack", f"{name}.zip", "--vkey", "log.vkey", "--log", "home/log").stdout
        assert f"✓ verified: decision of {query}" in judged
    with zipfile.ZipFile(desk.folder / "sold.zip") as pack:
        (desk.folder / "receipt.json").write_bytes(pack.read("receipts/outcome.json"))
    receipt = ("verify", "receipt", "receipt.json", "--vkey", "log.vkey")
    assert f'query: "{sold}"' in desk.run(*receipt).stdout
    desk.run("erase", entry, "sql", "--basis", "PDPL-12(1): đơn 12")
    assert "sql PDPL-12(1): đơn 12" in desk.run("audit", "search", "--entry", entry).stdout
    assert "sql: erased" in desk.run("audit", "show", sold).stdout
    assert "✓ verified" in desk.run(*receipt, "--log", "home/log").stdout
    desk.run("audit", "pack", sold, "--out", "later.zip")
    later = desk.run("verify", "pack", "later.zip", "--vkey", "log.vkey", "--log", "home/log").stdout
    assert f"erased, as the log tells: sql of {entry}" in later
    assert "equal: " in later


def test_who_signed_a_receipt_is_part_of_what_is_checked(desk: Terminal) -> None:
    desk.run("audit", "pack", (desk.folder / "sold").read_text(), "--out", "sold.zip")
    with zipfile.ZipFile(desk.folder / "sold.zip") as pack:
        (desk.folder / "receipt.json").write_bytes(pack.read("receipts/outcome.json"))
    desk.run("keygen", "stranger")
    receipt = ("verify", "receipt", "receipt.json", "--vkey", "log.vkey", "--signer")
    assert "signed by" in desk.run(*receipt, "home/keys/exchange.pub.jwk").stdout
    assert "MISMATCH" in desk.run(*receipt, "stranger.pub.jwk", code=7).stderr
    assert "is no key file" in desk.run(*receipt, "log.vkey", code=2).stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("verify", "log", "home/log"), 2, "--vkey FILE or --policy FILE"),
        (("verify", "log", "home/log", "--vkey", "nowhere"), 5, "There is no file"),
        (("verify", "log", "home/log", "--vkey", "sold"), 2, "not a vkey"),
        (("verify", "receipt", "sold", "--vkey", "log.vkey"), 2, "This is not a sandbox.receipt/v1"),
        (("verify", "pack", "sold", "--vkey", "log.vkey"), 2, "no evidence pack"),
        (("verify", "disclosure", "sold", "--log", "home/log", "--vkey", "log.vkey"), 2, "Line 1"),
        (("witness", "keygen", "a name"), 2, "no space"),
        (("witness", "keygen", "w1", "--out", "nowhere/w.jwk"), 2, "file.unwritable"),
        (("witness", "init", "--state", "nowhere/w.state"), 2, "file.unwritable"),
        (("audit", "search", "--limit", "0"), 2, "cursor"),
        (("audit", "search", "--type", "query"), 2, "query.refused"),
        (("audit", "search", "--reveal"), 2, "--json"),
        (("audit", "export", "--out", "all.csv"), 2, "FILE.parquet"),
        (("audit", "show", "99999"), 5, "sandbox audit search"),
        (("erase", "0", "sql"), 2, "--basis CODE"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else None,
)
def test_what_is_typed_wrong_is_answered_with_a_way_out(
    desk: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in desk.run(*words, code=code).stderr


def test_an_address_that_is_taken_is_no_riddle(desk: Terminal) -> None:
    desk.run("witness", "keygen", "w1")
    desk.run("witness", "init", "--state", "w.state")
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = str(door.getsockname()[1])
        serve = ("witness", "serve", "--state", "w.state", "--key", "witness.jwk", "--log", "log.vkey")
        for words in (serve, ("serve",)):
            refused = desk.run(*words, "--port", port, code=8).stderr
            assert "address.taken" in refused
            assert "✓" not in refused


def test_nothing_missing_is_said_to_machines_too(desk: Terminal) -> None:
    assert json.loads(desk.run("log", "recover", "--json").stdout) == {"entries": {}}
