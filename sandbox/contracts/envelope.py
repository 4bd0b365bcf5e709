"""Signed offers and agreements: made by their parties, opened by whoever relies on them.

::

    {"contract": <the Agreement>, "signatures": [<provider>, <buyer>, <exchange>]}
    {"offer": <the Offer>, "signatures": [<provider>]}

A signature tells that one key's holder signed these bytes. *Whose* signatures a contract needs is the rule here: JWS
libraries are content with those present, so a contract stripped of its buyer's would pass them.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias

from sandbox.contracts.agreement import VERIFIED, Agreement
from sandbox.contracts.members import refuse as refuse_contract
from sandbox.contracts.terms import Offer, agreement_document, read_agreement, read_offer
from sandbox.core.canonical import Json, parse
from sandbox.core.keys import SigningKey, VerifyKey
from sandbox.core.signing import envelope, open_signed, refuse, sign, unverified
from sandbox.core.terms import ParticipantId

KeyOf: TypeAlias = Callable[[str], VerifyKey | None]
OwnerOf: TypeAlias = Callable[[str], ParticipantId | None]

CONTRACT: Final = "contract"
CONTRACT_TYPE: Final = "contract+jws"
OFFER: Final = "offer"
OFFER_TYPE: Final = "offer+jws"
MOST_BYTES: Final = 65_536


def sign_offer(document: dict[str, Json], key: SigningKey) -> bytes:
    """Sign an offer, as its provider.

    Raises:
        Invalid: ``contract.invalid``; nobody signs what does not read well.
    """
    read_offer(document)
    return envelope(OFFER, document, [sign(document, key, OFFER_TYPE)])


def accept_offer(text: bytes, key: SigningKey, nonce: bytes, now: datetime) -> bytes:
    """Sign what one was handed: a buyer makes an agreement of an offer, a provider countersigns that agreement.

    The buyer is the owner that the key's id begins with. The signatures already there are not judged here, where the
    signer has no register of keys; the exchange judges them all.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    if OFFER not in parse(_bounded(text)):
        return add_signature(text, key)
    document, _ = unverified(text, OFFER)
    buyer = ParticipantId(key.kid.partition("/")[0])
    agreement = agreement_document(document, read_offer(document).id, buyer, nonce, now)
    return envelope(CONTRACT, agreement, [sign(agreement, key, CONTRACT_TYPE)])


def add_signature(text: bytes, key: SigningKey) -> bytes:
    """Sign an agreement beside the signatures that it has.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    document, signatures = unverified(_bounded(text), CONTRACT)
    read_agreement(document)
    return envelope(CONTRACT, document, [*signatures, sign(document, key, CONTRACT_TYPE)])


def open_offer(text: bytes, key_of: KeyOf, owner_of: OwnerOf) -> Offer:
    """Verify a signed offer.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    # (1) Every signature present is good, of a registered key, and was made for an offer.
    signed = open_signed(_bounded(text), OFFER, OFFER_TYPE, key_of)
    # (2) The document says one thing only.
    offer = read_offer(signed.document)
    # (3) It is signed by its provider, once.
    if [owner_of(kid) for kid in signed.kids] != [offer.provider]:
        refuse("An offer is signed by its provider, and by nobody else.")
    return offer


def open_agreement(text: bytes, key_of: KeyOf, owner_of: OwnerOf, exchange_id: ParticipantId) -> Agreement:
    """Verify a signed agreement; the only way to hold one.

    That it equals the offer in its ``prev`` is verified where the offers are, see ``registry.put_agreement``.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``contract.invalid``.
    """
    # (1) Every signature present is good, of a registered key, and was made for a contract: one bad refuses the whole.
    signed = open_signed(_bounded(text), CONTRACT, CONTRACT_TYPE, key_of)
    # (2) The document says one thing only.
    draft = read_agreement(signed.document)
    # (3) The parties are three, and each signed once: nobody is both sides, nobody is missing, nobody is added.
    parties = {draft.provider, draft.buyer, exchange_id}
    if len(parties) != 3:  # noqa: PLR2004  # provider, buyer, exchange
        refuse("Provider, buyer and exchange are three different participants.")
    owners = [owner_of(kid) for kid in signed.kids]
    if len(owners) != len(parties) or set(owners) != parties:
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
        proof=VERIFIED,
    )


def _bounded(text: bytes) -> bytes:
    if len(text) > MOST_BYTES:
        refuse_contract(f"The contract has {len(text)} bytes, expected at most {MOST_BYTES}.")
    return text
