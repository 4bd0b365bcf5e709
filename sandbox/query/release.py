"""What may leave: groups of too few units are dropped, their counts removed, and only checked values written anew."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.core.errors import QueryRefused, ReleaseRefused
from sandbox.query.engine import Outcome


@dataclass(frozen=True, slots=True)
class Released:
    """A result that may be given: an Arrow IPC stream, and whether groups were left out of it."""

    ipc: bytes
    rows: int
    groups_withheld: bool


def release(outcome: Outcome, guards: int, min_group: int, max_rows: int, max_bytes: int) -> Released:
    """Let pass what rests on at least ``min_group`` units by each of the last ``guards`` columns.

    The stream is written anew, so that nothing which a taken-over jail hid between the values leaves with them.

    Raises:
        ReleaseRefused: ``release.threshold`` when a threshold is due and the query has no guards,
            ``release.malformed`` when the outcome is not what it should be.
        QueryRefused: ``run.limit`` when what is left is still too much.
    """
    if min_group > 1 and guards == 0:
        raise ReleaseRefused(
            "release.threshold",
            f"Groups of at least {min_group} units are due, and this query cannot be guarded.",
            hint="Group and filter by declared dimensions; use the unit in count(DISTINCT ...) only.",
            reasons=("QRY-05",),
        )
    table = _table(outcome)
    if guards > table.num_columns - (1 if guards else 0):
        raise ReleaseRefused(
            "release.malformed", "The result has no guard columns.", hint="Report this to the operator."
        )
    kept = table.filter(_enough(table, guards, min_group)) if guards else table
    ipc = _stream(kept.select(range(table.num_columns - guards)))
    if kept.num_rows > max_rows or len(ipc) > max_bytes:
        raise QueryRefused(
            "run.limit",
            f"The result has {kept.num_rows} rows and {len(ipc)} bytes, allowed are {max_rows} and {max_bytes}.",
            hint="Group more coarsely, or add LIMIT.",
            reasons=("QRY-07",),
        )
    return Released(ipc, kept.num_rows, kept.num_rows < table.num_rows)


def _table(outcome: Outcome) -> Any:
    with pa.ipc.open_stream(outcome.ipc) as reader:
        return reader.read_all()


def _enough(table: Any, guards: int, min_group: int) -> Any:
    passes = [pc.greater_equal(column, min_group) for column in table.columns[-guards:]]
    together = passes[0]
    for each in passes[1:]:
        together = pc.and_(together, each)
    return pc.fill_null(together, False)


def _stream(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    schema = pa.schema([_bare(field) for field in table.schema])
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table.cast(schema).combine_chunks())
    return bytes(sink.getvalue())


def _bare(field: Any) -> Any:
    """A field without metadata, at every depth: it could carry anything."""
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_bare(kind.field(place)) for place in range(kind.num_fields)])
    elif pa.types.is_map(kind):
        kind = pa.map_(_bare(kind.key_field), _bare(kind.item_field))
    elif pa.types.is_list(kind):
        kind = pa.list_(_bare(kind.value_field))
    return pa.field(field.name, kind, field.nullable)
