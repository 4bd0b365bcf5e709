"""The exchange's own layout: the same rows, in the descriptor's types and order, and nothing else of the provider's."""

import datetime as dt
import decimal
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog import examination, layout
from sandbox.catalog.dataset import Descriptor
from sandbox.catalog.intake import Intake
from sandbox.catalog.layout import GROUP_ROWS, Layout, Unwritten, in_order
from sandbox.core.errors import Invalid
from tests.catalog import crafted

Write = Callable[..., Path]
Described = Callable[..., Descriptor]
AT = dt.datetime(2026, 4, 1, 22, 30, tzinfo=dt.UTC)

EVERY: dict[str, tuple[str, pa.Array]] = {
    "b": ("BOOLEAN", pa.array([True, None, False])),
    "i8": ("TINYINT", pa.array([-128, None, 127], pa.int8())),
    "i16": ("SMALLINT", pa.array([-(2**15), None, 2**15 - 1], pa.int16())),
    "i32": ("INTEGER", pa.array([-(2**31), None, 2**31 - 1], pa.int32())),
    "i64": ("BIGINT", pa.array([-(2**63), None, 2**63 - 1], pa.int64())),
    "u8": ("UTINYINT", pa.array([0, None, 255], pa.uint8())),
    "u16": ("USMALLINT", pa.array([0, None, 2**16 - 1], pa.uint16())),
    "u32": ("UINTEGER", pa.array([0, None, 2**32 - 1], pa.uint32())),
    "u64": ("UBIGINT", pa.array([0, None, 2**64 - 1], pa.uint64())),
    "f": ("FLOAT", pa.array([float("nan"), float("-inf"), 1.5], pa.float32())),
    "d": ("DOUBLE", pa.array([float("inf"), -0.0, None])),
    "t": ("VARCHAR", pa.array(["", "Huế 🏯", None])),
    "k": ("VARCHAR", pa.array(["x", None, "x"]).dictionary_encode()),
    "day": ("DATE", pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)])),
    "ms": ("TIMESTAMP", pa.array([0, None, 253_402_300_799_999], pa.timestamp("ms"))),
    "us": ("TIMESTAMP", pa.array([-1, None, 2**60], pa.timestamp("us"))),
    "tz": ("TIMESTAMP WITH TIME ZONE", pa.array([AT, None, AT], pa.timestamp("us", "Asia/Ho_Chi_Minh"))),
    "d9": ("DECIMAL(9,2)", pa.array([decimal.Decimal("-1.25"), None, decimal.Decimal("9.99")], pa.decimal128(9, 2))),
    "d38": ("DECIMAL(38,6)", pa.array([decimal.Decimal("9" * 32), None, decimal.Decimal(1)], pa.decimal128(38, 6))),
    "none": ("INTEGER", pa.nulls(3, pa.int32())),
}


