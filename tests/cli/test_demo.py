"""The demo, as its users run it: whole, from an empty folder, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import bootstrap
from sandbox.exchange import report
from sandbox.settings import load

SANDBOX = [sys.executable, "-m", "sandbox.cli"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")} | {"COLUMNS": "100"}
    return subprocess.run([*SANDBOX, *words], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tiny one; the second, which replaces it, is of the usual size."""
    home = tmp_path_factory.mktemp("demo") / "home"
    done = run("demo", "--home", str(home), "--scale", "0.001", "--json")
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)


def test_the_demo_answers_all_twenty_questions_and_refuses_what_it_must(played: tuple[Path, dict[str, Any]]) -> None:
    _, document = played
    assert document.keys() == {"datasets", "agreements", "queries", "volume", "log", "seconds"}
    assert document["datasets"] == 5
    assert document["agreements"] >= 5
    assert document["queries"]["completed"] == 20
    assert document["queries"]["refused"] >= 10
    assert {"CONT-02", "CONT-03", "CONT-06", "PAY-01", "QRY-01", "QRY-09"} <= document["queries"]["by_reason"].keys()
    assert document["volume"]["count"] == 20
    # 4 x 15.000 bus, 4 x 36.000 ports (bargained), 4 x 60.000 land, 4 x 0 indices, 4 of 20 free invoices
    assert document["volume"]["value_vnd"] == 444_000
    assert document["log"]["verified"]


def test_its_tour_of_contracts_stands_in_the_log(played: tuple[Path, dict[str, Any]]) -> None:
    home, document = played
    with bootstrap.build(load(home, {})) as exchange, exchange.house.database.read() as connection:
        entries = list(report.log_entries(exchange.house, connection))
    kinds = [entry["type"] for entry in entries]
    states = [entry["state"] for entry in entries if entry["type"] == "negotiation.moved"]
    assert states == ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED"]
    assert kinds.index("charter.adopted") < kinds.index("dataset.published")
    orders = [(entry["act"], entry["roles"]) for entry in entries if entry["type"] == "order.given"]
    assert orders == [("suspend", ["regulator"]), ("resume", ["operator", "regulator"])]
    assert "CHARTER-06" in document["queries"]["by_reason"]
    signed = [entry["signatures"] for entry in entries if entry["type"] == "agreement.signed"]
    assert [any(each["ca_licensed"] for each in signatures) for signatures in signed].count(True) == 1


def test_the_home_it_leaves_is_a_complete_exchange(played: tuple[Path, dict[str, Any]]) -> None:
    home, document = played
    verdict = run("verify", "log", str(home / "log"), "--vkey", str(home / "log.vkey"), "--json")
    assert json.loads(verdict.stdout)["root"] == document["log"]["root"]
    receipts = sorted((home / "receipts").glob("*.json"))
    assert len(receipts) == 20
    assert run("verify", "receipt", str(receipts[0]), "--vkey", str(home / "log.vkey")).returncode == 0
    volume = json.loads(run("volume", "--home", str(home), "--json").stdout)
    assert volume[-1]["value_vnd"] == document["volume"]["value_vnd"]


def test_a_second_demo_replaces_the_first_and_prints_what_the_readme_shows(played: tuple[Path, dict[str, Any]]) -> None:
    home, _ = played
    done = run("demo", "--home", str(home))
    assert done.returncode == 0, done.stderr
    printed = iter(" ".join(line.replace(str(home), ".sandbox/demo").split()) for line in done.stdout.splitlines())
    block = (Path(__file__).parents[2] / "README.md").read_text().partition("```text demo\n")[2].partition("```")[0]
    for shown in block.splitlines():
        words = " ".join(shown.split())
        if words and words != "…":
            assert any(line == words or (words.endswith(" …") and line.startswith(words[:-1])) for line in printed), (
                words
            )
    assert "Try next" in [*printed]
