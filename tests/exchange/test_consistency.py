"""Charter and orders are those that the log tells of, or the exchange does not start, or stops trading."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox import bootstrap
from sandbox.audit import recovery
from sandbox.core.database import open_engine
from sandbox.core.errors import SandboxError, Tampered, Unavailable
from sandbox.exchange import consistency
from tests.forging import forge
from tests.world import BUYER, OPERATOR, REGULATOR, World


@pytest.fixture
def world(tmp_path: Path, bare_world: World) -> World:
    """Two versions of a charter, one suspension that stands, and one that was ended."""
    made = bare_world.copy_to(tmp_path)
    made.clock.advance(timedelta(minutes=1))
    made.adopt()
    stop = made.order("suspend", "market", None, REGULATOR)
    made.clock.advance(timedelta(minutes=1))
    made.order("resume", "market", None, REGULATOR, OPERATOR, ends=stop.id)
    made.clock.advance(timedelta(minutes=1))
    made.order("suspend", "market", None, OPERATOR)
    return made


@pytest.fixture
def start(world: World) -> Callable[..., None]:
    """Stop the exchange, change its database, start it again."""

    def start_(*statements: str) -> None:
        world.exchange.close()
        forge(world.settings.database, *statements)
        bootstrap.build(world.settings, world.clock).close()

    return start_


def test_what_the_log_tells_starts(start: Callable[..., None]) -> None:
    start()


STANDS, RESUME = "act = 'suspend' AND ended_at IS NULL", "(SELECT id FROM directive WHERE act = 'resume')"
ALTERED = "CAST(replace(CAST(envelope AS TEXT), 'TPHCM', 'HANOI') AS BLOB)"
FORGERIES = {
    "the newest charter gone": "DELETE FROM charter WHERE number = 2",
    "an older charter gone": "DELETE FROM charter WHERE number = 1",
    "every charter gone": "DELETE FROM charter",
    "the charters exchanged": "UPDATE charter SET number = 13 - number",
    "a charter's text altered": f"UPDATE charter SET envelope = {ALTERED} WHERE number = 2",
    "a charter of another digest": "UPDATE charter SET digest = 'sha256:0' WHERE number = 2",
    "a charter of another version": "UPDATE charter SET version = 7 WHERE number = 2",
    "a charter without an entry": "INSERT INTO charter (number, charter, version, digest, envelope, adopted_at) "
    "SELECT 3, charter, 3, 'sha256:3', envelope, adopted_at FROM charter WHERE number = 2",
    "a standing order gone": f"DELETE FROM directive WHERE {STANDS}",
    "an ended order gone": "DELETE FROM directive WHERE ended_at IS NOT NULL",
    "the end of an order gone": "DELETE FROM directive WHERE act = 'resume'",
    "a standing order marked as ended": "UPDATE directive SET ended_at = recorded_at, "
    f"ended_by = {RESUME} WHERE {STANDS}",
    "a standing order ended by nobody": f"UPDATE directive SET ended_at = recorded_at WHERE {STANDS}",
    "an ended order standing again": "UPDATE directive SET ended_at = NULL, ended_by = NULL",
    "a stop turned into another act": f"UPDATE directive SET act = 'close_incident' WHERE {STANDS}",
    "a stop about something else": f"UPDATE directive SET kind = 'dataset', target = 'chuyen_di' WHERE {STANDS}",
    "an order with another text": f"UPDATE directive SET envelope = x'7b7d' WHERE {STANDS}",
    "an order without an entry": "INSERT INTO directive (id, act, kind, target, envelope, recorded_at) "
    f"SELECT 'sha256:0', act, kind, target, envelope, recorded_at FROM directive WHERE {STANDS}",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_charter_or_an_order_other_than_the_log_tells_does_not_start(start: Callable[..., None], name: str) -> None:
    with pytest.raises(Tampered) as refusal:
        start(FORGERIES[name])
    assert refusal.value.code == ("tampered.charter" if "charter" in name else "tampered.order")
    assert "tell the regulator" in refusal.value.hint


def test_an_order_whose_clock_was_set_back_between_its_entry_and_its_row_starts_all_the_same(
    world: World, start: Callable[..., None]
) -> None:
    """Its entry is not where its time says; then all of the log is looked through before anyone is accused."""
    start("UPDATE directive SET recorded_at = recorded_at + 3600000000")


def test_on_each_kind_of_database_the_rows_are_held_against_the_log(database_url: str, tmp_path: Path) -> None:
    made = World(tmp_path, overrides={"database_url": database_url})
    stop = made.order("suspend", "market", None, REGULATOR)
    made.order("resume", "market", None, REGULATOR, OPERATOR, ends=stop.id)
    made.reopen()
    made.exchange.survey()
    made.exchange.close()
    engine = open_engine(database_url)
    with engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("UPDATE directive SET ended_at = NULL, ended_by = NULL")
    engine.dispose()
    with pytest.raises(Tampered, match="does not say so"):
        bootstrap.build(made.settings, made.clock)


# --- what is further back than the start looks ---
def test_a_row_gone_long_ago_is_found_by_the_survey_and_stops_trading(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consistency, "NEWEST", 2)
    world.exchange.close()
    forge(world.settings.database, "DELETE FROM charter WHERE number = 1")
    world.exchange = bootstrap.build(world.settings, world.clock)
    assert world.exchange.status()["log"].ready
    with pytest.raises(Tampered, match="Version 1 of charter"):
        world.exchange.survey()
    assert world.exchange.status()["log"].says == "log.unpublishable"
    request: Any = None
    with pytest.raises(Unavailable) as refusal:
        world.exchange.query(world.who(BUYER), request)
    assert (refusal.value.code, "sandbox log status" in refusal.value.hint) == ("log.unpublishable", True)
    world.exchange.close()


def test_a_survey_comes_to_the_beginning_of_the_log_in_bites(world: World) -> None:
    survey, left = consistency.Survey(), []
    with world.exchange.house.database.read() as connection:
        while survey.left != 0:
            survey.go_on(connection, 3)
            left.append(survey.left)
    size = len(world.entries())
    assert left == [*range(size - 3, 0, -3), 0]
    world.exchange.close()


# --- what was published contradicts the database, under way ---
def test_a_published_log_that_contradicts_the_database_stops_trading(world: World) -> None:
    world.exchange.export_log()
    (world.home / "log" / "checkpoint").write_bytes(b"damaged")
    with pytest.raises(Tampered):
        world.exchange.export_log()
    assert world.exchange.status()["log"].says == "log.unpublishable"
    assert world.exchange.datasets() == []  # one can still look
    with pytest.raises(SandboxError):
        world.exchange.close()


def test_a_full_disk_under_the_published_log_stops_nothing(world: World) -> None:
    (world.home / "log" / "checkpoint.tmp").mkdir()
    with pytest.raises(OSError):  # noqa: PT011
        world.exchange.export_log()
    assert world.exchange.status()["log"].ready
    (world.home / "log" / "checkpoint.tmp").rmdir()
    world.exchange.close()


def test_a_recovered_entry_asks_for_no_row(world: World, tmp_path: Path) -> None:
    """What a restored database has lost of charters and orders is handed in again; the log says that it was lost."""
    backup = tmp_path / "backup.db"
    world.exchange.close()
    shutil.copy(world.home / "exchange.db", backup)
    world.exchange = bootstrap.build(world.settings, world.clock)
    world.clock.advance(timedelta(minutes=1))
    lost = world.adopt().digest, world.order("suspend", "participant", BUYER, REGULATOR).id
    world.exchange.close()
    shutil.copy(backup, world.home / "exchange.db")
    with pytest.raises(Tampered, match="entries were published"):
        bootstrap.build(world.settings, world.clock)
    with bootstrap.open_record(world.settings, world.clock) as record:
        absent = recovery.missing(record.engine, record.folder, record.log.verifier)
        assert absent
        assert absent.again == lost
        recovery.recover(record.engine, record.log, record.folder, absent, world.clock)
    world.exchange = bootstrap.build(world.settings, world.clock)
    assert world.adopt().digest == lost[0]
    world.reopen()
    world.exchange.close()
