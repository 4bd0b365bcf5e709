"""The regulator's verbs: verify without the exchange, and read the volume."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from sandbox import __version__
from sandbox.cli import say


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(__version__)


@click.group()
def verify() -> None:
    """Check a log or a receipt, offline, with one key file. Imports nothing of the exchange."""


_file = click.Path(path_type=Path, dir_okay=False)
_vkey = click.option("--vkey", "vkey_file", type=_file, required=True, help="The log's verifier key (log.vkey).")


@verify.command("log")
@click.argument("directory", type=click.Path(path_type=Path))
@_vkey
@click.option("--old", type=_file, help="A checkpoint you kept: the log must still contain what it promised.")
@say.json_option
def verify_log(directory: Path, vkey_file: Path, old: Path | None, *, as_json: bool) -> None:
    """Check every entry, tile and signature of the exported log in DIRECTORY."""
    from sandbox.audit import verify as audit
    from sandbox.audit.note import b64

    kept = say.read_file(old) if old else None
    verdict = audit.verify_log(directory, say.read_file(vkey_file).decode().strip(), kept)
    totals, root = verdict.totals, b64(verdict.root)
    if as_json:
        document = {"verified": True, "size": verdict.size, "root": root, "volume": asdict(totals)}
        click.echo(json.dumps(document | {"entries": dict(verdict.entries)}, ensure_ascii=False))
        return
    say.done(f"verified: {verdict.size} entries, root {root}")
    say.table([[kind, str(count)] for kind, count in sorted(verdict.entries.items())], ["entry", "count"])
    click.echo(f"settled: {totals.count} queries, {totals.vnd} VND, {totals.rows} rows, {totals.bytes} bytes")
    if kept is None:
        click.echo(f"Keep {directory / 'checkpoint'}: next time --old FILE proves that nothing was rewritten since.")


@verify.command("receipt")
@click.argument("file", type=_file)
@_vkey
@say.json_option
def verify_receipt(file: Path, vkey_file: Path, *, as_json: bool) -> None:
    """Check that the receipt in FILE is what the log recorded."""
    from sandbox.audit import verify as audit

    verdict = audit.verify_receipt(say.read_file(file), say.read_file(vkey_file).decode().strip())
    if as_json:
        click.echo(json.dumps({"verified": True} | asdict(verdict), ensure_ascii=False))
        return
    say.done(f"verified: entry {verdict.index} of {verdict.size}, {verdict.entry['type']}")
    for name, value in verdict.revealed.items():
        click.echo(f"  {name}: {json.dumps(value, ensure_ascii=False)}")


@click.command()
@say.home_option
@say.json_option
@click.option("--by", type=click.Choice(["day", "provider", "buyer", "dataset", "sector"]), help="One row for each.")
def volume(home: Path | None, by: str | None, *, as_json: bool) -> None:
    """Show the transaction volume: from the ledger, and equal to the log's own count."""
    from sandbox.bootstrap import build
    from sandbox.market.volume import Volume

    with build(say.settings_of(home)) as exchange:
        total, parts = exchange.counted_volume(by)

    def row(name: str, part: Volume) -> dict[str, object]:
        head: dict[str, object] = {by or "period": name}
        counted: dict[str, object] = {
            "count": part.count,
            "value_vnd": int(part.value_vnd),
            "rows": part.rows,
            "bytes": part.bytes,
        }
        return head | counted

    say.show([*(row(name, part) for name, part in parts.items()), row("total", total)], as_json=as_json)
