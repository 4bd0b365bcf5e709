"""The child process that reads a provider's files: it may die of them, the exchange does not."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sandbox.catalog import dataset
from sandbox.catalog.dataset import Descriptor, draft_descriptor, examine, read_descriptor
from sandbox.catalog.descriptor import describe
from sandbox.catalog.examination import examine_here
from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid, Unavailable

Write = Callable[..., Path]
FATAL = Path(__file__).parent / "fatal.parquet"
"""Found by flipping bytes: its footer lies about one column, and asking pyarrow for that column aborts the process."""


def test_the_child_finds_what_is_found_here(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    files = [write(table, "Lượt khám 1.parquet"), write(table.slice(1), "2.parquet")]
    assert examine(descriptor, files) == examine_here(descriptor, files)


def test_the_childs_refusal_is_the_same_sentence(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    path = write(table.drop_columns(["benh"]))
    with pytest.raises(Invalid, match="column benh is missing") as apart:
        examine(descriptor, [path])
    with pytest.raises(Invalid, match="column benh is missing") as here:
        examine_here(descriptor, [path])
    assert (apart.value.code, apart.value.hint, apart.value.reasons) == (
        here.value.code, here.value.hint, here.value.reasons
    )  # fmt: skip


def test_a_file_that_kills_its_reader_is_unreadable_and_named(
    filled: Callable[..., dict[str, Any]], write: Write
) -> None:
    descriptor = read_descriptor(canonical(filled(draft_descriptor(FATAL, "a"))))
    request = json.dumps({"descriptor": describe(descriptor), "files": [str(FATAL)], "memory": 4 << 30}).encode()
    command = [sys.executable, "-I", "-m", "sandbox.catalog.examiner"]
    assert subprocess.run(command, input=request, capture_output=True, check=False).returncode < 0
    with pytest.raises(Invalid) as caught:
        examine(descriptor, [FATAL])
    assert caught.value.code == "parquet.unreadable"
    assert caught.value.message == "fatal.parquet: got a file that cannot be read to its end, expected sound Parquet."


def test_a_file_that_unpacks_to_more_than_the_memory_is_unreadable(
    filled: Callable[..., dict[str, Any]], write: Write
) -> None:
    """One value of 100 MB in a small file, a second one before it to show which file it was."""
    small = write(pa.table({"t": ["x"]}))
    descriptor = read_descriptor(canonical(filled(draft_descriptor(small, "a"))))
    bomb = write(pa.table({"t": ["x" * 100_000_000]}), "bom.parquet", compression="zstd", use_dictionary=False)
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(Invalid, match=r"^bom\.parquet: ") as caught:
        examine(descriptor, [small, bomb], memory=800_000_000)
    assert caught.value.code == "parquet.unreadable"


def test_a_child_out_of_time_is_ended(descriptor: Descriptor, table: pa.Table, write: Write) -> None:
    with pytest.raises(Unavailable):
        examine(descriptor, [write(table)], seconds=0.01)


def test_a_child_that_does_not_start_is_not_the_providers_fault(
    descriptor: Descriptor, table: pa.Table, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset.sys, "executable", "/bin/false")
    with pytest.raises(Unavailable, match="cannot be examined now"):
        examine(descriptor, [write(table)])
