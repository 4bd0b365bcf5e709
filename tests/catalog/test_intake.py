"""The intake: whatever bytes come, a child may die of them, the exchange goes on, and the answer is clear."""

import datetime as dt
import decimal
import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog import examiner
from sandbox.catalog import intake as intakes
from sandbox.catalog.dataset import Descriptor, draft_descriptor, read_descriptor
from sandbox.catalog.examination import examine_here
from sandbox.catalog.intake import Intake
from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid, SandboxError, Unavailable
from sandbox.jail import kernel
from sandbox.jail.cell import Cell
from sandbox.jail.frames import Out
from sandbox.jail.jail import Jail
from tests.catalog import crafted

Write = Callable[..., Path]
Described = Callable[..., Descriptor]
FATAL = Path(__file__).parent / "fatal.parquet"
"""Found by flipping bytes: its footer lies about one column, and asking pyarrow for that column aborts the process."""
MUTATIONS = 100
"""Of each of four files."""


def test_the_child_finds_what_is_found_here(
    descriptor: Descriptor, table: pa.Table, write: Write, intake: Intake, tmp_path: Path
) -> None:
    files = [write(table, "Lượt khám 1.parquet"), write(table.slice(1), "2.parquet")]
    assert intake.examine(descriptor, files) == examine_here(descriptor, files)
    (tmp_path / "work").mkdir()
    taken = intake.rewrite(descriptor, files, tmp_path / "work")
    assert taken.examined == examine_here(descriptor, files)
    assert [pq.read_metadata(layout).num_rows for layout in taken.layouts] == [3, 2]
    assert sorted((tmp_path / "work").iterdir()) == [*taken.layouts]


def test_the_childs_refusal_is_the_same_sentence(
    descriptor: Descriptor, table: pa.Table, write: Write, intake: Intake
) -> None:
    path = write(table.drop_columns(["benh"]))
    with pytest.raises(Invalid, match="column benh is missing") as apart:
        intake.examine(descriptor, [path])
    with pytest.raises(Invalid, match="column benh is missing") as here:
        examine_here(descriptor, [path])
    assert (apart.value.code, apart.value.hint, apart.value.reasons) == (
        here.value.code, here.value.hint, here.value.reasons
    )  # fmt: skip


def test_a_file_that_kills_its_reader_is_unreadable_and_named(
    filled: Callable[..., dict[str, Any]], table: pa.Table, descriptor: Descriptor, write: Write, intake: Intake
) -> None:
    fatal = read_descriptor(canonical(filled(draft_descriptor(FATAL, "a"))))
    for _ in range(3):
        with pytest.raises(Invalid) as caught:
            intake.examine(fatal, [FATAL])
        assert caught.value.code == "parquet.unreadable"
        assert caught.value.message == (
            "fatal.parquet: got a file that cannot be read to its end, expected sound Parquet."
        )
    assert intake.examine(descriptor, [write(table)]).rows == 3


def test_a_file_that_takes_more_than_the_memory_is_unreadable_and_named(
    described: Described, write: Write, jail: Jail
) -> None:
    """One page of 250 MB in a small file, a harmless file before it to show which it was."""
    small = write(pa.table({"t": ["x"]}))
    bomb = write(
        pa.table({"t": ["x" * 2**20] * 250}), "bom.parquet",
        compression="zstd", use_dictionary=False, data_page_size=2**30, write_batch_size=1_000
    )  # fmt: skip
    assert bomb.stat().st_size < 4_000_000
    with pytest.raises(Invalid, match=r"^bom\.parquet: got a file that takes more than 150 MB of memory") as caught:
        Intake(jail, memory_mb=150).examine(described({"t": "VARCHAR"}), [small, bomb])
    assert caught.value.code == "parquet.unreadable"


def test_a_child_out_of_time_is_ended_and_the_file_named(described: Described, write: Write, jail: Jail) -> None:
    path = write(pa.table({"n": list(range(3_000_000))}), "lau.parquet")
    began = time.monotonic()
    with pytest.raises(Invalid, match=r"^lau\.parquet: got a file that takes longer than 0\.1 seconds to read"):
        Intake(jail, seconds=0.1).examine(described({"n": "BIGINT"}), [path])
    assert time.monotonic() - began < 5


