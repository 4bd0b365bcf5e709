"""The descriptor: what a provider says of a dataset, column by column.

::

    {"id": "xe_buyt_luot_di", "title": {"vi": "…", "en": "…"}, "description": {"vi": "…", "en": "…"},
     "sector": "giao_thong", "data_class": "khu_nhan_dang", "origin": "tong_hop",
     "personal_origin": true, "deidentification": "du_lieu_tong_hop",
     "privacy_unit": "hanh_khach_pid", "min_group": 10, "update_frequency": "hang_quy",
     "columns": [{"name": "gia_ve_vnd", "type": "INTEGER", "sensitivity": "M", "nullable": false,
                  "meaning": {"vi": "…", "en": "…"}, "unit": "đồng", "exposed": true}],
     "dimensions": [{"name": "gio", "expression": "extract(hour FROM len_xe_luc)"}], "sort": ["gia_ve_vnd"],
     "seller_status": "co_quan_nha_nuoc", "lawful_origin": {"vi": "…", "en": "…"}, "quality": {"vi": "…", "en": "…"},
     "flags": [], "subject_count": 250000, "subject_sensitive": true,
     "assessment": {"assessor": "to-chuc-danh-gia", "report": null}, "derived": null}
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from sandbox.core.canonical import Json
from sandbox.core.terms import Column, DatasetId, Dimension

SENSITIVITIES: Final = {
    "D": "direct identifier",
    "P": "pseudonymous key",
    "Q": "dimension",
    "S": "sensitive dimension",
    "M": "measure",
    "O": "open",
}
"""Column classes; D is here so that the policy can refuse it with a reason (LIST-03)."""
DATA_CLASSES: Final = ("mo", "dung_chung", "thuong_mai", "khu_nhan_dang", "quan_trong", "cot_loi")
ORIGINS: Final = ("tong_hop", "thuc_te")
FREQUENCIES: Final = ("mot_lan", "thoi_gian_thuc", "hang_ngay", "hang_tuan", "hang_thang", "hang_quy", "hang_nam")
LANGUAGES: Final = ("vi", "en")
FLAGS: Final = ("bi_mat_nha_nuoc", "quoc_phong", "an_ninh", "doi_ngoai", "co_yeu")
"""What is never traded (Law on Data 60/2024, art. 42(3)); read, so that the policy can refuse it with a reason."""
SELLERS: Final = ("co_quan_nha_nuoc", "don_vi_su_nghiep", "doanh_nghiep", "hiep_hoi", "khac")
"""What a seller may be (Decree 314/2026, art. 8(2)(a))."""
CLAIMS: Final = (
    "flags",
    "subject_count",
    "subject_sensitive",
    "assessment",
    "derived",
    "quality",
    "lawful_origin",
    "seller_status",
)
"""Members that may be missing: what a provider has not said is ``None``, and no policy holds it for proved."""

TIMES: Final = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
WHOLE: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
TYPES: Final = ("BOOLEAN", *WHOLE, "FLOAT", "DOUBLE", "VARCHAR", *TIMES)
"""DuckDB's names of the types that may be listed, besides DECIMAL(p,s)."""
MOST_COLUMNS: Final = 500
MOST_DIGITS: Final = 38
"""Of a DECIMAL; Parquet knows longer ones, which DuckDB would make into a DOUBLE."""

RESERVED: Final = frozenset(
    re.findall(
        r"\w+",
        """all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
    collate collation column concurrently constraint create cross default deferrable desc describe distinct do else end
    except false fetch for foreign freeze from full glob group having ilike in initially inner intersect into is isnull
    join lambda lateral leading left like limit natural not notnull null offset on only or order outer overlaps pivot
    pivot_longer pivot_wider placing positional primary qualify references returning right select semi show similar
    some summarize symmetric table tablesample then to trailing true union unique unpack unpivot using variadic verbose
    when where window with""",
    )
)
"""Words that DuckDB does not take for a column or a table unless they are quoted."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column. ``exposed: false`` keeps it out of every contract, though it is in the file."""

    name: str
    type: str
    sensitivity: str
    nullable: bool
    meaning: Mapping[str, str]
    unit: str | None = None
    exposed: bool = True


