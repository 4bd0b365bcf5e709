"""Access budgets: never above their cap, all or none."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.core.database import Database, Transaction, metadata, open_engine
from sandbox.core.errors import Conflict, Insufficient
from sandbox.market.budget import release_uses, reserve_uses, used

DAY, LIFE = "sha256:a/2026-12-01", "sha256:a"


def test_a_cap_of_two_gives_two_uses_and_the_third_is_refused_by_rule(till):
    for _ in range(2):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 2)]))
    with pytest.raises(Insufficient) as refused:
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 2)]))
    assert (refused.value.code, refused.value.reasons) == ("budget.exhausted", ("QRY-07",))
    assert till.read(used, DAY) == 2


def test_all_budgets_are_taken_or_none_even_if_the_unit_goes_on(till):
    till.database.write(lambda tx: reserve_uses(tx, [(LIFE, 1)]))

    def unit(tx):
        with pytest.raises(Insufficient):
            reserve_uses(tx, [("another", 5), (DAY, 5), (LIFE, 1)])

    till.database.write(unit)
    assert [till.read(used, name) for name in ("another", DAY, LIFE)] == [0, 0, 1]


@pytest.mark.parametrize("cap", [0, -1])
def test_a_cap_of_zero_or_less_allows_nothing(till, cap):
    with pytest.raises(Insufficient, match="All 0 uses"):
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
    assert (till.read(used, DAY), till.read(used, LIFE)) == (1, 0)


def test_a_budget_named_twice_is_used_once_under_its_lower_cap(till):
    till.database.write(lambda tx: reserve_uses(tx, [(DAY, 9), (DAY, 1)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 1), (DAY, 9)]))
    till.database.write(lambda tx: release_uses(tx, [DAY, DAY]))
    assert till.read(used, DAY) == 0


def test_a_changed_cap_holds_at_once_and_forgets_nothing(till):
    for _ in range(3):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 3)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 2)]))
    till.database.write(lambda tx: reserve_uses(tx, [(DAY, 4)]))
    with pytest.raises(Insufficient):
        till.database.write(lambda tx: reserve_uses(tx, [(DAY, 4)]))
    assert till.read(used, DAY) == 4


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
            assert (granted, used(connection, "day"), used(connection, "life")) == (60, 60, 60)


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
            assert {name: used(connection, name) for name in "abc"} == model
    engine.dispose()
