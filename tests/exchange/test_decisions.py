"""A refusal through the whole house: every rule that fails, what would pass, and the second decision after the run."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sandbox.core.errors import Insufficient, PolicyRefused, SandboxError
from sandbox.core.terms import ParticipantId
from sandbox.exchange import query as module
from sandbox.policy.decision import Decision, Question
from tests.world import BUYER, INDEX, OPERATOR, PROVIDER, REGULATOR, TRIPS, World, charter

OPEN = "SELECT noi FROM chi_so"


def refusal(world: World, *arguments: Any, **named: Any) -> SandboxError:
    with pytest.raises(SandboxError) as caught:
        world.query(*arguments, **named)
    return caught.value


@pytest.mark.parametrize(
    ("sql", "asked", "rule", "passes"),
    [
        (None, {"purpose": "ban_lai"}, "CONT-03", "Purposes of the contract: nghien_cuu."),
        ("SELECT tuyen, max(gia_vnd) FROM chuyen_di GROUP BY tuyen", {}, "QRY-03", "sum(gia_vnd), avg(gia_vnd)"),
        ("SELECT gia_vnd, count(*) FROM chuyen_di GROUP BY gia_vnd", {}, "QRY-04", "Group and filter by: tuyen."),
        ("SELECT khach, count(*) FROM chuyen_di GROUP BY khach", {}, "QRY-09", "inside count(DISTINCT khach) only"),
    ],
)
def test_a_refusal_says_what_would_pass(
    ready: World, sql: str | None, asked: dict[str, Any], rule: str, passes: str
) -> None:
    error = refusal(ready, *filter(None, [sql]), **asked)
    assert rule in error.reasons
    assert passes in error.hint


def test_all_failing_rules_are_told_with_a_sentence_each_and_recorded(ready: World) -> None:
    sql = "SELECT khach, max(gia_vnd) FROM chuyen_di GROUP BY khach"
    ready.adopt(sectors=["cang_bien"])
    error = refusal(ready, sql, purpose="ban_lai")
    assert {"CHARTER-03", "CONT-03", "QRY-03", "QRY-09"} <= {*error.reasons}
    assert error.message.count(".") >= len(error.reasons)
    assert ready.entries()[-1]["reasons"] == list(error.reasons)


def test_a_purse_that_is_too_small_is_said_as_such(ready: World) -> None:
    for _ in range(6):
        ready.query()
    error = refusal(ready)
    assert (type(error), error.code, error.reasons) == (Insufficient, "wallet.insufficient", ("PAY-01",))
    assert "wallet top-up" in error.hint
    both = refusal(ready, purpose="ban_lai")
    assert (type(both), both.code) == (PolicyRefused, "policy.refused")
    assert both.reasons == ("CONT-03", "PAY-01")


@pytest.mark.parametrize(
    ("cap", "most"),
    [("per_transaction_vnd", 14_999), ("per_buyer_day_vnd", 29_999), ("per_provider_day_vnd", 29_999),
     ("exchange_day_vnd", 29_999), ("per_buyer_day_queries", 1)],
)  # fmt: skip
def test_a_cap_of_the_charter_stops_the_query_that_would_go_beyond_it(ready: World, cap: str, most: int) -> None:
    ready.adopt(caps=charter()["caps"] | {cap: most})
    if cap != "per_transaction_vnd":
        ready.query()
    before = ready.exchange.balance(ParticipantId(BUYER))
    error = refusal(ready)
    assert error.reasons == ("CHARTER-05",)
    assert "midnight, Asia/Ho_Chi_Minh" in error.hint
    assert ready.exchange.balance(ParticipantId(BUYER)) == before
    if cap != "per_transaction_vnd":
        ready.clock.advance(timedelta(hours=14))  # from ten in the morning: the next day
        ready.query()


@pytest.mark.parametrize(("cap", "most"), [("per_query_rows_out", 4), ("per_query_bytes_out", 50)])
def test_a_result_larger_than_the_charter_allows_does_not_leave(ready: World, cap: str, most: int) -> None:
    ready.adopt(caps=charter()["caps"] | {cap: most})
    error = refusal(ready, OPEN, dataset=INDEX)
    assert {"QRY-07", "CHARTER-05"} & {*error.reasons}
    assert ready.entries()[-1]["type"] == "query.failed"


# --- after the run ---
def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Something happens when the run has ended well, just before the result is decided on."""
    decide = module.decide_release

    def late(*asked: Any) -> None:
        act()
        decide(*asked)

    monkeypatch.setattr(module, "decide_release", late)


