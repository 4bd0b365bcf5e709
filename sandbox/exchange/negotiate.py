"""How an agreement comes about: request, offer and counter-offer, acceptance, agreement, confirmation, finalisation.

The states are the Dataspace Protocol's (2025-1). What is signed on the way is a document of its own kind; only
FINALIZED, which the exchange countersigns, opens data.
"""

from dataclasses import dataclass

from sandbox.audit.events import EventType
from sandbox.catalog import listing
from sandbox.contracts import envelope, negotiation, offers
from sandbox.contracts.negotiation import ACTS, Message, Negotiation
from sandbox.contracts.stages import BUYER, PROVIDER
from sandbox.contracts.terms import Offer, Request, read_agreement
from sandbox.core.canonical import Json, digest
from sandbox.core.clock import new_id
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.signing import open_signed
from sandbox.core.terms import Digest, EntryId, Identity, ParticipantId
from sandbox.exchange import agree
from sandbox.exchange.handed import handed_in
from sandbox.exchange.house import House
from sandbox.exchange.refused import recorded


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a party: who says what, with which signed document."""

    who: ParticipantId
    act: str
    text: bytes | None
    negotiation: str | None
    by: Identity | None = None


def negotiate(house: House, said: Said) -> Negotiation:
    """Take one step of a negotiation, or begin one by a request or a directed offer.

    Raises:
        Invalid: no such act, or its document is missing, badly signed or does not fit.
        NotFound: ``negotiation.unknown``, also when it is others'.
        Conflict: ``negotiation.state`` when there is no way there from where it is.
        PolicyRefused: at the end, when the agreement may not be made.
    """
    tried: dict[str, Json] = {"actor": said.who, "document": digest(said.text) if said.text else None}
    with recorded(house, EventType.CONTRACT_REFUSED, tried):
        if said.act not in ACTS:
            raise Invalid("negotiation.act", f"No act {said.act[:20]!r}.", hint="One of " + ", ".join(ACTS) + ".")
        if said.act in {"request", "offer"}:
            return _proposed(house, said)
        if said.negotiation is None:
            raise Invalid("negotiation.missing", "Which negotiation?", hint="See: sandbox negotiate list")
        return _moved(house, said)


# --- proposals ---
def _proposed(house: House, said: Said) -> Negotiation:
    text = _document(said)
    with house.database.read() as connection:
        signers = house.signers(connection)
        opened: Offer | Request
        opened = envelope.open_request(text, signers) if said.act == "request" else envelope.open_offer(text, signers)
        version = listing.version(connection, opened.version)
    agree.fits(opened, version)
    speaker = opened.buyer if isinstance(opened, Request) else opened.provider
    if speaker != said.who:
        raise Invalid("negotiation.foreign", "The document is signed by someone else.", hint="Sign with your own key.")
    if opened.buyer is None:
        raise Invalid(
            "negotiation.undirected", "A public offer is no answer to anyone.",
            hint="Name the buyer, or register it with sandbox offer.",
        )  # fmt: skip
    entry, at = house.new_entry(), house.now()
    side = BUYER if said.act == "request" else PROVIDER
    message = Message(side, ACTS[said.act], opened.id, text, at, frozenset({said.who}))

    def write(tx: Transaction) -> Negotiation:
        found = _own(tx, said) if said.negotiation else negotiation.begun_by(tx.connection, opened.id)
        if found and (said.negotiation is None or negotiation.repeats(tx.connection, found, message)):
            return found  # a repetition, answered as done
        offers.put_offer(tx, opened, text, at)
        parties = negotiation.Parties(opened.provider, buyer, opened.dataset)
        moved = negotiation.move(tx, found.id, message) if found else negotiation.start(tx, name, parties, message)
        _record(house, tx, entry, moved, said)
        return moved

    name, buyer = new_id("neg", house.clock), opened.buyer
    return house.database.write(write)


def _step(house: House, said: Said, document: Digest | None, signed_by: frozenset[ParticipantId]) -> Negotiation:
    entry, at = house.new_entry(), house.now()

    def write(tx: Transaction) -> Negotiation:
        found = _own(tx, said)
        side = PROVIDER if said.who == found.provider else BUYER
        message = Message(side, ACTS[said.act], document, said.text, at, signed_by)
        if negotiation.repeats(tx.connection, found, message):
            return found
        moved = negotiation.move(tx, found.id, message)
        _record(house, tx, entry, moved, said)
        return moved

    return house.database.write(write)


def _record(house: House, tx: Transaction, entry: EntryId, moved: Negotiation, said: Said) -> None:
    clear: dict[str, Json] = {
        "negotiation": moved.id,
        "state": moved.state,
        "dataset": moved.dataset,
        "provider": moved.provider,
        "document": moved.document,
    }
    house.record(tx, EventType.NEGOTIATION_MOVED, entry, clear, {"buyer": moved.buyer, **handed_in(said.by)})


# --- answers ---
def _moved(house: House, said: Said) -> Negotiation:
    if said.act == "finalize":
        return _finalized(house, said)
    if said.text is None and said.act in {"verify", "terminate"}:
        return _step(house, said, None, frozenset())
    document, signed_by = _half_signed(house, _document(said))
    return _step(house, said, document, signed_by)


def _half_signed(house: House, text: bytes) -> tuple[Digest, frozenset[ParticipantId]]:
    """An agreement's id and who has signed it so far; every signature on it is good."""
    with house.database.read() as connection:
        signers = house.signers(connection)
        signed = open_signed(text, envelope.CONTRACT, envelope.CONTRACT_TYPE, signers)
        owners = [signers.owner_of(kid) for kid in signed.kids]
    read_agreement(signed.document)
    parties = frozenset(owner for owner in owners if owner is not None)
    if len(parties) != len(owners):  # signed twice by one side, it could never be finalised
        raise Invalid(
            "negotiation.unsigned", "The agreement carries two signatures of one party.",
            hint="Sign what the other side sent, once.", reasons=("CONT-01",),
        )  # fmt: skip
    return signed.digest, parties


