"""The negotiation of an agreement: whose move it is, what may be said next, and what was said so far.

The states are those of the Dataspace Protocol 2025-1; C is the consumer, here the buyer, P the provider. Proposals
name in ``prev`` what they answer, and an agreement what it was made of, so the chain cannot be rewritten. Only
FINALIZED, with an agreement that the exchange has countersigned, opens data.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.contracts import messages, offers, participants, registry
from sandbox.contracts.envelope import CONTRACT
from sandbox.contracts.messages import CONTRACTS, PROPOSALS, Message, Parties, unfit
from sandbox.contracts.stages import (
    ACCEPTED,
    ACTS,
    FINAL,
    FINALIZED,
    NEGOTIATION,
    OFFERED,
    SIDES,
    START,
    TERMINATED,
    VERIFIED,
    diagram,
    moves,
    whose_turn,
)
from sandbox.contracts.terms import Draft
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, NotFound
from sandbox.core.guards import guarded
from sandbox.core.signing import unverified
from sandbox.core.terms import DatasetId, Digest, ParticipantId

__all__ = [
    "ACTS",
    "FINAL",
    "NEGOTIATION",
    "SIDES",
    "Message",
    "Negotiation",
    "Parties",
    "begun_by",
    "diagram",
    "due",
    "history",
    "move",
    "moves",
    "negotiation",
    "negotiations",
    "repeats",
    "require_free",
    "signed_agreement",
    "start",
    "whose_turn",
]

_STATES: Final = (*(state for state in NEGOTIATION if state != START), *FINAL)
_negotiation = sa.Table(
    "negotiation", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("buyer", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # the last one
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("moved_at", Instant, nullable=False),
    sa.CheckConstraint(f"state IN {_STATES}", name="negotiation_state"),
)  # fmt: skip
_message = guarded(sa.Table(
    "negotiation_message", metadata,
    sa.Column("negotiation", sa.Text, sa.ForeignKey("negotiation.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("party", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("document", sa.Text),
    sa.Column("envelope", sa.LargeBinary),
    sa.Column("at", Instant, nullable=False),
    sa.UniqueConstraint("document", "state", name="negotiation_message_once"),  # a document is said in one talk only
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Negotiation:
    """Where a negotiation stands; ``document`` is the last one that was said in it."""

    id: str
    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId
    state: str
    document: Digest
    started_at: datetime
    moved_at: datetime

    @property
    def parties(self) -> Parties:
        return Parties(self.provider, self.buyer, self.dataset)


def due(negotiation: Negotiation) -> str | None:
    """For whom a negotiation waits: ``provider``, ``buyer``, or nobody."""
    turn = whose_turn(negotiation.state)
    return None if turn is None else SIDES[turn]


def _require_legal(state: str, message: Message) -> None:
    if message.party in NEGOTIATION.get(state, {}).get(message.state, ()):
        return
    side = SIDES.get(message.party, "stranger")
    raise Conflict(
        "negotiation.state", f"From {state} the {side} cannot go to {message.state[:20]!r}.",
        hint=f"The {side}'s moves from here: {', '.join(moves(state, message.party)) or 'none'}.",
    )  # fmt: skip


# --- moves ---
def start(tx: Transaction, name: str, parties: Parties, message: Message) -> Negotiation:
    """Begin by a buyer's request that answers a public offer, or by a provider's offer to one buyer.

    The document is in the registry already, put there in the same transaction. Begun by the same document before, it
    is that negotiation which is answered.

    Raises:
        Conflict: ``negotiation.state`` when nothing begins so; ``negotiation.exists``.
        Invalid: ``negotiation.document`` when the message, its document and the parties do not fit.
        NotFound: ``offer.unknown`` when the document is not registered, or what it answers is no public offer.
        AgreementRefused: ``offer.superseded`` when what it answers was withdrawn.
    """
    _require_legal(START, message)
    said = messages.read(message, parties)
    begun = begun_by(tx.connection, said.id)
    if begun is not None:
        return begun
    offers.offer_row(tx.connection, said.id)
    if not isinstance(said, Draft) and said.prev is not None:
        _require_public(tx.connection, said.prev, parties)
    row = {
        "id": name,
        "provider": parties.provider,
        "buyer": parties.buyer,
        "dataset": parties.dataset,
        "state": message.state,
        "document": said.id,
        "started_at": message.at,
        "moved_at": message.at,
    }
    taken = Conflict("negotiation.exists", "This negotiation has begun already.", hint="See: sandbox negotiate list")
    participants.insert_new(tx, _negotiation, row, taken)
    _append(tx, name, 1, message)
    return negotiation(tx.connection, name)


def _require_public(connection: Connection, digest: Digest, parties: Parties) -> None:
    answered = offers.public_offer(connection, digest)
    if (answered.provider, answered.dataset) != (parties.provider, parties.dataset):
        unfit("The offer that this document answers is another provider's, or about another dataset.")


def move(tx: Transaction, name: str, message: Message) -> Negotiation:
    """Take one step. A message that was received before changes nothing and is answered as done.

    The caller has verified the signatures on the envelope, and that the sender is this party. A proposal is in the
    registry already, and so is at FINALIZED the agreement, each put there in the same transaction.

    Raises:
        NotFound: ``negotiation.unknown``; ``offer.unknown`` or ``agreement.unknown`` for what is not registered.
        Conflict: ``negotiation.state``, naming the legal moves.
        Invalid: ``negotiation.document`` when the document is missing, or continues something else;
            ``negotiation.unsigned`` when a signature is missing or too much; ``contract.invalid``.
        AgreementRefused: ``offer.superseded`` for an agreement made of what was withdrawn.
    """
    found = negotiation(tx.connection, name)
    # (1) Networks repeat themselves, and nobody must pay for that.
    if repeats(tx.connection, found, message):
        return found
    # (2) It is this party's move.
    _require_legal(found.state, message)
    # (3) What it carries continues what was said.
    _require_continued(tx.connection, found, message)
    # (4) What was proposed before is no longer open to this buyer.
    offers.replace_offers(tx, _replaced(tx.connection, found, message), found.buyer, message.at)
    # (5) It stands, unless another move was faster.
    step = sa.update(_negotiation).where(_negotiation.c.id == name, _negotiation.c.state == found.state)
    values = {"state": message.state, "document": message.document or found.document, "moved_at": message.at}
    if tx.connection.execute(step.values(values)).rowcount != 1:
        raise Conflict("negotiation.state", "Another move came first.", hint=f"See: sandbox negotiate show {name}")
    _append(tx, name, len(history(tx.connection, name)) + 1, message)
    return negotiation(tx.connection, name)


def _require_continued(connection: Connection, found: Negotiation, message: Message) -> None:
    if message.state in PROPOSALS:
        _require_answer(connection, found, message)
    elif message.state == FINALIZED:
        if message.document != found.document:
            unfit("What is finalised is the agreement that both have signed, and this is another.")
        registry.agreement_state(connection, found.document)
    elif message.state == TERMINATED:
        if message.document is not None or message.envelope is not None:
            unfit("TERMINATED carries no document.")
    elif message.state == VERIFIED and message.envelope is None:
        _require_confirmable(connection, found, message)
    else:
        _require_agreement(connection, found, message)


def _require_answer(connection: Connection, found: Negotiation, message: Message) -> None:
    said = messages.read(message, found.parties)
    if isinstance(said, Draft) or said.prev != found.document:
        unfit("The document answers another than the last one: its prev is not what was said last.")
    offers.offer_row(connection, said.id)


def _require_confirmable(connection: Connection, found: Negotiation, message: Message) -> None:
    if message.document is not None:
        unfit("The message names a document, and carries none.")
    if ACCEPTED not in {each.state for each in history(connection, found.id)}:
        unfit("The buyer has not signed this agreement yet; VERIFIED carries it with both signatures.")


def _require_agreement(connection: Connection, found: Negotiation, message: Message) -> None:
    said = messages.read(message, found.parties)
    if found.state in PROPOSALS:  # the agreement appears, made of the last proposal, signed by whoever takes it
        if not isinstance(said, Draft) or said.offer != found.document:
            unfit("The agreement is made of another document than the last one: its prev is not what was said last.")
        proposed = offers.offer_row(connection, found.document)
        offers.require_standing(connection, proposed, found.buyer)
        agreed = unverified(message.envelope or b"", CONTRACT)[0]
        registry.check_unaltered(agreed, unverified(proposed.envelope, proposed.kind)[0])
        messages.require_signatures(message, found.parties, both=False)
    else:
        if said.id != found.document:
            unfit("This is another agreement than the one that the other side has signed.")
        messages.require_signatures(message, found.parties, both=True)


def _replaced(connection: Connection, found: Negotiation, message: Message) -> set[str]:
    """What this move puts out of the way. Only a provider's new offer replaces the public one that began the talk."""
    if message.state not in {*PROPOSALS, TERMINATED}:
        return set()
    said = [each.document for each in history(connection, found.id) if each.state in PROPOSALS]
    replaced: set[str] = {document for document in said if document is not None}
    if message.state == OFFERED and said[0] is not None:
        public = offers.offer_row(connection, said[0]).prev
        replaced |= {public} if public else set()
    return replaced


