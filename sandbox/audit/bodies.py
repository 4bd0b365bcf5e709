"""What stands behind the seals of entries, as far as it is kept, held against what the entries seal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.events import seal
from sandbox.audit.store import log_body
from sandbox.core.errors import Tampered

Kept: TypeAlias = Mapping[str, tuple[bytes, bytes]]
"""Salt and value (canonical JSON) behind each seal of one entry, by its name, but for what was erased."""

_AT_ONCE: Final = 256
_NONE: Final[Kept] = {}


def kept_of(connection: Connection, entries: Sequence[str]) -> dict[str, Kept]:
    """What is kept of each of these entries, by id; nothing of it is checked."""
    found: dict[str, dict[str, tuple[bytes, bytes]]] = {}
    for start in range(0, len(entries), _AT_ONCE):
        some = sa.select(log_body).where(log_body.c.entry_id.in_(entries[start : start + _AT_ONCE]))
        for row in connection.execute(some.order_by(log_body.c.entry_id, log_body.c.name)):
            found.setdefault(row.entry_id, {})[row.name] = (row.salt, row.value)
    return {name: found.get(name, _NONE) for name in entries}


def require_sealed(entry: Mapping[str, Any], kept: Kept) -> None:
    """Refuse values of an entry that are not what it seals under their names.

    Raises:
        Tampered: ``tampered.body``.
    """
    for name, (salt, value) in kept.items():
        if seal(name, salt, value) != entry["sealed"].get(name):
            raise Tampered(
                "tampered.body", f"A stored body of entry {entry['id']} is not the one that the log commits to.",
                hint="Stop trading, keep everything as it is, and tell the regulator.",
            )  # fmt: skip
