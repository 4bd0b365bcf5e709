"""A whole pilot exchange on this machine: publish, contract, query, refuse, settle, and verify the log offline."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sandbox.cli import say
from sandbox.cli.story import Narrator
from sandbox.core.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.cli.pilot import Attempt, Pilot

DEFAULT_SCALE: Final = 0.05


@dataclass(slots=True)
class Report:
    """What the demo did; becomes its JSON document."""

    completed: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how many seconds a stage took."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


@click.command()
@click.option("--home", type=click.Path(path_type=Path), default=Path(".sandbox/demo"), show_default=True)
@click.option(
    "--scale", type=click.FloatRange(0.001, 1.0), default=DEFAULT_SCALE, show_default=True, help="1.0: full size."
)
@say.json_option
def demo(home: Path, scale: float, *, as_json: bool) -> None:
    """Run a whole pilot exchange on this machine and verify its log.

    An earlier demo in the same folder is replaced. The demo plays every part, so it holds every key; in a real exchange
    each party keeps its own.
    """
    from sandbox.cli.pilot import Pilot

    narrator, report = Narrator(quiet=as_json), Report()
    with Pilot.open(home, narrator) as pilot:
        _play(pilot, narrator, report, scale)
        document = _document(pilot, report)
    narrator.close(document, home, pilot.agreements["chi_so_cds"])
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    for problem in report.problems:
        click.echo(f"✗ {problem}", err=True)
    if report.problems:
        sys.exit(1)


def _play(pilot: "Pilot", narrator: Narrator, report: Report, scale: float) -> None:
    with report.timed("publish"):
        pilot.admit_everyone()
        pilot.publish(scale)
    with report.timed("agree"):
        pilot.agree()
    with report.timed("query"):
        for asked in narrator.track("Buyers ask", pilot.questions()):
            try:
                result = pilot.ask(asked)
            except SandboxError as error:
                report.problems.append(f"{asked.title}: {error.code} {error.message}")
            else:
                report.completed += 1
                narrator.answered(asked, result)
    with report.timed("refuse"):
        for attempt in pilot.attempts():
            _try(attempt, narrator, report)
    with report.timed("verify"):
        _verify(pilot, narrator, report)


def _try(attempt: "Attempt", narrator: Narrator, report: Report) -> None:
    try:
        attempt.make()
    except SandboxError as error:
        report.refused += error.query is not None
        narrator.refused(attempt.tries, error)
        if attempt.expected not in {error.code, *error.reasons}:
            report.problems.append(f"{attempt.tries}: refused by {error.code}, expected {attempt.expected}")
    else:
        report.problems.append(f"{attempt.tries}: was answered")


def _verify(pilot: "Pilot", narrator: Narrator, report: Report) -> None:
    try:
        pilot.verify()
    except SandboxError as error:
        report.problems.append(f"verification: {error.code} {error.message}")
        return
    narrator.volume(pilot)
    narrator.verified(pilot)


def _document(pilot: "Pilot", report: Report) -> dict[str, Any]:
    volume, refusals = pilot.exchange.volume(), pilot.exchange.refusals()
    report.seconds["total"] = round(sum(report.seconds.values()), 3)
    return {
        "datasets": len(pilot.exchange.datasets()),
        "agreements": len(pilot.exchange.agreements()),
        "queries": {"completed": report.completed, "refused": report.refused, "by_reason": dict(refusals)},
        "volume": {
            "count": volume.count,
            "value_vnd": int(volume.value_vnd),
            "rows": volume.rows,
            "bytes": volume.bytes,
        },
        "log": {"size": pilot.size, "root": pilot.root, "verified": pilot.root != ""},
        "seconds": report.seconds,
    }
