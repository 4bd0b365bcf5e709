"""The two documents of a contract: a provider's Offer, and the Agreement of a provider and a buyer made from it.

::

    {"@context": "http://www.w3.org/ns/odrl.jsonld", "type": "Agreement", "uid": "urn:uuid:…",
     "profile": "https://exchange.example.vn/odrl/v1", "assigner": "hiep-hoi-ban-le", "assignee": "cong-ty-fintech",
     "prev": "sha256:<the Offer>", "nonce": "<32 bytes>", "timestamp": "2026-11-22T03:00:00.000000Z",
     "target": "hoa_don_dnnvv@sha256:<the dataset version>", "permission": <see odrl>, "terms": <the other clauses>}

An Offer has neither ``assignee`` nor ``prev`` nor ``nonce``; all else is equal. The digest of a document's canonical
bytes is its id.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sandbox.contracts import members, odrl
from sandbox.contracts.clauses import ASSIGNEE, Measure, Terms, read_terms
from sandbox.contracts.members import object_of, refuse
from sandbox.core.canonical import Json, canonical, digest_of
from sandbox.core.clock import text_of
from sandbox.core.errors import Invalid
from sandbox.core.keys import b64url, from_b64url
from sandbox.core.terms import DIGEST, SLUG, DatasetId, Digest, ParticipantId

__all__ = [
    "OWN_OF_AGREEMENT",
    "Draft",
    "Measure",
    "Offer",
    "Terms",
    "agreement_document",
    "offer_document",
    "read_agreement",
    "read_offer",
]

CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"
PROFILE: Final = "https://exchange.example.vn/odrl/v1"
NONCE_BYTES: Final = 32
MOST_DAYS: Final = 3_660
_OFFER: Final = frozenset(
    {"@context", "type", "uid", "profile", "assigner", "timestamp", "target", "permission", "terms"}
)
_AGREEMENT: Final = _OFFER | {"assignee", "prev", "nonce"}
OWN_OF_AGREEMENT: Final = frozenset({"type", "uid", "assignee", "prev", "nonce", "timestamp"})
"""The only members in which an agreement may differ from its offer."""
_TARGET: Final = re.compile(rf"(?P<dataset>{SLUG.pattern})@(?P<version>{DIGEST.pattern})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider offers to whoever accepts it."""

    id: Digest
    provider: ParticipantId
    dataset: DatasetId
    version: Digest
    terms: Terms
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """An agreement that reads well; whether anyone signed it is another question, see ``envelope``."""

    id: Digest
    offer: Digest
    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId
    version: Digest
    terms: Terms
    timestamp: datetime


def offer_document(
    terms: Mapping[str, Json], dataset: DatasetId, version: Digest, provider: ParticipantId, now: datetime
) -> dict[str, Json]:
    """Make an offer of one dataset version.

    Args:
        terms: the clauses as in ``contracts/terms``, with ``term_days``, ``not_after`` or both: the earlier holds.
        dataset: what is offered.
        version: which of its versions.
        provider: who offers it.
        now: when.

    Raises:
        Invalid: ``contract.invalid``.
    """
    clauses = _dated(terms, now)
    read_terms(clauses)
    document: dict[str, Json] = {
        "@context": CONTEXT,
        "type": "Offer",
        "profile": PROFILE,
        "assigner": provider,
        "timestamp": text_of(now),
        "target": f"{dataset}@{version}",
        "permission": odrl.permission(clauses),
        "terms": {name: value for name, value in clauses.items() if name not in odrl.MEMBERS},
    }
    document["uid"] = _uid(document)
    read_offer(document)
    return document


def _dated(terms: Mapping[str, Json], now: datetime) -> dict[str, Json]:
    clauses, ends = dict(terms), []
    if "term_days" in clauses:
        ends.append(now + timedelta(days=members.whole(clauses.pop("term_days"), "term_days", 1, MOST_DAYS)))
    if "not_after" in clauses:
        ends.append(members.any_instant(clauses["not_after"], "not_after"))
    if not ends:
        refuse("The terms have neither 'term_days' nor 'not_after'.")
    return clauses | {"not_after": text_of(min(ends))}


