"""How far the jail is shut in stands in every entry of a query, and below what is required nothing runs."""

import pytest

from sandbox.core.errors import SandboxError, Unavailable
from sandbox.query.duckdb import JailedEngine
from tests.world import BUYER, INDEX, World

PUBLISHED = "dataset.published"
KINDS = {"query.authorized", "query.refused", "query.failed", "query.completed"}


def entries(world: World) -> list[tuple[str, str]]:
    return [(each["type"], each["isolation"]) for each in world.entries() if each["type"] in {PUBLISHED, *KINDS}]


def test_every_entry_of_a_query_or_an_intake_names_the_isolation_that_was_reached(world: World) -> None:
    world.publish(INDEX)
    world.agree(INDEX, max_rows=3)
    world.query("SELECT noi FROM chi_so LIMIT 3", dataset=INDEX)
    for sql in ("SELECT noi FROM chi_so", "COPY chi_so TO 'x.csv'"):
        with pytest.raises(SandboxError):
            world.query(sql, dataset=INDEX)
    found = entries(world)
    assert {kind for kind, _ in found} == {PUBLISHED, *KINDS}
    assert {level for _, level in found} == {world.exchange.house.engine.isolation}


def test_a_refusal_before_any_child_was_needed_says_so(ready: World) -> None:
    ready.reopen()
    with pytest.raises(SandboxError):
        ready.query(purpose="ban_lai")
    ((kind, level), *_) = entries(ready)[-1:]
    assert kind == "query.refused"
    assert level in {"untried", ready.exchange.house.engine.isolation}


@pytest.mark.usefixtures("own_jail")
def test_opening_an_exchange_starts_no_jail(ready: World) -> None:
    ready.reopen()
    engine = ready.exchange.house.engine
    assert isinstance(engine, JailedEngine)
    assert engine.reached == "untried"
    assert engine._jail._zygote is None


def test_below_what_is_required_nothing_runs_nothing_is_charged_and_the_exchange_is_not_ready(ready: World) -> None:
    engine = ready.exchange.house.engine
    assert isinstance(engine, JailedEngine)
    engine._required = frozenset({"a layer that no machine has"})
    before = ready.exchange.balance(ready.who(BUYER).id)
    with pytest.raises(Unavailable) as refused:
        ready.query()
    assert refused.value.code == "engine.isolation"
    assert ready.entries()[-1]["type"] == "query.refused"
    assert ready.exchange.balance(ready.who(BUYER).id) == before
    with pytest.raises(Unavailable):
        ready.publish(INDEX)
    assert not ready.exchange.status()["engine"].ready
