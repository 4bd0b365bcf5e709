"""A generated honest query answers through the jail as it does in plain DuckDB: names, types, rows and order."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sandbox.core.errors import QueryRefused
from sandbox.core.terms import DatasetId, Digest, Scope
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation
from tests.answers import meant
from tests.grammar import KINDS, Grammar, Query

QUERIES = 20
"""Of each seed."""
SEEDS = range(12)
SHRUNK = 60
"""Examples of Hypothesis, which finds less than plain chance and makes it shorter."""
ROWS = 150
LIMITS = Limits(max_rows=200_000, max_bytes=1 << 26, seconds=20, memory_mb=1024)
VERSION = Digest("sha256:" + "1" * 64)


@dataclass(frozen=True)
class Stall:
    """The five datasets' first rows: relations without a unit, extracts, and the same rows in plain DuckDB."""

    engine: JailedEngine
    relations: Mapping[str, Relation]
    extracts: Mapping[str, Path]
    plain: duckdb.DuckDBPyConnection

    def grammar(self, chance: Random) -> Grammar:
        columns = {name: relation.columns for name, relation in self.relations.items()}
        return Grammar(chance, {name: {each.name: KINDS[each.type] for each in of} for name, of in columns.items()})


@pytest.fixture(scope="module")
def stall(engine: JailedEngine, shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stall]:
    folder = tmp_path_factory.mktemp("stall")
    extracts, relations = {}, {}
    with duckdb.connect() as plain:
        plain.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        for name, relation in shop.relations.items():
            rows = folder / f"{name}.parquet"
            plain.execute(f"COPY (FROM '{shop.sources[name]}' USING SAMPLE {ROWS} (reservoir, 7)) TO '{rows}'")
            plain.execute(f"CREATE VIEW {name} AS SELECT {_listed(relation)} FROM '{rows}'")
            relations[name] = replace(relation, unit=None, dimensions=())
            scope = Scope(DatasetId(name), VERSION, tuple(column.name for column in relation.columns))
            extracts[name] = engine.extract(scope, relation.columns, (rows,), folder / "extracts")
        yield Stall(engine, relations, extracts, plain)


def _listed(relation: Relation) -> str:
    return ", ".join(column.name for column in relation.columns)


def rows_of(engine: JailedEngine, job: Job) -> pa.Table:
    """What a job returns, as a table."""
    with engine.run(job) as outcome:
        return outcome.read()


def through_the_jail(stall: Stall, sql: str) -> pa.Table:
    facts = stall.engine.analyse(sql, list(stall.relations.values()))
    table = rows_of(
        stall.engine, Job("qry", facts.runs, {name: (stall.extracts[name],) for name in facts.tables}, LIMITS)
    )
    assert [column.name for column in facts.output] == table.column_names, "what was said is what came"
    return table


def in_plain_duckdb(stall: Stall, sql: str) -> pa.Table | None:
    try:
        return stall.plain.sql(sql).to_arrow_table()
    except (duckdb.Error, OSError):  # the grammar does not know every overflow
        return None


def rows(table: pa.Table, ordered: bool) -> list[str]:
    columns = [column.to_pylist() for column in table.columns]
    lines = [repr(meant(row)) for row in zip(*columns, strict=True)]
    return lines if ordered else sorted(lines)


def differs(stall: Stall, query: Query) -> str | None:
    """What is not the same, None if all is."""
    want = in_plain_duckdb(stall, query.sql)
    if want is None:
        return None
    try:
        got = through_the_jail(stall, query.sql)
    except QueryRefused as refused:
        return f"{refused.code}: {refused.message}"
    if len(got.schema) != len(want.schema):
        return f"{got.schema} is not {want.schema}"
    if wrong := [(x, y) for x, y in zip(query.names, got.column_names, strict=False) if x is not None and x != y]:
        return f"names differ: {wrong}"
    if got.schema.types != want.schema.types:
        return f"types differ: {got.schema.types} is not {want.schema.types}"
    if rows(got, query.ordered) != rows(want, query.ordered):
        return f"rows differ: {got.num_rows} for {want.num_rows}"
    return None


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_queries_answer_as_plain_duckdb_does(stall: Stall, seed: int) -> None:
    chance = Random(seed)
    queries = [stall.grammar(chance).query() for _ in range(QUERIES)]
    wrong = [(query.sql, found) for query in queries if (found := differs(stall, query))]
    assert wrong == []


