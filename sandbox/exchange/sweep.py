"""What nobody may query any more is not kept: extracts whose agreements have ended, and what crashes left of them."""

from datetime import timedelta
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.catalog import listing
from sandbox.contracts import registry
from sandbox.core.clock import SystemClock
from sandbox.core.errors import SandboxError
from sandbox.core.terms import Digest
from sandbox.exchange.grants import grant_of
from sandbox.exchange.house import House
from sandbox.query import extracts
from sandbox.query.views import extract_name

_AT_WORK: Final = timedelta(minutes=15)
"""Longer than making an extract takes; one that is younger may be another process's, for an agreement just signed."""


def sweep(house: House) -> int:
    """Remove the extracts of agreements that are not in force; answers how many were removed.

    A contract that is suspended and comes back has its extract made anew.
    """
    needed: set[str] = set()
    with house.database.read() as connection:
        for row in registry.agreements(connection):
            if row.state == registry.IN_FORCE and row.not_after > house.now():
                needed |= _name(house, connection, row.id)
    oldest = (SystemClock().now() - _AT_WORK).timestamp()  # files carry the machine's time
    return extracts.sweep(house.extracts, needed, lambda changed: changed < oldest)


def _name(house: House, connection: Connection, agreement: Digest) -> set[str]:
    try:
        opened = house.agreement(connection, agreement)
        grant = grant_of(opened, listing.version(connection, opened.version), registry.IN_FORCE)
        sources = tuple(house.shelf.path(file.digest) for file in grant.version.files)
    except SandboxError:  # nothing can be queried under it either
        return set()
    return {extract_name(grant.scope, grant.relation.columns, sources)}
