"""What is touched: from SQL text and granted relations to facts, or a refusal.

Standard library only, for it runs in the jail; the engine's parser, renderer and binder are passed in.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from sandbox.query import lineage, nodes
from sandbox.query.gate import Gate, Touched
from sandbox.query.guard import guarded
from sandbox.query.nodes import Node
from sandbox.query.refusal import Refusal, refuse
from sandbox.query.shape import Cells, Granted

LONGEST_SQL: Final = 64 << 10
DEEPEST: Final = 200
_TOO_DEEP: Final = "The query is nested too deeply."

Columns: TypeAlias = list[tuple[str, str]]


class Language(Protocol):
    """The engine's own reading of SQL: the only one that counts."""

    def parse(self, sql: str) -> Node:
        """The tree of ``json_serialize_sql``, errors included; nothing is looked up."""
        ...

    def render(self, node: Node) -> str:
        """The SQL of one statement's tree."""
        ...

    def bind(self, sql: str) -> Columns:
        """Names and types of what rendered SQL returns; raises :class:`Refusal` when it does not fit the relations."""
        ...


def facts(sql: str, relations: Sequence[Mapping[str, Any]], today: str, engine: Language) -> dict[str, Any]:
    """Check a query and say what it touches.

    Raises:
        Refusal: with the code of what is not allowed.
    """
    try:
        return _facts(sql, [_granted(each, engine) for each in relations], today, engine)
    except RecursionError:
        raise Refusal("query.too_large", _TOO_DEEP, "Write a flatter query.") from None


def _facts(sql: str, relations: Sequence[Granted], today: str, engine: Language) -> dict[str, Any]:
    # (1) Caps, before the parser sees the text.
    _cap(sql)
    # (2) One statement, as the engine's own parser reads it.
    root = parsed(sql, engine)
    # (3) Every node of it is on the list, and every relation is granted.
    gate = Gate({each.name: frozenset(each.columns) for each in relations}, today)
    try:
        gate.check(root)
    except Refusal as refusal:
        raise Refusal(refusal.code, _placed(refusal.message, sql, gate.place), refusal.hint) from None
    # (4) What was checked is what is rendered and bound.
    canonical = engine.render(root)
    output = engine.bind(canonical)
    used = [each for each in relations if each.name in gate.touched.tables]
    columns = {each.name: list(gate.touched.columns(each.columns.values())) for each in used}
    comes_from = lineage.lineage(root, [name for name, _ in output], columns)
    joins, compared = lineage.joins(root), lineage.compared(root)
    matched = lineage.matched(root, columns)
    # (5) A relation with a unit opens to the guarded aggregate only.
    cells = _cells(root, used)
    runs = _guarded(cells, output, engine) if cells and cells.guarded else canonical
    return {
        "canonical": canonical,
        "runs": runs,
        "statement": "select",
        "shape": "aggregate" if cells else "free",
        "tables": [each.name for each in used],
        "columns": columns,
        "dimensions": {each.name: list(cells.used) if cells else [] for each in used},
        "functions": sorted(gate.touched.calls),
        "aggregates": _aggregates(cells, gate.touched),
        "undeclared": list(cells.undeclared) if cells else [],
        "unit_exposed": bool(cells and cells.unit_exposed),
        "guards": len(cells.guards) if cells and cells.guarded else 0,
        "output": [{"name": name, "type": kind} for name, kind in output],
        "lineage": comes_from,
        "joins": joins,
        "compared": compared,
        "matched": matched,
    }


def _cap(sql: str) -> None:
    depth = deepest = 0
    for character in sql:
        depth += (character in "([{") - (character in ")]}")
        depth = max(depth, 0)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:  # brackets cost the parser time without bound; what hides in quotes meets the deadline
        refuse(
            "query.too_large",
            f"Brackets are nested {deepest} deep, at most {DEEPEST} are read.",
            "Write a flatter query.",
        )
    if len(sql.encode()) > LONGEST_SQL:
        refuse(
            "query.too_large", f"The SQL is longer than {LONGEST_SQL} bytes.", "Join with VALUES, or split the query."
        )


