"""How many queries a contract allows in a day, a week, a month and in all, by the calendar of Ho Chi Minh City."""

from datetime import timedelta

import pytest

from sandbox.core.errors import Insufficient, SandboxError
from tests.world import INDEX, World

OPEN = "SELECT noi FROM chi_so"
DAY = timedelta(days=1)


def limited(world: World, **budget: int) -> str:
    """An agreement of two months with some of the four budgets; the clock stands at Tuesday, 1 December 2026, 10:00."""
    world.publish(INDEX)
    nothing = dict.fromkeys(("day", "week", "month", "lifetime"))
    return world.agree(INDEX, access_budget=nothing | budget, term_days=75)


def ask(world: World, agreement: str) -> None:
    world.query(OPEN, agreements=(agreement,))


def exhausted(world: World, agreement: str) -> Insufficient:
    with pytest.raises(Insufficient) as refusal:
        ask(world, agreement)
    assert (refusal.value.code, refusal.value.reasons) == ("budget.exhausted", ("QRY-07",))
    last = world.entries()[-1]
    assert (last["type"], last["reasons"]) == ("query.refused", ["QRY-07"])
    return refusal.value


@pytest.mark.parametrize(
    ("period", "ends", "said"),
    [
        # the hours until the period is over, less one
        ("day", timedelta(hours=13), "02/12/2026"),
        ("week", 5 * DAY + timedelta(hours=13), "07/12/2026"),
        ("month", 30 * DAY + timedelta(hours=13), "01/01/2027"),
    ],
)
def test_a_budget_comes_back_with_the_next_period_and_not_an_hour_before(
    world: World, period: str, ends: timedelta, said: str
) -> None:
    agreement = limited(world, **{period: 2})
    ask(world, agreement)
    ask(world, agreement)
    refusal = exhausted(world, agreement)
    assert f"allows in a {period} is 2" in refusal.message
    assert said in refusal.hint
    world.clock.advance(ends)
    exhausted(world, agreement)
    world.clock.advance(timedelta(hours=1))
    ask(world, agreement)


def test_what_a_contract_allows_in_all_never_comes_back(world: World) -> None:
    agreement = limited(world, lifetime=2)
    for _ in range(2):
        ask(world, agreement)
        world.clock.advance(20 * DAY)
    exhausted(world, agreement)


def test_of_several_budgets_the_one_that_is_used_up_refuses_and_takes_nothing_of_the_others(world: World) -> None:
    agreement = limited(world, day=1, week=3, month=4, lifetime=5)
    ask(world, agreement)
    for _ in range(5):
        assert "in a day" in exhausted(world, agreement).message
    for _ in range(2):
        world.clock.advance(DAY)
        ask(world, agreement)  # the refused ones have taken nothing of the week
    world.clock.advance(DAY)
    assert "in a week" in exhausted(world, agreement).message
    world.clock.advance(4 * DAY)
    ask(world, agreement)
    world.clock.advance(DAY)
    assert "in a month" in exhausted(world, agreement).message
    world.clock.advance(25 * DAY)
    ask(world, agreement)
    world.clock.advance(DAY)
    assert "in all" in exhausted(world, agreement).message


def test_a_query_that_fails_gives_its_use_of_every_budget_back(world: World) -> None:
    world.publish(INDEX)
    budget = {"day": 1, "week": 1, "month": 1, "lifetime": 1}
    agreement = world.agree(INDEX, access_budget=budget, max_rows=3)
    with pytest.raises(SandboxError) as caught:
        ask(world, agreement)  # five rows
    assert world.entries()[-1]["type"] == "query.failed", caught.value
    world.query(OPEN + " LIMIT 3", agreements=(agreement,))
    exhausted(world, agreement)
