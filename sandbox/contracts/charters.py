"""Signed charters: opened by whoever relies on them, adopted one version after the other, none ever replaced.

::

    {"charter": <the Charter>, "signatures": [<regulator>, <operator>]}

What it allows is read from the signed bytes alone; the columns beside them only find it. Whoever writes to the database
can hide the newest version but cannot change one, and the log tells of each adoption.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from typing import Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import participants
from sandbox.contracts.articles import read_charter, refuse
from sandbox.contracts.charter import STATES, VERIFIED, Charter, CharterDraft, months_after
from sandbox.contracts.keyring import Signers
from sandbox.core.canonical import Json, parse
from sandbox.core.database import BigId, Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, Tampered
from sandbox.core.guards import guarded
from sandbox.core.keys import SigningKey
from sandbox.core.signing import envelope, open_signed, sign, unverified
from sandbox.core.terms import Digest

CHARTER: Final = "charter"
CHARTER_TYPE: Final = "charter+jws"
MOST_BYTES: Final = 65_536
SignersAt: TypeAlias = Callable[[datetime], Signers]
_Known: TypeAlias = "tuple[tuple[bytes, datetime], tuple[str, ...], object, Charter]"

_charter = guarded(sa.Table(
    "charter", metadata,
    sa.Column("number", BigId, primary_key=True, autoincrement=False),  # of two that follow one version, one is second
    sa.Column("charter", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("adopted_at", Instant, nullable=False),
    sa.UniqueConstraint("charter", "version", name="charter_version"),
))  # fmt: skip

# built once: every query asks, and building a statement takes longer than running it
_NEWEST: Final = (
    sa.select(_charter)
    .where(_charter.c.adopted_at <= sa.bindparam("at", type_=Instant))
    .order_by(_charter.c.number.desc())
    .limit(1)
)
_ALL: Final = sa.select(_charter).order_by(_charter.c.number)


@dataclass(frozen=True, slots=True)
class Adoption:
    """One line of the register of charters. To rely on one, open it with :func:`in_force`."""

    charter: str
    version: int
    digest: Digest
    adopted_at: datetime
    envelope: bytes


# --- signing and opening ---
def sign_charter(text: bytes, key: SigningKey, chain: Sequence[bytes] = ()) -> bytes:
    """Sign a charter's document, or one that another party has signed beside its signatures.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``charter.invalid``; nobody signs what does not read
            well.
    """
    document, signatures = contents(text)
    read_charter(document)
    return envelope(CHARTER, document, [*signatures, sign(document, key, CHARTER_TYPE, tuple(chain))])


def contents(text: bytes) -> tuple[dict[str, Json], list[Json]]:
    """A charter's document and the signatures beside it, none of them believed; a bare document has none.

    Raises:
        Invalid: ``document.malformed`` or ``signature.invalid``.
    """
    said = parse(_bounded(text))
    return unverified(text, CHARTER) if CHARTER in said else (said, [])


def open_charter(text: bytes, signers: Signers) -> Charter:
    """Verify a signed charter; the only way to hold one.

    That the two who signed hold their offices, the exchange asks of its register of participants.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``charter.invalid``.
    """
    return _opened(text, signers)[0]


def _opened(text: bytes, signers: Signers) -> tuple[Charter, tuple[str, ...]]:
    # (1) Every signature present is good, of a registered key, and was made for a charter.
    signed = open_signed(_bounded(text), CHARTER, CHARTER_TYPE, signers, "CHARTER-01")
    # (2) The document says one thing only.
    draft = read_charter(signed.document)
    # (3) It is signed by its regulator and its operator, once each, and by nobody else.
    owners = [signers.owner_of(kid) for kid in signed.kids]
    if len(owners) != len({*owners}) or {*owners} != {draft.regulator, draft.operator}:
        sentence = (
            f"A charter is signed by its regulator {draft.regulator} and its operator {draft.operator}, once each."
        )
        refuse(sentence, "Sign for the one that is missing: sandbox charter sign FILE --key KEY.")
    members = {member.name: getattr(draft, member.name) for member in fields(draft)}
    return Charter(**members, proof=VERIFIED), signed.kids


def _bounded(text: bytes) -> bytes:
    if len(text) > MOST_BYTES:
        refuse(f"The charter has {len(text)} bytes, at most {MOST_BYTES}.")
    return text


# --- adoption ---
def adopt(tx: Transaction, charter: Charter, text: bytes, at: datetime) -> None:
    """Put a charter in force that was opened from this envelope, if it is the next one.

    Raises:
        Invalid: ``charter.invalid`` when the envelope holds another document.
        Conflict: ``charter.exists``; ``charter.not_next``; ``charter.ended``; ``charter.past`` when it would alter
            what has been; ``charter.extension`` beyond those that its predecessor allows.
    """
    if read_charter(contents(text)[0]).digest != charter.digest:
        refuse("The envelope holds another charter than the one that was opened.")
    rows = tx.connection.execute(_ALL).all()
    if any(row.digest == charter.digest for row in rows):
        raise Conflict("charter.exists", "This charter is adopted already.", hint="See: sandbox charter show")
    _require_next([_text_of(row) for row in rows], charter, at)
    row = {
        "number": len(rows) + 1,
        "charter": charter.id,
        "version": charter.version,
        "digest": charter.digest,
        "envelope": text,
        "adopted_at": at,
    }
    taken = Conflict("charter.not_next", "Another version was adopted meanwhile.", hint="See: sandbox charter show")
    participants.insert_new(tx, _charter, row, taken)


def _text_of(row: Row[tuple[object, ...]]) -> CharterDraft:
    """What a version says, whoever's signatures still count: its successor is measured by it all the same."""
    draft = read_charter(contents(row.envelope)[0])
    if draft.digest != row.digest:
        raise _tampered()
    return draft


