"""A request's signature (RFC 9421) as HTTP carries it: what it covers, whether the body is the covered one.

Whose key made it, and whether it counts, is the exchange's to say.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
)
from http_message_signatures.structures import VerifyResult
from starlette.requests import Request

from sandbox.core.errors import NotIdentified
from sandbox.core.requests import ALGORITHM, PARAMETERS, TAG, SignedRequest, components

_FIELDS: Final = ("signature-input", "signature")
_OWN: Final = '"@signature-params"'


@dataclass(frozen=True, slots=True)
class _Headers:
    """Header lines in the shape that the library reads, repeated ones included."""

    lines: tuple[tuple[str, str], ...]

    def items(self) -> Iterable[tuple[str, str]]:
        return self.lines


@dataclass(frozen=True, slots=True)
class _Message:
    """A request in the shape that the library reads."""

    method: str
    url: str
    headers: _Headers


class _Taken(HTTPSignatureAlgorithm):
    """Takes down what was signed and with what. The exchange verifies it, with the key and the clock that it trusts."""

    algorithm_id = ALGORITHM

    def __init__(self, public_key: Any = None, private_key: Any = None) -> None:
        self._notes: list[tuple[bytes, bytes]] = public_key

    def verify(self, signature: bytes, message: bytes) -> None:
        self._notes.append((message, signature))


@dataclass(frozen=True, slots=True)
class _Notes(HTTPSignatureKeyResolver):
    """In the place of a key: where :class:`_Taken` writes."""

    notes: list[tuple[bytes, bytes]]

    def resolve_public_key(self, key_id: str) -> Any:
        return self.notes


class _Reader(HTTPMessageVerifier):
    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Leave the times to the exchange: the library would ask the machine's clock."""


def is_signed(request: Request) -> bool:
    """Whether a request says that it is signed, well or badly."""
    return any(name in request.headers for name in _FIELDS)


def signature_of(request: Request, address: str, body: bytes) -> SignedRequest | None:
    """The signature of a request, complete and over this body; None without one.

    Args:
        request: as received.
        address: the API's own, under which callers know it; what the request says of its host proves nothing.
        body: the bytes received.

    Raises:
        NotIdentified: ``identity.signature_malformed`` when it is none, covers less or more than it must, is beside
            others, or the body is another.
    """
    if not is_signed(request):
        return None
    lines = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
    notes: list[tuple[bytes, bytes]] = []
    reader = _Reader(signature_algorithm=_Taken, key_resolver=_Notes(notes))
    try:
        results = reader.verify(
            _Message(request.method, address + _target(request), _Headers(lines)), max_age=None, body=body
        )
    except HTTPMessageSignaturesException as error:
        raise _malformed("It is malformed, or the body is not the signed one.") from error
    if len(results) != 1:
        raise _malformed("There are several.")
    return _taken(results[0], notes[0], body)


def _target(request: Request) -> str:
    """Path and query as they were sent: decoded, two addresses could look like one."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _taken(result: VerifyResult, note: tuple[bytes, bytes], body: bytes) -> SignedRequest:
    covered, expected = {*result.covered_components} - {_OWN}, {f'"{name}"' for name in components(body)}
    if covered != expected:
        raise _malformed("It must cover " + ", ".join(components(body)) + " and nothing else.")
    said = result.parameters
    if {*said} - {"alg"} != PARAMETERS or said["tag"] != TAG:
        raise _malformed("It must say " + ", ".join(sorted(PARAMETERS)) + f", with the tag {TAG}.")
    base, signature = note
    return SignedRequest(
        keyid=str(said["keyid"]),
        nonce=str(said["nonce"]),
        created=int(said["created"]),
        expires=int(said["expires"]),
        base=base,
        signature=signature,
    )


def _malformed(why: str) -> NotIdentified:
    return NotIdentified(
        "identity.signature_malformed", f"The request's signature cannot be read. {why}",
        hint="Sign it as docs/formats/request.md says, or let sandbox.client do it.",
    )  # fmt: skip
