"""What attacks have in common: an act that must be refused, a query over the open dataset, a buyer's purse."""

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.core.errors import SandboxError
from sandbox.core.terms import ParticipantId
from sandbox.exchange.query import Result
from tests.world import BUYER, INDEX, OTHER, PROVIDER, World

OPEN = "SELECT noi FROM chi_so"
SELLER, ASKER, STRANGER = ParticipantId(PROVIDER), ParticipantId(BUYER), ParticipantId(OTHER)
Act = Callable[[], object]


def refused(act: Act) -> SandboxError:
    """The refusal that an act meets."""
    with pytest.raises(SandboxError) as caught:
        act()
    return caught.value


def asked(world: World, agreement: str = "", dataset: str = INDEX, **rest: Any) -> Result:
    """A query that the buyer's agreement on the open dataset allows, or under another one."""
    return world.query(OPEN, dataset=dataset, **({"agreements": (agreement,)} if agreement else {}), **rest)


def balance(world: World) -> int:
    """What the buyer has left, in đồng."""
    return int(world.exchange.balance(ASKER))
