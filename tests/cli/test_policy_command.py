"""The verbs of policies, as an operator types them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.cli.policy import policy
from sandbox.core.errors import SandboxError
from sandbox.core.keys import ED25519, ES256, new_key, write_key
from sandbox.policy.bundle import Bundle

POLICIES = Path(__file__).parents[2] / "policies"


def run(*words: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(policy, words)
    return result.exit_code, result.output, result.exception


def test_the_installed_policies_pass_their_tests_and_leave_no_line_out() -> None:
    code, said, _ = run("test", "--coverage")
    assert code == 0
    assert "0 lines reached by none" in said


def test_a_failing_test_ends_the_command_with_its_name(tmp_path: Path) -> None:
    inner = tmp_path / "exchange/authz"
    inner.mkdir(parents=True)
    (inner / "decision.rego").write_text("package exchange.authz\n\ndecision := 1\n")
    (inner / "decision_test.rego").write_text("package exchange.authz_test\n\ntest_it := false\n")
    code, said, failure = run("test", "--policies", str(tmp_path))
    assert code != 0
    assert "data.exchange.authz_test.test_it" in said
    assert isinstance(failure, SandboxError)
    assert failure.code == "policy.tests_failed"


def test_check_shows_the_digest() -> None:
    _, said, _ = run("check", "--json")
    assert json.loads(said)[0]["policy"] == Bundle.load(POLICIES).digest


def test_a_bundle_is_written_signed_when_a_key_is_named(tmp_path: Path) -> None:
    write_key(new_key("san-du-lieu", ES256), tmp_path / "opa.jwk")
    plain, signed = tmp_path / "plain.tar.gz", tmp_path / "signed.tar.gz"
    assert run("bundle", "--out", str(plain))[0] == 0
    code, said, _ = run("bundle", "--out", str(signed), "--key", str(tmp_path / "opa.jwk"))
    assert code == 0
    assert said.rstrip().endswith("signed")
    assert plain.read_bytes() == Bundle.load(POLICIES).archive() != signed.read_bytes()


def test_a_key_that_opa_cannot_check_writes_nothing(tmp_path: Path) -> None:
    write_key(new_key("san-du-lieu", ED25519), tmp_path / "own.jwk")
    _, _, failure = run("bundle", "--out", str(tmp_path / "b.tar.gz"), "--key", str(tmp_path / "own.jwk"))
    assert isinstance(failure, SandboxError)
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize("verb", ["test", "check"])
def test_a_folder_without_policies_is_refused(tmp_path: Path, verb: str) -> None:
    _, _, failure = run(verb, "--policies", str(tmp_path))
    assert isinstance(failure, SandboxError)
    assert failure.code == "policy.invalid"
