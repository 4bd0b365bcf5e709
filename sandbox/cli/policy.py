"""The verbs of policies: explain a decision, test and check the rules, build the bundle that an OPA server loads."""

import json
from pathlib import Path
from typing import Any

import click

from sandbox.cli import say
from sandbox.core.errors import SandboxError

_folder = click.option(
    "--policies", type=click.Path(path_type=Path, file_okay=False), help="Folder of the policies; else those installed."
)


@click.group()
def policy() -> None:
    """Explain, test and bundle the Rego policies."""


def _chosen(policies: Path | None) -> Path:
    from sandbox.settings import share

    return policies or share("policies")


@policy.command("test")
@_folder
@click.option("--coverage", is_flag=True, help="Fail also when a line is reached by no test.")
def run_rego_tests(policies: Path | None, *, coverage: bool) -> None:
    """Run the policies' own tests; needs no opa binary."""
    from sandbox.policy.testing import run_tests

    report = run_tests(_chosen(policies))
    for name in report.failed:
        click.echo(click.style("✗ ", fg="red") + name)
    lines = sum(len(each) for each in report.unreached.values())
    for path, missed in report.unreached.items() if coverage else ():
        click.echo(click.style("✗ ", fg="red") + f"{path}: lines {', '.join(map(str, missed))} are reached by no test")
    if report.failed or (coverage and lines):
        said = f"{len(report.failed)} of {len(report.results)} tests failed; {lines} lines reached by none"
        raise SandboxError("policy.tests_failed", said + ".", hint="Mend the policy or the test.")
    say.done(f"{len(report.results)} tests passed; {lines} lines reached by none")


@policy.command("check")
@_folder
@say.json_option
def check(policies: Path | None, *, as_json: bool) -> None:
    """Load the policies, put an empty question, and show their digest."""
    from sandbox.policy.bundle import Bundle
    from sandbox.policy.embedded import Embedded

    bundle = Bundle.load(_chosen(policies))
    point = Embedded(bundle)  # raises unless they compile and refuse
    found = {"policy": point.policy, "modules": len(bundle.modules), "tables": len(bundle.tables)}
    say.show([found], as_json=as_json)


@policy.command("bundle")
@_folder
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The bundle (.tar.gz).")
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False), help="Sign it, by this ES256 key.")
def bundle(policies: Path | None, out: Path, key_file: Path | None) -> None:
    """Build the bundle that an OPA server loads; it attests the same digest as the embedded engine."""
    from sandbox.core.keys import read_key
    from sandbox.policy.bundle import Bundle
    from sandbox.policy.signature import signed_archive

    built = Bundle.load(_chosen(policies))
    out.write_bytes(signed_archive(built, read_key(key_file)) if key_file else built.archive())
    say.done(f"{out} holds the policies {built.digest}" + (", signed" if key_file else ", not signed"))


@policy.command("explain")
@click.argument("query_id")
@say.home_option
@click.option("--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True, help="Language.")
@say.json_option
def explain(query_id: str, home: Path | None, lang: str, *, as_json: bool) -> None:
    """Show what was asked of the policies for a query, and each rule: proved or not.

    The rules are asked again on the question that the log holds, by the policies at hand; where these are not the ones
    that decided, only what was decided is shown.
    """
    from sandbox.bootstrap import build
    from sandbox.core.terms import Participant, Role
    from sandbox.policy.explain import explained

    with build(say.settings_of(home)) as exchange:
        operator = Participant(exchange.house.exchange_id, "", frozenset({Role.OPERATOR}))
        stored = exchange.explain(operator, query_id)
        told = explained(stored, exchange.house.settings.policy_folder, lang)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    _tell(told, lang)


_WORDS = {
    "vi": {"allow": "Cho phép", "deny": "Từ chối", "yes": "chứng minh được", "no": "KHÔNG chứng minh được"},
    "en": {"allow": "Allowed", "deny": "Refused", "yes": "proved", "no": "NOT proved"},
}


def _tell(told: dict[str, Any], lang: str) -> None:
    words = _WORDS[lang]
    verdict = words["allow" if told["decision"]["allow"] else "deny"]
    click.echo(f"{told['query']}: {verdict}, {told['policy'] or '-'}")
    if told["question"] is not None:
        click.echo(json.dumps(told["question"], ensure_ascii=False, indent=1))
    rows = [
        [rule["id"], words["yes" if rule["proved"] else "no"], rule["sentence"], rule["law"]] for rule in told["rules"]
    ]
    say.table(rows, ["rule", "", "", ""])
