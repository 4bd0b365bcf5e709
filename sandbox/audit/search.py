"""Searching the log: entries under several terms at once, within a period, a page at a time."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from sandbox.audit.index import log_term, stretches
from sandbox.audit.named import KINDS, OWNER, Term
from sandbox.audit.store import log_entry
from sandbox.core.clock import day_of, instant_of
from sandbox.core.errors import Invalid
from sandbox.core.terms import ParticipantId

_CURSOR: Final = re.compile(r"([no])(0|[1-9][0-9]{0,17})", re.ASCII)
_MOST_STRETCHES: Final = 50
_ENOUGH: Final = 5_000
_AT_ONCE: Final = 256
_TIMES: Final = ("0001-01-01", "9999-12-31")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for: all of ``filters`` (names of :data:`~sandbox.audit.named.KINDS`), within a period.

    ``since`` is included, ``until`` is not. The newest entries come first unless ``oldest_first``; ``cursor`` is where
    the page before ended.
    """

    filters: tuple[Term, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    oldest_first: bool = False
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Own:
    """Someone who may see but the entries that name them, or an agreement of theirs.

    Sealed values of others must not be guessed by searching for them: a term that only a sealed value says counts
    where the entry is their own.
    """

    who: ParticipantId
    agreements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A page: indices with their leaves, and the cursor of the next one where there is more."""

    entries: tuple[tuple[int, bytes], ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Condition:
    """One of these terms must stand with the entry; behind a seal only where the entry is ``guard``'s own."""

    terms: tuple[Term, ...]
    guard: ParticipantId | None = None


def search(connection: Connection, wanted: Wanted, size: int, own: Own | None = None) -> Found:
    """A page of the first ``size`` entries, which the index must cover.

    Raises:
        Invalid: ``audit.cursor`` for a cursor of another order, or none of ours.
    """
    bounds = _bounds(connection, wanted, size)
    conditions = sorted(_conditions(wanted, own), key=lambda each: _weight(connection, each))
    after = _after(wanted)
    found: list[tuple[int, bytes]] = []
    more = True
    while more and len(found) <= wanted.limit:
        batch = max(wanted.limit + 1, _AT_ONCE)
        indices = _indices(connection, conditions, _narrowed(bounds, wanted, after), wanted, batch)
        found += _within(_leaves(connection, indices), wanted)
        more = len(indices) == batch
        after = indices[-1] if indices else after
    page = found[: wanted.limit]
    order = "o" if wanted.oldest_first else "n"
    return Found(tuple(page), f"{order}{page[-1][0]}" if len(found) > wanted.limit else None)


def visible(connection: Connection, idx: int, own: Own) -> bool:
    """Whether an entry names someone, or an agreement of theirs."""
    (mine,) = _conditions(Wanted(), own)
    return bool(connection.scalar(sa.select(_stands(sa.literal(idx), mine))))


def _after(wanted: Wanted) -> int | None:
    if wanted.cursor is None:
        return None
    match = _CURSOR.fullmatch(wanted.cursor)
    if match is None or (match[1] == "o") is not wanted.oldest_first:
        raise Invalid(
            "audit.cursor", f"{wanted.cursor[:40]!r} continues no search in this order.",
            hint="Give next of the page before, with the same filters and order; or begin without a cursor.",
        )  # fmt: skip
    return int(match[2])


def _conditions(wanted: Wanted, own: Own | None) -> list[_Condition]:
    guard = own.who if own else None
    found = []
    for name, value in wanted.filters:
        own_name = own is not None and value == own.who  # whoever looks for themselves learns nothing of others
        found.append(_Condition(tuple((kind, value) for kind in KINDS[name]), None if own_name else guard))
    if own is not None:
        mine = [(kind, str(own.who)) for kind in KINDS["participant"]]
        found.append(_Condition((*mine, *(("agreement", each) for each in own.agreements))))
    return found


def _weight(connection: Connection, condition: _Condition) -> int:
    """How many entries stand under a condition, counted no further than what is too many to begin with."""
    weight = 0
    for kind, value in condition.terms:
        some = sa.select(sa.literal(1)).where(log_term.c.kind == kind, log_term.c.value == value).limit(_ENOUGH)
        weight += connection.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0
    return weight


# --- where ---
def _bounds(connection: Connection, wanted: Wanted, size: int) -> list[tuple[int, int]]:
    """The stretches of the log that the period's days take; the clock may have gone back, so there may be several."""
    if wanted.since is None and wanted.until is None:
        return [(0, size)]
    first = day_of(wanted.since).isoformat() if wanted.since else _TIMES[0]
    last = day_of(wanted.until).isoformat() if wanted.until else _TIMES[1]
    found = [*stretches(connection, first, last, size)]
    if len(found) > _MOST_STRETCHES:  # what lies between is left out by its time
        return [(found[0][0], found[-1][1])]
    return found


def _narrowed(bounds: Sequence[tuple[int, int]], wanted: Wanted, after: int | None) -> list[tuple[int, int]]:
    if after is None:
        return [*bounds]
    if wanted.oldest_first:
        cut = [(max(start, after + 1), stop) for start, stop in bounds]
    else:
        cut = [(start, min(stop, after)) for start, stop in bounds]
    return [(start, stop) for start, stop in cut if start < stop]


def _indices(
    connection: Connection,
    conditions: Sequence[_Condition],
    bounds: Sequence[tuple[int, int]],
    wanted: Wanted,
    most: int,
) -> list[int]:
    """The next indices in the order asked for; the rarest condition leads, the others are looked up."""
    if not bounds:
        return []
    if not conditions:
        return _ordered(connection, log_entry.c.idx, _in(log_entry.c.idx, bounds), wanted, most)
    lead, *others = conditions
    found: set[int] = set()
    for kind, value in lead.terms:  # each alone can be walked in order, all together would have to be sorted first
        named = log_term.alias()
        holds = [named.c.kind == kind, named.c.value == value, _in(named.c.idx, bounds), *_guarded(named, lead)]
        holds += [_stands(named.c.idx, other) for other in others]
        found |= {*_ordered(connection, named.c.idx, sa.and_(*holds), wanted, most)}
    return sorted(found, reverse=not wanted.oldest_first)[:most]


def _ordered(
    connection: Connection, idx: ColumnElement[int], holds: ColumnElement[bool], wanted: Wanted, most: int
) -> list[int]:
    chosen = sa.select(idx).where(holds).order_by(idx if wanted.oldest_first else idx.desc()).limit(most)
    return [*connection.execute(chosen).scalars()]


def _in(idx: ColumnElement[int], bounds: Sequence[tuple[int, int]]) -> ColumnElement[bool]:
    return sa.or_(*(sa.and_(idx >= start, idx < stop) for start, stop in bounds))


def _stands(idx: ColumnElement[int], condition: _Condition) -> ColumnElement[bool]:
    other = log_term.alias()
    kinds: dict[str, list[str]] = {}
    for kind, value in condition.terms:
        kinds.setdefault(kind, []).append(value)
    named = sa.or_(*(sa.and_(other.c.kind == kind, other.c.value.in_(values)) for kind, values in kinds.items()))
    return sa.exists().where(other.c.idx == idx, named, *_guarded(other, condition))


def _guarded(named: sa.FromClause, condition: _Condition) -> list[ColumnElement[bool]]:
    if condition.guard is None:
        return []
    owner = log_term.alias()
    mine = sa.exists().where(owner.c.kind == OWNER, owner.c.value == condition.guard, owner.c.idx == named.c.idx)
    return [sa.or_(named.c.sealed.is_(False), mine)]


# --- what ---
def _leaves(connection: Connection, indices: Sequence[int]) -> list[tuple[int, bytes]]:
    parts = (indices[start : start + _AT_ONCE] for start in range(0, len(indices), _AT_ONCE))
    rows = chain.from_iterable(connection.execute(_chosen(part)) for part in parts)
    leaves = {row.idx: row.leaf for row in rows}
    return [(idx, leaves[idx]) for idx in indices]


def _chosen(part: Collection[int]) -> sa.Select[tuple[int, bytes]]:
    return sa.select(log_entry.c.idx, log_entry.c.leaf).where(log_entry.c.idx.in_(part))


def _within(leaves: Sequence[tuple[int, bytes]], wanted: Wanted) -> list[tuple[int, bytes]]:
    """Those within the period, to the microsecond."""
    since, until = wanted.since, wanted.until
    if since is None and until is None:
        return [*leaves]

    def holds(leaf: bytes) -> bool:
        at = instant_of(orjson.loads(leaf)["ts"])
        return (since is None or since <= at) and (until is None or at < until)

    return [(idx, leaf) for idx, leaf in leaves if holds(leaf)]
