"""One query through the house: answered, refused, failed, and what stands in the log and the ledger afterwards."""

import dataclasses
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from sandbox.core.canonical import parse
from sandbox.core.errors import (
    AgreementRefused,
    Insufficient,
    Invalid,
    NotFound,
    PolicyRefused,
    QueryRefused,
    ReleaseRefused,
    SandboxError,
    Unavailable,
)
from sandbox.core.terms import Digest, ParticipantId
from sandbox.exchange.case import QueryRequest
from sandbox.policy.decision import Decision, Question
from sandbox.query.engine import Job, Outcome
from tests.world import BUYER, INDEX, OTHER, PER_ROUTE, REGULATOR, TRIPS, World


def balance(world: World, owner: str = BUYER) -> int:
    return world.exchange.balance(ParticipantId(owner))


def test_a_query_is_answered_charged_and_recorded(ready: World) -> None:
    result = ready.query()
    assert ready.rows(result) == [("R1", 30, 420_000), ("R2", 28, 392_000)]
    assert result.groups_withheld  # R3 has two riders
    assert result.price_vnd == 15_000
    assert balance(ready) == 85_000
    assert [entry["type"] for entry in ready.entries()][-2:] == ["query.authorized", "query.completed"]
    completed = ready.entries()[-1]
    assert completed["meter"] == {"rows_out": 2, "bytes_out": len(result.ipc), "vnd": 15_000}


def test_an_open_dataset_is_answered_row_by_row_for_nothing(ready: World) -> None:
    result = ready.query("SELECT noi FROM chi_so WHERE diem > 3 ORDER BY noi", dataset=INDEX)
    assert ready.rows(result) == [("A",), ("B",)]
    assert (result.price_vnd, result.groups_withheld, balance(ready)) == (0, False, 100_000)


def test_the_log_shows_neither_the_buyer_nor_the_sql(ready: World) -> None:
    ready.query()
    text = str(ready.entries())
    assert BUYER not in text
    assert "tuyen" not in text


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT khach, count(*) FROM chuyen_di GROUP BY khach", "QRY-09"),
        ("SELECT tuyen, count(*) FROM chuyen_di WHERE khach = 1000 GROUP BY tuyen", "QRY-09"),
        ("SELECT gia_vnd, count(*) FROM chuyen_di GROUP BY gia_vnd", "QRY-04"),
        ("SELECT tuyen, max(gia_vnd) FROM chuyen_di GROUP BY tuyen", "QRY-03"),
        ("SELECT tuyen, sum(bi_mat) FROM chuyen_di GROUP BY tuyen", "CONT-06"),
        ("SELECT count(*) FROM chi_so", "CONT-06"),
        ("SELECT * FROM chuyen_di", "QRY-01"),
        ("SELECT 1; SELECT 2", "QRY-01"),
        ("COPY chuyen_di TO 'x.csv'", "QRY-01"),
        ("INSERT INTO chuyen_di VALUES (1, 'R1', 1)", "QRY-01"),
    ],
)
def test_what_the_contract_does_not_open_is_refused_and_recorded(ready: World, sql: str, reason: str) -> None:
    with pytest.raises(SandboxError) as refusal:
        ready.query(sql)
    assert reason in refusal.value.reasons
    assert isinstance(refusal.value, QueryRefused | PolicyRefused)
    last = ready.entries()[-1]
    assert (last["type"], last["query"], reason in last["reasons"]) == ("query.refused", refusal.value.query, True)
    assert balance(ready) == 100_000


@pytest.mark.parametrize("sql", ["", "   ", "SELEC 1", "SELECT 'a\x00b'", "SELECT " + "(" * 5000, "SELECT '\udcff'"])
def test_text_that_is_no_query_is_refused_and_recorded(ready: World, sql: str) -> None:
    with pytest.raises((QueryRefused, Invalid)) as refusal:
        ready.query(sql)
    assert refusal.value.hint
    assert ready.entries()[-1]["type"] == "query.refused"


def test_a_purpose_that_the_contract_does_not_name_is_refused(ready: World) -> None:
    with pytest.raises(PolicyRefused) as refusal:
        ready.query(purpose="ban_lai")
    assert refusal.value.reasons == ("CONT-03",)


def test_all_failing_rules_are_named_not_only_the_first(ready: World) -> None:
    with pytest.raises(PolicyRefused) as refusal:
        ready.query("SELECT khach, max(gia_vnd) FROM chuyen_di GROUP BY khach", purpose="ban_lai")
    assert {"CONT-03", "QRY-03", "QRY-09"} <= {*refusal.value.reasons}


def test_an_agreement_ends_on_time(ready: World) -> None:
    ready.clock.advance(timedelta(days=30))
    with pytest.raises(AgreementRefused) as refusal:
        ready.query()
    assert (refusal.value.code, refusal.value.reasons) == ("agreement.not_in_force", ("CONT-02",))
    assert ready.entries()[-1]["type"] == "query.refused"


