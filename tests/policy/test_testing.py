"""The runner of the policies' own tests: what is not exactly true has failed."""

from pathlib import Path

import pytest

from sandbox.core.errors import Invalid
from sandbox.policy.testing import run_tests

POLICY = 'package exchange.authz\n\ndecision := "yes" if input.a == 1\n\nother := 5 if {\n\tinput.b == 2\n}\n'


def folder(place: Path, tests: str, policy: str = POLICY) -> Path:
    inner = place / "exchange/authz"
    inner.mkdir(parents=True)
    (inner / "decision.rego").write_text(policy)
    (inner / "decision_test.rego").write_text(f"package exchange.authz_test\n\n{tests}\n")
    return place


def test_the_policies_of_the_house_pass_and_every_line_is_reached(policies: Path) -> None:
    report = run_tests(policies)
    assert report.failed == ()
    assert report.unreached == {}
    assert len(report.results) > 200


def test_a_test_that_holds_passes_and_lines_that_none_reaches_are_told(tmp_path: Path) -> None:
    report = run_tests(folder(tmp_path, 'test_it if data.exchange.authz.decision == "yes" with input as {"a": 1}'))
    assert report.results == {"data.exchange.authz_test.test_it": True}
    assert report.unreached == {"exchange/authz/decision.rego": (5, 6)}


@pytest.mark.parametrize(
    "test",
    [
        'test_it if data.exchange.authz.decision == "no" with input as {"a": 1}',  # undefined
        "test_it := false",
        "test_it := 1",  # not exactly true
        "test_it if count(5) == 1",  # raises
    ],
)
def test_whatever_is_not_true_has_failed(tmp_path: Path, test: str) -> None:
    assert run_tests(folder(tmp_path, test)).failed == ("data.exchange.authz_test.test_it",)


def test_a_folder_without_tests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no test"):
        run_tests(folder(tmp_path, "nothing := 1"))


def test_what_does_not_parse_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        run_tests(folder(tmp_path, "test_it if {"))
    assert caught.value.code == "policy.invalid"
    assert "decision_test.rego" in caught.value.message
    assert "Stack backtrace" not in caught.value.message