@settings(
    max_examples=SHRUNK,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(chance=st.randoms(use_true_random=False))
def test_whatever_hypothesis_writes_answers_as_plain_duckdb_does(stall: Stall, chance: Random) -> None:
    query = stall.grammar(chance).query()
    assert differs(stall, query) is None, query.sql


def test_the_grammar_writes_queries_that_run_and_mostly_find_rows(stall: Stall) -> None:
    answers = [in_plain_duckdb(stall, stall.grammar(Random(seed)).query().sql) for seed in range(200)]
    ran = [answer for answer in answers if answer is not None]
    assert len(ran) > 180
    assert sum(answer.num_rows > 0 for answer in ran) > 120


def test_a_difference_of_one_row_type_or_order_is_seen() -> None:
    one, other = pa.table({"a": [1, 2, 2]}), pa.table({"a": [2, 1, 2]})
    assert rows(one, ordered=False) == rows(other, ordered=False)
    assert rows(one, ordered=True) != rows(other, ordered=True)
    assert rows(one, ordered=False) != rows(one.slice(1), ordered=False)
    assert rows(pa.table({"a": [0.1 + 0.2, math.nan]}), True) == rows(pa.table({"a": [0.3, math.nan]}), True)
    assert rows(pa.table({"a": ["1"]}), True) != rows(pa.table({"a": [1]}), True)


GUARDED = """
    SELECT tinh, count(DISTINCT nguoi_ban_pid) AS n, sum(doanh_thu_vnd) AS tien FROM hoa_don_dnnvv GROUP BY tinh
    SELECT nganh, sum(thue_gtgt_vnd) / 1000 AS nghin FROM hoa_don_dnnvv GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3
    SELECT date_trunc('month', ngay_lap) AS thang, avg(doanh_thu_vnd)::BIGINT AS tb FROM hoa_don_dnnvv GROUP BY 1
    SELECT cang, count(*) FILTER (WHERE nen_tang = 'trong_nuoc') AS n FROM cang_luot_tau GROUP BY cang
    SELECT extract(hour FROM len_xe_luc) AS gio, count(*) AS n FROM xe_buyt_luot_di GROUP BY 1 ORDER BY 1
    SELECT sum(tri_gia_vnd) AS n FROM dat_dai_giao_dich WHERE loai_dat IN ('CLN', 'TMD')
    SELECT loai_dat, ho_so_truc_tuyen, count(DISTINCT chu_su_dung_pid) AS n FROM dat_dai_giao_dich GROUP BY ALL
"""


@pytest.mark.parametrize("sql", [line.strip() for line in GUARDED.strip().splitlines()])
def test_a_guarded_aggregate_over_all_units_answers_as_plain_duckdb_does(shop: Any, sql: str) -> None:
    facts = shop.engine.analyse(sql, list(shop.relations.values()))
    assert facts.guards > 0
    files = {name: (shop.extracts[name],) for name in facts.tables}
    guarded = rows_of(shop.engine, Job("qry", facts.runs, files, LIMITS))
    got = guarded.select(range(guarded.num_columns - facts.guards))
    with shop.plain() as plain:
        want = plain.sql(sql).to_arrow_table()
    assert got.schema.types == want.schema.types
    assert got.column_names == want.column_names
    assert rows(got, "ORDER" in sql) == rows(want, "ORDER" in sql)


def test_a_query_that_plain_duckdb_cannot_answer_is_refused_and_never_answered(stall: Stall) -> None:
    for sql in ("SELECT nosuch FROM chi_so_cds", "SELECT 'x'::INT", "SELECT 9223372036854775807 + 1", "SELECT sum(*)"):
        with pytest.raises(duckdb.Error):
            stall.plain.execute(sql).fetchall()
        with pytest.raises(QueryRefused):
            through_the_jail(stall, sql)