def test_a_strangers_agreement_looks_like_none(ready: World) -> None:
    with pytest.raises(NotFound) as of_a_stranger:
        ready.query(buyer=OTHER)
    with pytest.raises(NotFound) as of_nobody:
        ready.query(buyer=OTHER, agreements=["sha256:" + "0" * 64])
    assert of_a_stranger.value.code == of_nobody.value.code == "agreement.unknown"


def test_the_provider_and_the_regulator_read_no_rows(ready: World) -> None:
    with pytest.raises(PolicyRefused) as refusal:
        ready.query(buyer="so-mau")
    assert "CONT-05" in refusal.value.reasons
    with pytest.raises(NotFound):
        ready.query(buyer=REGULATOR)


def test_an_agreement_that_the_sql_does_not_read_is_not_charged_for(ready: World) -> None:
    both = [ready.agreements[TRIPS, BUYER], ready.agreements[INDEX, BUYER]]
    with pytest.raises(Invalid) as refusal:
        ready.query("SELECT noi FROM chi_so", agreements=both)
    assert "chuyen_di" in refusal.value.message


@pytest.mark.parametrize("names", [[], ["sha256:" + "1" * 64] * 9])
def test_a_query_stands_under_one_to_eight_agreements(ready: World, names: list[str]) -> None:
    request = QueryRequest(PER_ROUTE, tuple(names), "nghien_cuu")
    with pytest.raises(Invalid):
        ready.exchange.query(ready.who(BUYER), request)


def test_an_empty_wallet_refuses_before_anything_runs(ready: World) -> None:
    for _ in range(6):
        ready.query()
    with pytest.raises(Insufficient) as refusal:
        ready.query()
    assert (refusal.value.code, refusal.value.reasons) == ("wallet.insufficient", ("PAY-01",))
    assert balance(ready) == 10_000


def test_a_price_above_the_buyers_own_limit_is_refused(ready: World) -> None:
    with pytest.raises(Insufficient) as refusal:
        ready.query(max_price_vnd=14_999)
    assert refusal.value.code == "price.above_limit"
    assert ready.query(max_price_vnd=15_000).price_vnd == 15_000


def test_uses_are_counted_by_day_and_given_back_on_failure(world: World) -> None:
    world.publish(INDEX)
    world.agree(INDEX, access_budget={"day": 2, "week": None, "month": None, "lifetime": 3})
    ask = lambda: world.query("SELECT noi FROM chi_so", dataset=INDEX)  # noqa: E731
    ask()
    ask()
    with pytest.raises(Insufficient) as refusal:
        ask()
    assert refusal.value.code == "budget.exhausted"
    world.clock.advance(timedelta(days=1))
    ask()
    with pytest.raises(Insufficient):
        ask()


def test_a_result_over_the_row_limit_is_refused_and_the_money_goes_back(world: World) -> None:
    world.publish(INDEX)
    world.agree(INDEX, max_rows=3, price_vnd=5_000)
    with pytest.raises(QueryRefused) as refusal:
        world.query("SELECT noi FROM chi_so", dataset=INDEX)
    assert refusal.value.reasons == ("QRY-07",)
    assert world.entries()[-1]["type"] == "query.failed"
    assert balance(world) == 100_000


def test_row_filters_hold_rows_back_whatever_the_sql(world: World) -> None:
    world.publish(INDEX)
    world.agree(INDEX, row_filter=[{"column": "noi", "values": ["A", "C"]}])
    assert world.rows(world.query("SELECT noi FROM chi_so WHERE true OR noi = 'B'", dataset=INDEX)) == [("A",), ("C",)]


def test_a_filter_that_isolates_few_riders_leaves_no_group(ready: World) -> None:
    result = ready.query("SELECT count(*) AS n FROM chuyen_di WHERE tuyen = 'R3'")
    assert (result.rows, result.groups_withheld) == (0, True)


def test_concurrent_queries_spend_exactly_what_the_wallet_holds(ready: World) -> None:
    def ask(_: int) -> bool:
        try:
            ready.query()
        except Insufficient:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(ask, range(10)))
    assert answered.count(True) == 6
    assert balance(ready) == 10_000


class Broken:
    """An engine that fails where a test wants it to."""

    def __init__(self, real: Any, failure: BaseException) -> None:
        self.real, self.failure = real, failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run(self, job: Job) -> Outcome:
        raise self.failure


