"""Instants in UTC, and the exchange's day in Asia/Ho_Chi_Minh."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, Protocol

from sandbox.core.errors import Invalid

HO_CHI_MINH: Final = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
"""UTC+7 without daylight saving time since 1975, so no zone database is needed."""
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Clock(Protocol):
    """Tells the present instant, aware and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class ManualClock:
    """A clock that stands until it is moved; for simulations and tests."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def advance(self, step: timedelta) -> None:
        """Move forward (or, to try a broken clock, backward) by ``step``."""
        self.instant += step


def day_of(instant: datetime) -> date:
    """The exchange's calendar day, Asia/Ho_Chi_Minh."""
    return instant.astimezone(HO_CHI_MINH).date()


def microseconds(instant: datetime) -> int:
    """Whole microseconds since 1970 in UTC, the form in which policies compare times."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def text_of(instant: datetime) -> str:
    """RFC 3339 in UTC with microseconds and ``Z``."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def instant_of(text: str) -> datetime:
    """Read RFC 3339 with a zone, to the microsecond.

    Raises:
        Invalid: ``time.malformed`` when the text is no instant or has no zone.
    """
    if _RFC_3339.fullmatch(text):  # fromisoformat alone also takes week dates and times without a zone
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Invalid("time.malformed", f"{text[:40]!r} is not an instant.", hint="Write 2026-11-22T10:00:00Z.")


def new_id(prefix: str, clock: Clock) -> str:
    """A ULID behind a prefix, such as ``qry_01K...``: sortable by time, 80 random bits."""
    number = (microseconds(clock.now()) // 1000 << 80) | secrets.randbits(80)
    return prefix + "_" + "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -5, -5))
