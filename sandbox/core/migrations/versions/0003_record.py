"""Revision 0003: cosignatures of witnesses, the log's index, the policies that ever decided; more tables only grow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import CheckConstraint, Column
from sqlalchemy.types import BigInteger, Boolean, Integer, LargeBinary, Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = BigInteger().with_variant(Integer(), "sqlite")
Micros = BigInteger  # an instant: microseconds since 1970 in UTC

TAKEN = {  # that a row is there already which a new one would replace
    "charter": "(number = NEW.number) OR (charter = NEW.charter AND version = NEW.version) OR (digest = NEW.digest)",
    "log_cosignature": "(size = NEW.size AND witness = NEW.witness)",
    "negotiation_message": "(negotiation = NEW.negotiation AND number = NEW.number) "
    "OR (document = NEW.document AND state = NEW.state)",
    "policy_activation": "(number = NEW.number)",
    "policy_bundle": "(digest = NEW.digest)",
    "posting": "(id = NEW.id) OR (entry_id = NEW.entry_id AND account = NEW.account)",
    "revocation_list": "(digest = NEW.digest)",
    "settlement": "(query_id = NEW.query_id) OR (entry_id = NEW.entry_id)",
    "settlement_share": "(query_id = NEW.query_id AND agreement = NEW.agreement)",
}


def upgrade() -> None:
    op.create_table(
        "log_cosignature",
        Column("size", Id, primary_key=True, autoincrement=False),
        Column("witness", Text, primary_key=True),
        Column("line", LargeBinary, nullable=False),
        Column("at", Micros, nullable=False),
    )
    op.create_table(
        "log_term",
        Column("kind", Text, primary_key=True),
        Column("value", Text, primary_key=True),
        Column("idx", Id, primary_key=True, autoincrement=False, index=True),
        Column("sealed", Boolean, nullable=False),
    )
    op.create_table(
        "log_indexed",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("size", BigInteger, nullable=False),
        CheckConstraint("id = 1", name="log_indexed_once"),
    )
    op.create_table(
        "policy_bundle",
        Column("digest", Text, primary_key=True),
        Column("files", LargeBinary, nullable=False),
    )
    guard()


def guard() -> None:
    """Forbid every change of these tables but insertion. A later revision must never rebuild (batch) one of them:
    SQLite would drop these triggers silently.
    """
    if op.get_bind().dialect.name == "sqlite":
        for table, taken in TAKEN.items():
            for event in ("UPDATE", "DELETE", "INSERT"):
                # INSERT OR REPLACE deletes the old row without asking the DELETE trigger
                when = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {taken}) " if event == "INSERT" else ""  # noqa: S608
                op.execute(
                    sa.text(
                        f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} {when}"
                        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
                    )
                )
        return
    op.execute(
        "CREATE FUNCTION record_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the record is append-only'; END $$"
    )
    for table in TAKEN:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION record_is_append_only()"
        )
