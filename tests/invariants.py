"""What must hold after every step, whatever the step was (docs/architecture.md, I1 to I7)."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from sandbox.audit import verify
from sandbox.core.database import metadata
from sandbox.exchange import report
from sandbox.exchange.exchange import Exchange
from sandbox.market import ledger

_MONEY = {"wallet.topped_up", "query.authorized", "query.completed", "query.failed"}


def check(exchange: Exchange, vkey: str, checkpoints: list[bytes] | None = None) -> None:
    """Assert all of them. ``checkpoints`` collects each checkpoint seen; all must stay consistent with the newest."""
    house = exchange.house
    with house.database.read() as connection:
        entries = list(report.log_entries(house, connection))
        runs = {row.id: row for row in connection.execute(sa.select(metadata.tables["query_run"]))}
        postings = list(connection.execute(sa.select(metadata.tables["posting"])))
        accounts = ledger.trial_balance(connection)
        budgets = list(connection.execute(sa.select(metadata.tables["budget"])))
    _one_outcome(entries, runs)
    _money_stands_with_entries(entries, postings)
    _nothing_below_zero(accounts, budgets)
    _verifies(exchange, vkey, checkpoints)
    report.counted_by(house, ("day", "provider", "buyer", "dataset", "sector"))  # I7


def _one_outcome(entries: list[dict[str, Any]], runs: dict[str, Any]) -> None:
    seen: dict[str, list[str]] = {}
    for entry in entries:
        if entry["type"].startswith("query."):
            seen.setdefault(entry["query"], []).append(entry["type"].removeprefix("query."))
    assert seen.keys() == runs.keys()  # I1
    allowed = {("refused",), ("authorized",), ("authorized", "completed"), ("authorized", "failed")}
    for query, kinds in seen.items():
        assert tuple(kinds) in allowed, kinds
        assert runs[query].state == kinds[-1]


def _money_stands_with_entries(entries: list[dict[str, Any]], postings: list[Any]) -> None:
    known = {entry["id"]: entry["type"] for entry in entries}
    sums: Counter[str] = Counter()
    for posting in postings:
        assert known[posting.entry_id] in _MONEY  # I2
        sums[posting.entry_id] += posting.vnd
    assert all(total == 0 for total in sums.values())  # I3
    moved = {entry["id"] for entry in entries if entry["type"] == "query.authorized" and entry["vnd"]}
    assert moved <= sums.keys()


def _nothing_below_zero(accounts: Any, budgets: list[Any]) -> None:
    assert sum(accounts.values()) == 0
    assert all(balance >= 0 for name, balance in accounts.items() if name != ledger.BANK)  # I3
    assert all(0 <= budget.spent <= budget.cap for budget in budgets)


def _verifies(exchange: Exchange, vkey: str, checkpoints: list[bytes] | None) -> None:
    directory = exchange.house.settings.home / "log"
    exchange.export_log()
    for old in checkpoints or [None]:
        verdict = verify.verify_log(directory, vkey, old)  # I4
    volume = exchange.volume()
    assert (verdict.totals.count, verdict.totals.vnd) == (volume.count, volume.value_vnd)
    if checkpoints is not None:
        checkpoints.append((directory / "checkpoint").read_bytes())
