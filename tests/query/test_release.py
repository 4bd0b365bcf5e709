"""What may leave: rows on enough units, without their counts, within rows and bytes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sandbox.core.canonical import digest
from sandbox.core.errors import QueryRefused, ReleaseRefused
from sandbox.query.release import release


class Made:
    """An outcome that is there already, to be read more than once."""

    def __init__(self, table: pa.Table, chunk: int = 100) -> None:
        self._table, self._chunk = table, chunk

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._table.to_batches(self._chunk)

    def read(self) -> pa.Table:
        return self._table

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def outcome(table: pa.Table) -> Made:
    return Made(table)


def table(ipc: bytes) -> pa.Table:
    with pa.ipc.open_stream(ipc) as reader:
        return reader.read_all()


GUARDED = outcome(pa.table({"town": ["a", "b", "c", "d"], "g0": [10, 9, 50, None], "g1": [10, 50, 3, 20]}))


def test_a_row_leaves_only_if_every_guard_holds() -> None:
    released = release(GUARDED, 2, 10, 100, 10_000)
    assert table(released.ipc).to_pydict() == {"town": ["a"]}
    assert (released.rows, released.groups_withheld) == (1, True)


def test_a_guard_that_is_null_never_holds() -> None:
    assert table(release(GUARDED, 2, 1, 100, 10_000).ipc)["town"].to_pylist() == ["a", "b", "c"]


def test_without_guards_nothing_leaves_that_owes_a_threshold() -> None:
    with pytest.raises(ReleaseRefused) as refused:
        release(GUARDED, 0, 2, 100, 10_000)
    assert (refused.value.code, refused.value.reasons) == ("release.threshold", ("QRY-05",))


def test_without_a_threshold_a_plain_result_leaves_whole() -> None:
    plain = outcome(pa.table({"a": [1, 2]}))
    released = release(plain, 0, 1, 2, 10_000)
    assert (released.rows, released.groups_withheld) == (2, False)
    assert table(released.ipc).to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize(("max_rows", "max_bytes"), [(1, 10_000), (10, 10)])
def test_rows_and_bytes_are_counted_after_the_threshold(max_rows: int, max_bytes: int) -> None:
    plain = outcome(pa.table({"a": [1, 2]}))
    with pytest.raises(QueryRefused) as refused:
        release(plain, 0, 1, max_rows, max_bytes)
    assert (refused.value.code, refused.value.reasons) == ("run.limit", ("QRY-07",))
    assert release(GUARDED, 2, 10, 1, 10_000).rows == 1


def test_a_result_of_guards_alone_is_malformed() -> None:
    with pytest.raises(ReleaseRefused) as refused:
        release(outcome(pa.table({"g0": [10]})), 1, 10, 100, 10_000)
    assert refused.value.code == "release.malformed"


def test_what_a_jail_hides_in_metadata_does_not_leave() -> None:
    hidden = pa.table({"a": [1]}).replace_schema_metadata({"leak": "Nguyễn Văn A"})
    assert b"leak" not in release(outcome(hidden), 0, 1, 10, 10_000).ipc


def test_the_metadata_of_fields_does_not_leave_either() -> None:
    spy = pa.field("s", pa.int64(), metadata={"leak": "x"})
    kinds = [pa.int64(), pa.struct([spy]), pa.list_(spy), pa.map_(pa.string(), spy)]
    values = [1, {"s": 1}, [1], [("k", 1)]]
    fields = [pa.field(f"c{number}", kind, metadata={"leak": "x"}) for number, kind in enumerate(kinds)]
    arrays = [pa.array([value], kind) for value, kind in zip(values, kinds, strict=True)]
    hidden = pa.table(arrays, schema=pa.schema(fields))
    released = release(outcome(hidden), 0, 1, 10, 10_000).ipc
    assert b"leak" not in released
    assert [*table(released).to_pylist()[0].values()] == values


def test_a_large_result_is_kept_in_a_file_without_a_name_and_hashed_on_the_way(tmp_path: Path) -> None:
    numbers = pa.table({"n": range(2_000_000), "g0": [*range(20)] * 100_000})
    released = release(Made(numbers, 50_000), 1, 10, 1_000_000, 1 << 27, tmp_path)
    assert [*tmp_path.iterdir()] == [], "nothing is left to sweep, whatever happens"
    assert released.rows == 1_000_000
    assert released.spool.bytes == len(released.ipc) > 4 << 20
    assert released.spool.digest == digest(released.ipc)
    kept = numbers.filter(pc.greater_equal(numbers["g0"], 10)).select(["n"])
    assert table(released.ipc).equals(kept), "what is written behind is what was made"
    released.spool.close()


def test_a_result_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Made):
        def batches(self) -> Iterator[pa.RecordBatch]:
            yield from super().batches()
            raise QueryRefused("run.failed", "It broke off.")

    with pytest.raises(QueryRefused):
        release(Broken(pa.table({"n": range(2_000_000)}), 100_000), 0, 1, 10_000_000, 1 << 27, tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_disk_without_room_for_a_result_is_no_crash() -> None:
    code = """
import resource, sys, tempfile
from pathlib import Path
from sandbox.core.errors import Unavailable
from sandbox.query.spool import Spool
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, 6 << 20))
with tempfile.TemporaryDirectory() as folder:
    spool = Spool(Path(folder))
    try:
        for _ in range(20):
            spool.write(b"x" * (1 << 20))
        spool.done()
    except Unavailable as full:
        print(full.code)
    spool.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("engine.spool\n", "")
