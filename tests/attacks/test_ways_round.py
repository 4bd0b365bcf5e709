"""Ways round the house as a whole: what a buyer, a provider or a crash could try between the rooms."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox import bootstrap
from sandbox.core.canonical import LARGEST
from sandbox.core.errors import (
    AgreementRefused,
    Insufficient,
    Invalid,
    NotFound,
    QueryRefused,
    SandboxError,
    Unavailable,
)
from sandbox.core.signing import envelope, sign
from sandbox.core.terms import ParticipantId
from sandbox.exchange.case import QueryRequest
from sandbox.query.engine import Job, Outcome
from tests.world import BUYER, INDEX, OTHER, PER_ROUTE, PROVIDER, TRIPS, World


def balance(world: World) -> int:
    return world.exchange.balance(ParticipantId(BUYER))


def kinds(world: World) -> list[str]:
    return [entry["type"] for entry in world.entries()]


# --- contracts ---
def test_an_agreement_widened_and_signed_again_by_both_sides_still_differs_from_its_offer(ready: World) -> None:
    document = json.loads(ready.bought(ready.offered(TRIPS, price_vnd=20_000)))["contract"]
    document["terms"]["max_rows"] = 999_999
    keys = (ready.keys[BUYER], ready.keys[PROVIDER])
    forged = envelope("contract", document, [sign(document, key, "contract+jws") for key in keys])
    with pytest.raises(Invalid) as refusal:
        ready.exchange.agree(forged)
    assert (refusal.value.code, "terms" in refusal.value.message) == ("contract.invalid", True)
    assert kinds(ready)[-1] == "contract.refused"


def test_a_recorded_agreement_is_not_recorded_anew_after_a_restart(ready: World) -> None:
    text = ready.bought(ready.offered(TRIPS, price_vnd=20_000))
    ready.exchange.agree(text)
    ready.reopen()
    with pytest.raises(SandboxError) as refusal:
        ready.exchange.agree(text)
    assert refusal.value.code == "agreement.exists"


@pytest.mark.parametrize(
    "changes",
    [
        {
            "columns": [],
            "aggregate_columns": [{"columns": ["diem"], "functions": ["SUM"]}],
            "comparison_controls": {"literals": [], "columns": []},
        },
        {"columns": ["noi"], "aggregate_columns": [{"columns": ["diem"], "functions": ["AVG"]}]},
    ],
)
def test_terms_without_a_unit_do_not_open_as_aggregates_what_would_leave_as_rows(
    ready: World, changes: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as refusal:
        ready.offered(INDEX, **changes)
    assert (refusal.value.code, "diem" in refusal.value.message) == ("contract.mismatch", True)


def test_what_became_of_an_agreement_is_told_to_its_own_parties_only(ready: World) -> None:
    def revoke(tx: Any) -> None:
        tx.connection.execute(sa.text("UPDATE participant_key SET revoked_at = 1 WHERE owner = :p"), {"p": PROVIDER})

    ready.exchange.house.database.write(revoke)
    with pytest.raises(AgreementRefused):
        ready.query()
    with pytest.raises(NotFound) as refusal:
        ready.query(buyer=OTHER)
    assert refusal.value.code == "agreement.unknown"


def test_no_trick_with_a_prefix_finds_an_agreement(ready: World) -> None:
    for name in ("", "sha256:", "sha256:a", "%", "______", "sha256:%%%%%%", "' OR 1=1 --", "\x00" * 8):
        with pytest.raises(NotFound) as refusal:
            ready.query(agreements=[name])
        assert refusal.value.code == "agreement.unknown"


def test_one_agreement_named_twice_is_no_second_agreement(ready: World) -> None:
    name = ready.agreements[TRIPS, BUYER]
    with pytest.raises(Invalid):
        ready.query(agreements=[name, name[:20]])
    assert balance(ready) == 100_000


# --- SQL over several contracts ---
JOINS = [
    "SELECT t.tuyen, count(*) FROM chuyen_di t, chi_so i GROUP BY t.tuyen",
    "SELECT noi, (SELECT sum(gia_vnd) FROM chuyen_di WHERE tuyen = 'R3') FROM chi_so",
    "WITH x AS (SELECT tuyen, count(*) n FROM chuyen_di GROUP BY tuyen) SELECT * FROM x, chi_so",
    "SELECT noi FROM chi_so UNION ALL SELECT tuyen FROM chuyen_di GROUP BY tuyen",
    "SELECT noi FROM chi_so WHERE EXISTS (SELECT 1 FROM chuyen_di WHERE tuyen = 'R3')",
    "SELECT count(*) FROM chuyen_di WHERE tuyen IN (SELECT noi FROM chi_so)",
    "SELECT tuyen, count(*) FROM chuyen_di SEMI JOIN chi_so ON true GROUP BY tuyen",
    "SELECT noi, t.* FROM chi_so, LATERAL (SELECT count(*) FROM chuyen_di) t",
    "PIVOT (SELECT * FROM chuyen_di, chi_so) ON tuyen IN ('R3') USING sum(gia_vnd)",
]


def test_an_open_relation_is_no_way_into_a_protected_one(ready: World) -> None:
    both = [ready.agreements[TRIPS, BUYER], ready.agreements[INDEX, BUYER]]
    for sql in JOINS:
        with pytest.raises(QueryRefused) as refusal:
            ready.query(sql, agreements=both)
        assert refusal.value.code == "query.shape"
    assert balance(ready) == 100_000


def test_exact_mode_tells_a_withheld_group_by_the_difference_of_two_large_ones(ready: World) -> None:
    """Known, see docs/security.md; a release mode that holds against it turns this test and that page round."""
    rest = "SELECT sum(gia_vnd) - sum(gia_vnd) FILTER (WHERE tuyen IN ('R1', 'R2')) AS r3 FROM chuyen_di"
    assert ready.rows(ready.query(rest)) == [(4 * 7_000,)]


# --- money ---
def test_a_wallet_never_outgrows_what_a_policy_can_be_asked_about(ready: World) -> None:
    for _ in range(9):
        ready.exchange.top_up(ParticipantId(BUYER), 10**15, "UNC")
    with pytest.raises(Invalid) as refusal:
        ready.exchange.top_up(ParticipantId(BUYER), 10**15, "UNC")
    assert refusal.value.code == "wallet.amount"
    assert balance(ready) <= LARGEST
    assert ready.query().rows == 2


def test_no_odd_amount_reaches_a_wallet_and_no_odd_price_an_offer(ready: World) -> None:
    amounts: list[Any] = [True, 0.5, "5", -1, 2**63, 10**15 + 1]
    for amount in amounts:
        with pytest.raises((SandboxError, TypeError)):
            ready.exchange.top_up(ParticipantId(BUYER), amount, "UNC")
    for price in (*amounts[:5], 10**15):
        with pytest.raises(Invalid):
            ready.offered(TRIPS, price_vnd=price)
    assert balance(ready) == 100_000


def test_two_servers_on_one_home_spend_one_wallet_and_one_budget(ready: World) -> None:
    name = ready.agree(TRIPS, price_vnd=10_000, access_budget={"day": 4, "week": None, "month": None, "lifetime": None})
    with bootstrap.build(ready.settings, ready.clock) as second:

        def ask(number: int) -> str:
            exchange = (ready.exchange, second)[number % 2]
            try:
                exchange.query(exchange.identify(ready.tokens[BUYER]), QueryRequest(PER_ROUTE, (name,), "nghien_cuu"))
            except Insufficient as refusal:
                return refusal.code
            return "answered"

        with ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(ask, range(12)))
    assert (ends.count("answered"), ends.count("budget.exhausted")) == (4, 8)
    assert balance(ready) == 60_000


# --- time ---
def test_a_clock_that_goes_back_opens_nothing_and_breaks_no_record(ready: World) -> None:
    ready.query()
    ready.clock.advance(-timedelta(days=2))
    with pytest.raises(AgreementRefused) as refusal:
        ready.query()
    assert refusal.value.code == "agreement.not_in_force"
    ready.reopen()
    ready.clock.advance(timedelta(days=2))
    assert ready.query().rows == 2


class Late:
    """An engine that is still at work when repair takes its run for abandoned."""

    def __init__(self, world: World, failure: Exception | None) -> None:
        self.world, self.real, self.failure = world, world.exchange.house.engine, failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run(self, job: Job) -> Outcome:
        outcome = self.real.run(job)
        self.world.clock.advance(timedelta(hours=1))
        assert self.world.exchange.repair() == 1
        if self.failure:
            raise self.failure
        return outcome


@pytest.mark.parametrize(
    ("failure", "code"), [(None, "run.abandoned"), (QueryRefused("run.failed", "It failed."), "run.failed")]
)
def test_a_run_that_repair_closed_gives_no_result_and_costs_nothing(
    ready: World, failure: Exception | None, code: str
) -> None:
    ready.exchange.house = dataclasses.replace(ready.exchange.house, engine=Late(ready, failure))
    with pytest.raises(SandboxError) as refusal:
        ready.query()
    assert refusal.value.code == code
    assert kinds(ready)[-2:] == ["query.authorized", "query.failed"]
    assert balance(ready) == 100_000


# --- crashes ---
class Failing:
    """A database whose writes of some numbers fail: ``lost`` before they are done, ``kept`` although they are."""

    def __init__(self, real: Any, numbers: set[int], how: str) -> None:
        self.real, self.numbers, self.how, self.count = real, numbers, how, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def write(self, unit: Any) -> Any:
        self.count += 1
        if self.count not in self.numbers:
            return self.real.write(unit)
        if self.how == "kept":
            self.real.write(unit)
            raise Unavailable("database.outcome_unknown", "Whether it was written is unknown.")
        raise Unavailable("database.unreachable", "It does not answer.")


class Broken:
    """An engine that fails each run."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run(self, job: Job) -> Outcome:
        raise QueryRefused("run.failed", "It failed.")


