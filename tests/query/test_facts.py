"""What is touched: facts, refusals with their codes, and the remedy in every hint."""

import re
from datetime import UTC, datetime

import pytest

from sandbox.core.clock import ManualClock
from sandbox.core.errors import Invalid, QueryRefused
from sandbox.core.terms import Column, Dimension
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Aggregate, Comparison, Relation

TRIPS = Relation(
    "bus_trips",
    (
        Column("trip_id", "BIGINT"),
        Column("route", "VARCHAR"),
        Column("boarded_at", "TIMESTAMP"),
        Column("fare_vnd", "INTEGER"),
    ),
)
INVOICES = Relation(
    "hoa_don_dnnvv",
    (Column("tinh", "VARCHAR"), Column("nganh", "VARCHAR"), Column("doanh_thu_vnd", "BIGINT")),
)


def test_the_golden_query_of_the_design_has_its_canonical_form_and_fingerprint(engine: JailedEngine) -> None:
    sql = """select nganh, SUM(doanh_thu_vnd) dt from hoa_don_dnnvv -- thử
               where tinh in ('TP.HCM','Huế') group by 1"""
    facts = engine.analyse(sql, [INVOICES])
    assert facts.canonical == (
        "SELECT nganh, sum(doanh_thu_vnd) AS dt FROM memory.main.hoa_don_dnnvv "
        "WHERE (tinh IN ('TP.HCM', 'Huế')) GROUP BY 1"
    )
    assert facts.fingerprint == "sha256:ef799856e43e9ad45348b91c07ec6b32c84ee3d72d02e969910f99e10d7be1c3"
    assert facts.runs == facts.canonical
    assert (facts.statement, facts.shape, facts.guards) == ("select", "free", 0)
    assert facts.tables == ("hoa_don_dnnvv",)
    assert facts.columns == {"hoa_don_dnnvv": ("tinh", "nganh", "doanh_thu_vnd")}
    assert facts.functions == ("sum",)
    assert facts.aggregates == (Aggregate("sum", "doanh_thu_vnd", False),)
    assert facts.output == (Column("nganh", "VARCHAR"), Column("dt", "HUGEINT"))


def test_two_spellings_of_one_query_have_one_fingerprint(engine: JailedEngine) -> None:
    first = engine.analyse("select route,COUNT(*) from bus_trips group by route", [TRIPS])
    second = engine.analyse("SELECT route, count(*) /* n */ FROM main.Bus_Trips GROUP BY route;", [TRIPS])
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * FROM bus_trips", ("trip_id", "route", "boarded_at", "fare_vnd")),
        ("SELECT bus_trips FROM bus_trips", ("trip_id", "route", "boarded_at", "fare_vnd")),
        ("SELECT t FROM bus_trips t", ("trip_id", "route", "boarded_at", "fare_vnd")),
        ("SELECT #2 FROM bus_trips", ("trip_id", "route", "boarded_at", "fare_vnd")),
        ("SELECT COLUMNS('fare.*') FROM bus_trips", ("trip_id", "route", "boarded_at", "fare_vnd")),
        ("FROM bus_trips a NATURAL JOIN bus_trips b SELECT 1", ("trip_id", "route", "boarded_at", "fare_vnd")),
        ("SELECT 1 FROM bus_trips a JOIN bus_trips b USING (route)", ("route",)),
        ("SELECT T.Fare_VND FROM bus_trips t WHERE route = '53'", ("route", "fare_vnd")),
        ("SELECT count(*) FROM bus_trips", ()),
        ("SELECT (SELECT max(fare_vnd) FROM bus_trips)", ("fare_vnd",)),
    ],
)
def test_every_column_that_may_be_read_is_named(engine: JailedEngine, sql: str, columns: tuple[str, ...]) -> None:
    assert engine.analyse(sql, [TRIPS]).columns == {"bus_trips": columns}


def test_a_query_of_no_relation_touches_nothing(engine: JailedEngine) -> None:
    facts = engine.analyse("SELECT 1 AS one", [TRIPS])
    assert (facts.tables, facts.columns, facts.output) == ((), {}, (Column("one", "INTEGER"),))


