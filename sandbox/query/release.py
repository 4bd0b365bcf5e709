"""What may leave: groups of too few units are dropped, their counts removed, and only checked values written anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.core.errors import QueryRefused, ReleaseRefused
from sandbox.query.engine import Outcome
from sandbox.query.spool import Spool

_NO: Final = pa.scalar(False)


@dataclass(frozen=True, slots=True)
class Released:
    """A result that may be given: an Arrow IPC stream in a spool, and whether groups were left out of it."""

    spool: Spool
    rows: int
    groups_withheld: bool

    @property
    def ipc(self) -> bytes:
        """The whole stream."""
        return self.spool.read()


def release(
    outcome: Outcome, guards: int, min_group: int, max_rows: int, max_bytes: int, folder: Path | None = None
) -> Released:
    """Let pass what rests on at least ``min_group`` units by each of the last ``guards`` columns.

    The stream is written anew, batch by batch as the run makes it, so that nothing which a taken-over jail hid between
    the values leaves with them. A large one is spooled in ``folder``.

    Raises:
        ReleaseRefused: ``release.threshold`` when a threshold is due and the query has no guards,
            ``release.malformed`` when the outcome is not what it should be.
        QueryRefused: ``run.limit`` when what is left is still too much; and what the outcome raises.
    """
    if min_group > 1 and guards == 0:
        raise ReleaseRefused(
            "release.threshold",
            f"Groups of at least {min_group} units are due, and this query cannot be guarded.",
            hint="Group and filter by declared dimensions; use the unit in count(DISTINCT ...) only.",
            reasons=("QRY-05",),
        )
    columns = len(outcome.schema)
    if guards > columns - (1 if guards else 0):
        raise ReleaseRefused(
            "release.malformed", "The result has no guard columns.", hint="Report this to the operator."
        )
    spool = Spool(folder)
    try:
        return _written(outcome, columns - guards, min_group, (max_rows, max_bytes), spool)
    except BaseException:
        spool.close()
        raise


def _written(outcome: Outcome, shown: int, min_group: int, most: tuple[int, int], spool: Spool) -> Released:
    rows = withheld = 0
    least = pa.scalar(min_group, pa.int64())  # made once: from a plain number it takes longer than the comparison
    schema = pa.schema([_bare(field) for field in list(outcome.schema)[:shown]])
    with pa.ipc.new_stream(spool, schema) as writer:
        for batch in outcome.batches():
            kept = batch.filter(_enough(batch.columns[shown:], least)) if shown < batch.num_columns else batch
            shorn = kept.select(range(shown)) if shown < kept.num_columns else kept
            if shorn.num_rows:
                writer.write_batch(shorn if shorn.schema.equals(schema, check_metadata=True) else shorn.cast(schema))
            rows += kept.num_rows
            withheld += batch.num_rows - kept.num_rows
            _fit(rows, spool.bytes, *most)
    _fit(rows, spool.bytes, *most)
    spool.done()
    return Released(spool, rows, withheld > 0)


def _fit(rows: int, size: int, max_rows: int, max_bytes: int) -> None:
    if rows > max_rows or size > max_bytes:
        raise QueryRefused(
            "run.limit",
            f"The result has {rows} rows and {size} bytes or more, allowed are {max_rows} and {max_bytes}.",
            hint="Group more coarsely, or add LIMIT.",
            reasons=("QRY-07",),
        )


def _enough(guards: list[Any], least: Any) -> Any:
    passes = [pc.greater_equal(column, least) for column in guards]
    together = passes[0]
    for each in passes[1:]:
        together = pc.and_(together, each)
    return pc.fill_null(together, _NO)


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
