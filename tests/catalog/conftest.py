"""A provider's small folder: a descriptor to vary, and a place to write Parquet."""

import datetime as dt
import decimal
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog.dataset import Descriptor, read_descriptor
from sandbox.catalog.descriptor import CLAIMS
from sandbox.catalog.intake import MODULES, Intake
from sandbox.core.canonical import canonical
from sandbox.jail.jail import Jail

Document = dict[str, Any]


def column(name: str, kind: str, sensitivity: str, **more: object) -> Document:
    meaning = {"vi": f"Cột {name}", "en": f"Column {name}"}
    return {"name": name, "type": kind, "sensitivity": sensitivity, "nullable": False, "meaning": meaning} | more


@pytest.fixture
def document() -> Document:
    """A clinic's visits: every kind of column, one null, one withheld column."""
    return {
        "id": "luot_kham",
        "title": {"vi": "Lượt khám", "en": "Visits"},
        "description": {"vi": "Mỗi dòng là một lượt khám.", "en": "Each row is one visit."},
        "sector": "y_te",
        "data_class": "khu_nhan_dang",
        "origin": "tong_hop",
        "personal_origin": True,
        "deidentification": "du_lieu_tong_hop",
        "privacy_unit": "nguoi",
        "min_group": 10,
        "update_frequency": "hang_quy",
        "columns": [
            column("nguoi", "UBIGINT", "P"),
            column("luc", "TIMESTAMP WITH TIME ZONE", "Q"),
            column("ngay", "DATE", "Q"),
            column("khoa", "VARCHAR", "Q"),
            column("benh", "VARCHAR", "S"),
            column("chi_phi", "DECIMAL(12,2)", "M", unit="đồng"),
            column("nhiet_do", "DOUBLE", "M", nullable=True),
            column("so_phong", "INTEGER", "Q", exposed=False),
        ],
        "dimensions": [{"name": "thang", "expression": "date_trunc('month', luc)"}],
    }


@pytest.fixture
def table() -> pa.Table:
    at = dt.datetime(2026, 4, 1, 22, 30, tzinfo=dt.UTC)
    return pa.table(
        {
            "nguoi": pa.array([7, 7, 2**63 + 1], pa.uint64()),
            "luc": pa.array([at, at + dt.timedelta(days=1), at], pa.timestamp("ms", "UTC")),
            "ngay": pa.array([at.date()] * 3),
            "khoa": pa.array(["Mắt", "Mắt", "Răng"]).dictionary_encode(),
            "benh": pa.array(["a", "b", "c"]),
            "chi_phi": pa.array([decimal.Decimal(text) for text in ("10.50", "2.00", "7.25")], pa.decimal128(12, 2)),
            "nhiet_do": pa.array([36.5, None, 38.25]),
            "so_phong": pa.array([1, 2, 3], pa.int32()),
        }
    )


@pytest.fixture
def read() -> Callable[[Document], Descriptor]:
    return lambda document: read_descriptor(json.dumps(document).encode())


@pytest.fixture
def descriptor(document: Document, read: Callable[[Document], Descriptor]) -> Descriptor:
    return read(document)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(table: pa.Table, name: str = "kham.parquet", **options: Any) -> Path:
        pq.write_table(table, tmp_path / name, **options)
        return tmp_path / name

    return written


@pytest.fixture
def filled() -> Callable[..., Document]:
    """Fill a draft in, as a person would: all columns open, unless told otherwise."""

    def filled(draft: Document, sensitivities: dict[str, str] | None = None) -> Document:
        both = {"vi": "Chữ", "en": "Words"}
        for item in draft["columns"]:
            item |= {"sensitivity": (sensitivities or {}).get(item["name"], "O"), "meaning": both}
        named = {"title": both, "description": both, "sector": "chi_so_cds", "data_class": "mo", "origin": "thuc_te"}
        unclaimed = {name: value for name, value in draft.items() if name not in CLAIMS}
        return unclaimed | named | {"personal_origin": False, "update_frequency": "mot_lan"}

    return filled


@pytest.fixture
def described(filled: Callable[..., Document]) -> Callable[..., Descriptor]:
    """A descriptor of columns by their names and types, all of which may be null."""

    def described(kinds: dict[str, str], **more: object) -> Descriptor:
        columns = [{"name": name, "type": kind, "nullable": True} for name, kind in kinds.items()]
        nothing = dict.fromkeys(("privacy_unit", "min_group", "deidentification"))
        return read_descriptor(canonical(filled({"id": "a", "columns": columns, "dimensions": [], **nothing}) | more))

    return described


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    jail = Jail(MODULES, 4096)
    yield jail
    jail.close()


@pytest.fixture(scope="session")
def intake(jail: Jail) -> Intake:
    return Intake(jail)
