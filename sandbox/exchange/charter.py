"""A signed charter is adopted: verified, held against the offices of its signers, recorded, in force."""

from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.contracts import charters, participants
from sandbox.contracts.charter import Charter
from sandbox.contracts.charters import Adoption
from sandbox.core.canonical import Json, digest
from sandbox.core.database import Transaction
from sandbox.core.errors import NotFound, PolicyRefused
from sandbox.core.terms import ParticipantId, Role
from sandbox.exchange.house import House
from sandbox.exchange.refused import recorded


def adopt(house: House, text: bytes) -> Charter:
    """Put a charter in force that its regulator and this exchange's operator signed.

    Raises:
        Invalid: it is not a signed charter.
        PolicyRefused: ``charter.roles`` when those who signed do not hold their offices here (CHARTER-07).
        Conflict: it is not the next version, or would alter what has been; see :func:`charters.adopt`.
    """
    with recorded(house, EventType.CHARTER_REFUSED, {"document": digest(text)}):
        entry, at = house.new_entry(), house.now()
        # (1) Signed by the two that it names, and it says one thing only.
        with house.database.read() as connection:
            charter = charters.open_charter(text, house.signers(connection, at))
            # (2) They are who they say they are.
            _require_offices(house, connection, charter)
        clear: dict[str, Json] = {"charter": charter.id, "version": charter.version, "digest": charter.digest}

        def write(tx: Transaction) -> None:
            # (3) It follows the one before.
            charters.adopt(tx, charter, text, at)
            house.record(tx, EventType.CHARTER_ADOPTED, entry, clear | {"state": charter.state})

        house.database.write(write)
    return charter


def _require_offices(house: House, connection: Connection, charter: Charter) -> None:
    if charter.operator != house.exchange_id:  # another exchange's charter would be in force here
        _refuse(f"The charter's operator is {charter.operator}, and this exchange is run by {house.exchange_id}.")
    for office, who in ((Role.REGULATOR, charter.regulator), (Role.OPERATOR, charter.operator)):
        if office not in _roles(connection, who):
            _refuse(f"{who} signed as {office}, and is not admitted as one.")


def _roles(connection: Connection, who: ParticipantId) -> frozenset[Role]:
    try:
        return participants.participant(connection, who).roles
    except NotFound:
        return frozenset()


def _refuse(sentence: str) -> None:
    hint = "The charter is signed by an admitted regulator and by the operator of this exchange."
    raise PolicyRefused("charter.roles", sentence, hint=hint, reasons=("CHARTER-07",))


def history(house: House) -> list[Adoption]:
    """Every version of the charter that was adopted, the oldest first."""
    with house.database.read() as connection:
        return charters.history(connection)
