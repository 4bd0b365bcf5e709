"""Sealed values are shown to a supervisor; that they were is on the record before the first of them leaves."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.audit import index
from sandbox.audit.bodies import Kept, kept_of
from sandbox.audit.disclosure import Header, Line
from sandbox.audit.erasures import erased_of
from sandbox.audit.events import EventType, read_entry
from sandbox.contracts import participants
from sandbox.core.canonical import Json
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, Refused
from sandbox.core.terms import Identity, ParticipantId, Role
from sandbox.exchange.basis import DISCLOSURE, require_basis
from sandbox.exchange.handed import handed_in
from sandbox.exchange.house import House

_PAGE: Final = 256


@dataclass(frozen=True, slots=True)
class Extent:
    """The entries ``first`` to ``last``, both included, and which of their sealed members; None for all."""

    first: int
    last: int
    names: tuple[str, ...] | None = None


def disclose(house: House, extent: Extent, to: str, basis: str, by: Identity | None = None) -> Iterator[bytes]:
    """The lines of a disclosure, a bundle's at a time.

    What is missing although no entry tells of its erasure is left out, and whoever verifies the disclosure finds that.

    Raises:
        Invalid: ``basis.unknown``, ``disclosure.range``.
        NotFound: ``participant.unknown``.
        Refused: ``disclosure.recipient`` when whoever it is for is no regulator.
    """
    ground = require_basis(basis, DISCLOSURE)
    with house.database.read() as connection:
        _require_regulator(connection, to)
        _require_within(extent, house.log.head(connection).size)
    entry = house.new_entry()
    clear: dict[str, Json] = {"from": extent.first, "to": extent.last, "basis": ground}

    def write(tx: Transaction) -> None:
        house.record(tx, EventType.BODY_DISCLOSED, entry, clear, {"to": to} | handed_in(by))

    house.database.write(write)
    return lines(house, extent)


def lines(house: House, extent: Extent) -> Iterator[bytes]:
    """What :func:`disclose` gives, without a word on the record: for what holds it among other things."""
    with house.database.read() as connection:
        note = house.log.head(connection).note
    yield Header(house.log.verifier.name, extent.first, extent.last, note, extent.names).line()
    for start in range(extent.first, extent.last + 1, _PAGE):
        stop = min(start + _PAGE, extent.last + 1)
        yield b"".join(line.line() for line in _lines(house, start, stop, extent.names))


def _lines(house: House, start: int, stop: int, names: Collection[str] | None) -> Iterator[Line]:
    with house.database.read() as connection:
        entries = [read_entry(leaf) for leaf in house.log.entries(connection, start, stop)]
        kept = kept_of(connection, [entry["id"] for entry in entries])
    for at, entry in enumerate(entries, start):
        wanted = sorted(entry["sealed"] if names is None else entry["sealed"].keys() & {*names})
        yield from _of_entry(house, at, entry["id"], wanted, kept[entry["id"]])


def _of_entry(house: House, at: int, entry: str, names: list[str], kept: Kept) -> Iterator[Line]:
    erased = {} if kept.keys() >= {*names} else _erased(house, entry)
    for name in names:
        if name in kept:
            yield Line(at, entry, name, *kept[name])
        elif name in erased:
            yield Line(at, entry, name, by=erased[name])


def _erased(house: House, entry: str) -> dict[str, int]:
    index.catch_up(house.database)
    with house.database.read() as connection:
        return erased_of(connection, entry)


def _require_regulator(connection: Connection, to: str) -> None:
    # PostgreSQL fails on U+0000 before it could say "unknown"
    who = participants.participant(connection, ParticipantId(to if to.isprintable() else ""))
    if Role.REGULATOR not in who.roles:
        raise Refused(
            "disclosure.recipient",
            f"{to} is no regulator; sealed values are shown to a regulator, and to those whose receipts hold them.",
            hint="Name an admitted regulator: sandbox participants list",
            reasons=("REG-01",),
        )


def _require_within(extent: Extent, size: int) -> None:
    if not 0 <= extent.first <= extent.last < size:
        raise Invalid(
            "disclosure.range",
            f"The entries {extent.first} to {extent.last} are not in the log, which has {size}, from 0 on.",
            hint="Write --entries A..B, both included.",
        )
    if extent.names is not None and not extent.names:
        raise Invalid("disclosure.range", "No sealed member was named.", hint="Leave --names out for all of them.")
