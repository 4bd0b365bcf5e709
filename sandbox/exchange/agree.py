"""From an offer to an agreement: provider and buyer sign, the exchange countersigns and records, or refuses."""

from sandbox.audit.events import EventType
from sandbox.catalog import listing
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import envelope, participants, registry
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.terms import Offer
from sandbox.core.canonical import Json, digest
from sandbox.core.clock import microseconds
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, PolicyRefused, SandboxError, Unavailable
from sandbox.exchange.decide import in_words, subject_of
from sandbox.exchange.grants import granted_columns
from sandbox.exchange.house import House
from sandbox.policy.decision import Question


def offer(house: House, text: bytes) -> Offer:
    """Register an offer that its provider signed.

    Raises:
        Invalid: it is not a signed offer, or its terms do not fit the dataset.
        NotFound: the dataset version is not listed here.
        Conflict: the same offer is registered already.
    """
    try:
        opened = _offered(house, text)
        _register(house, opened, text)
    except SandboxError as refusal:
        _refused(house, text, refusal)
        raise
    return opened


def _refused(house: House, text: bytes, refusal: SandboxError) -> None:
    """A party that was refused can prove that it tried, and what; the log shows neither."""
    if isinstance(refusal, Unavailable):
        return
    entry = house.new_entry()
    clear: dict[str, Json] = {"code": refusal.code, "reasons": list(refusal.reasons)}

    def write(tx: Transaction) -> None:
        house.record(tx, EventType.CONTRACT_REFUSED, entry, clear, {"document": digest(text)})

    house.database.write(write)


def _offered(house: House, text: bytes) -> Offer:
    with house.database.read() as connection:
        opened = envelope.open_offer(
            text, lambda kid: participants.key_of(connection, kid), lambda kid: participants.owner_of(connection, kid)
        )
        version = listing.version(connection, opened.version)
    _fits(opened, version)
    return opened


def _register(house: House, opened: Offer, text: bytes) -> None:
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {
        "offer": opened.id,
        "dataset": opened.dataset,
        "version": opened.version,
        "provider": opened.provider,
    }

    def write(tx: Transaction) -> None:
        registry.put_offer(tx, opened, text, at)
        house.record(tx, EventType.OFFER_SIGNED, entry, clear)

    house.database.write(write)


def _fits(opened: Offer, version: DatasetVersion) -> None:
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


def agree(house: House, text: bytes) -> Agreement:
    """Countersign and record an agreement that buyer and provider signed.

    Raises:
        Invalid: a signature is missing or bad, or the document differs from its offer.
        NotFound: its offer is not registered here.
        PolicyRefused: an agreement rule does not hold.
        Conflict: it is recorded already.
    """
    try:
        agreement, version, signed = _countersigned(house, text)
        _record(house, agreement, version, signed)
    except SandboxError as refusal:
        _refused(house, text, refusal)
        raise
    return agreement


def _countersigned(house: House, text: bytes) -> tuple[Agreement, DatasetVersion, bytes]:
    # (1) The exchange signs last, over the same canonical bytes, and then believes nothing it has not verified.
    signed = envelope.add_signature(text, house.exchange_key)
    with house.database.read() as connection:
        agreement = envelope.open_agreement(
            signed,
            lambda kid: participants.key_of(connection, kid),
            lambda kid: participants.owner_of(connection, kid),
            house.exchange_id,
        )
        version = listing.version(connection, agreement.version)
        latest = listing.latest(connection, agreement.dataset)
        question = Question(
            subject=subject_of(participants.participant(connection, agreement.buyer)),
            action="agreement.sign",
            resource={"type": "agreement", "id": agreement.id, "properties": _facts(agreement, version, latest)},
            context={
                "time_us": microseconds(house.now()),
                "buyer_roles": [*sorted(participants.participant(connection, agreement.buyer).roles)],
                "provider_roles": [*sorted(participants.participant(connection, agreement.provider).roles)],
            },
        )
    # (2) May it be made?
    decision = house.policy.decide(question)
    if not decision.allow:
        raise PolicyRefused(
            "policy.refused",
            "The agreement may not be made. " + in_words(decision),
            reasons=decision.reasons,
        )
    return agreement, version, signed


def _facts(agreement: Agreement, version: DatasetVersion, latest: DatasetVersion) -> dict[str, Json]:
    terms = agreement.terms
    return {
        "verified": True,
        "provider": agreement.provider,
        "buyer": agreement.buyer,
        "dataset_provider": version.provider,
        "version_current": version.digest == latest.digest,
        "not_before_us": microseconds(agreement.not_before),
        "not_after_us": microseconds(agreement.not_after),
        "purposes": list(terms.purposes),
        "min_group": terms.min_group,
        "unit": terms.unit,
        "class": version.descriptor.data_class,
        "price_vnd": int(terms.price),
        "release": terms.release,
    }


def _record(house: House, agreement: Agreement, version: DatasetVersion, signed: bytes) -> None:
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {
        "agreement": agreement.id,
        "offer": agreement.offer,
        "dataset": agreement.dataset,
        "version": agreement.version,
        "provider": agreement.provider,
        "sector": version.descriptor.sector,
    }

    def write(tx: Transaction) -> None:
        registry.put_agreement(tx, agreement, signed, at)
        house.record(tx, EventType.AGREEMENT_SIGNED, entry, clear, {"buyer": agreement.buyer})

    house.database.write(write)
