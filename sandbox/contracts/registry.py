"""The registry of agreements: signed bytes, believed only after they are verified again.

The columns beside the bytes find an agreement; what it allows is read from the bytes alone, so whoever writes to the
database can hide a contract but cannot change one.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.contracts import participants
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.envelope import CONTRACT, open_agreement
from sandbox.contracts.members import refuse
from sandbox.contracts.offers import (
    SignersAt,
    offer_row,
    opened_offer,
    reopened,
    require_standing,
    same_document,
    tampered,
)
from sandbox.contracts.terms import OWN_OF_AGREEMENT
from sandbox.contracts.verified import Verified
from sandbox.core.canonical import Json, canonical
from sandbox.core.clock import text_of
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import AgreementRefused, Conflict, NotFound
from sandbox.core.signing import unverified
from sandbox.core.terms import DatasetId, Digest, ParticipantId

IN_FORCE: Final = "in_force"
SUSPENDED: Final = "suspended"
TERMINATED: Final = "terminated"
STATES: Final[Mapping[str, frozenset[str]]] = {
    IN_FORCE: frozenset({SUSPENDED, TERMINATED}),
    SUSPENDED: frozenset({IN_FORCE, TERMINATED}),
    TERMINATED: frozenset(),
}
"""The life of an agreement beside its term."""


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
    sa.Index("agreement_exclusive", "dataset", "exclusive", "not_after"),
    sa.Index("agreement_right", "dataset", "buyer", "not_after", "state"),
)  # fmt: skip
_right = sa.Table(
    "dataset_right", metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("admissions", sa.BigInteger, nullable=False),
)  # fmt: skip
"""One row a dataset, which every admission writes: of two exclusive rights one must wait for the other."""

# built once: every query asks, and building a statement takes longer than running it
_BY_PREFIX: Final = sa.select(_agreement).where(_agreement.c.id.startswith(sa.bindparam("beginning", type_=sa.Text)))
_STATE: Final = sa.select(_agreement.c.state).where(_agreement.c.id == sa.bindparam("digest"))
_ROW: Final = [_agreement.c[name] for name in AgreementRow.__slots__]
_VERIFIED: Final = Verified[Agreement]()

_PREFIX: Final = re.compile(r"(?:sha256:)?(?P<digits>[0-9a-f]{6,64})", re.ASCII)


# --- agreements ---
def put_agreement(tx: Transaction, agreement: Agreement, envelope: bytes, at: datetime, signers_at: SignersAt) -> None:
    """Record an agreement that was opened from this envelope, if it is its offer, or its request, unaltered.

    How long it takes does not depend on how many agreements there are.

    Raises:
        NotFound: ``offer.unknown``, also when that is to another buyer.
        Invalid: ``contract.invalid`` when it differs from its offer.
        Conflict: ``agreement.exists``; ``agreement.exclusive`` when another buyer's right stands against it.
        AgreementRefused: ``offer.superseded``; ``offer.key_revoked``.
        Tampered: its offer does not verify any more.
    """
    document = same_document(envelope, CONTRACT, agreement.id)
    # (1) What stands in `prev` is registered, is to this buyer, and was neither withdrawn nor replaced.
    row = offer_row(tx.connection, agreement.offer)
    require_standing(tx.connection, row, agreement.buyer)
    # (2) Nothing was widened, narrowed or added on the way.
    offered = opened_offer(row, signers_at)
    check_unaltered(document, unverified(row.envelope, row.kind)[0])
    if agreement.not_before < offered.timestamp:
        refuse(f"The agreement is dated before its offer of {text_of(offered.timestamp)}.")
    # (3) No exclusive right is broken. Who else would be admitted to this dataset waits from here to the commit.
    _take_turn(tx, agreement.dataset)
    _check_exclusive(tx.connection, agreement, at)
    # (4) It stands.
    taken = Conflict("agreement.exists", "This agreement is recorded already.", hint="See: sandbox agreements")
    participants.insert_new(tx, _agreement, _row_of(agreement) | {"envelope": envelope, "signed_at": at}, taken)


def _take_turn(tx: Transaction, dataset: DatasetId) -> None:
    turn = sa.update(_right).where(_right.c.dataset == dataset).values(admissions=_right.c.admissions + 1)
    if tx.connection.execute(turn).rowcount:
        return
    with suppress(Conflict):  # another node's first admission came before, and the row is there now
        participants.insert_new(tx, _right, {"dataset": dataset, "admissions": 0}, Conflict("dataset_right.exists", ""))
    tx.connection.execute(turn)


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


def check_unaltered(agreed: Mapping[str, Json], offered: Mapping[str, Json]) -> None:
    """Refuse an agreement's document that differs from its offer's in more than an agreement's own members.

    Raises:
        Invalid: ``contract.invalid``, naming the first member that differs.
    """
    for member in sorted((agreed.keys() | offered.keys()) - OWN_OF_AGREEMENT):
        # bytes, since Python holds True and 1 for equal
        if canonical(agreed.get(member)) != canonical(offered.get(member)):
            refuse(f"The agreement differs from its offer in {member!r}.")


def _check_exclusive(connection: Connection, agreement: Agreement, at: datetime) -> None:
    live = sa.select(sa.literal(1)).where(
        _agreement.c.dataset == agreement.dataset,
        _agreement.c.not_after > at,
        _agreement.c.state != TERMINATED,
    )
    # either side of the buyer in the index: "is not" would read all of this buyer's own
    others = [live.where(_agreement.c.buyer < agreement.buyer), live.where(_agreement.c.buyer > agreement.buyer)]
    if not agreement.terms.exclusive:
        others = [live.where(_agreement.c.exclusive.is_(True), _agreement.c.buyer != agreement.buyer)]
    if any(connection.scalar(each.limit(1)) for each in others):
        raise Conflict(
            "agreement.exclusive", f"Another buyer's agreement on {agreement.dataset} stands against this one.",
            hint="Wait for its end, or agree without exclusivity.",
        )  # fmt: skip


def agreement(connection: Connection, name: str, signers_at: SignersAt, exchange_id: ParticipantId) -> Agreement:
    """The agreement of a digest, or of a prefix of its hexadecimal digits that only one has.

    Its signatures are verified with the keys that counted when it was recorded.

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
    signers = signers_at(row.signed_at)

    def verify() -> Agreement:
        return reopened("agreement", signers, lambda: open_agreement(row.envelope, signers, exchange_id))

    opened = _VERIFIED.opened(signers, (exchange_id, row.envelope), verify)
    expected = _row_of(opened) | {"state": row.state}
    if any(getattr(row, column) != value for column, value in expected.items()):
        raise tampered("agreement")
    return opened


