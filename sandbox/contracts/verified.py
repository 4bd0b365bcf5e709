"""What was verified, as long as neither its bytes nor the keys that signed them have changed.

Verifying is a function of the stored bytes and of what counts at the instant of signing, so its answer may be
remembered under both; the keys are read anew each time, and one that was revoked or exchanged has the whole verified
again.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeAlias, TypeVar

from sandbox.contracts.keyring import Signers

_T = TypeVar("_T")
_MOST: Final = 1024
_What: TypeAlias = tuple[str, bytes]


class Verified(Generic[_T]):
    """The last thousand; used by many threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[_What, tuple[tuple[str, ...], tuple[object, ...], _T]] = OrderedDict()

    def opened(self, signers: Signers, what: _What, verify: Callable[[], _T]) -> _T:
        """What these bytes are, from memory or by ``verify``, which asks ``signers`` for the keys that it relies on.

        ``what`` is all that ``verify`` depends on besides: a name and the bytes. What it raises is not remembered.
        """
        with self._lock:
            known = self._known.get(what)
        if known and signers.standing(known[0]) == known[1]:
            return known[2]
        opened = verify()
        kids = tuple(sorted({*signers.asked}))
        standing = signers.standing(kids)  # the connection's snapshot is the one that was verified in
        with self._lock:
            self._known[what] = (kids, standing, opened)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return opened
