"""CONT-06 through the whole house: functions, comparisons, joins, outputs and aggregates as the contract says."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.core.errors import PolicyRefused, SandboxError
from tests.world import BUYER, INDEX, TRIPS, World, checked

PLACES = "dia_diem"
"""A second open dataset, of the same columns as the index."""
JOINED = f"SELECT a.noi FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi"


@pytest.fixture(scope="module")
def opened(bare_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both datasets listed, none agreed on; every test makes a contract of its own."""
    for world in checked(bare_world.copy_to(tmp_path_factory.mktemp("scope"))):
        world.publish(INDEX)
        world.publish(INDEX, id=PLACES)
        yield world


def ask(world: World, sql: str, *agreements: str) -> list[tuple[Any, ...]]:
    return world.rows(world.query(sql, agreements=agreements))


def refused(world: World, sql: str, *agreements: str) -> PolicyRefused:
    with pytest.raises(PolicyRefused) as caught:
        world.query(sql, agreements=agreements)
    assert caught.value.reasons == ("CONT-06",)
    assert (caught.value.code, world.entries()[-1]["type"]) == ("policy.refused", "query.refused")
    assert world.exchange.balance(world.who(BUYER).id) == 100_000
    return caught.value


# --- functions ---
def test_only_the_functions_that_the_contract_names_are_called(opened: World) -> None:
    only = opened.agree(INDEX, scalar_functions=["lower"])
    assert ask(opened, "SELECT lower(noi) FROM chi_so WHERE diem = 5", only) == [("a",)]
    assert ask(opened, "SELECT sum(diem) FROM chi_so", only) == [(15,)]  # aggregates are another clause
    for sql in (
        "SELECT upper(noi) FROM chi_so",
        "SELECT lower(upper(noi)) FROM chi_so",
        "SELECT noi FROM chi_so WHERE upper(noi) = 'A'",
        "SELECT noi FROM chi_so ORDER BY length(noi)",
        "SELECT diem + 1 FROM chi_so",
        "SELECT noi FROM (SELECT upper(noi) AS noi FROM chi_so)",
        "SELECT noi FROM chi_so WHERE noi LIKE 'A%'",
    ):
        assert "Functions that the contract does not name" in refused(opened, sql, only).hint


def test_a_contract_that_names_no_function_opens_none(opened: World) -> None:
    none = opened.agree(INDEX, scalar_functions=[])
    assert ask(opened, "SELECT noi FROM chi_so WHERE diem = 5", none) == [("A",)]
    assert "lower" in refused(opened, "SELECT lower(noi) FROM chi_so", none).hint


# --- comparisons ---
@pytest.mark.parametrize(
    "condition",
    [
        "diem = 5",
        "5 < diem",
        "diem BETWEEN 2 AND 3",
        "diem IN (1, 2)",
        "diem NOT IN (1, 2)",
        "diem IS DISTINCT FROM 5",
        "noi = 'A' OR diem = 5",
        "NOT (diem = 5)",
        "diem::VARCHAR LIKE '5%'",
        "(CASE diem WHEN 5 THEN true ELSE false END)",
        "(diem, noi) = (5, 'A')",
        "diem + 0 = 5",
    ],
)
def test_a_constant_is_compared_with_what_the_contract_names_alone(opened: World, condition: str) -> None:
    limited = opened.agree(INDEX, comparison_controls={"literals": ["noi"], "columns": []})
    assert ask(opened, "SELECT diem FROM chi_so WHERE noi = 'A'", limited) == [(5,)]
    assert (
        "Constants may be compared with: noi."
        in refused(opened, f"SELECT noi FROM chi_so WHERE {condition}", limited).hint
    )


def test_a_comparison_hidden_in_the_output_a_filter_or_an_order_is_one_too(opened: World) -> None:
    limited = opened.agree(INDEX, comparison_controls={"literals": ["noi"], "columns": []})
    for sql in (
        "SELECT diem = 5 AS la_nam FROM chi_so",
        "SELECT count(*) FILTER (diem = 5) FROM chi_so",
        "SELECT noi FROM chi_so ORDER BY diem = 5",
        "SELECT noi, max(diem) FROM chi_so GROUP BY noi HAVING max(diem) > 4",
        "SELECT noi FROM (SELECT noi, diem AS d FROM chi_so) WHERE d = 5",
    ):
        refused(opened, sql, limited)