def given_back(world: World) -> None:
    assert world.entries()[-1]["type"] == "query.failed"
    assert world.exchange.balance(ParticipantId(BUYER)) == 100_000
    assert world.exchange.volume().count == 0


@pytest.mark.parametrize(
    ("happens", "rules"),
    [
        (lambda world: world.order("suspend", "dataset", TRIPS, REGULATOR), {"CHARTER-06"}),
        (lambda world: world.order("suspend", "participant", BUYER, OPERATOR), {"CHARTER-06"}),
        (lambda world: world.order("suspend", "market", None, REGULATOR), {"CHARTER-06"}),
        (lambda world: world.order("open_incident", "dataset", TRIPS, REGULATOR), {"INC-01"}),
        (lambda world: world.order("suspend", "agreement", world.agreements[TRIPS, BUYER], PROVIDER),
         {"CHARTER-06", "CONT-02"}),
        (lambda world: world.order("terminate", "agreement", world.agreements[TRIPS, BUYER], PROVIDER, BUYER),
         {"CONT-02"}),
        (lambda world: world.adopt(state="ended"), {"CHARTER-01"}),
    ],
    ids=["dataset", "participant", "market", "incident", "agreement", "terminated", "charter"],
)  # fmt: skip
def test_what_stops_trade_while_a_query_runs_keeps_its_result_in(
    ready: World, monkeypatch: pytest.MonkeyPatch, happens: Callable[[World], object], rules: set[str]
) -> None:
    meanwhile(monkeypatch, lambda: happens(ready))
    error = refusal(ready)
    assert {*error.reasons} == rules
    assert error.query
    given_back(ready)


def test_an_agreement_that_ends_while_its_query_runs_gives_nothing_more(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(each for each in ready.exchange.agreements() if each.dataset == TRIPS)
    ready.clock.advance(row.not_after - ready.clock.now() - timedelta(seconds=1))
    meanwhile(monkeypatch, lambda: ready.clock.advance(timedelta(seconds=2)))
    assert "CONT-02" in refusal(ready).reasons
    given_back(ready)


def test_a_run_that_was_closed_meanwhile_is_not_released(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease over, another process has given the money back: it must not be charged, nor its result given."""

    def close() -> None:
        ready.clock.advance(timedelta(minutes=10))
        assert ready.exchange.repair() == 1

    meanwhile(monkeypatch, close)
    assert refusal(ready).code == "run.abandoned"
    given_back(ready)


def test_a_suspension_of_somebody_else_keeps_nothing_in(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: ready.order("suspend", "dataset", INDEX, REGULATOR))
    assert ready.query().rows == 2


def decided_again(world: World, entry: dict[str, Any]) -> Decision:
    """What the policies at hand say to the question that an entry has sealed."""
    with world.exchange.house.database.read() as connection:
        _, value = world.exchange.house.log.bodies(connection, entry["id"])["question"]
    asked: Any = value
    question = Question(asked["subject"], asked["action"]["name"], asked["resource"], asked["context"])
    return world.exchange.house.policy.decide(question)


def test_both_decisions_on_a_query_can_be_made_again_from_the_record(ready: World) -> None:
    ready.query()
    admitted, completed = ready.entries()[-2:]
    for entry in (admitted, completed):
        assert entry["policy"] == {"bundle": ready.exchange.house.policy.policy, "decision": "allow"}
        assert decided_again(ready, entry).allow


def test_a_result_that_was_kept_in_says_so_on_the_record_and_for_the_same_reasons_again(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: ready.order("suspend", "market", None, REGULATOR))
    error = refusal(ready)
    entry = ready.entries()[-1]
    assert (entry["type"], entry["policy"]["decision"]) == ("query.failed", "deny")
    assert decided_again(ready, entry).reasons == error.reasons == tuple(entry["reasons"])


def test_a_query_that_fails_before_it_has_a_result_tells_no_second_decision(ready: World) -> None:
    ready.adopt(caps=charter()["caps"] | {"per_query_rows_out": 4})
    refusal(ready, OPEN, dataset=INDEX)
    entry = ready.entries()[-1]
    assert (entry["type"], entry["sealed"], "policy" in entry) == ("query.failed", {}, False)
