"""A Parquet file from outside: its columns as DuckDB will see them, and its batches, within bounded memory.

Types are read from Parquet's own schema. The Arrow schema that a file may carry beside it is the writer's wish, which
DuckDB ignores: believing it would let a file be examined as one thing and queried as another.
"""

import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO, IOBase
from pathlib import Path
from typing import Any, Final, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.catalog.descriptor import MOST_COLUMNS, MOST_DIGITS
from sandbox.core.errors import Invalid

MOST_ROWS: Final = 2**31
BATCH_ROWS: Final = 65_536
BATCH_BYTES: Final = 32 << 20
LONGEST_TEXT: Final = 1 << 20
"""Bytes of one text."""

_PLAIN: Final = {"BOOLEAN": "BOOLEAN", "INT32": "INTEGER", "INT64": "BIGINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE"}
_WHOLE: Final = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}
_REMEDIES: Final = {
    "nested": "Write one plain column for each nested value, or one row for each item of a list.",
    "Timestamp": "Write times as TIMESTAMP in microseconds.",
    "INT96": "Write times as TIMESTAMP in microseconds (Spark: outputTimestampType=TIMESTAMP_MICROS).",
    "BYTE_ARRAY": "Write text as UTF-8 strings; binary columns cannot be listed.",
    "Null": "Give the column a type, or leave it out.",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a file: its name, DuckDB type and whether the file allows it to be null."""

    name: str
    type: str
    nullable: bool


def refuse(code: str, sentence: str, hint: str) -> NoReturn:
    """Refuse a file; its provider reads the sentence.

    Raises:
        Invalid: with ``code``.
    """
    raise Invalid(code, sentence, hint=hint, reasons=("LIST-08",))


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """A provider's file, opened once so that what is hashed is what is read.

    Raises:
        Invalid: ``parquet.unreadable`` when it is no file, is empty, or turns out to be no sound Parquet.
    """
    require_file(path)
    try:
        with FileIO(path) as content:
            yield content
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError):  # what pyarrow raises on unsound bytes
        refuse_unreadable(path.name, "cannot be read to its end")


def require_file(path: Path) -> None:
    """Be sure that there is a file with something in it.

    Raises:
        Invalid: ``parquet.unreadable``.
    """
    if not path.is_file():
        refuse("parquet.unreadable", f"{path.name}: got no such file, expected Parquet.", "Check the name.")
    if path.stat().st_size == 0:
        refuse("parquet.unreadable", f"{path.name}: got an empty file, expected Parquet.", "Leave the file out.")


def refuse_unreadable(name: str, fault: str) -> NoReturn:
    """Refuse a file that ``fault``, such as "cannot be read to its end".

    Raises:
        Invalid: ``parquet.unreadable``.
    """
    hint = "Write the file again with compression zstd, and check that the copy is complete."
    refuse("parquet.unreadable", f"{name}: got a file that {fault}, expected sound Parquet.", hint)


def open_parquet(content: IOBase, texts: list[str] | None = None) -> Any:
    """Open a file for reading in batches, the columns ``texts`` as dictionaries."""
    return pq.ParquetFile(
        content,
        read_dictionary=texts,
        buffer_size=1 << 20,  # else a whole column chunk is read at once
        pre_buffer=False,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
    )


def fields(file: Any, name: str) -> tuple[Field, ...]:
    """The columns of an open file.

    Raises:
        Invalid: ``parquet.mismatch`` when it has none, one twice, or one that cannot be listed.
    """
    if len(file.schema) > MOST_COLUMNS:
        sentence = f"{name}: got {len(file.schema)} columns, expected at most {MOST_COLUMNS}."
        refuse("parquet.mismatch", sentence, "Split the table, or leave columns out.")
    found = tuple(_field(file.schema.column(index), name) for index in range(len(file.schema)))
    if not found:
        refuse(
            "parquet.mismatch", f"{name}: got no columns, expected at least one.", "Write the table with its columns."
        )
    seen: set[str] = set()
    for field in found:
        if field.name.casefold() in seen:
            sentence = f"{name}: got column {field.name} twice, expected it once (upper and lower case count as one)."
            refuse("parquet.mismatch", sentence, "Rename or drop one of the two.")
        seen.add(field.name.casefold())
    return found


def _field(column: Any, name: str) -> Field:
    shown = column.path[:63]
    if not unicodedata.is_normalized("NFC", column.path):  # it would look like the descriptor's name and be another
        sentence = f"{name}: column {shown} has a name in another Unicode form, expected NFC."
        refuse("parquet.mismatch", sentence, "Rename the column: unicodedata.normalize('NFC', name).")
    kind, label = type_of(column)
    if kind is None:
        hint = _REMEDIES.get(label, "Write the column with another type, or leave it out.")
        expected = "text, a number, true or false, a date or a time in microseconds"
        refuse("parquet.mismatch", f"{name}: column {shown} is {label}, expected {expected}.", hint)
    return Field(column.name, kind, column.max_definition_level > 0)


def type_of(column: Any) -> tuple[str | None, str]:
    """The DuckDB type of a Parquet column, None when it cannot be listed, and Parquet's own word for it."""
    if column.path != column.name or column.max_repetition_level > 0:
        return None, "nested"
    logical, label = json.loads(column.logical_type.to_json()), column.physical_type
    match logical:
        case {"Type": "None"}:
            return _PLAIN.get(label), label
        case {"Type": "String"}:
            return "VARCHAR", label
        case {"Type": "Date"}:
            return "DATE", label
        case {"Type": "Int", "bitWidth": width, "isSigned": signed}:
            return ("" if signed else "U") + _WHOLE[width], label
        case {"Type": "Decimal", "precision": precision, "scale": scale} if precision <= MOST_DIGITS:
            return f"DECIMAL({precision},{scale})", label
        case {"Type": "Timestamp", "timeUnit": "milliseconds" | "microseconds"}:
            # without a logical type of its own the file does not say UTC, whatever pyarrow makes of it
            zoned = logical["isAdjustedToUTC"] and not logical["is_from_converted_type"]
            return "TIMESTAMP WITH TIME ZONE" if zoned else "TIMESTAMP", label
    return None, logical["Type"]


def batches(file: Any, widest: int = 1) -> Iterator[Any]:
    """The rows in batches of bounded size, each checked to be sound (lengths, offsets, UTF-8).

    ``widest`` is what the widest rows take; the file's own words on that are taken only where they say more.
    """
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    declared = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=1)
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(widest, declared, 1)))
    for batch in file.iter_batches(batch_size=rows, use_threads=False):
        batch.validate(full=True)
        yield batch
