"""Files that lie about how they are built: each lie is found before a value is unpacked, and named."""

import gzip
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog import pages, structure
from sandbox.catalog.dataset import Descriptor
from sandbox.catalog.examination import examine_here
from sandbox.catalog.intake import Intake
from sandbox.core.errors import Invalid
from tests.catalog import crafted
from tests.catalog.crafted import GZIP, SNAPPY, ZSTD, numbers, one_column, page, texts

Write = Callable[..., Path]
Described = Callable[..., Descriptor]
Refused = Callable[..., str]
WHOLE, TEXT = {"v": "INTEGER"}, {"v": "VARCHAR"}
GOOD = page(numbers(1, 2, 3))


@pytest.fixture
def refused(intake: Intake) -> Callable[..., str]:
    """The sentence with which the intake refuses a file; some of these would end the process that asks pyarrow."""

    def refused(descriptor: Descriptor, path: Path, code: str = "parquet.unreadable") -> str:
        with pytest.raises(Invalid) as caught:
            intake.examine(descriptor, [path])
        assert (caught.value.code, caught.value.reasons) == (code, ("LIST-08",))
        assert caught.value.message.startswith(f"{path.name}: ")
        assert caught.value.hint
        return caught.value.message

    return refused


def test_what_is_made_by_hand_is_read(described: Described, tmp_path: Path) -> None:
    assert examine_here(described(WHOLE), [one_column(tmp_path / "v", [GOOD])]).rows == 3
    words = page(texts("Huế".encode(), b"", b"x"))
    assert examine_here(described(TEXT), [one_column(tmp_path / "t", [words], text=True)]).rows == 3


