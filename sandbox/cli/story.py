"""What the demo says to people: short coloured lines, progress bars on a terminal, and three tables at the end."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sandbox.core.errors import SandboxError

if TYPE_CHECKING:
    from rich.progress import Progress

    from sandbox.catalog.listing import DatasetVersion
    from sandbox.cli.market import Deal
    from sandbox.cli.pilot import Asked, Pilot
    from sandbox.exchange.query import Result

_T = TypeVar("_T")


class Narrator:
    """Speaks to stdout, or not at all when the demo prints JSON."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._refusals: list[tuple[str, str, str]] = []
        self._progress: Progress | None = None

    def say(self, words: str) -> None:
        """One line of the story."""
        self._line(click.style("• ", fg="cyan") + words)

    def _line(self, words: str) -> None:
        if self.quiet:
            return
        if self._progress is None:
            click.echo(words)
        else:  # above the bar, which is then drawn anew
            from rich.text import Text

            self._progress.console.print(Text.from_ansi(words), soft_wrap=True)

    def track(self, title: str, items: Iterable[_T]) -> Iterator[_T]:
        """Go through items; on a terminal with a progress bar."""
        listed = list(items)
        if self.quiet or not sys.stdout.isatty():
            yield from listed
            return
        from rich.progress import Progress

        with Progress(transient=True) as progress:
            self._progress = progress
            try:
                yield from progress.track(listed, description=title)
            finally:
                self._progress = None

    def published(self, version: "DatasetVersion") -> None:
        """A dataset is listed."""
        from sandbox.market.money import grouped

        name, title = click.style(version.dataset, bold=True), version.descriptor.title["en"]
        self.say(f"{version.provider} publishes {name}: {title}, {grouped(version.rows)} rows")

    def agreed(self, deal: "Deal") -> None:
        """An agreement stands."""
        self.say(f"{deal.provider} and {deal.buyer} sign a contract on {deal.dataset}, the exchange countersigns")

    def bargained(self, deal: "Deal", asked_vnd: int, met_vnd: int) -> None:
        """A price was negotiated."""
        from sandbox.market.money import dong

        words = f"{deal.buyer} asks for {dong(asked_vnd)} a query, {deal.provider} counters with {dong(met_vnd)}"
        self.say(words + ": accepted, agreed, confirmed, finalised")

    def answered(self, asked: "Asked", result: "Result") -> None:
        """A query was answered."""
        from sandbox.market.money import dong

        withheld = click.style(", small groups withheld", fg="yellow") if result.groups_withheld else ""
        price = f"{result.rows:>5} rows  {dong(result.price_vnd):>10}"
        self._line(click.style("✓ ", fg="green") + f"{price}  {asked.title}{withheld}")

    def refused(self, tries: str, error: SandboxError) -> None:
        """A request was refused, as it must be."""
        reason = ", ".join(error.reasons) or error.code
        self._refusals.append((tries, reason, error.message))
        self._line(click.style("✗ refused  ", fg="red") + f"{tries}  [{reason}]")

    def volume(self, pilot: "Pilot") -> None:
        """The transaction volume, by dataset."""
        if self.quiet:
            return
        from sandbox.cli.say import table
        from sandbox.market.money import dong, grouped

        parts = dict(pilot.exchange.volume_by("dataset")) | {"total": pilot.exchange.volume()}
        click.echo("\n" + click.style("Transaction volume", bold=True))
        table(
            [
                [name, str(part.count), dong(part.value_vnd), grouped(part.rows), grouped(part.bytes)]
                for name, part in parts.items()
            ],
            ["dataset", "count", "value", "rows", "bytes"],
        )
        click.echo("\n" + click.style("Refused, and on the record", bold=True))
        table([[tries, reason, why] for tries, reason, why in self._refusals], ["what was tried", "rule", "why"])

    def verified(self, pilot: "Pilot") -> None:
        """The regulator's verdict."""
        words = f"log verified offline: {pilot.size} entries, {len(pilot.results)} receipts, root {pilot.root}"
        self._line("\n" + click.style("✓ ", fg="green") + words)
        self._line(
            f"  cosigned by {pilot.witnesses} witness of the regulator's; folded, it gives the books to the đồng"
        )

    def close(self, document: Mapping[str, Any], home: Path, agreement: str) -> None:
        """How long it took, and what to try next, as it can be typed here."""
        if self.quiet:
            return
        command = "sandbox" if shutil.which("sandbox") else Path(sys.argv[0])
        click.echo(click.style("  ", fg="green") + f"{document['seconds']['total']:.1f} s in all\n")
        click.echo(click.style("Try next", bold=True))
        token = home / "keys" / "truong-dai-hoc.token"
        sql = "SELECT dia_phuong, hang, nguon FROM chi_so_cds WHERE chi_so = 'dti' AND hang <= 5 ORDER BY hang"
        options = f"--home {home} --token-file {token} -a {agreement[7:19]} --purpose nghien_cuu"
        click.echo(f'  {command} query {options} "{sql}"')
        click.echo(f"  {command} verify log {home / 'log'} --vkey {home / 'log.vkey'} --replay")
        click.echo(f"  {command} serve --home {home}")
