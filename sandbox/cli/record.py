"""The verbs that read the record: the version, and the volume."""

from pathlib import Path

import click

from sandbox import __version__
from sandbox.cli import say


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(__version__)


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
