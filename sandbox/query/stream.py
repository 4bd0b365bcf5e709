"""An Arrow IPC stream from a process that may have been taken over: no dictionaries, no compression, nothing huge.

A dictionary may list values of rows that are withheld. A compressed body unpacks in the reader's memory, and a length
that is announced is memory asked for, so both are refused before anything is allocated.
"""

import struct
from typing import Any, Final, Protocol

import pyarrow as pa

GARBLED: Final = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, struct.error)
"""What reading one can raise."""
_HEADER, _COMPRESSION = 2, 3
"""Fields of the flatbuffer tables ``Message`` and ``RecordBatch`` (Arrow's Message.fbs)."""


class TooLongError(ValueError):
    """A part is announced that is longer than the whole may be."""


class Readable(Protocol):
    """Where the bytes come from."""

    def read(self, size: int, /) -> bytes: ...


class _Bounded:
    """A source of which no more is asked for than it may give."""

    closed = False

    def __init__(self, source: Readable, most: int) -> None:
        self._source, self._most = source, most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._most:
            raise TooLongError
        return self._source.read(size)

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False


class Stream:
    """Its schema, and its batches one by one; every error is one of ``GARBLED``, or the source's own."""

    def __init__(self, source: Readable, most_bytes: int) -> None:
        self._messages = pa.ipc.MessageReader.open_stream(_Bounded(source, most_bytes))
        self.schema = _plain(pa.ipc.read_schema(self._messages.read_next_message()))

    def next_batch(self) -> Any:
        """The next batch, checked at every depth; ``None`` after the last."""
        try:
            message = self._messages.read_next_message()
        except StopIteration:
            return None
        if message.type != "record batch" or is_compressed(memoryview(message.metadata)):
            raise pa.ArrowInvalid
        batch = pa.ipc.read_record_batch(message, self.schema)
        batch.validate(full=True)
        return batch


def _plain(schema: Any) -> Any:
    kinds = [field.type for field in schema]
    while kinds:
        kind = kinds.pop()
        if pa.types.is_dictionary(kind):
            raise pa.ArrowInvalid
        kinds += [kind.field(place).type for place in range(kind.num_fields)]
    return schema


def is_compressed(metadata: memoryview) -> bool:
    """Whether a record batch's message says that its body is compressed."""
    message = _number("<I", metadata, 0)
    header = _field(metadata, message, _HEADER)
    if not header:
        raise pa.ArrowInvalid
    return bool(_field(metadata, header + _number("<I", metadata, header), _COMPRESSION))


def _field(content: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table lies, 0 when it has none."""
    fields = table - _number("<i", content, table)
    at = 4 + 2 * number
    offset = _number("<H", content, fields + at) if at < _number("<H", content, fields) else 0
    return table + offset if offset else 0


def _number(form: str, content: memoryview, at: int) -> int:
    (number,) = struct.unpack_from(form, content, at)
    return int(number)