def parsed(sql: str, engine: Language) -> Node:
    """The root node of exactly one SELECT.

    Raises:
        Refusal: ``sql.syntax``, ``query.shape`` or ``query.too_large``.
    """
    document = engine.parse(sql)
    if document.get("error"):
        _refuse_text(sql, document)
    statements = document.get("statements", [])
    if len(statements) != 1:
        refuse("query.shape", f"The text holds {len(statements)} statements, expected one SELECT.", "Send one SELECT.")
    root: Node = statements[0]["node"]
    return root


def _refuse_text(sql: str, document: Node) -> None:
    first = str(document.get("error_message", "")).split("\n", maxsplit=1)[0]
    if "depth" in first:
        refuse("query.too_large", _TOO_DEEP, "Write a flatter query.")
    if document.get("error_type") == "not implemented":
        word = re.search(r"[A-Za-z]+", sql)
        began = word.group()[:20].upper() if word else "something else"
        if began in {"SELECT", "WITH", "FROM", "VALUES"}:
            refuse("query.shape", "Only one SELECT may run, and here something follows it.", "Send one SELECT alone.")
        hint = "Give the values: ON column IN (...)." if "PIVOT" in began else "Send one SELECT."
        refuse("query.shape", f"Only one SELECT may run, and this is {began}.", hint)
    refuse("sql.syntax", _placed(first[:200], sql, int(document.get("position", 0))), "Write it in DuckDB's SQL.")


def _placed(message: str, sql: str, at: int) -> str:
    """A sentence with the place that it is about, counted in characters from 1; the engine counts bytes from 0."""
    if not at:
        return message
    sentence, end = message.removesuffix("."), "." * message.endswith(".")
    return f"{sentence} (character {len(sql.encode()[:at].decode(errors='ignore')) + 1}){end}"


def _granted(document: Mapping[str, Any], engine: Language) -> Granted:
    return Granted(
        name=document["name"].lower(),
        columns={name.lower(): name for name, _ in document["columns"]},
        dimensions={name: _expression(expression, engine) for name, expression in document["dimensions"]},
        unit=document["unit"].lower() if document["unit"] else None,
        nullable=frozenset(name.lower() for name in document["nullable"]),
    )


def _expression(text: str, engine: Language) -> Node:
    items = parsed(f"SELECT {text}", engine)["select_list"]
    if len(items) != 1:
        refuse(
            "query.relation", "A declared dimension is not one expression.", "Ask the provider to mend its descriptor."
        )
    expression: Node = items[0]
    return expression


def _cells(root: Node, used: Sequence[Granted]) -> Cells | None:
    units = [each for each in used if each.unit]
    if not units:
        return None
    cells = Cells(units[0], root)
    cells.take_apart()
    return cells


def _guarded(cells: Cells, output: Columns, engine: Language) -> str:
    runs = engine.render(guarded(cells, [name for name, _ in output]))
    expected = [kind for _, kind in output] + ["BIGINT"] * len(cells.guards)
    try:
        fits = [kind for _, kind in engine.bind(runs)] == expected
    except Refusal:
        fits = False
    if not fits:
        refuse(
            "query.shape", "The query cannot be computed from guarded groups.", "Use plain arithmetic over aggregates."
        )
    return runs


def _aggregates(cells: Cells | None, touched: Touched) -> list[dict[str, Any]]:
    bare = [(*each, False) for each in cells.aggregates] if cells else []  # a guarded one is of a bare column
    found = bare or [_aggregate(node) for node in touched.aggregates]
    return [
        {"function": name, "column": column, "distinct": distinct, "expression": expression}
        for name, column, distinct, expression in dict.fromkeys(found)
    ]


def _aggregate(node: Node) -> tuple[str, str | None, bool, bool]:
    name, given = nodes.call_name(node), nodes.arguments(node)
    bare = given[0] if len(given) == 1 and given[0].get("class") == "COLUMN_REF" else None
    column = bare["column_names"][-1].lower() if bare else None
    return "count" if name == "count_star" else name, column, bool(node.get("distinct")), bool(given) and bare is None
