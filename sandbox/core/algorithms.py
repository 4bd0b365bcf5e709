"""Keys of five kinds, and what each signs and verifies: Ed25519, ECDSA P-256, RSA, ML-DSA-65 and a witness's ML-DSA-44.

What a signature must be follows from the key (its Python type), never from what a message says of itself.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sandbox.core.canonical import Json, canonical
from sandbox.core.errors import Invalid

ED25519: Final = "Ed25519"
ES256: Final = "ES256"
PS256: Final = "PS256"
RS256: Final = "RS256"
ML_DSA_65: Final = "ML-DSA-65"
ML_DSA_44: Final = "ML-DSA-44"
"""For witnesses alone, whose cosignatures must stay short; contracts last for years, and have the stronger one."""
ALGORITHMS: Final = (ED25519, ES256, PS256, ML_DSA_65)
"""What keys are made for. An RSA key signs PS256; RS256, which smart cards often speak alone, verifies too."""

NUMBER: Final = 32
"""Bytes of an Ed25519 key, and of each number of P-256."""
LEAST_BITS: Final = 2048
MOST_BITS: Final = 8192
"""Of an RSA modulus; a larger one would make the exchange work for whoever registers it."""
KINDS: Final = f"Use {ED25519}, P-256, RSA of {LEAST_BITS} bits or more, or {ML_DSA_65}."
_SIGNATURE: Final = 64
_NEW_BITS: Final = 3072
_EXPONENT: Final = 65_537
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)

Private: TypeAlias = (
    ed25519.Ed25519PrivateKey
    | ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA44PrivateKey
)
Public: TypeAlias = (
    ed25519.Ed25519PublicKey
    | ec.EllipticCurvePublicKey
    | rsa.RSAPublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA44PublicKey
)


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
    public: Public

    @property
    def alg(self) -> str:
        """The algorithm that new signatures of this key have."""
        match self.public:
            case ed25519.Ed25519PublicKey():
                return ED25519
            case ec.EllipticCurvePublicKey():
                return ES256
            case rsa.RSAPublicKey():
                return PS256
            case mldsa.MLDSA44PublicKey():
                return ML_DSA_44
        return ML_DSA_65

    def accepts(self, alg: str) -> bool:
        """Whether a signature of this key may have this algorithm."""
        return alg == self.alg or (alg == RS256 and self.alg == PS256)

    def verifies(self, signature: bytes, message: bytes, alg: str = "") -> bool:
        """Whether ``signature`` (for ES256 the 64 bytes r‖s) is this key's over ``message``."""
        if not self.accepts(alg or self.alg):
            return False
        try:
            self._verify(signature, message, alg)
        except InvalidSignature:
            return False
        return True

    def _verify(self, signature: bytes, message: bytes, alg: str) -> None:
        public = self.public
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, message, padding.PKCS1v15() if alg == RS256 else _PSS, hashes.SHA256())
        elif not isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, message)
        elif len(signature) != _SIGNATURE:
            raise InvalidSignature
        else:
            halves = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            public.verify(encode_dss_signature(*halves), message, ec.ECDSA(hashes.SHA256()))

    def raw(self) -> bytes:
        """The bytes of a public key of a log or a witness: 32 of Ed25519, 1,312 of ML-DSA-44."""
        if not isinstance(self.public, ed25519.Ed25519PublicKey | mldsa.MLDSA44PublicKey):
            raise Invalid("key.unsupported", "This use needs an Ed25519 key.", hint="Make one: sandbox keygen NAME.")
        return self.public.public_bytes_raw()

    def jwk(self) -> dict[str, Json]:
        """The public JWK."""
        return _members(self.public) | {"kid": self.kid}


