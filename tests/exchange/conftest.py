"""One small exchange a test, checked for its invariants at the end of each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import invariants
from tests.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        yield made
        invariants.check(made.exchange, made.vkey)
    finally:
        made.exchange.close()


@pytest.fixture
def ready(world: World) -> World:
    return world.ready()
