"""The exchange with an OPA server as its decision point: the same answers, and a closed door when it is not there."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox import bootstrap
from sandbox.core.errors import PolicyRefused, Unavailable
from sandbox.core.terms import ParticipantId
from sandbox.policy.bundle import Bundle
from sandbox.settings import share
from tests.opa_stand_in import StandIn
from tests.world import BUYER, World


@pytest.fixture
def served(tmp_path: Path, ready_world: World) -> Iterator[tuple[World, StandIn, ExitStack]]:
    with ExitStack() as stack:
        server = stack.enter_context(StandIn(Bundle.load(share("policies"))))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        stack.callback(server.shutdown)
        world = ready_world.copy_to(tmp_path)
        world.exchange.close()
        world.settings = bootstrap.Settings(home=world.home, opa_url=server.url)
        world.exchange = bootstrap.build(world.settings, world.clock)
        stack.callback(world.exchange.close)
        yield world, server, stack


def test_a_server_decides_as_the_embedded_engine_does(served: tuple[World, StandIn, ExitStack]) -> None:
    world, server, _ = served
    assert world.query().rows == 2
    with pytest.raises(PolicyRefused) as refusal:
        world.query(purpose="ban_lai")
    assert refusal.value.reasons == ("CONT-03",)
    assert server.seen[-1][0] == "/v1/data/exchange/authz/decision"


def test_a_server_that_fails_refuses_is_recorded_and_never_replaced(served: tuple[World, StandIn, ExitStack]) -> None:
    world, server, _ = served
    server.reply = lambda: (500, {"Content-Type": "text/html"}, b"<h1>no</h1>")
    with pytest.raises(Unavailable) as refusal:
        world.query()
    assert refusal.value.query
    assert world.entries()[-1]["type"] == "query.refused"
    assert world.exchange.balance(ParticipantId(BUYER)) == 100_000
    assert not world.exchange.status()["policy"].ready


def test_an_exchange_does_not_open_on_a_server_that_is_down(tmp_path: Path, ready_world: World) -> None:
    world = ready_world.copy_to(tmp_path)
    world.exchange.close()
    with pytest.raises(Unavailable) as refusal:
        bootstrap.build(bootstrap.Settings(home=world.home, opa_url="http://127.0.0.1:9"), world.clock)
    assert refusal.value.code == "policy.unreachable"