def _finalized(house: House, said: Said) -> Negotiation:
    with house.database.read() as connection:
        found = negotiation.negotiation(connection, said.negotiation or "")
        _require_party(said, found)
        text = negotiation.signed_agreement(connection, found.id)
    if found.state == "FINALIZED" and said.who == found.provider:
        return found  # said before
    if found.provider != said.who or found.state != "VERIFIED" or text is None:
        raise Conflict(
            "negotiation.state", f"The negotiation is {found.state}; its provider finalises what is VERIFIED.",
            hint="See: sandbox negotiate show " + found.id,
        )  # fmt: skip
    entry, at = house.new_entry(), house.now()
    moved: list[Negotiation] = []

    def also(tx: Transaction, agreement: Digest) -> None:
        moved[:] = [negotiation.move(tx, found.id, Message(PROVIDER, "FINALIZED", agreement, None, at))]
        _record(house, tx, entry, moved[0], said)

    agree.concluded(house, text, said.by, also)
    return moved[0]


# --- who ---
def _document(said: Said) -> bytes:
    if said.text is None:
        raise Invalid("negotiation.document", f"{said.act} needs a signed document.", hint="Sign it and send it along.")
    return said.text


def _own(tx: Transaction, said: Said) -> Negotiation:
    found = negotiation.negotiation(tx.connection, said.negotiation or "")
    _require_party(said, found)
    return found


def _require_party(said: Said, found: Negotiation) -> None:
    if said.who not in {found.provider, found.buyer}:
        raise unknown(found.id)


def unknown(name: str) -> NotFound:
    """What is raised for a negotiation that is not there, or others': the two must look the same."""
    return NotFound(
        "negotiation.unknown", f"No negotiation {name[:40]!r}, or it is not yours.", hint="See: sandbox negotiate list"
    )


def of(house: House, who: ParticipantId | None) -> list[Negotiation]:
    """The negotiations of one participant, or all; the newest first."""
    with house.database.read() as connection:
        return negotiation.negotiations(connection, who)


def history(house: House, who: ParticipantId | None, name: str) -> tuple[Negotiation, list[Message]]:
    """One negotiation with its messages in order.

    Raises:
        NotFound: ``negotiation.unknown``, also when it is others'.
    """
    with house.database.read() as connection:
        found = negotiation.negotiation(connection, name)
        if who is not None and who not in {found.provider, found.buyer}:
            raise unknown(name)
        return found, negotiation.history(connection, name)
