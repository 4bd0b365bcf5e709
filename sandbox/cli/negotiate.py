"""The verbs of a negotiation: each writes what its move needs, signs it here, and hands it to the exchange."""

import secrets
from pathlib import Path
from typing import Any

import click

from sandbox.cli import say

_TERMS = click.Path(path_type=Path, dir_okay=False)


@click.group()
def negotiate() -> None:
    """Negotiate an agreement: request, offer, accept, agree, verify, finalize."""


@negotiate.command()
@say.home_option
@say.key_option
@click.argument("negotiation", required=False)
@click.option("--offer", help="Begin: the public offer that you would take on other terms.")
@click.option("--terms", type=_TERMS, help="The clauses that should be others (JSON); without: the offer as it is.")
def request(home: Path | None, key_file: Path, negotiation: str | None, offer: str | None, terms: Path | None) -> None:
    """As a buyer, ask for other terms: of the public --offer, or in NEGOTIATION of the provider's last offer."""
    from sandbox.bootstrap import build
    from sandbox.contracts import envelope
    from sandbox.contracts.terms import request_document
    from sandbox.core.canonical import digest_of
    from sandbox.core.keys import read_key

    key, changed = read_key(key_file), _changes(terms)
    if (negotiation is None) == (offer is None):
        raise _either("NEGOTIATION, to go on, or --offer, to begin")
    with build(say.settings_of(home)) as exchange:
        who = _owner(key)
        text = _public_offer(exchange, str(offer)) if negotiation is None else _last(exchange, who, negotiation)
        document = _document(text, envelope.OFFER)
        asked = request_document(document, digest_of(document), changed, who, exchange.house.now())
        moved = exchange.negotiate(who, "request", envelope.sign_request(asked, key), negotiation)
    _tell(moved)


@negotiate.command()
@say.home_option
@say.key_option
@click.argument("negotiation", required=False)
@click.option("--to", "buyer", help="Begin: the buyer to whom alone you offer.")
@click.option("--dataset", help="Begin: the dataset that you offer.")
@click.option("--terms", type=_TERMS, help="All terms to begin; to go on, the clauses that should be others (JSON).")
def offer(home: Path | None, key_file: Path, negotiation: str | None, terms: Path | None, **begin: str | None) -> None:
    """As a provider, offer to one buyer: begin with --to, --dataset and --terms, or answer in NEGOTIATION."""
    from sandbox.bootstrap import build
    from sandbox.contracts import envelope
    from sandbox.contracts.terms import counter_document
    from sandbox.core.canonical import digest_of
    from sandbox.core.keys import read_key

    key, changed = read_key(key_file), _changes(terms)
    begins = bool(begin["buyer"] and begin["dataset"] and terms)
    if begins == (negotiation is not None):
        raise _either("NEGOTIATION, to answer, or --to, --dataset and --terms, to begin")
    with build(say.settings_of(home)) as exchange:
        if negotiation is None:
            document = _directed(exchange, str(begin["dataset"]), str(begin["buyer"]), changed)
        else:
            asked = _document(_last(exchange, _owner(key), negotiation), envelope.REQUEST)
            document = counter_document(asked, digest_of(asked), changed, exchange.house.now())
        moved = exchange.negotiate(_owner(key), "offer", envelope.sign_offer(document, key), negotiation)
    _tell(moved)


@negotiate.command()
@say.home_option
@say.key_option
@click.argument("negotiation")
def accept(home: Path | None, key_file: Path, negotiation: str) -> None:
    """As the buyer, sign the agreement that the provider's last offer makes."""
    _sign_last(home, key_file, "accept", negotiation)


@negotiate.command()
@say.home_option
@say.key_option
@click.argument("negotiation")
def agree(home: Path | None, key_file: Path, negotiation: str) -> None:
    """As the provider, sign the agreement that the buyer accepted, or that the buyer's last request makes."""
    _sign_last(home, key_file, "agree", negotiation)


@negotiate.command()
@say.home_option
@say.key_option
@click.argument("negotiation")
def verify(home: Path | None, key_file: Path, negotiation: str) -> None:
    """As the buyer, confirm the agreement; signs it where you have not yet."""
    _sign_last(home, key_file, "verify", negotiation)


def _sign_last(home: Path | None, key_file: Path, act: str, name: str) -> None:
    from sandbox.bootstrap import build
    from sandbox.contracts import envelope
    from sandbox.core.keys import read_key

    key = read_key(key_file)
    with build(say.settings_of(home)) as exchange:
        who = _owner(key)
        _, said = exchange.negotiation(who, name)
        text: bytes | None = None
        if act != "verify" or "ACCEPTED" not in {message.state for message in said}:  # else it bears one's signature
            last = _last(exchange, who, name)
            if act == "accept":
                _document(last, envelope.OFFER)  # one's own request is not there to be accepted
            text = envelope.accept_offer(last, key, secrets.token_bytes(32), exchange.house.now())
        moved = exchange.negotiate(who, act, text, name)
    _tell(moved)


@negotiate.command()
@say.home_option
@click.argument("negotiation")
@click.option("--as", "who", required=True, help="The provider.")
def finalize(home: Path | None, negotiation: str, who: str) -> None:
    """As the provider, have the exchange countersign and record the agreement; from then on it opens data."""
    _say(home, who, "finalize", negotiation)


