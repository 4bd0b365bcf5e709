"""The registry of offers and agreements: signed bytes, believed only after they are verified again.

The columns beside the bytes find an agreement; what it allows is read from the bytes alone, so whoever writes to the
database can hide a contract but cannot change one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import participants
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.envelope import CONTRACT, OFFER, KeyOf, OwnerOf, open_agreement, open_offer
from sandbox.contracts.members import refuse
from sandbox.contracts.terms import OWN_OF_AGREEMENT, Offer
from sandbox.contracts.verified import Verified
from sandbox.core.canonical import Json, canonical, digest_of
from sandbox.core.clock import text_of
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import AgreementRefused, Conflict, Invalid, NotFound, Tampered
from sandbox.core.keys import VerifyKey
from sandbox.core.signing import unverified
from sandbox.core.terms import DatasetId, Digest, ParticipantId

_T = TypeVar("_T")

IN_FORCE: Final = "in_force"
TERMINATED: Final = "terminated"
STATES: Final[Mapping[str, frozenset[str]]] = {
    IN_FORCE: frozenset({"suspended", TERMINATED}),
    "suspended": frozenset({IN_FORCE, TERMINATED}),
    TERMINATED: frozenset(),
}
"""The life of an agreement beside its term."""

_offer = sa.Table(
    "offer", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, sa.ForeignKey("participant.id"), nullable=False),
    sa.Column("dataset", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("registered_at", Instant, nullable=False),
)  # fmt: skip
_agreement = sa.Table(
    "agreement", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("offer", sa.Text, sa.ForeignKey("offer.id"), nullable=False),
    sa.Column("provider", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("buyer", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("dataset", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("exclusive", sa.Boolean, nullable=False),
    sa.Column("not_after", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("signed_at", Instant, nullable=False),
    sa.CheckConstraint(f"state IN {tuple(STATES)}", name="agreement_state"),
)  # fmt: skip

# built once: every query asks, and building a statement takes longer than running it
_BY_PREFIX: Final = sa.select(_agreement).where(_agreement.c.id.startswith(sa.bindparam("beginning", type_=sa.Text)))
_STATE: Final = sa.select(_agreement.c.state).where(_agreement.c.id == sa.bindparam("digest"))
_VERIFIED: Final = Verified()

_PREFIX: Final = re.compile(r"(?:sha256:)?(?P<digits>[0-9a-f]{6,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One line of the registry, for lists. To act under an agreement, open it with :func:`agreement`."""

    id: Digest
    offer: Digest
    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId
    version: Digest
    state: str
    not_after: datetime
    signed_at: datetime


# --- offers ---
def put_offer(tx: Transaction, offer: Offer, envelope: bytes, at: datetime) -> None:
    """Register an offer that was opened from this envelope.

    Raises:
        Invalid: ``contract.invalid`` when the envelope holds another document.
        Conflict: ``offer.exists``.
    """
    _same_document(envelope, OFFER, offer.id)
    row = {
        "id": offer.id,
        "provider": offer.provider,
        "dataset": offer.dataset,
        "version": offer.version,
        "envelope": envelope,
        "registered_at": at,
    }
    taken = Conflict("offer.exists", "This offer is registered already.", hint="Sign a new offer to renew it.")
    participants.insert_new(tx, _offer, row, taken)


def _same_document(envelope: bytes, member: str, expected: Digest) -> dict[str, Json]:
    document, _ = unverified(envelope, member)
    if digest_of(document) != expected:
        refuse("The envelope holds another document than the one that was opened.")
    return document


def offers(connection: Connection) -> list[Offer]:
    """Every offer, verified, in the order of registration; without those whose provider's key was revoked since.

    Raises:
        Tampered: ``tampered.offer``.
    """
    found = []
    for row in connection.execute(sa.select(_offer).order_by(_offer.c.registered_at, _offer.c.id)):
        try:
            found.append(_opened_offer(connection, row))
        except AgreementRefused:
            continue
    return found


def offer_envelope(connection: Connection, digest: str) -> bytes:
    """The signed bytes of an offer.

    Raises:
        NotFound: ``offer.unknown``.
    """
    envelope: bytes | None = connection.scalar(sa.select(_offer.c.envelope).where(_offer.c.id == digest))
    if envelope is None:
        raise NotFound("offer.unknown", f"No offer {digest[:80]!r} is registered.", hint="See: sandbox offers")
    return envelope