CLOSED = ["query.authorized", "query.failed"]
FAULTS = [
    # what is asked, which writes fail, how, what stands in the log in the end, what was paid
    ("answered", {1}, "lost", ["query.refused"], 0),
    ("answered", {1}, "kept", CLOSED, 0),
    ("answered", {1, 2}, "lost", [], 0),
    ("answered", {2}, "lost", CLOSED, 0),
    ("answered", {2}, "kept", ["query.authorized", "query.completed"], 15_000),
    ("answered", {2, 3}, "lost", CLOSED, 0),
    ("answered", {2, 3}, "kept", ["query.authorized", "query.completed"], 15_000),
    ("refused", {1}, "lost", [], 0),
    ("refused", {1}, "kept", ["query.refused"], 0),
    ("fails", {2}, "lost", CLOSED, 0),
    ("fails", {2}, "kept", CLOSED, 0),
]


@pytest.mark.parametrize(("asked", "writes", "how", "entries", "paid"), FAULTS)
def test_a_fault_at_any_durable_step_gives_no_unrecorded_result_and_loses_no_money(
    ready: World, asked: str, writes: set[int], how: str, entries: list[str], paid: int
) -> None:
    real, before = ready.exchange.house, len(kinds(ready))
    engine = Broken(real.engine) if asked == "fails" else real.engine
    ready.exchange.house = dataclasses.replace(real, database=Failing(real.database, writes, how), engine=engine)
    with pytest.raises(SandboxError):
        ready.query("SELECT * FROM chuyen_di" if asked == "refused" else PER_ROUTE)
    ready.exchange.house = real
    ready.clock.advance(timedelta(minutes=3))
    ready.exchange.repair()
    assert kinds(ready)[before:] == entries
    assert balance(ready) == 100_000 - paid