@dataclass(frozen=True, slots=True)
class Assessment:
    """Who assessed the dataset, which must not be its seller (LIST-07), and the digest of the report."""

    assessor: str
    report: str | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a product of added value was made from other data (LIST-06); ``label`` is what it must be called."""

    label: str
    method: str
    inputs: str
    frequency: str


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A dataset in words. The provider is not among them: it is whoever signs the manifest.

    ``dimensions`` is complete: those the provider declared, then each Q or S column that is one by itself.
    ``sort`` is how the exchange orders its copy of the rows. What stands after it are the provider's claims
    (:data:`CLAIMS`): ``subject_count`` is how many natural persons the rows are about at most, even where nobody can
    tell who; ``derived`` is ``None`` for original data.
    """

    id: DatasetId
    title: Mapping[str, str]
    description: Mapping[str, str]
    sector: str
    data_class: str
    origin: str
    personal_origin: bool
    deidentification: str | None
    privacy_unit: str | None
    min_group: int | None
    update_frequency: str
    columns: tuple[ColumnSpec, ...]
    dimensions: tuple[Dimension, ...]
    sort: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None
    subject_count: int | None = None
    subject_sensitive: bool | None = None
    assessment: Assessment | None = None
    derived: Derivation | None = None
    quality: Mapping[str, str] | None = None
    lawful_origin: Mapping[str, str] | None = None
    seller_status: str | None = None

    @property
    def exposed(self) -> tuple[Column, ...]:
        """What a contract may open at most."""
        return tuple(Column(column.name, column.type) for column in self.columns if column.exposed)

    @property
    def measures(self) -> tuple[str, ...]:
        """What a contract may open to sums and means."""
        return tuple(column.name for column in self.columns if column.exposed and column.sensitivity == "M")


def describe(descriptor: Descriptor) -> dict[str, Json]:
    """The descriptor's document, whose digest stands in the manifest: every member but claims that it does not make."""
    document = {
        **asdict(descriptor),
        "columns": [asdict(column) for column in descriptor.columns],
        "dimensions": [asdict(dimension) for dimension in descriptor.dimensions],
        "sort": list(descriptor.sort),
        "flags": None if descriptor.flags is None else list(descriptor.flags),
    }
    # digests that were signed before there were such members stay as they are
    unsaid = {name for name in CLAIMS if document[name] is None} | (set() if descriptor.sort else {"sort"})
    return {name: value for name, value in document.items() if name not in unsaid}


def columns_in(expression: str, columns: tuple[ColumnSpec, ...]) -> tuple[ColumnSpec, ...]:
    """The columns that a dimension's expression may name: every word counts, even in a literal, so never too few."""
    words = {word.casefold() for word in re.findall(r"\w+", expression)}
    return tuple(column for column in columns if column.name.casefold() in words)


def with_own_dimensions(declared: tuple[Dimension, ...], columns: tuple[ColumnSpec, ...]) -> tuple[Dimension, ...]:
    """Add each exposed Q or S column as the dimension of its own name.

    Not a date or an instant, which would single out rows, nor a column that the provider offers only through an
    expression, such as a year of birth in bands of ten.
    """
    spoken_for = {column.name for dimension in declared for column in columns_in(dimension.expression, columns)}
    own = (
        Dimension(column.name, quoted(column.name))
        for column in columns
        if column.exposed and column.sensitivity in {"Q", "S"} and column.type not in TIMES
        if column.name not in spoken_for
    )
    return (*declared, *own)


def quoted(name: str) -> str:
    """A column as SQL names it."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in RESERVED
    return name if plain else f'"{name}"'
