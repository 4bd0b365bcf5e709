"""Which sealed values were erased, as the log tells."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType, read_entry
from sandbox.audit.index import log_term
from sandbox.audit.store import log_entry


def erased_names(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Entry and name of every sealed value that these entries say was erased."""
    for entry in entries:
        if entry["type"] == EventType.BODY_ERASED:
            yield from ((entry["entry"], name) for name in entry["names"])


def erased_of(connection: Connection, entry: str) -> dict[str, int]:
    """The erased values of an entry, each with the index of the entry that says so, up to where the index reaches."""
    about = sa.select(log_entry.c.idx, log_entry.c.leaf).join(log_term, log_term.c.idx == log_entry.c.idx)
    told = about.where(log_term.c.kind == "entry", log_term.c.value == entry).order_by(log_entry.c.idx)
    found: dict[str, int] = {}
    for row in connection.execute(told):
        for of, name in erased_names([read_entry(row.leaf)]):
            if of == entry:
                found.setdefault(name, row.idx)
    return found
