"""Which policies are in force, noted in the log whenever they change."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.core.database import BigId, Instant, Transaction, metadata
from sandbox.core.guards import guarded
from sandbox.exchange.house import House

policy_activation: Final = guarded(
    sa.Table(
        "policy_activation",
        metadata,
        sa.Column("number", BigId, primary_key=True),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
    )
)

policy_bundle: Final = guarded(sa.Table(  # of each digest that ever decided: without them nothing is replayed
    "policy_bundle",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("files", sa.LargeBinary, nullable=False),
))  # fmt: skip

_NEWEST: Final = sa.select(policy_activation.c.bundle).order_by(policy_activation.c.number.desc()).limit(1)


def active(connection: Connection) -> str | None:
    """The digest of the policies that decide now, ``None`` before there were any."""
    bundle: str | None = connection.execute(_NEWEST).scalar_one_or_none()
    return bundle


def activate(house: House) -> None:
    """Record the policy bundle that decides from now on, if it is not the one that decided before."""
    entry, at, bundle = house.new_entry(), house.now(), house.policy.policy

    def write(tx: Transaction) -> None:
        if active(tx.connection) != bundle:
            tx.connection.execute(policy_activation.insert().values(bundle=bundle, entry=entry, at=at))
            house.record(tx, EventType.POLICY_ACTIVATED, entry, {"policy": {"bundle": bundle}})

    house.database.write(write)
