"""The operator's verbs for signing keys: which are registered, from when they count, and what CAs have revoked."""

from datetime import datetime
from pathlib import Path

import click

from sandbox.cli import say
from sandbox.core.terms import KeyUse, ParticipantId


@click.group()
def keys() -> None:
    """Register, revoke and list signing keys; keep CAs' revocation lists."""


@keys.command("register")
@say.home_option
@click.argument("participant")
@click.option("--public-key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Its NAME.pub.jwk.")
@click.option(
    "--use", type=click.Choice([use.value for use in KeyUse]), default=KeyUse.CONTRACT.value, show_default=True,
    help="What it may sign; a key has one use.",
)  # fmt: skip
@click.option("--until", help="First day on which it no longer counts, such as 2027-12-31.")
def register(home: Path | None, participant: str, public_key: Path, use: str, until: str | None) -> None:
    """Register a public key of PARTICIPANT, beside those that it has."""
    from sandbox.bootstrap import build
    from sandbox.core.keys import read_public_key

    key, end = read_public_key(public_key), None if until is None else _instant(until)
    with build(say.settings_of(home)) as exchange:
        exchange.register_key(ParticipantId(participant), key, KeyUse(use), end)
    say.done(f"{key.kid} signs for {participant}: {use}" + (f", until {end:%d/%m/%Y %H:%M} UTC" if end else ""))


@keys.command("revoke")
@say.home_option
@click.argument("kid")
@click.option("--invalid-from", help="Since when it cannot be trusted (a day or an instant); without: it never could.")
def revoke(home: Path | None, kid: str, invalid_from: str | None) -> None:
    """Trust the key KID no longer. Without --invalid-from nothing that it ever signed holds."""
    from sandbox.bootstrap import build

    since = None if invalid_from is None else _instant(invalid_from)
    with build(say.settings_of(home)) as exchange:
        exchange.revoke_key(kid, since)
    say.done(
        f"{kid} is revoked; " + (f"what it signed before {invalid_from} holds" if since else "nothing it signed holds")
    )


@keys.command("list")
@say.home_option
@say.json_option
@click.option("--owner", help="Only this participant's.")
def list_keys(home: Path | None, owner: str | None, *, as_json: bool) -> None:
    """The registered keys."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        found = exchange.keys(ParticipantId(owner) if owner else None)
    rows = [
        {"key": each.kid}
        | ({"owner": each.owner} if as_json else {})  # for people the key's id begins with it
        | {"use": each.use.value, "alg": each.alg}
        | {
            name: _shown(instant, as_json=as_json)
            for name, instant in (
                ("from", each.valid_from),
                ("until", each.valid_until),
                ("revoked", each.revoked_at),
                ("invalid_from", each.invalid_from),
            )
        }
        for each in found
    ]
    say.show(rows, as_json=as_json)


def _shown(instant: datetime | None, *, as_json: bool) -> str:
    from sandbox.core.clock import text_of

    if instant is None:
        return ""
    return text_of(instant) if as_json else f"{instant:%d/%m/%Y %H:%M}Z"


def _instant(text: str) -> datetime:
    """A day means its beginning in Ho Chi Minh City, where people who write days live."""
    from sandbox.core.clock import instant_of

    return instant_of(text if "T" in text else f"{text}T00:00:00+07:00")


@keys.command("crl")
@say.home_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def crl(home: Path | None, file: Path) -> None:
    """Keep the revocation list in FILE (PEM or DER), so that signatures under its CA's certificates can be judged.

    PEM may hold the certificates of CAs between the list's own and the root beside it.
    """
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        name = exchange.store_crl(say.read_file(file))
    click.echo(name)
    say.done("the list is kept")
