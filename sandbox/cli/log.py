"""The operator's verbs for the log: how it stands, publish it, bring back what its database has lost."""

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli import say
from sandbox.core.errors import SandboxError, Tampered

if TYPE_CHECKING:
    from sandbox.audit.recovery import Missing
    from sandbox.bootstrap import Record
    from sandbox.settings import Settings


@click.group()
def log() -> None:
    """Look at the exchange's log, publish it, recover it."""


@log.command(short_help="Show how database, files and witnesses stand.")
@say.home_option
@say.json_option
def status(home: Path | None, *, as_json: bool) -> None:
    """Show how far the database, the published log and the witnesses are; exit 7 when they contradict each other."""
    from sandbox.audit import start
    from sandbox.bootstrap import open_record
    from sandbox.exchange import consistency

    settings = say.settings_of(home)
    with open_record(settings) as record:
        found, asked = _standing(record), _asked(settings)
        if as_json:
            click.echo(json.dumps(found | ({"asked": asked} if asked else {}), ensure_ascii=False))
        else:
            rows = [[name, _shown(said["size"]), said["root"] or ""] for name, said in found.items()]
            say.table(rows, ["log", "entries", "root"])
            if asked:
                say.line(f"witnesses: {asked}")
        start.require_sound(record.engine, record.folder, record.log.verifier)
        with start.snapshot(record.engine) as connection:
            consistency.require_recorded(connection)
    say.done("database and published log agree")


def _asked(settings: "Settings") -> str:
    """How the witnesses answered last; empty where none are asked."""
    from sandbox.exchange import witnessing

    try:
        return witnessing.standing(settings) if settings.witness_policy else ""
    except SandboxError as error:  # a policy that cannot be read hides nothing else
        return f"{error.message} [{error.code}]"


def _shown(size: int | None) -> str:
    return "unreadable" if size is None else str(size)


def _standing(record: "Record") -> dict[str, dict[str, Any]]:
    """Size and root of each, as far as they can be read at all."""
    from sandbox.audit import store
    from sandbox.audit.cosignatures import witnessed_size
    from sandbox.audit.note import b64, read_checkpoint
    from sandbox.audit.tiles import checkpoint_in, size_of

    found: dict[str, dict[str, Any]] = {name: {"size": None, "root": None} for name in ("database", "published")}
    with record.engine.connect() as connection:
        witnessed = witnessed_size(connection)
        try:
            head = store.newest_head(connection)
            found["database"] = {"size": head.size, "root": b64(head.root)}
        except Tampered:  # said at the end
            pass
    try:
        content = checkpoint_in(record.folder)
        promise = read_checkpoint(size_of(content)[1]) if content else None
        found["published"] = {"size": promise.size, "root": b64(promise.root)} if promise else {"size": 0, "root": None}
    except SandboxError:
        pass
    return found | {"witnessed": {"size": witnessed, "root": None}}


@log.command()
@say.home_option
@click.option("--anew", is_flag=True, help="Publish every file again; the old ones are kept aside.")
def export(home: Path | None, *, anew: bool) -> None:
    """Bring the published files up to the database."""
    from sandbox.audit import anew as again
    from sandbox.audit.start import require_whole, snapshot
    from sandbox.bootstrap import open_record

    with open_record(say.settings_of(home)) as record:
        with snapshot(record.engine) as connection:
            require_whole(connection, record.log.verifier)
        if anew:
            kept = again.export_anew(record.engine, record.folder, record.log.verifier, secrets.token_hex(4))
            if kept:
                say.done(f"the old files are kept in {kept}")
        size = again.export_whole(record.engine, record.folder)
    say.done(f"{size} entries are published in {record.folder}")


@log.command(short_help="Bring back entries that the database has lost.")
@say.home_option
@say.json_option
@click.option("--yes", is_flag=True, help="Do it; without, only show what is missing.")
def recover(home: Path | None, *, as_json: bool, yes: bool) -> None:
    """Bring back entries that were published and that the database has lost, as after a restored backup."""
    from sandbox.audit import recovery
    from sandbox.audit.anew import export_whole
    from sandbox.bootstrap import open_record
    from sandbox.core.clock import SystemClock

    with open_record(say.settings_of(home)) as record:
        found = recovery.missing(record.engine, record.folder, record.log.verifier)
        if found is None:
            if as_json:
                click.echo(json.dumps({"entries": {}}))
            say.done("nothing is missing: the database has all that was published")
            return
        _tell(found, as_json=as_json)
        if not yes:
            click.echo("Nothing was changed. To bring the entries back: the same with --yes", err=True)
            return
        entry = recovery.recover(record.engine, record.log, record.folder, found, SystemClock())
        export_whole(record.engine, record.folder)
    say.done(f"{found.last - found.first + 1} entries are back, and {entry} says so in the log")


def _tell(found: "Missing", *, as_json: bool) -> None:
    if as_json:
        span = {"from": found.first, "to": found.last, "since": found.since, "until": found.until}
        click.echo(json.dumps(span | {"entries": dict(found.entries), "hand_in_again": [*found.again]}))
    else:
        click.echo(f"Published and not in the database: entries {found.first} to {found.last}.")
        click.echo(f"They were recorded from {found.since} to {found.until}.")
        say.table([[kind, str(count)] for kind, count in found.entries.items()], ["entry", "count"])
    words = (
        "Only the log can be brought back. What these entries did is NOT brought back: wallets, agreements, datasets, "
        "tokens and runs stay as the database has them. Settle with the parties what is owed; the entries say it."
    )
    click.echo(click.style(words, fg="yellow"), err=True)
    for digest in found.again:
        click.echo(f"  a charter or an order that must be handed in again: {digest}", err=True)