LIES: dict[str, tuple[Sequence[bytes], dict[str, Any], str]] = {
    "more rows than row groups": ([GOOD], {"rows": 4}, "got 3 rows in its row groups, expected the 4 that"),
    "fewer rows than row groups": ([GOOD], {"rows": 2}, "got 3 rows in its row groups, expected the 2 that"),
    "negative rows": ([GOOD], {"rows": -3}, ""),
    "a group of more rows": ([GOOD], {"group": 4, "rows": 4}, "counts 3 values, expected one for each of 4 rows"),
    "a group of negative rows": ([GOOD], {"group": -3, "rows": -3}, ""),
    "more values than pages": ([GOOD], {"values": 4}, "a page header that is cut off"),
    "a page of more values": ([page(numbers(1, 2, 3), values=4)], {}, "a page that is larger than its column"),
    "two billion values in a page": ([page(numbers(1, 2, 3), values=2**31 - 1)], {}, "a page that is larger"),
    "pages of more values in all": ([page(numbers(1, 2), values=2)] * 2, {}, "a page that is larger than its column"),
    "a page without values": ([page(b"", values=0)], {}, "a page header that is cut off"),
    "a page of negative values": ([page(numbers(1), values=-1)], {}, "a page of a negative size"),
    "a page of negative size": ([page(numbers(1, 2, 3), stored=-12)], {}, "a page of a negative size"),
    "a page that unpacks to less than nothing": ([page(numbers(1, 2, 3), unpacked=-1)], {}, "a page of a negative"),
    "a page beyond its column": ([page(numbers(1, 2, 3), stored=13)], {}, "a page that is larger than its column"),
    "a column beyond the file": ([GOOD], {"stored": 10**12}, "columns that hold more bytes than the file"),
    "a column of negative size": ([GOOD], {"stored": -1}, ""),
    "a column at the end of the file": ([GOOD], {"offset": 10**15}, ""),
    "a column before the file": ([GOOD], {"offset": -5}, "values outside the file"),
    "a column in the magic": ([GOOD], {"offset": 0}, "values outside the file"),
    "a column in the footer": ([GOOD], {"offset": 60}, ""),
    "a page that unpacks to gigabytes": ([page(numbers(1), unpacked=2**31 - 1)], {}, "unpacks to 2147483647 bytes"),
    "noise for a header": ([b"\xff" * 40], {}, ""),
    "a header that ends in nothing": ([b"\x15\x00"], {}, "a page header that is cut off"),
    "no header": ([b"\x00" * 40], {}, "a page without a header"),
    "a header of lists": ([b"\x19\xf5\xff\xff\xff\xff\x07"], {}, "a page header of an unknown form"),
    "a header nested a thousand times": ([b"\x1c" * 1000 + b"\x00" * 1000], {}, "nested too deeply"),
    "a header with statistics that never end": ([b"\x5c\x5c\x18\xff\xff\xff\xff\x07"], {}, "cut off or too long"),
    "a number that never ends": ([b"\x15" + b"\xff" * 60_000], {}, "cut off or too long"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_sizes_or_counts_is_refused(
    lie: str, described: Described, tmp_path: Path, refused: Refused
) -> None:
    written, lies, sentence = LIES[lie]
    assert sentence in refused(described(WHOLE), one_column(tmp_path / "la", written, **lies))


def test_a_page_header_as_long_as_a_file_is_not_read_to_its_end(
    described: Described, tmp_path: Path, refused: Refused
) -> None:
    long = {"m5": (12, {1: (5, 3), 2: (5, 0), 3: (5, 3), 4: (5, 3), 5: (12, {1: (8, b"x" * 20_000_000)})})}
    path = one_column(tmp_path / "dai", [page(numbers(1, 2, 3), **long)])
    tracemalloc.start()
    message = refused(described(WHOLE), path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "a page header that is cut off or too long" in message
    assert most < 5_000_000


def test_a_dictionary_of_more_values_than_it_has_bytes_is_refused(
    described: Described, tmp_path: Path, refused: Refused
) -> None:
    keys = page(texts(b"x"), kind=2, values=2**31 - 1)
    path = one_column(tmp_path / "td", [keys, GOOD], text=True, dictionary=True)
    assert "a dictionary that is larger than its page" in refused(described(TEXT), path)


def packed(codec: int, size: int) -> bytes:
    content = bytes(size)
    if codec == GZIP:
        return gzip.compress(content, 9)
    return bytes(pa.Codec({SNAPPY: "snappy", ZSTD: "zstd"}[codec]).compress(content))


@pytest.mark.parametrize("codec", [SNAPPY, GZIP, ZSTD])
def test_a_page_that_unpacks_to_more_than_it_says_is_refused(
    codec: int, described: Described, tmp_path: Path, refused: Refused
) -> None:
    path = one_column(tmp_path / "bom", [page(packed(codec, 50_000_000), unpacked=12)], codec=codec)
    assert "cannot be read to its end" in refused(described(WHOLE), path)


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
def test_many_pages_that_unpack_to_gigabytes_in_all_are_refused_before_the_first_is(
    codec: int, described: Described, tmp_path: Path, refused: Refused
) -> None:
    size, count = 10_000_000, 200
    one = page(packed(codec, size), unpacked=size, values=size // 4)
    path = one_column(tmp_path / "bom", [one] * count, values=count * (size // 4), codec=codec)
    assert f"got {path.stat().st_size} bytes that unpack to" in refused(described(WHOLE), path)


def test_snappy_cannot_pack_tightly_enough_for_a_bomb() -> None:
    assert structure.MOST_RATIO * len(packed(SNAPPY, 10_000_000)) > 10_000_000


def test_texts_that_stand_once_and_are_pointed_to_often_count_each_time(
    described: Described, tmp_path: Path, refused: Refused
) -> None:
    """A megabyte in a dictionary, and thousands of rows in a few bytes: no codec is needed."""
    keys = page(texts(b"x" * 2**20), kind=2, values=1)
    rows = 4_000_000
    same = crafted.repeated(rows)
    path = one_column(tmp_path / "bom", [keys, same], values=rows, text=True, dictionary=True)
    assert "bytes that unpack to" in refused(described(TEXT), path)
    few = crafted.repeated(1000)
    path = one_column(tmp_path / "it", [keys, few], values=1000, text=True, dictionary=True)
    assert examine_here(described(TEXT), [path]).rows == 1000


def test_columns_that_share_their_bytes_are_refused(described: Described, write: Write, refused: Refused) -> None:
    path = write(pa.table({f"c{number}": list(range(5_000)) for number in range(20)}), compression="none")
    content, footer = crafted.opened(path)
    first, *others = crafted.columns_of(footer)
    for other in others:
        other |= {number: first[number] for number in (4, 5, 6, 7, 9, 11)}
    crafted.closed(path, content[: 4 + first[7][1]], footer)
    kinds = {f"c{number}": "BIGINT" for number in range(20)}
    assert "columns that hold more bytes than the file" in refused(described(kinds), path)


def test_more_row_groups_than_rows_need_are_refused(described: Described, tmp_path: Path, refused: Refused) -> None:
    path = one_column(tmp_path / "nhieu", [GOOD])
    content, footer = crafted.opened(path)
    of, (group,) = footer[4][1]
    footer[4] = (9, (of, [group] * 100_000))
    footer[3] = (6, 300_000)
    crafted.closed(path, content, footer)
    assert "got 100000 row groups, expected at most 20000." in refused(described(WHOLE), path)


@pytest.mark.parametrize("depth", [1, 50])
def test_nested_columns_are_named(depth: int, described: Described, tmp_path: Path, refused: Refused) -> None:
    kind = pa.int32()
    for _ in range(depth):
        kind = pa.struct([("v", kind)])
    pq.write_table(pa.table({"v": pa.nulls(3, kind)}), tmp_path / "sau")
    assert "is nested, expected" in refused(described(WHOLE), tmp_path / "sau", "parquet.mismatch")


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_nesting_that_would_end_the_reader_ends_only_the_child(
    depth: int, described: Described, tmp_path: Path, intake: Intake
) -> None:
    path = one_column(tmp_path / "sau", [GOOD])
    content, footer = crafted.opened(path)
    of, (root, element) = footer[2][1]
    inner = {3: (5, 0), 4: (8, b"v"), 5: (5, 1)}
    footer[2] = (9, (of, [root, *[inner] * depth, element]))
    crafted.closed(path, content, footer)
    with pytest.raises(Invalid, match=r"^sau: "):
        intake.examine(described(WHOLE), [path])


@pytest.mark.parametrize(("codec", "name"), [(3, "LZO"), (4, "BROTLI")])
def test_codecs_that_are_not_read_are_named(
    codec: int, name: str, described: Described, tmp_path: Path, refused: Refused
) -> None:
    path = one_column(tmp_path / "nen", [GOOD], codec=codec)
    assert f"column v is compressed with {name}" in refused(described(WHOLE), path, "parquet.refused_codec")


def test_an_unknown_codec_is_unreadable(described: Described, tmp_path: Path, refused: Refused) -> None:
    refused(described(WHOLE), one_column(tmp_path / "nen", [GOOD], codec=99))


def test_a_footer_longer_than_any_file_needs_is_not_read(
    described: Described, tmp_path: Path, refused: Refused
) -> None:
    path = one_column(tmp_path / "chan", [GOOD])
    whole = path.read_bytes()
    with path.open("r+b") as file:  # a hole in the file
        file.seek(200 << 20)
        file.write((100 << 20).to_bytes(4, "little") + whole[-4:])
    assert "got a footer of 104857600 bytes, expected at most 67108864." in refused(described(WHOLE), path)


@pytest.mark.parametrize("whole", [True, False], ids=["footer too", "columns alone"])
def test_an_encrypted_file_is_named_as_such(
    whole: bool, described: Described, write: Write, table: pa.Table, descriptor: Descriptor, refused: Refused
) -> None:
    path = write(table)
    content, footer = crafted.opened(path)
    if whole:
        path.write_bytes(path.read_bytes()[:-4] + b"PARE")
    else:  # the footer in the clear says how its columns are encrypted
        footer[8] = (12, {1: (12, {1: (8, b"aad"), 2: (8, b"unique")})})
        for chunk in footer[4][1][1][0][1][1][1]:
            chunk[8] = (12, {1: (12, {})})
            chunk[9] = (8, b"\x00" * 40)
            del chunk[3]
        crafted.closed(path, content, footer)
    message = refused(descriptor, path)
    if whole:
        assert "got an encrypted file, expected one that can be read without a key" in message


@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99])
def test_a_file_cut_off_anywhere_is_refused(
    part: float, descriptor: Descriptor, table: pa.Table, write: Write, refused: Refused
) -> None:
    path = write(pa.concat_tables([table] * 500), write_page_checksum=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    refused(descriptor, path)
    path.write_bytes(whole[: int(len(whole) * part)] + whole[int(len(whole) * part) + 40 :])
    refused(descriptor, path)


def test_pages_are_counted_as_their_writer_wrote_them(write: Write) -> None:
    path = write(pa.table({"v": list(range(100_000))}), data_page_size=10_000, write_batch_size=500)
    chunk = pq.read_metadata(path).row_group(0).column(0)
    with path.open("rb", buffering=0) as content:
        found = list(pages.pages(content, chunk.dictionary_page_offset, chunk.total_compressed_size, chunk.num_values))
    assert [each.dictionary for each in found] == [True] + [False] * (len(found) - 1)
    assert sum(each.values for each in found if not each.dictionary) == 100_000
    assert sum(each.stored for each in found) == chunk.total_compressed_size
