"""What is refused stands on the record: a party can prove that it tried, and a regulator can count."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sandbox.audit.events import EventType
from sandbox.core.canonical import Json
from sandbox.core.database import Transaction
from sandbox.core.errors import SandboxError, Unavailable
from sandbox.exchange.house import House


@contextmanager
def recorded(house: House, kind: EventType, sealed: Mapping[str, Json]) -> Iterator[None]:
    """Record what is refused inside, under ``kind``, with its code and rules; ``sealed`` says what was tried.

    An outage is no refusal: it leaves no entry, and often could not.
    """
    try:
        yield
    except Unavailable:
        raise
    except SandboxError as refusal:
        _record(house, kind, refusal, sealed)
        raise


def _record(house: House, kind: EventType, refusal: SandboxError, sealed: Mapping[str, Json]) -> None:
    entry = house.new_entry()
    clear: dict[str, Json] = {"code": refusal.code, "reasons": list(refusal.reasons)}

    def write(tx: Transaction) -> None:
        house.record(tx, kind, entry, clear, sealed)

    house.database.write(write)
