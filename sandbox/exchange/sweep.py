"""What nobody may query any more is not kept: extracts whose agreements have ended, and what crashes left of them."""

from datetime import timedelta
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.catalog import listing
from sandbox.contracts import registry
from sandbox.core.clock import SystemClock
from sandbox.core.errors import SandboxError
from sandbox.core.terms import Digest
from sandbox.exchange import layouts
from sandbox.exchange.grants import grant_of
from sandbox.exchange.house import House
from sandbox.query import extracts
from sandbox.query.views import extract_name

_AT_WORK: Final = timedelta(minutes=15)
"""Longer than making an extract takes; one that is younger may be another process's, for an agreement just signed."""
_AT_INTAKE: Final = timedelta(hours=2)
"""Longer than it takes to read a provider's files, held up by others or not."""


def sweep(house: House) -> int:
    """Remove the extracts of agreements that are not in force, and what crashes left; answers how many were removed.

    A contract that is suspended and comes back has its extract made anew.
    """
    needed: set[str] = set()
    with house.database.read() as connection:
        for row in registry.agreements(connection):
            if row.state == registry.IN_FORCE and row.not_after > house.now():
                needed |= _name(house, connection, row.id)
    now = SystemClock().now()  # files carry the machine's time
    oldest, older = (now - _AT_WORK).timestamp(), (now - _AT_INTAKE).timestamp()
    removed = extracts.sweep(house.extracts, needed, lambda changed: changed < oldest)
    return removed + house.shelf.sweep(lambda changed: changed < older)


def _name(house: House, connection: Connection, agreement: Digest) -> set[str]:
    try:
        opened = house.agreement(connection, agreement)
        grant = grant_of(opened, listing.version(connection, opened.version), registry.IN_FORCE)
    except SandboxError:  # nothing can be queried under it either
        return set()
    sources = layouts.known(house, grant.version)
    return {extract_name(grant.scope, grant.relation.columns, sources)} if sources else set()
