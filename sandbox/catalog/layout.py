"""The exchange's own layout of a dataset's rows: what extracts are made from, written anew by the exchange alone.

Columns stand in the descriptor's order and in its types. Nothing else of the provider's file comes along: no metadata,
no statistics, no wish of its writer. Rows keep their order, unless the descriptor names columns to sort by; then they
are sorted in pieces of up to ``WINDOW`` bytes, which serves whoever skips row groups nearly as well as sorting all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sandbox.catalog.descriptor import Descriptor
from sandbox.catalog.tally import arrow_type

CODEC: Final = "zstd"
"""Measured: 5 to 30 % smaller than LZ4_RAW, and extracts are made of it as fast; it is read for nothing else."""
GROUP_ROWS: Final = 122_880
"""The engine's own row group, so that each piece of an extract is made of one piece of its source."""
GROUP_BYTES: Final = 128 << 20
WINDOW: Final = 256 << 20
_PIECE: Final = 64 << 20


class Unwritten(Exception):
    """The disk, or the file's limit, does not take the layout: not a fault of the rows."""


class Layout:
    """One file's rows on their way into a new file; a context that completes it."""

    def __init__(self, place: Path, descriptor: Descriptor) -> None:
        self._schema = pa.schema([(column.name, arrow_type(column.type)) for column in descriptor.columns])
        self._sort = descriptor.sort
        self._held: list[Any] = []
        self._rows = self._bytes = 0
        try:
            self._sink = pa.OSFile(str(place), "wb")
            self._writer = pq.ParquetWriter(
                self._sink, self._schema, compression=CODEC, store_schema=False, store_decimal_as_integer=True
            )
        except OSError:
            raise Unwritten from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self._write(len(self._held))
            try:
                self._writer.close()
                self._sink.close()
            except OSError:
                raise Unwritten from None

    def add(self, batch: Any) -> None:
        """Take a batch of rows, all columns of the descriptor."""
        for piece in _pieces(batch.select(self._schema.names)):
            columns = [_plain(column).cast(kind) for column, kind in zip(piece, self._schema.types, strict=True)]
            self._hold(pa.record_batch(columns, schema=self._schema))

    def _hold(self, piece: Any) -> None:
        self._held.append(piece)
        self._rows += piece.num_rows
        self._bytes += piece.nbytes
        if self._sort:
            if self._bytes >= WINDOW:
                self._write(len(self._held))
        elif self._bytes >= GROUP_BYTES:
            self._write(len(self._held))
        elif self._rows >= GROUP_ROWS:
            self._write_groups()

    def _write_groups(self) -> None:
        """Write full row groups, and keep the rest for the next."""
        rest = self._rows % GROUP_ROWS
        last = self._held[-1]
        self._held[-1] = last.slice(0, last.num_rows - rest)
        self._write(len(self._held))
        self._held, self._rows, self._bytes = [last.slice(last.num_rows - rest)], rest, 0

    def _write(self, count: int) -> None:
        table = pa.Table.from_batches(self._held, self._schema)
        self._held, self._rows, self._bytes = [], 0, 0
        if not count:
            return
        if self._sort:
            table = in_order(table, self._sort)
        try:
            self._writer.write_table(table, row_group_size=GROUP_ROWS)
        except OSError:
            raise Unwritten from None


def in_order(table: Any, names: Sequence[str]) -> Any:
    """The rows sorted by some columns, least first and nulls last; equal rows stay as they came."""
    table = table.combine_chunks()
    keys = [_ranks(table.column(name)) for name in names]
    order = pc.sort_indices(
        pa.table(keys, [f"k{number}" for number in range(len(keys))]),
        sort_keys=[(f"k{number}", "ascending") for number in range(len(keys))],
    )
    return table.take(order)


def _ranks(values: Any) -> Any:
    """What sorts as the values do: of texts their ranks, for numbers are compared ten times as fast."""
    if not pa.types.is_large_string(values.type):
        return values
    encoded = values.combine_chunks().dictionary_encode()
    return pc.rank(encoded.dictionary, tiebreaker="dense").take(encoded.indices)


def _pieces(batch: Any) -> Iterator[Any]:
    """A batch in parts that stay small when texts which stand once in a dictionary are written out for each row."""
    if batch.num_rows <= 1 or plain_bytes(batch) <= _PIECE:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def plain_bytes(batch: Any) -> int:
    """How many bytes the rows take when each is written out."""
    return sum(_bytes_of(column) for column in batch.columns)


def _bytes_of(column: Any) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    longest = pc.max(lengths).as_py() or 0
    if longest * len(column) <= _PIECE >> 6:  # short labels: near enough
        return longest * len(column)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def _plain(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
