"""The books as the log tells them: volume and ledger folded from its entries, to be held against the exchange's own.

::

    {"type": "sandbox.books/v1", "size": 4711,
     "volume": {"count": 20, "vnd": 444000, "rows": 312, "bytes": 41280, "count_open": 8},
     "by_day": {"2026-12-01": {...}}, "by_agreement": {"sha256:...": {...}},
     "ledger": {"topped_up": 900000, "held": 0, "wallets": 456000, "paid": 444000, "fees": 11100,
                "providers": {"so-giao-thong": 117000, ...}}}
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sandbox.audit.events import EventType, read_entry
from sandbox.audit.totals import Fold, amount_of, refuse_entry
from sandbox.core.canonical import parse
from sandbox.core.errors import Invalid

BOOKS: Final = "sandbox.books/v1"
UNKNOWN_PROVIDER: Final = "?"
_COMPARED: Final = ("volume", "by_day", "by_agreement", "ledger")
_MOST_NAMED: Final = 20


@dataclass(slots=True)
class LedgerFold:
    """The money as the log tells of it, in đồng: what came in, what is held for running queries, who was paid."""

    topped_up: int = 0
    held: dict[str, int] = field(default_factory=dict)
    """By query: authorized, and without an outcome yet."""
    paid: int = 0
    fees: int = 0
    fees_untold: int = 0
    """Shares of which the entry does not say what of them was the exchange's fee."""
    providers: Counter[str] = field(default_factory=Counter)
    """What each is owed, less the fee."""
    provider_of: dict[str, str] = field(default_factory=dict)

    def top_up(self, entry: Mapping[str, Any]) -> None:
        """Money reached a wallet."""
        self.topped_up += amount_of(entry, entry.get("vnd"), "its amount")

    def agree(self, entry: Mapping[str, Any]) -> None:
        """An agreement names its provider in clear."""
        self.provider_of[str(entry.get("agreement"))] = str(entry.get("provider"))

    def hold(self, entry: Mapping[str, Any]) -> None:
        """A price is held before the query runs."""
        query = str(entry.get("query"))
        if query in self.held:
            refuse_entry(entry, "its query is authorized a second time")
        self.held[query] = amount_of(entry, entry.get("vnd"), "its price")

    def release(self, entry: Mapping[str, Any]) -> None:
        """A query failed: its money goes back."""
        self.held.pop(str(entry.get("query")), None)

    def pay(self, entry: Mapping[str, Any]) -> None:
        """A query completed: what was held for it is paid to its agreements' providers."""
        vnd = entry["meter"]["vnd"]
        if self.held.pop(str(entry.get("query")), vnd) != vnd:
            refuse_entry(entry, "its price is not the one that was held")
        self.paid += vnd
        for share in entry["agreements"]:
            self._share(entry, share)

    def _share(self, entry: Mapping[str, Any], share: Mapping[str, Any]) -> None:
        vnd, fee = share["vnd"], 0
        if "fee_vnd" in share:
            fee = amount_of(entry, share["fee_vnd"], "a fee")
            if fee > vnd:
                refuse_entry(entry, "a fee is more than its share")
        elif vnd:
            self.fees_untold += 1
        self.fees += fee
        self.providers[self.provider_of.get(share["id"], UNKNOWN_PROVIDER)] += vnd - fee

    def document(self) -> dict[str, Any]:
        """The ledger for people and comparison; ``fees`` and ``providers`` are null where the log does not tell."""
        held, told = sum(self.held.values()), not self.fees_untold
        return {
            "topped_up": self.topped_up,
            "held": held,
            "wallets": self.topped_up - held - self.paid,
            "paid": self.paid,
            "fees": self.fees if told else None,
            "providers": {name: vnd for name, vnd in sorted(self.providers.items()) if vnd} if told else None,
        }


class Books:
    """The running books over entries in their order; ``then`` is what they were after ``at`` entries.

    Raises, when given an entry that cannot be counted:
        Invalid: ``entry.malformed``; to skip it would hide a sale.
    """

    def __init__(self, at: int | None = None) -> None:
        self.volume, self.ledger, self.size = Fold(), LedgerFold(), 0
        self._at = at
        ledger = self.ledger
        self._moves: dict[str, Callable[[Mapping[str, Any]], None]] = {
            EventType.WALLET_TOPPED_UP.value: ledger.top_up,
            EventType.AGREEMENT_SIGNED.value: ledger.agree,
            EventType.QUERY_AUTHORIZED.value: ledger.hold,
            EventType.QUERY_FAILED.value: ledger.release,
            EventType.QUERY_COMPLETED.value: ledger.pay,
        }
        self.then: dict[str, Any] | None = None if at else self.document()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count one entry."""
        self.volume.add(entry)
        if (move := self._moves.get(entry["type"])) is not None:
            move(entry)
        self.size += 1
        if self.size == self._at:
            self.then = self.document()

    def add_leaves(self, leaves: Iterable[bytes]) -> None:
        """Count the entries that these leaves are."""
        for leaf in leaves:
            self.add(read_entry(leaf))

    def document(self) -> dict[str, Any]:
        """The books up to here, of the shape that ``sandbox audit books`` prints."""
        volume = self.volume
        return {
            "type": BOOKS,
            "size": self.size,
            "volume": asdict(volume.totals),
            "by_day": {name: asdict(part) for name, part in sorted(volume.by_day.items())},
            "by_agreement": {name: asdict(part) for name, part in sorted(volume.by_agreement.items())},
            "ledger": self.ledger.document(),
        }


def fold_books(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The books over all of these entries.

    Raises:
        Invalid: ``entry.malformed``.
    """
    books = Books()
    for entry in entries:
        books.add(entry)
    return books.document()


def read_books(content: bytes) -> dict[str, Any]:
    """Read what ``sandbox audit books`` printed.

    Raises:
        Invalid: ``books.malformed``, ``document.malformed``.
    """
    document: dict[str, Any] = parse(content)
    match document:
        case {
            "type": "sandbox.books/v1",
            "size": int(size),
            "volume": dict(),
            "by_day": dict(),
            "by_agreement": dict(),
            "ledger": dict(),
        } if size >= 0 and type(size) is int:
            return document
    raise Invalid("books.malformed", f"This is not a {BOOKS}.", hint="Have it printed by: sandbox audit books.")


def differences(told: Mapping[str, Any], books: Mapping[str, Any]) -> list[str]:
    """What the books say otherwise than the log told, and by how much; nothing where they are equal.

    What the log does not tell (null) is not compared.
    """
    found = [line for name in _COMPARED for line in _differ(name, told.get(name), books.get(name))]
    more = len(found) - _MOST_NAMED
    return [*found[:_MOST_NAMED], f"and {more} more"] if more > 0 else found


def _differ(name: str, told: Any, books: Any) -> Iterator[str]:
    if told is None:
        return
    if not isinstance(told, dict):
        yield from _number(name, told, books)
        return
    given = books if isinstance(books, dict) else {}
    for key in sorted(told.keys() | given.keys()):
        yield from _differ(f"{name}.{key}", told[key] if key in told else _none(given[key]), given.get(key))


def _none(like: Any) -> Any:
    """What the log tells of something that only the books know."""
    return {} if isinstance(like, dict) else 0


def _number(name: str, told: int, books: Any) -> Iterator[str]:
    got = 0 if books is None else books
    if type(got) is not int:
        yield f"{name}: the books give no number"
    elif got != told:
        yield f"{name}: {told} by the log, {got} by the books ({got - told:+d})"
