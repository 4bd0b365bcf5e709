"""One query through the house: identity, agreement, facts, decision, record, run, release, settlement, result."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.catalog import listing
from sandbox.contracts import registry
from sandbox.contracts.agreement import Agreement
from sandbox.core.clock import new_id
from sandbox.core.errors import AgreementRefused, Conflict, Invalid, SandboxError, Tampered
from sandbox.core.files import own_digest
from sandbox.core.terms import EntryId, Identity, QueryId, Vnd
from sandbox.exchange import layouts, rights
from sandbox.exchange.caps import free_of_charge
from sandbox.exchange.case import Case, QueryRequest
from sandbox.exchange.decide import decide, decide_release
from sandbox.exchange.grants import Grant, grant_of, keeps_its_face
from sandbox.exchange.house import House
from sandbox.exchange.publish import require_signed
from sandbox.exchange.settle import admit, fail, refuse, settle
from sandbox.market import price
from sandbox.policy.decision import Decision
from sandbox.query.engine import Facts, Job, Limits
from sandbox.query.extracts import find
from sandbox.query.release import release
from sandbox.query.spool import Spool
from sandbox.query.views import extract_name

MOST_AGREEMENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What a buyer gets: the bytes of an Arrow IPC stream, and what they cost in đồng."""

    id: QueryId
    entry: EntryId
    spool: Spool
    rows: int
    groups_withheld: bool
    price_vnd: Vnd
    frozen: Callable[[], bool]
    """Whether it must not leave any more, asked while it does."""

    @property
    def ipc(self) -> bytes:
        """The whole stream; a large one is better taken from ``spool.chunks()``."""
        return self.spool.read()


def run_query(house: House, identity: Identity, request: QueryRequest) -> Result:
    """Answer a buyer's query, or say why not; either way it stands in the log.

    Raises:
        AgreementRefused, QueryRefused, PolicyRefused, ReleaseRefused, Insufficient: refused, recorded, nothing charged.
        NotFound: an agreement that is not there, or not this buyer's.
        Unavailable: the decision point, the jail or the log does not answer; nothing charged.
    """
    # (0) Who asks? The door has identified the participant; the request gets its id.
    case = Case(QueryId(new_id("qry", house.clock)), identity, request)
    try:
        # (1) Under what?
        _under_what(house, case)
        # (2) What is touched?
        facts = _touched(house, case)
        # (3) May it run?
        decision = decide(house, case)
        job = _job(house, case, facts, decision)  # an extract may take minutes: made before the lease begins
        # (4) On the record, with price and uses reserved: durable before anything runs.
        uses = admit(house, case, decision)
    except SandboxError as refusal:
        if refusal.code != "database.outcome_unknown":  # it may be authorized after all; its lease then ends it
            refuse(house, case, refusal)
        raise
    try:
        # (5) Run it.
        with house.engine.run(job) as outcome:
            # (6) May it leave? Looked at batch by batch while it runs; nothing is given before the run has ended well.
            duties = decision.obligations
            released = release(
                outcome,
                facts.guards,
                min_group=duties["min_group"],
                max_rows=duties["max_rows"],
                max_bytes=duties["max_bytes"],
                folder=house.spool,
            )
        decide_release(house, case, released)
    except BaseException as failure:
        with suppress(Conflict):  # past its lease, repair has closed it already
            fail(house, case.id, uses, failure, case)
        if isinstance(failure, SandboxError):
            failure.query = case.id
        raise
    # (7) Settle. ── point of no return: charged and recorded ──
    entry = settle(house, case, released, uses)
    # (8) Give.
    paid = case.quote.total if case.quote else Vnd(0)
    return Result(
        case.id, entry, released.spool, released.rows, released.groups_withheld, paid, rights.frozen(house, case)
    )