def test_a_child_that_does_not_start_is_not_the_providers_fault(
    descriptor: Descriptor, table: pa.Table, write: Write
) -> None:
    path, jail = write(table), Jail(("sandbox.catalog.no_such_module",), 1024)
    with pytest.raises(Unavailable):
        Intake(jail).examine(descriptor, [path])
    jail.close()
    with pytest.raises(Unavailable):
        Intake(jail).examine(descriptor, [path])


def test_a_disk_that_takes_no_more_is_not_the_providers_fault(
    descriptor: Descriptor, table: pa.Table, write: Write, jail: Jail, tmp_path: Path
) -> None:
    full = Intake(jail)
    full._limits["file_mb"] = 0
    (tmp_path / "work").mkdir()
    with pytest.raises(Unavailable) as caught:
        full.rewrite(descriptor, [write(table)], tmp_path / "work")
    assert caught.value.code == "shelf.unwritable"


def test_what_is_no_file_is_refused_before_a_child_is_asked(
    descriptor: Descriptor, tmp_path: Path, intake: Intake
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    for name in ("pipe", "folder", "empty", "none"):
        with pytest.raises(Invalid, match=f"^{name}: got "):
            intake.examine(descriptor, [tmp_path / name])


def test_a_symbolic_link_is_read_as_what_it_points_to(
    descriptor: Descriptor, table: pa.Table, write: Write, intake: Intake, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(write(table))
    assert intake.examine(descriptor, [tmp_path / "link"]).rows == 3


# --- a child that a file has taken over ---
def test_a_child_taken_over_reads_its_file_and_writes_its_folder_and_nothing_else(
    descriptor: Descriptor, table: pa.Table, write: Write, tmp_path: Path
) -> None:
    if missing := {"landlock", "seccomp"} - kernel.layers():
        pytest.skip(f"this kernel has no {' and no '.join(sorted(missing))}")
    path, work = write(table), tmp_path / "shelf" / "part-1"
    work.mkdir(parents=True)
    (tmp_path / "neighbour").write_text("another provider's")
    before = path.read_bytes()
    jail = Jail(("tests.catalog.hostile",), 2048)
    try:
        with pytest.raises(Invalid, match="cannot be read to its end"):
            Intake(jail).rewrite(descriptor, [path], work)
    finally:
        jail.close()
    assert json.loads((work / "0").read_text()) == ["read the file", "write in the folder"]
    assert sorted(each.name for each in work.iterdir()) == ["0", "1"]
    assert sorted(each.name for each in (tmp_path / "shelf").iterdir()) == ["part-1"]
    assert (path.read_bytes(), (tmp_path / "neighbour").read_text()) == (before, "another provider's")


ANSWERS = [
    b"",
    b"\n",
    b"null\n",
    b"{}\n",
    b"[" * 100_000 + b"\n",
    b'{"reading":7}\n{"examined":{}}\n',
    b'{"reading":-1}\n',
    b'{"examined":{"rows":1,"bytes":1,"files":[],"statistics":{}}}\n',
    b'{"examined":{"rows":1,"bytes":1,"files":[{"digest":"../../etc","rows":1,"bytes":1}],"statistics":{}}}\n',
    b'{"refused":{"code":"os.system","message":"\\u001b[2J\\u202e/etc/passwd","hint":""}}\n',
    b'{"refused":{"code":1}}\n',
    b'{"reading":0}\n' * 400_000,
    b'{"columns":[{"name":"a"}]}\n',
]


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_a_childs_words_are_taken_only_in_the_form_they_should_have(
    answer: bytes, descriptor: Descriptor, table: pa.Table, write: Write, intake: Intake, monkeypatch: Any
) -> None:
    """A pipe of the test's own in the place of a child."""
    path = write(table)
    with Path(os.devnull).open("rb") as nothing:
        reading, writing = os.pipe()

        def speak() -> None:
            try:
                out = Out(writing)
                out.write(answer)
                out.end()
            except OSError:  # nobody listens to so much
                pass

        class Told(Cell):
            def how_it_ended(self) -> str:
                return "exit"

            def send(self, document: object) -> None:
                threading.Thread(target=speak, daemon=True).start()

        cell = Told(1, os.dup(nothing.fileno()), reading, os.dup(nothing.fileno()), lambda *_: None)
        monkeypatch.setattr(intake._jail, "fork", lambda kind: cell)
        with pytest.raises(SandboxError) as caught:
            intake.examine(descriptor, [path])
        os.close(writing)
    assert caught.value.code in {"parquet.unreadable", "examiner.unavailable"}
    assert "\x1b" not in caught.value.message
    assert "\u202e" not in caught.value.message


# --- bytes that no writer wrote ---
DELTAS = {"so_phong": "DELTA_BINARY_PACKED", "benh": "DELTA_BYTE_ARRAY", "nhiet_do": "BYTE_STREAM_SPLIT"}
SEEDS: dict[str, dict[str, Any]] = {
    "plain": {"compression": "none", "use_dictionary": False},
    "zstd": {"compression": "zstd", "write_page_index": True},
    "snappy_v2": {"compression": "snappy", "data_page_version": "2.0", "row_group_size": 40},
    "gzip_delta": {"compression": "gzip", "use_dictionary": False, "column_encoding": DELTAS},
}


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Flipped, overwritten, cut or doubled; the footer, where a file is most easily hurt, as often as all the rest."""
    size = int.from_bytes(content[-8:-4], "little")
    low = len(content) - 8 - size if chance.random() < 0.5 else 0
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 8])):
        at = chance.randrange(low, len(changed))
        match chance.randrange(5):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.choice([0, 0x7F, 0x80, 0xFF])
            case 2:
                changed[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"])
            case 3:
                del changed[at : at + chance.randrange(1, 20)]
            case 4:
                changed[at:at] = changed[at : at + chance.randrange(1, 20)]
    return bytes(changed)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_mutation_of_a_file_does_more_than_be_refused_or_read(
    seed: str, descriptor: Descriptor, table: pa.Table, tmp_path: Path, jail: Jail
) -> None:
    chance = random.Random(f"intake {seed}")
    good = tmp_path / "good.parquet"
    pq.write_table(pa.concat_tables([table] * 40), good, **SEEDS[seed])
    intake, content, ends = Intake(jail, seconds=20), good.read_bytes(), []
    (tmp_path / "work").mkdir()
    for number in range(MUTATIONS):
        path = tmp_path / f"m{number}.parquet"
        path.write_bytes(mutated(content, chance))
        try:
            ends.append(str(intake.rewrite(descriptor, [path], tmp_path / "work").examined.rows))
        except Invalid as refusal:
            assert refusal.message.startswith(path.name)
            assert str(tmp_path) not in refusal.message
            ends.append(refusal.code)
    assert len(ends) == MUTATIONS
    assert ends.count("parquet.unreadable") > MUTATIONS // 5
    assert intake.examine(descriptor, [good]).rows == 120


def test_several_mutated_files_in_one_lot_are_refused_by_the_first_that_is_bad(
    descriptor: Descriptor, table: pa.Table, write: Write, intake: Intake
) -> None:
    good = [write(table.slice(number), f"{number}.parquet") for number in range(2)]
    bad = write(table, "x.parquet")
    bad.write_bytes(bad.read_bytes()[:-30] + b"\xff" * 22 + bad.read_bytes()[-8:])
    with pytest.raises(Invalid, match=r"^x\.parquet: "):
        intake.examine(descriptor, [*good, bad])


# --- what honest writers write ---
AT = dt.datetime(2026, 4, 1, 22, 30)  # noqa: DTZ001 - the file has none either
CASES: dict[str, tuple[pa.Array, str, str]] = {
    "nanoseconds": (pa.array([1], pa.timestamp("ns")), "BIGINT", "is Timestamp"),
    "nanoseconds of a zone": (pa.array([1], pa.timestamp("ns", "UTC")), "BIGINT", "is Timestamp"),
    "microseconds": (pa.array([AT], pa.timestamp("us")), "TIMESTAMP", ""),
    "a zone": (pa.array([AT], pa.timestamp("us", "Asia/Ho_Chi_Minh")), "TIMESTAMP WITH TIME ZONE", ""),
    "a zone where none should be": (pa.array([AT], pa.timestamp("us", "UTC")), "TIMESTAMP", "expected TIMESTAMP."),
    "milliseconds": (pa.array([AT], pa.timestamp("ms")), "TIMESTAMP", ""),
    "a long decimal": (pa.array([decimal.Decimal("9" * 38)], pa.decimal128(38, 0)), "DECIMAL(38,0)", ""),
    "a longer decimal": (pa.array([decimal.Decimal(1)], pa.decimal256(76, 4)), "DOUBLE", "is Decimal"),
    "a decimal of another scale": (pa.array([decimal.Decimal(1)], pa.decimal128(38, 10)), "DECIMAL(38,9)", "expected"),
    "numbers beyond numbers": (pa.array([float("nan"), float("inf"), -float("inf")]), "DOUBLE", ""),
    "nothing but nulls": (pa.nulls(1000, pa.int32()), "INTEGER", ""),
    "nulls of a dictionary": (pa.nulls(1000, pa.dictionary(pa.int8(), pa.string())), "VARCHAR", ""),
    "a dictionary": (pa.array(["x", None, "y"] * 900).dictionary_encode(), "VARCHAR", ""),
    "a dictionary of numbers": (pa.array([1, None, 2] * 900).dictionary_encode(), "BIGINT", ""),
    "an untyped column": (pa.nulls(3), "INTEGER", "is Null"),
    "a list": (pa.array([[1]]), "BIGINT", "is nested"),
    "no rows": (pa.array([], pa.int32()), "INTEGER", "got no rows"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_column_is_handled_or_named(
    case: str, described: Described, write: Write, intake: Intake, tmp_path: Path
) -> None:
    values, kind, sentence = CASES[case]
    path, work = write(pa.table({"x": values})), tmp_path / "work"
    work.mkdir()
    if not sentence:
        assert intake.rewrite(described({"x": kind}), [path], work).examined.rows == len(values)
        return
    with pytest.raises(Invalid) as caught:
        intake.rewrite(described({"x": kind}), [path], work)
    assert sentence in caught.value.message


def test_a_column_that_says_text_and_is_none_is_unreadable(
    described: Described, tmp_path: Path, intake: Intake
) -> None:
    words = crafted.page(crafted.texts(b"\xff\xfe", b"a", b"\xed\xa0\x80"))
    path = crafted.one_column(tmp_path / "chu", [words], text=True)
    with pytest.raises(Invalid, match="cannot be read to its end"):
        intake.examine(described({"v": "VARCHAR"}), [path])


def test_a_number_that_its_type_cannot_hold_is_served_as_it_was_examined(
    described: Described, tmp_path: Path, intake: Intake
) -> None:
    """A whole number of 8 bits whose page holds 300; readers differ in what they make of it."""
    path = crafted.one_column(tmp_path / "so", [crafted.page(crafted.numbers(1, 300, 3))])
    content, footer = crafted.opened(path)
    footer[2][1][1][1] |= {6: (5, 15), 10: (12, {10: (12, {1: (3, b"\x08"), 2: (1, None)})})}
    crafted.closed(path, content, footer)
    (tmp_path / "work").mkdir()
    taken = intake.rewrite(described({"v": "TINYINT"}), [path], tmp_path / "work")
    served = pq.read_table(taken.layouts[0])["v"]
    assert served.type == pa.int8()
    assert max(served.to_pylist()) == taken.examined.statistics["v"]["max"]


def test_many_files_at_once_take_turns(descriptor: Descriptor, table: pa.Table, write: Write, intake: Intake) -> None:
    paths = [write(table.slice(0, 1 + number % 3), f"{number}.parquet") for number in range(12)]
    rows: list[int] = []
    threads = [
        threading.Thread(target=lambda path=path: rows.append(intake.examine(descriptor, [path]).rows))
        for path in paths
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rows) == sorted(1 + number % 3 for number in range(12))


def test_as_many_files_as_may_be_are_read_in_one_child(
    described: Described, write: Write, intake: Intake, tmp_path: Path
) -> None:
    first = write(pa.table({"n": pa.array([0])}), "t" * 200 + "0")
    paths = [first]
    for number in range(1, 1_000):
        paths.append(tmp_path / ("t" * 200 + str(number)))
        pq.write_table(pa.table({"n": pa.array([number])}), paths[-1])
    assert intake.examine(described({"n": "BIGINT"}), paths).rows == 1_000


def test_the_kinds_of_the_jail_are_these() -> None:
    assert examiner.__name__ in intakes.MODULES
    assert {*examiner.KINDS} == {"intake", "columns"}
