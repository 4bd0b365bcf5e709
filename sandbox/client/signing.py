"""Signs each request before it leaves (RFC 9421), as the exchange asks for: see docs/formats/request.md."""

import secrets
from collections.abc import Generator
from typing import Final

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from http_message_signatures.httpx2 import adapt_message

from sandbox.core.clock import Clock
from sandbox.core.errors import Invalid
from sandbox.core.keys import SigningKey
from sandbox.core.requests import LONGEST, TAG, components

_LABEL: Final = "sig"
_NONCE_BYTES: Final = 18


class RequestSigner(httpx2.Auth):
    """Signs with one request key.

    Raises:
        Invalid: ``key.unsupported`` for a key that is not Ed25519.
    """

    requires_request_body = True

    def __init__(self, key: SigningKey, clock: Clock) -> None:
        if not isinstance(key.private, Ed25519PrivateKey):
            raise Invalid("key.unsupported", "Requests are signed with Ed25519.", hint="Make one: sandbox keygen NAME.")
        self._key, self._clock = key, clock
        resolver = MappingKeyResolver(public_keys={}, private_keys={key.kid: key.private})
        self._signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=resolver)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Sign one request, with a nonce of its own: sent again as it is, it is refused."""
        body, now = request.content, self._clock.now()
        self._signer.sign(
            adapt_message(request),
            key_id=self._key.kid,
            created=now,
            expires=now + LONGEST,
            nonce=secrets.token_urlsafe(_NONCE_BYTES),
            label=_LABEL,
            tag=TAG,
            covered_component_ids=components(body),
            body=body or None,
        )
        yield request
