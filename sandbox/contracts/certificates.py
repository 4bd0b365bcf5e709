"""Certificates that sign: chains to the CA roots that the exchange trusts, at the time of signing, not revoked then.

The certificates of the country's licensed CAs name an organisation by its tax code (``MST:…`` in the subject's UID) and
often lack the SubjectAltName that TLS asks for, so the rules here are those of signing. OCSP is not asked: a revocation
list can be kept beside what was signed, and looked at again by whoever verifies it years later.
"""

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from sqlalchemy.engine import Connection

from sandbox.contracts import participants, revocations
from sandbox.core.canonical import digest
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, NotFound
from sandbox.core.keys import VerifyKey, certified_key
from sandbox.core.signing import MAX_CERTIFICATES, Chain, refuse
from sandbox.core.terms import Digest

PREFIX: Final = "x5c:"
"""How the id of a certificate's key begins; no registered key's does."""

_TAX_CODE: Final = re.compile(r"(?:MST:|VATVN-)(?P<code>[0-9A-Z-]+)", re.ASCII)
_MOST_REMEMBERED: Final = 4096
_LOCK: Final = threading.Lock()
_TAX_CODES: Final[dict[str, str]] = {}
"""The tax code of each certificate that was verified, by its key's id: the id is its SHA-256, so neither changes."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The roots that may vouch for signers, and the CAs under them that came in the same file."""

    roots: tuple[Certificate, ...]
    issuers: tuple[Certificate, ...] = ()
    digest: Digest = field(init=False)
    """Names this set of certificates; another one may end a verification otherwise."""

    def __post_init__(self) -> None:
        parts = sorted(each.public_bytes(revocations.DER) for each in (*self.roots, *self.issuers))
        object.__setattr__(self, "digest", digest(b"".join(parts)))

    @classmethod
    def load(cls, path: Path) -> "Trust":
        """Read a PEM file of CA certificates: those that signed themselves are the roots.

        Raises:
            NotFound: ``trust.missing``.
            Invalid: ``trust.malformed`` when it holds no root, or a certificate that is no CA's.
        """
        try:
            content = path.read_bytes()
            found = x509.load_pem_x509_certificates(content)
        except OSError:
            raise NotFound("trust.missing", f"No trust file {path.name} that can be read.", hint=_TRUST) from None
        except (ValueError, UnsupportedAlgorithm):
            raise Invalid("trust.malformed", "The trust file is not certificates in PEM.", hint=_TRUST) from None
        roots = tuple(each for each in found if revocations.signed_by(each, each))
        if not roots or len(found) != content.count(_PEM) or not all(map(revocations.is_authority, found)):
            raise Invalid("trust.malformed", "The trust file has no root, or something that is no CA.", hint=_TRUST)
        return cls(roots, tuple(each for each in found if each not in roots))


_PEM: Final = b"-----BEGIN CERTIFICATE-----"  # the library passes over a block that was cut off
_TRUST: Final = "Set SANDBOX_TRUST_STORE to a PEM file of the CA roots that you trust."


def read_chain(content: bytes) -> Chain:
    """A signer's certificates from PEM, its own first, as they are put into a signature.

    Raises:
        Invalid: ``certificates.malformed``.
    """
    found = _certificates_in(content)
    if not 1 <= len(found) <= MAX_CERTIFICATES or len(found) != content.count(_PEM):
        raise Invalid(
            "certificates.malformed",
            f"There are {len(found)} certificates in PEM that can be read, expected 1 to {MAX_CERTIFICATES}.",
            hint="Put your own first, then the CA's that issued it, and so on; leave out the root.",
        )
    return tuple(each.public_bytes(revocations.DER) for each in found)


@dataclass(frozen=True, slots=True)
class Certified:
    """A signer's certificate that chains to a root. ``why_not`` says why its signature does not count all the same."""

    key: VerifyKey
    tax_code: str
    lists: tuple[Digest, ...]
    revoked: bool
    why_not: str = ""
    hint: str = ""


def certified(connection: Connection, chain: Chain, trust: Trust, at: datetime) -> Certified:
    """Verify a chain of certificates as of ``at``, the time of signing.

    Raises:
        Invalid: ``signature.invalid`` when it does not lead to a root, or its first certificate may not sign.
    """
    # (1) It leads to a root, every certificate was valid then, and the first may sign.
    path = verified_path(chain, trust, at)
    # (2) Its key is of a kind that signs here.
    try:
        key = certified_key(chain[0])
    except Invalid as refusal:
        refuse(refusal.message)
    # (3) It names one organisation by its tax code.
    tax_code = _tax_code(path[0])
    _remember(key.kid, tax_code)
    # (4) Of every certificate below the root its issuer's list says that it was not revoked then.
    found = [revocations.status(connection, each, issuer, at) for each, issuer in pairwise(path)]
    lists = tuple(name for each in found for name in each.lists)
    if any(each.revoked for each in found):
        return Certified(key, tax_code, lists, True, "The signer's certificate was revoked.", "Sign with a valid one.")
    if not all(each.covered for each in found):
        return Certified(key, tax_code, lists, False, *_UNCOVERED)
    return Certified(key, tax_code, lists, revoked=False)


