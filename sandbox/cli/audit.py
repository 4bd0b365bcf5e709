"""The verbs of the regulator's desk, in the exchange's own house: search the record, read it, carry it away."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sandbox.cli import say
from sandbox.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from sandbox.exchange.desk import CompleteTo, Seen, Shown

_F = TypeVar("_F", bound=Callable[..., Any])
_FOLLOW_SECONDS: Final = 1.0
_LONGEST: Final = 600
_FILTERS: Final = {
    "actor": "Who acted: a participant's id.",
    "participant": "Who acted or is named: a participant's id.",
    "dataset": "A dataset's id.",
    "agreement": "An agreement's digest.",
    "query": "A query's id.",
    "code": "The code of a refusal or failure, such as budget.exhausted.",
    "reason": "A rule that refused, such as CONT-03.",
    "type": "A type of entry, such as query.refused.",
    "entry": "What was said later about this entry (its id), such as an erasure.",
    "digest": "A digest in clear (version, offer, policies …), or of a document or result.",
    "from": "From this day (Ho Chi Minh City) or instant on.",
    "to": "Up to this day (included) or instant (not included).",
}


def _filters(command: _F) -> _F:
    for name, words in reversed(_FILTERS.items()):
        command = click.option(f"--{name}", f"by_{name}", help=words)(command)
    return command


def _given(options: dict[str, Any]) -> dict[str, str]:
    return {name: options[f"by_{name}"] for name in _FILTERS if options[f"by_{name}"] is not None}


@click.group(cls=LazyGroup, elsewhere={"pack": "sandbox.cli.pack:pack"})
def audit() -> None:
    """Search the record and read it; every answer says up to which entry it is complete."""


@audit.command()
@say.home_option
@say.json_option
@click.option("-n", "last", type=click.IntRange(0), default=20, show_default=True, help="How many of the newest.")
@click.option("-f", "--follow", "on", is_flag=True, help="Go on with each as it is recorded, until Ctrl-C.")
def tail(home: Path | None, last: int, *, on: bool, as_json: bool) -> None:
    """Show the newest entries."""
    import time

    from sandbox.bootstrap import build
    from sandbox.exchange import desk

    def wait() -> bool:
        if on:
            time.sleep(_FOLLOW_SECONDS)
        return not on

    with build(say.settings_of(home)) as exchange:
        for seen in desk.follow(exchange.house, last, wait):
            click.echo(_json(desk.seen_document(seen)) if as_json else _line(_row(seen)))


@audit.command()
@say.home_option
@say.json_option
@_filters
@click.option("--oldest", is_flag=True, help="The oldest first.")
@click.option("--limit", type=int, default=50, show_default=True, help="Entries on a page, at most 1000.")
@click.option("--cursor", help="Go on after a page: the cursor that it ended with.")
@click.option("--reveal", is_flag=True, help="With --json: salt and value behind each seal.")
def search(home: Path | None, limit: int, cursor: str | None, **options: Any) -> None:
    """Find entries under all of the given terms."""
    from sandbox.bootstrap import build
    from sandbox.exchange import desk
    from sandbox.exchange.wanted import wanted

    as_json = options["as_json"]
    if options["reveal"] and not as_json:
        raise click.UsageError("--reveal goes with --json; without it, sandbox audit show ENTRY shows values.")
    asked = wanted(_given(options), oldest_first=options["oldest"], limit=limit, cursor=cursor)
    with build(say.settings_of(home)) as exchange:
        page = exchange.audit_entries(None, asked, reveal=options["reveal"] or not as_json)
    if as_json:
        click.echo(_json(desk.page_document(page)))
    else:  # no table: an id that is folded cannot be copied
        click.echo("".join(_line(_row(seen)) + "\n" for seen in page.entries), nl=False)
        if not page.entries:
            click.echo("no entry is found by these terms", err=True)
    _complete(page.complete_to)
    if page.next and not as_json:
        click.echo(f"more: the same with --cursor {page.next}", err=True)


@audit.command(short_help="Show an entry, or those of a query.")
@say.home_option
@say.json_option
@click.argument("name")
def show(home: Path | None, name: str, *, as_json: bool) -> None:
    """Show the entry NAME (its id or place), or all entries of the query NAME, with what their seals stand for."""
    from sandbox.bootstrap import build
    from sandbox.exchange import desk

    with build(say.settings_of(home)) as exchange:
        found = exchange.audit_entry(None, name)
    documents = [desk.shown_document(each) for each in found]
    if as_json:
        click.echo(_json(documents))
        return
    for each in found:
        _tell(each)


def _tell(shown: "Shown") -> None:
    seen, (size, at) = shown.seen, shown.checkpoint
    click.echo(_line([f"entry {seen.index}", seen.entry["id"]]))
    click.echo(_plain(json.dumps(seen.entry, ensure_ascii=False, indent=1)))
    for name, value in (seen.reveal or {}).items():
        click.echo(_plain(f"  {name}: {_short(json.dumps(value['value'], ensure_ascii=False))}"))
    for names, word in ((shown.erased, "erased"), (shown.missing, "MISSING, and no entry says that it was erased")):
        for name in names:
            click.echo(_plain(f"  {name}: {word}"))
    witnessed = f"; witnessed in that of size {shown.witnessed}" if shown.witnessed else "; not witnessed"
    click.echo(f"  promised first by the checkpoint of size {size} at {_time(at)}{witnessed}")


@audit.command(short_help="Write entries to a file.")
@say.home_option
@_filters
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="FILE.ndjson, FILE.parquet."
)
@click.option("--reveal", is_flag=True, help="With salt and value behind each seal.")
def export(home: Path | None, out: Path, *, reveal: bool, **options: Any) -> None:
    """Write the entries under all of the given terms to a file, the oldest first; a file of that name is replaced."""
    from sandbox.bootstrap import build
    from sandbox.cli.audit_file import write_entries
    from sandbox.exchange import desk
    from sandbox.exchange.wanted import wanted

    asked = wanted(_given(options), oldest_first=True)
    with build(say.settings_of(home)) as exchange:
        opened = reveal or out.suffix == ".parquet"  # a table names who acted
        complete, pages = desk.all_of(exchange.house, asked, reveal=opened)
        count = write_entries(out, pages(), desk.complete_document(complete), reveal=reveal)
    say.done(f"wrote {count} entries to {out}")
    _complete(complete)


@audit.command(short_help="Print the books, to be held against the log.")
@say.home_option
def books(home: Path | None) -> None:
    """Print the exchange's books as JSON, for: sandbox verify log --replay --books FILE."""
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        document = exchange.books()
    click.echo(_json(document))


