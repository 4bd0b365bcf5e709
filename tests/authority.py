"""A CA for tests: roots, CAs under them, certificates of organisations by tax code, and revocation lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sandbox.core.keys import SigningKey

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2036, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SIGNS = {"digital_signature": True, "content_commitment": True}
RULES = {"key_cert_sign": True, "crl_sign": True}
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def usage(**given: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**dict.fromkeys(USAGES, False) | given)


def subject(name: str, tax_code: str | None = None, oid: x509.ObjectIdentifier = NameOID.USER_ID) -> x509.Name:
    """As the licensed CAs write it: name, and the tax code in the UID."""
    said = [x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    return x509.Name(said + ([] if tax_code is None else [x509.NameAttribute(oid, tax_code)]))


@dataclass(frozen=True)
class Authority:
    """One CA; its own certificate is the first of ``chain``, and the root is not in it."""

    certificate: x509.Certificate
    key: Any
    chain: tuple[bytes, ...] = ()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def under(self, title: str, **changed: Any) -> "Authority":
        """A CA that this one vouches for."""
        key = ec.generate_private_key(ec.SECP256R1())
        said, uses = changed.pop("name", subject(title)), changed.pop("uses", RULES)
        made = self._built(said, key.public_key(), usage(**uses), authority=True, **changed)
        return Authority(made, key, (made.public_bytes(Encoding.DER), *self.chain))

    def issue(
        self, key: SigningKey, tax_code: str | None, *, name: x509.Name | None = None, **changed: Any
    ) -> tuple[bytes, ...]:
        """A chain whose first certificate is the key's; without SubjectAltName, as the licensed CAs make them."""
        uses = changed.pop("uses", SIGNS)
        said = name or subject("CÔNG TY CỔ PHẦN FINTECH", tax_code and f"MST:{tax_code}")
        public = key.verify_key.public
        made = self._built(said, public, usage(**uses) if uses else None, **changed)
        return (made.public_bytes(Encoding.DER), *self.chain)

    def _built(
        self,
        name: x509.Name,
        public: Any,
        uses: x509.KeyUsage | None,
        *,
        authority: bool = False,
        since: datetime = BEGINNING,
        until: datetime = END,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> x509.Certificate:
        builder = _builder(name, self.certificate.subject, public, since, until, authority=authority)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        if uses is not None:
            builder = builder.add_extension(uses, critical=True)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def revocations(
        self,
        since: datetime,
        revoked: Mapping[bytes, datetime] | None = None,
        *,
        until: datetime | None = None,
        entry: tuple[x509.ExtensionType, ...] = (),
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> bytes:
        """A list of ``since`` for a day, in DER: certificates with the instant of their revocation."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(since).next_update(until or since + DAY)
        for certificate, when in (revoked or {}).items():
            serial = x509.load_der_x509_certificate(certificate).serial_number
            line = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
            for extension in entry:
                line = line.add_extension(extension, critical=False)
            builder = builder.add_revoked_certificate(line.build())
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def root(name: str = "National Root CA", **changed: Any) -> Authority:
    """A CA that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    said = subject(name)
    builder = _builder(said, said, key.public_key(), BEGINNING, END, authority=True)
    builder = builder.add_extension(usage(**changed.pop("uses", RULES)), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def _builder(
    name: x509.Name, issuer: x509.Name, public: Any, since: datetime, until: datetime, *, authority: bool
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
