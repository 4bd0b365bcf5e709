"""From an offer to an agreement: provider and buyer sign, the exchange countersigns and records, or refuses."""

from collections.abc import Callable
from functools import partial

from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.catalog import listing
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import envelope, negotiation, offers, orders, participants, registry
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.terms import Offer, Request
from sandbox.core.canonical import Json, digest
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, PolicyRefused
from sandbox.core.terms import Digest, Identity
from sandbox.exchange import questions
from sandbox.exchange.decide import in_words
from sandbox.exchange.grants import granted_columns, statement_of
from sandbox.exchange.handed import handed_in
from sandbox.exchange.house import House
from sandbox.exchange.refused import recorded
from sandbox.policy.decision import Question


def offer(house: House, text: bytes, by: Identity | None = None) -> Offer:
    """Register an offer that its provider signed.

    Raises:
        Invalid: it is not a signed offer, or its terms do not fit the dataset.
        NotFound: the dataset version is not listed here.
        Conflict: the same offer is registered already.
    """
    with recorded(house, EventType.CONTRACT_REFUSED, {"document": digest(text)}):
        with house.database.read() as connection:
            opened = envelope.open_offer(text, house.signers(connection))
            version = listing.version(connection, opened.version)
        fits(opened, version)
        _register(house, opened, text, handed_in(by))
    return opened


def _register(house: House, opened: Offer, text: bytes, sealed: dict[str, Json]) -> None:
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {
        "offer": opened.id,
        "dataset": opened.dataset,
        "version": opened.version,
        "provider": opened.provider,
    }

    def write(tx: Transaction) -> None:
        offers.put_offer(tx, opened, text, at)
        house.record(tx, EventType.OFFER_SIGNED, entry, clear, sealed)

    house.database.write(write)


def fits(opened: Offer | Request, version: DatasetVersion) -> None:
    """Refuse terms that the dataset version does not bear, or a statement that it does not make of itself.

    Raises:
        Invalid: ``contract.mismatch``.
    """
    descriptor, terms = version.descriptor, opened.terms
    if opened.provider != version.provider or opened.dataset != version.dataset:
        raise Invalid("contract.mismatch", "An offer is made by its dataset's provider.", hint="Sign with that key.")
    granted_columns(terms, descriptor)
    if descriptor.privacy_unit and terms.unit != descriptor.privacy_unit:
        raise Invalid(
            "contract.mismatch",
            f"{descriptor.id} has the privacy unit {descriptor.privacy_unit}, and the terms do not name it.",
            hint=f'Set "privacy_unit": "{descriptor.privacy_unit}" and an output constraint.',
        )
    if terms.min_group < (descriptor.min_group or 1):
        raise Invalid(
            "contract.mismatch",
            f"The smallest group of {descriptor.id} is {descriptor.min_group}, the terms say {terms.min_group}.",
            hint="Terms may only be stricter than the descriptor.",
        )
    if opened.statement != statement_of(descriptor):
        raise Invalid(
            "contract.mismatch",
            f"What the offer states of {descriptor.id} is not what its descriptor says.",
            hint="Make the offer anew: sandbox offer DATASET.",
        )


def agree(house: House, text: bytes, by: Identity | None = None) -> Agreement:
    """Countersign and record an agreement that buyer and provider signed.

    Raises:
        Invalid: a signature is missing or bad, or the document differs from its offer.
        NotFound: its offer is not registered here.
        PolicyRefused: an agreement rule does not hold.
        Conflict: it is recorded already; ``negotiation.open`` when it is made in a negotiation, which finalises it.
    """
    with recorded(house, EventType.CONTRACT_REFUSED, {"document": digest(text)}):
        return concluded(house, text, by)


def concluded(
    house: House, text: bytes, by: Identity | None, also: Callable[[Transaction, Digest], None] | None = None
) -> Agreement:
    """See :func:`agree`; ``also`` writes in the transaction in which the agreement begins to stand."""
    # (1) The exchange signs last, over the same canonical bytes, and then believes nothing it has not verified.
    signed = envelope.add_signature(text, house.exchange_key)
    with house.database.read() as connection:
        agreement = envelope.open_agreement(signed, house.signers(connection), house.exchange_id)
        if also is None:
            negotiation.require_free(connection, agreement.offer)
        question, version = _question(house, connection, agreement)
    # (2) May it be made?
    decision = house.policy.decide(question)
    if not decision.allow:
        raise PolicyRefused(
            "policy.refused",
            "The agreement may not be made. " + in_words(decision),
            hint=questions.way_in(decision.reasons),
            reasons=decision.reasons,
        )
    # (3) On the record.
    _record(house, agreement, version, signed, handed_in(by), also)
    return agreement


def _question(house: House, connection: Connection, agreement: Agreement) -> tuple[Question, DatasetVersion]:
    version = listing.version(connection, agreement.version)
    latest = listing.latest(connection, agreement.dataset)
    buyer = participants.participant(connection, agreement.buyer)
    provider = participants.participant(connection, agreement.provider)
    around = questions.Around(
        house.now(),
        house.charter(connection),
        orders.concerning(connection, [buyer.id, provider.id], [agreement.dataset], [agreement.id]),
    )
    return questions.agreement(agreement, version, latest, (buyer, provider), around), version


def _record(
    house: House,
    agreement: Agreement,
    version: DatasetVersion,
    signed: bytes,
    by: dict[str, Json],
    also: Callable[[Transaction, Digest], None] | None,
) -> None:
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {
        "agreement": agreement.id,
        "offer": agreement.offer,
        "dataset": agreement.dataset,
        "version": agreement.version,
        "provider": agreement.provider,
        "sector": version.descriptor.sector,
        "signatures": [{"alg": each.alg, "ca_licensed": each.ca_licensed} for each in agreement.signatures],
    }

    signers: list[Json] = [{"participant": each.participant, "kid": each.kid} for each in agreement.signatures]
    sealed: dict[str, Json] = by | {"buyer": agreement.buyer, "signers": signers}

    def write(tx: Transaction) -> None:
        registry.put_agreement(tx, agreement, signed, at, partial(house.signers, tx.connection))
        house.record(tx, EventType.AGREEMENT_SIGNED, entry, clear, sealed)
        if also is not None:
            also(tx, agreement.id)

    house.database.write(write)
