"""What witnesses said of the log's heads: signature lines that belong below the stored checkpoint of their size."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.audit.note import Verifier
from sandbox.audit.store import Head, log_cosignature, log_head
from sandbox.core.database import Transaction


def keep_cosignature(tx: Transaction, size: int, witness: Verifier, line: bytes, at: datetime) -> bool:
    """Keep a verified signature line of the head of ``size``; False when that witness's is kept already."""
    row = {"size": size, "witness": witness.identity}
    there = sa.select(sa.literal(1)).where(log_cosignature.c.size == size, log_cosignature.c.witness == row["witness"])
    if tx.connection.scalar(there):
        return False
    tx.connection.execute(log_cosignature.insert(), row | {"line": line, "at": at})
    return True


def cosignatures(connection: Connection, size: int) -> list[bytes]:
    """The signature lines kept for the head of ``size``, each with its newline, in the order of the keys' names."""
    found = sa.select(log_cosignature.c.line).where(log_cosignature.c.size == size).order_by(log_cosignature.c.witness)
    return [bytes(line) for line in connection.execute(found).scalars()]


def last_cosigned(connection: Connection, witness: Verifier) -> int:
    """The size of the newest head that a witness has cosigned here; 0 for none."""
    mine = log_cosignature.c.witness == witness.identity
    return connection.scalar(sa.select(sa.func.max(log_cosignature.c.size)).where(mine)) or 0


def witnessed_size(connection: Connection) -> int:
    """The size of the newest head that any witness has cosigned; 0 for none."""
    return connection.scalar(sa.select(sa.func.max(log_cosignature.c.size))) or 0


def witnessed_head(connection: Connection, least: int) -> Head | None:
    """The newest head with cosignatures that covers the entry of index ``least``; its note ends with their lines."""
    size = witnessed_size(connection)
    if size <= least:
        return None
    row = connection.execute(
        sa.select(log_head.c.size, log_head.c.root, log_head.c.note).where(log_head.c.size == size)
    ).one_or_none()
    return row and Head(row.size, row.root, row.note + b"".join(cosignatures(connection, size)))
