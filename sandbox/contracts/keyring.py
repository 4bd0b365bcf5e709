"""The keyring: which public keys sign for whom, for what, and from when until when.

A key has one owner and one use. Whether it counts is asked for one instant, that of the signing: an agreement signed
yesterday is verified with the keys of yesterday, and a key that was stolen last week counts for nothing since then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import certificates, participants
from sandbox.contracts.certificates import Trust
from sandbox.core.canonical import canonical, parse
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.keys import ED25519, VerifyKey, public_key
from sandbox.core.signing import Chain, refuse
from sandbox.core.terms import Digest, KeyUse, ParticipantId

_Row: TypeAlias = Row[tuple[object, ...]]

_key = sa.Table(
    "participant_key", metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("jwk", sa.Text, nullable=False, unique=True),  # without kid: one key must not sign for two participants
    sa.Column("valid_from", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
    sa.Column("use", sa.Text, nullable=False),
    sa.Column("valid_until", Instant),
    sa.Column("invalid_from", Instant),  # of a revoked key; NULL there: nothing it ever signed holds
    sa.CheckConstraint(f"use IN {tuple(map(str, KeyUse))}", name="participant_key_use"),
)  # fmt: skip

_MOST_LETTERS: Final = 128
_LOW_ORDER: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        *(f"{lowest}{'ff' * 30}7f" for lowest in ("ec", "ed", "ee")),
    )
)
"""The Ed25519 points of order 1, 2, 4 and 8, sign bit cleared: under such a key one signature fits many texts."""

# built once: every query asks, and building a statement takes longer than running it
_ONE: Final = sa.select(_key).where(_key.c.kid == sa.bindparam("wanted"))
_AT_ONCE: Final = 8  # a list of any length would be compiled anew for each
_PLACES: Final = tuple(f"kid_{number}" for number in range(_AT_ONCE))
_SOME: Final = sa.select(_key).where(_key.c.kid.in_([*map(sa.bindparam, _PLACES)])).order_by(_key.c.kid)


# --- what is registered ---
@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """One line of the keyring, for lists."""

    kid: str
    owner: ParticipantId
    use: KeyUse
    alg: str
    valid_from: datetime
    valid_until: datetime | None
    revoked_at: datetime | None
    invalid_from: datetime | None


def register_key(
    tx: Transaction,
    owner: ParticipantId,
    key: VerifyKey,
    use: KeyUse,
    at: datetime,
    valid_until: datetime | None = None,
) -> None:
    """Register a participant's public key, under which its signatures are verified from ``at`` until ``valid_until``.

    Raises:
        NotFound: ``participant.unknown``.
        Invalid: ``key.foreign`` when its id does not begin with the owner's; ``key.weak``; ``key.expiry``.
        Conflict: ``key.registered`` when the id or the key itself is registered, for whomever and whatever use.
    """
    participants.participant(tx.connection, owner)
    if key.kid.partition("/")[0] != owner or not _is_plain(key.kid):
        raise Invalid(
            "key.foreign", f"The key's id does not begin with {owner}/.", hint=f"Make one: sandbox keygen {owner}"
        )
    if _is_weak(key):
        raise Invalid("key.weak", "Signatures of this key prove nothing.", hint=f"Make one: sandbox keygen {owner}")
    if valid_until is not None and valid_until <= at:
        raise Invalid("key.expiry", "The key would have expired already.", hint="Give it a day or more.")
    row = {
        "kid": key.kid,
        "owner": owner,
        "use": str(use),
        "jwk": _jwk_text(key),
        "valid_from": at,
        "valid_until": valid_until,
        "revoked_at": None,
        "invalid_from": None,
    }
    taken = Conflict("key.registered", "This key is registered already.", hint="Make a new key; a key has one use.")
    participants.insert_new(tx, _key, row, taken)


def _is_plain(kid: str) -> bool:
    return kid.isascii() and kid.isprintable() and len(kid) <= _MOST_LETTERS


def _is_weak(key: VerifyKey) -> bool:
    if key.alg != ED25519:
        return False
    raw = key.raw()
    return raw[:31] + bytes([raw[31] & 0x7F]) in _LOW_ORDER


def _jwk_text(key: VerifyKey) -> str:
    return canonical({name: value for name, value in key.jwk().items() if name != "kid"}).decode()


def revoke_key(tx: Transaction, kid: str, at: datetime, invalid_from: datetime | None = None) -> None:
    """Trust a key no longer. What it signed before ``invalid_from`` (RFC 5280, invalidityDate) still holds.

    Without ``invalid_from`` nothing that it ever signed holds: whoever stole it could have signed with an earlier date.
    Revoked again, a key loses more or nothing: the earlier instant stays, and the first ``revoked_at``.

    Raises:
        NotFound: ``key.unknown``.
        Invalid: ``key.invalid_from`` when that is later than ``at``.
    """
    if invalid_from is not None and invalid_from > at:
        raise Invalid("key.invalid_from", "A key cannot be revoked from a later time on.", hint="Give a past instant.")
    row = _row(tx.connection, kid)
    if row is None:
        raise NotFound("key.unknown", "No such key.", hint="Give the key's whole id: sandbox keys list")
    if row.revoked_at is not None:
        at = row.revoked_at
        invalid_from = min(invalid_from, row.invalid_from) if invalid_from and row.invalid_from else None
    tx.connection.execute(sa.update(_key).where(_key.c.kid == kid).values(revoked_at=at, invalid_from=invalid_from))


def keys(connection: Connection, owner: ParticipantId | None = None) -> list[RegisteredKey]:
    """The keys of one participant or of all, by id."""
    wanted = sa.select(_key).order_by(_key.c.kid)
    if owner is not None:
        wanted = wanted.where(_key.c.owner == owner)
    return [_listed(row) for row in connection.execute(wanted)]


def _listed(row: _Row) -> RegisteredKey:
    return RegisteredKey(
        kid=row.kid,
        owner=ParticipantId(row.owner),
        use=KeyUse(row.use),
        alg=_public(row).alg,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        revoked_at=row.revoked_at,
        invalid_from=row.invalid_from,
    )


def _row(connection: Connection, kid: str) -> _Row | None:
    return connection.execute(_ONE, {"wanted": kid}).one_or_none()


def _rows(connection: Connection, kids: Sequence[str]) -> Iterator[_Row]:
    for start in range(0, len(kids), _AT_ONCE):
        some = kids[start : start + _AT_ONCE]
        filled = [*some, *[some[-1]] * (_AT_ONCE - len(some))]
        yield from connection.execute(_SOME, dict(zip(_PLACES, filled, strict=True)))


def _public(row: _Row) -> VerifyKey:
    return public_key(parse(row.jwk.encode()) | {"kid": row.kid})


def _counts(row: _Row, at: datetime) -> bool:
    """Whether signatures of ``at`` count: valid_from <= at < valid_until, and not from the invalidity on."""
    if at < row.valid_from or (row.valid_until is not None and at >= row.valid_until):
        return False
    return row.revoked_at is None or (row.invalid_from is not None and at < row.invalid_from)


# --- what counts at one instant ---
class Signers:
    """Whose signatures count at one instant, for one use; asked while one envelope or several are opened.

    Made anew for each opening: it remembers whom it was asked for, and what it found.
    """

    def __init__(
        self, connection: Connection, at: datetime, trust: Trust | None = None, use: KeyUse = KeyUse.CONTRACT
    ) -> None:
        self._connection, self._at, self._trust, self._use = connection, at, trust, use
        self._rows: dict[str, _Row | None] = {}
        self._certified: dict[str, certificates.Certified] = {}

    @property
    def asked(self) -> tuple[str, ...]:
        """The ids of every key that was asked for, in order; a certificate's is ``x5c:`` and its SHA-256."""
        return (*self._rows, *self._certified)

    def by_kid(self, kid: str) -> VerifyKey | None:
        """The registered key of this id, if it has this use and counts at this instant."""
        row = self._registered(kid)
        if row is None or row.use != self._use or not _counts(row, self._at):
            return None
        return _public(row)

    def by_chain(self, chain: Chain) -> VerifyKey | None:
        """The key of a chain's first certificate, if a CA that is trusted here vouches for it at this instant.

        Raises:
            Invalid: ``signature.invalid``, saying why the certificate does not count.
        """
        if self._trust is None or self._use != KeyUse.CONTRACT:
            refuse("Certificates do not sign here; only registered keys do.", "Sign without certificates.")
        certified = certificates.certified(self._connection, chain, self._trust, self._at)
        self._certified[certified.key.kid] = certified
        if certified.why_not:
            refuse(certified.why_not, certified.hint)
        if self.owner_of(certified.key.kid) is None:
            refuse("No participant has the tax code that a certificate names.")
        return certified.key

    def owner_of(self, kid: str) -> ParticipantId | None:
        """Whose key this is, also when it does not count; a certificate is known once it was asked for."""
        certified = self._certified.get(kid)
        if certified is not None:
            return participants.by_tax_code(self._connection, certified.tax_code)
        row = self._registered(kid)
        return None if row is None else ParticipantId(row.owner)

    def ca_licensed(self, kid: str) -> bool:
        """Whether a trusted CA vouches for this key; only such a signature equals one in ink."""
        return kid in self._certified

    def is_revoked(self, kid: str) -> bool:
        """Whether this key was known and is revoked with effect at this instant."""
        certified = self._certified.get(kid)
        if certified is not None:
            return certified.revoked
        row = self._registered(kid)
        return row is not None and row.revoked_at is not None and not _counts(row, self._at)

    def evidence(self, kid: str) -> tuple[Digest, ...]:
        """The revocation lists that were relied on for this key; none for a registered one."""
        certified = self._certified.get(kid)
        return () if certified is None else certified.lists

    def standing(self, kids: Sequence[str]) -> tuple[object, ...]:
        """Differs whenever opening what these keys signed could end otherwise than before; see ``verified``."""
        plain = [kid for kid in kids if not kid.startswith(certificates.PREFIX)]
        rows = _rows(self._connection, plain)
        known = tuple((row.kid, row.owner, row.jwk, row.use == self._use and _counts(row, self._at)) for row in rows)
        leaves = [kid for kid in kids if kid.startswith(certificates.PREFIX)]
        if not leaves:
            return known
        return (*known, self._at, certificates.standing(self._connection, leaves, self._trust))

    def _registered(self, kid: str) -> _Row | None:
        if kid not in self._rows:
            self._rows[kid] = _row(self._connection, kid)
        return self._rows[kid]
