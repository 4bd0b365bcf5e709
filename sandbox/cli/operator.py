"""The operator's verbs: make an exchange, admit participants, give tokens, take money in, serve."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from sandbox.cli import say
from sandbox.core.terms import SCOPES, Participant, ParticipantId, Role


@click.command()
@click.option("--home", type=click.Path(path_type=Path), default=Path(".sandbox/home"), show_default=True)
@click.option("--exchange", default="san-du-lieu", show_default=True, help="Participant id of the exchange.")
@click.option("--origin", default="san-du-lieu.example.vn/log", show_default=True, help="Name of the log.")
@click.option("--name", default="Sàn giao dịch dữ liệu", show_default=True, help="Name of the operator.")
@click.option(
    "--trust-store",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file of CA roots that may sign.",
)
def init(home: Path, exchange: str, origin: str, name: str, trust_store: Path | None) -> None:
    """Make a new exchange in a folder: settings, keys, database and an empty log."""
    from sandbox import bootstrap
    from sandbox.settings import Settings, from_environ

    named = {key: value for key, value in from_environ().items() if key != "home"}
    given = {"home": home, "exchange": exchange, "origin": origin}
    given |= {"trust_store": trust_store.resolve()} if trust_store else {}
    settings = Settings(**(named | given))  # type: ignore[arg-type]
    bootstrap.init(settings, name)
    say.done(f"{home} is an exchange. Back up {home / 'keys'}; hand {home / bootstrap.VKEY_FILE} to your regulator.")


@click.command()
@say.home_option
@click.option("--host", help="Address to listen on. [env: SANDBOX_HOST]")
@click.option("--port", type=int, help="Port to listen on. [env: SANDBOX_PORT]")
def serve(home: Path | None, host: str | None, port: int | None) -> None:
    """Serve an exchange over HTTP until Ctrl-C."""
    from sandbox.app import create_app
    from sandbox.bootstrap import build
    from sandbox.cli import listening

    settings = say.settings_of(home)
    # the address that signed requests name: see settings.address
    settings = replace(settings, host=host or settings.host, port=port or settings.port)
    with build(settings) as exchange:
        exchange.house.engine.require_isolation()

        def told(url: str) -> None:
            say.done(f"serving {settings.home} at {url}  (see /v1/datasets, /openapi.json)")

        listening.serve(create_app(exchange), settings.host, settings.port, told)


@click.command()
@say.home_option
def migrate(home: Path | None) -> None:
    """Bring an exchange's database to this program's schema."""
    from sandbox.bootstrap import database_url
    from sandbox.core import migrate as schema
    from sandbox.core.database import open_engine

    engine = open_engine(database_url(say.settings_of(home)))
    schema.upgrade(engine)
    engine.dispose()
    say.done(f"the schema is at revision {schema.HEAD}")


@click.group()
def participants() -> None:
    """Admit participants and list them."""


@participants.command("add")
@say.home_option
@click.argument("participant")
@click.option("--name", required=True, help="The organisation's name.")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice([role.value for role in Role]))
@click.option("--public-key", type=click.Path(path_type=Path, dir_okay=False), help="Its NAME.pub.jwk.")
@click.option("--territory", default="VN", show_default=True, help="ISO 3166 country code.")
@click.option("--tax-code", help="Its tax code, as its CA certificates say it.")
@click.option("--entity-verified", is_flag=True, help="You have verified the legal entity.")
@click.option(
    "--eid-level", type=click.IntRange(0, 4), default=0, show_default=True, help="Assurance level of its eID."
)
@click.option("--payment-account", is_flag=True, help="It has a payment account in its name.")
def add(
    home: Path | None,
    participant: str,
    name: str,
    roles: tuple[str, ...],
    public_key: Path | None,
    **standing: Any,
) -> None:
    """Admit PARTICIPANT (a slug such as cong-ty-fintech) with its public key.

    The policies ask for a verified legal entity, an eID of the charter's level and, of buyers and providers, a payment
    account and a charter in force.
    """
    from sandbox.bootstrap import build
    from sandbox.core.keys import read_public_key

    key = read_public_key(public_key) if public_key else None
    member = Participant(ParticipantId(participant), name, frozenset(Role(role) for role in roles), **standing)
    with build(say.settings_of(home)) as exchange:
        exchange.admit(member, key)
    say.done(f"{participant} is admitted as {', '.join(roles)}")


@participants.command("list")
@say.home_option
@say.json_option
def list_participants(home: Path | None, *, as_json: bool) -> None:
    """Everyone admitted."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        rows = [
            {"id": each.id, "name": each.name, "roles": ",".join(sorted(each.roles)), "territory": each.territory}
            for each in exchange.participants()
        ]
    say.show(rows, as_json=as_json)


@click.group()
def tokens() -> None:
    """Create and revoke API tokens."""


@tokens.command("create")
@say.home_option
@click.argument("participant")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="Days until it expires.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it is good for; all, if none.")
@click.option(
    "--single-factor", is_flag=True, help="Its holder did not sign in with a second factor: it will not trade."
)
def create(home: Path | None, participant: str, days: int, scopes: tuple[str, ...], *, single_factor: bool) -> None:
    """Print a new API token of PARTICIPANT, this once."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        expires = exchange.house.now() + timedelta(days=days)
        amr = ("pwd",) if single_factor else ("mfa",)
        secret = exchange.create_token(ParticipantId(participant), expires, scopes or None, amr)
    click.echo(secret)
    say.done(f"valid until {expires:%d/%m/%Y}; it is not kept here and cannot be shown again")


@tokens.command("list")
@say.home_option
@say.json_option
@click.argument("participant", required=False)
def list_tokens(home: Path | None, participant: str | None, *, as_json: bool) -> None:
    """The API tokens, of PARTICIPANT or of all, by id; the secrets are not kept."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        rows = [
            {
                "id": each.id[:16],
                "owner": each.owner,
                "scopes": ",".join(sorted(each.scopes)),
                "signed_in": ",".join(each.amr),
                "until": f"{each.expires_at:%d/%m/%Y}",
                "revoked": "yes" if each.revoked_at else "no",
            }
            for each in exchange.tokens(ParticipantId(participant) if participant else None)
        ]
    say.show(rows, as_json=as_json)


@tokens.command("revoke")
@say.home_option
@click.argument("token")
def revoke(home: Path | None, token: str) -> None:
    """End the API token of this id (see tokens list), at once and for good."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        exchange.revoke_token(token)
    say.done("the token is revoked")


@click.group()
def wallet() -> None:
    """Top up and show prepaid wallets."""


@wallet.command("top-up")
@say.home_option
@click.argument("participant")
@click.argument("vnd", type=int)
@click.option("--evidence", required=True, help="Reference of the bank transfer.")
def top_up(home: Path | None, participant: str, vnd: int, evidence: str) -> None:
    """Add VND whole đồng to PARTICIPANT's wallet."""
    from sandbox.bootstrap import build
    from sandbox.market.money import dong

    with build(say.settings_of(home)) as exchange:
        balance = exchange.top_up(ParticipantId(participant), vnd, evidence)
    say.done(f"{participant} holds {dong(balance)}")


@wallet.command("show")
@say.home_option
@say.json_option
@click.argument("participant")
def show(home: Path | None, participant: str, *, as_json: bool) -> None:
    """What PARTICIPANT's wallet holds."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        balance = exchange.balance(ParticipantId(participant))
    say.show([{"participant": participant, "balance_vnd": int(balance)}], as_json=as_json)
