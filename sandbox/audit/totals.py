"""What the log's entries amount to, folded from them alone: the transaction volume without asking the ledger."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sandbox.audit.events import EventType
from sandbox.core.clock import day_of, instant_of
from sandbox.core.errors import Invalid


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
            _refuse(entry, "its agreements' shares do not add up to its price")
        self.totals.add(vnd, rows, size)
        self.by_day[day_of(instant_of(entry["ts"])).isoformat()].add(vnd, rows, size)
        for agreement, share in shares.items():
            self.by_agreement[agreement].add(share, rows, size)


def _refuse(entry: Mapping[str, Any], why: str) -> NoReturn:
    raise Invalid("entry.malformed", f"Entry {entry['id'][:40]} cannot be counted: {why}.", hint="Tell the regulator.")


def _amount(value: object) -> bool:
    return type(value) is int and value >= 0


def _meter(entry: Mapping[str, Any]) -> tuple[int, int, int]:
    match entry.get("meter"):
        case {"rows_out": rows, "bytes_out": size, "vnd": vnd} if _amount(rows) and _amount(size) and _amount(vnd):
            return rows, size, vnd
    _refuse(entry, "it has no whole meter")


def _shares(entry: Mapping[str, Any]) -> dict[str, int]:
    agreements = entry.get("agreements")
    shares: dict[str, int] = {}
    for agreement in agreements if isinstance(agreements, list) else []:
        match agreement:
            case {"id": str(name), "vnd": vnd} if _amount(vnd) and name not in shares:
                shares[name] = vnd
            case _:
                _refuse(entry, "it names an agreement twice or without its share")
    return shares
