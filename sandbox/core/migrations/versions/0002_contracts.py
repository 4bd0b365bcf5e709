"""Revision 0002: what participants have proved, uses of keys, scopes of tokens, charters, negotiations, orders.

Contracts of revision 0001 say less than every contract must say now, and nobody can add to what others have signed: a
database that holds some stays with the program that made it.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy import CheckConstraint, Column, ForeignKey, UniqueConstraint
from sqlalchemy.types import BigInteger, Boolean, Integer, LargeBinary, Text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Micros = BigInteger  # an instant: microseconds since 1970 in UTC
USES = ("contract", "request", "log", "witness")
STATES = ("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED")


def upgrade() -> None:
    require_no_contracts()
    widen_participants()
    widen_contracts()
    create_charter()
    create_negotiation()
    create_orders()
    create_identity()


def require_no_contracts() -> None:
    offers = op.get_bind().scalar(sa.text("SELECT count(*) FROM offer"))
    if offers:
        message = f"{offers} offers were signed under an earlier form of contracts."
        raise CommandError(message)


def widen_participants() -> None:
    with op.batch_alter_table("participant") as batch:
        batch.add_column(Column("tax_code", Text))
        batch.add_column(Column("entity_verified", Boolean, nullable=False, server_default=sa.false()))
        batch.add_column(Column("eid_level", Integer, nullable=False, server_default="0"))
        batch.add_column(Column("payment_account", Boolean, nullable=False, server_default=sa.false()))
        batch.create_unique_constraint("participant_tax_code", ["tax_code"])
    with op.batch_alter_table("participant_key") as batch:
        batch.add_column(Column("use", Text, nullable=False, server_default="contract"))
        batch.add_column(Column("valid_until", Micros))
        batch.add_column(Column("invalid_from", Micros))
        batch.create_check_constraint("participant_key_use", f"use IN {USES}")
    with op.batch_alter_table("token") as batch:
        batch.add_column(Column("scopes", Text, nullable=False, server_default=""))
        batch.add_column(Column("amr", Text, nullable=False, server_default=""))
    no_defaults("participant", "entity_verified", "eid_level", "payment_account")
    no_defaults("participant_key", "use")
    no_defaults("token", "scopes", "amr")


def no_defaults(table: str, *columns: str) -> None:
    with op.batch_alter_table(table) as batch:
        for column in columns:
            batch.alter_column(column, server_default=None)


def widen_contracts() -> None:
    with op.batch_alter_table("offer") as batch:
        batch.add_column(Column("kind", Text, nullable=False))
        batch.add_column(Column("buyer", Text, ForeignKey("participant.id", name="offer_buyer")))
        batch.add_column(Column("prev", Text))
        batch.add_column(Column("withdrawn_at", Micros))
        batch.create_check_constraint("offer_kind", "kind IN ('offer', 'request')")
    op.create_table(
        "offer_replaced",
        Column("offer", Text, ForeignKey("offer.id"), primary_key=True),
        Column("buyer", Text, ForeignKey("participant.id"), primary_key=True),
        Column("replaced_at", Micros, nullable=False),
    )
    op.create_table(
        "dataset_right",
        Column("dataset", Text, primary_key=True),
        Column("admissions", BigInteger, nullable=False),
    )
    op.create_index("agreement_exclusive", "agreement", ["dataset", "exclusive", "not_after"])
    op.create_index("agreement_right", "agreement", ["dataset", "buyer", "not_after", "state"])


def create_charter() -> None:
    op.create_table(
        "charter",
        Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
        Column("charter", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("digest", Text, nullable=False, unique=True),
        Column("envelope", LargeBinary, nullable=False),
        Column("adopted_at", Micros, nullable=False),
        UniqueConstraint("charter", "version", name="charter_version"),
    )


def create_negotiation() -> None:
    op.create_table(
        "negotiation",
        Column("id", Text, primary_key=True),
        Column("provider", Text, ForeignKey("participant.id"), nullable=False, index=True),
        Column("buyer", Text, ForeignKey("participant.id"), nullable=False, index=True),
        Column("dataset", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("document", Text, nullable=False),
        Column("started_at", Micros, nullable=False),
        Column("moved_at", Micros, nullable=False),
        CheckConstraint(f"state IN {STATES}", name="negotiation_state"),
    )
    op.create_table(
        "negotiation_message",
        Column("negotiation", Text, ForeignKey("negotiation.id"), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("party", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("document", Text),
        Column("envelope", LargeBinary),
        Column("at", Micros, nullable=False),
        UniqueConstraint("document", "state", name="negotiation_message_once"),
    )


def create_orders() -> None:
    op.create_table(
        "directive",
        Column("id", Text, primary_key=True),
        Column("act", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("target", Text, nullable=False),
        Column("envelope", LargeBinary, nullable=False),
        Column("recorded_at", Micros, nullable=False),
        Column("ended_at", Micros),
        Column("ended_by", Text),
    )
    op.create_index("directive_target", "directive", ["target", "ended_at"])


def create_identity() -> None:
    op.create_table(
        "request_nonce",
        Column("keyid", Text, primary_key=True),
        Column("nonce", Text, primary_key=True),
        Column("expires", Micros, nullable=False, index=True),
    )
    op.create_table(
        "revocation_list",
        Column("digest", Text, primary_key=True),
        Column("issuer", Text, nullable=False),
        Column("this_update", Micros, nullable=False),
        Column("next_update", Micros, nullable=False),
        Column("content", LargeBinary, nullable=False),
        Column("stored_at", Micros, nullable=False),
    )
    op.create_index("revocation_list_newest", "revocation_list", ["issuer", "this_update"])
