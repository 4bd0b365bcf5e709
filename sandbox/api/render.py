"""Renderings of a result: the jail's Arrow stream as JSON rows or CSV."""

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sandbox.core.clock import text_of

JSON: Final = "application/json"
CSV: Final = "text/csv"
ARROW: Final = "application/vnd.apache.arrow.stream"
_EXACT: Final = 2**53
_FORMULA: Final = frozenset("=+-@＝＋－＠")  # East Asian spreadsheets read the full-width signs too


def _plain(value: Any) -> Any:
    """A cell as JSON says it without loss: big and decimal numbers as text, instants in RFC 3339."""
    match value:
        case None | bool() | str() | float():
            return value
        case int():
            return value if -_EXACT < value < _EXACT else str(value)
        case Decimal():
            scaled = value.as_tuple().exponent
            return str(value) if isinstance(scaled, str) or scaled < 0 else _plain(int(value))
        case datetime():
            return text_of(value) if value.tzinfo else value.isoformat()
        case date():
            return value.isoformat()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return str(value)


def _batches(ipc: bytes) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # 60 ms, only for those who ask for a rendering

    return pa.ipc.open_stream(ipc)


def columns(ipc: bytes) -> list[str]:
    """Names of a result's columns, in order."""
    return list(_batches(ipc).schema.names)


def rows(ipc: bytes) -> Iterator[list[Any]]:
    """The rows of a result, each cell as JSON says it."""
    for batch in _batches(ipc):
        for row in zip(*map(_cells, batch.columns), strict=True):
            yield list(row)


def _cells(column: Any) -> list[Any]:
    """A column as JSON says it. The buyer has paid: an instant beyond Python's calendar must not lose the answer."""
    try:
        return [_plain(value) for value in column.to_pylist()]
    except (ValueError, OverflowError):
        return [_plain(value) for value in column.cast(_in_words(column.type)).to_pylist()]


def _in_words(kind: Any) -> Any:
    """A type with text in the place of every instant, at each depth."""
    import pyarrow as pa  # noqa: PLC0415

    types = pa.types
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        return pa.string()
    if types.is_struct(kind):
        return pa.struct([(kind.field(at).name, _in_words(kind.field(at).type)) for at in range(kind.num_fields)])
    if types.is_map(kind):
        return pa.map_(_in_words(kind.key_type), _in_words(kind.item_type))
    return pa.list_(_in_words(kind.value_type)) if types.is_list(kind) else kind


def csv_bytes(ipc: bytes) -> bytes:
    """RFC 4180 in UTF-8 with a header line. Text that a spreadsheet would run as a formula gets an apostrophe."""
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow([_inert(name) for name in columns(ipc)])
    for row in rows(ipc):
        writer.writerow([_inert(value) for value in row])
    return target.getvalue().encode()


def _inert(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value.lstrip()[:1] in _FORMULA and not _number(value) else value


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
