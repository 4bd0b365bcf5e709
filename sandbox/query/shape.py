"""The guarded aggregate: the one form in which a relation with a privacy unit can be queried.

One SELECT over that relation alone; GROUP BY, WHERE and FILTER on declared dimensions; aggregates over bare columns;
arithmetic, ORDER BY and LIMIT over groups and aggregates. It is read into cells: groups, aggregates, and the conditions
whose distinct units must be counted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from sandbox.query import nodes
from sandbox.query.functions import AGGREGATES
from sandbox.query.nodes import Node
from sandbox.query.refusal import refuse

CELLS: Final = "cells"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ROOT: Final = _set(
    """type modifiers cte_map select_list from_table where_clause group_expressions
    group_sets aggregate_handling"""
)
_SOURCE: Final = _set("type alias query_location query_location_length table_name qualified_name")
_CALL: Final = _set(
    """class type alias query_location query_location_length function_name order_bys distinct filter arguments
    qualified_name"""
)
_MODIFIERS: Final = frozenset({"ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"})
_COMPUTED: Final = _set("BETWEEN CASE CAST COLLATE COMPARISON CONJUNCTION CONSTANT FUNCTION OPERATOR TYPE")
_CONDITIONS: Final = frozenset({"BETWEEN", "COMPARISON", "CONJUNCTION"})
_TESTS: Final = _set("COMPARE_IN COMPARE_NOT_IN OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL")
_SUMS: Final = frozenset({"count", "sum", "avg"})
_LIKE: Final = frozenset({"~~", "!~~", "~~*", "!~~*"})


@dataclass(frozen=True, slots=True)
class Granted:
    """A relation as the jail knows it: columns by lower-case name, dimensions by name with their syntax trees."""

    name: str
    columns: Mapping[str, str]
    dimensions: Mapping[str, Node]
    unit: str | None
    nullable: Collection[str]


@dataclass(slots=True)
class Cells:
    """A guarded SELECT, taken apart; ``aggregates`` are function, column, DISTINCT."""

    relation: Granted
    root: Node
    groups: list[Node] = field(default_factory=list)
    calls: list[Node] = field(default_factory=list)
    guards: list[Node | None] = field(default_factory=lambda: [None])
    used: dict[str, None] = field(default_factory=dict)
    undeclared: dict[str, None] = field(default_factory=dict)
    aggregates: list[tuple[str, str | None, bool]] = field(default_factory=list)
    unit_exposed: bool = False
    items: list[Node] = field(default_factory=list)
    modifiers: list[Node] = field(default_factory=list)
    _places: dict[str, Node] = field(default_factory=dict)
    _aliases: dict[str, Node] = field(default_factory=dict)
    _names: frozenset[str] = frozenset()
    _dimensions: dict[str, str] = field(default_factory=dict)

    def take_apart(self) -> None:
        """Read the query.

        Raises:
            Refusal: ``query.shape`` when it is not a guarded aggregate.
        """
        self._outline()
        self._name_items()
        for expression in self._grouping():
            self._group(self._resolved(expression))
        if "where_clause" in self.root:
            self.root["where_clause"] = self._condition(self._resolved(self.root["where_clause"]))
        self.items = [self._computed(self._resolved(item)) for item in self.root["select_list"]]
        self.modifiers = [self._modifier(each) for each in self.root.get("modifiers", [])]
        if not self.groups and not self.calls:
            self._refuse("It names no aggregate.")

    def _refuse(self, what: str) -> NoReturn:
        name, unit = self.relation.name, self.relation.unit
        plain = (each for each, tree in self.relation.dimensions.items() if tree["class"] == "COLUMN_REF")
        grouped = next(plain, "dimension")
        passes = f"{grouped}, count(*), count(DISTINCT {unit}), sum(measure) FROM {name} GROUP BY {grouped}"
        refuse(
            "query.shape",
            f"{name} holds data of units ({unit}) and opens only to one plain aggregate. {what}",
            f"What passes: SELECT {passes}; WHERE and FILTER on dimensions, ORDER BY, LIMIT.",
        )

    def _outline(self) -> None:
        root, source = self.root, self.root.get("from_table", {})
        surplus = sorted(root.keys() - _ROOT)
        if root["type"] != "SELECT_NODE" or root.get("cte_map"):
            self._refuse("It has WITH, UNION or the like.")
        if surplus:
            self._refuse(f"It has {surplus[0].upper().replace('_', ' ')}.")
        if source.get("type") != "BASE_TABLE" or source.keys() - _SOURCE:
            self._refuse("It reads something else than this one relation by its name, whole and as it is.")
        if len(root.get("group_sets", [])) > 1:
            self._refuse("It has several grouping sets.")
        kinds = {node.get("class", "COLUMN_REF") for node in nodes.walk(root)}
        strange = sorted(kinds - _COMPUTED - {"COLUMN_REF"})
        if strange:  # a SUBQUERY, a WINDOW, * or #1 would reach columns that are not named
            self._refuse(f"It holds {strange[0].replace('_', ' ')}.")
        self._names = frozenset({self.relation.name, source.get("alias", self.relation.name).lower()})
        self._dimensions = {nodes.key(tree, self._names): name for name, tree in self.relation.dimensions.items()}

    def _name_items(self) -> None:
        for item in self.root["select_list"]:
            alias = item.get("alias", "").lower()
            if not alias:
                continue
            if alias in self._aliases:
                self._refuse(f"Two values are named {alias!r}.")
            self._aliases[alias] = item

    def _grouping(self) -> Sequence[Node]:
        items = self.root["select_list"]
        if self.root.get("aggregate_handling") == "FORCE_AGGREGATES":  # GROUP BY ALL
            resolved = [self._resolved(item) for item in items]
            return [item for item in resolved if self._columns(item) and not self._has_aggregate(item)]
        places = [(nodes.integer(each), each) for each in self.root.get("group_expressions", [])]
        return [each if place is None else items[place - 1] for place, each in places]

    def _has_aggregate(self, expression: Node) -> bool:
        return any(
            node.get("class") == "FUNCTION" and nodes.call_name(node) in AGGREGATES for node in nodes.walk(expression)
        )

    def _resolved(self, tree: Any, within: frozenset[str] = frozenset(), column_wins: bool = True) -> Any:
        """A copy in which names given in the SELECT list stand for what they name.

        A column's own name wins, except in ORDER BY; so it is in DuckDB, and here what was read is what runs.
        """
        if isinstance(tree, list):
            return [self._resolved(item, within, column_wins) for item in tree]
        if not isinstance(tree, dict):
            return tree
        name = nodes.column_of(tree, ()) or ""
        if name in self._aliases and name not in within and not (column_wins and name in self.relation.columns):
            return self._resolved(self._aliases[name], within | {name}) | {"alias": ""}
        return {member: self._resolved(value, within, column_wins) for member, value in tree.items()}

    def _group(self, expression: Node) -> None:
        if not self._columns(expression):
            self._refuse("It groups by a constant.")
        self._declared(expression)
        self._place(expression, "d", self.groups)

    def _place(self, expression: Node, letter: str, among: list[Node]) -> Node:
        place = nodes.key(expression, self._names)
        if place not in self._places:
            self._places[place] = nodes.column(CELLS, f"{letter}{len(among)}")
            among.append(expression | {"alias": f"{letter}{len(among)}"})
        return dict(self._places[place])

    def _columns(self, expression: Node) -> list[str]:
        """Every column in an expression, so that none escapes under a strange qualifier."""
        found = (
            node["column_names"][-1].lower() for node in nodes.walk(expression) if node.get("class") == "COLUMN_REF"
        )
        return list(dict.fromkeys(found))

    def _declared(self, expression: Node) -> None:
        """Note a declared dimension, or the columns of what is none."""
        name, columns = self._dimensions.get(nodes.key(expression, self._names)), self._columns(expression)
        if name is not None:
            self.used[name] = None
        else:
            self.undeclared.update(dict.fromkeys(columns))
        self.unit_exposed |= self.relation.unit in columns  # even if a descriptor declares it

    def _condition(self, node: Node) -> Node:
        """Check a WHERE or FILTER: tests of declared dimensions against constants or one another."""
        if self._is_test(node) and nodes.key(node, self._names) not in self._dimensions:
            for part in _parts(node):
                self._condition(part)
        else:
            self._declared(node)
        return node

    def _is_test(self, node: Node) -> bool:
        if node.get("class") == "FUNCTION":
            return nodes.call_name(node) in _LIKE
        return node.get("class") in _CONDITIONS or node.get("type") in _TESTS

    def _computed(self, node: Any) -> Any:
        """The same expression over cells: each group and each aggregate in it becomes a column of the cells."""
        if isinstance(node, list):
            return [self._computed(item) for item in node]
        if not isinstance(node, dict):
            return node
        kind = node.get("class")
        if kind is not None and nodes.key(node, self._names) in self._places:
            return dict(self._places[nodes.key(node, self._names)])
        if kind == "FUNCTION" and nodes.call_name(node) in AGGREGATES:
            return self._aggregate(node)
        if kind == "COLUMN_REF":
            self._refuse(f"{node['column_names'][-1]!r} stands neither in GROUP BY nor in an aggregate.")
        return {member: self._computed(value) for member, value in node.items() if member != "alias" or kind == "TYPE"}

    def _aggregate(self, node: Node) -> Node:
        given = nodes.arguments(node)
        column = nodes.column_of(given[0], self._names) if given else None
        name, distinct = nodes.call_name(node), bool(node.get("distinct"))
        simple = len(given) <= 1 and (column in self.relation.columns or not given)
        if node.keys() - _CALL or node["order_bys"].get("orders") or not simple:
            self._refuse(f"{name} is not of the form {name}(column) [FILTER (WHERE condition)].")
        self.aggregates.append(("count" if name == "count_star" else name, column, distinct))
        self.unit_exposed |= column == self.relation.unit and not (name == "count" and distinct)
        conditions = [self._condition(node["filter"])] if "filter" in node else []
        if column in self.relation.nullable:  # the group may have more units than the values that are added
            conditions.append(nodes.operator("OPERATOR_IS_NOT_NULL", given[0]))
        if conditions:
            self._guard(nodes.operator("CONJUNCTION_AND", *conditions))
        return self._place(node, "a", self.calls)

    def _guard(self, condition: Node) -> None:
        known = {nodes.key(guard, self._names) for guard in self.guards if guard}
        if nodes.key(condition, self._names) not in known:
            self.guards.append(condition)

    def _modifier(self, modifier: Node) -> Node:
        if modifier["type"] not in _MODIFIERS:
            self._refuse("It has DISTINCT.")
        resolved = self._resolved(modifier, column_wins=False)
        return {member: self._computed(value) for member, value in resolved.items()}

    @property
    def guarded(self) -> bool:
        """Whether counting units makes the query safe.

        It does not when the unit stands elsewhere than in count(DISTINCT), when a filter cuts finer cells than those
        declared, or when an aggregate returns one row's value.
        """
        sums = all(function in _SUMS for function, _, _ in self.aggregates)
        return sums and not self.unit_exposed and not self.undeclared


def _parts(node: Node) -> list[Node]:
    """The operands of a test."""
    given: list[Node] = [node[member] for member in ("left", "right", "input", "lower", "upper") if member in node]
    return [*given, *node.get("children", []), *nodes.arguments(node)]
