"""Charter and orders as the log tells of them: a row without its entry, or an entry without its row, is noticed.

Each row is held against the entry that was recorded with it, which is found by its time. That a row is *gone* only the
entries tell: the newest of them are looked through at the start, all older ones by a :class:`Survey`, bite by bite.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType, read_entry
from sandbox.audit.store import leaves as leaves_of
from sandbox.audit.store import log_entry, newest_head
from sandbox.contracts import charters, orders
from sandbox.contracts.charters import Adoption
from sandbox.contracts.order import ORDER, read_order
from sandbox.contracts.orders import Given
from sandbox.core.canonical import digest_of
from sandbox.core.clock import ManualClock, new_id
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.signing import unverified

NEWEST: Final = 5_000
"""How many entries are looked through at the start; a thousand take some four milliseconds."""
_EARLIER: Final = timedelta(seconds=1)
"""How long before its row's time an entry may have got its id."""
_TOLD: Final = (EventType.CHARTER_ADOPTED, EventType.ORDER_GIVEN, EventType.LOG_RECOVERED)
_MARKS: Final = tuple(f'"type":"{kind}"'.encode() for kind in _TOLD)
_PAGE: Final = 500
_LEAVES: Final = sa.select(log_entry.c.idx, log_entry.c.leaf)


@dataclass(frozen=True, slots=True)
class _Told:
    """An entry, and where it stands."""

    index: int
    entry: Mapping[str, Any]


def require_recorded(connection: Connection) -> None:
    """Refuse a database whose charter or orders are not those that the log tells of.

    Every row is compared, and the newest :data:`NEWEST` entries; a :class:`Survey` looks through the older ones.

    Raises:
        Tampered: ``tampered.charter``, ``tampered.order``.
    """
    _require_charters(connection)
    _require_orders(connection)
    Survey().go_on(connection, NEWEST)


class Survey:
    """A walk back through the log that finds every charter and order whose row is gone, however long the log is."""

    def __init__(self) -> None:
        self.left: int | None = None
        """How many entries it has still to look through; None before it has begun."""
        self._recovered: list[range] = []

    def go_on(self, connection: Connection, bite: int = NEWEST) -> None:
        """Look through the next entries, older than those before.

        Raises:
            Tampered: ``tampered.charter``, ``tampered.order``.
        """
        stop = newest_head(connection).size if self.left is None else self.left
        start = max(0, stop - bite)
        for told in _told(connection, start, stop):
            if told.entry["type"] == EventType.LOG_RECOVERED:
                self._recovered.append(range(told.entry["from"], told.entry["to"] + 1))
            elif not any(told.index in each for each in self._recovered):  # of those, no state was brought back
                _require_row(connection, told.entry)
        self.left = start


def _told(connection: Connection, start: int, stop: int) -> Iterator[_Told]:
    """The entries of charters, orders and recoveries in a part of the log, the newest first."""
    for first in reversed(range(start, stop, _PAGE)):
        leaves = leaves_of(connection, first, min(first + _PAGE, stop))
        if _names_any(b"".join(leaves)):  # looked at together, for nearly always there is none
            yield from reversed([*_read(enumerate(leaves, first))])


def _names_any(text: bytes) -> bool:
    return any(mark in text for mark in _MARKS)


def _read(leaves: Iterable[tuple[int, bytes]]) -> Iterator[_Told]:
    for index, leaf in leaves:
        entry = read_entry(leaf) if _names_any(leaf) else {}
        if entry.get("type") in _TOLD:
            yield _Told(index, entry)


def _require_row(connection: Connection, entry: Mapping[str, Any]) -> None:
    if entry["type"] == EventType.CHARTER_ADOPTED:
        if entry["digest"] not in {adoption.digest for adoption in charters.history(connection)}:
            raise _charter(f"Version {entry['version']} of charter {entry['charter']} was adopted and is gone.")
        return
    if orders.given(connection, entry["order"]) is None:
        raise _order(f"Order {entry['order']} was given and is gone.")
    ended = orders.given(connection, entry["ends"]) if entry["ends"] else None
    if entry["ends"] and (ended is None or ended.ended_by != entry["order"]):
        raise _order(f"Order {entry['ends']} was ended by another, and the database does not say so.")


# --- the rows ---
def _require_charters(connection: Connection) -> None:
    last = -1
    for adoption in charters.history(connection):
        told = _entry_of(connection, EventType.CHARTER_ADOPTED, adoption.adopted_at, "digest", adoption.digest)
        said = told and (told.entry["charter"], told.entry["version"])
        if told is None or said != (adoption.charter, adoption.version) or not _is_whole(adoption):
            raise _charter(f"Version {adoption.version} of charter {adoption.charter} is not the one that was adopted.")
        if told.index < last:
            raise _charter("The versions of the charter stand in another order than they were adopted in.")
        last = told.index


def _is_whole(adoption: Adoption) -> bool:
    try:
        return digest_of(charters.contents(adoption.envelope)[0]) == adoption.digest
    except Invalid:
        return False


def _require_orders(connection: Connection) -> None:
    rows = {row.id: row for row in orders.history(connection)}
    told = {name: _order_told(connection, row) for name, row in rows.items()}
    for name, row in rows.items():
        ends = told[name]["ends"]
        if ends and (ends not in rows or rows[ends].ended_by != name):
            raise _order(f"Order {name} has ended {ends}, and the database does not say so.")
        ender = told.get(row.ended_by) if row.ended_by else None
        if (row.ended_at or row.ended_by) and (ender is None or ender["ends"] != name):
            raise _order(f"Order {name} is marked as ended, and no entry of the log tells of it.")


def _order_told(connection: Connection, row: Given) -> Mapping[str, Any]:
    told = _entry_of(connection, EventType.ORDER_GIVEN, row.recorded_at, "order", row.id)
    if told is None or not _is_signed(row, told.entry):
        raise _order(f"Order {row.id} is not one that the log tells of, or is another in the database.")
    return told.entry


def _is_signed(row: Given, entry: Mapping[str, Any]) -> bool:
    """Whether the columns by which an order is found are those of its document, whose digest stands in the log."""
    try:
        order = read_order(unverified(row.envelope, ORDER)[0])
    except Invalid:
        return False
    stored, told = (row.id, row.act, row.kind, row.target), (entry["act"], entry["ends"])
    return (order.id, order.act, order.kind, order.target) == stored and (order.act, order.ends) == told


def _entry_of(connection: Connection, kind: EventType, at: datetime, member: str, value: str) -> _Told | None:
    """The entry of that kind which names this; first those whose ids were made then, and if need be all."""
    for told in _around(connection, at):
        if told.entry["type"] == kind and told.entry[member] == value:
            return told
    for told in _told(connection, 0, newest_head(connection).size):  # the clock was set back just then
        if told.entry["type"] == kind and told.entry[member] == value:
            return told
    return None


def _around(connection: Connection, at: datetime) -> Iterator[_Told]:
    first, last = (new_id("ent", ManualClock(when))[:-16] for when in (at - _EARLIER, at))  # without their random part
    found = log_entry.c.entry_id.between(first + "0" * 16, last + "Z" * 16)
    yield from _read((row.idx, row.leaf) for row in connection.execute(_LEAVES.where(found)))


def _charter(sentence: str) -> Tampered:
    return Tampered("tampered.charter", sentence, hint="Stop, keep the database as it is, and tell the regulator.")


def _order(sentence: str) -> Tampered:
    return Tampered("tampered.order", sentence, hint="Stop, keep the database as it is, and tell the regulator.")
