"""The regulator's desk: searching the record, reading entries with what their seals stand for, and up to where.

Regulator and operator see all. Anybody else sees the entries that name them or an agreement of theirs, and of sealed
values only those of entries that are their own: never what a neighbour asked, nor what the policies counted.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit import index
from sandbox.audit.bodies import Kept, kept_of, require_sealed
from sandbox.audit.cosignatures import witnessed_size
from sandbox.audit.erasures import erased_of
from sandbox.audit.events import read_entry
from sandbox.audit.named import OWNERS
from sandbox.audit.note import b64
from sandbox.audit.search import Found, Own, Wanted, search, visible
from sandbox.audit.store import log_cosignature, log_head
from sandbox.contracts import registry
from sandbox.core.canonical import Json
from sandbox.core.clock import text_of
from sandbox.core.errors import NotFound
from sandbox.core.keys import b64url
from sandbox.core.terms import OVERSEERS, Participant
from sandbox.exchange.house import House
from sandbox.exchange.wanted import MOST

_OWN: Final = (*OWNERS, "sql", "purpose", "result", "evidence", "tax_code")
"""What the owner of an entry may know of it: its own acts. The question put to the policies counts others' trade."""
_BY_HAND: Final = ("identity", "request_signature")
_PLACE: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CompleteTo:
    """Up to where an answer is complete: the first ``entries`` of the log, whose root a checkpoint signed at ``at``.

    ``witnessed`` is the size of the newest checkpoint that a witness has cosigned; None without one.
    """

    entries: int
    root: bytes
    at: datetime | None
    witnessed: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry at its place. ``reveal`` has salt (base64url) and value behind its seals, as far as the reader may."""

    index: int
    entry: Mapping[str, Any]
    reveal: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Entries found, the cursor of the next page where there is more, and up to where this is complete."""

    entries: tuple[Seen, ...]
    next: str | None
    complete_to: CompleteTo


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry with all that is known of it: which sealed values are gone, erased on the record or simply missing.

    ``checkpoint`` is the first that promised it, with its time; ``witnessed`` the first that a witness cosigned.
    """

    seen: Seen
    erased: tuple[str, ...]
    missing: tuple[str, ...]
    checkpoint: tuple[int, datetime]
    witnessed: int | None


# --- searching ---
def find(house: House, who: Participant | None, asked: Wanted, *, reveal: bool = False) -> Page:
    """A page of the record; ``who`` is None in the exchange's own house.

    Raises:
        Invalid: ``audit.cursor``.
        Tampered: ``tampered.body`` when a kept value is not what its entry seals.
    """
    index.catch_up(house.database)
    with house.database.read() as connection:
        complete = complete_to(connection)
        own = _own(connection, who)
        found = search(connection, asked, complete.entries, own)
        return Page(_seen(connection, found, own, reveal=reveal), found.next, complete)


def all_of(
    house: House, asked: Wanted, *, reveal: bool = False
) -> tuple[CompleteTo, Callable[[], Iterator[tuple[Seen, ...]]]]:
    """Everything that is wanted, page by page, of the log as it is now; for whoever is in the exchange's own house.

    Answers up to where it will be complete, and the pages. The log may grow meanwhile: they end where it was.
    """
    index.catch_up(house.database)
    with house.database.read() as connection:
        complete = complete_to(connection)

    def pages() -> Iterator[tuple[Seen, ...]]:
        page = replace(asked, limit=MOST)
        while True:
            with house.database.read() as connection:
                found = search(connection, page, complete.entries)
                yield _seen(connection, found, None, reveal=reveal)
            if found.next is None:
                return
            page = replace(page, cursor=found.next)

    return complete, pages


def follow(house: House, last: int, wait: Callable[[], bool]) -> Iterator[Seen]:
    """The newest ``last`` entries, then each as it is recorded, until ``wait``, asked between two looks, says stop."""
    with house.database.read() as connection:
        size = house.log.head(connection).size
    done = max(size - last, 0)
    while True:
        with house.database.read() as connection:
            size = house.log.head(connection).size
            stop = min(size, done + MOST)
            found = Found(tuple(enumerate(house.log.entries(connection, done, stop), done)), None)
            seen = _seen(connection, found, None, reveal=True)
        yield from seen
        done = stop
        if done == size and wait():
            return


def complete_to(connection: Connection) -> CompleteTo:
    """The newest checkpoint that the index covers whole."""
    covered = index.covered(connection)
    newest = (
        sa.select(log_head.c.size, log_head.c.root, log_head.c.at)
        .where(log_head.c.size <= covered)
        .order_by(log_head.c.size.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    witnessed = witnessed_size(connection) or None
    return CompleteTo(row.size, row.root, row.at, witnessed) if row else CompleteTo(0, b"", None, None)


def _own(connection: Connection, who: Participant | None) -> Own | None:
    if who is None or who.roles & OVERSEERS:
        return None
    return Own(who.id, tuple(row.id for row in registry.agreements(connection, who.id)))


def _seen(connection: Connection, found: Found, own: Own | None, *, reveal: bool) -> tuple[Seen, ...]:
    entries = [(idx, read_entry(leaf)) for idx, leaf in found.entries]
    if not reveal:
        return tuple(Seen(idx, entry) for idx, entry in entries)
    kept = kept_of(connection, [entry["id"] for _, entry in entries])
    return tuple(Seen(idx, entry, _revealed(entry, kept[entry["id"]], own)) for idx, entry in entries)


def _revealed(entry: Mapping[str, Any], kept: Kept, own: Own | None) -> dict[str, Json]:
    require_sealed(entry, kept)
    values: dict[str, Json] = {name: orjson.loads(value) for name, (_, value) in kept.items()}
    names = values.keys() if own is None else _allowed(values, own)
    return {name: {"salt": b64url(kept[name][0]), "value": values[name]} for name in names}


def _allowed(values: Mapping[str, Json], own: Own) -> Sequence[str]:
    """What a party may be shown: of its own entries what it did itself, and how it was identified where it was it."""
    owner = next((values[name] for name in OWNERS if name in values), None)
    identity = values.get("identity")
    names = [name for name in _OWN if name in values] if owner == own.who else []
    if isinstance(identity, dict) and identity.get("participant") == own.who:
        names += [name for name in _BY_HAND if name in values]
    return names


# --- reading ---
def show(house: House, who: Participant | None, name: str) -> list[Shown]:
    """The entry of an id or place (decimal, from 0), or every entry of a query, with what its seals stand for.

    Raises:
        NotFound: ``entry.unknown``, also for an entry that is others'.
        Tampered: ``tampered.body``.
    """
    index.catch_up(house.database)
    with house.database.read() as connection:
        own, size = _own(connection, who), complete_to(connection).entries
        named = _named(house, connection, name, size)
        found = Found(tuple(each for each in named if own is None or visible(connection, each[0], own)), None)
        if not found.entries:
            raise NotFound(
                "entry.unknown", f"No entry or query {name[:40]!r} in the log, or it is not yours.",
                hint="Check the id, or search: sandbox audit search.",
            )  # fmt: skip
        return [_shown(connection, seen) for seen in _seen(connection, found, own, reveal=True)]


def _named(house: House, connection: Connection, name: str, size: int) -> Sequence[tuple[int, bytes]]:
    if _PLACE.fullmatch(name):
        idx = int(name)
        return [(idx, house.log.entries(connection, idx, idx + 1)[0])] if idx < size else []
    if not name.isprintable():  # PostgreSQL fails on U+0000
        return []
    asked = Wanted((("query", name),), oldest_first=True, limit=MOST)
    try:
        return search(connection, asked, size).entries or [house.log.find(connection, name)]
    except NotFound:
        return []


def _shown(connection: Connection, seen: Seen) -> Shown:
    name = seen.entry["id"]
    erased = erased_of(connection, name)
    gone = sorted(seen.entry["sealed"].keys() - kept_of(connection, [name])[name].keys())
    first = sa.select(log_head.c.size, log_head.c.at).where(log_head.c.size > seen.index).order_by(log_head.c.size)
    size, at = connection.execute(first.limit(1)).one()
    cosigned = sa.select(sa.func.min(log_cosignature.c.size)).where(log_cosignature.c.size > seen.index)
    return Shown(
        seen,
        tuple(name for name in gone if name in erased),
        tuple(name for name in gone if name not in erased),
        (size, at),
        connection.scalar(cosigned),
    )


# --- as JSON ---
def seen_document(seen: Seen) -> dict[str, Any]:
    """``{"index", "entry", "reveal"}``; without ``reveal`` where it was not asked for."""
    document: dict[str, Any] = {"index": seen.index, "entry": seen.entry}
    return document if seen.reveal is None else document | {"reveal": seen.reveal}


def complete_document(complete: CompleteTo) -> dict[str, Any]:
    """``{"entries", "root", "checkpoint": {"size", "at"}, "witnessed"}``."""
    at = None if complete.at is None else text_of(complete.at)
    checkpoint = {"size": complete.entries, "at": at}
    return {"entries": complete.entries, "root": b64(complete.root), "checkpoint": checkpoint,
            "witnessed": complete.witnessed}  # fmt: skip


def page_document(page: Page) -> dict[str, Any]:
    """``{"entries", "next", "complete_to"}``."""
    entries = [seen_document(seen) for seen in page.entries]
    return {"entries": entries, "next": page.next, "complete_to": complete_document(page.complete_to)}


def shown_document(shown: Shown) -> dict[str, Any]:
    """An entry's document with what is gone of it, and which checkpoints promise it."""
    size, at = shown.checkpoint
    return seen_document(shown.seen) | {
        "erased": [*shown.erased],
        "missing": [*shown.missing],
        "checkpoint": {"size": size, "at": text_of(at)},
        "witnessed": shown.witnessed,
    }
