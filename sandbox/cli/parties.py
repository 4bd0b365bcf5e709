"""The providers' and buyers' verbs: keys, datasets, offers, agreements, queries. Private keys stay here."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import click

from sandbox.cli import say


@click.command()
@click.argument("owner")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder.")
@click.option(
    "--alg", type=click.Choice(["Ed25519", "ES256", "PS256", "ML-DSA-65"]), default="Ed25519", show_default=True
)
@click.option(
    "--use", type=click.Choice(["contract", "request", "witness"]), default="contract", show_default=True,
    help="What it signs: contracts, requests to the API, or checkpoints of the log.",
)  # fmt: skip
def keygen(owner: str, directory: Path, alg: str, use: str) -> None:
    """Make a signing key for OWNER: OWNER.jwk (keep it) and OWNER.pub.jwk (hand it to the exchange).

    A key of another use than contracts bears it in its file's name, such as OWNER.request.jwk. --use witness makes the
    key that a participant registers; whoever serves a witness makes its key by sandbox witness keygen.
    """
    from sandbox.core.errors import Invalid
    from sandbox.core.keys import new_key, write_key
    from sandbox.core.terms import SLUG

    if not SLUG.fullmatch(owner):
        raise Invalid("participant.invalid", f"{owner!r} is no participant id.", hint="Write it like cong-ty-fintech.")
    if use != "contract" and alg != "Ed25519":
        raise Invalid("key.unsupported", f"A {use} key is an Ed25519 key, not {alg}.", hint="Leave out --alg.")
    directory.mkdir(parents=True, exist_ok=True)
    key, name = new_key(owner, alg), owner if use == "contract" else f"{owner}.{use}"
    write_key(key, directory / f"{name}.jwk")
    say.done(f"key {key.kid} in {directory / name}.jwk; hand {name}.pub.jwk to the exchange")


@click.command()
@click.argument("parquet", type=click.Path(path_type=Path))
@click.option("--id", "dataset", required=True, help="The dataset's id, which is its name in SQL.")
@say.out_option
def describe(parquet: Path, dataset: str, out: Path | None) -> None:
    """Draft a descriptor from PARQUET; fill in what it leaves open, then publish."""
    from sandbox.catalog.dataset import draft_descriptor

    text = json.dumps(draft_descriptor(parquet, dataset), ensure_ascii=False, indent=1) + "\n"
    say.write(text.encode(), out)


@click.command()
@say.home_option
@say.key_option
@click.argument("folder", type=click.Path(path_type=Path))
def publish(home: Path | None, key_file: Path, folder: Path) -> None:
    """Sign and publish FOLDER: its descriptor.json and its Parquet files."""
    from sandbox.bootstrap import build
    from sandbox.core.keys import read_key

    settings, key = say.settings_of(home), read_key(key_file)
    descriptor, files, envelope = signed_folder(folder, key)
    with build(settings) as exchange:
        version = exchange.publish(descriptor, files, envelope)
    say.done(f"{version.dataset} is listed: {version.rows} rows, {version.bytes} bytes, version {version.digest}")


def signed_folder(folder: Path, key: Any) -> tuple[bytes, list[Path], bytes]:
    """A dataset folder's descriptor, its Parquet files in order of name, and its manifest signed by ``key``.

    Raises:
        NotFound: ``file.missing`` without a descriptor.
        Invalid: no Parquet file, or files and descriptor differ.
    """
    from sandbox.catalog import dataset
    from sandbox.core import signing
    from sandbox.core.errors import Invalid
    from sandbox.exchange.publish import MANIFEST, MANIFEST_TYPE

    content = say.read_file(folder / "descriptor.json")
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise Invalid("parquet.missing", f"There is no .parquet file in {str(folder)!r}.", hint="Put the data there.")
    descriptor = dataset.read_descriptor(content)
    manifest = dataset.manifest(descriptor, dataset.examine(descriptor, files))
    return content, files, signing.envelope(MANIFEST, manifest, [signing.sign(manifest, key, MANIFEST_TYPE)])


@click.command()
@say.home_option
@say.json_option
def datasets(home: Path | None, *, as_json: bool) -> None:
    """List the datasets on offer."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        rows = [
            {
                "dataset": version.dataset,
                "provider": version.provider,
                "class": version.descriptor.data_class,
                "title": version.descriptor.title["en"],
                "version": version.digest if as_json else version.digest[7:19],
            }
            for version in exchange.datasets()
        ]
    say.show(rows, as_json=as_json)


