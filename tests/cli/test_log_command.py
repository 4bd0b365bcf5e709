"""``sandbox log`` says how the log stands, publishes it, and brings back what a restored database has lost."""

import json
import shutil
from pathlib import Path

import pytest

from sandbox.core.clock import SystemClock
from tests.forging import forge
from tests.terminal import Terminal, Today
from tests.world import BUYER, World


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A closed exchange on this machine's clock."""
    made = Today(tmp_path_factory.mktemp("closed"), clock=SystemClock())  # type: ignore[arg-type]
    made.exchange.close()
    return made


@pytest.fixture
def shell(tmp_path: Path, closed: World) -> Terminal:
    shutil.copytree(closed.home, tmp_path / "home")
    return Terminal(tmp_path)


@pytest.fixture
def set_back(shell: Terminal) -> Terminal:
    """The database was put back as it was before two entries that are published."""
    home = shell.folder / "home"
    shutil.copy(home / "exchange.db", shell.folder / "backup.db")
    shell.run("wallet", "top-up", BUYER, "5000", "--evidence", "UNC-2")
    shell.run("wallet", "top-up", BUYER, "6000", "--evidence", "UNC-3")
    for name in home.glob("exchange.db*"):
        name.unlink()
    shutil.copy(shell.folder / "backup.db", home / "exchange.db")
    return shell


def sizes(shell: Terminal, code: int = 0) -> list[int | None]:
    said = json.loads(shell.run("log", "status", "--json", code=code).stdout)
    return [said[name]["size"] for name in ("database", "published", "witnessed")]


def test_the_status_shows_database_published_log_and_witnesses(shell: Terminal) -> None:
    database, published, witnessed = sizes(shell)
    assert database == published
    assert witnessed == 0
    done = shell.run("log", "status")
    assert "agree" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["log", "database", "published", "witnessed"]


def test_an_export_brings_the_files_up_to_the_database(shell: Terminal) -> None:
    size = sizes(shell)[0]
    assert f"{size} entries are published" in shell.run("log", "export").stderr


def test_the_way_from_a_restored_backup_to_a_whole_log_works_as_the_hints_say(set_back: Terminal) -> None:
    refused = set_back.run("wallet", "show", BUYER, code=7)
    assert "sandbox log recover --home HOME" in refused.stderr
    database, published, _ = sizes(set_back, code=7)
    assert database is not None
    assert published == database + 2
    # (1) Look.
    looked = set_back.run("log", "recover")
    assert f"entries {database} to {published - 1}" in looked.stdout
    assert "wallet.topped_up" in looked.stdout
    assert "NOT brought back" in looked.stderr
    assert sizes(set_back, code=7)[:2] == [database, published]
    # (2) Do it.
    done = set_back.run("log", "recover", "--yes", "--json")
    assert json.loads(done.stdout)["entries"] == {"wallet.topped_up": 2}
    assert sizes(set_back)[:2] == [published + 1] * 2
    # (3) The log is whole; what the entries did is not.
    assert json.loads(set_back.run("wallet", "show", BUYER, "--json").stdout)[0]["balance_vnd"] == 100_000
    set_back.run("verify", "log", "home/log", "--vkey", "home/log.vkey")
    assert "nothing is missing" in set_back.run("log", "recover", "--yes").stderr


def test_a_restored_backup_is_never_published_over_what_others_have(set_back: Terminal) -> None:
    checkpoint = (set_back.folder / "home/log/checkpoint").read_bytes()
    for words in (["log", "export"], ["log", "export", "--anew"]):
        assert "sandbox log recover" in set_back.run(*words, code=7).stderr
    assert (set_back.folder / "home/log/checkpoint").read_bytes() == checkpoint


def test_damaged_files_are_published_anew_as_the_hint_says(shell: Terminal) -> None:
    path = shell.folder / "home/log/checkpoint"
    path.write_bytes(b"damaged")
    assert "sandbox log export --anew" in shell.run("wallet", "show", BUYER, code=7).stderr
    assert sizes(shell, code=7)[1] is None
    assert "unreadable" in shell.run("log", "status", code=7).stdout
    done = shell.run("log", "export", "--anew")
    assert "old files are kept" in done.stderr
    shell.run("wallet", "show", BUYER)
    assert len([*(shell.folder / "home").glob("log.old-*")]) == 1


def test_a_damaged_database_is_not_published(shell: Terminal) -> None:
    forge(f"sqlite:///{shell.folder / 'home/exchange.db'}", "UPDATE log_entry SET leaf = x'7b7d' WHERE idx = 3")
    for words in (["status"], ["export"], ["export", "--anew"], ["recover", "--yes"]):
        assert "root" in shell.run("log", *words, code=7).stderr


def test_where_nothing_is_published_nothing_is_recovered(shell: Terminal) -> None:
    shutil.rmtree(shell.folder / "home/log")
    assert "no published log" in shell.run("log", "recover", code=5).stderr
    shell.run("log", "export", "--anew")
    assert sizes(shell)[0] == sizes(shell)[1]


def test_a_home_that_others_may_look_into_is_refused(shell: Terminal) -> None:
    (shell.folder / "home").chmod(0o755)
    assert "chmod 700" in shell.run("log", "status", code=2).stderr
