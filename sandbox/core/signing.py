"""Signed documents: JWS General JSON with a detached payload (RFC 7515) over canonical JSON (RFC 8785).

::

    {"contract": {...}, "signatures": [{"protected": "<alg, kid, typ>", "signature": "..."}]}

Each signature covers its own protected header and the document's canonical bytes, which are recomputed from what was
parsed: the text received is never hashed or signed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from sandbox.core.canonical import Json, canonical, digest, parse
from sandbox.core.errors import Invalid, SandboxError
from sandbox.core.keys import SigningKey, VerifyKey, b64url, from_b64url
from sandbox.core.terms import Digest

MAX_SIGNATURES: Final = 8


@dataclass(frozen=True, slots=True)
class Signed:
    """A document whose every signature verified; ``kids`` are the keys that signed, in order."""

    document: dict[str, Json]
    digest: Digest
    kids: tuple[str, ...]


def refuse(why: str) -> NoReturn:
    """Refuse a signed document.

    Raises:
        Invalid: ``signature.invalid``.
    """
    hint = "Sign the unaltered document again: sandbox sign FILE --key KEY."
    raise Invalid("signature.invalid", why, hint=hint, reasons=("CONT-01",))


def _signing_input(protected: str, payload: bytes) -> bytes:
    return protected.encode() + b"." + b64url(payload).encode()


def sign(document: dict[str, Json], key: SigningKey, typ: str) -> dict[str, Json]:
    """One signature over a document: the object that stands in ``signatures``."""
    protected = b64url(canonical({"alg": key.verify_key.alg, "kid": key.kid, "typ": typ}))
    return {"protected": protected, "signature": b64url(key.sign(_signing_input(protected, canonical(document))))}


def envelope(member: str, document: dict[str, Json], signatures: list[Json]) -> bytes:
    """The bytes of a signed document; they are canonical, so equal contents are equal bytes."""
    return canonical({member: document, "signatures": signatures})


def unverified(text: bytes, member: str) -> tuple[dict[str, Json], list[Json]]:
    """Take an envelope apart without believing it: to add a signature, or to verify what it holds.

    Raises:
        Invalid: ``document.malformed`` or ``signature.invalid``.
    """
    parts = parse(text)
    match parts:
        case {"signatures": list(signatures)} if parts.keys() == {member, "signatures"}:
            document = parts[member]
            if isinstance(document, dict) and len(signatures) <= MAX_SIGNATURES:
                return document, signatures
    refuse(f"A signed document has exactly {member!r} and 'signatures' (at most {MAX_SIGNATURES}).")


def open_signed(text: bytes, member: str, typ: str, key_of: Callable[[str], VerifyKey | None]) -> Signed:
    """Verify an envelope: every signature present must be good, by a known key, of the expected type.

    Which parties must have signed is the caller's rule; a stripped signature leaves a valid envelope.

    Raises:
        Invalid: ``document.malformed`` or ``signature.invalid``.
    """
    document, signatures = unverified(text, member)
    payload = canonical(document)
    kids = tuple(_verified(signature, payload, typ, key_of) for signature in signatures)
    if len(set(kids)) != len(kids):
        refuse("One key signed twice.")
    return Signed(document, digest(payload), kids)


def _verified(signature: Json, payload: bytes, typ: str, key_of: Callable[[str], VerifyKey | None]) -> str:
    match signature:
        case {"protected": str(protected), "signature": str(value), **rest} if not rest:
            header = _header(protected, typ)
        case _:  # an unprotected "header" would let alg and kid go unsigned
            refuse("A signature has exactly 'protected' and 'signature'.")
    kid, alg = header
    key = key_of(kid) if kid.isprintable() else None  # PostgreSQL fails on U+0000 before it could say "unknown"
    if key is None:
        refuse("A signature names a key that is not registered.")
    if key.alg != alg:  # the header never chooses the algorithm
        refuse("A signature's algorithm is not its key's.")
    if not key.verifies(_decoded(value), _signing_input(protected, payload)):
        refuse("A signature does not match the document.")
    return kid


def _decoded(text: str) -> bytes:
    try:
        return from_b64url(text)
    except SandboxError:
        refuse("A signature is not canonical base64url.")


def _header(protected: str, typ: str) -> tuple[str, str]:
    try:
        header = parse(_decoded(protected))
    except Invalid:
        refuse("A signature's protected header is malformed.")
    match header:
        case {"alg": str(alg), "kid": str(kid), "typ": str(seen), **rest} if not rest:
            if seen != typ:  # a receipt must never be read as a contract
                refuse(f"A signature is for {seen[:40]!r}, expected {typ!r}.")
            return kid, alg
    refuse("A signature's protected header has exactly alg, kid and typ.")