_UNCOVERED: Final = (
    "No revocation list of the certificate's CA, or of one above it, covers the time of signing.",
    "Let the operator fetch the CA's list and keep it: sandbox keys crl FILE",
)


def verified_path(chain: Chain, trust: Trust, at: datetime) -> list[Certificate]:
    """The way from a chain's first certificate to a root, both included.

    Raises:
        Invalid: ``signature.invalid``.
    """
    try:
        leaf, *others = [x509.load_der_x509_certificate(each) for each in chain]
    except (ValueError, UnsupportedAlgorithm):
        refuse("A certificate cannot be read.")
    path = _path(leaf, [*others, *trust.issuers], trust, at, _SIGNER)
    if path is None:
        refuse("A certificate does not lead to a trusted root, was not valid at the time of signing, or may not sign.")
    return path


def _path(
    first: Certificate, others: list[Certificate], trust: Trust, at: datetime, policy: ExtensionPolicy
) -> list[Certificate] | None:
    verifier = (
        PolicyBuilder()
        .store(Store([*trust.roots]))
        .time(at)
        .max_chain_depth(MAX_CERTIFICATES)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=policy)
        .build_client_verifier()
    )
    try:
        path = list(verifier.verify(first, others).chain)
    except (VerificationError, ValueError, UnsupportedAlgorithm):
        return None
    return path if len(path) > 1 else None  # a root does not sign, and no list speaks of it


def _may_sign(policy: Policy, certificate: Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError


def _is_no_authority(policy: Policy, certificate: Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is not None and constraints.ca:  # a CA signs certificates, and no contracts
        raise ValueError


_SIGNER: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_no_authority)
)


def _tax_code(certificate: Certificate) -> str:
    said = [
        str(attribute.value)
        for oid in (NameOID.USER_ID, NameOID.ORGANIZATION_IDENTIFIER)
        for attribute in certificate.subject.get_attributes_for_oid(oid)
    ]
    codes = {found["code"] for each in said if (found := _TAX_CODE.fullmatch(each))}
    if len(codes) != 1:  # two would let one certificate sign for two participants
        refuse("A certificate does not name one organisation by its tax code (MST:… in the subject's UID).")
    return codes.pop()


def _remember(kid: str, tax_code: str) -> None:
    with _LOCK:
        if len(_TAX_CODES) >= _MOST_REMEMBERED:
            _TAX_CODES.clear()
        _TAX_CODES[kid] = tax_code


def standing(connection: Connection, kids: Iterable[str], trust: Trust | None) -> tuple[object, ...]:
    """Differs whenever one of these certificates might be judged otherwise than before at the same instant."""
    codes = [_TAX_CODES.get(kid) for kid in kids]
    owners = tuple(code and participants.by_tax_code(connection, code) for code in codes)
    if trust is None or None in codes:
        return (object(),)  # equals nothing: it is verified again
    return (trust.digest, owners, revocations.standing(connection))


def put_crl(tx: Transaction, content: bytes, trust: Trust, at: datetime) -> Digest:
    """Keep a revocation list that a root, or a CA under one, signed; PEM may bring that CA's certificates along.

    Raises:
        Invalid: ``crl.malformed``, ``crl.unsupported`` or ``crl.untrusted``.
    """
    found = revocations.read_list(content, at)
    beside = [*trust.issuers, *_certificates_in(content)]
    led = [each for each in beside if _leads_to_root(each, beside, trust, found.last_update_utc)]
    return revocations.put_list(tx, found, [*trust.roots, *led], at)


def _leads_to_root(authority: Certificate, others: list[Certificate], trust: Trust, at: datetime) -> bool:
    if not revocations.is_authority(authority):
        return False
    return _path(authority, others, trust, at, ExtensionPolicy.permit_all()) is not None


def _certificates_in(content: bytes) -> list[Certificate]:
    try:
        return x509.load_pem_x509_certificates(content) if revocations.is_pem(content) else []
    except (ValueError, UnsupportedAlgorithm):
        return []
