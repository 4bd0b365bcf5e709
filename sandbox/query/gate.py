"""The allow-list over DuckDB's own syntax tree: what is not known to be harmless is refused.

The gate also rewrites the tree, so that what was checked is what runs: a granted relation becomes
``memory.main.<name>`` and ``current_date`` a constant.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.query import functions
from sandbox.query.nodes import Node, arguments, call_name, cast, column_of, folded, integer, literal, text, walk
from sandbox.query.refusal import refuse


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


QUERIES: Final = _set("SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE")
_KINDS: Final = QUERIES | _set(
    """BASE_TABLE SUBQUERY JOIN EXPRESSION_LIST EMPTY PIVOT TABLE_FUNCTION ORDER_MODIFIER LIMIT_MODIFIER
    LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING"""
)
_CLASSES: Final = _set(
    """BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR
    POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW"""
)
_OPERATORS: Final = _set(
    """COMPARE_IN COMPARE_NOT_IN OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_TRY
    OPERATOR_UNPACK GROUPING_FUNCTION ARRAY_EXTRACT ARRAY_SLICE ARRAY_CONSTRUCTOR STRUCT_EXTRACT"""
)
_TYPES: Final = {"timestamp with time zone", "time with time zone"} | _set(
    """bool boolean logical tinyint int1 smallint int2 int16 short integer int int4 int32 signed integral bigint int8
    int64 long oid hugeint int128 utinyint uint8 usmallint uint16 uinteger uint32 ubigint uint64 uhugeint uint128 float
    float4 real double float8 decimal dec numeric varchar char bpchar nvarchar text string blob bytea binary varbinary
    date time timetz timestamp datetime timestamp_us timestamp_ms timestamp_ns timestamp_s timestamptz interval uuid
    guid json list map struct row null"""
)
"""Without ``array`` (a known crash of the engine), ENUM, UNION, VARIANT, BIT and GEOMETRY."""
_LITERALS: Final = _set("INTEGER NUMERIC STRING BOOLEAN NULL_LITERAL HEX")
_WIDEST: Final = "340282366920938463463374607431768211455"
"""The largest whole number that has one of the types above."""
SESSION_WORDS: Final = _set(
    """user session_user current_user current_role current_schema current_catalog current_time current_timestamp
    localtime localtimestamp"""
)
"""Bare names that the engine takes for a call when no column has them."""
_TODAY: Final = "current_date"
CATALOGUE: Final = ("duckdb_", "information_schema", "pg_", "pragma_", "sqlite_")
"""How the names begin that the engine gives to what it tells of itself: no CTE may be mistaken for one."""

_HINTS: Final = {
    "SHOW_REF": "The dataset's page in the catalogue lists its columns.",
    "PARAMETER": "Write the value itself into the SQL.",
    "DEFAULT": "Write the value itself into the SQL.",
}
_ONLY_SELECT: Final = "Only a SELECT over granted datasets may run."


@dataclass(slots=True)
class Touched:
    """What a checked query uses. Too many columns is safe, so a ``star`` stands for all of them."""

    tables: dict[str, None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    last: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    aggregates: list[Node] = field(default_factory=list)
    star: bool = False

    def columns(self, offered: Collection[str]) -> tuple[str, ...]:
        """Those of a relation's columns that the query may read; a relation's name as a column is its whole row."""
        whole = self.star or bool(self.last & self.relations)
        return tuple(name for name in offered if whole or name.lower() in self.names)


class Gate:
    """Checks one tree against the lists and the granted relations: lower-case name to column names."""

    def __init__(self, granted: Mapping[str, frozenset[str]], today: str) -> None:
        self._granted = granted
        self._columns = frozenset().union(*granted.values())
        self._today = today
        self.touched = Touched()
        self.place = 0
        """Where in the text, in bytes, the node stands that is being looked at."""
        self._special: Mapping[str, Callable[[Node, frozenset[str]], None]] = {
            "CONSTANT": self._constant,
            "BASE_TABLE": self._relation,
            "TABLE_FUNCTION": self._table_function,
            "COLUMN_REF": self._column,
            "FUNCTION": self._function,
            "WINDOW": self._window,
            "OPERATOR": self._operator,
            "TYPE": self._type,
            "PIVOT": self._pivot,
            "JOIN": self._join,
            "RECURSIVE_CTE_NODE": self._recursive,
            "STAR": self._star,
            "POSITIONAL_REFERENCE": self._star,
        }

    def check(self, node: Any, scope: frozenset[str] = frozenset()) -> None:
        """Check a tree; ``scope`` are the names of the CTEs visible in it.

        Raises:
            Refusal: at the first node that is not allowed.
        """
        if isinstance(node, list):
            for item in node:
                self.check(item, scope)
        if not isinstance(node, dict):
            return
        self.place = node.get("query_location", self.place)
        self._beside(node)
        kind = node.get("class") or node.get("type")  # expressions carry both, and their class decides
        if isinstance(kind, str) and kind not in (_CLASSES if "class" in node else _KINDS):
            refuse(
                "query.shape", f"The query holds {_words(kind)}, which is not allowed.", _HINTS.get(kind, _ONLY_SELECT)
            )
        self._special.get(str(kind), self._inside)(node, scope)

    def _beside(self, node: Node) -> None:
        """Check what no node below says: the size of a sample, and the names that are given."""
        if any("class" in each for each in walk(node.get("sample"))):
            refuse("query.shape", "The size of a sample is not a plain number.", "Such as TABLESAMPLE 10%.")
        given = (node.get("alias", ""), *node.get("aliases", ()), *node.get("column_name_alias", ()))
        if _TODAY in {name.lower() for name in given}:  # the day would stand where the column is meant
            refuse("query.column", f"{_TODAY} means the day and can name nothing else.", "Choose another name.")

    def _inside(self, node: Node, scope: frozenset[str]) -> None:
        inner = self._ctes(node, scope) if node.get("type") in QUERIES else scope
        for name, child in node.items():
            if name not in {"cte_map", "sample"}:  # a sample holds numbers only
                self.check(child, inner)

    def _ctes(self, node: Node, scope: frozenset[str]) -> frozenset[str]:
        for entry in node.get("cte_map", {}).get("map", []):
            name = folded(entry["key"])
            if not re.fullmatch(r"[^\W\d]\w*", name) or name.startswith(CATALOGUE):  # it could name a file or a view
                refuse(
                    "query.relation",
                    f"The name {name!r} in WITH is not a plain name of its own.",
                    "Use letters, digits and _, and no name of the engine's catalogue.",
                )
            self.check(entry["value"], scope)  # a plain CTE's body sees the outer relation of its own name
            scope |= {name}
        return scope

    def _recursive(self, node: Node, scope: frozenset[str]) -> None:
        scope = self._ctes(node, scope)
        self.check(node["left"], scope)  # where the recursion begins, its name still means the outer relation
        rest = {member: child for member, child in node.items() if member not in {"left", "cte_map"}}
        self.check([*rest.values()], scope | {folded(node["cte_name"])})

    def _constant(self, node: Node, _scope: frozenset[str]) -> None:
        kind, written = node["literal"]["kind"], node["literal"].get("text", "")
        digits = written.replace("_", "").lstrip("0") if kind == "INTEGER" else ""
        if kind not in _LITERALS or (len(digits), digits) > (len(_WIDEST), _WIDEST):
            refuse(
                "query.type",
                f"A constant is not of an allowed type: {_words(kind)}.",
                f"Use text, and whole numbers up to {_WIDEST}.",
            )

    def _relation(self, node: Node, scope: frozenset[str]) -> None:
        path = [folded(part) for part in node["qualified_name"]["path"]]
        self.touched.relations.update({path[-1], node.get("alias", path[-1]).lower()})
        name, timeless = path[-1], "at_clause" not in node
        if len(path) == 1 and name in scope and timeless:
            return
        if name not in self._granted or path[:-1] not in ([], ["main"], ["memory", "main"]) or not timeless:
            offered = ", ".join(sorted(self._granted)) or "none"
            refuse("query.relation", f"No relation {'.'.join(path)[:80]!r} is granted here.", f"Granted: {offered}.")
        self.touched.tables[name] = None
        self.touched.star |= "column_name_alias" in node  # its columns go by other names
        for member in ("schema_name", "catalog_name"):
            node.pop(member, None)
        node.update(table_name=name, qualified_name={"path": ["memory", "main", name]})

    def _table_function(self, node: Node, scope: frozenset[str]) -> None:
        self._call(node["function"], functions.TABLE_CALLS)
        self._inside(node["function"], scope)
        self.check([child for member, child in node.items() if member not in {"function", "sample"}], scope)

    def _column(self, node: Node, scope: frozenset[str]) -> None:
        names = [part.lower() for part in node["column_names"]]
        self.touched.names.update(names)
        self.touched.last.add(names[-1])
        bare = column_of(node, ()) or ""
        if bare in self._columns:
            return
        if bare == _TODAY:  # one day for the whole query, told by the exchange and not by the machine
            alias = {"alias": node["alias"]} if "alias" in node else {}
            node.clear()
            node.update(cast(literal("STRING", self._today), "DATE") | alias)
        elif bare in SESSION_WORDS:
            refuse("query.column", f"No column {bare!r} is granted.", "Name a column; write an instant as a constant.")

    def _function(self, node: Node, scope: frozenset[str]) -> None:
        name = self._call(node, functions.CALLS)
        if node.get("export_state"):
            refuse("query.shape", "EXPORT_STATE shows how an aggregate works inside.", "Return the aggregate itself.")
        given = arguments(node)
        if name in functions.SIZES:
            self._bounded(name, given)
        if name in functions.BY_NAME and not _names_aggregate(given):
            refuse("query.function", f"{name} needs the name of an allowed aggregate.", f"Such as {name}(list, 'sum').")
        if name in functions.AGGREGATES:
            self.touched.aggregates.append(node)
        self._inside(node, scope)

    def _bounded(self, name: str, given: list[Node]) -> None:
        size, most = integer(given[1]) if len(given) > 1 else None, functions.SIZES[name]
        if size is None or size > most:
            refuse("query.size", f"{name} needs a constant size up to {most}.", "Write the size as a whole number.")

    def _window(self, node: Node, scope: frozenset[str]) -> None:
        self._call(node, functions.WINDOW_CALLS)
        self._inside(node, scope)

    def _call(self, node: Node, allowed: frozenset[str]) -> str:
        path, name = node["qualified_name"]["path"], call_name(node)
        if node.get("class") not in {"FUNCTION", "WINDOW"} or len(path) != 1:
            called = ".".join(path)[:80]
            refuse("query.function", f"{called}() is called through a name.", "Write upper(x), not x.upper().")
        if name not in allowed:
            refuse(
                "query.function", f"Function {name[:80]!r} is not allowed: {functions.why_refused(name)}.", _ONLY_SELECT
            )
        self.touched.calls.add(name)
        return name

    def _operator(self, node: Node, scope: frozenset[str]) -> None:
        if node.get("type") not in _OPERATORS:
            refuse(
                "query.shape", f"The query holds {_words(str(node.get('type')))}, which is not allowed.", _ONLY_SELECT
            )
        self._inside(node, scope)

    def _type(self, node: Node, scope: frozenset[str]) -> None:
        path = node["qualified_name"]["path"]
        if len(path) != 1 or path[0].lower() not in _TYPES:
            refuse(
                "query.type", f"Type {'.'.join(path)[:80]} is not allowed.", "Use numbers, text, dates, lists, structs."
            )
        self._inside(node, scope)

    def _pivot(self, node: Node, scope: frozenset[str]) -> None:
        if any(pivot.keys() & {"pivot_enum", "subquery"} for pivot in node.get("pivots", [])):
            refuse("query.shape", "PIVOT takes its columns from the data.", "List them: ON column IN ('a', 'b').")
        self._star(node, scope)  # it groups by every column that it does not name

    def _join(self, node: Node, scope: frozenset[str]) -> None:
        self.touched.names.update(name.lower() for name in node.get("using_columns", []))
        self.touched.star |= node.get("ref_type") == "NATURAL"
        self._inside(node, scope)

    def _star(self, node: Node, scope: frozenset[str]) -> None:
        self.touched.star = True
        self._inside(node, scope)


def _words(kind: str) -> str:
    return kind.replace("_", " ")[:80]


def _names_aggregate(given: list[Node]) -> bool:
    return any((text(name) or "").lower() in functions.AGGREGATES for name in given[1:2])
