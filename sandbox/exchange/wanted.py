"""What is searched for in the record, read from the texts of a command or an address."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NoReturn

from sandbox.audit.events import EventType
from sandbox.audit.named import KINDS
from sandbox.audit.search import Wanted
from sandbox.core.clock import HO_CHI_MINH, instant_of
from sandbox.core.errors import Invalid

MOST: Final = 1_000
"""Entries on a page."""
FILTERS: Final = (*KINDS, "from", "to")
"""What may be searched by."""
_LONGEST: Final = 200
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_YEARS: Final = range(1900, 9000)


def wanted(
    filters: Mapping[str, str], *, oldest_first: bool = False, limit: int = 100, cursor: str | None = None
) -> Wanted:
    """Read what is searched for from texts, whose names are among :data:`FILTERS`.

    ``from`` and ``to`` are instants, or days of Asia/Ho_Chi_Minh of which both are included.

    Raises:
        Invalid: ``audit.filter`` with the list of what there is.
    """
    unknown = sorted(filters.keys() - {*FILTERS})
    if unknown:
        _refuse(f"Nothing is found by {unknown[0][:40]!r}.")
    if not 1 <= limit <= MOST:
        hint = "Ask for a page at a time, and go on with its cursor."
        raise Invalid("audit.filter", f"A page has 1 to {MOST} entries, not {limit}.", hint=hint)
    if filters.get("type") not in {None, *EventType}:
        hint = "One of: " + ", ".join(sorted(EventType)) + "."
        raise Invalid("audit.filter", f"No entry is of the type {filters['type'][:40]!r}.", hint=hint)
    terms = tuple((name, _text(name, value)) for name, value in sorted(filters.items()) if name in KINDS)
    since, until = filters.get("from"), filters.get("to")
    return Wanted(
        terms,
        None if since is None else _instant("from", since, timedelta()),
        None if until is None else _instant("to", until, timedelta(days=1)),
        oldest_first,
        limit,
        cursor,
    )


def _refuse(what: str) -> NoReturn:
    raise Invalid("audit.filter", what, hint="Search by: " + ", ".join(FILTERS) + "; see docs/desk.md.")


def _text(name: str, value: str) -> str:
    if not (0 < len(value) <= _LONGEST and value.isprintable()):  # PostgreSQL fails on U+0000
        _refuse(f"No {name} is written like that.")
    return value


def _instant(name: str, text: str, whole_day: timedelta) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return _known(datetime.combine(date.fromisoformat(text), time(), HO_CHI_MINH) + whole_day)
        return _known(instant_of(text))
    except (ValueError, OverflowError, Invalid):
        raise Invalid(
            "audit.filter", f"{name} is {text[:40]!r}, expected a day or an instant.",
            hint="Write 2026-12-01, a day of Ho Chi Minh City, or 2026-12-01T03:00:00Z.",
        ) from None  # fmt: skip


def _known(instant: datetime) -> datetime:
    if instant.year not in _YEARS:  # at the calendar's ends another zone's day does not exist
        raise ValueError
    return instant.astimezone(UTC)
