"""The same life of an exchange on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.core.errors import Insufficient, NotFound, PolicyRefused
from sandbox.core.terms import ParticipantId
from tests import invariants
from tests.world import BUYER, INDEX, World


@pytest.fixture
def anywhere(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = World(tmp_path, overrides={"database_url": database_url})
    try:
        yield world.ready()
        invariants.check(world.exchange, world.vkey)
    finally:
        world.exchange.close()


def test_a_pilot_lives_on_either_database(anywhere: World) -> None:
    def ask(_: int) -> bool:
        try:
            anywhere.query()
        except Insufficient:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))).count(True) == 6
    assert anywhere.query("SELECT noi FROM chi_so", dataset=INDEX).rows == 5
    with pytest.raises(PolicyRefused):
        anywhere.query(purpose="ban_lai")
    for unknown in ("qry_\0", "qry_" + "0" * 26, "'", ""):
        with pytest.raises(NotFound):
            anywhere.exchange.receipt(anywhere.who(BUYER), unknown)
    anywhere.reopen()
    assert anywhere.exchange.balance(ParticipantId(BUYER)) == 10_000
    total, by_buyer = anywhere.exchange.counted_volume("buyer")
    assert (total.count, {*by_buyer}) == (7, {BUYER})