def _uid(document: Mapping[str, Json]) -> str:
    """A name for those who read ODRL, made of the other members (RFC 9562, version 8); here the digest counts."""
    rest = {name: value for name, value in document.items() if name != "uid"}
    number = bytearray(hashlib.sha256(canonical(rest)).digest()[:16])
    number[6], number[8] = 0x80 | number[6] & 0x0F, 0x80 | number[8] & 0x3F
    return UUID(bytes=bytes(number)).urn


def agreement_document(
    offer: Mapping[str, Json], offer_digest: Digest, buyer: ParticipantId, nonce: bytes, now: datetime
) -> dict[str, Json]:
    """Accept an offer unaltered. ``nonce`` is 32 random bytes, so that accepting twice makes two agreements.

    Raises:
        Invalid: ``contract.invalid``, also when the offer has ended or the buyer may not receive results under it.
    """
    if read_offer(offer).id != offer_digest:
        refuse("The offer is not the one that its digest names.")
    document = dict(offer) | {
        "type": "Agreement",
        "assignee": buyer,
        "prev": offer_digest,
        "nonce": b64url(nonce),
        "timestamp": text_of(now),
    }
    document["uid"] = _uid(document)
    read_agreement(document)
    return document


def read_offer(document: Mapping[str, Json]) -> Offer:
    """Read an Offer.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = _framed(document, "Offer", _OFFER)
    dataset, version = _target(said["target"])
    provider = ParticipantId(members.participant(said["assigner"], "assigner"))
    return Offer(digest_of(said), provider, dataset, version, _terms(said), _timestamp(said))


def read_agreement(document: Mapping[str, Json]) -> Draft:
    """Read an Agreement, signed or not.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = _framed(document, "Agreement", _AGREEMENT)
    dataset, version = _target(said["target"])
    buyer = ParticipantId(members.participant(said["assignee"], "assignee"))
    _check_nonce(said["nonce"])
    return Draft(
        id=digest_of(said),
        offer=Digest(members.digest(said["prev"], "prev")),
        provider=ParticipantId(members.participant(said["assigner"], "assigner")),
        buyer=buyer,
        dataset=dataset,
        version=version,
        terms=_received_by(buyer, _terms(said)),
        timestamp=_timestamp(said),
    )


def _framed(document: Mapping[str, Json], kind: str, names: frozenset[str]) -> dict[str, Json]:
    said = object_of(dict(document), f"The {kind}", names)
    for member, constant in (("@context", CONTEXT), ("type", kind), ("profile", PROFILE)):
        members.choice([constant])(said[member], member)
    members.uuid(said["uid"], "uid")
    return said


def _target(value: Json) -> tuple[DatasetId, Digest]:
    found = _TARGET.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        members.expect("target", value, "a dataset version, such as chi_so_cds@sha256:…")
    return DatasetId(found["dataset"]), Digest(found["version"])


def _timestamp(said: dict[str, Json]) -> datetime:
    return members.instant(said["timestamp"], "timestamp")


def _terms(said: dict[str, Json]) -> Terms:
    permitted = odrl.read_permission(said["permission"])
    clauses = said["terms"]
    if not isinstance(clauses, dict) or permitted.keys() & clauses.keys():
        refuse("terms is not an object of the clauses that the permission leaves open.")
    terms = read_terms(clauses | permitted)
    if _timestamp(said) >= terms.not_after:
        refuse("The term ends before it begins: not_after is not later than timestamp.")
    return terms


def _check_nonce(value: Json) -> None:
    try:
        nonce = from_b64url(value) if isinstance(value, str) else b""
    except Invalid:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        members.expect("nonce", value, f"{NONCE_BYTES} bytes in base64url")


def _received_by(buyer: ParticipantId, terms: Terms) -> Terms:
    receivers = tuple(buyer if each == ASSIGNEE else each for each in terms.receivers)
    if buyer not in receivers:
        refuse("The buyer is not among allowed_result_receivers.")
    return replace(terms, receivers=tuple(dict.fromkeys(receivers)))
