"""Signed requests (RFC 9421): made by a request key of whoever asks, of this minute, and each accepted once.

A token says who asks; the signature proves that its holder sent these very bytes. It signs no contract.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import sqlalchemy as sa

from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import NotIdentified
from sandbox.core.keys import ED25519, VerifyKey, b64url
from sandbox.core.requests import LONGEST, SKEW, SignedRequest
from sandbox.core.terms import ParticipantId

__all__ = ["SignedRequest", "spend_nonce", "verified"]

_SHORTEST_NONCE: Final = 16
_LONGEST_TEXT: Final = 200

_nonce = sa.Table(
    "request_nonce", metadata,
    sa.Column("keyid", sa.Text, primary_key=True),
    sa.Column("nonce", sa.Text, primary_key=True),
    sa.Column("expires", Instant, nullable=False, index=True),
)  # fmt: skip

# built once: every signed request runs them
_FORGET: Final = sa.delete(_nonce).where(_nonce.c.expires < sa.bindparam("now", type_=Instant))
_REMEMBER: Final = sa.insert(_nonce)


class Owners(Protocol):
    """Request keys that count now, and whose they are."""

    def by_kid(self, kid: str) -> VerifyKey | None: ...
    def owner_of(self, kid: str) -> ParticipantId | None: ...


def verified(signed: SignedRequest, owner: ParticipantId, signers: Owners, now: datetime) -> Mapping[str, str | int]:
    """Verify a request's signature; answers what the record keeps of it, by which the request proves who sent it.

    That does not say what was signed, for the caller's token is part of it: a digest names it.

    Args:
        signed: the signature as received.
        owner: whose token came with it.
        signers: the keys for ``KeyUse.REQUEST`` that count at ``now``.
        now: the exchange's time.

    Raises:
        NotIdentified: ``identity.signature_invalid``, ``identity.signature_expired``.
    """
    # (1) Of this minute, and good for minutes only: an old one that turns up again is no request of today.
    _require_timely(signed, now)
    if not _SHORTEST_NONCE <= len(signed.nonce) <= _LONGEST_TEXT or len(signed.keyid) > _LONGEST_TEXT:
        raise _invalid()
    # (2) A request key of whoever the token speaks for: a stolen token is worth nothing beside another's key.
    key = signers.by_kid(signed.keyid)
    if key is None or signers.owner_of(signed.keyid) != owner or key.alg != ED25519:
        raise _invalid()
    # (3) It signed these bytes.
    if not key.verifies(signed.signature, signed.base):
        raise _invalid()
    return {
        "keyid": signed.keyid,
        "nonce": signed.nonce,
        "created": signed.created,
        "base": "sha256:" + hashlib.sha256(signed.base).hexdigest(),
        "signature": b64url(signed.signature),
    }


def _require_timely(signed: SignedRequest, now: datetime) -> None:
    at, lasts = now.timestamp(), signed.expires - signed.created
    if not 0 < lasts <= LONGEST.total_seconds():
        raise NotIdentified(
            "identity.signature_expired", f"The request's signature is good for {lasts} seconds.",
            hint=f"Let it expire within {LONGEST.seconds} seconds of its creation.",
        )  # fmt: skip
    if not signed.created - SKEW.total_seconds() <= at < signed.expires + SKEW.total_seconds():
        raise NotIdentified(
            "identity.signature_expired", "The request's signature is of another time than the exchange's.",
            hint="Set your clock and sign the request again.",
        )  # fmt: skip


def _invalid() -> NotIdentified:
    return NotIdentified(
        "identity.signature_invalid", "The request's signature does not verify.",
        hint="Sign the whole request with a registered request key of the token's owner; see docs/formats/request.md.",
    )  # fmt: skip


def spend_nonce(tx: Transaction, signed: SignedRequest, now: datetime) -> None:
    """Accept a verified signature, this time and never again; forget those that have expired.

    Raises:
        NotIdentified: ``identity.signature_replayed``.
    """
    tx.connection.execute(_FORGET, {"now": now})
    until = datetime.fromtimestamp(signed.expires, UTC) + SKEW + timedelta(seconds=1)
    row = {"keyid": signed.keyid, "nonce": signed.nonce, "expires": until}
    try:
        with tx.connection.begin_nested():  # the key of the table decides: two nodes may be asked at the same time
            tx.connection.execute(_REMEMBER, row)
    except sa.exc.IntegrityError:
        raise NotIdentified(
            "identity.signature_replayed", "This signed request was sent before.",
            hint="Sign each request anew, with a nonce of its own.",
        ) from None  # fmt: skip