@audit.command()
@say.home_option
def reindex(home: Path | None) -> None:
    """Make the index of the record anew from its entries."""
    from sandbox.audit import index
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        size = index.reindex(exchange.house.database)
    say.done(f"the index covers {size} entries")


# --- words ---
def _complete(complete: "CompleteTo") -> None:
    said = f"complete up to entry {complete.entries - 1}, checkpoint of size {complete.entries} at {_time(complete.at)}"
    say.done(said + (f", witnessed up to size {complete.witnessed}" if complete.witnessed else ", not witnessed"))


def _time(at: Any) -> str:
    from sandbox.core.clock import text_of

    return "–" if at is None else text_of(at)


def _short(text: str) -> str:
    """A value for people: the question that the policies were asked fills pages."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters; all of it with --json)"


def _row(seen: "Seen") -> list[str]:
    """Place, time, type, who, about what, and what it says of that."""
    from sandbox.audit.named import OWNERS

    entry, values = seen.entry, {name: each["value"] for name, each in (seen.reveal or {}).items()}
    who = next((values[name] for name in (*OWNERS, "signed_by", "to") if name in values), "")
    about = [entry[name] for name in ("query", "negotiation", "agreement", "dataset", "entry") if name in entry]
    said = [entry.get("code"), *(entry.get("reasons") or []), entry.get("act"), entry.get("state")]
    said += [f"{entry['from']}..{entry['to']}" if {"from", "to"} <= entry.keys() else None]
    said += [*(entry.get("names") or []), entry.get("basis")]
    vnd = entry.get("vnd", (entry.get("meter") or {}).get("vnd"))
    said += [] if vnd is None else [f"{vnd} VND"]
    owner = ", ".join(map(str, who)) if isinstance(who, list) else str(who or entry.get("provider", ""))
    says = " ".join(str(each) for each in said if each)
    return [str(seen.index), entry["ts"][:19] + "Z", entry["type"], owner, str(next(iter(about), "")), says]


def _line(cells: Sequence[str]) -> str:
    return _plain("  ".join(cell for cell in cells if cell))


def _plain(text: str) -> str:
    return say.plain(text)


def _json(document: object) -> str:
    return say.json_text(document)
