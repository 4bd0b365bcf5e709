"""A right that ends while its query runs ends the run: nothing is given, nothing charged, and it stands in the log."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.contracts import registry
from sandbox.core.database import Transaction
from sandbox.core.errors import SandboxError, Tampered
from sandbox.exchange import policies
from tests.world import BUYER, INDEX, PROVIDER, World

LONG = "SELECT count(*) FROM chi_so, range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"


def suspend(world: World) -> None:
    agreement = world.agreements[INDEX, BUYER]

    def write(tx: Transaction) -> None:
        registry.change_state(tx, agreement, "suspended")

    world.exchange.house.database.write(write)


def change_policy(world: World) -> None:
    def write(tx: Transaction) -> None:
        row = {"bundle": "sha256:" + "9" * 64, "entry": "ent", "at": world.clock.now()}
        tx.connection.execute(policies.policy_activation.insert(), row)

    world.exchange.house.database.write(write)


def expire(world: World) -> None:
    world.clock.instant = datetime(2100, 1, 1, tzinfo=UTC)


def revoke(world: World) -> None:
    world.exchange.revoke_key(world.keys[PROVIDER].kid)


@pytest.mark.parametrize("end", [suspend, change_policy, expire, revoke])
def test_a_right_that_ends_meanwhile_ends_the_run(ready: World, end: Callable[[World], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ready.query, LONG, dataset=INDEX)
        while [entry["type"] for entry in ready.entries()][-1] != "query.authorized":
            time.sleep(0.02)
        end(ready)
        began = time.monotonic()
        error = running.exception()
    assert isinstance(error, SandboxError)
    assert error.code == "run.cancelled"
    assert time.monotonic() - began < 2
    failed = ready.entries()[-1]
    assert (failed["type"], failed["code"], failed["query"]) == ("query.failed", "run.cancelled", error.query)
    assert ready.exchange.balance(ready.who(BUYER).id) == 100_000 if end is not expire else True


def test_a_query_whose_buyer_went_away_is_not_run_to_its_end(ready: World) -> None:
    gone = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ready.query, LONG, dataset=INDEX, cancelled=gone.is_set)
        while [entry["type"] for entry in ready.entries()][-1] != "query.authorized":
            time.sleep(0.02)
        gone.set()
        error = running.exception()
    assert isinstance(error, SandboxError)
    assert error.code == "run.cancelled"
    assert ready.entries()[-1]["type"] == "query.failed"


def test_a_suspended_agreement_is_not_served_by_a_worker_that_is_warm(ready: World) -> None:
    ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    suspend(ready)
    with pytest.raises(SandboxError) as refused:
        ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    assert refused.value.code == "agreement.not_in_force"


def test_what_stands_behind_the_relations_is_sealed_in_the_log(ready: World) -> None:
    ready.forget_extracts()
    ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    authorized = next(entry for entry in reversed(ready.entries()) if entry["type"] == "query.authorized")
    with ready.exchange.house.database.read() as connection:
        _, told = ready.exchange.house.log.bodies(connection, authorized["id"])["extracts"]
    (extract,) = (ready.home / "extracts").iterdir()
    assert told == {ready.agreements[INDEX, BUYER]: f"sha256:{extract.stem.partition('-')[2]}"}
    assert extract.stem.partition("-")[2] not in str(ready.entries()), "a digest of what can be guessed would tell it"


def test_an_extract_altered_on_the_disk_fails_the_query_and_charges_nothing(ready: World) -> None:
    ready.forget_extracts()
    ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    (extract,) = (ready.home / "extracts").iterdir()
    content = extract.read_bytes()
    extract.unlink()
    extract.write_bytes(content[:-1] + b"x")
    with pytest.raises(Tampered) as tampered:
        ready.query("SELECT noi, diem FROM chi_so", dataset=INDEX)
    assert tampered.value.code == "tampered.extract"
    assert ready.entries()[-1]["type"] == "query.failed"


def test_extracts_of_agreements_that_ended_are_swept(ready: World) -> None:
    ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    ready.query()
    made = {*(ready.home / "extracts").iterdir()}
    assert len(made) == 2
    age(made)
    assert ready.exchange.sweep() == 0
    suspend(ready)
    assert ready.exchange.sweep() == 1
    ready.query()
    (ready.home / "extracts" / "part-0123").mkdir()
    assert ready.exchange.sweep() == 0, "somebody may be at work on it"
    age({ready.home / "extracts" / "part-0123"})
    assert ready.exchange.sweep() == 1


def age(paths: set[Path]) -> None:
    for path in paths:
        os.utime(path, (0, 0))