@negotiate.command()
@say.home_option
@click.argument("negotiation")
@click.option("--as", "who", required=True, help="Who gives it up, provider or buyer.")
def terminate(home: Path | None, negotiation: str, who: str) -> None:
    """Give a negotiation up, for good."""
    _say(home, who, "terminate", negotiation)


def _say(home: Path | None, who: str, act: str, name: str) -> None:
    from sandbox.bootstrap import build
    from sandbox.core.terms import ParticipantId

    with build(say.settings_of(home)) as exchange:
        moved = exchange.negotiate(ParticipantId(who), act, None, name)
    _tell(moved)


@negotiate.command("list")
@say.home_option
@say.json_option
@click.option("--as", "who", help="Only this participant's.")
def list_negotiations(home: Path | None, who: str | None, *, as_json: bool) -> None:
    """List the negotiations, and for whom each waits."""
    from sandbox.bootstrap import build
    from sandbox.contracts.negotiation import due
    from sandbox.core.terms import ParticipantId

    with build(say.settings_of(home)) as exchange:
        rows = [
            {
                "negotiation": each.id,
                "dataset": each.dataset,
                "provider": each.provider,
                "buyer": each.buyer,
                "state": each.state,
                "waits_for": due(each) or "",
            }
            for each in exchange.negotiations(ParticipantId(who) if who else None)
        ]
    say.show(rows, as_json=as_json)


@negotiate.command()
@say.home_option
@say.json_option
@say.out_option
@click.argument("negotiation")
@click.option("--as", "who", help="Only if it is this participant's.")
def show(home: Path | None, negotiation: str, out: Path | None, who: str | None, *, as_json: bool) -> None:
    """Show what was said in NEGOTIATION; --out writes the last signed document to a file."""
    from sandbox.bootstrap import build
    from sandbox.contracts.stages import SIDES
    from sandbox.core.clock import text_of
    from sandbox.core.terms import ParticipantId

    with build(say.settings_of(home)) as exchange:
        owner = ParticipantId(who) if who else None
        _, said = exchange.negotiation(owner, negotiation)
        text = None if out is None else _last(exchange, owner, negotiation)
    rows = [
        {
            "by": SIDES[each.party],
            "state": each.state,
            "document": (each.document or "") if as_json else (each.document or "")[7:19],
            "at": text_of(each.at),
        }
        for each in said
    ]
    say.show(rows, as_json=as_json)
    if text is not None:
        say.write(text + b"\n", out)


# --- what the moves are made of ---
def _changes(terms: Path | None) -> dict[str, Any]:
    from sandbox.core.canonical import parse

    return {} if terms is None else parse(say.read_file(terms))


def _owner(key: Any) -> Any:
    from sandbox.core.terms import ParticipantId

    return ParticipantId(key.kid.partition("/")[0])


def _either(what: str) -> Exception:
    from sandbox.core.errors import Invalid

    return Invalid("negotiation.missing", f"Give either {what}.", hint="See: sandbox negotiate list")


def _public_offer(exchange: Any, name: str) -> bytes:
    from sandbox.core.errors import NotFound

    digits = name.removeprefix("sha256:")
    found = [each.id for each in exchange.offers() if digits and each.id[7:].startswith(digits)]
    if len(found) != 1:
        raise NotFound(
            "offer.unknown", f"No offer {name[:80]!r} is registered, or several are.", hint="See: sandbox offers"
        )
    envelope: bytes = exchange.offer_envelope(found[0])
    return envelope


def _last(exchange: Any, who: Any, name: str) -> bytes:
    """The last signed document of a negotiation; one has begun by one."""
    _, said = exchange.negotiation(who, name)
    last: bytes = [message.envelope for message in said if message.envelope is not None][-1]
    return last


def _document(text: bytes, member: str) -> dict[str, Any]:
    from sandbox.core.canonical import parse
    from sandbox.core.errors import Conflict
    from sandbox.core.signing import unverified

    if member not in parse(text):
        raise Conflict(
            "negotiation.state", f"What was said last is no {member}, and is not answered so.",
            hint="See whose turn it is: sandbox negotiate list",
        )  # fmt: skip
    return unverified(text, member)[0]


def _directed(exchange: Any, dataset: str, buyer: str, terms: dict[str, Any]) -> dict[str, Any]:
    from sandbox.contracts.terms import offer_document
    from sandbox.core.errors import NotFound
    from sandbox.core.terms import ParticipantId
    from sandbox.exchange.grants import statement_document

    version = next((each for each in exchange.datasets() if each.dataset == dataset), None)
    if version is None:
        raise NotFound("dataset.unknown", f"No dataset {dataset!r} is listed.", hint="See: sandbox datasets")
    now, statement = exchange.house.now(), statement_document(version.descriptor)
    return offer_document(
        terms, version.dataset, version.digest, version.provider, now, statement, buyer=ParticipantId(buyer)
    )


def _tell(moved: Any) -> None:
    from sandbox.contracts.negotiation import due

    click.echo(moved.id)
    waits = due(moved)
    say.done(f"{moved.state}" + (f"; the {waits} goes on" if waits else ""))
