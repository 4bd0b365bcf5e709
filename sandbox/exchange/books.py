"""The exchange's books as the ledger has them, up to an entry of the log: whoever folds the log compares with them."""

from typing import Any

from sqlalchemy.engine import Connection

from sandbox.audit.books import BOOKS
from sandbox.exchange.house import House
from sandbox.market import ledger, volume
from sandbox.market.volume import Volume


def books(house: House) -> dict[str, Any]:
    """Volume, whole and by day and agreement, and the ledger, from SQL alone in one snapshot; amounts in đồng.

    ``size`` says of how many entries; ``sandbox verify log --replay --books FILE`` folds as many and must come to the
    same numbers (I7).

    Raises:
        Tampered: ``tampered.ledger`` when balances and postings disagree.
    """
    with house.database.read() as connection:
        return {
            "type": BOOKS,
            "origin": house.settings.origin,
            "size": house.log.head(connection).size,
            "volume": _totals(volume.volume(connection)),
            "by_day": _parts(connection, "day"),
            "by_agreement": _parts(connection, "agreement"),
            "ledger": _ledger(connection),
        }


def _parts(connection: Connection, dimension: str) -> dict[str, Any]:
    return {name: _totals(part) for name, part in volume.volume_by(connection, dimension).items()}


def _totals(part: Volume) -> dict[str, int]:
    return {
        "count": part.count,
        "vnd": int(part.value_vnd),
        "rows": part.rows,
        "bytes": part.bytes,
        "count_open": part.count_open,
    }


def _ledger(connection: Connection) -> dict[str, Any]:
    balances = ledger.trial_balance(connection)
    held = sum(vnd for name, vnd in balances.items() if name.startswith("held:"))
    wallets = sum(vnd for name, vnd in balances.items() if name.startswith("wallet:"))
    owed = {name.partition(":")[2]: vnd for name, vnd in balances.items() if name.startswith("receivable:") and vnd}
    fees = balances.get(ledger.FEE, 0)
    return {
        "topped_up": -balances.get(ledger.BANK, 0),
        "held": held,
        "wallets": wallets,
        "paid": sum(owed.values()) + fees,
        "fees": fees,
        "providers": owed,
    }
