"""The edges of the record: the longest leaf, and a clock that goes back."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.audit import store
from sandbox.audit.events import EventType
from sandbox.audit.layout import LARGEST_LEAF
from sandbox.audit.log import Log
from sandbox.audit.verify import verify_log
from sandbox.core.clock import ManualClock
from sandbox.core.database import Database, Transaction
from sandbox.core.engines import open_engine
from sandbox.core.errors import Invalid
from sandbox.core.terms import EntryId
from tests import invariants
from tests.deeds import KEY, NOON, ORIGIN, VKEY, Deeds, deed
from tests.world import INDEX, World

DAY = timedelta(days=1)


# --- the longest leaf ---


def padded(mine: Log, name: str, length: int) -> Any:
    """A deed whose leaf has exactly so many bytes."""

    def unit(tx: Transaction) -> str:
        bare = Transaction(tx.connection)
        clear: dict[str, Any] = {"code": ""}
        mine.record(bare, EventType.QUERY_FAILED, NOON, entry_id=EntryId(f"{name}_probe"), clear=clear)
        short = length - len(bare.leaves[0][1]) + len("_probe")
        deed_row(tx, name)
        clear = {"code": "x" * short}
        mine.record(tx, EventType.QUERY_FAILED, NOON, entry_id=EntryId(name), clear=clear)
        return name

    return unit


def deed_row(tx: Transaction, name: str) -> None:
    tx.connection.execute(sa.text("INSERT INTO deed (entry_id) VALUES (:name)"), {"name": name})
    tx.connection.execute(sa.text("UPDATE deed_count SET value = value + 1"))


def raw(name: str, length: int) -> Any:
    """A leaf that goes round the log's own check, to the seal."""

    def unit(tx: Transaction) -> str:
        deed_row(tx, name)
        tx.record(name, b"x" * length)
        return name

    return unit


def outcomes(futures: "Sequence[Future[str]]") -> list[str]:
    said = []
    for future in futures:
        try:
            said.append(future.result(20))
        except Invalid as error:
            said.append(error.code)
    return said


@pytest.mark.parametrize("kind", ["recorded", "raw"])
def test_the_longest_leaf_is_taken_and_one_byte_more_refused_before_the_commit_without_harm_to_neighbours(
    deeds: Deeds, kind: str
) -> None:
    with deeds.opened() as (database, mine):
        make = (lambda name, size: padded(mine, name, size)) if kind == "recorded" else raw
        futures = [
            *[database.submit(deed(mine, f"before_{number}")) for number in range(5)],
            database.submit(make("longest", LARGEST_LEAF)),
            database.submit(make("longer", LARGEST_LEAF + 1)),
            *[database.submit(deed(mine, f"after_{number}")) for number in range(5)],
        ]
        said = outcomes(futures)
    expected = [*[f"before_{number}" for number in range(5)], "longest", *[f"after_{number}" for number in range(5)]]
    assert said == [*expected[:6], "log.leaf_too_large", *expected[6:]]
    engine = open_engine(deeds.url)
    with engine.connect() as connection:
        rows = [*connection.execute(sa.text("SELECT entry_id FROM deed")).scalars()]
        found = [*connection.execute(sa.select(store.log_entry.c.entry_id).order_by(store.log_entry.c.idx)).scalars()]
        longest = connection.scalar(sa.select(sa.func.max(sa.func.length(store.log_entry.c.leaf))))
    engine.dispose()
    assert (rows, found, longest) == (expected, expected, LARGEST_LEAF)
    deeds.publish()
    assert verify_log(deeds.folder, VKEY, replay=False).size == len(expected)


# --- a clock that goes back ---


def sale(mine: Log, number: int, at: datetime) -> Any:
    def unit(tx: Transaction) -> None:
        clear: dict[str, Any] = {
            "query": f"qry_{number}",
            "agreements": [{"id": "sha256:0", "dataset": "chi_so", "vnd": number}],
            "meter": {"rows_out": 1, "bytes_out": 10, "vnd": number},
        }
        mine.record(tx, EventType.QUERY_COMPLETED, at, entry_id=EntryId(f"ent_{number}"), clear=clear)

    return unit


def test_when_the_clock_goes_back_the_order_is_the_index_and_each_day_keeps_its_sum(deeds: Deeds) -> None:
    clock = ManualClock(NOON)
    steps = [DAY, -DAY * 3, DAY * 2, -timedelta(seconds=1), timedelta(0), DAY]
    engine, mine = open_engine(deeds.url), Log(ORIGIN, KEY, clock)
    mine.load(engine)
    days: dict[str, int] = {}
    with Database(engine, mine) as database:
        for number, step in enumerate(steps * 5, 1):
            clock.move_to(clock.now() + step) if hasattr(clock, "move_to") else clock.advance(step)
            at = clock.now()
            database.write(sale(mine, number, at))
            day = at.astimezone(UTC).date().isoformat()  # noon UTC is the same day in Ho Chi Minh City
            days[day] = days.get(day, 0) + number
            if number % 10 == 0:
                deeds.publish()
    verdict = verify_log(deeds.folder, VKEY)
    assert {day: totals.vnd for day, totals in verdict.by_day.items()} == days
    assert verdict.totals.vnd == sum(range(1, 31))
    engine = open_engine(deeds.url)
    with engine.connect() as connection:
        at = [*connection.execute(sa.select(store.log_head.c.at).order_by(store.log_head.c.size)).scalars()]
        found = [*connection.execute(sa.select(store.log_entry.c.entry_id).order_by(store.log_entry.c.idx)).scalars()]
    engine.dispose()
    assert at != sorted(at), "the clock did not go back"
    assert found == [f"ent_{number}" for number in range(1, 31)]


def test_an_exchange_whose_clock_goes_back_counts_the_same_from_ledger_and_log(
    ready_world: World, tmp_path: Path
) -> None:
    world = ready_world.copy_to(tmp_path)
    kept: list[bytes] = []
    try:
        for step in (timedelta(hours=20), -timedelta(hours=10), timedelta(hours=12), -timedelta(minutes=1)):
            world.clock.advance(step)
            world.query("SELECT noi FROM chi_so", dataset=INDEX)
            invariants.check(world.exchange, world.vkey, kept)
        world.reopen()
        world.query("SELECT noi FROM chi_so", dataset=INDEX)
        invariants.check(world.exchange, world.vkey, kept)
    finally:
        world.exchange.close()