def _under_what(house: House, case: Case) -> None:
    names = case.request.agreements
    if not 1 <= len(names) <= MOST_AGREEMENTS:
        raise Invalid(
            "request.invalid",
            f"A query stands under 1 to {MOST_AGREEMENTS} agreements, got {len(names)}.",
            hint="Name the agreement of each dataset that the SQL reads.",
        )
    with house.database.read() as connection:
        for name in names:
            agreement = _agreement(house, connection, case, name)
            if case.buyer.id not in {agreement.buyer, agreement.provider}:
                raise registry.unknown(name)  # a stranger's agreement and none at all look the same
            case.grants.append(_granted(house, connection, agreement))
        case.free = free_of_charge(connection, [grant.agreement for grant in case.grants])
    if len({grant.agreement.dataset for grant in case.grants}) != len(names):
        raise Invalid(
            "request.invalid", "Two agreements are about the same dataset.", hint="Name one for each dataset."
        )
    for grant in case.grants:
        registry.require_in_force(grant.agreement, house.now(), grant.state)
    prices = {grant.agreement.id: grant.agreement.terms.price for grant in case.grants}
    case.quote = price.quote({name: Vnd(0) if name in case.free else vnd for name, vnd in prices.items()})


def _agreement(house: House, connection: Connection, case: Case, name: str) -> Agreement:
    try:
        return house.agreement(connection, name)
    except (AgreementRefused, Tampered):  # what became of an agreement is for its own parties to know
        own = [row.id for row in registry.agreements(connection, case.buyer.id)]
        if not any(each.removeprefix("sha256:").startswith(name.removeprefix("sha256:")) for each in own):
            raise registry.unknown(name) from None
        raise


def _granted(house: House, connection: Connection, agreement: Agreement) -> Grant:
    version = pinned = listing.version(connection, agreement.version)
    if agreement.terms.follows:
        version = listing.latest(connection, agreement.dataset)
        if version.digest != agreement.version:  # the pinned one's digest stands under three signatures
            require_signed(house, connection, version)
    state = registry.agreement_state(connection, agreement.id)
    if not keeps_its_face(pinned, version):
        raise AgreementRefused(
            "agreement.version_changed",
            f"A new version of {agreement.dataset} has another schema, class or protection than was agreed on.",
            hint="Agree anew: sandbox negotiate request.",
            reasons=("CONT-02",),
        )
    return grant_of(agreement, version, state)


def _touched(house: House, case: Case) -> Facts:
    case.facts = house.engine.analyse(case.request.sql, [grant.relation for grant in case.grants], case.buyer.id)
    idle = {grant.relation.name for grant in case.grants} - {*case.facts.tables}
    if idle:  # it would be charged for, and would count as a trade, without being read
        raise Invalid(
            "request.invalid",
            f"The SQL does not read {', '.join(sorted(idle))}.",
            hint="Name the agreements of those datasets only that the SQL reads.",
        )
    return case.facts


def _job(house: House, case: Case, facts: Facts, decision: Decision) -> Job:
    files = {grant.relation.name: (_extract(house, case, grant),) for grant in case.grants}
    settings = house.settings
    limits = Limits(
        max_rows=decision.obligations["max_rows"],
        max_bytes=decision.obligations["max_bytes"],
        seconds=settings.query_seconds,
        memory_mb=settings.query_memory_mb,
    )
    return Job(
        case.id,
        facts.runs,
        files,
        limits,
        min_group=decision.obligations["min_group"],
        owner=case.buyer.id,
        policy=decision.policy,
        cancelled=rights.cancelled(house, case, decision),
    )


def _extract(house: House, case: Case, grant: Grant) -> Path:
    sources = layouts.layouts(house, grant.version)
    if not find(house.extracts, extract_name(grant.scope, grant.relation.columns, sources)):
        layouts.verify(house, grant.version)  # about to be read
    extract = house.engine.extract(grant.scope, grant.relation.columns, sources, house.extracts, case.buyer.id)
    case.extracts[grant.agreement.id] = f"sha256:{own_digest(extract)}"
    return extract
