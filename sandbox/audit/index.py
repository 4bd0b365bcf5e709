"""Where in the log something is named: an index that is derived from the entries and can be made anew."""

from typing import Final

import sqlalchemy as sa

from sandbox.core.database import BigId, metadata

log_term: Final = sa.Table(  # kind and value of what an entry names; terms from sealed bodies are erased with them
    "log_term", metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("idx", BigId, primary_key=True, autoincrement=False, index=True),
    sa.Column("sealed", sa.Boolean, nullable=False),
)  # fmt: skip
log_indexed: Final = sa.Table(  # one row: how many entries the index covers
    "log_indexed", metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="log_indexed_once"),
)  # fmt: skip