@pytest.mark.parametrize(
    "failure", [Unavailable("engine.unreachable", "gone"), RuntimeError("boom"), KeyboardInterrupt()]
)
def test_a_run_that_fails_gives_the_money_back_and_says_so(ready: World, failure: BaseException) -> None:
    ready.exchange.house = dataclasses.replace(
        ready.exchange.house, engine=Broken(ready.exchange.house.engine, failure)
    )
    with pytest.raises(type(failure)):
        ready.query()
    assert ready.entries()[-1]["type"] == "query.failed"
    assert balance(ready) == 100_000


def test_a_crash_leaves_an_authorized_query_that_is_closed_later(ready: World) -> None:
    killed = os.fork()
    if killed == 0:  # a child with the same home stops dead between authorisation and outcome
        ready.exchange = use_case_after_crash(ready)
        os._exit(0)
    os.waitpid(killed, 0)
    assert ready.entries()[-1]["type"] == "query.authorized"
    assert balance(ready) == 85_000
    ready.reopen()
    assert balance(ready) == 85_000  # its lease has not ended: another process may still be running it
    ready.clock.advance(timedelta(minutes=3))
    assert ready.exchange.repair() == 1
    assert ready.entries()[-1]["type"] == "query.failed"
    assert balance(ready) == 100_000
    assert ready.exchange.repair() == 0


def use_case_after_crash(world: World) -> Any:
    from sandbox import bootstrap

    exchange = bootstrap.build(world.settings, world.clock)
    dead = Broken(exchange.house.engine, SystemExit())
    dead.run = lambda job: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign,assignment]
    exchange.house = dataclasses.replace(exchange.house, engine=dead)
    who = exchange.identify(world.tokens[BUYER])
    exchange.query(who, QueryRequest(PER_ROUTE, (world.agreements[TRIPS, BUYER],), "nghien_cuu"))
    return exchange


class Foreign:
    """A decision point that answers what a test wants."""

    def __init__(self, answer: Decision | SandboxError) -> None:
        self.answer = answer
        self.policy = Digest("sha256:" + "0" * 64)

    def decide(self, question: Question) -> Decision:
        if isinstance(self.answer, SandboxError):
            raise self.answer
        return self.answer

    def probe(self) -> None:
        pass


def test_an_obligation_that_nobody_knows_refuses(ready: World) -> None:
    yes = Decision(True, (), {"min_group": 10, "max_rows": 10, "max_bytes": 10_000, "watermark": 1}, Digest("sha256:0"))
    ready.exchange.house = dataclasses.replace(ready.exchange.house, policy=Foreign(yes))
    with pytest.raises(PolicyRefused) as refusal:
        ready.query()
    assert refusal.value.code == "policy.obligation_unknown"


def test_a_decision_point_that_is_down_refuses_and_is_recorded_as_an_outage(ready: World) -> None:
    down = Unavailable("policy.unreachable", "The decision point does not answer.", reasons=("engine_unreachable",))
    ready.exchange.house = dataclasses.replace(ready.exchange.house, policy=Foreign(down))
    with pytest.raises(Unavailable):
        ready.query()
    last = ready.entries()[-1]
    assert (last["type"], last["code"], last["reasons"]) == (
        "query.refused",
        "policy.unreachable",
        ["engine_unreachable"],
    )
    assert balance(ready) == 100_000


def test_a_protected_dataset_never_runs_without_its_threshold(ready: World) -> None:
    lax = Decision(True, (), {"min_group": 10, "max_rows": 100, "max_bytes": 100_000}, Digest("sha256:0"))
    ready.exchange.house = dataclasses.replace(ready.exchange.house, policy=Foreign(lax))
    with pytest.raises((ReleaseRefused, QueryRefused)):
        ready.query("SELECT khach, count(*) FROM chuyen_di GROUP BY khach")


def test_a_receipt_is_for_its_buyer_and_the_overseers_only(ready: World) -> None:
    result = ready.query()
    mine = parse(ready.exchange.receipt(ready.who(BUYER), result.id))
    assert mine["entry"]["type"] == "query.completed"  # type: ignore[index,call-overload]
    assert ready.exchange.receipt(ready.who(REGULATOR), result.id)
    for stranger in (OTHER, "so-mau"):
        with pytest.raises(NotFound):
            ready.exchange.receipt(ready.who(stranger), result.id)


def test_a_refusal_has_a_receipt_too(ready: World) -> None:
    with pytest.raises(PolicyRefused) as refusal:
        ready.query(purpose="ban_lai")
    receipt = parse(ready.exchange.receipt(ready.who(BUYER), str(refusal.value.query)))
    assert receipt["entry"]["type"] == "query.refused"  # type: ignore[index,call-overload]


def test_no_thread_or_process_is_left_when_the_exchange_closes(ready: World) -> None:
    ready.query()
    ready.reopen()
    ready.exchange.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "database-writer"]
    ready.exchange = __import__("sandbox.bootstrap", fromlist=["build"]).build(ready.settings, ready.clock)