def _opened_offer(connection: Connection, row: Row[tuple[object, ...]]) -> Offer:
    key_of = partial(participants.key_of, connection)
    owner_of = partial(participants.owner_of, connection)
    opened = _reopened(connection, "offer", key_of, lambda watched: open_offer(row.envelope, watched, owner_of))
    if opened.id != row.id:
        raise _tampered("offer")
    return opened


def _reopened(connection: Connection, kind: str, key_of: KeyOf, open_with: Callable[[KeyOf], _T]) -> _T:
    """Verify stored bytes. They did verify once, so a failure means a key revoked since, or altered bytes."""
    unresolved: list[str] = []

    def watched(kid: str) -> VerifyKey | None:
        key = key_of(kid)
        if key is None:
            unresolved.append(kid)
        return key

    try:
        return open_with(watched)
    except Invalid:
        if any(participants.is_revoked(connection, kid) for kid in unresolved):
            raise AgreementRefused(
                f"{kind}.key_revoked", f"A key that signed this {kind} was revoked.",
                hint="Sign it anew with a valid key.", reasons=("CONT-01",),
            ) from None  # fmt: skip
        raise _tampered(kind) from None


def _tampered(kind: str) -> Tampered:
    sentence = f"The stored bytes of this {kind} do not verify any more."
    return Tampered(f"tampered.{kind}", sentence, hint="Stop, keep the database as it is, and tell the regulator.")


# --- agreements ---
def put_agreement(tx: Transaction, agreement: Agreement, envelope: bytes, at: datetime) -> None:
    """Record an agreement that was opened from this envelope, if it is its offer unaltered.

    Raises:
        NotFound: ``offer.unknown``.
        Invalid: ``contract.invalid`` when it differs from its offer.
        Conflict: ``agreement.exists``; ``agreement.exclusive`` when another buyer's right stands against it.
        AgreementRefused, Tampered: its offer does not verify any more.
    """
    document = _same_document(envelope, CONTRACT, agreement.id)
    # (1) The offer in `prev` is registered. Its row stays locked: of two exclusive rights one must wait for the other.
    siblings = sa.select(_offer).where(_offer.c.dataset == agreement.dataset).order_by(_offer.c.id).with_for_update()
    row = next((row for row in tx.connection.execute(siblings).all() if row.id == agreement.offer), None)
    if row is None:
        raise NotFound("offer.unknown", "The offer of this agreement is not registered.", hint="See: sandbox offers")
    # (2) Nothing was widened, narrowed or added on the way.
    offered = _opened_offer(tx.connection, row)
    _check_unaltered(document, unverified(row.envelope, OFFER)[0])
    if agreement.not_before < offered.timestamp:
        refuse(f"The agreement is dated before its offer of {text_of(offered.timestamp)}.")
    # (3) No exclusive right is broken.
    _check_exclusive(tx.connection, agreement, at)
    # (4) It stands.
    taken = Conflict("agreement.exists", "This agreement is recorded already.", hint="See: sandbox agreements")
    participants.insert_new(tx, _agreement, _row_of(agreement) | {"envelope": envelope, "signed_at": at}, taken)


def _row_of(agreement: Agreement) -> dict[str, object]:
    return {
        "id": agreement.id,
        "offer": agreement.offer,
        "provider": agreement.provider,
        "buyer": agreement.buyer,
        "dataset": agreement.dataset,
        "version": agreement.version,
        "exclusive": agreement.terms.exclusive,
        "not_after": agreement.not_after,
        "state": IN_FORCE,
    }


def _check_unaltered(agreed: dict[str, Json], offered: dict[str, Json]) -> None:
    for member in sorted((agreed.keys() | offered.keys()) - OWN_OF_AGREEMENT):
        # bytes, since Python holds True and 1 for equal
        if canonical(agreed.get(member)) != canonical(offered.get(member)):
            refuse(f"The agreement differs from its offer in {member!r}.")


def _check_exclusive(connection: Connection, agreement: Agreement, at: datetime) -> None:
    others = sa.select(_agreement.c.exclusive).where(
        _agreement.c.dataset == agreement.dataset,
        _agreement.c.buyer != agreement.buyer,
        _agreement.c.state != TERMINATED,
        _agreement.c.not_after > at,
    )
    rights = connection.scalars(others).all()
    if any(rights) or (rights and agreement.terms.exclusive):
        raise Conflict(
            "agreement.exclusive", f"Another buyer's agreement on {agreement.dataset} stands against this one.",
            hint="Wait for its end, or agree without exclusivity.",
        )  # fmt: skip


