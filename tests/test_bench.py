"""The bench still runs: what it measures is for people to read, and nothing is asserted about time."""

import subprocess
import sys
from pathlib import Path

from sandbox.exchange import query
from tests.bench.asking import STEPS

ROOT = Path(__file__).parent.parent
HEADER = "| measure | figure | compared with | ratio |"


def bench(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.bench.run", *words]
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT, text=True)


def test_a_quick_measure_prints_the_machine_and_a_table() -> None:
    done = bench("--quick", "policy")
    assert done.returncode == 0, done.stderr
    machine, _, header, rule, *rows = done.stdout.splitlines()
    assert " cores, " in machine
    assert "Python " in machine
    assert header == HEADER
    assert rule.count("|") == HEADER.count("|")
    assert rows
    assert all(row.count("|") == HEADER.count("|") for row in rows)


def test_an_unknown_measure_is_refused_with_those_that_there_are() -> None:
    done = bench("weather")
    assert done.returncode == 2
    assert "query, http, commit, log, policy, trust, publish, jail, tpch, arrow" in done.stderr
    assert not done.stdout


def test_the_steps_that_it_times_are_those_of_the_corridor() -> None:
    assert [name for name in STEPS.values() if not callable(getattr(query, name, None))] == []