def _append(tx: Transaction, name: str, number: int, message: Message) -> None:
    row = {
        "negotiation": name,
        "number": number,
        "party": message.party,
        "state": message.state,
        "document": message.document,
        "envelope": message.envelope,
        "at": message.at,
    }
    taken = Conflict("negotiation.document", "This document was said before, in another negotiation.")
    participants.insert_new(tx, _message, row, taken)


# --- what was said ---
def repeats(connection: Connection, found: Negotiation, message: Message) -> bool:
    """Whether this party has said the same in this negotiation before."""
    same = [_message.c.negotiation == found.id, _message.c.state == message.state, _message.c.party == message.party]
    document = _message.c.document
    same.append(document.is_(None) if message.document is None else document == message.document)
    return connection.scalar(sa.select(_message.c.number).where(*same).limit(1)) is not None


def begun_by(connection: Connection, document: str) -> Negotiation | None:
    """The negotiation that this document has begun; None when it began none."""
    first = sa.select(_message.c.negotiation).where(_message.c.document == document, _message.c.number == 1)
    name = connection.scalar(first)
    return None if name is None else negotiation(connection, name)


def require_free(connection: Connection, document: Digest) -> None:
    """Refuse to make an agreement of what was proposed in a negotiation: either side may still end it there.

    Raises:
        Conflict: ``negotiation.open``.
    """
    proposed = sa.select(_message.c.number).where(_message.c.document == document, _message.c.state.in_(PROPOSALS))
    if connection.scalar(proposed.limit(1)) is not None:
        raise Conflict(
            "negotiation.open", "This agreement is made in a negotiation, and only finalising that opens data.",
            hint="See: sandbox negotiate list", reasons=("CONT-01",),
        )  # fmt: skip


