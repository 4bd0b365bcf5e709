"""Deeds to be broken: on each kind of database, and on SQLite alone where the kernel is what fails."""

from pathlib import Path

import pytest

from sandbox.core.engines import sqlite_url
from tests.deeds import Deeds
from tests.saboteur import require_kernel


@pytest.fixture
def deeds(tmp_path: Path) -> Deeds:
    return Deeds(sqlite_url(tmp_path / "exchange.db"), tmp_path / "log").found()


@pytest.fixture
def deeds_anywhere(database_url: str, tmp_path: Path) -> Deeds:
    return Deeds(database_url, tmp_path / "log").found()


@pytest.fixture(scope="session")
def watched_kernel() -> None:
    require_kernel()
