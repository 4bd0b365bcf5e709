"""What the log's entries amount to, folded from them alone: the transaction volume without asking the ledger."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeGuard

from sandbox.audit.events import EventType
from sandbox.core.clock import day_of, instant_of
from sandbox.core.errors import Invalid

_WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z", re.ASCII)


@dataclass(slots=True)
class Totals:
    """Completed queries: how many, for how many đồng, releasing how much; ``count_open`` of them cost 0 đồng."""

    count: int = 0
    vnd: int = 0
    rows: int = 0
    bytes: int = 0
    count_open: int = 0

    def add(self, vnd: int, rows: int, size: int) -> None:
        """Count one more query."""
        self.count += 1
        self.vnd += vnd
        self.rows += rows
        self.bytes += size
        self.count_open += vnd == 0


def _groups() -> dict[str, Totals]:
    return defaultdict(Totals)


@dataclass(slots=True)
class Fold:
    """The running totals over entries in their order.

    A query under several agreements counts in each, with all its rows and bytes; its price is divided among them.
    """

    entries: Counter[str] = field(default_factory=Counter)
    totals: Totals = field(default_factory=Totals)
    by_day: dict[str, Totals] = field(default_factory=_groups)
    by_agreement: dict[str, Totals] = field(default_factory=_groups)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count one entry.

        Raises:
            Invalid: ``entry.malformed`` for a completed query without a whole meter: to skip it would hide a sale.
        """
        self.entries[entry["type"]] += 1
        if entry["type"] != EventType.QUERY_COMPLETED:
            return
        rows, size, vnd = _meter(entry)
        shares = _shares(entry)
        if sum(shares.values()) != vnd:
            refuse_entry(entry, "its agreements' shares do not add up to its price")
        self.totals.add(vnd, rows, size)
        self.by_day[_day(entry)].add(vnd, rows, size)
        for agreement, share in shares.items():
            self.by_agreement[agreement].add(share, rows, size)


def _day(entry: Mapping[str, Any]) -> str:
    ts: str = entry["ts"]
    try:  # nearly all are of the form that the log writes, and of an hour that was asked for before
        return _day_of_hour(ts[:13]) if _WRITTEN.fullmatch(ts) else day_of(instant_of(ts)).isoformat()
    except (Invalid, OverflowError):  # the calendar ends, and in another zone it ends earlier
        refuse_entry(entry, "its time is of no day")


@lru_cache(maxsize=4096)
def _day_of_hour(hour: str) -> str:
    return day_of(instant_of(f"{hour}:00:00Z")).isoformat()


def refuse_entry(entry: Mapping[str, Any], why: str) -> NoReturn:
    """Refuse an entry that says too little to be counted.

    Raises:
        Invalid: ``entry.malformed``.
    """
    raise Invalid("entry.malformed", f"Entry {entry['id'][:40]} cannot be counted: {why}.", hint="Tell the regulator.")


def _amount(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def amount_of(entry: Mapping[str, Any], value: object, what: str) -> int:
    """An amount that an entry states, in đồng.

    Raises:
        Invalid: ``entry.malformed`` when ``value`` is no whole number from 0 on.
    """
    if _amount(value):
        return value
    refuse_entry(entry, f"{what} is no amount")


# no pattern matching below: it takes as long as all the rest of counting an entry


def _meter(entry: Mapping[str, Any]) -> tuple[int, int, int]:
    meter = entry.get("meter")
    if type(meter) is not dict:
        refuse_entry(entry, "it has no whole meter")
    rows, size, vnd = meter.get("rows_out"), meter.get("bytes_out"), meter.get("vnd")
    if _amount(rows) and _amount(size) and _amount(vnd):
        return rows, size, vnd
    refuse_entry(entry, "it has no whole meter")


def _shares(entry: Mapping[str, Any]) -> dict[str, int]:
    agreements = entry.get("agreements")
    shares: dict[str, int] = {}
    for agreement in agreements if isinstance(agreements, list) else []:
        name = agreement.get("id") if type(agreement) is dict else None
        if type(name) is not str or name in shares or not _amount(agreement.get("vnd")):
            refuse_entry(entry, "it names an agreement twice or without its share")
        shares[name] = agreement["vnd"]
    return shares
