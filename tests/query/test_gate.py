"""The allow-list: a tree with an unknown node is refused, and so is every name the engine would take for a call."""

import copy
import json
from typing import Any

import duckdb
import pytest

from sandbox.query import functions
from sandbox.query.gate import SESSION_WORDS, Gate
from sandbox.query.nodes import walk
from sandbox.query.refusal import Refusal

HONEST = """WITH d AS (SELECT route, count(*) FILTER (WHERE fare > 1) n, sum(fare) OVER (ORDER BY route) s FROM t
  GROUP BY ALL) SELECT CASE WHEN n BETWEEN 1 AND 2 THEN n::BIGINT ELSE -n END, [x + 1 for x in [1, 2]], d.*
  FROM d JOIN (VALUES (1)) v(i) ON n = i WHERE route IN ('a') AND EXISTS (SELECT 1 FROM range(3)) ORDER BY 1 LIMIT 3"""
GRANTED = {"t": frozenset({"route", "fare"})}


def parsed(sql: str) -> Any:
    options = "skip_null := true, skip_empty := true, skip_default := true"
    (text,) = duckdb.connect().execute(f"SELECT json_serialize_sql(?, {options})", [sql]).fetchone() or ("{}",)
    return json.loads(text)["statements"][0]["node"]


def check(tree: Any) -> Gate:
    gate = Gate(GRANTED, "2026-11-24")
    gate.check(tree)
    return gate


def test_an_honest_tree_passes_and_is_rewritten_to_the_granted_view() -> None:
    tree = parsed(HONEST)
    touched = check(tree).touched
    assert [*touched.tables] == ["t"]
    assert {"count_star", "sum", "list_apply", "range"} <= touched.calls
    paths = [node["qualified_name"]["path"] for node in walk(tree) if node.get("type") == "BASE_TABLE"]
    assert sorted(paths) == [["d"], ["memory", "main", "t"]]


@pytest.mark.parametrize("member", ["class", "type"])
def test_every_node_of_an_unknown_kind_is_refused(member: str) -> None:
    tree = parsed(HONEST)
    total = len([*walk(tree)])
    tried = 0
    for number in range(total):
        mutant = copy.deepcopy(tree)
        node = [*walk(mutant)][number]
        decisive = member == "class" or "class" not in node
        if decisive and isinstance(node.get(member), str):
            tried += 1
            node[member] = "NEW_" + node[member]
            with pytest.raises(Refusal):
                check(mutant)
    assert tried > 5


def test_no_path_but_the_granted_one_names_the_relation() -> None:
    for name in ("temp.t", "system.main.t", "a.b.c.t", "information_schema.tables", '"main.t"', "'t.parquet'"):
        with pytest.raises(Refusal) as refused:
            check(parsed(f"SELECT 1 FROM {name}"))
        assert refused.value.code == "query.relation"


def test_a_cte_is_seen_only_where_it_is_in_scope() -> None:
    check(parsed("WITH t AS (SELECT * FROM t) SELECT * FROM t"))
    with pytest.raises(Refusal):
        check(parsed("SELECT * FROM (WITH x AS (SELECT 1) FROM x) a, x b"))
    with pytest.raises(Refusal):  # its own name is not yet defined in its body
        check(parsed("WITH x AS (SELECT * FROM x) SELECT * FROM x"))


def test_nothing_hides_beside_a_relation() -> None:
    with pytest.raises(Refusal):
        check(parsed("WITH x AS (SELECT 1) SELECT * FROM x AT (VERSION => (SELECT read_text('/etc/passwd')))"))
    tree = parsed("SELECT * FROM t TABLESAMPLE 10%")
    check(copy.deepcopy(tree))
    tree["from_table"]["sample"]["sample_size"] = {"class": "SUBQUERY", "type": "SUBQUERY"}
    with pytest.raises(Refusal):
        check(tree)


def test_a_cte_named_like_a_path_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        check(parsed("""WITH "/etc/passwd" AS (SELECT 1) SELECT 1"""))
    assert refused.value.code == "query.relation"


def test_a_function_named_in_text_must_be_an_allowed_aggregate() -> None:
    check(parsed("SELECT list_aggregate([1], 'SUM')"))
    for name in ("'nosuch'", "route", "'str' || 'ing_agg'", "'variant_group_object'"):
        with pytest.raises(Refusal):
            check(parsed(f"SELECT list_aggregate([1], {name}) FROM t"))


def test_sizes_are_constants_within_bounds() -> None:
    check(parsed("SELECT repeat('x', 10000), lpad('x', 10), list_resize([1], 100000)"))
    for call in ("repeat('x', 10001)", "repeat('x', 5000 + 1)", "lpad('x', fare)", "list_resize([1], 100001)"):
        with pytest.raises(Refusal) as refused:
            check(parsed(f"SELECT {call} FROM t"))
        assert refused.value.code == "query.size"


def test_a_granted_column_may_be_named_like_a_session_word() -> None:
    gate = Gate({"t": frozenset({"user"})}, "2026-11-24")
    gate.check(parsed("SELECT user FROM t"))


def test_no_other_bare_name_binds_to_a_call() -> None:
    connection = duckdb.connect()
    known = "SELECT function_name FROM duckdb_functions() UNION SELECT keyword_name FROM duckdb_keywords()"
    names = {str(name) for (name,) in connection.execute(known).fetchall()} | SESSION_WORDS
    bound = set()
    for name in names:
        try:
            connection.sql(f'SELECT "{name}"')
        except duckdb.Error:
            continue
        bound.add(name)
    assert bound - SESSION_WORDS == {"current_date"}


def test_the_list_covers_the_engines_catalogue_exactly() -> None:
    lists = functions._LISTS
    assert lists["engine"] == duckdb.__version__, "read the new names, then say which engine was read"
    found: dict[str, set[str]] = {}
    for kind, name in duckdb.sql("SELECT DISTINCT function_type, function_name FROM duckdb_functions()").fetchall():
        found.setdefault(kind, set()).add(name)
    for kind, names in found.items():
        classed = [
            name
            for verdict in ("allowed", "refused")
            for each in lists[verdict].get(kind, {}).values()
            for name in each
        ]
        assert sorted(classed) == sorted(names), f"{kind}: each name stands in one class"
    assert lists["allowed"].keys() - found.keys() == {"syntax"}


def test_no_allowed_function_is_volatile_or_tells_of_the_session() -> None:
    unsteady = duckdb.sql(
        """SELECT DISTINCT lower(function_name) FROM duckdb_functions()
        WHERE stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')"""
    ).fetchall()
    assert not {name for (name,) in unsteady} & (functions.CALLS | functions.WINDOW_CALLS | functions.TABLE_CALLS)


def test_an_allowed_macro_calls_only_what_is_allowed() -> None:
    macros = duckdb.sql(
        "SELECT DISTINCT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'"
    ).fetchall()
    bodies = [body for name, body in macros if name in functions.CALLS]
    assert len(bodies) > 50
    for body in bodies:
        check(parsed(f"SELECT {body}"))