def agreement(
    connection: Connection, name: str, key_of: KeyOf, owner_of: OwnerOf, exchange_id: ParticipantId
) -> Agreement:
    """The agreement of a digest, or of a prefix of its hexadecimal digits that only one has.

    Raises:
        NotFound: ``agreement.unknown``, also when several begin so.
        AgreementRefused: ``agreement.key_revoked``.
        Tampered: ``tampered.agreement`` when the stored bytes do not verify, or are another agreement's.
    """
    prefix = _PREFIX.fullmatch(name)
    if prefix is None:
        raise unknown(name)
    rows = connection.execute(_BY_PREFIX, {"beginning": f"sha256:{prefix['digits']}"}).fetchmany(2)
    if len(rows) != 1:
        raise unknown(name)
    (row,) = rows

    def verify() -> tuple[Agreement, list[str]]:
        asked: list[str] = []

        def opened(watched: KeyOf) -> Agreement:
            def noted(kid: str) -> VerifyKey | None:
                asked.append(kid)
                return watched(kid)

            return open_agreement(row.envelope, noted, owner_of, exchange_id)

        return _reopened(connection, "agreement", key_of, opened), asked

    opened = _VERIFIED.agreement(connection, (exchange_id, row.envelope), verify)
    expected = _row_of(opened) | {"state": row.state}
    if any(getattr(row, column) != value for column, value in expected.items()):
        raise _tampered("agreement")
    return opened


def unknown(name: str) -> NotFound:
    """What is raised for an agreement that is not there, or not the caller's: the two must look the same."""
    return NotFound(
        "agreement.unknown",
        f"No agreement {name[:19]!r}, or it is not yours.",
        hint="Give its digest, or more of it: sandbox agreements",
    )


def agreements(connection: Connection, participant: ParticipantId | None = None) -> list[AgreementRow]:
    """The agreements of one participant, on either side, or all of them; in the order of signing."""
    columns = [_agreement.c[name] for name in AgreementRow.__slots__]
    wanted = sa.select(*columns).order_by(_agreement.c.signed_at, _agreement.c.id)
    if participant is not None:
        wanted = wanted.where(sa.or_(_agreement.c.buyer == participant, _agreement.c.provider == participant))
    return [AgreementRow(*row) for row in connection.execute(wanted)]


def agreement_state(connection: Connection, digest: str) -> str:
    """Where an agreement is in :data:`STATES`.

    Raises:
        NotFound: ``agreement.unknown``.
    """
    state: str | None = connection.scalar(_STATE, {"digest": digest})
    if state is None:
        raise unknown(digest)
    return state


def change_state(tx: Transaction, digest: str, state: str) -> None:
    """Suspend, resume or terminate an agreement.

    Raises:
        NotFound: ``agreement.unknown``.
        Conflict: ``agreement.state`` when there is no way from where it is; what is terminated stays so.
    """
    sources = [source for source, targets in STATES.items() if state in targets]
    move = sa.update(_agreement).where(_agreement.c.id == digest, _agreement.c.state.in_(sources)).values(state=state)
    if tx.connection.execute(move).rowcount != 1:
        present = agreement_state(tx.connection, digest)
        raise Conflict(
            "agreement.state", f"The agreement is {present} and cannot become {state[:20]!r}.",
            hint=f"From here: {', '.join(sorted(STATES[present])) or 'nothing; make a new agreement'}.",
        )  # fmt: skip


def require_in_force(agreement: Agreement, now: datetime, state: str) -> None:
    """Refuse to act under an agreement that is not in its term, or not in the state ``in_force``.

    Raises:
        AgreementRefused: ``agreement.not_in_force``; CHARTER-06 when it is suspended, otherwise CONT-02.
    """
    if state != IN_FORCE:
        why, rule = f"The agreement is {state}.", "CONT-02" if state == TERMINATED else "CHARTER-06"
    elif now < agreement.not_before:
        why, rule = f"The agreement begins at {text_of(agreement.not_before)}.", "CONT-02"
    elif not agreement.in_force_at(now):
        why, rule = f"The agreement ended at {text_of(agreement.not_after)}.", "CONT-02"
    else:
        return
    raise AgreementRefused(
        "agreement.not_in_force", why, hint="Query under one in force: sandbox agreements", reasons=(rule,)
    )
