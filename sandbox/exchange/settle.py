"""The durable steps of a query: admitted, refused, failed, settled; each is one transaction with its entry."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

from sandbox.audit.events import EventType
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts.agreement import Agreement
from sandbox.core.canonical import Json
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, SandboxError, Unavailable
from sandbox.core.terms import DatasetId, EntryId, ParticipantId, QueryId, Vnd
from sandbox.exchange import caps, orders, runs
from sandbox.exchange.case import Case
from sandbox.exchange.house import House
from sandbox.market import budget, ledger, price
from sandbox.market.budget import Use
from sandbox.market.ledger import Settlement, Share
from sandbox.policy.decision import Decision
from sandbox.query.release import Released

ARROW: Final = "application/vnd.apache.arrow.stream"
_LEASE_MARGIN: Final = timedelta(seconds=120)
"""More than a run may wait for its turn and its settlement for the database."""


def admit(house: House, case: Case, decision: Decision) -> list[tuple[str, int]]:
    """Reserve price, uses and the charter's caps and record the query as authorized; answers what it holds of them.

    Raises:
        Insufficient: the wallet, a budget or a cap does not cover it; nothing is reserved.
        AgreementRefused: something of it was suspended since it was asked about.
    """
    entry, quote, at = house.new_entry(), case.quote, house.now()
    uses = _uses(case, at)
    held = [(use.id, use.amount) for use in uses if use.amount]
    lease = at + timedelta(seconds=house.settings.query_seconds) + _LEASE_MARGIN
    clear = case.clear() | {
        "policy": {"bundle": decision.policy, "decision": "allow"},
        "isolation": house.engine.isolation,
        "vnd": int(quote.total) if quote else 0,
    }
    sealed = case.sealed() | case.asked() | {"extracts": case.extracts}  # a digest of what can be guessed would tell it
    told = house.written_down(EventType.QUERY_AUTHORIZED, entry, clear, sealed)

    def write(tx: Transaction) -> None:
        orders.require_untouched(case.standing(tx.connection))
        budget.reserve(tx, uses)
        ledger.reserve(tx, entry, case.id, case.buyer.id, quote.total if quote else Vnd(0))
        runs.begin(tx, case.id, case.buyer.id, entry, held, lease)
        house.log.add(tx, told)

    house.database.write(write)
    return held


def _uses(case: Case, at: datetime) -> list[Use]:
    """What the query takes of its contracts' budgets and of the charter's caps."""
    uses = [use for grant in case.grants for use in caps.contract_uses(grant.agreement, at)]
    uses += [caps.free_use(grant.agreement) for grant in case.grants if grant.agreement.id in case.free]
    if case.charter and case.quote:
        providers = Counter[ParticipantId]()
        for grant in case.grants:
            providers[grant.agreement.provider] += case.quote.shares[grant.agreement.id]
        uses += caps.uses_of(case.charter, at, case.buyer.id, case.quote.total, providers)
    return uses


def refuse(house: House, case: Case, refusal: SandboxError) -> None:
    """Record a refusal, and note on the error under which id it stands."""
    entry, at = house.new_entry(), house.now()
    clear = case.clear() | {"code": refusal.code, "reasons": list(refusal.reasons), "isolation": house.engine.reached}
    if case.decision is not None:
        clear["policy"] = {"bundle": case.decision.policy, "decision": "allow" if case.decision.allow else "deny"}
    told = house.written_down(EventType.QUERY_REFUSED, entry, clear, case.sealed() | case.asked())

    def write(tx: Transaction) -> None:
        runs.refuse(tx, case.id, case.buyer.id, entry, at)
        house.log.add(tx, told)

    house.database.write(write)
    refusal.query = case.id


def fail(
    house: House, query: QueryId, uses: list[tuple[str, int]], failure: BaseException, case: Case | None = None
) -> None:
    """Close an authorized query without a result: money and uses go back, in one transaction with the entry."""
    entry = house.new_entry()
    known = failure if isinstance(failure, SandboxError) else SandboxError("run.interrupted", "")
    clear: dict[str, Json] = {"query": query, "code": known.code, "reasons": list(known.reasons)}
    clear["isolation"] = house.engine.reached
    clear |= case.told_to_leave() if case else {}
    told = house.written_down(EventType.QUERY_FAILED, entry, clear, case.asked_to_leave() if case else {})

    def write(tx: Transaction) -> None:
        runs.finish(tx, query, "failed", entry)
        ledger.refund(tx, entry, query)
        budget.release(tx, uses)
        house.log.add(tx, told)

    house.database.write(write)


def settle(house: House, case: Case, released: Released, uses: list[tuple[str, int]]) -> EntryId:
    """Pay the provider and record the query as completed, with the digest of what leaves; answers the entry.

    Raises:
        Unavailable: ``query.outcome_unknown`` when it was written although the database failed; ``run.abandoned`` when
            repair closed the run first.
    """
    entry, quote, at = house.new_entry(), case.quote, house.now()
    shares = tuple(_share(grant.agreement, grant.version, quote) for grant in case.grants)
    settlement = Settlement(
        case.id, entry, case.buyer.id, at, released.rows, released.spool.bytes, shares, house.settings.fee_bp
    )
    meter: dict[str, Json] = {
        "rows_out": released.rows,
        "bytes_out": released.spool.bytes,
        "vnd": int(quote.total) if quote else 0,
    }
    clear: dict[str, Json] = {"query": case.id, "agreements": _paid(case, settlement)}
    clear |= case.told_to_leave()
    clear |= {"meter": meter, "groups_withheld": released.groups_withheld, "isolation": house.engine.reached}
    sealed = case.sealed() | case.asked_to_leave() | {"result": {"sha256": released.spool.digest, "media": ARROW}}
    told = house.written_down(EventType.QUERY_COMPLETED, entry, clear, sealed)

    def write(tx: Transaction) -> None:
        orders.require_untouched(case.standing(tx.connection))  # a result that waits is frozen, not given
        runs.finish(tx, case.id, "completed", entry)
        ledger.capture(tx, entry, case.id, settlement)
        house.log.add(tx, told)

    try:
        house.database.write(write)
    except Exception as failure:
        _unsettled(house, case.id, uses, failure)
        raise
    return entry


def _unsettled(house: House, query: QueryId, uses: list[tuple[str, int]], failure: Exception) -> None:
    """A settlement that raised may still have been written; then the run is closed and must not be refunded."""
    try:
        fail(house, query, uses, failure)
    except Conflict:
        with house.database.read() as connection:
            state, _ = runs.outcome_of(connection, query, None)
        if state == "failed":  # it took longer than its lease, and repair gave the money back
            raise runs.closed(query) from failure
        raise Unavailable(
            "query.outcome_unknown",
            f"Query {query} was settled, and its result could not be given.",
            hint="Fetch its receipt; ask the operator to refund it.",
        ) from failure


def _paid(case: Case, settlement: Settlement) -> list[Json]:
    """The query's agreements, each with its share of the price and what of that is the exchange's fee."""
    fees = {share.agreement: int(settlement.fee_of(share)) for share in settlement.shares}
    shares: Any = case.clear()["agreements"]
    return [each | {"fee_vnd": fees[each["id"]]} for each in shares]


def _share(agreement: Agreement, version: DatasetVersion, quote: price.Quote | None) -> Share:
    vnd = quote.shares[agreement.id] if quote else Vnd(0)
    return Share(agreement.id, agreement.provider, DatasetId(agreement.dataset), version.descriptor.sector, vnd)
