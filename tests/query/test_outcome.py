"""What a child streams: taken message by message, and no result before its last word."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.core.errors import QueryRefused
from sandbox.jail.cell import Answer, Bounds, Cell
from sandbox.jail.frames import Out
from sandbox.jail.turns import Turns
from sandbox.query.outcome import RunOutcome
from sandbox.query.stream import GARBLED, Stream


def stream(table: pa.Table, **options: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def told(header: object = None, body: bytes = b"", trailer: object = None) -> bytes:
    lines = [json.dumps(line if line is not None else {}).encode() for line in (header, trailer)]
    return lines[0] + b"\n" + body + lines[1] + b"\n"


def heard(content: bytes, max_rows: int, *, ends: bool = True) -> int:
    """How many rows the parent takes from a child that says this."""
    answer, says = os.pipe()
    verdict, tells = os.pipe()
    os.write(tells, b'{"ended": "exit", "code": 0}\n')
    jobs = os.open(os.devnull, os.O_WRONLY)
    with ThreadPoolExecutor(1) as pool, Turns(1).join("") as turn:

        def say() -> None:
            with os.fdopen(says, "wb", buffering=0) as pipe, Out(pipe.fileno()) as out:
                out.write(content)
                if ends:
                    out.end()

        speaking = pool.submit(say)
        cell = Cell(1, jobs, answer, verdict, lambda _name, _number: None)
        outcome = RunOutcome(
            Answer(cell, turn, Bounds(5, 5, 512, 1 << 20)), cell.how_it_ended, max_rows, lambda _: cell.close()
        )
        try:
            return int(outcome.read().num_rows)
        finally:
            outcome.close()
            speaking.exception()
            os.close(tells)


ROWS = {"status": "rows"}
GOOD = stream(pa.table({"a": [1, 2]}))
BROKEN = stream(pa.table({"a": ["x", "y"]})).replace(bytes([0, 0, 0, 0, 1, 0, 0, 0]), bytes([0, 0, 0, 0, 9, 0, 0, 0]))
DONE = {"status": "done", "rows": 2}
COMPRESSED = stream(pa.table({"a": [1, 2]}), compression="zstd")
ENUM = pa.array(["x", "y"]).dictionary_encode()


def test_an_honest_answer_is_taken() -> None:
    assert heard(told(ROWS, GOOD, DONE), 2) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        told(ROWS, GOOD),
        told(ROWS, GOOD, {"status": "done", "rows": 3}),
        told(ROWS, GOOD, {"status": "done", "rows": "2"}),
        told(ROWS, GOOD, {"status": "rows", "rows": 2}),
        told(ROWS, GOOD, ["done", 2]),
        told({"status": "row"}, GOOD, DONE),
        told({"status": "rows", "x": "y" * 5000}, GOOD, DONE),
        told(ROWS, GOOD, {"status": "done", "rows": 2, "x": "y" * 5000}),
        told(ROWS, GOOD, DONE) + b"more",
        told(ROWS, GOOD[:-40], DONE),
        told(ROWS, b"", {"status": "done", "rows": 0}),
        told(ROWS, b"\0" * 64, {"status": "done", "rows": 0}),
        told(ROWS, BROKEN, DONE),
        told(None, b"", {"status": "failed", "kind": "value"}),
        told(ROWS, COMPRESSED, DONE),
        told(ROWS, stream(pa.table({"a": ENUM})), DONE),
        told(ROWS, stream(pa.table({"a": pa.StructArray.from_arrays([ENUM], ["b"])})), DONE),
        told(ROWS, GOOD[:8] + b"\xff" * 24 + GOOD[32:], DONE),
    ],
)
def test_a_forged_or_cut_answer_is_no_result(content: bytes) -> None:
    with pytest.raises(QueryRefused) as refused:
        heard(content, 100)
    assert refused.value.code in {"run.failed", "run.limit"}  # noise may read as the announcement of a huge part


def test_an_answer_without_its_last_frame_is_no_result() -> None:
    with pytest.raises(QueryRefused) as refused:
        heard(told(ROWS, GOOD, DONE), 100, ends=False)
    assert refused.value.code == "run.failed"


def test_rows_are_counted_by_the_parent() -> None:
    with pytest.raises(QueryRefused) as refused:
        heard(told(ROWS, GOOD, {"status": "done", "rows": 1}), 1)
    assert refused.value.code == "run.limit"


def test_bytes_are_counted_by_the_parent() -> None:
    with pytest.raises(QueryRefused) as refused:
        heard(b"x" * (2 << 20), 1)
    assert refused.value.code == "run.limit"


def test_a_body_that_unpacks_to_much_more_than_it_is_never_unpacked() -> None:
    bomb = stream(pa.table({"a": pa.array([0]).take(pa.array([0] * 4_000_000))}), compression="zstd")
    assert len(bomb) < 100_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(QueryRefused):
        heard(told(ROWS, bomb, {"status": "done", "rows": 4_000_000}), 10_000_000)
    assert pa.default_memory_pool().max_memory() - before < 8 << 20


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_garbled_bytes_are_an_error_of_a_known_kind(noise: bytes, at: int) -> None:
    content = GOOD[:at] + noise + GOOD[at + len(noise) :]
    with suppress(*GARBLED, StopIteration):
        reading = Stream(io.BytesIO(content), 1 << 20)
        while reading.next_batch() is not None:
            pass
