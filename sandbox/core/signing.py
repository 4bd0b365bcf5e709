"""Signed documents: JWS General JSON with a detached payload (RFC 7515) over canonical JSON (RFC 8785).

::

    {"contract": {...}, "signatures": [{"protected": "<alg, kid or x5c, typ>", "signature": "..."}]}

Each signature covers its own protected header and the document's canonical bytes, which are recomputed from what was
parsed: the text received is never hashed or signed. A header names a registered key by ``kid``, or carries a chain of
certificates in ``x5c``; a key inside a header or behind an address is never looked at.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, TypeAlias

from sandbox.core.canonical import Json, canonical, digest, parse
from sandbox.core.errors import Invalid, SandboxError
from sandbox.core.keys import SigningKey, VerifyKey, b64url, certified_key, from_b64url
from sandbox.core.terms import Digest

MAX_SIGNATURES: Final = 8
MAX_CERTIFICATES: Final = 5

Chain: TypeAlias = tuple[bytes, ...]
"""Certificates in DER, the signer's own first."""


class Signers(Protocol):
    """Whose signatures count. Either method may refuse with a sentence of its own instead of answering None."""

    def by_kid(self, kid: str) -> VerifyKey | None: ...

    def by_chain(self, chain: Chain) -> VerifyKey | None: ...


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """Signers known by the ids of their keys alone: nobody is believed for a certificate."""

    keys: Mapping[str, VerifyKey]

    def by_kid(self, kid: str) -> VerifyKey | None:
        return self.keys.get(kid)

    def by_chain(self, chain: Chain) -> VerifyKey | None:
        return None


@dataclass(frozen=True, slots=True)
class Signed:
    """A document whose every signature verified; ``kids`` are the keys that signed, in order, ``algs`` how each did."""

    document: dict[str, Json]
    digest: Digest
    kids: tuple[str, ...]
    algs: tuple[str, ...]


def refuse(why: str, hint: str = "Sign the unaltered document again: sandbox sign FILE --key KEY.") -> NoReturn:
    """Refuse a signed document.

    Raises:
        Invalid: ``signature.invalid``.
    """
    raise Invalid("signature.invalid", why, hint=hint, reasons=("CONT-01",))


def _signing_input(protected: str, payload: bytes) -> bytes:
    return protected.encode() + b"." + b64url(payload).encode()


def sign(document: dict[str, Json], key: SigningKey, typ: str, chain: Chain = ()) -> dict[str, Json]:
    """One signature over a document: the object that stands in ``signatures``.

    With a ``chain`` its header carries these certificates in place of the key's id.

    Raises:
        Invalid: ``signature.invalid`` when the chain's first certificate is another key's.
    """
    header: dict[str, Json] = {"alg": key.verify_key.alg, "typ": typ}
    if chain:
        if certified_key(chain[0]).public != key.verify_key.public:
            refuse("The first certificate is not of the key that signs.")
        header["x5c"] = [base64.b64encode(certificate).decode() for certificate in chain]
    else:
        header["kid"] = key.kid
    protected = b64url(canonical(header))
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


def open_signed(text: bytes, member: str, typ: str, signers: Signers, rule: str = "CONT-01") -> Signed:
    """Verify an envelope: every signature present must be good, by a known key, of the expected type.

    Which parties must have signed is the caller's; a stripped signature leaves a valid envelope. ``rule`` is the rule
    of the pilot that a bad one breaks, for the record.

    Raises:
        Invalid: ``document.malformed`` or ``signature.invalid``.
    """
    try:
        return _opened(text, member, typ, signers)
    except Invalid as refusal:
        refusal.reasons = (rule,) if refusal.reasons else ()
        raise


def _opened(text: bytes, member: str, typ: str, signers: Signers) -> Signed:
    document, signatures = unverified(text, member)
    payload = canonical(document)
    verified = [_verified(signature, payload, typ, signers) for signature in signatures]
    kids = tuple(kid for kid, _ in verified)
    if len(set(kids)) != len(kids):
        refuse("One key signed twice.")
    return Signed(document, digest(payload), kids, tuple(alg for _, alg in verified))


def _verified(signature: Json, payload: bytes, typ: str, signers: Signers) -> tuple[str, str]:
    match signature:
        case {"protected": str(protected), "signature": str(value), **rest} if not rest:
            alg, named = _header(protected, typ)
        case _:  # an unprotected "header" would let alg and kid go unsigned
            refuse("A signature has exactly 'protected' and 'signature'.")
    key = _key(named, signers)
    if not key.accepts(alg):  # the header never chooses the algorithm
        refuse("A signature's algorithm is not its key's.")
    if not key.verifies(_decoded(value), _signing_input(protected, payload), alg):
        refuse("A signature does not match the document.")
    return key.kid, alg


def _key(named: str | Chain, signers: Signers) -> VerifyKey:
    if isinstance(named, tuple):
        key, why = signers.by_chain(named), "A signature carries a certificate that is not trusted here."
    else:  # PostgreSQL fails on U+0000 before it could say "unknown"
        key = signers.by_kid(named) if named.isprintable() else None
        why = "A signature names a key that is not registered."
    if key is None:
        refuse(why)
    return key


def _decoded(text: str) -> bytes:
    try:
        return from_b64url(text)
    except SandboxError:
        refuse("A signature is not canonical base64url.")


def _header(protected: str, typ: str) -> tuple[str, str | Chain]:
    try:
        header = parse(_decoded(protected))
    except Invalid:
        refuse("A signature's protected header is malformed.")
    match header:
        case {"alg": str(alg), "typ": str(seen), "kid": str(kid), **rest} if not rest:
            named: str | Chain = kid
        case {"alg": str(alg), "typ": str(seen), "x5c": list(certificates), **rest} if not rest:
            named = _chain(certificates)
        case _:
            refuse("A signature's protected header has exactly alg, typ and either kid or x5c.")
    if seen != typ:  # a receipt must never be read as a contract
        refuse(f"A signature is for {seen[:40]!r}, expected {typ!r}.")
    return alg, named


def _chain(certificates: list[Json]) -> Chain:
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        refuse(f"An x5c header has {len(certificates)} certificates, expected 1 to {MAX_CERTIFICATES}.")
    return tuple(map(_der, certificates))


def _der(text: Json) -> bytes:
    """Standard base64, unlike everything else in a JWS (RFC 7515, 4.1.6), and again in one spelling only."""
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        content = b""
    if not content or base64.b64encode(content).decode() != text:
        refuse("A certificate is not in canonical standard base64.")
    return content
