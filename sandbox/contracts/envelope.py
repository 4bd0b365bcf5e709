"""Signed offers, requests and agreements: made by their parties, opened by whoever relies on them.

::

    {"contract": <the Agreement>, "signatures": [<provider>, <buyer>, <exchange>]}
    {"offer": <the Offer>, "signatures": [<provider>]}
    {"request": <the Request>, "signatures": [<buyer>]}

A signature tells that one key's holder signed these bytes. *Whose* signatures a contract needs is the rule here: JWS
libraries are content with those present, so a contract stripped of its buyer's would pass them.
"""

from datetime import datetime
from typing import Final, Protocol

from sandbox.contracts.agreement import VERIFIED, Agreement, PartySignature
from sandbox.contracts.members import refuse as refuse_contract
from sandbox.contracts.terms import (
    Offer,
    Request,
    agreement_document,
    read_agreement,
    read_offer,
    read_request,
)
from sandbox.core import signing
from sandbox.core.canonical import Json, parse
from sandbox.core.keys import SigningKey
from sandbox.core.signing import Chain, Signed, envelope, open_signed, refuse, sign, unverified
from sandbox.core.terms import Digest, ParticipantId

CONTRACT: Final = "contract"
CONTRACT_TYPE: Final = "contract+jws"
OFFER: Final = "offer"
OFFER_TYPE: Final = "offer+jws"
REQUEST: Final = "request"
REQUEST_TYPE: Final = "request+jws"
MOST_BYTES: Final = 65_536


class Signers(signing.Signers, Protocol):
    """Whose signatures count, and who they are; the exchange's are :class:`sandbox.contracts.keyring.Signers`."""

    def owner_of(self, kid: str) -> ParticipantId | None: ...

    def ca_licensed(self, kid: str) -> bool: ...


def sign_offer(document: dict[str, Json], key: SigningKey, chain: Chain = ()) -> bytes:
    """Sign an offer, as its provider; with ``chain`` under the key's CA certificates.

    Raises:
        Invalid: ``contract.invalid``; nobody signs what does not read well.
    """
    read_offer(document)
    return envelope(OFFER, document, [sign(document, key, OFFER_TYPE, chain)])


def sign_request(document: dict[str, Json], key: SigningKey, chain: Chain = ()) -> bytes:
    """Sign a request, as the buyer who makes it.

    Raises:
        Invalid: ``contract.invalid``.
    """
    read_request(document)
    return envelope(REQUEST, document, [sign(document, key, REQUEST_TYPE, chain)])


def accept_offer(text: bytes, key: SigningKey, nonce: bytes, now: datetime, chain: Chain = ()) -> bytes:
    """Sign what one was handed: a buyer makes an agreement of an offer, a provider one of a buyer's request.

    What is an agreement already is countersigned. The buyer of an offer is the owner that the key's id begins with.
    The signatures already there are not judged here, where the signer has no register of keys; the exchange judges
    them all.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    found = parse(_bounded(text))
    if OFFER in found:
        document, _ = unverified(text, OFFER)
        prev, buyer = read_offer(document).id, ParticipantId(key.kid.partition("/")[0])
    elif REQUEST in found:
        document, _ = unverified(text, REQUEST)
        prev, buyer = _requested(document, key)
    else:
        return add_signature(text, key, chain)
    agreement = agreement_document(document, prev, buyer, nonce, now)
    return envelope(CONTRACT, agreement, [sign(agreement, key, CONTRACT_TYPE, chain)])


def _requested(document: dict[str, Json], key: SigningKey) -> tuple[Digest, ParticipantId]:
    request = read_request(document)
    if key.kid.partition("/")[0] == request.buyer:  # signed by both it would look as if the provider had agreed
        refuse_contract("A request is accepted by its provider, not by the buyer who makes it.")
    return request.id, request.buyer


def add_signature(text: bytes, key: SigningKey, chain: Chain = ()) -> bytes:
    """Sign an agreement beside the signatures that it has.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    document, signatures = unverified(_bounded(text), CONTRACT)
    read_agreement(document)
    return envelope(CONTRACT, document, [*signatures, sign(document, key, CONTRACT_TYPE, chain)])


def open_offer(text: bytes, signers: Signers) -> Offer:
    """Verify a signed offer, to anybody or to one buyer.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    # (1) Every signature present is good, of a known key, and was made for an offer.
    signed = open_signed(_bounded(text), OFFER, OFFER_TYPE, signers)
    # (2) The document says one thing only.
    offer = read_offer(signed.document)
    # (3) It is signed by its provider, once.
    _require_signers(signed, signers, offer.provider, "An offer is signed by its provider, and by nobody else.")
    return offer


def open_request(text: bytes, signers: Signers) -> Request:
    """Verify a signed request, as :func:`open_offer` an offer: it is its buyer's alone.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    signed = open_signed(_bounded(text), REQUEST, REQUEST_TYPE, signers)
    request = read_request(signed.document)
    _require_signers(signed, signers, request.buyer, "A request is signed by its buyer, and by nobody else.")
    return request


def _require_signers(signed: Signed, signers: Signers, party: ParticipantId, why: str) -> None:
    if [signers.owner_of(kid) for kid in signed.kids] != [party]:
        refuse(why)


def open_agreement(text: bytes, signers: Signers, exchange_id: ParticipantId) -> Agreement:
    """Verify a signed agreement; the only way to hold one.

    That it equals the offer in its ``prev`` is verified where the offers are, see ``registry.put_agreement``.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    # (1) Every signature present is good, of a known key, and was made for a contract: one bad refuses the whole.
    signed = open_signed(_bounded(text), CONTRACT, CONTRACT_TYPE, signers)
    # (2) The document says one thing only.
    draft = read_agreement(signed.document)
    # (3) The parties are three, and each signed once: nobody is both sides, nobody is missing, nobody is added.
    parties = (draft.provider, draft.buyer, exchange_id)
    if len({*parties}) != 3:  # noqa: PLR2004  # provider, buyer, exchange
        refuse("Provider, buyer and exchange are three different participants.")
    by_party = {each.participant: each for each in _signatures(signed, signers)}
    if len(signed.kids) != len(parties) or by_party.keys() != {*parties}:
        refuse("An agreement is signed by its provider, its buyer and the exchange, once each.")
    # (4) Only now it is an agreement.
    return Agreement(
        id=draft.id,
        offer=draft.offer,
        provider=draft.provider,
        buyer=draft.buyer,
        dataset=draft.dataset,
        version=draft.version,
        terms=draft.terms,
        not_before=draft.timestamp,
        not_after=draft.terms.not_after,
        signatures=tuple(by_party[party] for party in parties),
        proof=VERIFIED,
    )


def _signatures(signed: Signed, signers: Signers) -> tuple[PartySignature, ...]:
    """Whose each signature is; one of nobody is left out, so the caller counts."""
    return tuple(
        PartySignature(owner, kid, alg, signers.ca_licensed(kid))
        for kid, alg in zip(signed.kids, signed.algs, strict=True)
        if (owner := signers.owner_of(kid)) is not None
    )


def _bounded(text: bytes) -> bytes:
    if len(text) > MOST_BYTES:
        refuse_contract(f"The contract has {len(text)} bytes, expected at most {MOST_BYTES}.")
    return text
