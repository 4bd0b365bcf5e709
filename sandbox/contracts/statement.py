"""What a provider states of the data in every offer: who sells, where it is from, in which format, which fields.

::

    {"seller_status": "hiep_hoi", "origin": "Hóa đơn điện tử do hội viên cung cấp.", "format": "parquet",
     "fields": [{"name": "tinh", "type": "VARCHAR", "role": "dimension"}]}

Decree 314/2026, art. 8(2) asks for it; price, term, purposes, territory and rights stand in the terms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.contracts import members
from sandbox.contracts.members import list_of, object_of, refuse
from sandbox.contracts.record import Terms
from sandbox.core.canonical import Json

SELLERS: Final = ("co_quan_nha_nuoc", "don_vi_su_nghiep", "doanh_nghiep", "hiep_hoi", "khac")
"""State agency, public service unit, company, association, other."""
FORMAT: Final = "parquet"
ROLES: Final[Mapping[str, str]] = {
    "P": "pseudonym",
    "Q": "dimension",
    "S": "sensitive_dimension",
    "M": "measure",
    "O": "open",
}
"""What a field is for, by the descriptor's column class; direct identifiers (D) are never offered (LIST-03)."""
WITHHELD: Final = "withheld"
"""The role of a field that is in the files, and in no contract."""
MOST_TEXT: Final = 2_000
MOST_TYPE: Final = 64
MOST_FIELDS: Final = 500


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the files; ``type`` is DuckDB's name of it."""

    name: str
    type: str
    role: str


@dataclass(frozen=True, slots=True)
class Statement:
    """The provider's word on the data."""

    seller_status: str
    origin: str
    format: str
    fields: tuple[Field, ...]


def read_statement(value: Json) -> Statement:
    """Read a statement.

    Raises:
        Invalid: ``contract.invalid``, naming the member.
    """
    said = object_of(value, "statement", ("seller_status", "origin", "format", "fields"))
    fields = list_of(said["fields"], "statement.fields", _field, least=1, most=MOST_FIELDS)
    if len({field.name.casefold() for field in fields}) != len(fields):
        refuse("statement.fields names a column twice (upper and lower case count as one).")
    return Statement(
        seller_status=members.choice(SELLERS)(said["seller_status"], "statement.seller_status"),
        origin=members.text(said["origin"], "statement.origin", MOST_TEXT),
        format=members.choice([FORMAT])(said["format"], "statement.format"),
        fields=fields,
    )


def _field(value: Json, where: str) -> Field:
    said = object_of(value, where, ("name", "type", "role"))
    return Field(
        name=members.column(said["name"], f"{where}.name"),
        type=members.text(said["type"], f"{where}.type", MOST_TYPE),
        role=members.choice([*ROLES.values(), WITHHELD])(said["role"], f"{where}.role"),
    )


def check_covers(statement: Statement, terms: Terms) -> None:
    """Refuse terms that open a column which the statement withholds or does not list; a dimension may be no column.

    Raises:
        Invalid: ``contract.invalid``.
    """
    offered = {field.name for field in statement.fields if field.role != WITHHELD}
    filtered = {condition.column for condition in terms.rows}
    named = {*terms.columns, *terms.join_columns, *terms.measured, *filtered} | ({terms.unit} if terms.unit else set())
    if strange := named - offered:
        refuse(f"The terms open {min(strange)}, which statement.fields does not offer.")
