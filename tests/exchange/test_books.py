"""The books: what the ledger says in SQL, and what the log says when it is folded, are the same to the đồng."""

import shutil
from pathlib import Path

import pytest

from sandbox import bootstrap
from sandbox.audit import recovery
from sandbox.core.errors import SandboxError, Tampered
from tests.forging import forge
from tests.world import INDEX, World


def traded(world: World) -> World:
    """Queries that were paid for, free, refused, and one that failed after it was let in."""
    world.query()
    world.query()
    world.query("SELECT noi FROM chi_so", dataset=INDEX)
    for asked in ({"purpose": "ban_lai"}, {"sql": "SELECT khach FROM chuyen_di"}):
        with pytest.raises(SandboxError):
            world.query(**asked)
    return world


def test_the_books_add_up_to_what_was_paid_in(ready: World) -> None:
    books = traded(ready).exchange.books()
    ledger = books["ledger"]
    assert books["size"] == len(ready.entries())
    assert ledger["paid"] == books["volume"]["vnd"] == 30_000
    assert ledger["paid"] == ledger["fees"] + sum(ledger["providers"].values())
    assert ledger["topped_up"] == ledger["wallets"] + ledger["held"] + ledger["paid"]
    assert sum(part["vnd"] for part in books["by_agreement"].values()) == 30_000


def test_each_completed_query_tells_the_fee_within_each_share(ready: World) -> None:
    traded(ready)
    shares = [each for entry in ready.entries() if entry["type"] == "query.completed" for each in entry["agreements"]]
    assert [(each["vnd"], each["fee_vnd"]) for each in shares] == [(15_000, 375), (15_000, 375), (0, 0)]
    assert ready.exchange.books()["ledger"]["fees"] == 750


def test_books_that_were_cooked_are_not_told(ready: World) -> None:
    traded(ready)
    forge(ready.settings.database, "UPDATE account SET balance = balance + 1 WHERE name = 'fee:exchange'")
    try:
        with pytest.raises(Tampered) as refusal:
            ready.exchange.books()
        assert refusal.value.code == "tampered.ledger"
    finally:
        forge(ready.settings.database, "UPDATE account SET balance = balance - 1 WHERE name = 'fee:exchange'")


def test_after_a_recovery_the_volume_says_which_entries_came_back_without_their_money(
    ready: World, tmp_path: Path
) -> None:
    ready.exchange.close()
    shutil.copy(ready.home / "exchange.db", tmp_path / "older.db")
    ready.exchange = bootstrap.build(ready.settings, ready.clock)
    ready.query()
    size = len(ready.entries())
    ready.exchange.close()
    shutil.copy(ready.home / "exchange.db", tmp_path / "newest.db")
    shutil.copy(tmp_path / "older.db", ready.home / "exchange.db")
    with bootstrap.open_record(ready.settings, ready.clock) as record:
        lost = recovery.missing(record.engine, record.folder, record.log.verifier)
        assert lost
        recovery.recover(record.engine, record.log, record.folder, lost, ready.clock)
    ready.exchange = bootstrap.build(ready.settings, ready.clock)
    with pytest.raises(Tampered, match=f"entries {lost.first} to {size - 1} were recovered without") as refusal:
        ready.exchange.counted_volume()
    assert (refusal.value.code, "backup" in refusal.value.hint) == ("tampered.ledger", True)
    # the way out, as the hint says: the newest backup, and what was published after it
    ready.exchange.close()
    shutil.copy(tmp_path / "newest.db", ready.home / "exchange.db")
    with bootstrap.open_record(ready.settings, ready.clock) as record:
        absent = recovery.missing(record.engine, record.folder, record.log.verifier)
        if absent:
            recovery.recover(record.engine, record.log, record.folder, absent, ready.clock)
    ready.exchange = bootstrap.build(ready.settings, ready.clock)
    assert ready.exchange.counted_volume()[0].count == 1
