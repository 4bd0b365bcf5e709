"""The verbs of sealed values: erase them, show them to a supervisor, check what was shown."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from sandbox.cli import say
from sandbox.cli.verify import Trust, quorum_option, trust_options, worded
from sandbox.core.errors import Conflict, Invalid
from sandbox.core.files import sync_folder

_ENTRIES: Final = re.compile(r"(?P<first>\d{1,15})(?:\.\.(?P<last>\d{1,15}))?", re.ASCII)
_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("entry", required=False)
@click.argument("names", nargs=-1)
@click.option("--participant", help="Instead of an entry: every sealed value that names this participant.")
@click.option("--basis", help="The legal basis, as CODE or 'CODE: words'; both stand in the log in clear.")
@click.option("--scrub", is_flag=True, help="Only write the database anew, without what is left of erased values.")
@say.home_option
@say.json_option
def erase(  # one verb, two ways to say what
    entry: str | None,
    names: tuple[str, ...],
    participant: str | None,
    basis: str | None,
    home: Path | None,
    **rest: bool,
) -> None:
    """Erase the sealed values NAMES of ENTRY. Entries, proofs and receipts stay as they are.

    Where they stand in a backup, or in receipts that were given, they are not erased.
    """
    from sandbox.bootstrap import build
    from sandbox.exchange import erase as erasing

    given = [entry is not None, participant is not None, rest["scrub"]]
    lacking = (entry is not None and not names) or (basis is None and not rest["scrub"])
    if sum(given) != 1 or lacking:
        hint = "sandbox erase ENTRY NAME… --basis CODE, or sandbox erase --participant ID --basis CODE."
        raise Invalid("erase.usage", "Say what is to be erased, and on which legal basis.", hint=hint)
    with build(say.settings_of(home)) as exchange:
        done: list[erasing.Erasure] = []
        if participant is not None:
            done = erasing.erase_participant(exchange.house, participant, basis or "")
        elif entry is not None:
            done = [erasing.erase(exchange.house, entry, names, basis or "")]
        clean = erasing.scrub(exchange.house)
    _tell_erased([asdict(each) for each in done], clean=clean, as_json=rest["as_json"])


def _tell_erased(erased: list[dict[str, Any]], *, clean: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"erased": erased, "scrubbed": clean}, ensure_ascii=False))
    else:
        for each in erased:
            say.done(f"erased of {each['entry']}: {', '.join(each['names'])}")
    if not clean:
        words = "Their bytes may still stand in the database's files: run sandbox erase --scrub while nothing is asked"
        click.echo(f"{words} (on PostgreSQL: VACUUM FULL log_body), and let old backups end.", err=True)


@click.command()
@click.option("--entries", required=True, metavar="A..B", help="Places in the log, both included.")
@click.option("--names", help="Only these sealed members, such as actor,sql.")
@click.option("--to", "recipient", required=True, help="The regulator who receives them.")
@click.option("--basis", required=True, help="The legal basis, as CODE or 'CODE: words'.")
@click.option("--out", type=_file, required=True, help="The file to write; one that is there is not replaced.")
@say.home_option
def disclose(entries: str, names: str | None, recipient: str, basis: str, out: Path, home: Path | None) -> None:
    """Write the values behind the seals of some entries to a file, for a regulator. The log tells of it first."""
    from sandbox.bootstrap import build
    from sandbox.exchange.disclose import Extent

    place = _ENTRIES.fullmatch(entries)
    if place is None:
        raise Invalid("disclosure.range", f"{entries[:40]!r} names no entries.", hint="Write --entries 812..815.")
    wanted = tuple(name.strip() for name in names.split(",") if name.strip()) if names is not None else None
    extent = Extent(int(place["first"]), int(place["last"] or place["first"]), wanted)
    with build(say.settings_of(home)) as exchange, new_file(out) as file:
        for part in exchange.disclose(extent, recipient, basis):
            file.write(part)
    say.done(f"wrote {out}; the log tells of it. Check it: sandbox verify disclosure {out} --log LOG --vkey FILE")


@contextmanager
def new_file(out: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read, which is there whole or not at all.

    Raises:
        Conflict: ``file.exists``: what it holds may be evidence.
        Invalid: ``file.unwritable``.
    """
    if out.exists():
        raise Conflict("file.exists", f"There is a file {str(out)!r} already.", hint="Choose another --out.")
    draft = out.with_name(f".{out.name}.part-{secrets.token_hex(4)}")
    try:
        with open(draft, "xb", opener=partial(os.open, mode=0o600)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        why = f"The file cannot be written: {error.strerror}."
        raise Invalid("file.unwritable", why, hint="Name another --out.") from None
    finally:
        draft.unlink(missing_ok=True)


@click.command("disclosure", short_help="Check what was disclosed against the log.")
@click.argument("file", type=_file)
@click.option("--log", "where", metavar="URL_OR_FOLDER", required=True, help="The log that it is held against.")
@trust_options
@quorum_option
@say.json_option
def verify_disclosure(file: Path, trust: Trust, where: str, quorum: str | None, *, as_json: bool) -> None:
    """Check that the values in FILE are those that the log sealed, and that none is left out."""
    from sandbox.audit.disclosure import verify_disclosure as verify
    from sandbox.audit.published import Published
    from sandbox.audit.source import open_source

    with worded(trust), _opened(file) as content, open_source(where) as source:
        verdict = verify(_lines(content), Published(source, trust.policy, quorum))
    header = verdict.header
    told = {"entries": verdict.entries, "shown": verdict.shown, "erased": verdict.erased, "size": verdict.size}
    if as_json:
        click.echo(say.json_text({"verified": True, "names": header.names, **told}))
        return
    say.verdict(f"verified: entries {header.first} to {header.last} of {verdict.size}")
    click.echo(f"{verdict.shown} values as they were sealed, {verdict.erased} erased as the log tells")
    if header.names is not None:
        say.line(f"only of: {', '.join(header.names)}")


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError:
        say.read_file(file)  # says what is wrong with it
        raise


def _lines(content: BinaryIO) -> Iterator[bytes]:
    from sandbox.audit.disclosure import MOST_LINE

    while line := content.readline(MOST_LINE + 2):  # a file without a line's end is not taken into memory whole
        yield line