def _members(public: Public) -> dict[str, Json]:
    match public:
        case ed25519.Ed25519PublicKey():
            return {"kty": "OKP", "crv": ED25519, "x": b64url(public.public_bytes_raw())}
        case ec.EllipticCurvePublicKey():
            point = public.public_numbers()
            x, y = (b64url(number.to_bytes(NUMBER, "big")) for number in (point.x, point.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        case rsa.RSAPublicKey():
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": b64_number(numbers.n), "e": b64_number(numbers.e)}
        case mldsa.MLDSA44PublicKey():
            return {"kty": "AKP", "alg": ML_DSA_44, "pub": b64url(public.public_bytes_raw())}
    return {"kty": "AKP", "alg": ML_DSA_65, "pub": b64url(public.public_bytes_raw())}


def b64_number(number: int) -> str:
    """A positive number in as few bytes as it needs, in base64url (RFC 7518, section 2)."""
    return b64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. It never leaves its holder: participants sign in the terminal, not on the exchange."""

    kid: str
    private: Private

    def sign(self, message: bytes) -> bytes:
        """A signature of the key's algorithm; for ES256 its 64 bytes are r‖s."""
        private = self.private
        if isinstance(private, rsa.RSAPrivateKey):
            return private.sign(message, _PSS, hashes.SHA256())
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            return private.sign(message)
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(NUMBER, "big") + s.to_bytes(NUMBER, "big")

    @property
    def verify_key(self) -> VerifyKey:
        return VerifyKey(self.kid, self.private.public_key())


def _make_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(_EXPONENT, _NEW_BITS)


def _make_p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


_MAKERS: Final[Mapping[str, Callable[[], Private]]] = {
    ED25519: ed25519.Ed25519PrivateKey.generate,
    ES256: _make_p256,
    PS256: _make_rsa,
    ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
}


def new_key(owner: str, alg: str = ED25519) -> SigningKey:
    """A fresh key whose id is the owner and twelve digits of the public key's thumbprint (RFC 7638).

    Raises:
        Invalid: ``key.unsupported`` for an algorithm that is not among :data:`ALGORITHMS`.
    """
    make = _MAKERS.get(alg)
    if make is None:
        raise Invalid("key.unsupported", f"No algorithm {alg[:20]!r}.", hint=f"Choose one of {', '.join(ALGORITHMS)}.")
    return _named(owner, make())


def new_witness_key(name: str) -> SigningKey:
    """A fresh ML-DSA-44 key of the witness ``name``; nothing but checkpoints is signed with one."""
    return _named(name, mldsa.MLDSA44PrivateKey.generate())


def key_from_seed(owner: str, seed: bytes) -> SigningKey:
    """The Ed25519 key of a 32-byte seed."""
    return _named(owner, ed25519.Ed25519PrivateKey.from_private_bytes(seed))


def _named(owner: str, private: Private) -> SigningKey:
    thumbprint = hashlib.sha256(canonical(_members(private.public_key()))).hexdigest()
    return SigningKey(f"{owner}/{thumbprint[:12]}", private)


def certified_key(certificate: bytes) -> VerifyKey:
    """The key of an X.509 certificate in DER, named ``x5c:`` and the certificate's SHA-256. Nothing is verified here.

    Raises:
        Invalid: ``key.malformed`` or ``key.unsupported``.
    """
    kid = f"x5c:{hashlib.sha256(certificate).hexdigest()}"
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid("key.malformed", "This is no certificate that can be read.", hint="Give it in DER.") from None
    if isinstance(public, rsa.RSAPublicKey) and is_sound(public):
        return VerifyKey(kid, public)
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return VerifyKey(kid, public)
    if isinstance(public, ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey):
        return VerifyKey(kid, public)
    raise Invalid("key.unsupported", "The certificate's key is of no kind that signs here.", hint=KINDS)


def is_sound(public: rsa.RSAPublicKey) -> bool:
    """Whether an RSA key is large enough, and its exponent neither small nor even."""
    exponent = public.public_numbers().e
    return LEAST_BITS <= public.key_size <= MOST_BITS and exponent >= _EXPONENT and bool(exponent & 1)
