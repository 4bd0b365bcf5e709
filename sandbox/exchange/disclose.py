"""Sealed values are shown to a supervisor; that they were is on the record before the first of them leaves."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit import index
from sandbox.audit.disclosure import Header, Line
from sandbox.audit.events import EventType, read_entry
from sandbox.audit.store import log_body
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
    """What :func:`disclose` gives, for those who have put it on the record themselves."""
    with house.database.read() as connection:
        note = house.log.head(connection).note
    yield Header(house.log.verifier.name, extent.first, extent.last, note, extent.names).line()
    for start in range(extent.first, extent.last + 1, _PAGE):
        stop = min(start + _PAGE, extent.last + 1)
        yield b"".join(line.line() for line in _lines(house, start, stop, extent.names))


def _lines(house: House, start: int, stop: int, names: Collection[str] | None) -> Iterator[Line]:
    with house.database.read() as connection:
        entries = [read_entry(leaf) for leaf in house.log.entries(connection, start, stop)]
        bodies = _bodies(connection, [entry["id"] for entry in entries])
    for at, entry in enumerate(entries, start):
        for name in sorted(entry["sealed"] if names is None else entry["sealed"].keys() & {*names}):
            kept = bodies.get((entry["id"], name))
            line = Line(at, entry["id"], name, *kept) if kept else _gone(house, at, entry["id"], name)
            if line is not None:
                yield line


def _bodies(connection: Connection, entries: list[str]) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    rows = connection.execute(sa.select(log_body).where(log_body.c.entry_id.in_(entries)))
    return {(row.entry_id, row.name): (row.salt, row.value) for row in rows}


def _gone(house: House, at: int, entry: str, name: str) -> Line | None:
    """Where the log says that a value was erased; None where it does not."""
    index.catch_up(house.database)
    told = sa.select(index.log_term.c.idx).where(index.log_term.c.kind == "entry", index.log_term.c.value == entry)
    with house.database.read() as connection:
        for by in [*connection.scalars(told.order_by(index.log_term.c.idx))]:
            said = read_entry(house.log.entries(connection, by, by + 1)[0])
            if said["type"] == EventType.BODY_ERASED and said["entry"] == entry and name in said["names"]:
                return Line(at, entry, name, by=by)
    return None


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
