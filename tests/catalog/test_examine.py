"""The examination: what is counted, what is refused, and the sentence a provider reads."""

import decimal
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sandbox.catalog import parquet, tally
from sandbox.catalog.dataset import Descriptor, manifest
from sandbox.catalog.descriptor import describe
from sandbox.catalog.examination import Examined, examine_here
from sandbox.core.canonical import digest_of
from sandbox.core.errors import Invalid

Document = dict[str, Any]
Read = Callable[[Document], Descriptor]
Write = Callable[..., Path]


def refusal(descriptor: Descriptor, *files: Path) -> Invalid:
    with pytest.raises(Invalid) as caught:
        examine_here(descriptor, files)
    assert caught.value.reasons == ("LIST-08",)
    assert caught.value.hint
    assert all(str(file.parent) not in caught.value.message for file in files)
    return caught.value


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def test_several_files_are_counted_together_and_named_by_their_digests(
    descriptor: Descriptor, table: pa.Table, write: Write
) -> None:
    files = [write(table, "b.parquet"), write(table.slice(0, 2), "a.parquet", compression="gzip")]
    examined = examine_here(descriptor, files)
    assert (examined.rows, examined.bytes) == (5, sum(file.stat().st_size for file in files))
    assert [entry.rows for entry in examined.files] == [3, 2]
    assert [entry.digest for entry in examined.files] == [
        "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    ]


def test_statistics_give_ranges_only_where_they_give_nobody_away(
    descriptor: Descriptor, table: pa.Table, write: Write
) -> None:
    statistics = examine_here(descriptor, [write(table)]).statistics
    assert statistics == {
        "nguoi": {"nulls": 0, "distinct": 2, "min": None, "max": None},
        "luc": {
            "nulls": 0,
            "distinct": None,
            "min": "2026-04-01T22:30:00.000000Z",
            "max": "2026-04-02T22:30:00.000000Z",
        },
        "ngay": {"nulls": 0, "distinct": 1, "min": "2026-04-01", "max": "2026-04-01"},
        "khoa": {"nulls": 0, "distinct": 2, "min": None, "max": None},
        "benh": {"nulls": 0, "distinct": 3, "min": None, "max": None},
        "chi_phi": {"nulls": 0, "distinct": None, "min": "2.00", "max": "10.50"},
        "nhiet_do": {"nulls": 1, "distinct": None, "min": "36.5", "max": "38.25"},
        "so_phong": {"nulls": 0, "distinct": None, "min": None, "max": None},
    }


def test_numbers_that_json_cannot_hold_and_long_texts_are_not_rounded(
    write: Write, described: Callable[..., Descriptor]
) -> None:
    descriptor = described({"n": "BIGINT", "t": "VARCHAR", "b": "BOOLEAN"})
    table = pa.table({"n": [2**53, 1, None], "t": ["b" * 101, "a", None], "b": [True, False, None]})
    statistics = examine_here(descriptor, [write(table)]).statistics
    assert statistics["n"] == {"nulls": 1, "distinct": 2, "min": 1, "max": "9007199254740992"}
    assert statistics["t"] == {"nulls": 1, "distinct": 2, "min": "a", "max": None}
    assert statistics["b"] == {"nulls": 1, "distinct": 2, "min": None, "max": None}


def test_a_column_of_nothing_but_nulls_has_no_range(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    empty = replaced(table, "nhiet_do", pa.nulls(3, pa.float64()))
    assert examine_here(descriptor, [write(empty)]).statistics["nhiet_do"] == {
        "nulls": 3, "distinct": None, "min": None, "max": None
    }  # fmt: skip


def test_an_instant_beyond_the_calendar_has_no_text(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    far = replaced(table, "luc", pa.array([0, 1, 2**62], pa.timestamp("us", "UTC")))
    far = replaced(far, "ngay", pa.array([0, 1, 2**30], pa.int32()).cast(pa.date32()))
    statistics = examine_here(descriptor, [write(far)]).statistics
    assert (statistics["luc"]["min"], statistics["luc"]["max"]) == ("1970-01-01T00:00:00.000000Z", None)
    assert (statistics["ngay"]["min"], statistics["ngay"]["max"]) == ("1970-01-01", None)


def test_an_instant_beyond_microseconds_is_unreadable(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    far = replaced(table, "luc", pa.array([0, 1, 2**62], pa.timestamp("ms", "UTC")))
    assert refusal(descriptor, write(far)).code == "parquet.unreadable"


def test_distinct_values_are_exact_over_batches_and_unknown_beyond_the_memory(
    descriptor: Descriptor, table: pa.Table, write: Write
) -> None:
    rows = 200_000
    many = table.take(pa.array([0] * rows, pa.int32()))
    many = replaced(many, "nguoi", pc.cast(pa.array([index % 70_001 for index in range(rows)]), pa.uint64()))
    path = write(many, row_group_size=50_000)
    assert examine_here(descriptor, [path]).statistics["nguoi"]["distinct"] == 70_001
    counter = tally.Tally(descriptor.columns[0], is_unit=True, columns=1 << 20)  # 256 bytes for each column
    counter.add(many["nguoi"].combine_chunks())
    assert counter.statistics()["distinct"] is None


def test_wide_rows_are_read_in_small_batches(write: Write) -> None:
    path = write(pa.table({"t": [f"{index:07d}" * 20_000 for index in range(400)]}), use_dictionary=False)
    with parquet.opened(path) as content:
        sizes = [batch.num_rows for batch in parquet.batches(parquet.open_parquet(content))]
    assert max(sizes) * 140_000 <= parquet.BATCH_BYTES
    assert sum(sizes) == 400


def test_columns_may_stand_in_another_order(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    turned = table.select(table.column_names[::-1])
    assert examine_here(descriptor, [write(turned)]).statistics["chi_phi"]["min"] == "2.00"


def test_missing_foreign_and_wrong_columns_are_all_named_at_once(
    descriptor: Descriptor, table: pa.Table, write: Write
) -> None:
    wrong = replaced(table.drop_columns(["benh"]), "so_phong", pa.array([1, 2, 3])).append_column(
        "them", pa.array([1] * 3)
    )
    error = refusal(descriptor, write(table, "dung.parquet"), write(wrong, "sai.parquet"))
    assert error.code == "parquet.mismatch"
    assert error.message == (
        "sai.parquet: column benh is missing, expected VARCHAR; column so_phong is BIGINT, expected INTEGER; "
        "column them is BIGINT, expected no such column."
    )


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("luc", pa.array([1] * 3, pa.timestamp("us")), "TIMESTAMP, expected TIMESTAMP WITH TIME ZONE"),
        ("chi_phi", pa.array([decimal.Decimal(1)] * 3, pa.decimal128(12, 3)), "DECIMAL(12,3), expected DECIMAL(12,2)"),
        ("chi_phi", pa.array([1.5] * 3), "DOUBLE, expected DECIMAL(12,2)"),
        ("nguoi", pa.array([1] * 3, pa.duration("us")), "BIGINT, expected UBIGINT"),
    ],
)
def test_a_wrong_type_is_named(
    descriptor: Descriptor, table: pa.Table, write: Write, name: str, values: pa.Array, kind: str
) -> None:
    assert f"column {name} is {kind}." in refusal(descriptor, write(replaced(table, name, values))).message


def test_a_null_where_none_may_be_is_found_with_its_row(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    rows = pa.concat_tables([table] * 40_000)
    gap = replaced(rows, "khoa", pa.array([None if index == 70_000 else "Mắt" for index in range(120_000)]))
    error = refusal(descriptor, write(gap, "thieu.parquet"))
    assert error.message == "thieu.parquet: column khoa is null in row 70001, expected a value in every row."


def test_brotli_is_refused_before_anything_is_decoded(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    codecs = dict.fromkeys(table.column_names, "zstd") | {"benh": "brotli"}
    error = refusal(descriptor, write(table, compression=codecs))
    assert error.code == "parquet.refused_codec"
    assert "column benh is compressed with BROTLI, expected one of UNCOMPRESSED, SNAPPY, GZIP, ZSTD" in error.message


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_the_other_codecs_are_read(descriptor: Descriptor, table: pa.Table, write: Write, codec: str) -> None:
    assert examine_here(descriptor, [write(table, compression=codec)]).rows == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty file"),
        (b"PAR1", "cannot be read"),
        (b"name,age\nan,3\n", "cannot be read"),
        (b"PAR1" + b"\xff" * 64 + b"PAR1", "got a footer of 4294967295 bytes"),
        (b"PAR1" + bytes([80, 0, 0, 0]) + b"PAR1", "cannot be read"),
    ],
)
def test_what_is_no_parquet_is_unreadable(
    descriptor: Descriptor, tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "la.parquet"
    path.write_bytes(content)
    error = refusal(descriptor, path)
    assert error.code == "parquet.unreadable"
    assert error.message.startswith("la.parquet: ")
    assert sentence in error.message


def test_a_file_that_is_not_there_or_is_a_folder_is_unreadable(descriptor: Descriptor, tmp_path: Path) -> None:
    assert "no such file" in refusal(descriptor, tmp_path / "khong_co.parquet").message
    (tmp_path / "thu_muc.parquet").mkdir()
    assert "no such file" in refusal(descriptor, tmp_path / "thu_muc.parquet").message


def test_a_truncated_or_damaged_file_is_unreadable(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    path = write(table, write_page_checksum=True, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert refusal(descriptor, path).code == "parquet.unreadable"
    path.write_bytes(whole.replace("Răng".encode(), b"Rang "))
    assert refusal(descriptor, path).code == "parquet.unreadable"


def test_text_that_is_not_utf8_is_unreadable(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"\xff\xfe", b"b", b"c"]).buffers())
    assert refusal(descriptor, write(replaced(table, "benh", broken))).code == "parquet.unreadable"


def test_an_index_file_that_points_to_its_neighbours_is_refused(
    descriptor: Descriptor, table: pa.Table, write: Write, tmp_path: Path
) -> None:
    """Writers of folders leave such a ``_metadata`` beside the data."""
    index = pq.read_metadata(write(table))
    index.set_file_path("kham.parquet")
    index.write_metadata_file(tmp_path / "_metadata")
    error = refusal(descriptor, tmp_path / "_metadata")
    assert error.message == "_metadata: column nguoi points to another file, expected its values."


def test_files_without_rows_or_columns_are_refused(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    assert "got no rows" in refusal(descriptor, write(table.slice(0, 0))).message
    assert "got no columns" in refusal(descriptor, write(pa.table({}))).message


def test_no_files_at_all_are_refused(descriptor: Descriptor) -> None:
    assert refusal(descriptor).message == "luot_kham: got 0 files, expected 1 to 1000."


def test_the_same_file_twice_is_refused(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    files = [write(table, "mot.parquet"), write(table, "hai.parquet")]
    assert refusal(descriptor, *files).message.startswith("hai.parquet: got the same bytes as an earlier file")


def test_one_column_twice_is_refused(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    for name in ("khoa", "KHOA"):
        twice = table.append_column(name, pa.array(["a"] * 3))
        assert f"got column {name} twice" in refusal(descriptor, write(twice)).message


def test_a_column_name_in_another_unicode_form_is_refused(
    document: Document, read: Read, table: pa.Table, write: Write
) -> None:
    document["columns"][3]["name"] = "khoá"
    nfd = table.rename_columns([name.replace("khoa", "khoa\u0301") for name in table.column_names])
    assert "another Unicode form, expected NFC" in refusal(read(document), write(nfd)).message
    nfc = table.rename_columns([name.replace("khoa", "khoá") for name in table.column_names])
    assert examine_here(read(document), [write(nfc)]).rows == 3


def test_text_in_another_unicode_form_is_refused_without_being_shown(
    descriptor: Descriptor, table: pa.Table, write: Write
) -> None:
    nfd = replaced(table, "benh", pa.array(["a", "Hue\u0302\u0301", "c"]))
    error = refusal(descriptor, write(nfd))
    assert error.message == "kham.parquet: column benh holds text in another Unicode form, expected NFC."
    assert examine_here(descriptor, [write(replaced(table, "benh", pa.array(["a", "Huế", "c"])))]).rows == 3


def test_a_text_as_long_as_a_book_is_refused(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    long = replaced(table, "benh", pa.array(["a", "b", "c" * (parquet.LONGEST_TEXT + 1)]))
    assert "column benh holds a text of more than 1048576 bytes" in refusal(descriptor, write(long)).message
    assert examine_here(descriptor, [write(replaced(table, "benh", pa.array(["a", "b", "c" * 2**20])))]).rows == 3


def test_more_rows_than_two_to_the_thirty_one_are_refused(
    descriptor: Descriptor, table: pa.Table, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.catalog.parquet.MOST_ROWS", 4)
    files = [write(table, "mot.parquet"), write(table.slice(1), "hai.parquet")]
    assert examine_here(descriptor, files[:1]).rows == 3
    assert "hai.parquet: got 5 rows with it, expected at most 4" in refusal(descriptor, *files).message


def test_no_refusal_holds_a_value(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    secret = replaced(table, "benh", pa.array(["SECRET", None, "SECRET"]))
    assert "SECRET" not in refusal(descriptor, write(secret)).message


def test_the_manifest_binds_descriptor_and_files(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    examined = examine_here(descriptor, [write(table)])
    entry = examined.files[0]
    assert manifest(descriptor, examined) == {
        "dataset": "luot_kham",
        "descriptor": digest_of(describe(descriptor)),
        "files": [{"sha256": entry.digest, "rows": 3, "bytes": entry.bytes}],
        "rows": 3,
        "bytes": entry.bytes,
    }
    other = examine_here(descriptor, [write(table.slice(1))])
    assert digest_of(manifest(descriptor, other)) != digest_of(manifest(descriptor, examined))


def test_the_manifests_bytes_never_change(descriptor: Descriptor) -> None:
    """A golden vector: signed manifests outlive this program."""
    examined = Examined(0, 0, (), {})
    assert (
        digest_of(manifest(descriptor, examined))
        == "sha256:e9cd62641f12100619849a2c1de4ed109ac1a6bb857c52e941c56a2ffbf108cf"
    )
