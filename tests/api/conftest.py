"""The HTTP API over one small exchange."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sandbox.app import create_app
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.terms import KeyUse, ParticipantId
from tests.world import BUYER, World, checked


@pytest.fixture
def ready(tmp_path: Path, ready_world: World) -> Iterator[World]:
    yield from checked(ready_world.copy_to(tmp_path))


@pytest.fixture
def http(ready: World) -> Iterator[TestClient]:
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as client:
        yield client


@dataclass
class Signing:
    """An exchange that knows its public address, and a buyer with a request key."""

    world: World
    http: TestClient
    key: SigningKey


@pytest.fixture
def signing(ready: World) -> Iterator[Signing]:
    """The charter has queries, contracts and orders signed."""
    ready.settings = replace(ready.settings, public_url="http://testserver/")
    ready.reopen()
    key = key_from_seed(BUYER, b"\x51" * 32)
    ready.exchange.register_key(ParticipantId(BUYER), key.verify_key, KeyUse.REQUEST)
    ready.adopt(signed_requests={"query": True, "contract": True, "order": True})
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as http:
        yield Signing(ready, http, key)
