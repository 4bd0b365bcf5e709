"""The ledger by hand-worked figures, and what it refuses."""

import pytest
import sqlalchemy as sa

from sandbox.core.errors import Conflict, Insufficient, Invalid, NotFound, Tampered
from sandbox.market import ledger
from sandbox.market.tables import HOLD, account, hold, posting, settlement, settlement_share

# By hand: 100.000 in; a query of 25.001 + 10.000 at 2,5 %: fees 625 (of 625,025) and 250; then 40.000 that come back.
WORKED = {
    "bank": -100_000,
    "fee:exchange": 875,
    "held:fintech": 0,
    "receivable:cang-vu": 9_750,
    "receivable:so-gtvt": 24_376,
    "wallet:fintech": 64_999,
}


@pytest.fixture
def worked(till):
    till.top_up("fintech", 100_000)
    till.reserve("q1", "fintech", 35_001)
    till.capture("q1", "fintech", {"xe_buyt": 25_001, "cang": 10_000})
    till.reserve("q2", "fintech", 40_000)
    till.refund("q2")
    return till


def test_the_worked_example_comes_out_to_the_last_dong(worked):
    assert dict(worked.accounts()) == WORKED
    assert sum(WORKED.values()) == 0
    assert worked.read(ledger.balance, "fintech") == 64_999


def test_a_statement_tells_each_movement_with_its_entry_its_query_and_the_balance_after_it(worked):
    wallet = [line for line in worked.read(ledger.statement, "fintech") if line.account == "wallet:fintech"]
    assert [(line.entry_id, line.query_id, line.vnd, line.balance) for line in wallet] == [
        ("ent_00001", None, 100_000, 100_000),
        ("ent_00002", "q1", -35_001, 64_999),
        ("ent_00004", "q2", -40_000, 24_999),
        ("ent_00005", "q2", 40_000, 64_999),
    ]
    assert all(type(line.balance) is int for line in wallet)  # PostgreSQL sums to Decimal


def test_a_statement_shows_one_participant_and_nobody_else(worked):
    assert [line.account for line in worked.read(ledger.statement, "cang-vu")] == ["receivable:cang-vu"]
    assert worked.read(ledger.statement, "nobody") == []


def test_shares_of_one_provider_are_one_posting_and_each_pays_its_own_rounded_fee(till):
    till.top_up("b", 100)
    till.reserve("q1", "b", 78)
    till.capture("q1", "b", {"cang": 39, "bien_dong": 39})  # 2,5 % of 39 is 0,975: nothing, twice
    assert till.accounts() == {"bank": -100, "held:b": 0, "receivable:cang-vu": 78, "wallet:b": 22}


@pytest.mark.parametrize(("fee_bp", "fee", "rest"), [(0, 0, 999), (1, 0, 999), (250, 24, 975), (10_000, 999, 0)])
def test_the_fee_is_rounded_down_and_the_provider_gets_the_rest(till, fee_bp, fee, rest):
    till.top_up("b", 999)
    till.reserve("q1", "b", 999)
    till.capture("q1", "b", {"cang": 999}, fee_bp=fee_bp)
    accounts = till.accounts()
    assert (accounts.get("fee:exchange", 0), accounts.get("receivable:cang-vu", 0)) == (fee, rest)


def test_a_free_query_needs_no_wallet_and_settles_once_without_a_posting(till):
    till.reserve("q1", "newcomer", 0)
    assert till.read(ledger.unsettled) == ["q1"]
    till.capture("q1", "newcomer", {"chi_so_cds": 0})
    assert till.read(ledger.unsettled) == []
    with pytest.raises(Conflict, match="captured already"):
        till.refund("q1")
    assert till.accounts() == {}
    assert till.read(ledger.balance, "newcomer") == 0


def test_a_wallet_that_does_not_cover_the_price_is_refused_with_the_rule_and_without_the_balance(till):
    till.top_up("b", 24_999)
    with pytest.raises(Insufficient) as refused:
        till.reserve("q1", "b", 25_000)
    assert (refused.value.code, refused.value.reasons, refused.value.status) == (
        "wallet.insufficient",
        ("PAY-01",),
        402,
    )
    assert "25.000\u00a0₫" in refused.value.message
    assert "24.999" not in refused.value.message


