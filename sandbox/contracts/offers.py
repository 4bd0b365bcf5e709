"""What is offered and asked for: providers' offers and buyers' requests, as signed bytes that are verified again.

An offer is to whoever accepts it, or to one buyer; a request, and an offer that answers one, belong to a negotiation,
where each new document replaces the last for its buyer.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import participants
from sandbox.contracts.envelope import OFFER, REQUEST, open_offer, open_request
from sandbox.contracts.keyring import Signers
from sandbox.contracts.members import refuse
from sandbox.contracts.terms import Offer, Request, read_offer
from sandbox.core.canonical import Json, digest_of
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import AgreementRefused, Conflict, Invalid, NotFound, Tampered
from sandbox.core.signing import unverified
from sandbox.core.terms import Digest, ParticipantId

_T = TypeVar("_T")
_Row: TypeAlias = Row[tuple[object, ...]]
SignersAt: TypeAlias = Callable[[datetime], Signers]
"""Whose signatures count at an instant. What was signed is verified again with the keys of its own time."""

_offer = sa.Table(
    "offer", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, sa.ForeignKey("participant.id"), nullable=False),
    sa.Column("dataset", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("registered_at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("buyer", sa.Text, sa.ForeignKey("participant.id", name="offer_buyer")),  # none: to whoever accepts it
    sa.Column("prev", sa.Text),
    sa.Column("withdrawn_at", Instant),
    sa.CheckConstraint(f"kind IN {(OFFER, REQUEST)}", name="offer_kind"),
)  # fmt: skip
_replaced = sa.Table(
    "offer_replaced", metadata,
    sa.Column("offer", sa.Text, sa.ForeignKey("offer.id"), primary_key=True),
    sa.Column("buyer", sa.Text, sa.ForeignKey("participant.id"), primary_key=True),
    sa.Column("replaced_at", Instant, nullable=False),
)  # fmt: skip


def put_offer(tx: Transaction, offer: Offer | Request, envelope: bytes, at: datetime) -> None:
    """Register an offer, or a buyer's request, that was opened from this envelope.

    Raises:
        Invalid: ``contract.invalid`` when the envelope holds another document.
        Conflict: ``offer.exists``.
    """
    kind = REQUEST if isinstance(offer, Request) else OFFER
    same_document(envelope, kind, offer.id)
    row = {
        "id": offer.id,
        "kind": kind,
        "provider": offer.provider,
        "buyer": offer.buyer,
        "prev": offer.prev,
        "dataset": offer.dataset,
        "version": offer.version,
        "envelope": envelope,
        "registered_at": at,
        "withdrawn_at": None,
    }
    taken = Conflict("offer.exists", f"This {kind} is registered already.", hint="Sign a new one to renew it.")
    participants.insert_new(tx, _offer, row, taken)


def same_document(envelope: bytes, member: str, expected: Digest) -> dict[str, Json]:
    """The document in an envelope, if it is the one that was opened.

    Raises:
        Invalid: ``contract.invalid``.
    """
    document, _ = unverified(envelope, member)
    if digest_of(document) != expected:
        refuse("The envelope holds another document than the one that was opened.")
    return document


def offers(connection: Connection, signers_at: SignersAt) -> list[Offer]:
    """Every offer to whoever accepts it, verified, in the order of registration.

    Those that were withdrawn are left out, and those whose provider's key is revoked with effect on them.

    Raises:
        Tampered: ``tampered.offer``.
    """
    public = sa.select(_offer).where(_offer.c.kind == OFFER, _offer.c.buyer.is_(None), _offer.c.withdrawn_at.is_(None))
    found = []
    for row in connection.execute(public.order_by(_offer.c.registered_at, _offer.c.id)):
        try:
            opened = opened_offer(row, signers_at)
        except AgreementRefused:
            continue
        if isinstance(opened, Offer):
            found.append(opened)
    return found


def offer_envelope(connection: Connection, digest: str) -> bytes:
    """The signed bytes of an offer or request.

    Raises:
        NotFound: ``offer.unknown``.
    """
    envelope: bytes = offer_row(connection, digest).envelope
    return envelope


def offer_row(connection: Connection, digest: str) -> _Row:
    """The stored line of an offer or request.

    Raises:
        NotFound: ``offer.unknown``.
    """
    row = connection.execute(sa.select(_offer).where(_offer.c.id == digest)).one_or_none()
    if row is None:
        raise _unknown(digest)
    return row


def _unknown(digest: str) -> NotFound:
    return NotFound("offer.unknown", f"No offer {digest[:80]!r} is registered.", hint="See: sandbox offers")


def opened_offer(row: _Row, signers_at: SignersAt) -> Offer | Request:
    """What stands in a stored line, verified with the keys of the time at which it was registered.

    Raises:
        AgreementRefused: ``offer.key_revoked``, ``request.key_revoked``.
        Tampered: ``tampered.offer``, ``tampered.request``.
    """
    open_with = open_request if row.kind == REQUEST else open_offer
    signers = signers_at(row.registered_at)
    opened: Offer | Request = reopened(row.kind, signers, lambda: open_with(row.envelope, signers))
    columns = ("id", "provider", "buyer", "prev", "dataset", "version")
    if any(getattr(opened, column) != getattr(row, column) for column in columns):
        raise tampered(row.kind)
    return opened


def reopened(kind: str, signers: Signers, open_with: Callable[[], _T]) -> _T:
    """Verify stored bytes. They did verify once, so a failure means a key revoked since, or altered bytes.

    Raises:
        AgreementRefused: ``<kind>.key_revoked``.
        Tampered: ``tampered.<kind>``.
    """
    try:
        return open_with()
    except Invalid:
        if any(map(signers.is_revoked, signers.asked)):
            raise AgreementRefused(
                f"{kind}.key_revoked", f"A key that signed this {kind} is revoked since before it signed.",
                hint="Sign it anew with a valid key.", reasons=("CONT-01",),
            ) from None  # fmt: skip
        raise tampered(kind) from None


def tampered(kind: str) -> Tampered:
    """What is raised for stored bytes that are not what was signed."""
    sentence = f"The stored bytes of this {kind} do not verify any more."
    return Tampered(f"tampered.{kind}", sentence, hint="Stop, keep the database as it is, and tell the regulator.")


def withdraw_offer(tx: Transaction, digest: str, provider: ParticipantId, at: datetime) -> None:
    """Take an offer back, as its provider: no agreement is made of it any more. Those that were made stay.

    Raises:
        NotFound: ``offer.unknown``, also when it is another provider's.
    """
    first = sa.func.coalesce(_offer.c.withdrawn_at, sa.bindparam("at", at, Instant))  # taken back twice: the first time
    own = sa.update(_offer).where(_offer.c.id == digest, _offer.c.provider == provider, _offer.c.kind == OFFER)
    if tx.connection.execute(own.values(withdrawn_at=first)).rowcount != 1:
        raise _unknown(digest)


def replace_offers(tx: Transaction, digests: Collection[str], buyer: ParticipantId, at: datetime) -> None:
    """Mark offers and requests that a later document of the same negotiation has replaced, for this buyer."""
    known = sa.select(_replaced.c.offer).where(_replaced.c.buyer == buyer, _replaced.c.offer.in_([*digests]))
    fresh = {*digests} - {*tx.connection.scalars(known)}
    rows = [{"offer": digest, "buyer": buyer, "replaced_at": at} for digest in sorted(fresh)]
    if rows:
        tx.connection.execute(sa.insert(_replaced), rows)


def public_offer(connection: Connection, digest: str) -> Offer:
    """An offer to whoever accepts it, to begin a negotiation from; its bytes are not verified here.

    One that was replaced for a buyer in an earlier negotiation may begin another.

    Raises:
        NotFound: ``offer.unknown``, also for a request, or an offer to one buyer.
        AgreementRefused: ``offer.superseded`` when it was withdrawn.
    """
    row = offer_row(connection, digest)
    if row.kind != OFFER or row.buyer is not None:
        raise _unknown(digest)
    if row.withdrawn_at is not None:
        raise _superseded(row.kind)
    return read_offer(unverified(row.envelope, OFFER)[0])


def require_standing(connection: Connection, row: _Row, buyer: ParticipantId) -> None:
    """Refuse to build on what is to another buyer, was withdrawn, or was replaced for this one.

    Raises:
        NotFound: ``offer.unknown``.
        AgreementRefused: ``offer.superseded``.
    """
    if row.buyer not in (None, buyer):
        raise _unknown(row.id)
    replaced = sa.select(_replaced.c.offer).where(_replaced.c.offer == row.id, _replaced.c.buyer == buyer)
    if row.withdrawn_at is not None or connection.scalar(replaced) is not None:
        raise _superseded(row.kind)


def _superseded(kind: str) -> AgreementRefused:
    return AgreementRefused(
        "offer.superseded", f"This {kind} was withdrawn, or a later one has replaced it.",
        hint="Build on the last one: sandbox negotiate list, sandbox offers", reasons=("CONT-01",),
    )  # fmt: skip
