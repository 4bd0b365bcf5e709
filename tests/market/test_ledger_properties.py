"""What holds of the ledger under any sequence, any interleaving, a redone batch and a lost commit."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sandbox.core.database import Database, NoSeal, Transaction, metadata, open_engine
from sandbox.core.errors import Conflict, Insufficient
from sandbox.market import ledger
from sandbox.market.tables import hold
from sandbox.market.volume import volume

BUYERS = st.sampled_from(["b1", "b2"])
AMOUNTS = st.integers(1, 200)
AGREEMENTS = st.lists(st.tuples(st.sampled_from(["p1", "p2", "p3"]), st.integers(0, 90)), min_size=1, max_size=3)


class AnyBusiness(RuleBasedStateMachine):
    """A ledger beside a model of four dicts that is obviously right."""

    def __init__(self):
        super().__init__()
        self.engine = open_engine("sqlite://")
        metadata.create_all(self.engine)
        self.connection = self.engine.connect()
        self.tx = Transaction(self.connection)
        self.wallet, self.held, self.earned, self.put_in, self.settled, self.entries = {}, {}, 0, 0, 0, 0
        self.ended: set[str] = set()

    def teardown(self):
        self.connection.close()
        self.engine.dispose()

    def entry(self):
        self.entries += 1
        return f"ent_{self.entries}"

    @rule(buyer=BUYERS, vnd=AMOUNTS)
    def top_up(self, buyer, vnd):
        ledger.open_wallet(self.tx, buyer)
        ledger.top_up(self.tx, self.entry(), buyer, vnd)
        self.wallet[buyer] = self.wallet.get(buyer, 0) + vnd
        self.put_in += vnd

    @rule(buyer=BUYERS, asked=AGREEMENTS)
    def reserve(self, buyer, asked):
        query, vnd = f"q{self.entries}", sum(part for _, part in asked)
        if vnd > self.wallet.get(buyer, 0):
            with pytest.raises(Insufficient):
                ledger.reserve(self.tx, self.entry(), query, buyer, vnd)
            return
        ledger.reserve(self.tx, self.entry(), query, buyer, vnd)
        self.wallet[buyer] = self.wallet.get(buyer, 0) - vnd
        self.held[query] = (buyer, vnd, asked)

    @rule(choice=st.randoms(use_true_random=False), fee_bp=st.integers(0, 10_000), fails=st.booleans())
    def end(self, choice, fee_bp, fails):
        if not self.held:
            return
        query = choice.choice(sorted(self.held))
        buyer, vnd, asked = self.held.pop(query)
        if fails:
            ledger.refund(self.tx, self.entry(), query)
            self.wallet[buyer] = self.wallet.get(buyer, 0) + vnd
        else:
            self.capture(query, buyer, asked, fee_bp)
            self.earned += vnd
            self.settled += 1
        self.ended.add(query)

    def capture(self, query, buyer, asked, fee_bp):
        shares = tuple(ledger.Share(f"sha256:{n}", provider, "d", "s", vnd) for n, (provider, vnd) in enumerate(asked))
        at = ledger.datetime.fromisoformat("2026-12-01T03:00:00Z")
        made = ledger.Settlement(query, self.entry(), buyer, at, 1, 1, shares, fee_bp)
        ledger.capture(self.tx, made.entry_id, query, made)

    @rule()
    def end_again(self):
        for query in sorted(self.ended):
            with pytest.raises(Conflict):
                ledger.refund(self.tx, self.entry(), query)
            with pytest.raises(Conflict):
                self.capture(query, "b1", [("p1", 1)], 0)

    @invariant()
    def the_ledger_is_the_model(self):
        accounts = ledger.trial_balance(self.connection)
        assert sum(accounts.values()) == 0
        assert {name for name, vnd in accounts.items() if vnd < 0} <= {"bank"}
        assert accounts.get("bank", 0) == -self.put_in
        for buyer in ("b1", "b2"):
            held = sum(vnd for owner, vnd, _ in self.held.values() if owner == buyer)
            assert (ledger.balance(self.connection, buyer), accounts.get(f"held:{buyer}", 0)) == (
                self.wallet.get(buyer, 0),
                held,
            )
        income = sum(vnd for name, vnd in accounts.items() if name.startswith(("receivable:", "fee:")))
        total = volume(self.connection)
        assert (income, total.value_vnd, total.count) == (self.earned, self.earned, self.settled)
        assert set(ledger.unsettled(self.connection)) == set(self.held)


TestAnyBusiness = AnyBusiness.TestCase
TestAnyBusiness.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def outcome(call, *arguments, **more):
    try:
        call(*arguments, **more)
    except (Conflict, Insufficient) as refused:
        return refused.code
    return "done"


def test_eight_threads_spend_one_wallet_to_the_last_dong_and_never_below_zero(till):
    till.top_up("b", 1_000)

    def spend(thread):
        return [outcome(till.reserve, f"q{thread}-{turn}", "b", 7) for turn in range(30)]

    with ThreadPoolExecutor(8) as threads:
        outcomes = [code for codes in threads.map(spend, range(8)) for code in codes]
    assert outcomes.count("done") == 142  # 1.000 // 7
    assert outcomes.count("wallet.insufficient") == 240 - 142
    assert till.accounts() == {"bank": -1_000, "held:b": 994, "wallet:b": 6}


def test_of_all_that_settle_and_refund_a_query_at_once_exactly_one_succeeds(till):
    till.top_up("b", 4_000)
    for number in range(40):
        till.reserve(f"q{number}", "b", 100)

    def end(job):
        number, refunds = job
        query = f"q{number}"
        return (
            number,
            refunds,
            outcome(till.refund, query) if refunds else outcome(till.capture, query, "b", {"cang": 100}),
        )

    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(end, [(n, refunds) for n in range(40) for refunds in (True, False, True, False)]))
    winners = [(number, refunds) for number, refunds, code in ends if code == "done"]
    assert sorted(number for number, _ in winners) == list(range(40))
    assert {code for _, _, code in ends} == {"done", "hold.ended"}
    refunded = sum(refunds for _, refunds in winners)
    accounts = till.accounts()
    assert (accounts["wallet:b"], accounts["held:b"]) == (refunded * 100, 0)
    assert till.read(volume).count == 40 - refunded


def test_a_mixed_rush_of_eight_threads_leaves_every_account_explained(till):
    for buyer in ("b0", "b1"):
        till.top_up(buyer, 500)

    def trade(thread):
        for turn in range(15):
            query, buyer = f"q{thread}-{turn}", f"b{turn % 2}"
            if outcome(till.reserve, query, buyer, 30) == "done":
                till.refund(query) if (thread + turn) % 3 else till.capture(query, buyer, {"cang": 10, "dat_dai": 20})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(trade, range(8)))
    accounts = till.accounts()
    assert min(vnd for name, vnd in accounts.items() if name != "bank") >= 0
    assert accounts["held:b0"] == accounts["held:b1"] == 0
    assert 1_000 - accounts["wallet:b0"] - accounts["wallet:b1"] == till.read(volume).value_vnd


def test_a_unit_redone_because_its_neighbour_failed_posts_once(till, settle):
    till.top_up("b", 100)
    till.reserve("q1", "b", 40)
    gate, runs = threading.Event(), []
    made = settle("q1", "ent_c", "b", {"cang": 40})

    def captures(tx):
        runs.append("capture")
        ledger.capture(tx, "ent_c", "q1", made)

    units = [
        lambda tx: ledger.top_up(tx, "ent_t", "b", 5),
        captures,
        lambda tx: ledger.reserve(tx, "ent_r", "q2", "b", 1_000),  # fails, so the batch is rolled back and redone
        lambda tx: ledger.reserve(tx, "ent_s", "q3", "b", 65),  # exactly what is left
    ]
    blocker = till.database.submit(lambda _: gate.wait(10))
    futures = [till.database.submit(unit) for unit in units]
    gate.set()
    blocker.result()
    failures = [type(future.exception()) for future in futures]
    assert failures == [type(None), type(None), Insufficient, type(None)]
    assert runs == ["capture", "capture"]
    assert till.accounts() == {
        "bank": -105, "fee:exchange": 1, "held:b": 65, "receivable:cang-vu": 39, "wallet:b": 0,
    }  # fmt: skip
    assert till.read(ledger.unsettled) == ["q3"]


class FailingSeal(NoSeal):
    """A log that cannot be written for the first ``failures`` attempts."""

    def __init__(self, failures):
        self.failures = failures

    def before_commit(self, connection, leaves):
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("disk full")


@pytest.mark.parametrize(("failures", "kept"), [(1, True), (2, False)])
def test_money_moves_with_the_commit_of_its_entry_once_or_not_at_all(engine, failures, kept):
    seal = FailingSeal(0)
    with Database(engine, seal) as database:
        database.write(lambda tx: ledger.open_wallet(tx, "b"))
        seal.failures = failures
        future = database.submit(lambda tx: ledger.top_up(tx, "ent_1", "b", 100))
        assert isinstance(future.exception(), OSError) is not kept
        with database.read() as connection:
            assert ledger.balance(connection, "b") == (100 if kept else 0)
        database.write(lambda tx: ledger.reserve(tx, "ent_2", "q1", "b", 0))  # and the ledger goes on
        with database.read() as connection:
            assert sum(ledger.trial_balance(connection).values()) == 0
            assert connection.scalar(sa.select(sa.func.count()).select_from(hold)) == 1
