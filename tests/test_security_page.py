"""The security page says what is so: every module and test that it names exists, and every promise names both."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text()
FILES = set(re.findall(r"`((?:sandbox|tests|policies|datasets|contracts)/[\w/.-]*)`", PAGE))
TESTS = set(re.findall(r"`(test_\w+)`", PAGE))
PROMISES = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")
]
ROWS = [row for row in PROMISES if row[0] != "promise"]


def defined() -> set[str]:
    """Every test function, by name."""
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}


def test_every_file_that_it_names_exists() -> None:
    assert [name for name in sorted(FILES) if not (ROOT / name).exists()] == []


def test_every_test_that_it_names_exists() -> None:
    assert sorted(TESTS - defined()) == []


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_every_promise_names_its_keeper_and_its_test(row: list[str]) -> None:
    _, keepers, tests = row
    assert all(name.startswith(("sandbox/", "policies/")) for name in re.findall(r"`([^`]+)`", keepers))
    assert {*re.findall(r"`([^`]+)`", keepers)} & FILES
    assert {*re.findall(r"`([^`]+)`", tests)} <= TESTS
    assert re.findall(r"`([^`]+)`", tests)


def test_every_invariant_of_the_architecture_has_its_row() -> None:
    plan = (ROOT / "docs/architecture.md").read_text()
    invariants = re.findall(r"^- (I\d) ", plan, re.MULTILINE)
    assert [row[0].split()[0] for row in ROWS if re.match(r"I\d ", row[0])] == invariants


def test_what_is_not_protected_is_said() -> None:
    section = PAGE.partition("## What is not protected")[2].partition("## Reporting")[0]
    for weakness in (
        "Differencing",
        "kernel layer is what the kernel has",
        "rewrite the whole log",
        "bearer tokens",
        "trust on first use",
        "OCSP is not asked",
        "`retention_days`",
        "Assessors are believed",
        "demo",
    ):
        assert weakness in section