def _require_next(adopted: list[CharterDraft], charter: Charter, at: datetime) -> None:
    last = adopted[-1] if adopted else None
    if last is None or (last.id != charter.id and last.over_at(at)):
        if charter.version != 1 or any(each.id == charter.id for each in adopted):
            _conflict("charter.not_next", f"{charter.id} begins here; expected version 1 of a charter not yet used.")
        return
    expected = (last.id, last.version + 1, last.digest)
    if (charter.id, charter.version, charter.prev) != expected:
        _conflict(
            "charter.not_next",
            f"Version {charter.version} of {charter.id} does not follow version {last.version} of {last.id}.",
            f'Expected "version": {last.version + 1} and "prev": "{last.digest}".',
        )
    _check_parties(last, charter)
    _check_past(last, charter, at)
    _check_extension([each for each in adopted if each.id == charter.id], charter)


def _check_parties(last: CharterDraft, charter: Charter) -> None:
    if charter.regulator != last.regulator:
        _conflict("charter.not_next", f"The regulator of {charter.id} is {last.regulator}, and stays it.")
    if charter.state not in STATES[last.state]:
        _conflict("charter.ended", f"{charter.id} is {last.state}, which is final.", "Draw up a new charter.")


def _check_past(last: CharterDraft, charter: Charter, at: datetime) -> None:
    """The window up to now stays as it was: what was done in it was allowed, and what was not, was not."""
    was, is_now = ((min(each.window.start, at), min(each.window.end, at)) for each in (last, charter))
    if was != is_now:
        _conflict(
            "charter.past", "The window would be another for the time that has passed.", "Change what is to come."
        )


def _check_extension(versions: list[CharterDraft], charter: Charter) -> None:
    last = versions[-1].window
    if charter.window.end <= last.end:
        return
    used = sum(later.window.end > earlier.window.end for earlier, later in pairwise(versions))
    if used >= last.max_extensions:
        _conflict("charter.extension", f"{used} of {last.max_extensions} extensions are used.")
    if charter.window.end > months_after(last.end, last.max_extension_months):
        _conflict("charter.extension", f"An extension is at most {last.max_extension_months} months.")


def _conflict(code: str, sentence: str, hint: str = "See: sandbox charter show") -> None:
    raise Conflict(code, sentence, hint=hint, reasons=("CHARTER-01",))


# --- reading ---
class _Memory:
    """The charter that was verified last, as long as neither its bytes nor the keys that signed it have changed."""

    def __init__(self) -> None:
        self._known: _Known | None = None  # one assignment, so threads need no lock

    def charter(self, text: bytes, adopted_at: datetime, signers: Signers) -> Charter:
        known = self._known
        if known and known[0] == (text, adopted_at) and signers.standing(known[1]) == known[2]:
            return known[3]
        charter, kids = _opened(text, signers)
        self._known = ((text, adopted_at), kids, signers.standing(kids), charter)
        return charter


_MEMORY: Final = _Memory()


def in_force(connection: Connection, signers_at: SignersAt, now: datetime) -> Charter | None:
    """The charter that governs at ``now``: the version adopted last by then, verified as of its adoption.

    It governs also while it says that nothing may be traded: paused, ended, or outside its window. Whether trade is
    allowed, the policies prove from :meth:`Charter.as_input`. None when none was adopted, or when a key that signed it
    was revoked since: then nothing may be traded, and no earlier version comes back.

    Raises:
        Tampered: ``tampered.charter`` when the stored bytes do not verify, or are another charter's.
    """
    row = connection.execute(_NEWEST, {"at": now}).one_or_none()
    if row is None:
        return None
    signers = signers_at(row.adopted_at)
    try:
        charter = _MEMORY.charter(row.envelope, row.adopted_at, signers)
    except Invalid:  # it did verify once
        if any(signers.is_revoked(kid) for kid in signers.asked):
            return None
        raise _tampered() from None
    if charter.digest != row.digest:
        raise _tampered()
    return charter


def history(connection: Connection) -> list[Adoption]:
    """Every version adopted, the oldest first."""
    return [
        Adoption(row.charter, row.version, Digest(row.digest), row.adopted_at, row.envelope)
        for row in connection.execute(_ALL)
    ]


def _tampered() -> Tampered:
    sentence = "The stored bytes of the charter do not verify any more."
    return Tampered("tampered.charter", sentence, hint="Stop, keep the database as it is, and tell the regulator.")
