"""Access budgets: never above their cap, all or none."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.core.database import Database, Transaction, metadata, open_engine
from sandbox.core.errors import Conflict, Insufficient
from sandbox.market.budget import (
    EXHAUSTED,
    Limit,
    Use,
    release,
    release_uses,
    reserve,
    reserve_uses,
    take,
    used,
)

DAY, LIFE = "sha256:a/2026-12-01", "sha256:a"
LIMIT = Limit("charter.cap_reached", "CHARTER-05", "What the exchange may trade in a day", "The day ends at midnight.")


def spent(till, *names):
    return [till.read(used, [name])[name] for name in names]


def test_a_cap_of_two_gives_two_uses_and_the_third_is_refused_by_rule(till):
    for _ in range(2):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 2)]))
    with pytest.raises(Insufficient) as refused:
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 2)]))
    assert (refused.value.code, refused.value.reasons) == ("budget.exhausted", ("QRY-07",))
    assert spent(till, DAY) == [2]


def test_all_budgets_are_taken_or_none_even_if_the_unit_goes_on(till):
    till.database.write(lambda tx: reserve_uses(tx, [(LIFE, 1)]))

    def unit(tx):
        with pytest.raises(Insufficient):
            reserve_uses(tx, [("another", 5), (DAY, 5), (LIFE, 1)])

    till.database.write(unit)
    assert spent(till, "another", DAY, LIFE) == [0, 0, 1]


@pytest.mark.parametrize("cap", [0, -1])
def test_a_cap_of_zero_or_less_allows_nothing(till, cap):
    with pytest.raises(Insufficient, match="0 are left"):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, cap)]))


def test_no_budget_is_no_hindrance(till):
    till.database.write(lambda tx: reserve_uses(tx, []))
    till.database.write(lambda tx: release_uses(tx, []))


def test_a_released_use_can_be_taken_again_and_released_only_once(till):
    till.database.write(lambda tx: reserve_uses(tx, [(DAY, 1), (LIFE, 9)]))
    till.database.write(lambda tx: release_uses(tx, [LIFE, DAY]))
    till.database.write(lambda tx: reserve_uses(tx, [(DAY, 1)]))
    with pytest.raises(Conflict) as refused:
        till.database.write(lambda tx: release_uses(tx, [DAY, LIFE]))
    assert refused.value.code == "budget.unreserved"
    assert spent(till, DAY, LIFE) == [1, 0]


def test_a_budget_named_twice_is_used_once_under_its_lower_cap(till):
    till.database.write(lambda tx: reserve_uses(tx, [(DAY, 9), (DAY, 1)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 1), (DAY, 9)]))
    till.database.write(lambda tx: release_uses(tx, [DAY, DAY]))
    assert spent(till, DAY) == [0]


def test_a_changed_cap_holds_at_once_and_forgets_nothing(till):
    for _ in range(3):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 3)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 2)]))
    till.database.write(lambda tx: reserve_uses(tx, [(DAY, 4)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 4)]))
    assert spent(till, DAY) == [4]


def test_two_nodes_with_four_threads_each_grant_exactly_what_the_tightest_cap_allows(engine):
    with Database(engine) as first, Database(engine) as second:

        def attempt(number):
            caps = [("day", 60), ("life", 100)] if number % 2 else [("life", 100), ("day", 60)]
            try:
                (first, second)[number % 2].write(lambda tx: reserve_uses(tx, caps))
            except Insufficient:
                return 0
            return 1

        with ThreadPoolExecutor(8) as threads:
            granted = sum(threads.map(attempt, range(200)))
        with first.read() as connection:
            assert (granted, used(connection, ["day", "life"])) == (60, {"day": 60, "life": 60})


# --- amounts ---
def vnd(amount, cap=100, name="exchange/2026-12-01"):
    return Use(name, amount, cap, LIMIT)


def test_amounts_are_taken_up_to_the_cap_and_the_refusal_says_what_is_left(till):
    till.database.write(lambda tx: reserve(tx, [vnd(60)]))
    with pytest.raises(Insufficient) as refused:
        till.database.write(lambda tx: reserve(tx, [vnd(41)]))
    assert (refused.value.code, refused.value.reasons) == ("charter.cap_reached", ("CHARTER-05",))
    assert refused.value.message == (
        "What the exchange may trade in a day is 100, of which 40 are left; this asks for 41."
    )
    assert refused.value.hint == "The day ends at midnight."
    till.database.write(lambda tx: reserve(tx, [vnd(40)]))
    assert spent(till, "exchange/2026-12-01") == [100]


def test_the_first_use_that_does_not_fit_gives_the_refusal_and_none_is_taken(till):
    uses = [vnd(1, name="z"), Use("b", 5, 4, EXHAUSTED), vnd(101, name="a")]
    with pytest.raises(Insufficient) as refused:
        till.database.write(lambda tx: reserve(tx, uses))
    assert refused.value.code == "budget.exhausted"
    assert spent(till, "a", "b", "z") == [0, 0, 0]


def test_nothing_is_always_within_a_cap_even_one_of_nothing(till):
    till.database.write(lambda tx: reserve(tx, [vnd(0, 0), vnd(0, 0, "day")]))
    till.database.write(lambda tx: release(tx, [("exchange/2026-12-01", 0)]))
    assert spent(till, "exchange/2026-12-01", "day") == [0, 0]


def test_a_negative_amount_is_refused_and_gives_nothing_back(till):
    till.database.write(lambda tx: reserve(tx, [vnd(50)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve(tx, [vnd(-1)]))
    assert spent(till, "exchange/2026-12-01") == [50]


def test_what_is_named_twice_adds_up_under_the_lower_cap_and_is_given_back_whole(till):
    uses = [vnd(30, 100), vnd(30, 60)]
    till.database.write(lambda tx: reserve(tx, uses))
    with pytest.raises(Insufficient, match="is 60, of which 0 are left; this asks for 60"):
        till.database.write(lambda tx: reserve(tx, uses))
    till.database.write(lambda tx: release(tx, [(use.id, use.amount) for use in uses]))
    assert spent(till, "exchange/2026-12-01") == [0]


@pytest.mark.parametrize("wrong", [[("day", 31)], [("life", 1), ("day", 31)], [("other", 1)], [("day", -1)]])
def test_no_more_is_given_back_than_was_reserved_and_then_nothing(till, wrong):
    till.database.write(lambda tx: reserve(tx, [vnd(30, name="day"), vnd(1, name="life")]))

    def unit(tx):
        with pytest.raises(Conflict) as refused:
            release(tx, wrong)
        assert refused.value.code == "budget.unreserved"

    till.database.write(unit)
    assert spent(till, "day", "life") == [30, 1]


def test_a_unit_that_fails_afterwards_takes_its_uses_back(till):
    def unit(tx):
        reserve(tx, [vnd(30)])
        raise RuntimeError("the log does not answer")

    with pytest.raises(RuntimeError):
        till.database.write(unit)
    assert spent(till, "exchange/2026-12-01") == [0]


def test_a_quota_gives_what_is_left_and_then_says_no_without_a_refusal(till):
    taken = [till.database.write(lambda tx: take(tx, "free/sha256:a", 2)) for _ in range(3)]
    assert taken == [True, True, False]
    till.database.write(lambda tx: release(tx, [("free/sha256:a", 1)]))
    assert till.database.write(lambda tx: take(tx, "free/sha256:a", 2))
    assert not till.database.write(lambda tx: take(tx, "free/sha256:b", 0))


def test_what_was_never_used_counts_as_nothing_and_no_question_needs_no_answer(till):
    assert till.read(used, []) == {}
    assert till.read(used, ["x", "y"]) == {"x": 0, "y": 0}


def races(first, second):
    """Forty amounts of 7, in two orders of the caps, from two nodes with four threads each; answers those granted."""

    def attempt(number):
        uses = [vnd(7, 100, "day"), vnd(7, 200, "buyer")]
        try:
            (first, second)[number % 2].write(lambda tx: reserve(tx, uses if number % 2 else uses[::-1]))
        except Insufficient:
            return 0
        return 7

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(attempt, range(40)))


def test_no_race_takes_more_than_a_cap_on_either_database(database_url):
    engines = [open_engine(database_url) for _ in range(2)]
    metadata.create_all(engines[0])
    with Database(engines[0]) as first, Database(engines[1]) as second:
        assert races(first, second) == 98
        first.write(lambda tx: release(tx, [("day", 98)]))
        with pytest.raises(Insufficient, match="of which 2 are left"):
            first.write(lambda tx: reserve(tx, [vnd(94, 100, "day"), vnd(7, 100, "day2"), vnd(7, 100, "buyer")]))
        with first.read() as connection:
            assert used(connection, ["day", "day2", "buyer"]) == {"day": 0, "day2": 0, "buyer": 98}


STEPS = st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from("abc"), min_size=1)), max_size=25)


def allowed(tx, reserves, caps):
    try:
        reserve_uses(tx, caps.items()) if reserves else release_uses(tx, caps)
    except (Insufficient, Conflict):
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(STEPS, st.fixed_dictionaries({name: st.integers(0, 4) for name in "abc"}))
def test_any_sequence_keeps_every_budget_between_zero_and_its_cap(steps, caps):
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    model = dict.fromkeys("abc", 0)
    with engine.begin() as connection:
        for reserves, names in steps:
            after = {name: model[name] + (1 if reserves else -1) for name in names}
            fits = all(0 <= spent <= caps[name] for name, spent in after.items())
            assert allowed(Transaction(connection), reserves, {name: caps[name] for name in names}) is fits
            model |= after if fits else {}
            assert used(connection, "abc") == model
    engine.dispose()