@pytest.mark.parametrize(
    ("sql", "code", "rule", "named"),
    [
        ("SELEC 1", "sql.syntax", "QRY-01", "SELEC"),
        ("SELECT 1; SELECT 2", "query.shape", "QRY-01", "2 statements"),
        ("DROP VIEW bus_trips", "query.shape", "QRY-01", "DROP"),
        ("WITH x AS (COPY (SELECT 1) TO '/x.csv') SELECT 1", "query.shape", "QRY-01", "COPY QUERY NODE"),
        ("SELECT $1", "query.shape", "QRY-01", "PARAMETER"),
        ("PIVOT bus_trips ON route USING sum(fare_vnd)", "query.shape", "QRY-01", "PIVOT"),
        ("SELECT * FROM metro_trips", "query.relation", "CONT-06", "metro_trips"),
        ("SELECT rider_id FROM bus_trips", "query.column", "CONT-06", "rider_id"),
        ("SELECT rowid FROM bus_trips", "query.column", "CONT-06", "rowid"),
        ("SELECT current_user", "query.column", "CONT-06", "current_user"),
        ("SELECT read_text('/etc/passwd')", "query.function", "CONT-06", "read_text"),
        ("SELECT getvariable('min_group')", "query.function", "CONT-06", "getvariable"),
        ("SELECT route.upper() FROM bus_trips", "query.function", "CONT-06", "route.upper"),
        ("SELECT [1, 2]::FLOAT[2]", "query.type", "QRY-01", "array"),
        ("SELECT 'a'::ENUM('a')", "query.type", "QRY-01", "ENUM"),
        ("SELECT repeat('x', fare_vnd) FROM bus_trips", "query.size", "QRY-07", "repeat"),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, "query.too_large", "QRY-07", "300"),
        ("SELECT " + "+".join(["1"] * 1000), "query.too_large", "QRY-07", "deep"),
        ("SELECT '" + "x" * 70_000 + "'", "query.too_large", "QRY-07", "70009"),
        ("SELECT length(list_sort(range(300000000)))", "query.too_large", "QRY-07", "limits"),
    ],
)
def test_a_refusal_has_its_code_its_rule_and_names_the_thing(
    engine: JailedEngine, sql: str, code: str, rule: str, named: str
) -> None:
    with pytest.raises(QueryRefused) as refused:
        engine.analyse(sql, [TRIPS])
    assert refused.value.code == code
    assert refused.value.reasons == (rule,)
    assert named in refused.value.message
    assert refused.value.hint


def test_an_unknown_column_is_answered_with_the_granted_ones(engine: JailedEngine) -> None:
    with pytest.raises(QueryRefused) as refused:
        engine.analyse("SELECT rider_id FROM bus_trips", [TRIPS])
    assert refused.value.hint == "Granted columns of bus_trips: trip_id, route, boarded_at, fare_vnd."


@pytest.mark.parametrize("sql", ["", " \n", "SELECT 1\0", "SELECT '\ud800'"])
def test_text_that_is_no_text_is_invalid(engine: JailedEngine, sql: str) -> None:
    with pytest.raises(Invalid) as invalid:
        engine.analyse(sql, [TRIPS])
    assert invalid.value.code == "sql.malformed"


def test_a_type_that_is_no_plain_type_never_reaches_sql(engine: JailedEngine) -> None:
    crooked = Relation("t", (Column("a", "INTEGER) AS a, (SELECT 1"),))
    with pytest.raises(Invalid) as invalid:
        engine.analyse("SELECT a FROM t", [crooked])
    assert invalid.value.code == "contract.mismatch"


def test_a_dimension_that_is_more_than_one_expression_is_refused(engine: JailedEngine) -> None:
    crooked = Relation("t", (Column("a", "INTEGER"), Column("u", "BIGINT")), (Dimension("a", "a, u"),), "u")
    with pytest.raises(QueryRefused) as refused:
        engine.analyse("SELECT count(*) FROM t", [crooked])
    assert refused.value.code == "query.relation"


def test_today_is_the_exchanges_day_in_ho_chi_minh() -> None:
    engine = JailedEngine(clock=ManualClock(datetime(2026, 11, 22, 18, 0, tzinfo=UTC)), analyse_seconds=5)
    try:
        facts = engine.analyse("SELECT current_date - 1 AS yesterday", [])
    finally:
        engine.close()
    assert facts.canonical == "SELECT (CAST('2026-11-23' AS DATE) - 1) AS yesterday"


