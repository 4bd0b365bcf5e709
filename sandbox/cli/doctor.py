"""``sandbox doctor``: shows on this machine that the jail holds, and what to do where it does not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli import say
from sandbox.core.errors import NotFound, Unavailable
from sandbox.settings import Settings, from_environ

if TYPE_CHECKING:
    from sandbox.query.doctor import Diagnosis


@click.command()
@say.home_option
@say.json_option
def doctor(home: Path | None, *, as_json: bool) -> None:
    """Have a jailed child try to get out, and show what stopped it. Works without an exchange.

    Exit code 0 when each attempt fails and the isolation that the settings require is reached, else 8.
    """
    from sandbox.query.doctor import diagnose

    settings, place = _settings(home)
    found = diagnose(place)
    if as_json:
        click.echo(json.dumps(_document(found, settings), ensure_ascii=False, indent=1))
    else:
        _show(found, settings)
    if not found.sound(settings.required_layers):
        through = sum(not line.stopped for line in found.lines)
        raise Unavailable(
            "engine.isolation",
            f"The jail does not hold here: {through} of {len(found.lines)} attempts were not stopped; "
            f"{found.reached} is reached, and {settings.require_isolation or 'nothing'} required.",
            hint="Do what is advised above, or require less with require_isolation.",
        )


def _settings(home: Path | None) -> tuple[Settings, Path | None]:
    """Of an exchange where there is one, else of the environment alone."""
    try:
        settings = say.settings_of(home)
    except NotFound:
        if home is not None:
            raise
        return Settings(**from_environ()), None  # type: ignore[arg-type]
    return settings, settings.home.resolve()


def _document(found: "Diagnosis", settings: Settings) -> dict[str, Any]:
    required = {"required": settings.require_isolation, "sound": found.sound(settings.required_layers)}
    return {"reached": found.reached, **required} | {
        "attempts": [asdict(line) for line in found.lines],
        "works": dict(found.works),
        "lacks": [asdict(lack) for lack in found.lacks],
        "versions": dict(found.versions),
    }


def _show(found: "Diagnosis", settings: Settings) -> None:
    for line in found.lines:
        by = line.by if line.stopped else f"NOT STOPPED ({line.by})"
        _tell(line.stopped, f"{line.operation:<38} {by:<24} {line.layer}")
    for words, holds in found.works.items():
        _tell(holds, f"{words:<38} {'works' if holds else 'DOES NOT WORK'}")
    for lack in found.lacks:
        click.echo(click.style("→ ", fg="yellow") + f"{lack.layer}: {lack.advice}")
    click.echo(", ".join(f"{name} {number}" for name, number in found.versions.items()))
    click.echo(f"reached {found.reached}, required {settings.require_isolation or 'nothing'}")


def _tell(good: bool, words: str) -> None:
    click.echo(click.style("✓ ", fg="green") + words if good else click.style("✗ " + words, fg="red"))