def test_a_refusal_that_the_unit_goes_on_to_record_has_moved_nothing(till):
    till.top_up("b", 10)

    def unit(tx):
        with pytest.raises(Insufficient):
            ledger.reserve(tx, "ent_x", "q1", "b", 11)
        with pytest.raises(Insufficient):
            ledger.reserve(tx, "ent_x", "q2", "stranger", 1)

    till.database.write(unit)
    assert till.accounts() == {"bank": -10, "wallet:b": 10}
    assert till.read(ledger.unsettled) == []


def test_money_is_put_only_into_a_wallet_that_was_opened(till):
    with pytest.raises(NotFound, match="has no wallet"):
        till.database.write(lambda tx: ledger.top_up(tx, "ent_x", "fintehc", 100))
    assert till.accounts() == {}


def test_opening_a_wallet_twice_keeps_what_is_in_it(till):
    till.top_up("b", 10)
    till.database.write(lambda tx: ledger.open_wallet(tx, "b"))
    assert till.read(ledger.balance, "b") == 10


@pytest.mark.parametrize("vnd", [0, -1, 2**53, 0.5, True])
def test_only_whole_amounts_above_zero_are_put_in(till, vnd):
    with pytest.raises(Invalid, match="expected 1 to"):
        till.top_up("b", vnd)


def test_a_negative_price_is_refused(till):
    with pytest.raises(Invalid, match="expected 0 to"):
        till.reserve("q1", "b", -1)


def test_one_log_entry_carries_one_movement(till):
    till.top_up("b", 10)
    with pytest.raises(Conflict) as refused:
        till.database.write(lambda tx: ledger.top_up(tx, "ent_00001", "b", 10))
    assert refused.value.code == "entry.posted"
    assert till.read(ledger.balance, "b") == 10


def test_a_query_is_reserved_once(till):
    till.top_up("b", 10)
    till.reserve("q1", "b", 4)
    with pytest.raises(Conflict) as refused:
        till.reserve("q1", "b", 4)
    assert refused.value.code == "hold.exists"
    assert till.read(ledger.balance, "b") == 6


@pytest.mark.parametrize("end", ["capture", "refund"])
def test_what_was_never_reserved_cannot_end(till, end):
    with pytest.raises(NotFound) as refused:
        till.refund("q9") if end == "refund" else till.capture("q9", "b", {"cang": 1})
    assert refused.value.code == "hold.unknown"


def test_after_its_end_a_query_neither_settles_nor_refunds(worked):
    for again in (
        lambda: worked.refund("q1"),
        lambda: worked.capture("q1", "fintech", {"xe_buyt": 35_001}),
        lambda: worked.refund("q2"),
        lambda: worked.capture("q2", "fintech", {"cang": 40_000}),
    ):
        with pytest.raises(Conflict) as refused:
            again()
        assert refused.value.code == "hold.ended"
    assert dict(worked.accounts()) == WORKED


@pytest.mark.parametrize(("buyer", "vnd"), [("other", 40), ("b", 39), ("b", 41)])
def test_another_buyer_or_another_price_than_reserved_is_not_settled(till, buyer, vnd):
    till.top_up("b", 50)
    till.top_up("other", 50)
    till.reserve("q1", "b", 40)
    with pytest.raises(Conflict) as refused:
        till.capture("q1", buyer, {"cang": vnd})
    assert refused.value.code == "settlement.differs"
    assert till.read(ledger.unsettled) == ["q1"]  # and can still be refunded
    till.refund("q1")
    assert till.read(ledger.balance, "b") == 50


def test_a_refused_settlement_leaves_the_hold_to_be_refunded_in_the_same_unit(till, settle):
    till.top_up("b", 50)
    till.reserve("q1", "b", 40)

    def unit(tx):
        with pytest.raises(Conflict, match="reserved"):
            ledger.capture(tx, "ent_x", "q1", settle("q1", "ent_x", "b", {"cang": 39}))
        ledger.refund(tx, "ent_x", "q1")

    till.database.write(unit)
    assert till.accounts() == {"bank": -50, "held:b": 0, "wallet:b": 50}


