"""A jail of the tests' own."""

from collections.abc import Iterator

import pytest

from sandbox.query.duckdb import JailedEngine


@pytest.fixture(scope="session")
def engine() -> Iterator[JailedEngine]:
    engine = JailedEngine(analyse_seconds=5)  # the machine may be busy
    yield engine
    engine.close()
