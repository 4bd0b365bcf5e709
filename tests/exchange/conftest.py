"""One small exchange a test, checked for its invariants at the end of each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World, checked


@pytest.fixture
def world(tmp_path: Path, bare_world: World) -> Iterator[World]:
    yield from checked(bare_world.copy_to(tmp_path))


@pytest.fixture
def ready(tmp_path: Path, ready_world: World) -> Iterator[World]:
    yield from checked(ready_world.copy_to(tmp_path))
