"""What is touched: facts, refusals with their codes, and the remedy in every hint."""

from datetime import UTC, datetime

import pytest

from sandbox.core.clock import ManualClock
from sandbox.core.errors import Invalid, QueryRefused
from sandbox.core.terms import Column, Dimension
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Aggregate, Relation

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
