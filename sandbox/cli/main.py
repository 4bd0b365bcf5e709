"""The command ``sandbox``: its verbs, loaded only when called, and how it ends when something is refused."""

import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from sandbox import __version__
from sandbox.cli.lazy import load
from sandbox.core.errors import SandboxError

VERBS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("sandbox.cli.demo:demo", "Run a whole pilot exchange on this machine and verify its log."),
    "init": ("sandbox.cli.operator:init", "Make a new exchange in a folder."),
    "serve": ("sandbox.cli.operator:serve", "Serve an exchange over HTTP."),
    "doctor": ("sandbox.cli.doctor:doctor", "Show on this machine that the jail holds, and what it lacks."),
    "migrate": ("sandbox.cli.operator:migrate", "Bring an exchange's database to this program's schema."),
    "participants": ("sandbox.cli.operator:participants", "Admit participants and list them."),
    "tokens": ("sandbox.cli.operator:tokens", "Create and revoke API tokens."),
    "wallet": ("sandbox.cli.operator:wallet", "Top up and show prepaid wallets."),
    "charter": ("sandbox.cli.charter:charter", "Show, sign and adopt the pilot's charter."),
    "suspend": (
        "sandbox.cli.orders:suspend",
        "Stop trading with the market, a party, a dataset, an agreement or a query.",
    ),
    "resume": ("sandbox.cli.orders:resume", "Let it go on, signed by the regulator and the operator."),
    "suspensions": ("sandbox.cli.orders:suspensions", "List what is suspended."),
    "policy": ("sandbox.cli.policy:policy", "Explain, test and bundle the Rego policies."),
    "keys": ("sandbox.cli.keys:keys", "Register, revoke and list keys; keep revocation lists."),
    "keygen": ("sandbox.cli.parties:keygen", "Make a signing key."),
    "describe": ("sandbox.cli.parties:describe", "Draft a descriptor from a Parquet file."),
    "publish": ("sandbox.cli.parties:publish", "Sign and publish a dataset folder."),
    "datasets": ("sandbox.cli.parties:datasets", "List the datasets on offer."),
    "contract": ("sandbox.cli.contract:contract", "Explain, draft and compare contracts."),
    "offer": ("sandbox.cli.parties:offer", "Sign and register an offer of a dataset."),
    "offers": ("sandbox.cli.parties:offers", "List the offers."),
    "sign": ("sandbox.cli.parties:sign", "Sign an offer into an agreement, or countersign an agreement."),
    "agree": ("sandbox.cli.parties:agree", "Hand in an agreement that buyer and provider signed."),
    "negotiate": ("sandbox.cli.negotiate:negotiate", "Negotiate an agreement step by step."),
    "agreements": ("sandbox.cli.parties:agreements", "List the agreements."),
    "query": ("sandbox.cli.parties:query", "Run one SELECT under an agreement."),
    "log": ("sandbox.cli.log:log", "Look at the exchange's log, publish it, recover it."),
    "volume": ("sandbox.cli.record:volume", "Show the transaction volume."),
    "verify": ("sandbox.cli.verify:verify", "Check log, receipt, disclosure or evidence pack with one key file."),
    "witness": ("sandbox.cli.witness:witness", "Cosign a log's checkpoints as an independent witness."),
    "audit": ("sandbox.cli.audit:audit", "Search the record, read it, carry it away."),
    "erase": ("sandbox.cli.bodies:erase", "Erase sealed values, on a legal basis."),
    "disclose": ("sandbox.cli.bodies:disclose", "Show sealed values to a regulator, on the record."),
    "version": ("sandbox.cli.record:version", "Show the version."),
}
"""Each verb, where it lives, and its one line of help (so that help imports nothing)."""


class Verbs(click.Group):
    """A group whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return load(VERBS[cmd_name][0])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sandbox")
def group() -> None:
    """A controlled sandbox for a data exchange.

    Exit codes: 0 done, 1 failed, 2 bad input, 3 not identified, 4 refused, 5 not found, 6 conflict, 7 verification
    failed, 8 unavailable, 9 not covered by a checkpoint yet, 130 stopped.
    """


def complain(error: SandboxError, *, as_json: bool) -> None:
    """Say an error on stderr: the sentence, each failing rule's, and what to do."""
    from sandbox.cli.say import json_text, plain
    from sandbox.policy.reasons import sentence

    if as_json:
        document: dict[str, Any] = {"code": error.code, "message": error.message, "reasons": list(error.reasons)}
        document |= {"hint": error.hint, "query": error.query}
        click.echo(json_text({"error": document}), err=True)
        return
    click.echo(click.style("✗ ", fg="red") + plain(f"{error.message}  [{error.code}]"), err=True)
    for rule in error.reasons:
        said = sentence(rule, "en")
        click.echo(f"  {rule}" if said in error.message else f"  {rule}  {said}", err=True)
    if error.hint:
        click.echo(click.style("  → ", fg="cyan") + plain(error.hint), err=True)
    if error.query:
        click.echo(f"  on the record as {error.query}", err=True)


def main() -> None:
    """Run the command line; every refusal ends in its own exit code."""
    try:
        group(standalone_mode=False)
    except SandboxError as error:
        complain(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
