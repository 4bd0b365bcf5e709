"""Which policies are in force, noted in the log whenever they change, and what each of them said."""

import json
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.core.database import BigId, Instant, Transaction, metadata
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.guards import guarded
from sandbox.exchange.house import House
from sandbox.policy.bundle import Bundle

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
    """Record the policy bundle that decides from now on, if it is not the one that decided before; keep its files."""
    entry, at, bundle = house.new_entry(), house.now(), house.policy.policy
    files = _files_at_hand(house, bundle)

    def write(tx: Transaction) -> None:
        if files is not None and _stored(tx.connection, bundle) is None:
            tx.connection.execute(policy_bundle.insert().values(digest=bundle, files=files))
        if active(tx.connection) != bundle:
            tx.connection.execute(policy_activation.insert().values(bundle=bundle, entry=entry, at=at))
            house.record(tx, EventType.POLICY_ACTIVATED, entry, {"policy": {"bundle": bundle}})

    house.database.write(write)


def bundle_files(connection: Connection, digest: str) -> Mapping[str, bytes] | None:
    """The files of the policies of a digest, by path; None when they were never at hand.

    Raises:
        Tampered: ``tampered.policy`` when what is kept has another digest.
    """
    stored = _stored(connection, digest)
    if stored is None:
        return None
    try:
        bundle = Bundle.of({path: text.encode() for path, text in json.loads(stored).items()})
    except (Invalid, ValueError, AttributeError):
        raise _tampered() from None
    if bundle.digest != digest:
        raise _tampered()
    return bundle.files


def _files_at_hand(house: House, digest: str) -> bytes | None:
    """The files to keep, as ``{path: text}``; None when they are kept already, or are not this machine's.

    A decision point elsewhere is expected to hold the same bundle as the folder here; if it does not, there is nothing
    here that a decision of its could be made again from.
    """
    with house.database.read() as connection:
        if _stored(connection, digest) is not None:
            return None
    bundle = Bundle.load(house.settings.policy_folder)
    if bundle.digest != digest:
        return None
    texts = {path: content.decode() for path, content in bundle.files.items()}
    return json.dumps(texts, ensure_ascii=False, sort_keys=True).encode()


def _stored(connection: Connection, digest: str) -> bytes | None:
    stored: bytes | None = connection.scalar(sa.select(policy_bundle.c.files).where(policy_bundle.c.digest == digest))
    return stored


def _tampered() -> Tampered:
    hint = "Stop, keep the database as it is, and tell the regulator."
    return Tampered("tampered.policy", "The policies that are kept are not those that decided.", hint=hint)
