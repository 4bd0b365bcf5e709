"""Who takes part: organisations admitted to the pilot, and what the operator has verified of them."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.terms import SLUG, Participant, ParticipantId, Role

PARTICIPANT: Final = sa.Table(
    "participant", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("admitted_at", Instant, nullable=False),
    sa.Column("tax_code", sa.Text),
    sa.Column("entity_verified", sa.Boolean, nullable=False),
    sa.Column("eid_level", sa.Integer, nullable=False),
    sa.Column("payment_account", sa.Boolean, nullable=False),
    # else one CA certificate would sign for two participants
    sa.UniqueConstraint("tax_code", name="participant_tax_code"),
)  # fmt: skip
_TERRITORY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_TAX_CODE: Final = re.compile(r"[0-9A-Z](?:-?[0-9A-Z]){7,19}", re.ASCII)
_HIGHEST_LEVEL: Final = 4

# built once: every query asks, and building a statement takes longer than running it
_PARTICIPANT: Final = sa.select(PARTICIPANT).where(PARTICIPANT.c.id == sa.bindparam("wanted"))
_BY_TAX_CODE: Final = sa.select(PARTICIPANT.c.id).where(PARTICIPANT.c.tax_code == sa.bindparam("code"))
_COUNTS: Final = sa.select(PARTICIPANT.c.roles, sa.func.count().label("number")).group_by(PARTICIPANT.c.roles)


def admit(tx: Transaction, participant: Participant, at: datetime) -> None:
    """Admit an organisation. Its roles are settled here, once.

    Raises:
        Invalid: ``participant.invalid``.
        Conflict: ``participant.exists``, also when its tax code is another's; ``participant.roles`` for an operator
            who would supervise itself.
    """
    check(participant)
    row = {
        "id": participant.id,
        "name": participant.name,
        "roles": " ".join(sorted(participant.roles)),
        "territory": participant.territory,
        "tax_code": participant.tax_code,
        "entity_verified": participant.entity_verified,
        "eid_level": participant.eid_level,
        "payment_account": participant.payment_account,
        "admitted_at": at,
    }
    what = f"{participant.id} is admitted already"
    if participant.tax_code is not None:
        what += ", or another participant has its tax code"
    taken = Conflict("participant.exists", f"{what}.", hint="Choose another id; an organisation is admitted once.")
    insert_new(tx, PARTICIPANT, row, taken)


def check(participant: Participant) -> None:
    """Whether an organisation may be written down at all, whoever is admitted already.

    Raises:
        Invalid: ``participant.invalid``.
        Conflict: ``participant.roles``.
    """
    name = participant.name
    if not SLUG.fullmatch(participant.id) or len(participant.id) > 63:  # noqa: PLR2004
        _invalid(f"{participant.id[:80]!r} is no participant id, expected one such as cong-ty-fintech.")
    if not (name.strip() and name.isprintable() and len(name) <= 200 and unicodedata.is_normalized("NFC", name)):  # noqa: PLR2004
        _invalid("A name has 1 to 200 printable characters in Unicode NFC.")
    if not participant.roles:
        _invalid("A participant has at least one role.")
    _check_verified(participant)
    if participant.roles >= {Role.OPERATOR, Role.REGULATOR}:
        raise Conflict(
            "participant.roles", f"{participant.id} cannot be operator and regulator.",
            hint="Admit the supervisor as an organisation of its own.", reasons=("CHARTER-07",),
        )  # fmt: skip


def _check_verified(participant: Participant) -> None:
    if not _TERRITORY.fullmatch(participant.territory):
        _invalid("A territory is a country by ISO 3166, such as VN.")
    if participant.tax_code is not None and not _TAX_CODE.fullmatch(participant.tax_code):
        _invalid(f"{participant.tax_code[:40]!r} is no tax code, expected one such as 0101234567 or 0101234567-001.")
    if not 0 <= participant.eid_level <= _HIGHEST_LEVEL:
        _invalid(f"{participant.eid_level} is no level of an electronic identity, expected 0 to {_HIGHEST_LEVEL}.")


def _invalid(sentence: str) -> None:
    raise Invalid("participant.invalid", sentence, hint="Correct it and admit the participant again.")


def insert_new(tx: Transaction, table: sa.Table, row: Mapping[str, object], taken: Conflict) -> None:
    """Insert, or raise ``taken``: the database decides, for two nodes may write at the same time."""
    try:
        with tx.connection.begin_nested():
            tx.connection.execute(sa.insert(table).values(row))
    except sa.exc.IntegrityError:
        raise taken from None


def participant(connection: Connection, participant_id: str) -> Participant:
    """One organisation.

    Raises:
        NotFound: ``participant.unknown``.
    """
    row = connection.execute(_PARTICIPANT, {"wanted": participant_id}).one_or_none()
    if row is None:
        raise NotFound(
            "participant.unknown", f"No participant {participant_id[:80]!r}.", hint="See: sandbox participants list"
        )
    return participant_of(row)


def participants(connection: Connection) -> list[Participant]:
    """Everyone admitted, by id."""
    return [participant_of(row) for row in connection.execute(sa.select(PARTICIPANT).order_by(PARTICIPANT.c.id))]


def by_tax_code(connection: Connection, tax_code: str) -> ParticipantId | None:
    """Who has this tax code, under which CA certificates name it."""
    found = connection.scalar(_BY_TAX_CODE, {"code": tax_code})
    return None if found is None else ParticipantId(found)


def counts(connection: Connection) -> dict[str, int]:
    """How many ``providers`` and ``buyers`` are admitted; who is both counts as either."""
    found = [(frozenset(roles.split()), number) for roles, number in connection.execute(_COUNTS)]
    return {f"{role}s": sum(number for roles, number in found if role in roles) for role in (Role.PROVIDER, Role.BUYER)}


def participant_of(row: Row[tuple[object, ...]]) -> Participant:
    """The participant of a row that has the table's columns, and perhaps others."""
    return Participant(
        id=ParticipantId(row.id),
        name=row.name,
        roles=frozenset(map(Role, row.roles.split())),
        territory=row.territory,
        tax_code=row.tax_code,
        entity_verified=row.entity_verified,
        eid_level=row.eid_level,
        payment_account=row.payment_account,
    )
