"""What a query rests on, looked at again while it runs and while its result leaves: a right that ends ends both."""

import time
from collections.abc import Callable
from typing import Final

from sandbox.contracts import registry
from sandbox.core.errors import SandboxError
from sandbox.exchange import orders, policies
from sandbox.exchange.case import Case
from sandbox.exchange.house import House
from sandbox.policy.decision import Decision

_EVERY: Final = 0.3
"""Seconds between two looks into the database: an order takes effect on what runs within a second, whoever took it."""


class Lost:
    """Called often, looks seldom; says yes, once and for all, when ``hold`` no longer passes."""

    def __init__(self, hold: Callable[[], None]) -> None:
        self._hold = hold
        self._next = time.monotonic() + _EVERY
        self._lost = False

    def __call__(self) -> bool:
        if not self._lost and time.monotonic() >= self._next:
            self._lost = not self._holds()
            self._next = time.monotonic() + _EVERY
        return self._lost

    def _holds(self) -> bool:
        try:
            self._hold()
        except SandboxError:  # nor does it go on when nobody can say
            return False
        return True


def cancelled(house: House, case: Case, decision: Decision) -> Callable[[], bool]:
    """Whether a run should end: nobody waits for it, it was stopped, its agreement ended, the policies changed."""

    def hold() -> None:
        with house.database.read() as connection:
            if policies.active(connection) != decision.policy:
                raise SandboxError("policy.changed", "The policies are others now.")
            orders.require_untouched(case.standing(connection))
            for grant in case.grants:
                house.agreement(connection, grant.agreement.id)  # no longer one, once a key that signed it is revoked
                state = registry.agreement_state(connection, grant.agreement.id)
                registry.require_in_force(grant.agreement, house.now(), state)

    lost = Lost(hold)
    return lambda: case.request.cancelled() or lost()


def frozen(house: House, case: Case) -> Callable[[], bool]:
    """Whether the rest of a result that is on its way must stay: what it is of was stopped meanwhile."""

    def hold() -> None:
        with house.database.read() as connection:
            orders.require_untouched(case.standing(connection))

    return Lost(hold)
