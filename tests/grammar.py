"""A grammar of honest queries: from a seeded source of chance, SELECTs that DuckDB answers in one way only.

A value's kind decides what may be done with it: ``int``, ``id`` (64 bits without a sign: no arithmetic), ``text``,
``date``, ``stamp``, ``bool``. Rows have no order unless :attr:`Query.ordered`, and nothing depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

Scope: TypeAlias = Mapping[str, str]
"""Expressions that stand for a column, with their kinds."""
Item: TypeAlias = tuple[str, str | None, str]
"""An expression, the name that it is given if any, its kind."""

KINDS = {
    **dict.fromkeys(("SMALLINT", "INTEGER", "BIGINT"), "int"),
    "UBIGINT": "id",
    "VARCHAR": "text",
    "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "stamp",
    "BOOLEAN": "bool",
}
WORDS = ("Huế", "TP.HCM", "a", "", "O''Brien", "ﬁ–𝄞", "trong_nuoc", "100%", "KV01", "ty_le")


@dataclass(frozen=True)
class Query:
    """A query; the name of each column, None where the engine chooses it; whether the order of its rows is certain."""

    sql: str
    names: tuple[str | None, ...]
    kinds: tuple[str, ...]
    ordered: bool = False


class Grammar:
    """Writes queries over relations: their names, and each one's columns with their kinds."""

    def __init__(self, chance: Random, relations: Mapping[str, Scope]) -> None:
        self.chance = chance
        self.relations = relations
        self._number = 0

    def one(self, choices: Sequence[str]) -> str:
        return choices[self.chance.randrange(len(choices))]

    def maybe(self, text: str, of: int = 2) -> str:
        """The text, once in so many times."""
        return "" if self.chance.randrange(of) else text

    def fresh(self, letter: str = "c") -> str:
        self._number += 1
        return f"{letter}{self._number}"

    # --- expressions ---
    def value(self, kind: str, scope: Scope, depth: int = 2) -> str:
        """An expression of a kind."""
        leaves = [name for name, has in scope.items() if has == kind]
        if depth <= 0 or (leaves and self.chance.randrange(3) == 0):
            return self.one(leaves) if leaves else self.literal(kind)
        made: Callable[[Scope, int], str] = getattr(self, f"_{kind}")
        return made(scope, depth - 1)

    def literal(self, kind: str) -> str:
        number = self.chance.randrange(-3, 1000)
        return {
            "int": str(number),
            "id": f"{abs(number)}::UBIGINT",
            "text": f"'{self.one(WORDS)}'",
            "date": f"DATE '2025-0{1 + abs(number) % 9}-1{abs(number) % 9}'",
            "stamp": f"TIMESTAMPTZ '2026-05-1{abs(number) % 9} 0{abs(number) % 9}:30:00+07'",
            "bool": self.one(("true", "false", "NULL::BOOLEAN")),
        }[kind]

    def _int(self, scope: Scope, depth: int) -> str:
        a, b = self.value("int", scope, depth), self.value("int", scope, depth)
        size = self.chance.randrange(2, 40)
        return self.one(
            (
                f"({a} + {b} % 1000)",
                f"({a} - {size})",
                f"(-({a} % 1000))",
                f"(({a} % 97) * ({b} % 89))",
                f"({a} // {size})",
                f"abs({a} % {size})",
                f"greatest({a}, {b})",
                f"coalesce(nullif({a}, {b}), {size})",
                f"CASE WHEN {self._bool(scope, depth)} THEN {a} ELSE {b} END",
                f"length({self.value('text', scope, depth)})",
                f"extract(year FROM {self.value('date', scope, depth)})",
                f"date_part('dow', {self.value('stamp', scope, depth)})",
                f"date_diff('day', {self.value('date', scope, depth)}, DATE '2026-01-01')",
                f"round({a} / {size})::BIGINT",
                f"floor(sqrt(abs({a}::DOUBLE)))::BIGINT",
                f"({a} % 255 & {size})",
                f"TRY_CAST({self.value('text', scope, depth)} AS INTEGER)",
                f"list_sum([{a} % {size}, {b} % {size}])::BIGINT",
            )
        )

    def _id(self, scope: Scope, depth: int) -> str:
        a = self.value("id", scope, depth)
        return self.one((f"({a} // 10)", f"({a} % 101::UBIGINT)", f"greatest({a}, {self.literal('id')})", a))

    def _text(self, scope: Scope, depth: int) -> str:
        a, b = self.value("text", scope, depth), self.value("text", scope, depth)
        size = self.chance.randrange(1, 9)
        return self.one(
            (
                f"upper({a})",
                f"({a} || '_' || {b})",
                f"substr({a}, {size}, 4)",
                f"replace({a}, '_', '-')",
                f"concat_ws(' ', {a}, {b})",
                f"left({a}, {size})",
                f"reverse({a})",
                f"strip_accents({a})",
                f"regexp_replace({a}, '[aeiou]+', '*', 'g')",
                f"split_part({a}, '_', 1)",
                f"lpad({a}, 12, '.')",
                f"coalesce(nullif({a}, {b}), '?')",
                f"CASE {a} WHEN {b} THEN 'same' ELSE {self.literal('text')} END",
                f"strftime({self.value('date', scope, depth)}, '%d/%m/%Y')",
                f"CAST({self.value('int', scope, depth)} AS VARCHAR)",
                f"md5({a})",
                f"trim({a}, 'a_')",
                f"array_to_string(list_sort([{a}, {b}]), '|')",
            )
        )

    def _date(self, scope: Scope, depth: int) -> str:
        a, stamp = self.value("date", scope, depth), self.value("stamp", scope, depth)
        return self.one(
            (
                f"CAST(date_trunc('month', {a}) AS DATE)",
                f"({a} + {self.chance.randrange(60)})",
                f"last_day({a})",
                f"CAST({a} - INTERVAL 3 MONTH AS DATE)",
                f"CAST({stamp} AS DATE)",
                f"make_date(2020 + abs({self.value('int', scope, depth)} % 9), 3, 5)",
            )
        )

    def _stamp(self, scope: Scope, depth: int) -> str:
        a = self.value("stamp", scope, depth)
        return self.one(
            (
                f"date_trunc('hour', {a})",
                f"({a} + INTERVAL {self.chance.randrange(90)} MINUTE)",
                f"time_bucket(INTERVAL '6 hours', {a})",
                f"CAST({self.value('date', scope, depth)} AS TIMESTAMPTZ)",
                f"greatest({a}, {self.literal('stamp')})",
            )
        )

    def _bool(self, scope: Scope, depth: int) -> str:
        kind = self.one(("int", "text", "date", "stamp", "id", "bool"))
        a, b = self.value(kind, scope, depth), self.value(kind, scope, depth)
        text, more = self.value("text", scope, depth), self.literal(kind)
        compare = self.one(("=", "<>", "<", ">=", "IS NOT DISTINCT FROM", "IS DISTINCT FROM"))
        return self.one(
            (
                f"({a} {compare} {b})",
                f"({a} {self.maybe('NOT ')}BETWEEN {b} AND {more})",
                f"({a} {self.maybe('NOT ')}IN ({b}, {more}))",
                f"({a} IS {self.maybe('NOT ')}NULL)",
                f"({text} {self.one(('LIKE', 'NOT LIKE', 'ILIKE'))} '{self.one(('%a%', 'K_0%', '%ế', '100!%'))}')",
                f"(NOT {a} < {b} OR {text} = {self.literal('text')})",
                f"regexp_matches({text}, '^[a-k]')",
                f"({a} {compare} {b} AND contains({text}, 'o'))",
                f"list_contains([{a}, {more}], {b})",
            )
        )

    def nested(self, scope: Scope) -> str:
        """A list, struct or map, or a decimal or float: what has no kind of its own."""
        a, b, text = self.value("int", scope), self.value("int", scope), self.value("text", scope)
        return self.one(
            (
                f"[{a}, {b}, NULL]",
                f"{{'n': {a}, 'chữ': {text}}}",
                f"[{{'x': {a}, 'y': [{text}, {self.literal('text')}]}}]",
                f"struct_extract({{'n': {a}, 't': {text}}}, 't')",
                f"list_transform([{a} % 50, {b} % 50], lambda v: v * 2)",
                f"list_filter([{a}, {b}], lambda v: v > 5)",
                f"MAP {{'k': {a}, 'm': {b}}}",
                f"list_sort([{a}, {b}])[1]",
                f"CAST({a} % 100000 AS DECIMAL(12, 3)) / 8",
                f"CAST({a} % 1000 AS DECIMAL(9, 2)) * 1.05",
                f"({a} / 7.0)",
                f"({a}::DOUBLE / 3)",
                f"json_object('n', {a}, 't', {text})",
                f"range(abs({a} % 4))",
                f"string_split({text}, '_')",
            )
        )

    def aggregate(self, scope: Scope) -> Item:
        """An aggregate whose answer does not depend on the order of rows."""
        kind = self.one(("int", "text", "date", "stamp", "id"))
        a, number = self.value(kind, scope, 1), self.value("int", scope, 1)
        call, of = self.chance.choice(
            (
                ("count(*)", "int"),
                (f"count({a})", "int"),
                (f"count(DISTINCT {a})", "int"),
                (f"min({a})", kind),
                (f"max({a})", kind),
                (f"sum({number} % 100000)::BIGINT", "int"),
                (f"CAST(avg({number} % 1000) AS DECIMAL(18, 4))", ""),
                (f"sum(CAST({number} % 1000 AS DECIMAL(12, 2)))", ""),
                (f"median({number})", ""),
                (f"quantile_disc({number}, 0.9)", "int"),
                (f"list(DISTINCT {a} ORDER BY {a})", ""),
                (f"string_agg({a}::VARCHAR, ',' ORDER BY {a})", "text"),
                (f"bool_or({self.value('bool', scope, 1)})", "bool"),
                (f"arg_min({number}, ({number}, {a}))", "int"),
                (f"round(stddev_pop({number} % 1000), 6)", ""),
            )
        )
        if call.endswith(")") and "::" not in call and not call.startswith(("CAST", "round")):
            call += self.maybe(f" FILTER (WHERE {self.value('bool', scope, 1)})", 4)
        return call, self.name(), of

    def window(self, scope: Scope) -> Item:
        """A window function; it orders by every column, so that equals are the same row twice."""
        orders = ", ".join(scope)
        kind = self.one(("int", "text", "date", "id"))
        a, number = self.value(kind, scope, 1), self.value("int", scope, 1)
        part = self.maybe(f"PARTITION BY {self.value(self.one(('text', 'int')), scope, 1)} ")
        frame = self.maybe(" ROWS BETWEEN 3 PRECEDING AND CURRENT ROW")
        call, of = self.chance.choice(
            (
                ("row_number()", "int"),
                ("dense_rank()", "int"),
                ("ntile(4)", "int"),
                (f"lag({a})", kind),
                (f"lead({a}, 2)", kind),
                (f"first_value({a})", kind),
                (f"sum({number} % 1000)", ""),
                (f"max({number})", "int"),
                ("count(*)", "int"),
            )
        )
        frames = frame if call.startswith(("sum", "max", "count", "first")) else ""
        return f"{call} OVER ({part}ORDER BY {orders}{frames})", self.name(), of

    def name(self) -> str | None:
        given = self.chance.randrange(8)
        return None if given == 0 else f'"Tên {self.fresh()}"' if given == 1 else self.fresh()

    def item(self, scope: Scope) -> Item:
        if self.chance.randrange(5) == 0:
            return self.nested(scope), self.name(), ""
        kind = self.one(("int", "text", "date", "stamp", "bool", "id"))
        return self.value(kind, scope), self.name(), kind

    # --- queries ---
    def query(self) -> Query:
        """Any query."""
        forms = (self.plain, self.grouped, self.joined, self.common, self.united, self.windowed, self.nesting, self.odd)
        query = self.chance.choice(forms)()
        return self.sorted(query) if self.chance.randrange(2) else query

    def source(self) -> tuple[str, Scope]:
        name = self.one(tuple(self.relations))
        return name, self.relations[name]

    def where(self, scope: Scope) -> str:
        return self.maybe(f" WHERE {self.value('bool', scope)}")

    def plain(self) -> Query:
        name, scope = self.source()
        items = [self.item(scope) for _ in range(self.chance.randrange(1, 6))]
        return _query(f"{self.maybe('DISTINCT ', 4)}", items, f" FROM {name}{self.where(scope)}")

    def grouped(self, source: tuple[str, Scope] | None = None) -> Query:
        name, scope = source or self.source()
        kinds = [self.one(("int", "text", "date", "bool")) for _ in range(self.chance.randrange(1, 3))]
        groups = [(self.value(kind, scope, 1), self.fresh("g"), kind) for kind in kinds]
        items = [*groups, *(self.aggregate(scope) for _ in range(self.chance.randrange(1, 5)))]
        numbers = ", ".join(str(place) for place, _ in enumerate(groups, 1))
        written = ", ".join(expression for expression, _, _ in groups if not _is_number(expression)) or numbers
        by = self.one((numbers, f"ROLLUP ({written})", f"CUBE ({written})", f"GROUPING SETS (({written}), ())", "ALL"))
        having = self.maybe(" HAVING count(*) > 2", 4)
        return _query("", items, f" FROM {name}{self.where(scope)} GROUP BY {by}{having}")

    def joined(self) -> Query:
        (left, has), (right, gets) = self.source(), self.source()
        scope = {f"a.{name}": kind for name, kind in has.items()} | {f"b.{name}": kind for name, kind in gets.items()}
        kind = self.one(("int", "text"))
        ours = {name: of for name, of in scope.items() if name.startswith("a.")}
        theirs = {name: of for name, of in scope.items() if name.startswith("b.")}
        on = f"{self.value(kind, ours, 1)} = {self.value(kind, theirs, 1)}"
        how = self.one(("JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"))
        seen = ours if how in {"SEMI JOIN", "ANTI JOIN"} else scope
        return self.grouped((f"{left} a {how} {right} b ON {on}", seen))

    def named(self, query: Query) -> tuple[str, Scope]:
        """A query as a relation: its SQL, and the columns of known kind and name."""
        columns = zip(query.names, query.kinds, strict=True)
        return query.sql, {name if name.isascii() else f'"{name}"': kind for name, kind in columns if name and kind}

    def common(self) -> Query:
        sql, scope = self.named(self.chance.choice((self.plain, self.grouped, self.windowed))())
        cte = self.fresh("t")
        how = self.one(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
        items = [self.item(scope) for _ in range(self.chance.randrange(1, 4))]
        query = _query("", items, f" FROM {cte}{self.where(scope)}")
        return Query(f"WITH {cte} AS {how}({sql}) {query.sql}", query.names, query.kinds)

    def united(self) -> Query:
        kinds = [self.one(("int", "text", "date", "bool")) for _ in range(self.chance.randrange(1, 4))]
        branches = []
        for _ in range(self.chance.randrange(2, 4)):
            name, scope = self.source()
            items: list[Item] = [(self.value(kind, scope), self.name(), kind) for kind in kinds]
            branches.append(_query("", items, f" FROM {name}{self.where(scope)}"))
        how = self.one(("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL"))
        return Query(f" {how} ".join(branch.sql for branch in branches), branches[0].names, tuple(kinds))

    def windowed(self) -> Query:
        name, scope = self.source()
        items = [self.window(scope) for _ in range(self.chance.randrange(1, 4))]
        qualify = self.maybe(f" QUALIFY row_number() OVER (ORDER BY {', '.join(scope)}) < 30", 4)
        return _query("", [self.item(scope), *items], f" FROM {name}{self.where(scope)}{qualify}")

    def nesting(self) -> Query:
        """Subqueries: in FROM, scalar, IN, EXISTS, LATERAL."""
        (name, scope), (other, there) = self.source(), self.source()
        items = [self.item(scope) for _ in range(self.chance.randrange(1, 3))]
        kind = self.one(("int", "text"))
        value, inner = self.value(kind, scope, 1), self.value(kind, {f"o.{x}": of for x, of in there.items()}, 1)
        tail = self.one(
            (
                f" FROM {name} WHERE {value} {self.maybe('NOT ')}IN (SELECT {inner} FROM {other} o)",
                f" FROM {name} WHERE {self.maybe('NOT ')}EXISTS (SELECT 1 FROM {other} o WHERE {inner} = {value})",
                f" FROM {name} WHERE {value} >= (SELECT max({inner}) FROM {other} o)",
                f" FROM (SELECT * FROM {name}{self.where(scope)}) AS {self.fresh('s')}",
                f" FROM {name}, LATERAL (SELECT {value} AS thêm) s WHERE thêm IS NOT NULL",
            )
        )
        return _query("", [*items, (f"(SELECT count(*) FROM {other})", self.fresh(), "int")], tail)

    def odd(self) -> Query:
        """Forms of their own: stars, VALUES, recursion, PIVOT, UNPIVOT, table functions, a query without a table."""
        name, scope = self.source()
        columns, number = list(scope), self.value("int", scope, 1)
        texts = [column for column, kind in scope.items() if kind == "text"]
        text, size = self.one(texts), self.chance.randrange(2, 30)
        made: tuple[tuple[str, Sequence[str | None]], ...] = (
            (f"SELECT * FROM {name}", columns),
            (f"FROM {name}{self.where(scope)}", columns),
            (f"SELECT * EXCLUDE ({columns[0]}) FROM {name}", columns[1:]),
            (f"SELECT * REPLACE (upper({text}) AS {text}) FROM {name}", columns),
            (f"SELECT COLUMNS('^[a-k]') FROM {name}", [x for x in columns if x[0] in "abcdefghijk"] or columns),
            (f"SELECT v, w FROM (VALUES (1, 'a'), ({size}, NULL)) t(v, w)", ("v", "w")),
            (
                f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {size}) SELECT n FROM r",
                ("n",),
            ),
            (f"SELECT i, i * 2 AS j FROM range({size}) t(i)", ("i", "j")),
            (f"SELECT {text}, unnest([{number}, {size}]) AS u FROM {name}", (text, "u")),
            (f"SELECT {size} AS m, {number.replace(number, '7')} + 1", ("m", None)),
            (f"SELECT DISTINCT ON ({text}) {text} FROM {name} ORDER BY {text}", (text,)),
            (f"SELECT count(*) AS n FROM {name} GROUP BY {text} ORDER BY n", ("n",)),
            (
                f"SELECT * FROM (SELECT {text} AS t, 1 AS one, {number} AS n FROM {name}) "
                "PIVOT (count(*) FOR t IN ('Huế', 'cap', 'KV01'))",
                (),
            ),
            (
                f"SELECT * FROM (SELECT {number} AS x, {size} AS y FROM {name}) UNPIVOT (v FOR w IN (x, y))",
                ("w", "v"),
            ),
        )
        sql, names = made[self.chance.randrange(len(made))]
        return Query(sql, tuple(names), ("",) * len(names))

    def sorted(self, query: Query) -> Query:
        """The same rows in an order that is certain: by every column."""
        if not query.names:
            return query
        orders = ", ".join(
            f"{place}{self.one(('', '', ' DESC', ' NULLS LAST', ' DESC NULLS FIRST'))}"
            for place, _ in enumerate(query.names, 1)
        )
        limit = self.one(("", f" LIMIT {self.chance.randrange(40)}", " LIMIT 20 OFFSET 3"))
        alias = self.fresh("z")
        sql = f"SELECT * FROM ({query.sql}) AS {alias} ORDER BY {orders}{limit}"
        return Query(sql, query.names, query.kinds, ordered=True)


def _is_number(expression: str) -> bool:
    """In GROUP BY a whole number would be a place in the list."""
    return expression.lstrip("-").isdigit()


def _query(before: str, items: Sequence[Item], tail: str) -> Query:
    listed = ", ".join(f"{expression} AS {name}" if name else expression for expression, name, _ in items)
    names = tuple(name.strip('"') if name else None for _, name, _ in items)
    return Query(f"SELECT {before}{listed}{tail}", names, tuple(kind for _, _, kind in items))
