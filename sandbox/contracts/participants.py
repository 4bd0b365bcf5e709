"""Who takes part: organisations admitted to the pilot, the keys that sign for them, the tokens that speak for them.

A token identifies who asks and never signs; a key signs contracts and never identifies a request.
"""

import hashlib
import re
import secrets
import unicodedata
import zlib
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.core.canonical import canonical, parse
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, NotFound, NotIdentified
from sandbox.core.keys import ED25519, VerifyKey, public_key
from sandbox.core.terms import SLUG, Participant, ParticipantId, Role

_participant = sa.Table(
    "participant", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("admitted_at", Instant, nullable=False),
)  # fmt: skip
_key = sa.Table(
    "participant_key", metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("jwk", sa.Text, nullable=False, unique=True),  # without kid: one key must not sign for two participants
    sa.Column("valid_from", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
)  # fmt: skip
_token = sa.Table(
    "token", metadata,
    sa.Column("id", sa.Text, primary_key=True),  # SHA-256 of the secret, which is nowhere kept
    sa.Column("owner", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
)  # fmt: skip

_TERRITORY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_PREFIX: Final = "sbx_test_"
_SECRET: Final = re.compile(_PREFIX + r"[0-9a-f]{40}[0-9a-f]{8}", re.ASCII)
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


# --- organisations ---

# built once: every query asks, and building a statement takes longer than running it
_PARTICIPANT: Final = sa.select(_participant).where(_participant.c.id == sa.bindparam("wanted"))
_TOKEN: Final = (
    sa.select(_token.c.revoked_at, _token.c.expires_at, _participant)
    .join(_participant, _participant.c.id == _token.c.owner)
    .where(_token.c.id == sa.bindparam("wanted"))
)
_VALID: Final = (
    sa.select(_key.c.kid, _key.c.owner, _key.c.jwk)
    .where(_key.c.kid.in_(sa.bindparam("kids", expanding=True)), _key.c.revoked_at.is_(None))
    .order_by(_key.c.kid)
)


def admit(tx: Transaction, participant: Participant, at: datetime) -> None:
    """Admit an organisation. Its roles are settled here, once.

    Raises:
        Invalid: ``participant.invalid``.
        Conflict: ``participant.exists``; ``participant.roles`` for an operator who would supervise itself.
    """
    _check(participant)
    row = {
        "id": participant.id,
        "name": participant.name,
        "roles": " ".join(sorted(participant.roles)),
        "territory": participant.territory,
        "admitted_at": at,
    }
    taken = Conflict("participant.exists", f"{participant.id} is admitted already.", hint="Choose another id.")
    insert_new(tx, _participant, row, taken)


def _check(participant: Participant) -> None:
    name = participant.name
    if not SLUG.fullmatch(participant.id) or len(participant.id) > 63:  # noqa: PLR2004
        _invalid(f"{participant.id[:80]!r} is no participant id, expected one such as cong-ty-fintech.")
    if not (name.strip() and name.isprintable() and len(name) <= 200 and unicodedata.is_normalized("NFC", name)):  # noqa: PLR2004
        _invalid("A name has 1 to 200 printable characters in Unicode NFC.")
    if not participant.roles:
        _invalid("A participant has at least one role.")
    if not _TERRITORY.fullmatch(participant.territory):
        _invalid("A territory is a country by ISO 3166, such as VN.")
    if participant.roles >= {Role.OPERATOR, Role.REGULATOR}:
        raise Conflict(
            "participant.roles", f"{participant.id} cannot be operator and regulator.",
            hint="Admit the supervisor as an organisation of its own.", reasons=("CHARTER-07",),
        )  # fmt: skip


def _invalid(sentence: str) -> None:
    raise Invalid("participant.invalid", sentence, hint="Correct it and admit the participant again.")


def insert_new(tx: Transaction, table: sa.Table, row: dict[str, object], taken: Conflict) -> None:
    """Insert, or raise ``taken``: the database decides, for two nodes may write at the same time."""
    try:
        with tx.connection.begin_nested():
            tx.connection.execute(sa.insert(table).values(row))
    except sa.exc.IntegrityError:
        raise taken from None


def participant(connection: Connection, participant_id: str) -> Participant:
    """One organisation.

    Raises:
        NotFound: ``participant.unknown``.
    """
    row = connection.execute(_PARTICIPANT, {"wanted": participant_id}).one_or_none()
    if row is None:
        raise NotFound(
            "participant.unknown", f"No participant {participant_id[:80]!r}.", hint="See: sandbox participants list"
        )
    return _participant_of(row)


def participants(connection: Connection) -> list[Participant]:
    """Everyone admitted, by id."""
    return [_participant_of(row) for row in connection.execute(sa.select(_participant).order_by(_participant.c.id))]


def _participant_of(row: Row[tuple[object, ...]]) -> Participant:
    return Participant(ParticipantId(row.id), row.name, frozenset(map(Role, row.roles.split())), row.territory)


# --- keys ---
def register_key(tx: Transaction, owner: ParticipantId, key: VerifyKey, at: datetime) -> None:
    """Register a participant's public key, under which its signatures are verified.

    Raises:
        NotFound: ``participant.unknown``.
        Invalid: ``key.foreign`` when its id does not begin with the owner's; ``key.weak``.
        Conflict: ``key.registered`` when the id or the key itself is registered, for whomever.
    """
    participant(tx.connection, owner)
    if key.kid.partition("/")[0] != owner or not (key.kid.isascii() and key.kid.isprintable()) or len(key.kid) > 128:  # noqa: PLR2004
        raise Invalid(
            "key.foreign", f"The key's id does not begin with {owner}/.", hint=f"Make one: sandbox keygen {owner}"
        )
    if _is_weak(key):
        raise Invalid("key.weak", "Signatures of this key prove nothing.", hint=f"Make one: sandbox keygen {owner}")
    row = {"kid": key.kid, "owner": owner, "jwk": _jwk_text(key), "valid_from": at, "revoked_at": None}
    insert_new(tx, _key, row, Conflict("key.registered", "This key is registered already.", hint="Make a new key."))


def _is_weak(key: VerifyKey) -> bool:
    if key.alg != ED25519:
        return False
    raw = key.raw()
    return raw[:31] + bytes([raw[31] & 0x7F]) in _LOW_ORDER


def _jwk_text(key: VerifyKey) -> str:
    return canonical({name: value for name, value in key.jwk().items() if name != "kid"}).decode()


def key_of(connection: Connection, kid: str) -> VerifyKey | None:
    """The public key of this id; None when it is unknown or revoked, so that nothing verifies under it any more."""
    jwk = connection.scalar(sa.select(_key.c.jwk).where(_key.c.kid == kid, _key.c.revoked_at.is_(None)))
    return None if jwk is None else public_key(parse(jwk.encode()) | {"kid": kid})


def valid_keys(connection: Connection, kids: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    """Id, owner and public key of those that are registered and not revoked, in order."""
    return tuple((row.kid, row.owner, row.jwk) for row in connection.execute(_VALID, {"kids": kids}))


def owner_of(connection: Connection, kid: str) -> ParticipantId | None:
    """Whose key this is, also when it is revoked."""
    owner = connection.scalar(sa.select(_key.c.owner).where(_key.c.kid == kid))
    return None if owner is None else ParticipantId(owner)


def is_revoked(connection: Connection, kid: str) -> bool:
    """Whether this key was registered and is no longer valid."""
    return bool(connection.scalar(sa.select(_key.c.revoked_at.is_not(None)).where(_key.c.kid == kid)))


def revoke_key(tx: Transaction, kid: str, at: datetime) -> None:
    """Trust a key no longer, nor what it signed: whoever stole it could have signed with an earlier date.

    Raises:
        NotFound: ``key.unknown``.
    """
    _revoke(tx, _key, _key.c.kid == kid, at, NotFound("key.unknown", "No such key.", hint="Give the key's whole id."))


# --- tokens ---
def token_secret() -> str:
    """A new API token: prefix, 160 random bits and a checksum, which tells a mistyped token from a foreign one."""
    return _with_checksum(_PREFIX + secrets.token_hex(20))


def _with_checksum(body: str) -> str:
    return f"{body}{zlib.crc32(body.encode()):08x}"


def _is_token(secret: str) -> bool:
    return _SECRET.fullmatch(secret) is not None and _with_checksum(secret[:-8]) == secret


def token_id(secret: str) -> str:
    """Under which a token is kept and revoked. 160 random bits need no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(tx: Transaction, owner: ParticipantId, secret: str, expires_at: datetime, at: datetime) -> None:
    """Let the holder of ``secret`` speak for ``owner`` until ``expires_at``.

    Raises:
        NotFound: ``participant.unknown``.
        Invalid: ``token.malformed`` when ``secret`` is not of :func:`token_secret`; ``token.expiry``.
        Conflict: ``token.exists``.
    """
    participant(tx.connection, owner)
    if not _is_token(secret):
        raise Invalid("token.malformed", "This is no token of the exchange.", hint="Let the exchange make it.")
    if expires_at <= at:
        raise Invalid("token.expiry", "The token would have expired already.", hint="Give it a day or more.")
    row = {"id": token_id(secret), "owner": owner, "created_at": at, "expires_at": expires_at, "revoked_at": None}
    insert_new(tx, _token, row, Conflict("token.exists", "This token exists already.", hint="Make a new one."))


def revoke_token(tx: Transaction, token: str, at: datetime) -> None:
    """End a token, by its :func:`token_id`.

    Raises:
        NotFound: ``token.unknown``.
    """
    _revoke(
        tx, _token, _token.c.id == token, at, NotFound("token.unknown", "No such token.", hint="Give its whole id.")
    )


def _revoke(tx: Transaction, table: sa.Table, which: sa.ColumnElement[bool], at: datetime, unknown: NotFound) -> None:
    first = sa.func.coalesce(table.c.revoked_at, sa.bindparam("at", at, Instant))  # revoked twice, the first time stays
    if tx.connection.execute(sa.update(table).where(which).values(revoked_at=first)).rowcount != 1:
        raise unknown


def identify(connection: Connection, secret: str, now: datetime) -> Participant:
    """Who holds this token.

    Raises:
        NotIdentified: ``identity.missing``, ``.token_unknown``, ``.token_revoked`` or ``.token_expired``.
    """
    hint = "Ask the operator for a token: sandbox tokens create PARTICIPANT"
    if not secret:
        raise NotIdentified("identity.missing", "Who asks? There is no API token.", hint=hint)
    row = None
    if _is_token(secret):
        row = connection.execute(_TOKEN, {"wanted": token_id(secret)}).one_or_none()
    if row is None:
        raise NotIdentified("identity.token_unknown", "The API token is not known here.", hint=hint)
    if row.revoked_at is not None:
        raise NotIdentified("identity.token_revoked", "The API token was revoked.", hint=hint)
    if now >= row.expires_at:
        raise NotIdentified("identity.token_expired", f"The API token expired on {row.expires_at:%d/%m/%Y}.", hint=hint)
    return _participant_of(row)