def agreement_row(connection: Connection, digest: str) -> AgreementRow:
    """One line of the registry, by the whole digest.

    Raises:
        NotFound: ``agreement.unknown``.
    """
    row = connection.execute(sa.select(*_ROW).where(_agreement.c.id == digest)).one_or_none()
    if row is None:
        raise unknown(digest)
    return AgreementRow(*row)


def agreement_envelope(connection: Connection, digest: str) -> bytes:
    """The signed bytes of an agreement, by the whole digest.

    Raises:
        NotFound: ``agreement.unknown``.
    """
    envelope: bytes | None = connection.scalar(sa.select(_agreement.c.envelope).where(_agreement.c.id == digest))
    if envelope is None:
        raise unknown(digest)
    return envelope


def unknown(name: str) -> NotFound:
    """What is raised for an agreement that is not there, or not the caller's: the two must look the same."""
    return NotFound(
        "agreement.unknown",
        f"No agreement {name[:19]!r}, or it is not yours.",
        hint="Give its digest, or more of it: sandbox agreements",
    )


def agreements(connection: Connection, participant: ParticipantId | None = None) -> list[AgreementRow]:
    """The agreements of one participant, on either side, or all of them; in the order of signing."""
    wanted = sa.select(*_ROW).order_by(_agreement.c.signed_at, _agreement.c.id)
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
