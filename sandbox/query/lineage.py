"""Where each output column comes from, what is joined, and which constants are compared with which columns.

Where a tree is too rich to say exactly, everything that is touched is named: too many is safe.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sandbox.query import nodes
from sandbox.query.nodes import Node

_COMPARED: Final = {"COMPARISON", "BETWEEN"}
_LIKE: Final = {"~~", "!~~", "~~*", "!~~*", "~~~"}
"""LIKE, ILIKE and GLOB come as functions."""
_WHOLE: Final = {"STAR", "POSITIONAL_REFERENCE", "SUBQUERY"}
_PLAIN_SOURCES: Final = {"BASE_TABLE", "JOIN"}


def joins(root: Node) -> list[str]:
    """Each join of a query, such as ``inner``, ``left``, ``cross``, ``asof``."""
    found = [node for node in nodes.walk(root) if node.get("type") == "JOIN"]
    return [_join(node) for node in found]


def _join(node: Node) -> str:
    special = str(node.get("ref_type", "REGULAR"))
    return str(node.get("join_type", "INNER") if special == "REGULAR" else special).lower()


def matched(root: Node, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns that are compared with other columns: by a join, by a set operation, or in any condition.

    ``columns`` are those that the query touches, by relation. A name that is none of them may stand for any.
    """
    touched = {name.lower() for names in columns.values() for name in names}
    found: set[str] = set()
    for node in nodes.walk(root):
        found |= _matched_by(node, touched)
    return sorted(touched if found - touched else found)


def _matched_by(node: Node, touched: set[str]) -> set[str]:
    if node.get("type") == "JOIN":
        named = {str(name).lower() for name in node.get("using_columns", [])}
        return set(touched) if _join(node) == "natural" else named | _names(node.get("condition", {}))
    if node.get("type") == "SET_OPERATION_NODE" and node.get("setop_type") != "UNION":
        return set(touched)
    if node.get("class") == "SUBQUERY" and node.get("child"):  # x IN (SELECT …), x = ANY (SELECT …)
        return _names(node)
    names = _names(node) if _compares(node) else set()
    return names if len(names) > 1 else set()


def _compares(node: Node) -> bool:
    if node.get("class") == "FUNCTION":
        return nodes.call_name(node) in _LIKE
    return node.get("class") in _COMPARED or str(node.get("type")) in {"COMPARE_IN", "COMPARE_NOT_IN"}  # or an object


def _names(tree: Node) -> set[str]:
    return {str(node["column_names"][-1]).lower() for node in nodes.walk(tree) if node.get("class") == "COLUMN_REF"}


def compared(root: Node) -> list[dict[str, Any]]:
    """Each comparison that holds a constant: its kind, every column named in it, and the constants as text."""
    found: list[dict[str, Any]] = []
    for node in nodes.walk(root):
        kind = str(node.get("type", ""))
        if _compares(node):
            inside = [each for each in nodes.walk(node) if each.get("class") in {"CONSTANT", "COLUMN_REF"}]
            constants = [str(each["literal"].get("text", "")) for each in inside if each["class"] == "CONSTANT"]
            columns = {str(each["column_names"][-1]).lower() for each in inside if each["class"] == "COLUMN_REF"}
            if constants:
                name = "like" if node.get("class") == "FUNCTION" else kind.removeprefix("COMPARE_").lower()
                found.append({"comparison": name, "columns": sorted(columns), "constants": constants})
    return found


def lineage(root: Node, output: Sequence[str], columns: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """For each output column the ``relation.column`` that its values may depend on, by way of its own expression.

    ``columns`` are those that the query touches, by relation. What filters or groups the rows is not in it.
    """
    everything = [f"{relation}.{name}" for relation, names in columns.items() for name in names]
    items: list[Node] = root.get("select_list", [])
    if not _is_plain(root) or len(items) != len(output):
        return [everything for _ in output]
    aliases = {str(item.get("alias", "")).lower(): item for item in items}
    return [_sources(item, aliases, columns, everything, len(items)) for item in items]


def _is_plain(root: Node) -> bool:
    if root.get("type") != "SELECT_NODE" or root.get("cte_map", {}).get("map"):
        return False
    sources = list(nodes.walk(root.get("from_table", {})))
    kinds = {str(node.get("type")) for node in sources if "class" not in node and "type" in node}
    return kinds <= _PLAIN_SOURCES and not any(node.get("class") in _WHOLE for node in nodes.walk(root))


def _sources(
    item: Node, aliases: Mapping[str, Node], columns: Mapping[str, Sequence[str]], everything: list[str], depth: int
) -> list[str]:
    names: set[str] = set()
    found: set[str] = set()
    for node in nodes.walk(item):
        if node.get("class") != "COLUMN_REF":
            continue
        path = [str(part).lower() for part in node["column_names"]]
        known = {part for part in path if any(part in map(str.lower, each) for each in columns.values())}
        names |= known
        if not known and path[-1] in aliases and depth:  # the name of another output column
            found |= {*_sources(aliases[path[-1]], aliases, columns, everything, depth - 1)}
        elif not known:  # a whole row, or what only the engine's binder can tell
            return everything
    return [each for each in everything if each in found or each.partition(".")[2].lower() in names]
