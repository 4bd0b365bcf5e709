"""The ledger: double entry over wallets, money held for running queries, and what settled queries owe to whom.

::

    top_up    bank      -50.000    wallet:b   +50.000
    reserve   wallet:b  -25.000    held:b     +25.000
    capture   held:b    -25.000    receivable:p  +24.375    fee:exchange  +625
    refund    held:b    -25.000    wallet:b   +25.000

One account gives what others get, so the postings of an entry sum to zero. ``bank`` mirrors money outside the exchange
and may be negative; no other account may. Each posting names the log entry that it stands with. A query of 0 ₫ is held
and settled like any other, and moves nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.canonical import LARGEST
from sandbox.core.clock import day_of
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Insufficient, Invalid, NotFound, Tampered
from sandbox.core.terms import DatasetId, Digest, EntryId, ParticipantId, QueryId, Vnd
from sandbox.market.money import dong
from sandbox.market.tables import HOLD, account, hold, insert_missing, posting, settlement, settlement_share

BANK: Final = "bank"
FEE: Final = "fee:exchange"
_WHOLE_BP: Final = 10_000

# built once: every query asks, and building a statement takes longer than running it
_BALANCE: Final = sa.select(account.c.balance).where(account.c.name == sa.bindparam("wanted"))
_HELD: Final = sa.select(hold.c.state).where(hold.c.query_id == sa.bindparam("wanted"))
_POSTED: Final = sa.select(posting.c.id).where(posting.c.entry_id == sa.bindparam("wanted"))
_ENDED: Final = (
    sa.update(hold)
    .where(hold.c.query_id == sa.bindparam("wanted"), hold.c.state.in_(sa.bindparam("befores", expanding=True)))
    .values(state=sa.bindparam("to_state"), ended_by=sa.bindparam("by"))
    .returning(hold.c.buyer, hold.c.vnd)
)
_AFTER: Final = account.c.balance + sa.bindparam("moved", type_=sa.BigInteger)
_MOVE: Final = (  # never read, add and write: two that read the same balance would both spend it
    sa.update(account)
    .where(account.c.name == sa.bindparam("wanted"), sa.or_(account.c.name == BANK, _AFTER >= 0))
    .values(balance=_AFTER)
)


@dataclass(frozen=True, slots=True)
class Share:
    """What one agreement of a settled query is owed."""

    agreement: Digest
    provider: ParticipantId
    dataset: DatasetId
    sector: str
    vnd: Vnd


@dataclass(frozen=True, slots=True)
class Settlement:
    """A completed query as the market sees it; ``entry_id`` is its ``query.completed``, ``at`` that entry's instant.

    Raises:
        Invalid: ``settlement.invalid``.
    """

    query_id: QueryId
    entry_id: EntryId
    buyer: ParticipantId
    at: datetime
    rows_out: int
    bytes_out: int
    shares: tuple[Share, ...]
    fee_bp: int

    def __post_init__(self) -> None:
        agreements = {share.agreement for share in self.shares}
        least = min(self.rows_out, self.bytes_out, self.fee_bp, *(share.vnd for share in self.shares))
        if not agreements or len(agreements) != len(self.shares) or least < 0 or self.fee_bp > _WHOLE_BP:
            raise Invalid(
                "settlement.invalid", "A settlement has shares, each of its own agreement, and no number below 0.",
                hint=f"Give one share or more, and a fee from 0 to {_WHOLE_BP} basis points.",
            )  # fmt: skip

    @property
    def vnd(self) -> Vnd:
        """The whole price."""
        return Vnd(sum(share.vnd for share in self.shares))

    def fee_of(self, share: Share) -> Vnd:
        """What of a share is the exchange's; the fraction of a đồng stays with the provider."""
        return Vnd(share.vnd * self.fee_bp // _WHOLE_BP)


@dataclass(frozen=True, slots=True)
class Line:
    """One posting of a participant's statement, and the account's balance after it."""

    entry_id: EntryId
    query_id: QueryId | None
    account: str
    vnd: int
    balance: int


def open_wallet(tx: Transaction, owner: ParticipantId) -> None:
    """Give a buyer an empty wallet; one that is open already stays as it is."""
    _open_accounts(tx.connection, (f"wallet:{owner}",))


def top_up(tx: Transaction, entry_id: EntryId, buyer: ParticipantId, vnd: Vnd) -> None:
    """Put money that reached the exchange's bank account into a wallet.

    Raises:
        Invalid: ``wallet.amount``.
        NotFound: ``wallet.unknown``; a mistyped name must not swallow money.
    """
    _check_amount(vnd, least=1)
    name = f"wallet:{buyer}"
    if tx.connection.execute(sa.select(account.c.name).where(account.c.name == name)).first() is None:
        raise NotFound("wallet.unknown", f"{buyer[:60]!r} has no wallet.", hint="Admit the buyer first.")
    with tx.connection.begin_nested():
        _post(tx.connection, entry_id, None, BANK, {name: vnd})


def reserve(tx: Transaction, entry_id: EntryId, query_id: QueryId, buyer: ParticipantId, vnd: Vnd) -> None:
    """Hold the price of a query before it runs. When it refuses, nothing has moved, even if the transaction goes on.

    Raises:
        Insufficient: ``wallet.insufficient`` (PAY-01).
        Conflict: ``hold.exists`` when the query has been reserved before.
    """
    _check_amount(vnd, least=0)
    if _state(tx.connection, query_id) is not None:
        raise Conflict("hold.exists", "The query's price has been reserved before.", hint="Send the query anew.")
    row = {"query_id": query_id, "buyer": buyer, "vnd": vnd, "state": "held", "reserved_by": entry_id}
    with tx.connection.begin_nested():  # the caller may go on to record this refusal in the same transaction
        tx.connection.execute(sa.insert(hold), row)
        _post(tx.connection, entry_id, query_id, f"wallet:{buyer}", {f"held:{buyer}": vnd})


def capture(tx: Transaction, entry_id: EntryId, query_id: QueryId, settlement: Settlement) -> None:
    """Settle a completed query: providers get their shares, the exchange its fee, and the query counts in the volume.

    Raises:
        NotFound: ``hold.unknown`` when nothing was reserved for it.
        Conflict: ``hold.ended`` when it has been settled or refunded; ``settlement.differs`` from what was reserved.
    """
    if (settlement.query_id, settlement.entry_id) != (query_id, entry_id):
        raise _differs()
    with tx.connection.begin_nested():
        buyer, vnd = _end(tx.connection, entry_id, query_id, "captured")
        if (buyer, vnd) != (settlement.buyer, settlement.vnd):
            raise _differs()
        _post(tx.connection, entry_id, query_id, f"held:{buyer}", _owed(settlement))
        _record(tx.connection, settlement)


def refund(tx: Transaction, entry_id: EntryId, query_id: QueryId) -> None:
    """Give the held price of a failed or refused query back to the buyer's wallet.

    Raises:
        NotFound: ``hold.unknown``. Conflict: ``hold.ended``.
    """
    with tx.connection.begin_nested():
        buyer, vnd = _end(tx.connection, entry_id, query_id, "refunded")
        _post(tx.connection, entry_id, query_id, f"held:{buyer}", {f"wallet:{buyer}": vnd})


def balance(connection: Connection, buyer: ParticipantId) -> Vnd:
    """What a buyer can spend now; 0 without a wallet."""
    found = connection.scalar(_BALANCE, {"wanted": f"wallet:{buyer}"})
    return Vnd(found or 0)


def statement(connection: Connection, owner: ParticipantId) -> list[Line]:
    """Every posting on the accounts of one participant, oldest first."""
    running = sa.func.sum(posting.c.vnd).over(partition_by=posting.c.account, order_by=posting.c.id)
    lines = (
        sa.select(posting.c.entry_id, posting.c.query_id, posting.c.account, posting.c.vnd, running.cast(sa.BigInteger))
        .join(account)
        .where(account.c.owner == owner)
        .order_by(posting.c.id)
    )
    return [Line(*row) for row in connection.execute(lines)]


def unsettled(connection: Connection) -> list[QueryId]:
    """Queries whose money is held: running, or left by a crash and due a refund."""
    found = sa.select(hold.c.query_id).where(hold.c.state == "held").order_by(hold.c.query_id)
    return [QueryId(query_id) for query_id in connection.scalars(found)]


def trial_balance(connection: Connection) -> Mapping[str, int]:
    """Every account's balance, recomputed from its postings. The balances sum to zero.

    Raises:
        Tampered: ``tampered.ledger`` when an account says otherwise, or an entry does not sum to zero.
    """
    amount = sa.func.sum(posting.c.vnd).cast(sa.BigInteger)
    stored = dict(connection.execute(sa.select(account.c.name, account.c.balance)).all())
    sums = dict.fromkeys(sorted(stored), 0)
    for name, vnd in connection.execute(sa.select(posting.c.account, amount).group_by(posting.c.account)):
        sums[name] = vnd
    crooked = (
        sa.select(posting.c.entry_id).group_by(posting.c.entry_id).having(sa.func.sum(posting.c.vnd) != 0).limit(1)
    )
    if sums != stored or connection.execute(crooked).first() is not None:
        raise _tampered()
    return sums


def _check_amount(vnd: int, least: int) -> None:
    if type(vnd) is not int or not least <= vnd <= LARGEST:  # a SQLite column would keep 0.5 đồng
        raise Invalid(
            "wallet.amount", f"An amount of {vnd} đồng; expected {least} to {LARGEST}.", hint="Give whole đồng."
        )


def _state(connection: Connection, query_id: QueryId) -> str | None:
    return connection.scalar(_HELD, {"wanted": query_id})


def _end(connection: Connection, entry_id: EntryId, query_id: QueryId, state: str) -> tuple[str, int]:
    # one statement looks and changes, so of two that end the same query only one finds it held
    given = {"wanted": query_id, "befores": [each for each, after in HOLD.items() if state in after]}
    ended = connection.execute(_ENDED, given | {"to_state": state, "by": entry_id}).one_or_none()
    if ended is not None:
        return ended.buyer, ended.vnd
    if (was := _state(connection, query_id)) is None:
        raise NotFound("hold.unknown", "Nothing was reserved for this query.", hint="Reserve its price before it runs.")
    raise Conflict("hold.ended", f"The query's price is {was} already.", hint="A query is settled or refunded once.")


def _owed(settlement: Settlement) -> Counter[str]:
    owed: Counter[str] = Counter()
    for share in settlement.shares:
        fee = settlement.fee_of(share)
        owed[FEE] += fee
        owed[f"receivable:{share.provider}"] += share.vnd - fee
    return owed


def _record(connection: Connection, settled: Settlement) -> None:
    row = asdict(settled) | {"day": day_of(settled.at)}
    shares = row.pop("shares")
    connection.execute(sa.insert(settlement), row)
    connection.execute(sa.insert(settlement_share), [{"query_id": settled.query_id} | share for share in shares])


def _post(
    connection: Connection, entry_id: EntryId, query_id: QueryId | None, giver: str, getters: Mapping[str, int]
) -> None:
    moves = {name: vnd for name, vnd in getters.items() if vnd}
    if not moves:
        return
    moves[giver] = -sum(moves.values())
    if connection.execute(_POSTED, {"wanted": entry_id}).first() is not None:
        raise Conflict(
            "entry.posted", "This log entry has its postings.", hint="Record a new entry for a new movement."
        )
    _open_accounts(connection, moves)
    _move(connection, moves)
    rows = [{"entry_id": entry_id, "query_id": query_id, "account": name, "vnd": vnd} for name, vnd in moves.items()]
    connection.execute(sa.insert(posting), rows)


def _open_accounts(connection: Connection, names: Iterable[str]) -> None:
    rows = [{"name": name, "owner": name.partition(":")[2], "balance": 0} for name in sorted(names)]
    insert_missing(connection, account, rows)


def _move(connection: Connection, moves: Mapping[str, int]) -> None:
    # one order everywhere, or two nodes would each hold a row that the other wants
    moved = connection.execute(_MOVE, [{"wanted": name, "moved": moves[name]} for name in sorted(moves)])
    if moved.rowcount == len(moves):
        return
    short = next((vnd for name, vnd in moves.items() if name.startswith("wallet:") and vnd < 0), None)
    if short is None:
        raise _tampered()  # what a hold promises is always in its held account
    raise Insufficient(
        "wallet.insufficient", f"The wallet does not cover the price of {dong(-short)}.",
        hint="Top up: sandbox wallet top-up.", reasons=("PAY-01",),
    )  # fmt: skip


def _differs() -> Conflict:
    return Conflict(
        "settlement.differs", "The settlement is not of the query, entry, buyer and price that were reserved.",
        hint="Settle exactly what was quoted.",
    )  # fmt: skip


def _tampered() -> Tampered:
    return Tampered(
        "tampered.ledger", "Balances and postings of the ledger disagree.",
        hint="Stop trading and recompute the ledger from the log.",
    )  # fmt: skip