BOTH = [TRIPS, INVOICES]
ROUTE_FARE = ("bus_trips.route", "bus_trips.fare_vnd")
WHOLE = ("boarded_at", "fare_vnd", "route", "trip_id")
EVERY = ("bus_trips.trip_id", "bus_trips.route", "bus_trips.boarded_at", "bus_trips.fare_vnd")


@pytest.mark.parametrize(
    ("sql", "comes_from"),
    [
        ("SELECT route, count(*) FROM bus_trips GROUP BY route", (("bus_trips.route",), ())),
        ("SELECT fare_vnd + trip_id AS x FROM bus_trips t WHERE route = '1'", (EVERY[::3],)),
        ("SELECT t.fare_vnd AS a, a + 1 AS b FROM bus_trips t", (("bus_trips.fare_vnd",),) * 2),
        ("SELECT sum(fare_vnd) FILTER (route = '1') FROM bus_trips", (ROUTE_FARE,)),
        (
            "SELECT nganh, fare_vnd FROM bus_trips JOIN hoa_don_dnnvv ON tinh = route",
            (("hoa_don_dnnvv.nganh",), ("bus_trips.fare_vnd",)),
        ),
        ("SELECT 1 AS one FROM bus_trips WHERE route = '1'", ((),)),
        ("WITH c AS (SELECT route AS r, fare_vnd AS f FROM bus_trips) SELECT f FROM c", (ROUTE_FARE,)),
        ("SELECT (SELECT max(fare_vnd) FROM bus_trips) AS m, route FROM bus_trips", (ROUTE_FARE,) * 2),
        ("SELECT * EXCLUDE (boarded_at, trip_id) FROM bus_trips", (EVERY,) * 2),
        ("SELECT t FROM bus_trips t", (EVERY,)),
    ],
)  # fmt: skip
def test_each_output_column_is_traced_to_what_it_depends_on_or_to_all(
    engine: JailedEngine, sql: str, comes_from: tuple[tuple[str, ...], ...]
) -> None:
    assert engine.analyse(sql, BOTH).lineage == comes_from


@pytest.mark.parametrize(
    ("sql", "joins"),
    [
        ("SELECT 1 FROM bus_trips", ()),
        ("SELECT 1 FROM bus_trips a LEFT JOIN bus_trips b USING (route)", ("left",)),
        ("SELECT 1 FROM bus_trips a, hoa_don_dnnvv b", ("cross",)),
        ("SELECT 1 FROM bus_trips a NATURAL JOIN bus_trips b", ("natural",)),
        ("FROM bus_trips a JOIN bus_trips b USING (route) SEMI JOIN hoa_don_dnnvv ON tinh = nganh", ("semi", "inner")),
        ("SELECT 1 FROM (SELECT 1 FROM bus_trips a POSITIONAL JOIN bus_trips b)", ("positional",)),
    ],
)  # fmt: skip
def test_joins_are_named_wherever_they_stand(engine: JailedEngine, sql: str, joins: tuple[str, ...]) -> None:
    assert engine.analyse(sql, BOTH).joins == joins


def test_constants_are_told_with_the_columns_that_they_are_compared_with(engine: JailedEngine) -> None:
    sql = """SELECT count(*) FILTER (fare_vnd BETWEEN 5000 AND 7000) FROM bus_trips
             WHERE route IN ('1', 'Huế') AND lower(route) <> 'x' AND trip_id = fare_vnd AND 7 < trip_id"""
    assert set(engine.analyse(sql, BOTH).compared) == {
        Comparison("between", ("fare_vnd",), ("5000", "7000")),
        Comparison("in", ("route",), ("1", "Huế")),
        Comparison("notequal", ("route",), ("x",)),
        Comparison("lessthan", ("trip_id",), ("7",)),
    }


