"""The operator's verbs: make an exchange, admit participants, give tokens, take money in, serve."""

from datetime import timedelta
from pathlib import Path

import click

from sandbox.cli import say
from sandbox.core.terms import Participant, ParticipantId, Role


@click.command()
@click.option("--home", type=click.Path(path_type=Path), default=Path(".sandbox/home"), show_default=True)
@click.option("--exchange", default="san-du-lieu", show_default=True, help="Participant id of the exchange.")
@click.option("--origin", default="san-du-lieu.example.vn/log", show_default=True, help="Name of the log.")
@click.option("--name", default="Sàn giao dịch dữ liệu", show_default=True, help="Name of the operator.")
def init(home: Path, exchange: str, origin: str, name: str) -> None:
    """Make a new exchange in a folder: settings, keys, database and an empty log."""
    from sandbox import bootstrap
    from sandbox.settings import Settings, from_environ

    named = {key: value for key, value in from_environ().items() if key != "home"}
    settings = Settings(**(named | {"home": home, "exchange": exchange, "origin": origin}))  # type: ignore[arg-type]
    bootstrap.init(settings, name)
    say.done(f"{home} is an exchange. Back up {home / 'keys'}; hand {home / bootstrap.VKEY_FILE} to your regulator.")


@click.command()
@say.home_option
@click.option("--host", help="Address to listen on. [env: SANDBOX_HOST]")
@click.option("--port", type=int, help="Port to listen on. [env: SANDBOX_PORT]")
def serve(home: Path | None, host: str | None, port: int | None) -> None:
    """Serve an exchange over HTTP until Ctrl-C."""
    import uvicorn

    from sandbox.app import create_app
    from sandbox.bootstrap import build

    settings = say.settings_of(home)
    with build(settings) as exchange:
        exchange.house.engine.require_isolation()
        address = host or settings.host, port or settings.port
        say.done(f"serving {settings.home} at http://{address[0]}:{address[1]}  (see /v1/datasets, /openapi.json)")
        # uvicorn's access log would print query strings; SQL never stands in a URL, and none of this is logged
        uvicorn.run(create_app(exchange), host=address[0], port=address[1], log_level="warning", access_log=False)


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
def add(
    home: Path | None, participant: str, name: str, roles: tuple[str, ...], public_key: Path | None, territory: str
) -> None:
    """Admit PARTICIPANT (a slug such as cong-ty-fintech) with its public key."""
    from sandbox.bootstrap import build
    from sandbox.core.keys import read_public_key

    key = read_public_key(public_key) if public_key else None
    member = Participant(ParticipantId(participant), name, frozenset(Role(role) for role in roles), territory)
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
    """Create API tokens."""


@tokens.command("create")
@say.home_option
@click.argument("participant")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="Days until it expires.")
def create(home: Path | None, participant: str, days: int) -> None:
    """Print a new API token of PARTICIPANT, this once."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        expires = exchange.house.now() + timedelta(days=days)
        secret = exchange.create_token(ParticipantId(participant), expires)
    click.echo(secret)
    say.done(f"valid until {expires:%d/%m/%Y}; it is not kept here and cannot be shown again")


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


@click.group()
def policy() -> None:
    """Work with the Rego policies."""


@policy.command("bundle")
@click.option("--policies", type=click.Path(path_type=Path, file_okay=False), help="Folder of the policies.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The bundle (.tar.gz).")
def bundle(policies: Path | None, out: Path) -> None:
    """Build the bundle that an OPA server loads; it attests the same digest as the embedded engine."""
    from sandbox.policy.bundle import Bundle
    from sandbox.settings import share

    built = Bundle.load(policies or share("policies"))
    out.write_bytes(built.archive())
    say.done(f"{out} holds the policies {built.digest}")
