"""Orders that stop trading: by whom, over what, what they do to what runs and waits, and who lets it go on."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.core.errors import Conflict, NotFound, NotIdentified, PolicyRefused, SandboxError
from sandbox.exchange import query as query_module
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, TRIPS, World

LONG = "SELECT count(*) FROM chi_so, range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"
OPEN = "SELECT noi FROM chi_so"


def scopes(world: World) -> dict[str, str | None]:
    agreement = world.agreements[INDEX, BUYER]
    return {"market": None, "participant": PROVIDER, "dataset": INDEX, "agreement": agreement}


def refused(world: World) -> SandboxError:
    with pytest.raises(SandboxError) as caught:
        world.query(OPEN, dataset=INDEX)
    return caught.value


@pytest.mark.parametrize("kind", ["market", "participant", "dataset", "agreement"])
@pytest.mark.parametrize("issuer", [REGULATOR, OPERATOR])
def test_regulator_and_operator_each_stop_whatever_it_is(ready: World, kind: str, issuer: str) -> None:
    ready.order("suspend", kind, scopes(ready)[kind], issuer)
    error = refused(ready)
    assert "CHARTER-06" in error.reasons
    assert error.query, "a refusal that nobody can look up"
    assert ready.entries()[-1]["type"] == "query.refused"
    assert [entry["type"] for entry in ready.entries()].count("order.given") == 1


@pytest.mark.parametrize("party", [PROVIDER, BUYER])
def test_a_party_stops_its_own_agreement(ready: World, party: str) -> None:
    ready.order("suspend", "agreement", ready.agreements[INDEX, BUYER], party)
    assert "CHARTER-06" in refused(ready).reasons
    assert {row.state for row in ready.exchange.agreements() if row.dataset == INDEX} == {"suspended"}


@pytest.mark.parametrize(
    ("kind", "issuer"),
    [("market", PROVIDER), ("market", BUYER), ("participant", OTHER), ("dataset", BUYER), ("agreement", OTHER)],
)
def test_nobody_stops_what_is_not_theirs(ready: World, kind: str, issuer: str) -> None:
    with pytest.raises(PolicyRefused) as caught:
        ready.order("suspend", kind, scopes(ready)[kind], issuer)
    assert "CHARTER-06" in caught.value.reasons
    assert ready.exchange.suspensions() == []
    assert ready.entries()[-1]["type"] == "order.refused"
    ready.query(OPEN, dataset=INDEX)


def test_regulator_and_operator_together_let_it_go_on_and_neither_alone(ready: World) -> None:
    agreement = ready.agreements[INDEX, BUYER]
    given = ready.order("suspend", "agreement", agreement, BUYER)
    for signers in ((BUYER,), (REGULATOR,), (OPERATOR,), (REGULATOR, BUYER)):
        with pytest.raises(SandboxError):
            ready.order("resume", "agreement", agreement, *signers, ends=given.id)
        assert refused(ready)
    ready.order("resume", "agreement", agreement, REGULATOR, OPERATOR, ends=given.id)
    assert ready.exchange.suspensions() == []
    ready.query(OPEN, dataset=INDEX)


def test_what_two_have_stopped_goes_on_when_both_stops_are_ended(ready: World) -> None:
    agreement = ready.agreements[INDEX, BUYER]
    first = ready.order("suspend", "agreement", agreement, BUYER)
    second = ready.order("suspend", "agreement", agreement, REGULATOR)
    ready.order("resume", "agreement", agreement, REGULATOR, OPERATOR, ends=first.id)
    assert "CHARTER-06" in refused(ready).reasons
    ready.order("resume", "agreement", agreement, REGULATOR, OPERATOR, ends=second.id)
    ready.query(OPEN, dataset=INDEX)


def test_what_is_terminated_stays_so(ready: World) -> None:
    agreement = ready.agreements[INDEX, BUYER]
    given = ready.order("suspend", "agreement", agreement, REGULATOR)
    ready.order("terminate", "agreement", agreement, PROVIDER, BUYER)
    with pytest.raises(Conflict):
        ready.order("resume", "agreement", agreement, REGULATOR, OPERATOR, ends=given.id)
    assert refused(ready).code == "agreement.not_in_force"
    assert [entry["type"] for entry in ready.entries()].count("agreement.terminated") == 1


def test_an_order_about_nothing_changes_nothing(ready: World) -> None:
    for kind, target in (("dataset", "khong_co"), ("agreement", "sha256:" + "0" * 64), ("participant", "khong-co")):
        with pytest.raises(NotFound):
            ready.order("suspend", kind, target, REGULATOR)
    assert ready.exchange.suspensions() == []


@pytest.mark.parametrize("kind", ["market", "participant", "dataset", "agreement", "query"])
def test_a_stop_ends_what_runs_in_under_a_second(ready: World, kind: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ready.query, LONG, dataset=INDEX)
        while (last := ready.entries()[-1])["type"] != "query.authorized":
            time.sleep(0.02)
        target = last["query"] if kind == "query" else scopes(ready)[kind]
        ready.order("suspend", kind, target, REGULATOR)
        given = time.monotonic()
        error = running.exception()
        lasted = time.monotonic() - given
    assert isinstance(error, SandboxError)
    assert error.code == "run.cancelled"
    assert lasted < 30, "it would have run for minutes"
    assert ready.entries()[-1]["type"] == "query.failed"
    assert ready.exchange.balance(ready.who(BUYER).id) == 100_000


def test_a_result_that_waits_for_its_settlement_is_frozen_and_costs_nothing(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes after the run has ended well, in the last moment before the point of no return."""
    settle = query_module.settle

    def stopped(*asked: Any) -> Any:
        ready.order("suspend", "dataset", TRIPS, REGULATOR)
        return settle(*asked)

    monkeypatch.setattr(query_module, "settle", stopped)
    with pytest.raises(SandboxError) as caught:
        ready.query()
    assert "CHARTER-06" in caught.value.reasons
    assert ready.entries()[-1]["type"] == "query.failed"
    assert ready.exchange.balance(ready.who(OTHER).id) == 100_000
    assert ready.exchange.volume().count == 0


