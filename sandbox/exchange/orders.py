"""Orders that stop and start trading: verified, decided by policy, recorded, and in effect with that transaction.

Whoever runs something under a right asks :func:`concerning` before, meanwhile and again when it settles.
"""

from typing import Final

from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.catalog import listing
from sandbox.contracts import orders, participants, registry
from sandbox.contracts.charter import Charter
from sandbox.contracts.order import ENDS
from sandbox.contracts.orders import Order, Standing
from sandbox.core.canonical import Json, digest
from sandbox.core.database import Transaction
from sandbox.core.errors import AgreementRefused, PolicyRefused
from sandbox.core.terms import DatasetId, Identity, ParticipantId
from sandbox.exchange import questions, runs
from sandbox.exchange.decide import in_words
from sandbox.exchange.handed import handed_in
from sandbox.exchange.house import House
from sandbox.exchange.refused import recorded

SUSPEND: Final = "suspend"
TERMINATE: Final = "terminate"


def order(house: House, text: bytes, by: Identity | None = None) -> Order:
    """Carry out a signed order.

    Raises:
        Invalid: it is not a signed order, or not of this hour.
        NotFound: what it is about, or the order that it ends, is not here.
        PolicyRefused: those who signed it may not give it.
        Conflict: it was given already, or there is nothing to end.
    """
    with recorded(house, EventType.ORDER_REFUSED, {"document": digest(text)}):
        with house.database.read() as connection:
            opened = orders.open_order(text, house.signers(connection), house.now())
            parties = _parties(connection, opened)
            signed_by = [participants.participant(connection, each) for each in opened.signed_by]
            charter = house.charter(connection)
        decision = house.policy.decide(questions.order(opened, signed_by, parties, house.now()))
        if not decision.allow:
            raise PolicyRefused(
                "policy.refused",
                "The order may not be given. " + in_words(decision),
                hint="Who may give which order: docs/formats/order.md.",
                reasons=decision.reasons,
            )
        _require_named_offices(opened, charter)
        _record(house, opened, text, handed_in(by))
    return opened


def _require_named_offices(opened: Order, charter: Charter | None) -> None:
    """An operator admits whom it likes, also as a regulator: what starts again takes the two whom the charter names."""
    named = {charter.regulator, charter.operator} if charter else set()
    if opened.act in ENDS and not (named and named <= {*opened.signed_by}):
        raise PolicyRefused(
            "order.quorum", f"{opened.act} takes the signatures of the two offices that the charter in force names.",
            hint="See who they are: sandbox charter show", reasons=("CHARTER-07",),
        )  # fmt: skip


def _parties(connection: Connection, opened: Order) -> list[ParticipantId]:
    """Whose affair it is, beside the regulator's and the operator's: the sides of what the order is about."""
    target = opened.target
    match opened.kind:
        case "participant":
            return [participants.participant(connection, target).id]
        case "dataset":
            return [listing.latest(connection, DatasetId(target)).provider]
        case "agreement":
            row = registry.agreement_row(connection, target)
            return [row.provider, row.buyer]
        case "query":
            return [runs.buyer_of(connection, target)]
    return []


def _record(house: House, opened: Order, text: bytes, by: dict[str, Json]) -> None:
    entry, ending, at = house.new_entry(), house.new_entry(), house.now()
    clear: dict[str, Json] = {
        "order": opened.id,
        "act": opened.act,
        "scope": {"kind": opened.kind, "id": None if opened.kind == "participant" else opened.target or None},
        "ends": opened.ends,
        "roles": _roles(house, opened),
    }
    sealed: dict[str, Json] = by | {
        "signed_by": [*opened.signed_by],
        "reason": opened.reason,
        "target": opened.target,
        "document": digest(text),
    }

    def write(tx: Transaction) -> None:
        orders.put_order(tx, opened, text, at)
        _to_the_agreement(tx, opened)
        house.record(tx, EventType.ORDER_GIVEN, entry, clear, sealed)
        if opened.act == TERMINATE:
            house.record(tx, EventType.AGREEMENT_TERMINATED, ending, {"agreement": opened.target})

    house.database.write(write)


def _roles(house: House, opened: Order) -> list[Json]:
    """In clear stands which offices signed; which organisation a party is stays sealed."""
    with house.database.read() as connection:
        signers = [participants.participant(connection, each) for each in opened.signed_by]
    return [*sorted({str(role) for signer in signers for role in signer.roles})]


def _to_the_agreement(tx: Transaction, opened: Order) -> None:
    if opened.kind != "agreement":
        return
    state = registry.agreement_state(tx.connection, opened.target)
    if opened.act == TERMINATE:
        registry.change_state(tx, opened.target, registry.TERMINATED)
    elif opened.act == SUSPEND and state == registry.IN_FORCE:
        registry.change_state(tx, opened.target, registry.SUSPENDED)
    elif opened.act == "resume" and not _still_suspended(tx.connection, opened.target):
        registry.change_state(tx, opened.target, registry.IN_FORCE)


def _still_suspended(connection: Connection, agreement: str) -> bool:
    return any(each.act == SUSPEND for each in orders.about(connection, "agreement", agreement))


def require_untouched(standing: tuple[Standing, ...]) -> None:
    """Refuse to go on where something of it is suspended or has an open incident.

    Raises:
        AgreementRefused: ``suspended`` (CHARTER-06) or ``incident.open`` (INC-01).
    """
    for each in standing:
        if each.act == SUSPEND:
            raise AgreementRefused(
                "suspended", f"The {each.kind} is suspended.",
                hint="Ask the regulator; it is resumed by the regulator and the operator.", reasons=("CHARTER-06",),
            )  # fmt: skip
        raise AgreementRefused(
            "incident.open", f"An incident about this {each.kind} is open.",
            hint="Wait until the regulator and the operator have closed it.", reasons=("INC-01",),
        )  # fmt: skip


def suspensions(house: House) -> list[Standing]:
    """Every suspension and incident that stands now, the oldest first."""
    with house.database.read() as connection:
        return orders.listing(connection)
