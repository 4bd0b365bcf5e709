"""A certificate authority for the demo: what a licensed one would issue, valid for days and trusted by this demo only.

Its leaf has no SubjectAltName, as certificates for signing often have none; the tax code in UID names the holder.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_DAYS: Final = timedelta(days=30)
_NOTHING: Final = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True, slots=True)
class Authority:
    """A root that certifies signing keys and says which it has revoked (none)."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, now: datetime) -> "Authority":
        """A root with a fresh key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA thử nghiệm (demo)")])
        usage = x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **_NOTHING)
        certificate = (
            _dated(name, name, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def certify(self, public: object, name: str, tax_code: str, now: datetime) -> tuple[bytes, ...]:
        """The chain (DER, leaf first) of a signing key, without the root that everyone has."""
        holder = [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.USER_ID, f"MST:{tax_code}"),
        ]
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **_NOTHING)
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        leaf = (
            _dated(self.certificate.subject, x509.Name(holder), public, now)
            .add_extension(usage, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return (leaf.public_bytes(Encoding.DER),)

    def revoked(self, now: datetime) -> bytes:
        """The list (PEM) of what it has revoked: nothing."""
        made = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        made = made.last_update(now - timedelta(hours=1)).next_update(now + _DAYS)
        return made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _dated(issuer: x509.Name, holder: x509.Name, public: object, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(holder)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _DAYS)
    )
