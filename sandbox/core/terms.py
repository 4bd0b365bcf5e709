"""The words of the house: identifiers, roles and the records that flow between rooms."""

import re
from collections.abc import Mapping
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


OVERSEERS: Final = frozenset({Role.REGULATOR, Role.OPERATOR})
"""Who may see the whole record, and act for the pilot."""


class ReleaseMode(StrEnum):
    """How an answer may leave, from the contract. The policies say which of them this exchange performs (QRY-02)."""

    EXACT = "exact"
    SAFE_CUBE = "safe_cube"
    DP = "dp"
    TEMPLATE = "template"
    THRESHOLD = "threshold"


class KeyUse(StrEnum):
    """What a key may sign; a key has one use, so that a stolen one opens nothing else."""

    CONTRACT = "contract"
    REQUEST = "request"
    LOG = "log"
    WITNESS = "witness"


SCOPES: Final = ("read", "query", "contract", "publish", "supervise")
"""What an API token may be good for."""


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation admitted to the pilot; ``territory`` is an ISO 3166 country code.

    What the operator has verified of it (Decree 314/2026, art. 18): ``tax_code`` names it in CA certificates,
    ``eid_level`` is the assurance level of its electronic identity, 0 for none.
    """

    id: ParticipantId
    name: str
    roles: frozenset[Role]
    territory: str = "VN"
    tax_code: str | None = None
    entity_verified: bool = False
    eid_level: int = 0
    payment_account: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and how that was established.

    ``token`` is the id of the API token (never its secret), ``amr`` the ways in which its holder signed in (RFC 8176),
    ``signature`` the evidence of a signed request (RFC 9421).
    """

    participant: Participant
    token: str = ""
    scopes: frozenset[str] = frozenset()
    amr: tuple[str, ...] = ()
    signature: Mapping[str, str | int] | None = None

    @property
    def id(self) -> ParticipantId:
        return self.participant.id

    @property
    def roles(self) -> frozenset[Role]:
        return self.participant.roles


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