def test_the_tokens_of_a_suspended_participant_are_refused_until_it_goes_on(ready: World) -> None:
    given = ready.order("suspend", "participant", BUYER, OPERATOR)
    with pytest.raises(NotIdentified) as caught:
        ready.who(BUYER)
    assert (caught.value.code, caught.value.reasons) == ("identity.suspended", ("CHARTER-06",))
    ready.who(OTHER)
    ready.order("resume", "participant", BUYER, REGULATOR, OPERATOR, ends=given.id)
    ready.who(BUYER)


def test_an_open_incident_keeps_its_dataset_closed_until_both_close_it(ready: World) -> None:
    given = ready.order("open_incident", "dataset", INDEX, REGULATOR)
    assert "INC-01" in refused(ready).reasons
    ready.query()
    ready.order("close_incident", "dataset", INDEX, REGULATOR, OPERATOR, ends=given.id)
    ready.query(OPEN, dataset=INDEX)


def test_nothing_is_offered_agreed_or_published_while_the_market_stands_still(ready: World) -> None:
    bought = ready.bought(ready.offered(TRIPS, price_vnd=20_000), OTHER)
    ready.order("suspend", "market", None, REGULATOR)
    for act in (lambda: ready.exchange.agree(bought), lambda: ready.publish(INDEX, update_frequency="hang_nam")):
        with pytest.raises(PolicyRefused) as caught:
            act()
        assert "CHARTER-06" in caught.value.reasons


def test_evidence_is_given_out_while_the_market_stands_still(ready: World) -> None:
    result = ready.query(OPEN, dataset=INDEX)
    ready.order("suspend", "market", None, REGULATOR)
    assert ready.exchange.receipt(ready.who(BUYER).participant, result.id)


def test_of_a_stop_and_an_admission_at_the_same_time_the_stop_is_never_missed(ready: World) -> None:
    """Whatever comes first in the log holds: no query is authorized behind a stop."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                ready.query(OPEN, dataset=INDEX)
            except SandboxError:
                return

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        time.sleep(0.3)
        ready.order("suspend", "dataset", INDEX, REGULATOR)
        time.sleep(0.3)
        done.set()
        for each in asking:
            each.result()
    kinds = [entry["type"] for entry in ready.entries()]
    after = kinds[kinds.index("order.given") :]
    assert "query.authorized" not in after
    assert "query.completed" not in after