@pytest.mark.parametrize(
    ("sql", "matched"),
    [
        ("SELECT route FROM bus_trips WHERE route = '1' AND fare_vnd IN (1, 2)", ()),
        ("SELECT route FROM bus_trips WHERE trip_id = fare_vnd AND route = '1'", ("fare_vnd", "trip_id")),
        ("SELECT trip_id < fare_vnd FROM bus_trips", ("fare_vnd", "trip_id")),
        ("SELECT 1 FROM bus_trips WHERE trip_id BETWEEN 1 AND fare_vnd", ("fare_vnd", "trip_id")),
        ("SELECT 1 FROM bus_trips WHERE trip_id IN (7, fare_vnd)", ("fare_vnd", "trip_id")),
        ("SELECT 1 FROM bus_trips WHERE trip_id IS DISTINCT FROM fare_vnd", ("fare_vnd", "trip_id")),
        ("SELECT nganh FROM hoa_don_dnnvv WHERE nganh LIKE tinh", ("nganh", "tinh")),
        ("SELECT 1 FROM bus_trips a JOIN bus_trips b USING (route)", ("route",)),
        ("SELECT 1 FROM bus_trips JOIN hoa_don_dnnvv ON tinh = route", ("route", "tinh")),
        ("SELECT 1 FROM bus_trips JOIN hoa_don_dnnvv ON Tinh = Route AND fare_vnd > 5", ("fare_vnd", "route", "tinh")),
        ("SELECT 1 FROM bus_trips, hoa_don_dnnvv", ()),
        ("SELECT 1 FROM bus_trips, hoa_don_dnnvv WHERE tinh = route", ("route", "tinh")),
        ("SELECT 1 FROM bus_trips WHERE route IN (SELECT tinh FROM hoa_don_dnnvv)", ("route", "tinh")),
        ("SELECT fare_vnd FROM bus_trips WHERE route = (SELECT max(tinh) FROM hoa_don_dnnvv)", ("route", "tinh")),
        ("SELECT route FROM bus_trips INTERSECT SELECT tinh FROM hoa_don_dnnvv", ("route", "tinh")),
        ("SELECT route FROM bus_trips EXCEPT SELECT tinh FROM hoa_don_dnnvv", ("route", "tinh")),
        ("SELECT route FROM bus_trips UNION ALL SELECT tinh FROM hoa_don_dnnvv", ()),
        ("WITH c AS (SELECT route AS r FROM bus_trips) SELECT 1 FROM c JOIN hoa_don_dnnvv ON r = tinh",
         ("route", "tinh")),
        ("SELECT 1 FROM bus_trips JOIN (VALUES (5)) v(x) ON fare_vnd = x", WHOLE),
        ("FROM bus_trips a NATURAL JOIN bus_trips b SELECT 1", WHOLE),
    ],
)  # fmt: skip
def test_columns_that_are_compared_with_columns_are_told_or_all_that_are_touched(
    engine: JailedEngine, sql: str, matched: tuple[str, ...]
) -> None:
    assert engine.analyse(sql, BOTH).matched == matched


@pytest.mark.parametrize(
    ("call", "column", "expression"),
    [
        ("count(*)", None, False),
        ("count()", None, False),
        ("sum(fare_vnd)", "fare_vnd", False),
        ("sum(bus_trips.Fare_VND)", "fare_vnd", False),
        ("count(DISTINCT route)", "route", False),
        ("sum((fare_vnd))", "fare_vnd", False),
        ("sum(fare_vnd + 1)", None, True),
        ("sum(CASE WHEN route = '1' THEN fare_vnd END)", None, True),
        ("sum(fare_vnd::BIGINT)", None, True),
        ("count(1)", None, True),
        ("count(DISTINCT lower(route))", None, True),
        ("arg_max(route, fare_vnd)", None, True),
        ("string_agg(route, ',')", None, True),
    ],
)
def test_an_aggregate_is_of_a_bare_column_or_of_an_expression(
    engine: JailedEngine, call: str, column: str | None, expression: bool
) -> None:
    (found,) = engine.analyse(f"SELECT {call} AS n FROM bus_trips", [TRIPS]).aggregates
    assert (found.column, found.expression) == (column, expression)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT 'Huế', route, pg_sleep(1) FROM bus_trips", "pg_sleep"),
        ("SELECT route FROM bus_trips WHERE route IN (SELECT 'Huế' FROM other)", "other"),
        ("SELECT 'Huế', CAST(route AS ENUM('a')) FROM bus_trips", "ENUM"),
        ("SELECT 'Huế', FROM FROM bus_trips", "FROM FROM"),
    ],
)
def test_a_refusal_says_at_which_character_it_is_meant(engine: JailedEngine, sql: str, what: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        engine.analyse(sql, [TRIPS])
    said = re.search(r"\(character (\d+)\)", refused.value.message)
    assert said, refused.value.message
    near = sql.index(what) + 1
    assert near - 8 <= int(said[1]) <= near + len(what), "at the word, or at the expression that it begins"