def negotiation(connection: Connection, name: str) -> Negotiation:
    """One negotiation.

    Raises:
        NotFound: ``negotiation.unknown``.
    """
    wanted = sa.select(_negotiation).where(_negotiation.c.id == name)
    # PostgreSQL fails on U+0000 before it could say "unknown"
    row = connection.execute(wanted).one_or_none() if name.isprintable() else None
    if row is None:
        raise NotFound(
            "negotiation.unknown", f"No negotiation {name[:40]!r}, or it is not yours.",
            hint="See: sandbox negotiate list",
        )  # fmt: skip
    return Negotiation(*row)


def negotiations(connection: Connection, participant: ParticipantId | None = None) -> list[Negotiation]:
    """The negotiations of one participant, on either side, or all of them; the one that moved last comes first."""
    wanted = sa.select(_negotiation).order_by(_negotiation.c.moved_at.desc(), _negotiation.c.id.desc())
    if participant is not None:
        wanted = wanted.where(sa.or_(_negotiation.c.buyer == participant, _negotiation.c.provider == participant))
    return [Negotiation(*row) for row in connection.execute(wanted)]


def history(connection: Connection, name: str) -> list[Message]:
    """What was said in a negotiation, in order."""
    columns = [_message.c[column] for column in ("party", "state", "document", "envelope", "at")]
    said = sa.select(*columns).where(_message.c.negotiation == name).order_by(_message.c.number)
    return [Message(*row) for row in connection.execute(said)]


def signed_agreement(connection: Connection, name: str) -> bytes | None:
    """The agreement as signed so far; None before anyone has."""
    signed = [each.envelope for each in history(connection, name) if each.state in CONTRACTS and each.envelope]
    return signed[-1] if signed else None
