"""How the documents of a contract are made: offers, requests that answer them, agreements; see ``reading``."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sandbox.contracts import members, odrl
from sandbox.contracts.clauses import MEMBERS, Measure, Terms, read_terms
from sandbox.contracts.members import refuse
from sandbox.contracts.reading import (
    CONTEXT,
    PROFILE,
    Draft,
    Offer,
    Request,
    clauses_of,
    read_agreement,
    read_offer,
    read_request,
)
from sandbox.contracts.statement import Statement
from sandbox.core.canonical import Json, canonical
from sandbox.core.clock import text_of
from sandbox.core.keys import b64url
from sandbox.core.terms import DatasetId, Digest, ParticipantId

__all__ = [
    "OWN_OF_AGREEMENT",
    "Draft",
    "Measure",
    "Offer",
    "Request",
    "Statement",
    "Terms",
    "agreement_document",
    "clauses_of",
    "counter_document",
    "dated",
    "offer_document",
    "read_agreement",
    "read_offer",
    "read_request",
    "request_document",
]

MOST_DAYS: Final = 3_660
OWN_OF_AGREEMENT: Final = frozenset({"type", "uid", "assignee", "prev", "nonce", "timestamp"})
"""The only members in which an agreement may differ from its offer or request; the buyer of one that names its buyer
stays."""


def offer_document(
    terms: Mapping[str, Json],
    dataset: DatasetId,
    version: Digest,
    provider: ParticipantId,
    now: datetime,
    statement: Mapping[str, Json],
    *,
    buyer: ParticipantId | None = None,
    prev: Digest | None = None,
) -> dict[str, Json]:
    """Make an offer of one dataset version.

    Args:
        terms: the clauses as in ``contracts/terms``, with ``term_days``, ``not_after`` or both: the earlier holds.
        dataset: what is offered.
        version: which of its versions.
        provider: who offers it.
        now: when.
        statement: what the provider states of the data, see ``drafting.statement_of``.
        buyer: the one participant who may accept it; without, anybody.
        prev: the buyer's request that it answers.

    Raises:
        Invalid: ``contract.invalid``.
    """
    clauses = dated(terms, now)
    read_terms(clauses)
    document: dict[str, Json] = {
        "@context": CONTEXT,
        "type": "Offer",
        "profile": PROFILE,
        "assigner": provider,
        "timestamp": text_of(now),
        "target": f"{dataset}@{version}",
        "statement": dict(statement),
        **_said(clauses),
        **{name: value for name, value in (("assignee", buyer), ("prev", prev)) if value is not None},
    }
    document["uid"] = _uid(document)
    read_offer(document)
    return document


def request_document(
    offer: Mapping[str, Json], offer_digest: Digest, changed: Mapping[str, Json], buyer: ParticipantId, now: datetime
) -> dict[str, Json]:
    """Ask for other terms than an offer's.

    Args:
        offer: the offer's document.
        offer_digest: its digest.
        changed: the clauses that should be others, named as in ``contracts/terms``; none asks for the offer as it is.
        buyer: who asks.
        now: when.

    Raises:
        Invalid: ``contract.invalid``, also when the offer is to another buyer.
    """
    if read_offer(offer).id != offer_digest:
        refuse("The offer is not the one that its digest names.")
    document = _answer(offer, changed, now) | {"type": "Request", "assignee": _accepting(offer, buyer)}
    document["prev"] = offer_digest
    document["uid"] = _uid(document)
    read_request(document)
    return document


def counter_document(
    request: Mapping[str, Json], request_digest: Digest, changed: Mapping[str, Json], now: datetime
) -> dict[str, Json]:
    """Answer a buyer's request by an offer to that buyer alone; ``changed`` as in :func:`request_document`.

    Raises:
        Invalid: ``contract.invalid``.
    """
    if read_request(request).id != request_digest:
        refuse("The request is not the one that its digest names.")
    document = _answer(request, changed, now) | {"type": "Offer", "prev": request_digest}
    document["uid"] = _uid(document)
    read_offer(document)
    return document


def _answer(document: Mapping[str, Json], changed: Mapping[str, Json], now: datetime) -> dict[str, Json]:
    clauses = clauses_of(document)
    if "term_days" in changed:  # a new term counts from now, not from the end that the other side wrote
        del clauses["not_after"]
    for member in changed.keys() - MEMBERS - {"term_days"}:
        refuse(f"The changes have a member {member[:60]!r}, which contracts do not know.")
    clauses = dated({**clauses, **changed}, now)
    return dict(document) | {"timestamp": text_of(now)} | _said(clauses)


def _said(clauses: Mapping[str, Json]) -> dict[str, Json]:
    rest: dict[str, Json] = {name: value for name, value in clauses.items() if name not in odrl.MEMBERS}
    return {"permission": odrl.permission(clauses), "terms": rest}


def _accepting(document: Mapping[str, Json], buyer: ParticipantId) -> ParticipantId:
    if document.get("assignee", buyer) != buyer:
        refuse("The document is to another buyer.")
    return buyer


def dated(terms: Mapping[str, Json], now: datetime) -> dict[str, Json]:
    """Terms as in ``contracts/terms`` with their end: the earlier of ``term_days`` from now and ``not_after``.

    Raises:
        Invalid: ``contract.invalid``.
    """
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
    """Accept an offer unaltered, or a buyer's request. ``nonce`` is 32 random bytes: accepting twice makes two.

    Raises:
        Invalid: ``contract.invalid``, also when the term has ended, when the document is to another buyer, or when the
            buyer may not receive results under it.
    """
    read = read_request if offer.get("type") == "Request" else read_offer
    if read(offer).id != offer_digest:
        refuse("The offer is not the one that its digest names.")
    document = dict(offer) | {
        "type": "Agreement",
        "assignee": _accepting(offer, buyer),
        "prev": offer_digest,
        "nonce": b64url(nonce),
        "timestamp": text_of(now),
    }
    document["uid"] = _uid(document)
    read_agreement(document)
    return document
