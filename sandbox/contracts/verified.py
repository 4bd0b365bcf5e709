"""Agreements that were verified, as long as neither their bytes nor the keys that signed them have changed.

Verifying is a function of the stored bytes and of the registered keys alone, so its answer may be remembered under
both; the keys are read anew each time, and one that was revoked or exchanged has the whole verified again.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from sqlalchemy.engine import Connection

from sandbox.contracts import participants
from sandbox.contracts.agreement import Agreement

_MOST: Final = 1024
_Keys: TypeAlias = tuple[tuple[str, str, str], ...]
_What: TypeAlias = tuple[str, bytes]


class Verified:
    """The last thousand; used by many threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[_What, tuple[tuple[str, ...], _Keys, Agreement]] = OrderedDict()

    def agreement(
        self, connection: Connection, what: _What, verify: Callable[[], tuple[Agreement, list[str]]]
    ) -> Agreement:
        """The agreement of these bytes, from memory or by ``verify``, which also tells the keys that it asked for.

        What ``verify`` raises is not remembered.
        """
        with self._lock:
            known = self._known.get(what)
        if known and participants.valid_keys(connection, known[0]) == known[1]:
            return known[2]
        agreement, asked = verify()
        kids = tuple(sorted({*asked}))
        keys = participants.valid_keys(connection, kids)  # the connection's snapshot is the one that was verified in
        with self._lock:
            self._known[what] = (kids, keys, agreement)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return agreement
