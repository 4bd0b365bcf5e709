"""What both ends of a signed HTTP request (RFC 9421) agree on: what is covered, for how long, under which tag."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

TAG: Final = "sandbox-v1"
"""Stands in every signature, so that one made for another program is none here."""
LONGEST: Final = timedelta(seconds=300)
"""How long a signature may be good for."""
SKEW: Final = timedelta(seconds=60)
"""How far the clocks of caller and exchange may be apart."""
ALGORITHM: Final = "ed25519"
PARAMETERS: Final = frozenset({"created", "expires", "nonce", "keyid", "tag"})
"""What a signature says of itself; it may name :data:`ALGORITHM` besides."""


def components(body: bytes) -> tuple[str, ...]:
    """What a signature covers, neither more nor less.

    The address and the token say to whom it speaks and for whom; without the digest it would fit any body.
    """
    return ("@method", "@target-uri", "authorization", *(("content-digest",) if body else ()))


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The signature of a request as it was received. Nothing in it is verified.

    ``created`` and ``expires`` are seconds since 1970; ``base`` is what was signed, and holds the caller's token.
    """

    keyid: str
    nonce: str
    created: int
    expires: int
    base: bytes
    signature: bytes
