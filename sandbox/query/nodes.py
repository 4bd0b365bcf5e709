"""Nodes of DuckDB's syntax tree as JSON: taking them apart, comparing them, and building the few the guard needs."""

import json
from collections.abc import Collection, Iterator
from typing import Any, Final, TypeAlias

Node: TypeAlias = dict[str, Any]

_NEUTRAL: Final = frozenset({"query_location", "query_location_length", "alias"})
_DATE_PARTS: Final = frozenset({"date_part", "datepart", "date_trunc", "datetrunc"})


def walk(tree: Any) -> Iterator[Node]:
    """Every object in a tree, parents first."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from walk(item)


def folded(name: str) -> str:
    """A relation's name as the engine compares it: only A to Z have a lower case, and U+212A is no k."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def call_name(node: Node) -> str:
    """The function that a FUNCTION or WINDOW node calls, in lower case."""
    path = node["qualified_name"]["path"]
    return str(path[-1]).lower()


def arguments(node: Node) -> list[Node]:
    """The argument expressions of a call."""
    return [argument["expression"] for argument in node.get("arguments", [])]


def integer(node: Node) -> int | None:
    """The value of an integer literal."""
    written: Node = node.get("literal", {})
    is_whole = node.get("class") == "CONSTANT" and written.get("kind") == "INTEGER"
    return int(written["text"]) if is_whole else None


def text(node: Node) -> str | None:
    """The value of a text literal; the tree leaves an empty one out."""
    written: Node = node.get("literal", {})
    is_text = node.get("class") == "CONSTANT" and written.get("kind") == "STRING"
    return str(written.get("text", "")) if is_text else None


def column_of(node: Node, qualifiers: Collection[str]) -> str | None:
    """The lower-case name of a column reference that is bare or qualified by one of ``qualifiers``."""
    if node.get("class") != "COLUMN_REF":
        return None
    *prefix, name = (str(part).lower() for part in node["column_names"])
    if prefix and ".".join(prefix).removeprefix("memory.").removeprefix("main.") not in qualifiers:
        return None
    return name


def form(node: Any, qualifiers: Collection[str]) -> Any:
    """A tree without what does not change its meaning: positions, aliases, table names, case of names."""
    if isinstance(node, list):
        return [form(item, qualifiers) for item in node]
    if not isinstance(node, dict):
        return node
    name = column_of(node, qualifiers)
    if name is not None:
        return {"class": "COLUMN_REF", "column_names": [name]}
    plain = {member: form(value, qualifiers) for member, value in node.items() if member not in _NEUTRAL}
    if node.get("class") == "FUNCTION" and call_name(node) in _DATE_PARTS and plain.get("arguments"):
        part = plain["arguments"][0]["expression"].get("literal", {})
        part["text"] = str(part.get("text", "")).lower()
    if node.get("class") == "TYPE":
        plain |= {"type_name": None, "qualified_name": str(node["qualified_name"]).lower()}
    return plain


def key(node: Node, qualifiers: Collection[str]) -> str:
    """Equal for two expressions exactly when :func:`form` is."""
    return json.dumps(form(node, qualifiers), sort_keys=True)


def column(*path: str, alias: str = "") -> Node:
    """A column reference."""
    node: Node = {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": list(path)}
    return node | {"alias": alias} if alias else node


def literal(kind: str, value: str = "") -> Node:
    """A constant; ``kind`` as the tree says it: INTEGER, STRING, NULL_LITERAL."""
    content = {"kind": kind, "text": value} if value else {"kind": kind}
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "literal": content}


def cast(child: Node, type_name: str) -> Node:
    """``CAST(child AS type_name)``."""
    to: Node = {"class": "TYPE", "type": "TYPE", "type_name": type_name, "qualified_name": {"path": [type_name]}}
    return {"class": "CAST", "type": "OPERATOR_CAST", "child": child, "type_expr": to}


def call(name: str, *expressions: Node, distinct: bool = False, where: Node | None = None) -> Node:
    """A function call, for aggregates with DISTINCT and FILTER."""
    node: Node = {
        "class": "FUNCTION",
        "type": "FUNCTION",
        "function_name": name,
        "order_bys": {"type": "ORDER_MODIFIER"},
        "arguments": [{"expression": expression} for expression in expressions],
        "qualified_name": {"path": [name]},
    }
    return node | ({"distinct": True} if distinct else {}) | ({"filter": where} if where else {})


def operator(kind: str, *children: Node) -> Node:
    """An OPERATOR such as OPERATOR_NOT, or a CONJUNCTION such as CONJUNCTION_AND; one child of AND is itself."""
    if kind == "CONJUNCTION_AND" and len(children) == 1:
        return children[0]
    family = "CONJUNCTION" if kind.startswith("CONJUNCTION") else "OPERATOR"
    return {"class": family, "type": kind, "children": list(children)}


def at_least(left: Node, right: Node) -> Node:
    """``left >= right``."""
    return {"class": "COMPARISON", "type": "COMPARE_GREATERTHANOREQUALTO", "left": left, "right": right}


def select(items: list[Node], source: Node, **clauses: Any) -> Node:
    """A SELECT node; ``clauses`` are members as the tree names them, empty ones are left out."""
    node: Node = {
        "type": "SELECT_NODE",
        "cte_map": {},
        "select_list": items,
        "from_table": source,
        "aggregate_handling": "STANDARD_HANDLING",
    }
    return node | {name: clause for name, clause in clauses.items() if clause}


def table(name: str) -> Node:
    """A relation by its bare name."""
    return {"type": "BASE_TABLE", "table_name": name, "qualified_name": {"path": [name]}}
