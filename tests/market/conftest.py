"""A fresh ledger per test, on SQLite, or on the PostgreSQL that ``SANDBOX_TEST_POSTGRES_URL`` names."""

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.core.database import Database, metadata, open_engine, sqlite_url
from sandbox.market import ledger

PROVIDERS = {
    "xe_buyt": "so-gtvt",
    "cang": "cang-vu",
    "chi_so_cds": "so-kh-cn",
    "dat_dai": "so-tnmt",
    "bien_dong": "cang-vu",
}
SECTORS = {"xe_buyt": "giao_thong", "cang": "cang_bien", "chi_so_cds": "chi_so_cds", "dat_dai": "dat_dai",
           "bien_dong": "cang_bien"}  # fmt: skip


def settlement_of(query_id, entry_id, buyer, shares, *, at=None, fee_bp=250, rows_out=30, bytes_out=2_000):
    """A settlement whose shares are given as {dataset: vnd}."""
    made = tuple(
        ledger.Share(f"sha256:{name}", PROVIDERS[name], name, SECTORS[name], vnd) for name, vnd in shares.items()
    )
    instant = at or datetime(2026, 12, 1, 3, tzinfo=UTC)
    return ledger.Settlement(query_id, entry_id, buyer, instant, rows_out, bytes_out, made, fee_bp)


class Till:
    """The corridor's part in these tests: each call is one unit under a log entry of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._numbers = itertools.count(1)

    def entry(self) -> str:
        return f"ent_{next(self._numbers):05}"

    def top_up(self, buyer, vnd):
        entry = self.entry()

        def unit(tx):
            ledger.open_wallet(tx, buyer)
            ledger.top_up(tx, entry, buyer, vnd)

        self.database.write(unit)

    def reserve(self, query_id, buyer, vnd):
        entry = self.entry()
        self.database.write(lambda tx: ledger.reserve(tx, entry, query_id, buyer, vnd))

    def capture(self, query_id, buyer, shares, **more):
        made = settlement_of(query_id, self.entry(), buyer, shares, **more)
        self.database.write(lambda tx: ledger.capture(tx, made.entry_id, query_id, made))
        return made

    def refund(self, query_id):
        entry = self.entry()
        self.database.write(lambda tx: ledger.refund(tx, entry, query_id))

    def read(self, question, *arguments):
        with self.database.read() as connection:
            return question(connection, *arguments)

    def accounts(self):
        return self.read(ledger.trial_balance)


@pytest.fixture
def engine(tmp_path: Path):
    server = os.environ.get("SANDBOX_TEST_POSTGRES_URL")
    engine = open_engine(server or sqlite_url(tmp_path / "market.db"))
    if server:
        metadata.drop_all(engine)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def till(engine) -> Iterator[Till]:
    with Database(engine) as database:
        yield Till(database)


@pytest.fixture
def settle():
    return settlement_of
