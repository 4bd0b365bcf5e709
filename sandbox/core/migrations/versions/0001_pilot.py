"""Revision 0001: the tables of the pilot.

What stands here is history, so it names types and texts itself and takes none from the rooms; a test compares the two.
There is no way down: it would throw the record away.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, UniqueConstraint
from sqlalchemy.types import BigInteger, Boolean, Date, Integer, LargeBinary, Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only for INTEGER
Micros = BigInteger  # an instant: microseconds since 1970 in UTC

LOG_KEYS = {
    "log_entry": "idx = NEW.idx OR entry_id = NEW.entry_id",
    "log_tile": "level = NEW.level AND n = NEW.n",
    "log_head": "size = NEW.size",
}


def upgrade() -> None:
    create_participants()
    create_catalog()
    create_contracts()
    create_accounts()
    create_settlements()
    create_runs()
    create_log()
    guard_log()


def create_participants() -> None:
    op.create_table(
        "participant",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("roles", Text, nullable=False),
        Column("territory", Text, nullable=False),
        Column("admitted_at", Micros, nullable=False),
    )
    op.create_table(
        "participant_key",
        Column("kid", Text, primary_key=True),
        Column("owner", Text, ForeignKey("participant.id"), nullable=False, index=True),
        Column("jwk", Text, nullable=False, unique=True),
        Column("valid_from", Micros, nullable=False),
        Column("revoked_at", Micros),
    )
    op.create_table(
        "token",
        Column("id", Text, primary_key=True),
        Column("owner", Text, ForeignKey("participant.id"), nullable=False, index=True),
        Column("created_at", Micros, nullable=False),
        Column("expires_at", Micros, nullable=False),
        Column("revoked_at", Micros),
    )


def create_catalog() -> None:
    op.create_table(
        "dataset",
        Column("id", Text, primary_key=True),
        Column("provider", Text, nullable=False),
    )
    op.create_table(
        "dataset_version",
        Column("digest", Text, primary_key=True),
        Column("dataset", Text, ForeignKey("dataset.id"), nullable=False),
        Column("number", Integer, nullable=False),
        Column("descriptor", LargeBinary, nullable=False),
        Column("files", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("bytes", BigInteger, nullable=False),
        Column("statistics", Text, nullable=False),
        Column("envelope", LargeBinary, nullable=False),
        Column("published_at", Micros, nullable=False),
        UniqueConstraint("dataset", "number"),
    )


def create_contracts() -> None:
    op.create_table(
        "offer",
        Column("id", Text, primary_key=True),
        Column("provider", Text, ForeignKey("participant.id"), nullable=False),
        Column("dataset", Text, nullable=False, index=True),
        Column("version", Text, nullable=False),
        Column("envelope", LargeBinary, nullable=False),
        Column("registered_at", Micros, nullable=False),
    )
    op.create_table(
        "agreement",
        Column("id", Text, primary_key=True),
        Column("offer", Text, ForeignKey("offer.id"), nullable=False),
        Column("provider", Text, ForeignKey("participant.id"), nullable=False, index=True),
        Column("buyer", Text, ForeignKey("participant.id"), nullable=False, index=True),
        Column("dataset", Text, nullable=False, index=True),
        Column("version", Text, nullable=False),
        Column("exclusive", Boolean, nullable=False),
        Column("not_after", Micros, nullable=False),
        Column("state", Text, nullable=False),
        Column("envelope", LargeBinary, nullable=False),
        Column("signed_at", Micros, nullable=False),
        CheckConstraint("state IN ('in_force', 'suspended', 'terminated')", name="agreement_state"),
    )


def create_accounts() -> None:
    op.create_table(
        "account",
        Column("name", Text, primary_key=True),
        Column("owner", Text, nullable=False, index=True),
        Column("balance", BigInteger, nullable=False),
        CheckConstraint("name = 'bank' OR balance >= 0", name="account_not_negative"),
    )
    op.create_table(
        "posting",
        Column("id", Id, primary_key=True),
        Column("entry_id", Text, nullable=False),
        Column("query_id", Text),
        Column("account", Text, ForeignKey("account.name"), nullable=False, index=True),
        Column("vnd", BigInteger, nullable=False),
        UniqueConstraint("entry_id", "account", name="posting_once"),
        CheckConstraint("vnd <> 0", name="posting_moves"),
    )
    op.create_table(
        "budget",
        Column("id", Text, primary_key=True),
        Column("cap", BigInteger, nullable=False),
        Column("spent", BigInteger, nullable=False),
        CheckConstraint("spent BETWEEN 0 AND cap", name="budget_within_cap"),
    )


def create_settlements() -> None:
    op.create_table(
        "hold",
        Column("query_id", Text, primary_key=True),
        Column("buyer", Text, nullable=False),
        Column("vnd", BigInteger, nullable=False),
        Column("state", Text, nullable=False, index=True),
        Column("reserved_by", Text, nullable=False),
        Column("ended_by", Text),
        CheckConstraint("vnd >= 0", name="hold_not_negative"),
        CheckConstraint("state IN ('held', 'captured', 'refunded')", name="hold_state"),
        CheckConstraint("(state = 'held') = (ended_by IS NULL)", name="hold_ended"),
    )
    op.create_table(
        "settlement",
        Column("query_id", Text, ForeignKey("hold.query_id"), primary_key=True),
        Column("entry_id", Text, nullable=False, unique=True),
        Column("buyer", Text, nullable=False),
        Column("at", Micros, nullable=False, index=True),
        Column("day", Date, nullable=False),
        Column("rows_out", BigInteger, nullable=False),
        Column("bytes_out", BigInteger, nullable=False),
        Column("fee_bp", Integer, nullable=False),
    )
    op.create_table(
        "settlement_share",
        Column("query_id", Text, ForeignKey("settlement.query_id"), primary_key=True),
        Column("agreement", Text, primary_key=True),
        Column("provider", Text, nullable=False),
        Column("dataset", Text, nullable=False),
        Column("sector", Text, nullable=False),
        Column("vnd", BigInteger, nullable=False),
        CheckConstraint("vnd >= 0", name="settlement_share_not_negative"),
    )


def create_runs() -> None:
    op.create_table(
        "query_run",
        Column("id", Text, primary_key=True),
        Column("buyer", Text, nullable=False, index=True),
        Column("state", Text, nullable=False),
        Column("entry", Text, nullable=False),
        Column("outcome", Text),
        Column("uses", sa.JSON, nullable=False),
        Column("lease_until", Micros, nullable=False, index=True),
    )
    op.create_table(
        "policy_activation",
        Column("number", Id, primary_key=True),
        Column("bundle", Text, nullable=False),
        Column("entry", Text, nullable=False),
        Column("at", Micros, nullable=False),
    )


def create_log() -> None:
    op.create_table(
        "log_entry",
        Column("idx", Id, primary_key=True, autoincrement=False),
        Column("entry_id", Text, nullable=False, unique=True),
        Column("leaf", LargeBinary, nullable=False),
    )
    op.create_table(
        "log_tile",
        Column("level", Integer, primary_key=True, autoincrement=False),
        Column("n", BigInteger, primary_key=True, autoincrement=False),
        Column("hashes", LargeBinary, nullable=False),
        Column("root", LargeBinary, nullable=False),
    )
    op.create_table(
        "log_head",
        Column("size", Id, primary_key=True, autoincrement=False),
        Column("root", LargeBinary, nullable=False),
        Column("note", LargeBinary, nullable=False),
        Column("at", Micros, nullable=False),
    )
    op.create_table(
        "log_body",
        Column("entry_id", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("salt", LargeBinary, nullable=False),
        Column("value", LargeBinary, nullable=False),
    )


def guard_log() -> None:
    """Forbid every change of the log but insertion. A later revision must never rebuild (batch) a log table:
    SQLite would drop these triggers silently.
    """
    if op.get_bind().dialect.name == "sqlite":
        for table, taken in LOG_KEYS.items():
            for event in ("UPDATE", "DELETE", "INSERT"):
                # INSERT OR REPLACE deletes the old row without asking the DELETE trigger
                when = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {taken}) " if event == "INSERT" else ""  # noqa: S608
                op.execute(
                    f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} {when}"
                    "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the log is append-only'; END $$"
    )
    for table in LOG_KEYS:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()"
        )
