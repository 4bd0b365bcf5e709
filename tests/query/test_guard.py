"""A relation with a privacy unit: which form passes, what runs for it, and that too small groups tell nothing."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.core.errors import QueryRefused, ReleaseRefused
from sandbox.core.terms import Column, DatasetId, Digest, Dimension, Scope
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Aggregate, Facts, Job, Limits, Relation
from sandbox.query.release import Released, release

ROOT = Path(__file__).parents[2]
QUERIES = re.findall(
    r"^-- (\w+) (\d): .*?\n(.*?;)$", (ROOT / "datasets/queries.sql").read_text("utf-8"), re.DOTALL | re.MULTILINE
)

SALES = Relation(
    "sales",
    (
        Column("seller", "BIGINT"),
        Column("town", "VARCHAR"),
        Column("sold_on", "DATE"),
        Column("online", "BOOLEAN"),
        Column("revenue", "BIGINT"),
        Column("refund", "BIGINT"),
    ),
    (Dimension("town", "town"), Dimension("online", "online"), Dimension("month", "date_trunc('month', sold_on)")),
    "seller",
    ("revenue", "refund"),
    ("refund",),
)
SECRET = 777
"""The revenue of the one seller in the town of Nhỏ."""


@pytest.fixture(scope="module")
def sales(engine: JailedEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty sellers in Lớn, twelve in Vừa (one of them online, two with refunds), one in Nhỏ."""
    folder = tmp_path_factory.mktemp("sales")
    rows = [
        {"seller": seller, "town": town, "online": seller % 12 == 0, "revenue": 100 + seller, "refund": None}
        for town, sellers in (("Lớn", range(1, 41)), ("Vừa", range(101, 113)))
        for seller in sellers
    ]
    rows.append({"seller": 999, "town": "Nhỏ", "online": True, "revenue": SECRET, "refund": 5})
    rows[40]["refund"] = rows[41]["refund"] = 10
    days = pa.array([20_000 + number for number in range(len(rows))], pa.int32()).cast(pa.date32())
    table = pa.Table.from_pylist(rows).append_column("sold_on", days)
    pq.write_table(table, folder / "v1.parquet")
    columns = tuple(column.name for column in SALES.columns)
    scope = Scope(DatasetId("sales"), Digest("sha256:" + "1" * 64), columns)
    return engine.extract(scope, SALES.columns, (folder / "v1.parquet",), folder / "extracts")


def asked(engine: JailedEngine, sales: Path, sql: str, k: int = 10, told: bool = True) -> tuple[Facts, Released]:
    facts = engine.analyse(sql, [SALES])
    job = Job("qry", facts.runs, {"sales": (sales,)}, Limits(1000, 1 << 20, 20, 1024), k if told else 1)
    with engine.run(job) as outcome:
        return facts, release(outcome, facts.guards, k, 1000, 1 << 20)


def rows(released: Released) -> list[dict[str, object]]:
    with pa.ipc.open_stream(released.ipc) as reader:
        return reader.read_all().to_pylist()


@pytest.mark.parametrize(("dataset", "number", "sql"), QUERIES, ids=[f"{name}-{number}" for name, number, _ in QUERIES])
def test_the_pilots_queries_pass_and_answer_as_plain_duckdb_does(
    shop: Any, dataset: str, number: str, sql: str
) -> None:
    relation = shop.relations[dataset]
    threshold = 10 if relation.unit else 1
    facts = shop.engine.analyse(sql, [relation])
    assert facts.shape == ("aggregate" if relation.unit else "free")
    assert (facts.undeclared, facts.unit_exposed, facts.guards > 0) == ((), False, bool(relation.unit))
    outcome = shop.run(facts.runs, dataset, min_group=threshold)
    released = release(outcome, facts.guards, threshold, 10_000, 1 << 20)
    with pa.ipc.open_stream(released.ipc) as reader:
        got = reader.read_all()
    with shop.plain() as plain:
        want = plain.sql(sql).to_arrow_table()
    assert got.schema == want.schema
    assert [column.name for column in facts.output] == got.column_names
    every = [repr(row) for row in want.to_pylist()]
    given = [repr(row) for row in got.to_pylist()]
    assert given
    assert set(given) <= set(every)
    assert released.groups_withheld == (len(given) < len(every))


def test_there_are_twenty_queries() -> None:
    assert len(QUERIES) == 20


