"""The documents of a contract: a provider's Offer, a buyer's Request, and the Agreement of both made from either.

::

    {"@context": "http://www.w3.org/ns/odrl.jsonld", "type": "Agreement", "uid": "urn:uuid:…",
     "profile": "https://exchange.example.vn/odrl/v1", "assigner": "hiep-hoi-ban-le", "assignee": "cong-ty-fintech",
     "prev": "sha256:<the Offer or Request>", "nonce": "<32 bytes>", "timestamp": "2026-11-22T03:00:00.000000Z",
     "target": "hoa_don_dnnvv@sha256:<the dataset version>", "statement": <see statement>,
     "permission": <see odrl>, "terms": <the other clauses>}

A public Offer has neither ``assignee`` nor ``prev``; one to a single buyer has an ``assignee``, and a ``prev`` when it
answers a Request. A Request has both: its buyer, and the Offer that it would change. Only an Agreement has a ``nonce``.
The digest of a document's canonical bytes is its id.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sandbox.contracts import members, odrl
from sandbox.contracts.clauses import ASSIGNEE, Terms, read_terms
from sandbox.contracts.members import object_of, refuse
from sandbox.contracts.statement import Statement, check_covers, read_statement
from sandbox.core.canonical import Json, digest_of
from sandbox.core.terms import DIGEST, SLUG, DatasetId, Digest, ParticipantId

CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"
PROFILE: Final = "https://exchange.example.vn/odrl/v1"
OFFER: Final = frozenset(
    {"@context", "type", "uid", "profile", "assigner", "timestamp", "target", "statement", "permission", "terms"}
)
ANSWER: Final = frozenset({"assignee", "prev"})
"""What an Offer may have, and a Request has, beside those."""
AGREEMENT: Final = OFFER | ANSWER | {"nonce"}
_TARGET: Final = re.compile(rf"(?P<dataset>{SLUG.pattern})@(?P<version>{DIGEST.pattern})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider offers to whoever accepts it, or to one ``buyer``; ``prev`` is the request that it answers."""

    id: Digest
    provider: ParticipantId
    dataset: DatasetId
    version: Digest
    terms: Terms
    timestamp: datetime
    statement: Statement
    buyer: ParticipantId | None = None
    prev: Digest | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a buyer would rather sign than the offer ``prev``."""

    id: Digest
    prev: Digest
    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId
    version: Digest
    terms: Terms
    timestamp: datetime
    statement: Statement


@dataclass(frozen=True, slots=True)
class Draft:
    """An agreement that reads well; whether anyone signed it is another question, see ``envelope``.

    ``offer`` is the document that it was made of, be it an Offer or a Request.
    """

    id: Digest
    offer: Digest
    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId
    version: Digest
    terms: Terms
    timestamp: datetime
    statement: Statement


def clauses_of(document: Mapping[str, Json]) -> dict[str, Json]:
    """The clauses of an offer, request or agreement, named as in ``contracts/terms``.

    Raises:
        Invalid: ``contract.invalid``.
    """
    permitted = odrl.read_permission(document.get("permission"))
    clauses = document.get("terms")
    if not isinstance(clauses, dict) or permitted.keys() & clauses.keys():
        refuse("terms is not an object of the clauses that the permission leaves open.")
    return clauses | permitted


def read_offer(document: Mapping[str, Json]) -> Offer:
    """Read an Offer, to anybody or to one buyer.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = _framed(document, "Offer", OFFER, ANSWER)
    if "assignee" not in said and "prev" in said:
        refuse("An offer that answers a request in prev is to that request's buyer, and names it as assignee.")
    facts = _facts(said)
    if "assignee" in said:
        buyer = _other(said)
        facts |= {"buyer": buyer, "terms": _received_by(buyer, facts["terms"])}
    prev = Digest(members.digest(said["prev"], "prev")) if "prev" in said else None
    return Offer(**facts, prev=prev)


def read_request(document: Mapping[str, Json]) -> Request:
    """Read a Request.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = _framed(document, "Request", OFFER | ANSWER)
    facts, buyer = _facts(said), _other(said)
    facts["terms"] = _received_by(buyer, facts["terms"])
    return Request(**facts, buyer=buyer, prev=Digest(members.digest(said["prev"], "prev")))


def read_agreement(document: Mapping[str, Json]) -> Draft:
    """Read an Agreement, signed or not.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = _framed(document, "Agreement", AGREEMENT)
    members.check_nonce(said["nonce"])
    facts, buyer = _facts(said), _buyer(said)
    facts["terms"] = _received_by(buyer, facts["terms"])
    return Draft(**facts, buyer=buyer, offer=Digest(members.digest(said["prev"], "prev")))


def _facts(said: dict[str, Json]) -> dict[str, Any]:
    dataset, version = _target(said["target"])
    terms, statement = _terms(said), read_statement(said["statement"])
    check_covers(statement, terms)
    return {
        "id": digest_of(said),
        "provider": ParticipantId(members.participant(said["assigner"], "assigner")),
        "dataset": dataset,
        "version": version,
        "terms": terms,
        "statement": statement,
        "timestamp": _timestamp(said),
    }


def _buyer(said: dict[str, Json]) -> ParticipantId:
    return ParticipantId(members.participant(said["assignee"], "assignee"))


def _other(said: dict[str, Json]) -> ParticipantId:
    """The buyer of a document that one party signs alone; an agreement's parties are counted with its signatures."""
    buyer = _buyer(said)
    if buyer == said["assigner"]:
        refuse("Provider and buyer are one participant, expected two.")
    return buyer


def _framed(
    document: Mapping[str, Json], kind: str, names: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, Json]:
    said = object_of(dict(document), f"The {kind}", names | (optional & document.keys()))
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
    terms = read_terms(clauses_of(said))
    if _timestamp(said) >= terms.not_after:
        refuse("The term ends before it begins: not_after is not later than timestamp.")
    return terms


def _received_by(buyer: ParticipantId, terms: Terms) -> Terms:
    receivers = tuple(buyer if each == ASSIGNEE else each for each in terms.receivers)
    if buyer not in receivers:
        refuse("The buyer is not among allowed_result_receivers.")
    return replace(terms, receivers=tuple(dict.fromkeys(receivers)))
