"""The words of the house: identifiers, roles and the records that flow between rooms."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

ParticipantId = NewType("ParticipantId", str)
"""Slug of an organisation, such as ``cong-ty-fintech``."""
DatasetId = NewType("DatasetId", str)
"""Slug of a dataset and the name of the relation that buyers query, such as ``chi_so_cds``."""
Digest = NewType("Digest", str)
"""``sha256:`` and 64 hexadecimal digits: the name of something immutable."""
QueryId = NewType("QueryId", str)
EntryId = NewType("EntryId", str)
Vnd = NewType("Vnd", int)
"""Money in whole đồng; never a float."""

SLUG: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", re.ASCII)
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class Role(StrEnum):
    """What an organisation may be on the exchange; nobody is both operator and regulator (CHARTER-07)."""

    PROVIDER = "provider"
    BUYER = "buyer"
    REGULATOR = "regulator"
    OPERATOR = "operator"


class ReleaseMode(StrEnum):
    """How much of an answer may leave, from the contract."""

    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation admitted to the pilot; ``territory`` is an ISO 3166 country code."""

    id: ParticipantId
    name: str
    roles: frozenset[Role]
    territory: str = "VN"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a contract's row filter: the column's value is among ``values``. Several combine with AND."""

    column: str
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What one agreement opens of one dataset version. An empty ``columns`` opens nothing."""

    dataset: DatasetId
    version: Digest
    columns: tuple[str, ...]
    rows: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column by name and DuckDB type, such as ``("gia_ve_vnd", "INTEGER")``."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something buyers may group by and filter on: a column, or an expression over one such as a local month."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Meter:
    """What a completed query released and cost: rows, bytes of the Arrow stream, đồng."""

    rows_out: int
    bytes_out: int
    vnd: Vnd
