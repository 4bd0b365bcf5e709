"""The verbs that stop trading and let it go on: orders, signed here and handed to the exchange."""

import secrets
from pathlib import Path
from typing import Any

import click

from sandbox.cli import say
from sandbox.core.canonical import Json

_ACTS = {"suspend": "resume", "open_incident": "close_incident"}


@click.command()
@say.home_option
@say.key_option
@click.argument("kind", type=click.Choice(["market", "participant", "dataset", "agreement", "query"]))
@click.argument("target", metavar="[ID]", required=False)
@click.option("--reason", required=True, help="Why, in a sentence; it is on the record.")
@click.option("--issuer", required=True, help="Who orders it: the participant whose key signs.")
@click.option("--legal-basis", help="The article that it rests on.")
@click.option(
    "--act", type=click.Choice(["suspend", "open_incident", "terminate"]), default="suspend", show_default=True,
    help="An incident starts the 72 hours of its notice; only an agreement is terminated, and for ever.",
)  # fmt: skip
def suspend(home: Path | None, key_file: Path, act: str, kind: str, target: str | None, **words: str | None) -> None:
    """Stop trading at once: with the market, or with one KIND of thing by its ID. Evidence stays."""
    from sandbox.bootstrap import build
    from sandbox.contracts import orders
    from sandbox.core.keys import read_key

    settings, key = say.settings_of(home), read_key(key_file)
    with build(settings) as exchange:
        scope: dict[str, Json] = {
            "kind": kind,
            "id": _whole(exchange, target) if kind == "agreement" and target else target,
        }
        document = orders.order_document({"act": act, "scope": scope, **words}, _nonce(), exchange.house.now())
        order = exchange.order(orders.sign_order(document, key))
    click.echo(order.id)
    say.done(
        f"{act} of {_named(order)} stands" + ("" if act == "terminate" else f"; end it: sandbox resume {order.id}")
    )


def _whole(exchange: Any, name: str) -> str:
    """An agreement's digest from what a person types of it; unchanged when that is no one's."""
    digits = name.removeprefix("sha256:")
    found = [str(row.id) for row in exchange.agreements() if row.id[7:].startswith(digits)]
    return found[0] if len(found) == 1 else name


def _nonce() -> bytes:
    return secrets.token_bytes(32)


def _named(order: Any) -> str:
    return f"the {order.kind}" + (f" {order.target}" if order.target else "")


@click.command()
@say.home_option
@say.key_option
@say.out_option
@click.argument("order", required=False)
@click.option("--reason", help="Why it may go on, in a sentence.")
@click.option("--issuer", help="Who orders it: the participant whose key signs first.")
@click.option("--legal-basis", help="The article that it rests on.")
@click.option("--add", type=click.Path(path_type=Path, dir_okay=False), help="A half-signed order to sign and hand in.")
def resume(
    home: Path | None, key_file: Path, out: Path | None, order: str | None, add: Path | None, **words: str | None
) -> None:
    """End the suspension or incident ORDER: one office signs first, and the other adds its signature.

    A regulator and an operator sign. The first writes the half-signed order with --out, the second hands it in with
    --add.
    """
    from sandbox.bootstrap import build
    from sandbox.contracts import orders
    from sandbox.core.errors import Invalid
    from sandbox.core.keys import read_key

    key = read_key(key_file)
    if (order is None) == (add is None):
        raise Invalid(
            "order.missing", "Give either ORDER, to sign first, or --add FILE, to sign second.",
            hint="See: sandbox suspensions",
        )  # fmt: skip
    if add is not None:
        text = orders.add_signature(say.read_file(add).strip(), key)
        with build(say.settings_of(home)) as exchange:
            ended = exchange.order(text)
        click.echo(ended.id)
        say.done(f"{ended.act} of {_named(ended)} is in effect")
        return
    with build(say.settings_of(home)) as exchange:
        text = _half_signed(exchange, str(order), words, key)
    say.write(text + b"\n", out)
    say.done("signed; the other office signs next: sandbox resume --add FILE --key KEY")


def _half_signed(exchange: Any, name: str, words: dict[str, str | None], key: Any) -> bytes:
    from sandbox.contracts import orders
    from sandbox.core.errors import Invalid, NotFound

    digits = name.removeprefix("sha256:")
    found = [each for each in exchange.suspensions() if each.id[7:].startswith(digits)]
    if not digits or len(found) != 1:
        raise NotFound(
            "order.unknown", f"No order {name[:80]!r} stands, or several do.", hint="See: sandbox suspensions"
        )
    if not words["reason"] or not words["issuer"]:
        raise Invalid("order.invalid", "Who lets it go on, and why?", hint="Give --issuer and --reason.")
    (stop,) = found
    wanted = {"act": _ACTS[stop.act], "scope": {"kind": stop.kind, "id": stop.target or None}, "ends": stop.id}
    document = orders.order_document(wanted | words, _nonce(), exchange.house.now())
    return orders.sign_order(document, key)


@click.command()
@say.home_option
@say.json_option
def suspensions(home: Path | None, *, as_json: bool) -> None:
    """List the suspensions and incidents that stand, the oldest first."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        rows = [
            {
                "order": each.id if as_json else each.id[7:19],
                "act": each.act,
                "kind": each.kind,
                "id": each.target,
                "reason": each.reason,
            }
            for each in exchange.suspensions()
        ]
    say.show(rows, as_json=as_json)
