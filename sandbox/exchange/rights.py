"""What a running query rests on, looked at again while it runs: a right that ends meanwhile ends the run."""

import time
from typing import Final

from sandbox.contracts import registry
from sandbox.core.errors import SandboxError
from sandbox.exchange import policies
from sandbox.exchange.case import Case
from sandbox.exchange.house import House
from sandbox.policy.decision import Decision

_EVERY: Final = 0.5
"""Seconds between two looks into the database, where another process may have suspended an agreement."""


class Rights:
    """Called often; says yes, once and for all, when the run should be cancelled."""

    def __init__(self, house: House, case: Case, decision: Decision) -> None:
        self._house, self._case, self._decision = house, case, decision
        self._next = time.monotonic() + _EVERY
        self._lost = False

    def __call__(self) -> bool:
        if not self._lost and self._case.request.cancelled():
            self._lost = True
        if not self._lost and time.monotonic() >= self._next:
            self._lost = not self._hold()
            self._next = time.monotonic() + _EVERY
        return self._lost

    def _hold(self) -> bool:
        try:
            with self._house.database.read() as connection:
                if policies.active(connection) != self._decision.policy:
                    return False
                for grant in self._case.grants:
                    state = registry.agreement_state(connection, grant.agreement.id)
                    registry.require_in_force(grant.agreement, self._house.now(), state)
        except SandboxError:  # nor does it go on when nobody can say
            return False
        return True
