"""What runs instead of a guarded aggregate: first the cells, then everything else from cells of enough units only.

Were ORDER BY, LIMIT or a failing CAST to see the other cells, they would tell an exact value bit by bit. One last row
without units says that cells were withheld. ::

    WITH cells AS MATERIALIZED (SELECT tinh AS d0, sum(x) AS a0, count(DISTINCT unit) AS g0 FROM ... GROUP BY tinh)
    (SELECT cells.d0 AS tinh, cells.a0 / 10 AS y, cells.g0 FROM cells WHERE cells.g0 >= k ORDER BY y LIMIT 5)
    UNION ALL (SELECT NULL, NULL, 0 FROM cells WHERE NOT cells.g0 >= k LIMIT 1)
"""

from collections.abc import Sequence
from typing import Final

from sandbox.query import nodes
from sandbox.query.nodes import Node
from sandbox.query.shape import CELLS, Cells

THRESHOLD: Final = "min_group"
"""The session variable that holds k; unset it is NULL, and then nothing passes."""


def guarded(cells: Cells, names: Sequence[str]) -> Node:
    """The query that runs, with its output ``names``; the guards are its last columns."""
    guards = [f"g{number}" for number in range(len(cells.guards))]
    variable = nodes.call("getvariable", nodes.literal("STRING", THRESHOLD))
    tests = [nodes.at_least(nodes.column(CELLS, guard), variable) for guard in guards]
    enough = nodes.operator("CONJUNCTION_AND", *tests)
    items = [item | {"alias": name} for item, name in zip(cells.items, names, strict=True)]
    shown = nodes.select(
        items + [nodes.column(CELLS, guard, alias=guard) for guard in guards],
        nodes.table(CELLS),
        where_clause=enough,
        modifiers=cells.modifiers,
    )
    marker = nodes.select(
        [nodes.literal("NULL_LITERAL") for _ in names] + [nodes.literal("INTEGER", "0") for _ in guards],
        nodes.table(CELLS),
        where_clause=nodes.operator("OPERATOR_NOT", enough),
        modifiers=[{"type": "LIMIT_MODIFIER", "limit": nodes.literal("INTEGER", "1")}],
    )
    inner = {"materialized": "CTE_MATERIALIZE_ALWAYS", "query_node": _inner(cells, guards)}
    return {
        "type": "SET_OPERATION_NODE",
        "cte_map": {"map": [{"key": CELLS, "value": inner}]},
        "setop_type": "UNION",
        "children": [shown, marker],
    }


def _inner(cells: Cells, guards: Sequence[str]) -> Node:
    unit = nodes.column(str(cells.relation.unit))
    counts = [
        nodes.call("count", unit, distinct=True, where=condition) | {"alias": guard}
        for condition, guard in zip(cells.guards, guards, strict=True)
    ]
    return nodes.select(
        [*cells.groups, *cells.calls, *counts],
        cells.root["from_table"],
        where_clause=cells.root.get("where_clause"),
        group_expressions=[group | {"alias": ""} for group in cells.groups],
        group_sets=[list(range(len(cells.groups)))] if cells.groups else None,
    )