def test_facts_of_a_guarded_aggregate_name_dimensions_and_aggregates(engine: JailedEngine) -> None:
    facts = engine.analyse(
        """SELECT s.town AS place, date_trunc('MONTH', sold_on) AS m, count(DISTINCT Seller),
             sum(revenue) FILTER (WHERE online) / count(*) AS share
           FROM sales s WHERE place LIKE 'L%' AND date_trunc('month', s.sold_on) >= DATE '2024-01-01'
           GROUP BY place, 2 ORDER BY share DESC LIMIT 5""",
        [SALES],
    )
    assert facts.dimensions == {"sales": ("town", "month", "online")}
    assert facts.columns == {"sales": ("seller", "town", "sold_on", "online", "revenue")}
    assert facts.aggregates == (
        Aggregate("count", "seller", True),
        Aggregate("sum", "revenue", False),
        Aggregate("count", None, False),
    )
    assert (facts.undeclared, facts.unit_exposed, facts.guards) == ((), False, 2)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT * FROM sales", "STAR"),
        ("SELECT town FROM sales", "'town'"),
        ("SELECT 1 FROM sales", "no aggregate"),
        ("SELECT town, count(*) FROM sales GROUP BY town HAVING count(*) > 1", "HAVING"),
        ("SELECT town, count(*) FROM sales GROUP BY town QUALIFY row_number() OVER () = 1", "QUALIFY"),
        ("SELECT DISTINCT town FROM sales GROUP BY town", "DISTINCT"),
        ("WITH c AS (SELECT count(*) FROM sales) FROM c", "WITH"),
        ("SELECT count(*) FROM sales UNION ALL SELECT 1", "UNION"),
        ("SELECT (SELECT max(revenue) FROM sales)", "something else"),
        ("SELECT count(*) FROM sales a, sales b", "something else"),
        ("SELECT count(*) FROM sales AS t(town, seller)", "something else"),
        ("SELECT count(*) FROM sales TABLESAMPLE 10%", "something else"),
        ("SELECT count(*) FROM (SELECT * FROM sales)", "something else"),
        ("SELECT sum(revenue) OVER () FROM sales", "WINDOW"),
        ("SELECT town, count(*) FROM sales GROUP BY ROLLUP (town)", "grouping sets"),
        ("SELECT count(*) FROM sales GROUP BY 'x'", "constant"),
        ("SELECT count(*) FROM sales WHERE #1 = 999", "POSITIONAL REFERENCE"),
        ("SELECT count(*) FROM sales WHERE town = (SELECT 'Nhỏ')", "SUBQUERY"),
        ("SELECT count(sales) FROM sales", "count(column)"),
        ("SELECT sum(revenue * 2) FROM sales", "sum(column)"),
        ("SELECT sum(revenue ORDER BY town) FROM sales", "sum(column)"),
        ("SELECT string_agg(town, ',') FROM sales", "string_agg(column)"),
        ("SELECT count(*) AS n, sum(revenue) AS n FROM sales", "'n'"),
        ("SELECT town, list_transform([1], lambda x: x) FROM sales GROUP BY town", "LAMBDA"),
    ],
)
def test_any_other_form_is_refused_with_the_form_that_passes(engine: JailedEngine, sql: str, named: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        engine.analyse(sql, [SALES])
    assert (refused.value.code, refused.value.reasons) == ("query.shape", ("QRY-01",))
    assert named in refused.value.message
    assert "SELECT town, count(*), count(DISTINCT seller)" in refused.value.hint


@pytest.mark.parametrize(
    ("sql", "undeclared", "exposed"),
    [
        ("SELECT seller, count(*) FROM sales GROUP BY seller", ("seller",), True),
        ("SELECT md5(seller::VARCHAR) AS s, count(*) FROM sales GROUP BY s", ("seller",), True),
        ("SELECT min(seller) FROM sales", (), True),
        ("SELECT count(seller) FROM sales", (), True),
        ("SELECT count(*) FILTER (WHERE seller = 999) FROM sales", ("seller",), True),
        ("SELECT count(*) FROM sales WHERE seller <> 999", ("seller",), True),
        ("SELECT count(*) FROM sales WHERE revenue > 5", ("revenue",), False),
        ("SELECT count(*) FROM sales WHERE sold_on > DATE '2026-01-01'", ("sold_on",), False),
        ("SELECT lower(town), count(*) FROM sales GROUP BY 1", ("town",), False),
        ("SELECT count(*) FROM sales WHERE town::INT = 5", ("town",), False),
        ("SELECT sum(revenue) FROM sales WHERE CASE WHEN online THEN true END", ("online",), False),
        ("SELECT max(revenue) FROM sales", (), False),
        ("SELECT town, list(revenue) FROM sales GROUP BY town", (), False),
    ],
)
def test_what_cannot_be_guarded_is_told_to_the_policy_and_never_released(
    engine: JailedEngine, sales: Path, sql: str, undeclared: tuple[str, ...], exposed: bool
) -> None:
    facts = engine.analyse(sql, [SALES])
    assert (facts.undeclared, facts.unit_exposed, facts.guards) == (undeclared, exposed, 0)
    job = Job("qry", facts.runs, {"sales": (sales,)}, Limits(1000, 1 << 20, 20, 1024), 10)
    with pytest.raises(ReleaseRefused) as refused, engine.run(job) as outcome:
        release(outcome, facts.guards, 10, 1000, 1 << 20)
    assert (refused.value.code, refused.value.reasons) == ("release.threshold", ("QRY-05",))


def test_a_unit_that_a_descriptor_declares_as_dimension_is_still_exposed(engine: JailedEngine) -> None:
    careless = Relation("sales", SALES.columns, (*SALES.dimensions, Dimension("seller", "seller")), "seller")
    assert engine.analyse("SELECT seller, count(*) FROM sales GROUP BY seller", [careless]).unit_exposed


def test_small_groups_are_withheld_and_said_to_be(engine: JailedEngine, sales: Path) -> None:
    sql = "SELECT town, count(*) AS n FROM sales GROUP BY ALL ORDER BY n DESC"
    _, released = asked(engine, sales, sql)
    assert rows(released) == [{"town": "Lớn", "n": 40}, {"town": "Vừa", "n": 12}]
    assert released.groups_withheld
    alone = asked(engine, sales, sql, told=False)[1]
    assert (alone.ipc, alone.groups_withheld) == (released.ipc, True), "release alone withholds the same"


def test_a_filter_of_few_units_withholds_its_row(engine: JailedEngine, sales: Path) -> None:
    _, released = asked(
        engine, sales, "SELECT town, sum(revenue) FILTER (WHERE online) AS s FROM sales GROUP BY town", 3
    )
    assert [row["town"] for row in rows(released)] == ["Lớn"]
    assert released.groups_withheld


def test_a_sum_of_mostly_nulls_counts_only_the_units_behind_it(engine: JailedEngine, sales: Path) -> None:
    facts, released = asked(engine, sales, "SELECT town, sum(refund) AS s FROM sales GROUP BY town", 3)
    assert facts.guards == 2
    assert rows(released) == []
    assert rows(asked(engine, sales, "SELECT town, sum(refund) AS s FROM sales GROUP BY town", 2)[1]) == [
        {"town": "Vừa", "s": 20}
    ]


@pytest.mark.parametrize("guess", [SECRET - 1, SECRET])
def test_limit_tells_nothing_of_a_withheld_group(engine: JailedEngine, sales: Path, guess: int) -> None:
    order = f"CASE WHEN count(*) < 10 AND sum(revenue) > {guess} THEN 0 ELSE 1 END, town"
    _, released = asked(engine, sales, f"SELECT town FROM sales GROUP BY town ORDER BY {order} LIMIT 1")
    assert rows(released) == [{"town": "Lớn"}]


@pytest.mark.parametrize("guess", [SECRET - 1, SECRET])
def test_an_error_tells_nothing_of_a_withheld_group(engine: JailedEngine, sales: Path, guess: int) -> None:
    bomb = f"CAST(CASE WHEN count(*) < 10 AND sum(revenue) > {guess} THEN 'x' ELSE '1' END AS INTEGER)"
    _, released = asked(engine, sales, f"SELECT town, {bomb} AS one FROM sales GROUP BY town")
    assert len(rows(released)) == 2


def test_a_query_over_cells_keeps_order_limit_and_offset(engine: JailedEngine, sales: Path) -> None:
    _, released = asked(
        engine,
        sales,
        "SELECT sum(revenue) AS town, town AS t, town || '!' FROM sales GROUP BY t ORDER BY town LIMIT 1 OFFSET 1",
        1,
    )
    assert [row["town"] for row in rows(released)] == [100 * 12 + sum(range(101, 113))]
