"""What the regulator and the public may ask of the record: volume, its recount from the log, receipts, checkpoint."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from sandbox.audit import receipt as receipts
from sandbox.audit import tiles
from sandbox.audit.events import EventType
from sandbox.core.canonical import parse
from sandbox.core.terms import Participant, Role
from sandbox.exchange import runs
from sandbox.exchange.house import CHECKPOINT_FOLDER, House
from sandbox.market import volume
from sandbox.market.volume import Volume

_PAGE = 1_000


def log_entries(house: House, connection: Connection) -> Iterator[dict[str, Any]]:
    """Every entry document of the log, in its order."""
    size = house.log.head(connection).size
    for start in range(0, size, _PAGE):
        for leaf in house.log.entries(connection, start, min(start + _PAGE, size)):
            yield parse(leaf)


def recount(house: House) -> Volume:
    """The volume folded from the log alone; equal to the ledger's, or something is wrong (I7)."""
    with house.database.read() as connection:
        return volume.fold(log_entries(house, connection))


def refusals(house: House) -> Mapping[str, int]:
    """How many queries each rule (or, without a rule, each error code) has refused, from the log."""
    with house.database.read() as connection:
        refused = [entry for entry in log_entries(house, connection) if entry["type"] == EventType.QUERY_REFUSED]
    counts = Counter(reason for entry in refused for reason in entry["reasons"] or [entry["code"]])
    return dict(sorted(counts.items()))


def receipt(house: House, who: Participant, query_id: str) -> bytes:
    """The receipt of a query's outcome: for its buyer, the regulator and the operator.

    Raises:
        NotFound: ``query.unknown``, also when it is another buyer's.
    """
    overseer = who.roles & {Role.REGULATOR, Role.OPERATOR}
    with house.database.read() as connection:
        _, entry = runs.outcome_of(connection, query_id, None if overseer else who.id)
        return receipts.receipt(connection, house.log, entry, house.exchange_key)


def export_log(house: House) -> int:
    """Bring the tile files in the home up to the database; answers the size that they show."""
    return tiles.export(house.database.engine, house.settings.home / CHECKPOINT_FOLDER)
