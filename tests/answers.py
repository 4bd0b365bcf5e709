"""What a query gave, and when two answers or two trees mean the same."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_UNSAID = {"query_location", "query_location_length", "is_operator"}


@dataclass(frozen=True)
class Ran:
    """What a run gave, read to its end; it can be released like an outcome that comes bit by bit."""

    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches()

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def ipc(self) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return bytes(sink.getvalue())


def meant(value: Any) -> Any:
    """A value that equals another one of the same meaning: NaN is NaN, and the last bits of a float may differ."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{value:.9g}"
    if isinstance(value, list | tuple):
        return [meant(each) for each in value]
    return {name: meant(each) for name, each in value.items()} if isinstance(value, dict) else value


def form(tree: Any) -> Any:
    """A tree without positions, and with one form for what the renderer writes in another way."""
    if isinstance(tree, list):
        return [form(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("alias") == "valueslist" and "subquery" in tree:  # each rendering wraps VALUES once more
        return form(tree["subquery"]["node"]["from_table"])
    if tree.keys() == {"name", "expression"}:  # a named argument gets its name as an alias too
        return [tree["name"], form(tree["expression"] | {"alias": ""})]
    return {member: form(value) for member, value in tree.items() if member not in _UNSAID}