def test_columns_are_compared_with_one_another_only_where_the_contract_says_so(opened: World) -> None:
    among = opened.agree(INDEX, comparison_controls={"literals": [], "columns": ["diem"]})
    twice = "SELECT a.noi FROM chi_so a JOIN chi_so b ON a.{0} = b.{0}"
    assert len(ask(opened, twice.format("diem"), among)) == 5
    refused(opened, twice.format("noi"), among)
    refused(opened, "SELECT noi FROM chi_so WHERE diem::VARCHAR = noi", among)
    refused(opened, "SELECT noi FROM chi_so INTERSECT SELECT noi FROM chi_so", among)
    refused(opened, "SELECT noi FROM chi_so WHERE noi IN (SELECT noi FROM chi_so)", among)


def test_a_list_of_values_is_no_way_round_comparisons(opened: World) -> None:
    none = opened.agree(INDEX, comparison_controls={"literals": [], "columns": []})
    assert len(ask(opened, "SELECT noi FROM chi_so", none)) == 5
    for sql in (
        "SELECT noi FROM chi_so JOIN (VALUES (5)) v(x) ON diem = x",
        "SELECT noi FROM chi_so WHERE diem IN (SELECT 5)",
        "SELECT noi FROM chi_so WHERE diem IN (VALUES (5))",
        "SELECT noi FROM chi_so JOIN (SELECT 5 AS diem) v USING (diem)",
        "SELECT noi FROM chi_so NATURAL JOIN (SELECT 5 AS diem) v",
    ):
        refused(opened, sql, none)


# --- outputs ---
def test_a_hidden_column_may_be_used_but_never_leaves(opened: World) -> None:
    hidden = opened.agree(INDEX, disallowed_output_columns=["diem"])
    assert ask(opened, "SELECT noi FROM chi_so WHERE diem = 5", hidden) == [("A",)]
    assert len(ask(opened, "SELECT noi FROM chi_so ORDER BY diem", hidden)) == 5
    for sql in (
        "SELECT diem FROM chi_so",
        "SELECT * FROM chi_so",
        "SELECT diem * 2 AS hai FROM chi_so",
        "SELECT max(diem) FROM chi_so",
        "SELECT CASE WHEN diem = 5 THEN 'nam' END AS la FROM chi_so",
        "SELECT d FROM (SELECT diem AS d FROM chi_so)",
        "WITH c AS (SELECT diem AS d FROM chi_so) SELECT d FROM c",
        "SELECT (SELECT max(diem) FROM chi_so)",
        "SELECT noi, row_number() OVER (ORDER BY diem) AS hang FROM chi_so",
        "SELECT chi_so FROM chi_so",
    ):
        refused(opened, sql, hidden)


# --- aggregates ---
def test_an_aggregate_over_an_expression_needs_the_contracts_word(opened: World) -> None:
    bare = opened.agree(INDEX, aggregate_expressions="columns_only")
    free = opened.agree(INDEX, aggregate_expressions="any_expression")
    for sql in (
        "SELECT sum(diem + 1) FROM chi_so",
        "SELECT sum(CASE WHEN noi = 'A' THEN diem END) FROM chi_so",
        "SELECT count(noi = 'A') FROM chi_so",
        "SELECT string_agg(noi, ',') FROM chi_so",
    ):
        assert len(ask(opened, sql, free)) == 1
        refused(opened, sql, bare)
    assert ask(opened, "SELECT sum(diem), count(*) FROM chi_so", bare) == [(15, 5)]


# --- joins ---
def both(world: World, **clauses: Any) -> tuple[str, str]:
    """One contract for each dataset, under the same clauses."""
    return world.agree(INDEX, **clauses), world.agree(PLACES, **clauses)


def test_where_joins_are_blocked_a_dataset_stands_alone(opened: World) -> None:
    index, places = both(opened, join_condition="blocked")
    assert len(ask(opened, "SELECT noi FROM chi_so", index)) == 5
    for sql in (
        JOINED,
        f"SELECT a.noi FROM chi_so a, {PLACES} b",
        f"SELECT noi FROM chi_so UNION ALL SELECT noi FROM {PLACES}",
        f"SELECT noi FROM chi_so WHERE noi IN (SELECT noi FROM {PLACES})",
    ):
        assert "blocked" in refused(opened, sql, index, places).hint or "UNION" in sql or "IN (" in sql
    refused(opened, "SELECT a.noi FROM chi_so a JOIN chi_so b ON a.noi = b.noi", index)


