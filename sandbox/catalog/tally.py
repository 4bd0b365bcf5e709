"""The statistics of one column, counted batch by batch in bounded memory."""

from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog.descriptor import TIMES, ColumnSpec
from sandbox.core.canonical import LARGEST, Json

MEMORY: Final = 256 << 20
"""What the distinct values of all columns together may take, and of one column a sixteenth of it."""
LONGEST: Final = 100
"""Characters of a text that is shown as the least or greatest."""

_ARROW: Final = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.large_string(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}


def arrow_type(duckdb_type: str) -> Any:
    """The one Arrow type in which values of a DuckDB type are compared."""
    if duckdb_type in _ARROW:
        return _ARROW[duckdb_type]
    precision, scale = duckdb_type.removeprefix("DECIMAL(").removesuffix(")").split(",")
    return pa.decimal128(int(precision), int(scale))


class Tally:
    """Nulls of every column; distinct values and range where they give nobody away.

    The least and greatest value of a key or of a sensitive column would be single rows' values, so they are never
    taken; of a column that is not exposed only nulls are counted.
    """

    def __init__(self, column: ColumnSpec, *, is_unit: bool, columns: int) -> None:
        timed = column.sensitivity == "Q" and column.type in TIMES
        instants = column.type.startswith("TIMESTAMP")  # nearly all differ, so counting them costs most and tells least
        self._type = arrow_type(column.type)
        self._counts = is_unit or (column.exposed and column.sensitivity != "M" and not instants)
        self._ranges = column.exposed and (timed or column.sensitivity in {"M", "O"})
        self._most = min(MEMORY // 16, MEMORY // columns)
        self._seen = self._extremes = pa.array([], self._type)
        self._fresh: list[Any] = []
        self.nulls = 0

    def add(self, values: Any) -> None:
        """Count one batch of the column."""
        self.nulls += values.null_count
        if self._counts or pa.types.is_dictionary(values.type):
            values = values.unique()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        values = values.cast(self._type).drop_null()
        if self._counts:
            self._collect(values)
        if self._ranges:
            self._extremes = _extremes(pa.concat_arrays([self._extremes, values]))

    def _collect(self, values: Any) -> None:
        self._fresh.append(values)
        waiting = sum(fresh.nbytes for fresh in self._fresh)
        # merging at each doubling keeps the cost linear
        if waiting > self._most or sum(map(len, self._fresh)) > len(self._seen):
            self._merge()

    def _merge(self) -> None:
        self._seen, self._fresh = pa.concat_arrays([self._seen, *self._fresh]).unique(), []
        if self._seen.nbytes > self._most:
            self._counts = False
            self._seen = self._seen[:0]

    def statistics(self) -> dict[str, Json]:
        """What was counted; None for what is not known or not to be shown."""
        if self._counts:
            self._merge()
        least, greatest = self._extremes if len(self._extremes) else (None, None)
        return {
            "nulls": self.nulls,
            "distinct": len(self._seen) if self._counts else None,
            "min": _shown(least),
            "max": _shown(greatest),
        }


def _extremes(values: Any) -> Any:
    both = pc.min_max(values)
    return pa.array([both["min"], both["max"]], values.type).drop_null()


def _shown(value: Any) -> Json:
    """A number as JSON holds it exactly, all else as text."""
    if value is None or pa.types.is_boolean(value.type):
        return None
    if pa.types.is_integer(value.type) and abs(value.as_py()) <= LARGEST:
        return int(value.as_py())
    if pa.types.is_temporal(value.type):
        return _time(value)
    text = str(value.cast(pa.string()).as_py())
    return text if len(text) <= LONGEST else None


def _time(value: Any) -> str | None:
    if zoned := pa.types.is_timestamp(value.type) and value.type.tz is not None:
        value = value.cast(pa.timestamp("us"))  # in UTC; a zone's table is a file, which a jailed reader may not open
    try:
        moment = value.as_py()
    except (ValueError, OverflowError):  # beyond the year 9999, where Arrow's own text is silently another instant
        return None
    if not isinstance(moment, datetime):
        return str(moment)
    return moment.isoformat(timespec="microseconds") + ("Z" if zoned else "")
