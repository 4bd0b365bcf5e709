"""What a query takes of the charter's caps and of its contracts' budgets, by the calendar of Ho Chi Minh City."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.contracts.agreement import VERIFIED, Agreement
from sandbox.contracts.articles import read_charter
from sandbox.contracts.charter import VERIFIED as SIGNED
from sandbox.contracts.charter import Charter
from sandbox.contracts.clauses import read_terms
from sandbox.core.canonical import parse
from sandbox.core.database import Database, metadata, open_engine
from sandbox.core.errors import Insufficient
from sandbox.exchange import caps
from sandbox.market import budget
from tests.chartering import SAMPLE, document

BUYER, PROVIDER, OTHER = "cong-ty-fintech", "hiep-hoi-ban-le", "cang-vu"
NOON = datetime(2026, 12, 30, 5, tzinfo=UTC)  # a Wednesday, in the first stage
LAST = datetime(2026, 12, 31, 17, tzinfo=UTC) - timedelta(microseconds=1)  # of the year in Ho Chi Minh City


def charter(**changes):
    draft = read_charter(document(changes={f"caps.{name}": value for name, value in changes.items()}))
    return Charter(**{name: getattr(draft, name) for name in type(draft).__slots__}, proof=SIGNED)


def of_terms(terms, letter="a"):
    absent = dict.fromkeys(name for name in Agreement.__slots__ if name not in {"id", "terms"})
    return Agreement(id=f"sha256:{letter * 64}", **absent, terms=terms, proof=VERIFIED)


def agreement(**budgets):
    said = parse((SAMPLE.parent / "terms" / "hoa_don_dnnvv.json").read_bytes())
    del said["term_days"]
    terms = read_terms(said | {"not_after": "2027-12-31T00:00:00.000000Z"})
    nothing = dict.fromkeys(("day_budget", "week_budget", "month_budget", "lifetime_budget"))
    return of_terms(replace(terms, **(nothing | budgets)))


@pytest.fixture
def database(database_url):
    engine = open_engine(database_url)
    metadata.create_all(engine, [metadata.tables["budget"]])
    with Database(engine) as made:
        yield made


def spend(database, charter, vnd, now=NOON, buyer=BUYER, providers=None):
    uses = caps.uses_of(charter, now, buyer, vnd, providers or {PROVIDER: vnd})
    database.write(lambda tx: budget.reserve(tx, uses))
    return uses


def usage(database, now=NOON, buyer=BUYER, providers=(PROVIDER,)):
    with database.read() as connection:
        return caps.usage(connection, now, buyer, providers)


def refused(*arguments, **named):
    with pytest.raises(Insufficient) as refusal:
        spend(*arguments, **named)
    assert (refusal.value.code, refusal.value.reasons) == ("charter.cap_reached", ("CHARTER-05",))
    return refusal.value


# --- the charter's caps ---
def test_what_a_query_uses_is_what_the_policies_are_told(database):
    spend(database, charter(), 30_000, providers={PROVIDER: 10_000, OTHER: 20_000})
    spend(database, charter(), 5_000, buyer="ngan-hang")
    assert usage(database, providers=[PROVIDER, OTHER, "so-mau"]) == {
        "buyer_day_vnd": 30_000,
        "buyer_day_queries": 1,
        "exchange_day_vnd": 35_000,
        "providers": [
            {"id": PROVIDER, "day_vnd": 15_000},
            {"id": OTHER, "day_vnd": 20_000},
            {"id": "so-mau", "day_vnd": 0},
        ],
    }


@pytest.mark.parametrize(
    ("cap", "vnd", "said"),
    [
        ("per_buyer_day_vnd", 60_000, "What one buyer may spend in a day, in VND, is 100000, of which 40000 are left"),
        ("per_provider_day_vnd", 60_000, "What one provider may sell in a day, in VND, would be exceeded; this asks"),
        (
            "exchange_day_vnd",
            60_000,
            "What the exchange may trade in a day, in VND, would be exceeded; this asks for 60000.",
        ),
    ],
)
def test_each_day_cap_stops_what_goes_beyond_it_and_says_when_the_day_ends(database, cap, vnd, said):
    tight = charter(**{cap: 1_000_000})  # at a tenth in the first stage
    spend(database, tight, vnd)
    refusal = refused(database, tight, vnd)
    assert said in refusal.message
    assert f"The charter's {cap} at this stage. The day ends on 31/12/2026 at 00:00, Asia/Ho_Chi_Minh." == refusal.hint
    assert usage(database)["buyer_day_vnd"] == vnd
    spend(database, tight, 40_000)
    spend(database, tight, vnd, now=NOON + timedelta(days=1))


def test_one_query_may_not_cost_more_than_a_transaction(database):
    refusal = refused(database, charter(per_transaction_vnd=500_000), 50_001)
    assert refusal.message == "What one query may cost, in VND, is 50000, of which 50000 are left; this asks for 50001."
    spend(database, charter(per_transaction_vnd=500_000), 50_000)


def test_free_queries_count_as_queries_too(database):
    tight = charter(per_buyer_day_queries=20)
    for _ in range(2):
        spend(database, tight, 0)
    assert "queries of one buyer in a day is 2, of which 0 are left" in refused(database, tight, 0).message
    spend(database, tight, 0, buyer="ngan-hang")


def test_outside_the_window_nothing_may_be_used_not_even_what_costs_nothing(database):
    refused(database, charter(), 0, now=charter().window.end)


def test_the_day_begins_at_midnight_in_ho_chi_minh_city(database):
    spend(database, charter(), 1_000, now=LAST)
    assert usage(database, now=LAST)["exchange_day_vnd"] == 1_000
    assert usage(database, now=LAST + timedelta(microseconds=1))["exchange_day_vnd"] == 0


def test_a_failed_query_gives_all_of_it_back(database):
    uses = spend(database, charter(), 1_000)
    database.write(lambda tx: budget.release(tx, [(use.id, use.amount) for use in uses]))
    assert usage(database) == {
        "buyer_day_vnd": 0,
        "buyer_day_queries": 0,
        "exchange_day_vnd": 0,
        "providers": [{"id": PROVIDER, "day_vnd": 0}],
    }


def test_a_unit_that_fails_after_them_has_used_nothing(database):
    def unit(tx):
        budget.reserve(tx, caps.uses_of(charter(), NOON, BUYER, 1_000, {PROVIDER: 1_000}))
        raise RuntimeError("the log does not answer")

    with pytest.raises(RuntimeError):
        database.write(unit)
    assert usage(database)["buyer_day_queries"] == 0


# --- contracts ---
def test_a_contract_without_budgets_uses_none():
    assert caps.contract_uses(agreement(), NOON) == []


def periods(at):
    everything = agreement(day_budget=1, week_budget=2, month_budget=3, lifetime_budget=4)
    return [use.id.rpartition("/")[2] for use in caps.contract_uses(everything, at)]


def test_days_weeks_and_months_are_those_of_ho_chi_minh_city():
    assert periods(LAST) == ["2026-12-31", "2026-W53", "2026-12", "life"]
    assert periods(LAST + timedelta(microseconds=1)) == ["2027-01-01", "2026-W53", "2027-01", "life"]
    assert periods(LAST + timedelta(days=3)) == ["2027-01-03", "2026-W53", "2027-01", "life"]
    assert periods(LAST + timedelta(days=4)) == ["2027-01-04", "2027-W01", "2027-01", "life"]


@pytest.mark.parametrize(
    ("period", "ends"),
    [("day", "31/12/2026"), ("week", "04/01/2027"), ("month", "01/01/2027")],
)
def test_each_budget_of_a_contract_is_refused_in_words_of_its_own(database, period, ends):
    uses = caps.contract_uses(agreement(**{f"{period}_budget": 1}), NOON)
    database.write(lambda tx: budget.reserve(tx, uses))
    with pytest.raises(Insufficient) as refusal:
        database.write(lambda tx: budget.reserve(tx, uses))
    assert (refusal.value.code, refusal.value.reasons) == ("budget.exhausted", ("QRY-07",))
    assert f"the contract allows in a {period} is 1, of which 0 are left" in refusal.value.message
    assert refusal.value.hint == f"The {period} ends on {ends} at 00:00, Asia/Ho_Chi_Minh."


def test_a_lifetime_budget_never_comes_back(database):
    for day in range(3):
        uses = caps.contract_uses(agreement(lifetime_budget=2), NOON + timedelta(days=day))
        if day < 2:
            database.write(lambda tx, uses=uses: budget.reserve(tx, uses))
    with pytest.raises(Insufficient, match="allows in all is 2"):
        database.write(lambda tx: budget.reserve(tx, uses))


def test_free_queries_are_taken_while_they_last(database):
    tried = replace(agreement().terms, free_queries=2)
    with_trial, without = of_terms(tried), of_terms(replace(tried, free_queries=0), "b")
    for _ in range(2):
        with database.read() as connection:
            assert caps.free_of_charge(connection, [with_trial, without]) == {with_trial.id}
        database.write(lambda tx: budget.reserve(tx, [caps.free_use(with_trial)]))
    with database.read() as connection:
        assert caps.free_of_charge(connection, [with_trial, without]) == frozenset()
    with pytest.raises(Insufficient) as refusal:
        database.write(lambda tx: budget.reserve(tx, [caps.free_use(with_trial)]))
    assert (refusal.value.code, refusal.value.reasons) == ("price.changed", ("PAY-01",))