@click.command()
@say.home_option
@say.key_option
@say.certificates_option
@click.argument("dataset")
@click.option("--terms", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Terms (JSON).")
@say.out_option
def offer(
    home: Path | None, key_file: Path, certificates: Path | None, dataset: str, terms: Path, out: Path | None
) -> None:
    """Sign an offer of DATASET's newest version and register it; prints the signed offer."""
    from sandbox.bootstrap import build
    from sandbox.core.keys import read_key

    settings, key, content = say.settings_of(home), read_key(key_file), say.read_file(terms)
    with build(settings) as exchange:
        envelope = signed_offer(exchange, dataset, content, key, say.chain_of(certificates))
        offered = exchange.offer(envelope)
    say.write(envelope + b"\n", out)
    say.done(f"offer {offered.id} is registered")


def signed_offer(exchange: Any, dataset: str, terms: bytes, key: Any, chain: tuple[bytes, ...] = ()) -> bytes:
    """An offer of a dataset's newest version under some terms, signed by its provider.

    Raises:
        NotFound: ``dataset.unknown``.
        Invalid: the terms are malformed.
    """
    from sandbox.contracts import envelope
    from sandbox.contracts.terms import offer_document
    from sandbox.core.canonical import parse
    from sandbox.core.errors import NotFound
    from sandbox.exchange.grants import statement_document

    version = next((each for each in exchange.datasets() if each.dataset == dataset), None)
    if version is None:
        raise NotFound("dataset.unknown", f"No dataset {dataset!r} is listed.", hint="See: sandbox datasets")
    now, statement = exchange.house.now(), statement_document(version.descriptor)
    document = offer_document(parse(terms), version.dataset, version.digest, version.provider, now, statement)
    return envelope.sign_offer(document, key, chain)


@click.command()
@say.home_option
@say.json_option
def offers(home: Path | None, *, as_json: bool) -> None:
    """List the offers."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        rows = [
            {
                "offer": each.id if as_json else each.id[7:19],
                "dataset": each.dataset,
                "provider": each.provider,
                "purposes": ",".join(each.terms.purposes),
                "price_vnd": int(each.terms.price),
                "not_after": each.terms.not_after.isoformat() if as_json else f"{each.terms.not_after:%d/%m/%Y}",
            }
            for each in exchange.offers()
        ]
    say.show(rows, as_json=as_json)


@click.command()
@say.key_option
@say.certificates_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@say.out_option
def sign(key_file: Path, certificates: Path | None, file: Path, out: Path | None) -> None:
    """Sign FILE: a buyer signs an offer into an agreement, a provider countersigns that agreement."""
    from sandbox.contracts import envelope
    from sandbox.core.clock import SystemClock
    from sandbox.core.keys import read_key
    from sandbox.core.signing import unverified

    key, content = read_key(key_file), say.read_file(file).strip()
    chain = say.chain_of(certificates)
    signed = envelope.accept_offer(content, key, secrets.token_bytes(32), SystemClock().now(), chain)
    say.write(signed + b"\n", out)
    parties = len(unverified(signed, envelope.CONTRACT)[1])
    say.done("signed; the provider signs next" if parties == 1 else "signed; now hand it in: sandbox agree FILE")


@click.command()
@say.home_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def agree(home: Path | None, file: Path) -> None:
    """Hand in the agreement in FILE, signed by buyer and provider; the exchange countersigns and records it."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        agreement = exchange.agree(say.read_file(file).strip())
    click.echo(agreement.id)
    say.done(f"{agreement.buyer} may query {agreement.dataset} until {agreement.not_after:%d/%m/%Y}")


@click.command()
@say.home_option
@say.json_option
def agreements(home: Path | None, *, as_json: bool) -> None:
    """List the agreements."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        rows = [
            {
                "agreement": row.id if as_json else row.id[7:19],
                "dataset": row.dataset,
                "provider": row.provider,
                "buyer": row.buyer,
                "state": row.state,
            }
            for row in exchange.agreements()
        ]
    say.show(rows, as_json=as_json)


@click.command()
@say.home_option
@click.argument("sql")
@click.option("-a", "--agreement", "names", multiple=True, required=True, help="Agreement: digest or unique prefix.")
@click.option("--purpose", required=True, help="One of the agreement's purposes.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), help="API token. [env: SANDBOX_TOKEN]")
@click.option("--url", help="Ask this exchange over HTTP instead of a local home. [env: SANDBOX_URL]")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Sign what is sent over HTTP with this request key (keygen --use request).",
)
@click.option("--max-price-vnd", type=click.IntRange(0), help="Refuse a price above this.")
@click.option("-o", "--format", "form", type=click.Choice(["table", "json", "csv", "arrow"]), default="table")
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Write the receipt to this file.")
@say.out_option
def query(home: Path | None, sql: str, token_file: Path | None, url: str | None, form: str, **asked: Any) -> None:
    """Run one SELECT under an agreement. SQL may be - for stdin, or @FILE."""
    from sandbox.core.errors import Invalid
    from sandbox.settings import from_environ

    named = from_environ()
    token = say.read_file(token_file).decode().strip() if token_file else str(named.get("token", ""))
    text = _sql(sql)
    remote = url or str(named.get("url") or "")
    if remote:
        ipc, receipt, words = _over_http(remote, token, text, asked)
    elif asked["key_file"]:
        raise Invalid("request.local", "A key signs what is sent over HTTP.", hint="Add --url, or leave out --key.")
    else:
        ipc, receipt, words = _at_home(home, token, text, asked)
    say.done(words)
    if asked["receipt"]:
        asked["receipt"].write_bytes(receipt)
    _give(ipc, form, asked["out"])


def _sql(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    return say.read_file(Path(text[1:])).decode() if text.startswith("@") else text


def _at_home(home: Path | None, token: str, sql: str, asked: dict[str, Any]) -> tuple[bytes, bytes, str]:
    from sandbox.bootstrap import build
    from sandbox.core.errors import NotIdentified
    from sandbox.exchange.case import QueryRequest
    from sandbox.market.money import dong

    if not token:
        raise NotIdentified("identity.missing", "Who asks?", hint="Give --token-file, or set SANDBOX_TOKEN.")
    settings = say.settings_of(home)
    with build(settings) as exchange:
        who = exchange.identify(token)
        result = exchange.query(who, QueryRequest(sql, asked["names"], asked["purpose"], asked["max_price_vnd"]))
        receipt = exchange.receipt(who.participant, result.id)
    (settings.home / "receipts" / f"{result.id}.json").write_bytes(receipt)
    words = f"{result.id}: {result.rows} rows, {dong(result.price_vnd)}"
    return result.ipc, receipt, words + (", small groups withheld" if result.groups_withheld else "")


def _over_http(url: str, token: str, sql: str, asked: dict[str, Any]) -> tuple[bytes, bytes, str]:
    from sandbox.client import sdk
    from sandbox.market.money import dong

    with sdk.connect(url, token, key=asked["key_file"]) as exchange:
        result = exchange.query(
            sql, agreements=asked["names"], purpose=asked["purpose"], max_price_vnd=asked["max_price_vnd"]
        )
        receipt = result.receipt()
    words = f"{result.id}: {result.rows} rows, {dong(result.price_vnd)}"
    return result.ipc, receipt, words + (", small groups withheld" if result.groups_withheld else "")


def _give(ipc: bytes, form: str, out: Path | None) -> None:
    from sandbox.api import render
    from sandbox.core.errors import Invalid

    if form == "arrow":
        if out is None and os.isatty(1):
            raise Invalid("output.binary", "An Arrow stream is no text for a terminal.", hint="Add --out FILE.")
        say.write(ipc, out)
    elif form == "csv":
        say.write(render.csv_bytes(ipc), out)
    elif form == "json":
        names = render.columns(ipc)
        rows = [dict(zip(names, row, strict=True)) for row in render.rows(ipc)]
        say.write(json.dumps(rows, ensure_ascii=False, indent=1).encode() + b"\n", out)
    else:
        say.table(
            [["" if cell is None else str(cell) for cell in row] for row in render.rows(ipc)], render.columns(ipc)
        )
