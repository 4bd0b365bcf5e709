"""Parquet from outside: its types as DuckDB sees them, and a draft of its descriptor."""

import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog import dataset, draft
from sandbox.catalog.dataset import read_descriptor
from sandbox.catalog.examination import examine_here
from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid

Write = Callable[..., Path]
OLD_FILES = sorted((Path(pa.__file__).parent / "tests" / "data" / "parquet").glob("*.parquet"))
"""Sold diamonds, as an old writer wrote them; they come with pyarrow."""


def draft_descriptor(path: Path, dataset_id: str) -> dict[str, Any]:
    return draft.drafted(dataset_id, path.name, lambda: draft.fields_here(path))


def engine_types(path: Path) -> dict[str, str]:
    return {row[0]: row[1] for row in duckdb.execute(f"DESCRIBE FROM '{path}'").fetchall()}


def drafted_types(path: Path) -> dict[str, str]:
    return {item["name"]: item["type"] for item in draft_descriptor(path, "a")["columns"]}


def test_every_type_that_may_be_listed_is_named_as_the_engine_names_it(write: Write) -> None:
    whole = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    times = [pa.date32(), pa.date64(), pa.duration("us"), *(pa.timestamp(unit) for unit in ("s", "ms", "us"))]
    zoned = [pa.timestamp("ms", "UTC"), pa.timestamp("us", "Asia/Ho_Chi_Minh")]
    texts = [pa.string(), pa.large_string(), pa.string_view()]
    kinds = [*whole, *times, *zoned, pa.float32(), pa.float64()]
    columns = {f"c{index}": pa.array([1], kind) for index, kind in enumerate(kinds)}
    columns |= {f"t{index}": pa.array(["x"], kind) for index, kind in enumerate(texts)}
    columns |= {f"d{digits}": pa.array([decimal.Decimal(1)], pa.decimal128(digits, 2)) for digits in (5, 9, 18, 38)}
    columns |= {"b": pa.array([True]), "dictionary": pa.array(["x"]).dictionary_encode()}
    path = write(pa.table(columns))
    assert drafted_types(path) == engine_types(path)


@pytest.mark.parametrize("path", OLD_FILES, ids=lambda path: path.stem)
def test_files_of_an_old_writer_are_typed_as_the_engine_types_them(path: Path) -> None:
    assert drafted_types(path) == engine_types(path)


def test_strangers_files_are_drafted_filled_in_and_examined(filled: Callable[..., dict[str, Any]]) -> None:
    """One column is called ``table``, which SQL only takes quoted."""
    path = next(path for path in OLD_FILES if path.stem == "v0.7.1")
    draft = filled(draft_descriptor(path, "kim_cuong"), {"table": "Q", "cut": "Q", "price": "M"})
    descriptor = read_descriptor(canonical(draft))
    assert [item.expression for item in descriptor.dimensions] == ["cut", '"table"']
    examined = examine_here(descriptor, [path])
    rows, least, cuts = duckdb.execute(f"SELECT count(*), min(price), count(DISTINCT cut) FROM '{path}'").fetchall()[0]
    assert (examined.rows, examined.bytes) == (rows, path.stat().st_size)
    assert examined.statistics["price"]["min"] == least
    assert examined.statistics["cut"] == {"nulls": 0, "distinct": cuts, "min": None, "max": None}


def test_the_engines_own_files_are_drafted_and_examined(tmp_path: Path, filled: Callable[..., dict[str, Any]]) -> None:
    path = tmp_path / "engine.parquet"
    select = "SELECT i::HUGEINT::DECIMAL(20,4) AS d, i / 7 AS r, if(i % 3 = 0, NULL, 'x' || i) AS t FROM range(9) s(i)"
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, COMPRESSION lz4_raw)")
    descriptor = read_descriptor(canonical(filled(draft_descriptor(path, "a"))))
    assert [(item.name, item.type) for item in descriptor.columns] == [
        ("d", "DECIMAL(20,4)"), ("r", "DOUBLE"), ("t", "VARCHAR")
    ]  # fmt: skip
    assert examine_here(descriptor, [path]).statistics["t"]["nulls"] == 3


def test_a_draft_is_refused_until_a_person_has_filled_it_in(table: pa.Table, write: Write) -> None:
    draft = draft_descriptor(write(table), "luot_kham")
    assert [item["name"] for item in draft["columns"]] == table.column_names
    with pytest.raises(Invalid, match="sensitivity is"):
        read_descriptor(canonical(draft))


@pytest.mark.parametrize("dataset_id", ["", "Lượt", "a-b", "a__b", "a;", "x" * 64, "table"])
def test_a_draft_needs_a_table_name(dataset_id: str, table: pa.Table, write: Write) -> None:
    with pytest.raises(Invalid, match="table name"):
        draft_descriptor(write(table), dataset_id)


STRANGE = {
    "nested": (pa.array([[1]]), "column x.list.element is nested, expected text, a number"),
    "struct": (pa.array([{"a": 1}]), "is nested"),
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "is nested"),
    "binary": (pa.array([b"x"]), "column x is BYTE_ARRAY"),
    "uuid": (pa.array([b"x" * 16], pa.uuid()), "column x is UUID"),
    "time": (pa.array([1], pa.time32("ms")), "column x is Time"),
    "nanoseconds": (pa.array([1], pa.timestamp("ns")), "column x is Timestamp"),
    "half": (pa.array([1.0], pa.float16()), "column x is Float16"),
    "untyped": (pa.nulls(1), "column x is Null"),
    "long": (pa.array([decimal.Decimal(1)], pa.decimal256(39, 0)), "column x is Decimal"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_type_that_cannot_be_listed_is_named_with_a_remedy(kind: str, write: Write) -> None:
    values, sentence = STRANGE[kind]
    with pytest.raises(Invalid) as caught:
        draft_descriptor(write(pa.table({"x": values}), "la.parquet"), "a")
    assert caught.value.code == "parquet.mismatch"
    assert caught.value.message.startswith("la.parquet: ")
    assert sentence in caught.value.message
    assert caught.value.hint


def test_times_of_the_deprecated_kind_are_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "spark.parquet"
    pq.write_table(pa.table({"t": pa.array([1], pa.timestamp("us"))}), path, use_deprecated_int96_timestamps=True)
    with pytest.raises(Invalid, match="column t is INT96") as caught:
        draft_descriptor(path, "a")
    assert "TIMESTAMP_MICROS" in caught.value.hint


@pytest.mark.parametrize("name", ["a b", "a.b", 'a"b', "1a", "x" * 64, "a'; DROP TABLE x"])
def test_a_column_name_that_contracts_cannot_use_is_refused(name: str, write: Write) -> None:
    with pytest.raises(Invalid, match="expected letters, digits and underscores"):
        draft_descriptor(write(pa.table({name: [1]})), "a")


def test_a_provider_drafts_and_examines_in_a_jail_of_its_own(
    write: Write, table: pa.Table, descriptor: dataset.Descriptor
) -> None:
    path = write(table)
    assert dataset.draft_descriptor(path, "luot_kham") == draft_descriptor(path, "luot_kham")
    assert dataset.examine(descriptor, [path]) == examine_here(descriptor, [path])
    with pytest.raises(Invalid, match="no such file"):
        dataset.draft_descriptor(path.with_name("khong_co"), "luot_kham")


def test_more_columns_than_a_descriptor_has_are_refused_at_once(write: Write) -> None:
    path = write(pa.table({f"c{number}": [1] for number in range(10_000)}))
    with pytest.raises(Invalid, match=r"got 10000 columns, expected at most 500\."):
        draft_descriptor(path, "a")
