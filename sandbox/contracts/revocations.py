"""Revocation lists (CRLs, RFC 5280): kept as evidence beside what was signed, and verified again each time.

A list says which certificates of one CA are revoked, since when, and how long it speaks for. Deltas, lists by another
than the CA itself and lists of a part of its certificates are refused: "not listed" must mean "not revoked".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate, CertificateRevocationList
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import participants
from sandbox.core.canonical import digest
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid
from sandbox.core.guards import guarded
from sandbox.core.terms import Digest

DER: Final = Encoding.DER
MOST_BYTES: Final = 32 * 1024 * 1024
_PEM: Final = b"-----BEGIN "
_HINT: Final = "Fetch the CA's complete list anew, and put the certificates of the CAs above it into the trust file."
_SOUND_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_ODD: Final = (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError)
_UNKEYABLE: Final = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)

_list = guarded(sa.Table(
    "revocation_list", metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("issuer", sa.Text, nullable=False),  # digest of the CA's name and key
    sa.Column("this_update", Instant, nullable=False),
    sa.Column("next_update", Instant, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("stored_at", Instant, nullable=False),
    sa.Index("revocation_list_newest", "issuer", "this_update"),
))  # fmt: skip

# built once: an agreement under certificates is looked at in every query
_STANDING: Final = sa.select(sa.func.count(), sa.func.max(_list.c.stored_at)).select_from(_list)
_NEWEST: Final = (
    sa.select(_list)
    .where(_list.c.issuer == sa.bindparam("issuer"), _list.c.this_update <= sa.bindparam("until", type_=Instant))
    .order_by(_list.c.this_update.desc(), _list.c.digest)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Status:
    """What the stored lists say of one certificate at one instant."""

    lists: tuple[Digest, ...]
    covered: bool
    revoked: bool


def read_list(content: bytes, at: datetime) -> CertificateRevocationList:
    """Read a revocation list in PEM or DER: a CA's complete list, made by ``at``, that says when the next one comes.

    Raises:
        Invalid: ``crl.malformed`` or ``crl.unsupported``.
    """
    load = x509.load_pem_x509_crl if is_pem(content) else x509.load_der_x509_crl
    try:
        found = load(content) if len(content) <= MOST_BYTES else None
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if found is None:
        raise Invalid("crl.malformed", "This is no revocation list in PEM or DER, or a far too long one.", hint=_HINT)
    if not _is_complete(found) or found.last_update_utc > at:
        raise Invalid(
            "crl.unsupported",
            "The list is of the future, says no time of the next one, or is not its CA's complete list.",
            hint=_HINT,
        )
    return found


def is_pem(content: bytes) -> bool:
    """Whether this is PEM, which may hold words, and certificates, beside a list."""
    return _PEM in content


def _is_complete(found: CertificateRevocationList) -> bool:
    # deltas, lists of a part and lists by another than the CA all say so in a critical extension
    return found.next_update_utc is not None and not any(extension.critical for extension in found.extensions)


def put_list(
    tx: Transaction, found: CertificateRevocationList, authorities: Iterable[Certificate], at: datetime
) -> Digest:
    """Keep a list that one of these CAs signed, as evidence. Keeping it twice changes nothing.

    Raises:
        Invalid: ``crl.untrusted``.
    """
    issuer = next((each for each in authorities if _signed_list(found, each)), None)
    if issuer is None:
        raise Invalid("crl.untrusted", "No CA that is trusted here signed this list.", hint=_HINT)
    der = found.public_bytes(DER)
    row = {
        "digest": digest(der),
        "issuer": _name_of(issuer),
        "this_update": found.last_update_utc,
        "next_update": found.next_update_utc,
        "content": der,
        "stored_at": at,
    }
    if tx.connection.scalar(sa.select(_list.c.digest).where(_list.c.digest == row["digest"])) is None:
        participants.insert_new(tx, _list, row, Conflict("crl.stored", "This list is being stored.", hint="Try again."))
    return digest(der)


def status(connection: Connection, certificate: Certificate, issuer: Certificate, at: datetime) -> Status:
    """Whether ``certificate`` was revoked at ``at``, by the list that spoke for that time and the newest since.

    A revocation that became known later, with effect from an earlier time, stands in every list until the certificate
    expires; so two lists say all, however many are stored.
    """
    lists = list(_relevant(connection, issuer, (at, certificate.not_valid_after_utc)))
    covering = [found for found in lists if found.last_update_utc <= at < (found.next_update_utc or at)]
    return Status(
        lists=tuple(dict.fromkeys(digest(found.public_bytes(DER)) for found in lists)),
        covered=bool(covering),
        revoked=any(_revokes(found, certificate, at, current=found in covering) for found in lists),
    )


def _relevant(
    connection: Connection, issuer: Certificate, instants: tuple[datetime, ...]
) -> Iterator[CertificateRevocationList]:
    for instant in instants:
        row = connection.execute(_NEWEST, {"issuer": _name_of(issuer), "until": instant}).one_or_none()
        found = None if row is None else _opened(row)
        # whoever writes to the database can hide a list, but cannot make one
        if found is not None and _is_complete(found) and _signed_list(found, issuer):
            yield found


def _opened(row: Row[tuple[object, ...]]) -> CertificateRevocationList | None:
    try:
        return x509.load_der_x509_crl(row.content)
    except ValueError:
        return None


def _revokes(found: CertificateRevocationList, certificate: Certificate, at: datetime, *, current: bool) -> bool:
    entry = found.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return False
    reason, since = None, entry.revocation_date_utc
    for extension in entry.extensions:
        match extension.value:
            case x509.CRLReason() as said:
                reason = said.reason
            case x509.InvalidityDate() as said:
                since = min(since, said.invalidity_date_utc)
    if reason == x509.ReasonFlags.certificate_hold and not current:  # a hold may have been lifted since
        return False
    return since <= at


def standing(connection: Connection) -> tuple[object, ...]:
    """Differs whenever a list was stored."""
    return tuple(connection.execute(_STANDING).one())


# --- certificates of CAs ---
def _name_of(authority: Certificate) -> str:
    key = authority.public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo)
    return digest(authority.subject.public_bytes() + key)


def _signed_list(found: CertificateRevocationList, authority: Certificate) -> bool:
    if found.issuer != authority.subject or not isinstance(found.signature_hash_algorithm, _SOUND_HASHES):
        return False
    try:
        return _may_sign_lists(authority) and found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except _UNKEYABLE:
        return False


def is_authority(certificate: Certificate) -> bool:
    """Whether a certificate is a CA's, which may sign certificates."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        return constraints.ca and _usage(certificate).key_cert_sign
    except _ODD:
        return False


def _may_sign_lists(certificate: Certificate) -> bool:
    try:
        return _usage(certificate).crl_sign
    except _ODD:
        return False


def _usage(certificate: Certificate) -> x509.KeyUsage:
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


def signed_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether ``issuer`` signed ``certificate``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except _UNKEYABLE:
        return False
    return True
