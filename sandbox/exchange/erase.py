"""Sealed values are erased, on a legal basis that stands in the log; entries, proofs and receipts stay as they were."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.audit.index import covered, log_term
from sandbox.audit.named import SEALED, terms_of
from sandbox.audit.store import log_body
from sandbox.core.canonical import canonical, parse
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.terms import EntryId
from sandbox.exchange import runs
from sandbox.exchange.basis import ERASURE, require_basis
from sandbox.exchange.house import House

PERSONAL: Final = frozenset({"tax_code", "key", "identity", "request_signature"})
"""Sealed members that belong to whom an entry names, although they do not name anybody themselves."""
_AT_ONCE: Final = 500
_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is erased of one entry."""

    entry: EntryId
    names: tuple[str, ...]


def erase(house: House, entry: str, names: Collection[str], basis: str) -> Erasure:
    """Erase sealed values of one entry, in one transaction with the entry that says so.

    Raises:
        Invalid: ``basis.unknown``; ``body.clear`` when a name stands in clear.
        NotFound: ``entry.unknown``; ``body.unknown`` when one of the values is not there, or no more.
        Conflict: ``query.running`` while the entry's query runs.
    """
    erasure = Erasure(EntryId(entry), tuple(sorted({*names})))
    if not names:
        raise NotFound("body.unknown", "No value was named.", hint="Name sealed members: sandbox audit show ENTRY")
    _carry_out(house, [erasure], require_basis(basis, ERASURE))
    return erasure


def erase_participant(house: House, participant: str, basis: str) -> list[Erasure]:
    """Erase every sealed value that names a participant, and what is personal beside such a name.

    It goes on where it was stopped when it is done again: a few hundred entries are erased at once, each lot in one
    transaction with the entries that say so.

    Raises:
        Invalid: ``basis.unknown``.
        NotFound: ``body.unknown`` when nothing names that participant.
        Conflict: ``query.running`` while a query that names it runs; nothing is erased then.
    """
    ground = require_basis(basis, ERASURE)
    with house.database.read() as connection:
        erasures = list(_naming(connection, participant))
        for each in erasures:
            _require_ended(connection, _entry(house, connection, each.entry))
    if not erasures:
        hint = "Give the id as it was admitted: sandbox participants list"
        raise NotFound("body.unknown", f"No sealed value names {participant[:40]!r}.", hint=hint)
    for start in range(0, len(erasures), _AT_ONCE):
        _carry_out(house, erasures[start : start + _AT_ONCE], ground)
    return erasures


def scrub(house: House) -> bool:
    """Write the database anew, so that what was erased stands nowhere in its files; False when it must be done later.

    Deleting leaves copies where the database once moved a row, and in its write-ahead log. On PostgreSQL this is the
    administrator's: VACUUM FULL, and the end of old backups and archived logs.
    """
    if house.database.engine.dialect.name != "sqlite":
        return False
    connection = house.database.engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        driver.execute("VACUUM").close()
        busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # somebody reads or writes, or the disk has no room for a second copy
        return False
    else:
        return not busy
    finally:
        connection.close()


def _carry_out(house: House, erasures: Sequence[Erasure], basis: str) -> None:
    told, at = [house.new_entry() for _ in erasures], house.now()

    def write(tx: Transaction) -> None:
        _overwrite_what_is_deleted(tx.connection)
        for entry_id, each in zip(told, erasures, strict=True):
            entry = _entry(house, tx.connection, each.entry)
            _require_ended(tx.connection, entry)
            _require_sealed(entry, each.names)
            house.log.erase(tx, at, entry_id=entry_id, erased=each.entry, names=each.names, basis=basis)
            _index_again(house, tx.connection, entry)

    house.database.write(write)


def _entry(house: House, connection: Connection, entry_id: str) -> dict[str, Any]:
    # PostgreSQL fails on U+0000 before it could say "unknown"
    return parse(house.log.find(connection, entry_id if entry_id.isprintable() else "")[1])


def _require_ended(connection: Connection, entry: Mapping[str, Any]) -> None:
    if entry["type"] != EventType.QUERY_AUTHORIZED:
        return
    state, _ = runs.outcome_of(connection, entry["query"], None)
    if state == "authorized":
        raise Conflict(
            "query.running",
            f"Query {entry['query']} has no outcome yet; its values are needed until it has.",
            hint="Wait for its end, or start the exchange again: it closes what a crash left.",
        )


def _require_sealed(entry: Mapping[str, Any], names: Collection[str]) -> None:
    clear = sorted({*names} & (entry.keys() - {"sealed"}) - entry["sealed"].keys())
    if clear:
        raise Invalid(
            "body.clear",
            f"{clear[0]!r} of entry {entry['id']} stands in clear and is part of the log; expected a sealed member.",
            hint="What may be erased: " + (", ".join(sorted(entry["sealed"])) or "nothing of this entry") + ".",
        )
    unknown = sorted({*names} - entry["sealed"].keys())
    if unknown:
        hint = "What is sealed there: " + (", ".join(sorted(entry["sealed"])) or "nothing") + "."
        raise NotFound("body.unknown", f"Entry {entry['id']} seals no {unknown[0][:40]!r}.", hint=hint)


def _overwrite_what_is_deleted(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=on")


def _index_again(house: House, connection: Connection, entry: Mapping[str, Any]) -> None:
    """Leave in the index only what the entry still says: terms of the values that are left."""
    index, leaf = house.log.find(connection, entry["id"])
    connection.execute(log_term.delete().where(log_term.c.idx == index, log_term.c.sealed.is_(True)))
    if index < covered(connection):
        left = {name: value for name, (_, value) in house.log.bodies(connection, entry["id"]).items() if name in SEALED}
        terms = [term for term, sealed in terms_of(entry, leaf, left).items() if sealed]
        rows = [{"kind": kind, "value": value, "idx": index, "sealed": True} for kind, value in terms]
        if rows:
            connection.execute(log_term.insert(), rows)


def _naming(connection: Connection, participant: str) -> Iterator[Erasure]:
    """What names a participant, entry by entry. An id is a whole JSON text wherever it is named."""
    needle = canonical(participant)
    for entry, bodies in _by_entry(connection):
        naming = {name for name, value in bodies.items() if needle in value}
        if naming:
            yield Erasure(entry, tuple(sorted(naming | (PERSONAL & bodies.keys()))))


def _by_entry(connection: Connection) -> Iterator[tuple[EntryId, dict[str, bytes]]]:
    wanted = sa.select(log_body.c.entry_id, log_body.c.name, log_body.c.value).order_by(log_body.c.entry_id)
    last, bodies = "", dict[str, bytes]()
    for row in connection.execute(wanted.execution_options(yield_per=_PAGE)):
        if row.entry_id != last:
            if bodies:
                yield EntryId(last), bodies
            last, bodies = row.entry_id, {}
        bodies[row.name] = row.value
    if bodies:
        yield EntryId(last), bodies
