"""Whose name is it? A name that the gate takes for a CTE must be one to the engine too, wherever it stands.

A view ``zz`` with the column ``outer_one`` stands for what the engine's catalogue holds unasked; the CTE ``zz`` has the
column ``cte``. A query that passes the gate must never reach ``outer_one``.
"""

import json
from typing import Any

import duckdb
import pytest

from sandbox.core.errors import QueryRefused
from sandbox.query.gate import CATALOGUE, Gate
from sandbox.query.nodes import folded
from sandbox.query.refusal import Refusal

GRANTED = {"trips": frozenset({"trip_id", "route"})}

PLACES = """
WITH zz AS (SELECT 1 AS cte) SELECT {c} FROM zz
WITH zz(cte) AS (SELECT 1) SELECT {c} FROM ZZ
WITH zz AS MATERIALIZED (SELECT 1 AS cte) SELECT (SELECT max({c}) FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT 1 WHERE EXISTS (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT 1 LIMIT (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT 1 ORDER BY (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT 1 UNION SELECT {c} FROM zz
WITH zz AS (SELECT 1 AS cte) SELECT 1 UNION SELECT 2 ORDER BY (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) (SELECT 1 UNION SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) (SELECT {c} FROM zz) LIMIT 1
WITH zz AS (SELECT 1 AS cte), y AS (SELECT {c} FROM zz) SELECT * FROM y
WITH zz AS (SELECT 1 AS cte), y AS (WITH q AS (SELECT {c} FROM zz) FROM q) SELECT * FROM y
WITH zz AS (SELECT 1 AS cte), y AS (WITH zz AS (SELECT {c} AS cte FROM zz) SELECT cte FROM zz) SELECT * FROM y
WITH zz AS (SELECT 1 AS cte) SELECT * FROM (WITH zz AS (SELECT {c} AS cte FROM zz) SELECT cte FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT * FROM (WITH zz AS (SELECT 2 AS cte) SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT * FROM range(1) r, LATERAL (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) VALUES ((SELECT {c} FROM zz))
WITH zz AS (SELECT 1 AS cte) FROM range((SELECT {c} FROM zz))
WITH zz AS (SELECT 1 AS cte) FROM unnest((SELECT list({c}) FROM zz))
WITH zz AS (SELECT 1 AS cte) SELECT * FROM trips JOIN zz ON {c} = trip_id
WITH zz AS (SELECT 1 AS cte) SELECT * FROM trips SEMI JOIN zz ON {c} = trip_id
WITH zz AS (SELECT 1 AS cte) SELECT * FROM zz a ASOF JOIN zz b ON a.{c} >= b.{c}
WITH zz AS (SELECT 1 AS cte) SELECT * FROM zz POSITIONAL JOIN (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT sum(trip_id) FILTER (WHERE 1 IN (SELECT {c} FROM zz)) FROM trips
WITH zz AS (SELECT 1 AS cte) SELECT sum(trip_id) OVER (ORDER BY (SELECT {c} FROM zz)) FROM trips
WITH zz AS (SELECT 1 AS cte) SELECT sum(trip_id) FROM trips GROUP BY (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT sum(trip_id) FROM trips HAVING (SELECT {c} FROM zz) = 1
WITH zz AS (SELECT 1 AS cte) SELECT trip_id FROM trips QUALIFY row_number() OVER () = (SELECT {c} FROM zz)
WITH zz AS (SELECT 1 AS cte) SELECT DISTINCT ON ((SELECT {c} FROM zz)) trip_id FROM trips
WITH zz AS (SELECT 1 AS cte) SELECT * REPLACE ((SELECT {c} FROM zz) AS trip_id) FROM trips
WITH zz AS (SELECT 1 AS cte) PIVOT (SELECT {c} AS k FROM zz) ON k IN (1, 2) USING count(*)
WITH zz AS (SELECT 1 AS cte) SELECT * FROM zz PIVOT (count(*) FOR {c} IN (1, 2))
WITH zz AS (SELECT 1 AS cte) UNPIVOT zz ON {c}
(WITH zz AS (SELECT 1 AS cte) SELECT {c} FROM zz) UNION ALL (WITH zz AS (SELECT 2 AS cte) SELECT {c} FROM zz)
WITH RECURSIVE zz AS (SELECT {c} AS cte FROM zz UNION ALL SELECT cte FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT (SELECT max({c}) FROM zz) AS cte UNION SELECT cte FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT * FROM (WITH q AS (SELECT {c} AS cte FROM zz) FROM q) UNION SELECT cte FROM zz) SELECT cte FROM zz
WITH RECURSIVE zz AS ((SELECT 1 AS cte UNION ALL SELECT {c} FROM zz) UNION ALL SELECT 1 FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz(cte) USING KEY (cte) AS (SELECT {c} FROM zz UNION SELECT cte FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (WITH q AS (SELECT {c} AS cte FROM zz) SELECT cte FROM q UNION ALL SELECT cte FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL SELECT {c} FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL SELECT (SELECT max({c}) FROM zz) FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL (WITH q AS (SELECT {c} AS cte FROM zz) SELECT cte FROM q WHERE false)) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL (WITH zz AS (SELECT {c} AS cte FROM zz) SELECT cte FROM zz WHERE false)) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL SELECT cte FROM zz, LATERAL (SELECT {c} AS o FROM zz) WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL SELECT cte FROM zz WHERE EXISTS (SELECT {c} FROM zz) AND false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL SELECT cte FROM zz WHERE false) SELECT {c} FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL SELECT * FROM (SELECT 1 AS cte UNION ALL SELECT {c} FROM zz) WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz(cte) USING KEY (cte) AS (SELECT 1 UNION SELECT {c} FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte EXCEPT SELECT {c} FROM zz WHERE false) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte), y AS (SELECT {c} AS cte FROM zz UNION ALL SELECT cte FROM y WHERE false) SELECT cte FROM y
WITH RECURSIVE y AS (SELECT 1 AS cte UNION ALL SELECT cte FROM y WHERE false), zz AS (SELECT {c} AS cte FROM y) SELECT cte FROM zz
WITH RECURSIVE zz AS (SELECT 1 AS cte UNION ALL (WITH RECURSIVE zz AS (SELECT {c} AS cte FROM zz UNION ALL SELECT cte FROM zz WHERE false) SELECT cte FROM zz WHERE false)) SELECT cte FROM zz
WITH zz AS (SELECT 1 AS cte) SELECT * FROM (WITH RECURSIVE zz AS (SELECT {c} AS cte FROM zz UNION ALL SELECT cte FROM zz WHERE false) SELECT cte FROM zz)
WITH zz AS (SELECT 1 AS cte) (WITH a AS (SELECT 2 AS cte) SELECT {c} FROM zz)
WITH "zz\u200b" AS (SELECT 1 AS cte) SELECT {c} FROM zz
""".strip().splitlines()  # noqa: E501 - a line a query


