"""Signing keys and their public halves: Ed25519 and ECDSA P-256, kept as JWK files (RFC 7517, RFC 8037)."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sandbox.core.canonical import Json, canonical, parse
from sandbox.core.errors import Conflict, Invalid, NotFound

ED25519: Final = "Ed25519"
ES256: Final = "ES256"
_SIGNATURE: Final = 64
_NUMBER: Final = 32
_Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_Public: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


def b64url(content: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    """Decode base64url, accepting exactly one spelling of each byte string.

    Python's decoder skips foreign characters and ignores spare bits, so many texts would be "the same" signature.

    Raises:
        Invalid: ``key.malformed``.
    """
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        content = None
    if content is None or b64url(content) != text:
        raise Invalid("key.malformed", "A value is not canonical base64url.", hint="Use base64url without padding.")
    return content


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key and the id under which it is registered. ``alg`` follows from the key, never from a message."""

    kid: str
    public: _Public

    @property
    def alg(self) -> str:
        return ED25519 if isinstance(self.public, ed25519.Ed25519PublicKey) else ES256

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` (64 bytes, for ES256 r‖s) is this key's over ``message``."""
        if len(signature) != _SIGNATURE:
            return False
        try:
            if isinstance(self.public, ed25519.Ed25519PublicKey):
                self.public.verify(signature, message)
            else:
                halves = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                self.public.verify(encode_dss_signature(*halves), message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 public key."""
        if not isinstance(self.public, ed25519.Ed25519PublicKey):
            raise Invalid("key.unsupported", "This use needs an Ed25519 key.", hint="Make one: sandbox keygen NAME.")
        return self.public.public_bytes_raw()

    def jwk(self) -> dict[str, Json]:
        """The public JWK."""
        if isinstance(self.public, ed25519.Ed25519PublicKey):
            return {"kty": "OKP", "crv": ED25519, "x": b64url(self.public.public_bytes_raw()), "kid": self.kid}
        point = self.public.public_numbers()
        x, y = (b64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. It never leaves its holder: participants sign in the terminal, not on the exchange."""

    kid: str
    private: _Private

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature: Ed25519, or r‖s of ECDSA with SHA-256."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    @property
    def verify_key(self) -> VerifyKey:
        return VerifyKey(self.kid, self.private.public_key())


def new_key(owner: str, alg: str = ED25519) -> SigningKey:
    """A fresh key whose id is the owner and twelve digits of the public key's thumbprint (RFC 7638).

    Raises:
        Invalid: ``key.unsupported`` for an algorithm other than Ed25519 and ES256.
    """
    if alg == ED25519:
        return _named(owner, ed25519.Ed25519PrivateKey.generate())
    if alg == ES256:
        return _named(owner, ec.generate_private_key(ec.SECP256R1()))
    raise Invalid("key.unsupported", f"No algorithm {alg!r}.", hint=f"Choose {ED25519} or {ES256}.")


def key_from_seed(owner: str, seed: bytes) -> SigningKey:
    """The Ed25519 key of a 32-byte seed."""
    return _named(owner, ed25519.Ed25519PrivateKey.from_private_bytes(seed))


def _named(owner: str, private: _Private) -> SigningKey:
    jwk = VerifyKey("", private.public_key()).jwk()
    del jwk["kid"]
    return SigningKey(f"{owner}/{hashlib.sha256(canonical(jwk)).hexdigest()[:12]}", private)


def write_key(key: SigningKey, path: Path) -> None:
    """Write a private JWK, readable by its owner alone, and the public one beside it as ``NAME.pub.jwk``.

    Raises:
        Conflict: ``key.exists``; neither half of a key is ever overwritten.
    """
    if isinstance(key.private, ed25519.Ed25519PrivateKey):
        secret = key.private.private_bytes_raw()
    else:
        secret = key.private.private_numbers().private_value.to_bytes(32, "big")
    document = key.verify_key.jwk() | {"d": b64url(secret)}
    public = path.with_suffix(".pub.jwk")
    _write_new(public, key.verify_key.jwk(), 0o644)
    try:
        _write_new(path, document, 0o600)
    except BaseException:
        public.unlink()
        raise


def _write_new(path: Path, document: dict[str, Json], mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Conflict(
            "key.exists",
            f"A key file {path.name} is there already.",
            hint="Choose another name; keys are not replaced.",
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())  # what is signed with a key that a power cut takes away nobody can go on with


def _read(path: Path) -> dict[str, Json]:
    try:
        content = path.read_bytes()
    except OSError:
        hint = "Make one: sandbox keygen NAME."
        raise NotFound("key.missing", f"No key file {path.name} that can be read.", hint=hint) from None
    return parse(content)


def read_key(path: Path) -> SigningKey:
    """Load a private JWK file.

    Raises:
        NotFound: ``key.missing``.
        Invalid: ``key.exposed`` when others may read the file, ``key.malformed`` when it holds no private key.
    """
    document = _read(path)
    if path.stat().st_mode & 0o077:
        raise Invalid("key.exposed", f"Others may read {path.name}.", hint="Run: chmod 600 FILE, or make a new key.")
    public, secret = public_key(document), _number(document, "d")
    private: _Private | None
    try:
        if isinstance(public.public, ed25519.Ed25519PublicKey):
            private = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
        else:
            private = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    except ValueError:
        private = None
    if private is None or private.public_key() != public.public:
        raise Invalid("key.malformed", "The private and public halves differ.", hint="Make a new key.")
    return SigningKey(public.kid, private)


def read_public_key(path: Path) -> VerifyKey:
    """Load a public JWK file (or the public half of a private one)."""
    return public_key(_read(path))


def _text(document: dict[str, Json], member: str) -> str:
    value = document.get(member)
    if not isinstance(value, str):
        raise Invalid("key.malformed", f"The key has no {member!r}.", hint="Make one: sandbox keygen NAME.")
    return value


def _number(document: dict[str, Json], member: str) -> bytes:
    number = from_b64url(_text(document, member))
    if len(number) != _NUMBER:  # a longer x with a shorter y would be another spelling of the same point
        raise Invalid("key.malformed", f"The key's {member!r} has not {_NUMBER} bytes.", hint="Make a new key.")
    return number


def public_key(document: dict[str, Json]) -> VerifyKey:
    """Read a public JWK.

    Raises:
        Invalid: ``key.malformed`` or ``key.unsupported``.
    """
    kid, kind, curve = (_text(document, member) for member in ("kid", "kty", "crv"))
    try:
        if (kind, curve) == ("OKP", ED25519):
            return VerifyKey(kid, ed25519.Ed25519PublicKey.from_public_bytes(_number(document, "x")))
        if (kind, curve) == ("EC", "P-256"):
            point = b"\x04" + _number(document, "x") + _number(document, "y")
            return VerifyKey(kid, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    except ValueError:
        raise Invalid("key.malformed", "The public key is no point of its curve.", hint="Make a new key.") from None
    raise Invalid("key.unsupported", f"No curve {curve[:20]!r}.", hint=f"Use {ED25519} or P-256.")