# --- what the record shows ---
def test_no_entry_of_any_kind_shows_a_buyer_its_evidence_its_purpose_or_its_sql(ready: World) -> None:
    ready.query()
    for sql in ("SELECT tuyen, max(gia_vnd) FROM chuyen_di GROUP BY tuyen", "SELECT * FROM chuyen_di"):
        with pytest.raises(SandboxError):
            ready.query(sql)
    ready.exchange.house = dataclasses.replace(ready.exchange.house, engine=Broken(ready.exchange.house.engine))
    with pytest.raises(QueryRefused):
        ready.query()
    ready.exchange.export_log()
    published = b"".join(path.read_bytes() for path in (ready.home / "log").rglob("*") if path.is_file())
    assert b"query.failed" in published
    for word in (BUYER, OTHER, "UNC-1", "nghien_cuu", "SELECT", "tuyen", "khach"):
        assert word.encode() not in published


def test_no_refusal_tells_of_paths_other_parties_or_the_engine(ready: World) -> None:
    secrets = (str(ready.folder), "extracts", "Traceback", "duckdb_", "bi_mat", INDEX + " ", OTHER, "root:")
    for sql in (
        "SELECT khong_co FROM chuyen_di",
        "SELECT * FROM '/etc/passwd'",
        "SELECT error('x')",
        "SELECT (",
        "FROM x",
    ):
        with pytest.raises(SandboxError) as refusal:
            ready.query(sql)
        assert not [word for word in secrets if word in refusal.value.message + refusal.value.hint], sql