@pytest.fixture(scope="module")
def reader() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE VIEW zz AS SELECT 1 AS outer_one")
    connection.execute("CREATE VIEW trips AS SELECT 1 AS trip_id, '01' AS route")
    return connection


def passed(reader: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """The SQL that the gate lets through, if it does."""
    options = "skip_null := true, skip_empty := true, skip_default := true"
    ((text,),) = reader.execute(f"SELECT json_serialize_sql(?, {options})", [sql]).fetchall()
    document: dict[str, Any] = json.loads(text)
    if document["error"]:
        return None
    try:
        Gate(GRANTED, "2026-11-24").check(document["statements"][0]["node"])
    except Refusal:
        return None
    ((canonical,),) = reader.execute("SELECT json_deserialize_sql(?)", [json.dumps(document)]).fetchall()
    return str(canonical)


def binds(reader: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        reader.sql(sql)
    except duckdb.Error:
        return False
    return True


@pytest.mark.parametrize("sql", PLACES)
def test_a_name_that_passes_as_a_cte_is_one_to_the_engine(reader: duckdb.DuckDBPyConnection, sql: str) -> None:
    canonical = passed(reader, sql.format(c="outer_one"))
    assert canonical is None or not binds(reader, canonical)


def test_most_places_are_open_to_a_cte_of_ones_own(reader: duckdb.DuckDBPyConnection) -> None:
    found = [passed(reader, sql.format(c="cte")) for sql in PLACES]
    assert sum(canonical is not None and binds(reader, canonical) for canonical in found) > len(PLACES) * 0.75


@pytest.mark.parametrize("name", ["trips", "TRIPS", "main.trips"])
def test_where_a_recursion_begins_its_own_name_is_the_granted_relation(
    reader: duckdb.DuckDBPyConnection, name: str
) -> None:
    sql = f"WITH RECURSIVE trips AS (SELECT * FROM {name} UNION SELECT * FROM trips WHERE false) SELECT * FROM trips"
    canonical = passed(reader, sql)
    assert canonical
    assert "(SELECT * FROM memory.main.trips) UNION (SELECT * FROM trips WHERE false)" in canonical


def test_names_are_folded_as_the_engine_folds_them(reader: duckdb.DuckDBPyConnection) -> None:
    letters = [chr(code) for code in range(0x21, 0x2000) if chr(code).isalpha()] + [
        "\u212a",
        "\u2126",
        "\u212b",
        "\uff21",
    ]
    wrong = []
    for letter in letters:
        for other in {letter.lower(), letter.upper(), letter.casefold()} - {letter}:
            same = binds(reader, f'WITH "{letter}" AS (SELECT 1) FROM "{other}"')
            if same != (folded(letter) == folded(other)):
                wrong.append((letter, other))
    assert wrong == []
    assert folded("Doanh_Thu") == "doanh_thu"
    assert folded("ĐƠN") == "ĐƠn"


def test_every_name_that_the_engine_offers_unasked_begins_like_its_catalogue(reader: duckdb.DuckDBPyConnection) -> None:
    listed = reader.execute(
        "SELECT view_name FROM duckdb_views() WHERE internal UNION SELECT table_name FROM duckdb_tables()"
    )
    names = {str(name) for (name,) in listed.fetchall()}
    assert len(names) > 20
    reached = {name for name in names if binds(reader, f'FROM "{name}"')}
    assert {name for name in reached if not name.startswith(CATALOGUE)} == set()
    for name in reached:
        assert passed(reader, f'WITH "{name.upper()}" AS (SELECT 1 AS x) SELECT x FROM "{name}"') is None


@pytest.mark.parametrize(
    "item",
    [
        "a FROM trips AS t(a, b)",
        "main.trips FROM trips",
        "memory.main.trips FROM trips",
        "(main.trips).route FROM trips",
    ],
)
def test_a_column_that_is_read_without_its_name_is_counted(reader: duckdb.DuckDBPyConnection, item: str) -> None:
    options = "skip_null := true, skip_empty := true, skip_default := true"
    ((text,),) = reader.execute(f"SELECT json_serialize_sql(?, {options})", [f"SELECT {item}"]).fetchall()
    gate = Gate(GRANTED, "2026-11-24")
    gate.check(json.loads(text)["statements"][0]["node"])
    assert gate.touched.columns(["trip_id", "route"]) == ("trip_id", "route")


def test_the_day_keeps_the_name_that_it_is_given(reader: duckdb.DuckDBPyConnection) -> None:
    canonical = passed(reader, "SELECT current_date AS hom_nay, count(*) FROM trips GROUP BY hom_nay")
    assert (
        canonical
        == "SELECT CAST('2026-11-24' AS DATE) AS hom_nay, count_star() FROM memory.main.trips GROUP BY hom_nay"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT current_date FROM (SELECT 1 AS current_date)",
        'WITH x("Current_Date") AS (SELECT 1) SELECT current_date FROM x',
        "SELECT current_date FROM range(2) AS t(current_date)",
    ],
)
def test_the_day_never_stands_where_a_column_is_meant(reader: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert passed(reader, sql) is None


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE {t} AS (SELECT * FROM {t} UNION ALL SELECT * FROM {t} WHERE false) SELECT * FROM {t}",
        "WITH RECURSIVE {t} AS (SELECT * FROM (FROM {t}) UNION SELECT * FROM {t}) SELECT sum(doanh_thu_vnd) FROM {t}",
    ],
)
def test_a_relation_with_a_unit_is_not_read_under_the_name_of_a_recursion(shop: Any, sql: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        shop.engine.analyse(sql.format(t="hoa_don_dnnvv"), [*shop.relations.values()])
    assert refused.value.code == "query.shape"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT B'01'",
        "SELECT 340282366920938463463374607431768211456",
        "SELECT 1 WHERE 0 < 999999999999999999999999999999999999999999",
        "SELECT list(route) EXPORT_STATE FROM trips",
    ],
)
def test_no_constant_and_no_aggregate_brings_a_type_in_that_is_not_on_the_list(
    reader: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert passed(reader, sql) is None
    assert passed(
        reader, "SELECT 340282366920938463463374607431768211455, 00000000000000000000000000000000000000000001"
    )
