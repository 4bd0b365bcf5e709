"""The verb ``contract``: what a contract says in plain sentences, a draft to start from, what two of them differ in."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from sandbox.cli import say
from sandbox.core.terms import ReleaseMode

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_ENVELOPES: Final = ("offer", "request", "contract")
_LANGUAGE: Final = click.option(
    "--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True, help="Language of the sentences."
)


@click.group()
def contract() -> None:
    """Read contracts in plain sentences, and draft their terms."""


@contract.command()
@click.argument("file", type=_FILE)
@_LANGUAGE
@say.json_option
def explain(file: Path, lang: str, *, as_json: bool) -> None:
    """Say FILE clause by clause: terms, an offer, a request or an agreement, signed or not.

    Signatures are counted here, never verified: that takes the exchange's register of keys.
    """
    from sandbox.contracts.explain import explain as sentences
    from sandbox.core.canonical import digest_of

    document, signatures = _document(file)
    clauses = sentences(document)
    if as_json:
        found: dict[str, Any] = {"id": digest_of(document) if "type" in document else None}
        found |= {"signatures_present": signatures, "signatures_verified": False}
        found["clauses"] = [asdict(clause) for clause in clauses]
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    say.table([[clause.member, getattr(clause, lang)] for clause in clauses], ["clause", "says"])
    if "type" in document:
        click.echo(f"\n{digest_of(document)}")
        say.done(f"{signatures} signatures are present; whether they are good was not looked at")


@contract.command()
@click.argument("descriptor", type=_FILE)
@click.option(
    "--release", type=click.Choice([mode.value for mode in ReleaseMode]), required=True, help="How answers may leave."
)
@click.option("--query", "queries", multiple=True, help="Digest of an approved query (release template).")
@click.option("--bounds", multiple=True, metavar="COLUMN=LOW:HIGH", help="Bounds of a measure (release dp).")
@say.out_option
def draft(descriptor: Path, release: str, queries: tuple[str, ...], bounds: tuple[str, ...], out: Path | None) -> None:
    """Draft terms for a dataset from its DESCRIPTOR (descriptor.json); read and change them before you sign."""
    from sandbox.catalog.dataset import read_descriptor
    from sandbox.catalog.descriptor import describe
    from sandbox.contracts.drafting import draft as drafted
    from sandbox.core.canonical import parse
    from sandbox.settings import share

    template = parse(say.read_file(share("contracts") / "templates" / f"{release}.json"))
    facts = describe(read_descriptor(say.read_file(descriptor)))
    terms = drafted(facts, template, queries, dict(map(_bounds, bounds)))
    say.write(json.dumps(terms, ensure_ascii=False, indent=1).encode() + b"\n", out)
    say.done("a draft: decide on purposes, term, price and rights, then sandbox contract explain FILE")


@contract.command()
@click.argument("first", type=_FILE)
@click.argument("second", type=_FILE)
@_LANGUAGE
@say.json_option
def diff(first: Path, second: Path, lang: str, *, as_json: bool) -> None:
    """Say the clauses in which FIRST and SECOND differ, such as an offer and the request that answers it."""
    from sandbox.contracts.explain import differences

    found = differences(_document(first)[0], _document(second)[0])
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=1))
    elif not found:
        say.done("they say the same")
    else:
        rows = [[each.member, *(getattr(clause, lang, "—") for clause in (each.first, each.second))] for each in found]
        say.table(rows, ["clause", first.name, second.name])


def _document(file: Path) -> tuple[dict[str, Any], int]:
    """What a file holds, out of its envelope, and how many signatures are beside it."""
    from sandbox.core.canonical import parse
    from sandbox.core.signing import unverified

    content = say.read_file(file).strip()
    outer = parse(content)
    member = next((name for name in _ENVELOPES if name in outer), None)
    if member is None:
        return outer, 0
    document, signatures = unverified(content, member)
    return document, len(signatures)


def _bounds(text: str) -> tuple[str, tuple[int, int]]:
    column, _, rest = text.partition("=")
    numbers: Sequence[str] = rest.split(":")
    try:
        low, high = map(int, numbers)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not COLUMN=LOW:HIGH, such as gia_ve_vnd=0:7000.") from None
    return column, (low, high)
