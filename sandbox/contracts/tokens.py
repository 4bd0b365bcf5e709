"""API tokens: who asks, what the token is good for, and how its holder signed in. A token never signs a contract."""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import participants
from sandbox.contracts.participants import PARTICIPANT
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, NotFound, NotIdentified
from sandbox.core.terms import SCOPES, Identity, ParticipantId

_token = sa.Table(
    "token", metadata,
    sa.Column("id", sa.Text, primary_key=True),  # SHA-256 of the secret, which is nowhere kept
    sa.Column("owner", sa.Text, sa.ForeignKey("participant.id"), nullable=False, index=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("amr", sa.Text, nullable=False),
)  # fmt: skip

_PREFIX: Final = "sbx_test_"
_SECRET: Final = re.compile(_PREFIX + r"[0-9a-f]{40}[0-9a-f]{8}", re.ASCII)
_METHOD: Final = re.compile(r"[a-z]{2,16}", re.ASCII)
_MOST_METHODS: Final = 8

# built once: every call asks, and building a statement takes longer than running it
_IDENTIFIED: Final = (
    sa.select(
        _token.c.id.label("token"), _token.c.scopes, _token.c.amr, _token.c.revoked_at, _token.c.expires_at, PARTICIPANT
    )
    .join(PARTICIPANT, PARTICIPANT.c.id == _token.c.owner)
    .where(_token.c.id == sa.bindparam("wanted"))
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token, for lists; its secret is nowhere."""

    id: str
    owner: ParticipantId
    scopes: frozenset[str]
    amr: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


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


def new_token(  # noqa: PLR0917  # each is a column
    tx: Transaction,
    owner: ParticipantId,
    secret: str,
    expires_at: datetime,
    at: datetime,
    scopes: Iterable[str],
    amr: Iterable[str],
) -> None:
    """Let the holder of ``secret`` speak for ``owner`` until ``expires_at``, for what ``scopes`` name.

    ``amr`` says how the holder signed in (RFC 8176), such as ``mfa``.

    Raises:
        NotFound: ``participant.unknown``.
        Invalid: ``token.malformed`` when ``secret`` is not of :func:`token_secret`; ``token.expiry``; ``token.scopes``;
            ``token.amr``.
        Conflict: ``token.exists``.
    """
    participants.participant(tx.connection, owner)
    if not _is_token(secret):
        raise Invalid("token.malformed", "This is no token of the exchange.", hint="Let the exchange make it.")
    if expires_at <= at:
        raise Invalid("token.expiry", "The token would have expired already.", hint="Give it a day or more.")
    row = {
        "id": token_id(secret),
        "owner": owner,
        "scopes": _scopes(scopes),
        "amr": _methods(amr),
        "created_at": at,
        "expires_at": expires_at,
        "revoked_at": None,
    }
    participants.insert_new(tx, _token, row, Conflict("token.exists", "This token exists already.", hint="Make anew."))


def _scopes(scopes: Iterable[str]) -> str:
    wanted = {*scopes}
    if not wanted or not wanted <= {*SCOPES}:
        got = " ".join(sorted(wanted))[:80]
        raise Invalid("token.scopes", f"The scopes are {got!r}.", hint=f"Name one or more of {', '.join(SCOPES)}.")
    return " ".join(scope for scope in SCOPES if scope in wanted)


def _methods(amr: Iterable[str]) -> str:
    methods = [*dict.fromkeys(amr)]
    if len(methods) > _MOST_METHODS or not all(map(_METHOD.fullmatch, methods)):
        raise Invalid("token.amr", "A way of signing in is no word of RFC 8176.", hint="Write it like mfa, otp or pop.")
    return " ".join(methods)


def revoke_token(tx: Transaction, token: str, at: datetime) -> None:
    """End a token, by its :func:`token_id`. Revoked twice, the first time stays.

    Raises:
        NotFound: ``token.unknown``.
    """
    first = sa.func.coalesce(_token.c.revoked_at, sa.bindparam("at", at, Instant))
    ended = sa.update(_token).where(_token.c.id == token).values(revoked_at=first)
    if tx.connection.execute(ended).rowcount != 1:
        raise NotFound("token.unknown", "No such token.", hint="Give its whole id.")


def tokens(connection: Connection, owner: ParticipantId | None = None) -> list[Token]:
    """The tokens of one participant or of all, in the order in which they were made."""
    wanted = sa.select(_token).order_by(_token.c.created_at, _token.c.id)
    if owner is not None:
        wanted = wanted.where(_token.c.owner == owner)
    return [
        Token(
            id=row.id,
            owner=ParticipantId(row.owner),
            scopes=frozenset(row.scopes.split()),
            amr=tuple(row.amr.split()),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in connection.execute(wanted)
    ]


def identify(connection: Connection, secret: str, now: datetime) -> Identity:
    """Who holds this token, and what it is good for.

    Raises:
        NotIdentified: ``identity.missing``, ``.token_unknown``, ``.token_revoked`` or ``.token_expired``.
    """
    hint = "Ask the operator for a token: sandbox tokens create PARTICIPANT"
    if not secret:
        raise NotIdentified("identity.missing", "Who asks? There is no API token.", hint=hint)
    row = _found(connection, secret)
    if row is None:
        raise NotIdentified("identity.token_unknown", "The API token is not known here.", hint=hint)
    if row.revoked_at is not None:
        raise NotIdentified("identity.token_revoked", "The API token was revoked.", hint=hint)
    if now >= row.expires_at:
        raise NotIdentified("identity.token_expired", f"The API token expired on {row.expires_at:%d/%m/%Y}.", hint=hint)
    scopes, amr = frozenset(row.scopes.split()), tuple(row.amr.split())
    return Identity(participants.participant_of(row), row.token, scopes, amr)


def _found(connection: Connection, secret: str) -> Row[tuple[object, ...]] | None:
    if not _is_token(secret):
        return None
    wanted = token_id(secret)
    row = connection.execute(_IDENTIFIED, {"wanted": wanted}).one_or_none()
    # the look-up's time tells at most something of a digest; a database that folds case or pads must not answer either
    return row if row is not None and hmac.compare_digest(row.token, wanted) else None
