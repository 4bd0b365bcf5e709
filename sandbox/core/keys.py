"""Signing keys as files: JWK (RFC 7517), a private one for its holder alone and a public one to hand out."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from sandbox.core.algorithms import (
    ALGORITHMS,
    ED25519,
    ES256,
    KINDS,
    LEAST_BITS,
    ML_DSA_44,
    ML_DSA_65,
    MOST_BITS,
    NUMBER,
    PS256,
    RS256,
    Private,
    Public,
    SigningKey,
    VerifyKey,
    b64_number,
    b64url,
    certified_key,
    from_b64url,
    is_sound,
    key_from_seed,
    new_key,
    new_witness_key,
)
from sandbox.core.canonical import Json, parse
from sandbox.core.errors import Conflict, Invalid, NotFound

__all__ = [
    "ALGORITHMS",
    "ED25519",
    "ES256",
    "ML_DSA_44",
    "ML_DSA_65",
    "PS256",
    "RS256",
    "SigningKey",
    "VerifyKey",
    "b64url",
    "certified_key",
    "from_b64url",
    "key_from_seed",
    "new_key",
    "new_witness_key",
    "public_key",
    "read_key",
    "read_public_key",
    "write_key",
]

_MLDSA_PUBLIC: Final = {ML_DSA_65: 1952, ML_DSA_44: 1312}
_RSA_SECRETS: Final = ("p", "q", "d", "dp", "dq", "qi")
_MOST_EXPONENT_BITS: Final = 32


def write_key(key: SigningKey, path: Path) -> None:
    """Write a private JWK, readable by its owner alone, and the public one beside it as ``NAME.pub.jwk``.

    Raises:
        Conflict: ``key.exists``; neither half of a key is ever overwritten.
        Invalid: ``file.unwritable``.
    """
    document = key.verify_key.jwk() | _secrets(key.private)
    public = path.with_suffix(".pub.jwk")
    _write_new(public, key.verify_key.jwk(), 0o644)
    try:
        _write_new(path, document, 0o600)
    except BaseException:
        public.unlink()
        raise


def _secrets(private: Private) -> dict[str, Json]:
    match private:
        case ed25519.Ed25519PrivateKey():
            return {"d": b64url(private.private_bytes_raw())}
        case ec.EllipticCurvePrivateKey():
            return {"d": b64url(private.private_numbers().private_value.to_bytes(NUMBER, "big"))}
        case rsa.RSAPrivateKey():
            found = private.private_numbers()
            numbers = (found.p, found.q, found.d, found.dmp1, found.dmq1, found.iqmp)
            return dict(zip(_RSA_SECRETS, map(b64_number, numbers), strict=True))
    return {"priv": b64url(private.private_bytes_raw())}


def _write_new(path: Path, document: dict[str, Json], mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Conflict(
            "key.exists",
            f"A key file {path.name} is there already.",
            hint="Choose another name; keys are not replaced.",
        ) from None
    except OSError as error:
        why = f"The key file {path.name} cannot be written: {error.strerror}."
        raise Invalid("file.unwritable", why, hint="Name another place.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())  # what is signed with a key that a power cut takes away nobody can go on with


def _read(path: Path) -> dict[str, Json]:
    try:
        content = path.read_bytes()
    except OSError:
        hint = "Check the name, or make one: sandbox keygen NAME."
        raise NotFound("key.missing", f"No key file {path.name} that can be read.", hint=hint) from None
    try:
        return parse(content)
    except Invalid:
        hint = "Name a .jwk file, such as sandbox keygen makes."
        raise Invalid("key.malformed", f"{path.name} is no key file.", hint=hint) from None


def read_key(path: Path) -> SigningKey:
    """Load a private JWK file.

    Raises:
        NotFound: ``key.missing``.
        Invalid: ``key.exposed`` when others may read the file, ``key.malformed`` when it holds no private key.
    """
    document = _read(path)
    if path.stat().st_mode & 0o077:
        raise Invalid("key.exposed", f"Others may read {path.name}.", hint="Run: chmod 600 FILE, or make a new key.")
    public = _public(document)
    try:
        private: Private | None = _private(public.public, document)
    except ValueError:
        private = None
    if private is None or private.public_key() != public.public:
        raise Invalid("key.malformed", "The private and public halves differ.", hint="Make a new key.")
    return SigningKey(public.kid, private)


def _private(public: Public, document: dict[str, Json]) -> Private:
    match public:
        case ed25519.Ed25519PublicKey():
            return ed25519.Ed25519PrivateKey.from_private_bytes(_number(document, "d"))
        case ec.EllipticCurvePublicKey():
            return ec.derive_private_key(int.from_bytes(_number(document, "d"), "big"), ec.SECP256R1())
        case rsa.RSAPublicKey():
            p, q, d, dp, dq, qi = (_whole(document, member) for member in _RSA_SECRETS)
            return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public.public_numbers()).private_key()
        case mldsa.MLDSA44PublicKey():
            return mldsa.MLDSA44PrivateKey.from_seed_bytes(_number(document, "priv"))
    return mldsa.MLDSA65PrivateKey.from_seed_bytes(_number(document, "priv"))


def read_public_key(path: Path) -> VerifyKey:
    """Load a public JWK file (or the public half of a private one)."""
    return public_key(_read(path))


def _text(document: dict[str, Json], member: str) -> str:
    value = document.get(member)
    if not isinstance(value, str):
        raise Invalid("key.malformed", f"The key has no {member!r}.", hint="Make one: sandbox keygen NAME.")
    return value


def _number(document: dict[str, Json], member: str, length: int = NUMBER) -> bytes:
    number = from_b64url(_text(document, member))
    if len(number) != length:  # a longer x with a shorter y would be another spelling of the same point
        raise Invalid("key.malformed", f"The key's {member!r} has not {length} bytes.", hint="Make a new key.")
    return number


def _whole(document: dict[str, Json], member: str) -> int:
    """A number of as many bytes as it needs (RFC 7518, 6.3): leading zeros would be another spelling."""
    number = from_b64url(_text(document, member))
    if not 1 <= len(number) <= MOST_BITS // 8 or number[0] == 0:
        raise Invalid("key.malformed", f"The key's {member!r} is no number.", hint="Make a new key.")
    return int.from_bytes(number, "big")


def public_key(document: dict[str, Json]) -> VerifyKey:
    """Read the public JWK of a participant's key.

    Raises:
        Invalid: ``key.malformed`` or ``key.unsupported``, which a witness's ML-DSA-44 is too.
    """
    key = _public(document)
    if key.alg not in ALGORITHMS:  # too short a security for what must hold for years
        raise Invalid("key.unsupported", f"The key is a witness's: {key.alg}.", hint=KINDS)
    return key


def _public(document: dict[str, Json]) -> VerifyKey:
    kid, kind = _text(document, "kid"), _text(document, "kty")
    read = _READERS.get(kind)
    if read is None:
        raise Invalid("key.unsupported", f"No kind of key {kind[:20]!r}.", hint=KINDS)
    try:
        return VerifyKey(kid, read(document))
    except ValueError:
        raise Invalid("key.malformed", "The public key is none of its kind.", hint="Make a new key.") from None


def _require(document: dict[str, Json], member: str, expected: str) -> None:
    found = _text(document, member)
    if found != expected:
        raise Invalid("key.unsupported", f"The key's {member!r} is {found[:20]!r}, expected {expected}.", hint=KINDS)


def _okp(document: dict[str, Json]) -> Public:
    _require(document, "crv", ED25519)
    return ed25519.Ed25519PublicKey.from_public_bytes(_number(document, "x"))


def _ec(document: dict[str, Json]) -> Public:
    _require(document, "crv", "P-256")
    point = b"\x04" + _number(document, "x") + _number(document, "y")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def _rsa(document: dict[str, Json]) -> Public:
    modulus, exponent = _whole(document, "n"), _whole(document, "e")
    if exponent.bit_length() > _MOST_EXPONENT_BITS or modulus.bit_length() < LEAST_BITS:
        raise Invalid("key.unsupported", "The RSA key is too small, or its exponent too large.", hint=KINDS)
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if not is_sound(public):
        raise Invalid("key.unsupported", "The RSA key's exponent is too small, or even.", hint=KINDS)
    return public


def _akp(document: dict[str, Json]) -> Public:
    alg = _text(document, "alg")
    if alg != ML_DSA_44:
        _require(document, "alg", ML_DSA_65)
        return mldsa.MLDSA65PublicKey.from_public_bytes(_number(document, "pub", _MLDSA_PUBLIC[alg]))
    return mldsa.MLDSA44PublicKey.from_public_bytes(_number(document, "pub", _MLDSA_PUBLIC[alg]))


_READERS: Final[Mapping[str, Callable[[dict[str, Json]], Public]]] = {
    "OKP": _okp,
    "EC": _ec,
    "RSA": _rsa,
    "AKP": _akp,
}
