"""The demo, as its users run it: whole, from an empty folder, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SANDBOX = [sys.executable, "-m", "sandbox.cli"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")}
    return subprocess.run([*SANDBOX, *words], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("demo") / "home"
    done = run("demo", "--home", str(home), "--scale", "0.02", "--json")
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
    # 4 x 15.000 bus, 4 x 40.000 ports, 4 x 60.000 land, 4 x 0 indices, 4 x 25.000 invoices
    assert document["volume"]["value_vnd"] == 560_000
    assert document["log"]["verified"]


def test_the_home_it_leaves_is_a_complete_exchange(played: tuple[Path, dict[str, Any]]) -> None:
    home, document = played
    verdict = run("verify", "log", str(home / "log"), "--vkey", str(home / "log.vkey"), "--json")
    assert json.loads(verdict.stdout)["root"] == document["log"]["root"]
    receipts = sorted((home / "receipts").glob("*.json"))
    assert len(receipts) == 20
    assert run("verify", "receipt", str(receipts[0]), "--vkey", str(home / "log.vkey")).returncode == 0
    volume = json.loads(run("volume", "--home", str(home), "--json").stdout)
    assert volume[-1]["value_vnd"] == document["volume"]["value_vnd"]


def test_a_second_demo_replaces_the_first_and_speaks_to_people(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("demo", "--home", str(home), "--scale", "0.001", "--json").returncode == 0
    done = run("demo", "--home", str(home), "--scale", "0.001")
    assert done.returncode == 0, done.stderr
    for words in ("Transaction volume", "Refused, and on the record", "log verified offline", "Try next"):
        assert words in done.stdout
