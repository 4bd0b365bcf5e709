"""The HTTP API over one small exchange."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sandbox.app import create_app
from tests.world import World, checked


@pytest.fixture
def ready(tmp_path: Path, ready_world: World) -> Iterator[World]:
    yield from checked(ready_world.copy_to(tmp_path))


@pytest.fixture
def http(ready: World) -> Iterator[TestClient]:
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as client:
        yield client