def test_a_settlement_of_another_query_or_entry_is_not_accepted(till, settle):
    till.reserve("q1", "b", 0)
    made = settle("q1", "ent_x", "b", {"chi_so_cds": 0})
    for entry, query in (("ent_x", "q2"), ("ent_y", "q1")):
        with pytest.raises(Conflict, match="reserved"):
            till.database.write(lambda tx, entry=entry, query=query: ledger.capture(tx, entry, query, made))


@pytest.mark.parametrize(
    ("shares", "more"),
    [({}, {}), ({"cang": -1}, {}), ({"cang": 1}, {"fee_bp": 10_001}), ({"cang": 1}, {"fee_bp": -1}),
     ({"cang": 1}, {"rows_out": -1}), ({"cang": 1}, {"bytes_out": -1})],
)  # fmt: skip
def test_a_settlement_without_shares_or_with_impossible_numbers_cannot_be_made(settle, shares, more):
    with pytest.raises(Invalid) as refused:
        settle("q1", "ent_x", "b", shares, **more)
    assert refused.value.code == "settlement.invalid"


def test_two_shares_of_one_agreement_cannot_be_made(settle):
    share = settle("q1", "ent_x", "b", {"cang": 1}).shares[0]
    with pytest.raises(Invalid):
        ledger.Settlement("q1", "ent_x", "b", None, 0, 0, (share, share), 0)


@pytest.mark.parametrize(
    "tamper",
    [
        sa.update(account).where(account.c.name == "wallet:fintech").values(balance=999_999),
        sa.update(posting).where(posting.c.account == "receivable:cang-vu").values(vnd=9_751),
        sa.delete(posting).where(posting.c.account == "fee:exchange"),
    ],
)
def test_a_ledger_altered_behind_its_back_has_no_trial_balance(worked, tamper):
    worked.database.write(lambda tx: tx.connection.execute(tamper) and None)
    with pytest.raises(Tampered) as found:
        worked.accounts()
    assert found.value.code == "tampered.ledger"


def test_postings_that_agree_with_the_accounts_but_not_with_each_other_are_found(worked):
    def shift(tx):  # from one entry to another: every account still adds up
        for entry, step in (("ent_00002", -1), ("ent_00004", 1)):
            row = sa.and_(posting.c.entry_id == entry, posting.c.account == "wallet:fintech")
            tx.connection.execute(sa.update(posting).where(row).values(vnd=posting.c.vnd + step))

    worked.database.write(shift)
    with pytest.raises(Tampered):
        worked.accounts()


def test_a_hold_whose_money_is_gone_is_tampering_and_not_an_empty_wallet(till):
    till.top_up("b", 10)
    till.reserve("q1", "b", 10)
    emptied = sa.update(account).where(account.c.name == "held:b").values(balance=0)
    till.database.write(lambda tx: tx.connection.execute(emptied) and None)
    with pytest.raises(Tampered):
        till.refund("q1")


@pytest.mark.parametrize(
    "statement",
    [
        sa.update(account).where(account.c.name == "wallet:fintech").values(balance=-1),
        sa.update(hold).where(hold.c.query_id == "q1").values(state="held"),
        sa.update(hold).where(hold.c.query_id == "q1").values(state="lost"),
        sa.insert(posting).values(entry_id="ent_x", account="bank", vnd=0),
        sa.insert(posting).values(entry_id="ent_x", account="wallet:unknown", vnd=1),
        sa.update(settlement_share).values(vnd=-1),
        sa.update(settlement).values(query_id="q9"),
    ],
)
def test_the_database_itself_refuses_what_the_ledger_never_writes(worked, statement):
    with pytest.raises(sa.exc.IntegrityError):
        worked.database.write(lambda tx: tx.connection.execute(statement) and None)


def test_every_state_of_a_hold_leads_to_states_and_an_ended_one_nowhere():
    assert set().union(*HOLD.values()) <= set(HOLD)
    assert [state for state, after in HOLD.items() if not after] == ["captured", "refunded"]