def test_where_any_join_column_will_do_one_of_them_is_joined_on(opened: World) -> None:
    index, places = both(opened, join_condition="any", join_columns=["noi", "diem"])
    for condition in ("a.noi = b.noi", "a.diem = b.diem", "a.noi = b.noi AND a.diem = b.diem"):
        assert len(ask(opened, f"SELECT a.noi FROM chi_so a JOIN {PLACES} b ON {condition}", index, places)) == 5
    assert "any on noi, diem" in refused(opened, f"SELECT a.noi FROM chi_so a, {PLACES} b", index, places).hint
    refused(opened, "SELECT noi FROM chi_so", index)  # alone is no join
    refused(opened, f"SELECT noi FROM chi_so UNION ALL SELECT noi FROM {PLACES}", index, places)


def test_where_all_join_columns_are_wanted_one_is_not_enough(opened: World) -> None:
    index, places = both(opened, join_condition="all", join_columns=["noi", "diem"])
    whole = f"SELECT a.noi FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi AND a.diem = b.diem"
    assert len(ask(opened, whole, index, places)) == 5
    assert len(ask(opened, f"SELECT noi FROM chi_so JOIN {PLACES} USING (noi, diem)", index, places)) == 5
    for condition in ("a.noi = b.noi", "a.diem = b.diem"):
        refused(opened, f"SELECT a.noi FROM chi_so a JOIN {PLACES} b ON {condition}", index, places)


def test_each_contract_of_a_join_holds_by_itself(opened: World) -> None:
    lax = opened.agree(INDEX)
    strict = opened.agree(PLACES, join_condition="blocked")
    refused(opened, JOINED, lax, strict)
    functions = opened.agree(PLACES, scalar_functions=[])
    refused(opened, f"SELECT lower(a.noi) FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi", lax, functions)
    shut = opened.agree(PLACES, disallowed_output_columns=["diem"])
    refused(opened, f"SELECT b.diem FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi", lax, shut)
    assert len(ask(opened, JOINED, lax, shut)) == 5
    # columns are traced by their names: of two of one name, the one that may leave is taken for the one that may not
    refused(opened, f"SELECT a.diem FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi", lax, shut)


def test_a_column_that_opens_only_to_be_joined_on_is_not_read(opened: World) -> None:
    lax = opened.agree(INDEX)
    narrow = opened.agree(
        PLACES, columns=["diem"], join_columns=["noi"], join_condition="all",
        comparison_controls={"literals": [], "columns": []},
    )  # fmt: skip
    assert len(ask(opened, f"SELECT b.diem FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi", lax, narrow)) == 5
    for sql in (
        f"SELECT b.noi FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi",
        f"SELECT b.diem FROM chi_so a JOIN {PLACES} b ON a.noi = b.noi WHERE b.noi = 'A'",
    ):
        refused(opened, sql, lax, narrow)


# --- rows, columns and the unit ---
def test_only_the_columns_and_rows_of_the_contract_are_there(opened: World) -> None:
    part = opened.agree(
        INDEX,
        columns=["noi"],
        row_filter=[{"column": "diem", "values": [4, 5]}],
        comparison_controls={"literals": ["noi"], "columns": []},
    )
    assert ask(opened, "SELECT noi FROM chi_so", part) == [("A",), ("B",)]
    with pytest.raises(SandboxError) as caught:
        ask(opened, "SELECT diem FROM chi_so", part)
    assert "CONT-06" in caught.value.reasons


def test_under_a_unit_a_dimension_is_compared_with_constants_only_where_named(ready: World) -> None:
    sql = "SELECT tuyen, count(*) FROM chuyen_di WHERE tuyen = 'R1' GROUP BY tuyen"
    assert ready.query(sql).rows == 1
    closed = ready.agree(TRIPS, comparison_controls={"literals": [], "columns": []})
    with pytest.raises(PolicyRefused) as caught:
        ready.query(sql, agreements=(closed,))
    assert caught.value.reasons == ("CONT-06",)