def engine_rows(path: Path) -> list[Any]:
    """Every row as the engine reads it, in order; text, for NaN differs from itself."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM read_parquet('{path}')").fetchall()


def engine_types(path: Path) -> dict[str, str]:
    with duckdb.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()}


@pytest.fixture
def anew(intake: Intake, tmp_path: Path) -> Callable[..., Path]:
    """What the intake writes for a file."""

    def anew(descriptor: Descriptor, path: Path) -> Path:
        folder = tmp_path / f"work-{random.getrandbits(32)}"
        folder.mkdir()
        return intake.rewrite(descriptor, [path], folder).layouts[0]

    return anew


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_every_type_and_value_comes_through_and_is_of_the_descriptors_type(
    codec: str, described: Described, write: Write, anew: Callable[..., Path]
) -> None:
    kinds = {name: kind for name, (kind, _) in EVERY.items()}
    path = write(pa.table({name: values for name, (_, values) in EVERY.items()}), compression=codec)
    made = anew(described(kinds), path)
    assert engine_types(made) == kinds
    assert engine_rows(made) == engine_rows(path)


@pytest.mark.parametrize(
    "options",
    [
        {"data_page_version": "2.0"},
        {"use_dictionary": False},
        {"version": "1.0"},
        {"store_decimal_as_integer": True},
        {"use_byte_stream_split": ["f", "d"], "use_dictionary": False},
        {"row_group_size": 1},
        {"use_dictionary": False, "column_encoding": {"t": "DELTA_BYTE_ARRAY", "i64": "DELTA_BINARY_PACKED"}},
        {"use_dictionary": False, "column_encoding": {"t": "DELTA_LENGTH_BYTE_ARRAY"}},
    ],
    ids=str,
)
def test_however_the_provider_wrote_them(
    options: dict[str, Any], described: Described, write: Write, anew: Callable[..., Path]
) -> None:
    few = {name: EVERY[name] for name in ("i64", "f", "d", "t", "k", "us", "d9", "d38")}
    path = write(pa.table({name: values for name, (_, values) in few.items()}), **options)
    made = anew(described({name: kind for name, (kind, _) in few.items()}), path)
    assert engine_rows(made) == engine_rows(path)


def test_what_the_engine_itself_wrote_comes_through(
    tmp_path: Path, described: Described, anew: Callable[..., Path]
) -> None:
    for version in ("V1", "V2"):
        path = tmp_path / f"{version}.parquet"
        select = "SELECT i, 'tên ' || i % 7000 AS t, i / 7 AS d, i::DECIMAL(20,3) AS e FROM range(300000) r(i)"
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, PARQUET_VERSION {version})")
        kinds = {"i": "BIGINT", "t": "VARCHAR", "d": "DOUBLE", "e": "DECIMAL(20,3)"}
        assert engine_rows(anew(described(kinds), path)) == engine_rows(path)


def test_nothing_of_the_writer_comes_along(described: Described, write: Write, anew: Callable[..., Path]) -> None:
    table = pa.table({"t": ["x", "y"]}).replace_schema_metadata({"secret": "of the writer"})
    path = write(table, write_page_index=True, write_page_checksum=True)
    content, footer = crafted.opened(path)
    statistics = crafted.columns_of(footer)[0][12][1]
    statistics |= {
        number: (8, b"zzzz") for number in (1, 2, 5, 6) if number in statistics
    }  # least and greatest, untrue
    footer[6] = (8, b"a writer with a name")
    crafted.closed(path, content, footer)
    made = anew(described({"t": "VARCHAR"}), path)
    assert b"of the writer" not in made.read_bytes()
    assert b"a writer with a name" not in made.read_bytes()
    metadata = pq.read_metadata(made)
    assert metadata.metadata is None
    assert metadata.row_group(0).column(0).compression == layout.CODEC.upper()
    found = metadata.row_group(0).column(0).statistics
    assert (found.min, found.max) == ("x", "y")


def test_the_same_file_gives_the_same_bytes(described: Described, write: Write, anew: Callable[..., Path]) -> None:
    path = write(pa.table({"n": list(range(200_000)), "t": [str(number % 99) for number in range(200_000)]}))
    descriptor = described({"n": "BIGINT", "t": "VARCHAR"}, sort=["t"])
    assert anew(descriptor, path).read_bytes() == anew(descriptor, path).read_bytes()


def test_row_groups_are_the_engines_own_whatever_the_provider_chose(
    described: Described, write: Write, anew: Callable[..., Path]
) -> None:
    rows = 2 * GROUP_ROWS + 7
    path = write(pa.table({"n": list(range(rows))}), row_group_size=50_001)
    metadata = pq.read_metadata(made := anew(described({"n": "BIGINT"}), path))
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert groups == [GROUP_ROWS, GROUP_ROWS, 7]
    assert pq.read_table(made)["n"].to_pylist() == list(range(rows))


def test_wide_rows_make_small_row_groups(
    described: Described, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "GROUP_BYTES", 1 << 20)
    monkeypatch.setattr(layout, "_PIECE", 1 << 18)
    table = pa.table({"t": [f"{number:05d}" * 2_000 for number in range(500)] * 2})
    descriptor, path = described({"t": "VARCHAR"}), write(table)
    examination.examine_here(descriptor, [path], folder=tmp_path)
    metadata = pq.read_metadata(tmp_path / "0")
    assert max(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)) < 160
    assert pq.read_table(tmp_path / "0").cast(table.schema).equals(table)


def test_rows_are_sorted_as_the_descriptor_wishes_nulls_last_and_equal_ones_as_they_came(
    described: Described, write: Write, anew: Callable[..., Path]
) -> None:
    chance = random.Random(7)
    rows = [
        {"t": chance.choice(["b", "a", None, "ă", ""]), "n": chance.choice([3, 1, None, 2]), "i": number}
        for number in range(3_000)
    ]  # fmt: skip
    path = write(pa.Table.from_pylist(rows))
    made = anew(described({"t": "VARCHAR", "n": "BIGINT", "i": "BIGINT"}, sort=["t", "n"]), path)
    expected = sorted(
        rows, key=lambda row: (row["t"] is None, (row["t"] or "").encode(), row["n"] is None, row["n"] or 0)
    )
    assert pq.read_table(made).to_pylist() == expected


def test_what_is_too_much_to_sort_at_once_is_sorted_in_pieces(
    described: Described, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "WINDOW", 1 << 20)
    numbers = list(range(300_000))
    random.Random(1).shuffle(numbers)
    descriptor = described({"n": "BIGINT"}, sort=["n"])
    examination.examine_here(descriptor, [write(pa.table({"n": numbers}))], folder=tmp_path)
    found = pq.read_table(tmp_path / "0")["n"].to_pylist()
    assert sorted(found) == sorted(numbers)
    assert 1 < sum(later < earlier for earlier, later in itertools.pairwise(found)) < 10


VALUES = st.sampled_from(["", "a", "b", "Z", "ấ", "a\0", None])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VALUES, st.one_of(st.none(), st.integers(-2, 2)), st.booleans()), max_size=40))
def test_any_rows_sort_as_python_sorts_them(rows: list[tuple[str | None, int | None, bool]]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    kinds = (pa.large_string(), pa.int64(), pa.bool_())
    table = pa.table([pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], ["t", "n", "b"])
    found = in_order(table, ["t", "b", "n"]).to_pylist()
    expected = sorted(
        table.to_pylist(),
        key=lambda row: (row["t"] is None, (row["t"] or "").encode(), row["b"], row["n"] is None, row["n"] or 0),
    )
    assert found == expected


@pytest.mark.parametrize(
    ("sort", "fits"),
    [
        (["nguoi", "ngay"], True),
        ([], True),
        (["so_phong"], False),
        (["khong_co"], False),
        (["ngay", "ngay"], False),
        (["NGAY"], False),
        ("ngay", False),
        ([["ngay"]], False),
        (None, False),
        (["ngay"] * 9, False),
    ],
)
def test_a_wish_to_sort_names_open_columns_once_each(
    sort: object, fits: bool, document: dict[str, Any], read: Callable[..., Descriptor]
) -> None:
    """By a withheld column the order of the rows would tell what the contract does not."""
    wished = document | {"sort": sort}
    if fits:
        assert read(wished).sort == tuple(sort)  # type: ignore[arg-type]
        return
    with pytest.raises(Invalid, match="sort is "):
        read(wished)


def test_a_place_that_cannot_be_written_is_not_the_rows_fault(descriptor: Descriptor, tmp_path: Path) -> None:
    with pytest.raises(Unwritten):
        Layout(tmp_path / "none" / "0", descriptor)
