"""Everyday SQL passes the gate unchanged: what is rendered is the tree that was read, and answers as the original does.

Over small tables of the five datasets and of TPC-H's schema, in a plain engine: a buyer should not notice the gate.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sandbox.core.clock import SystemClock, day_of
from sandbox.query import analysis, worker
from sandbox.query.gate import Gate
from sandbox.query.nodes import Node
from tests.answers import form, meant

HERE = Path(__file__).parent
ROWS = 2_000
TODAY = day_of(SystemClock().now()).isoformat()
"""Where a node stood, and whether a call was written between its operands."""


def statements(name: str) -> list[str]:
    """The statements of a file, each of which ends with a semicolon at the end of a line."""
    text = re.sub(r"^--.*\n", "", (HERE / name).read_text("utf-8"), flags=re.MULTILINE)
    return [statement.strip() for statement in re.split(r";$", text, flags=re.MULTILINE) if statement.strip()]


EVERYDAY, TPCH = statements("everyday.sql"), statements("tpch.sql")


@dataclass(frozen=True)
class Desk:
    """The tables in a plain engine, and the engine's reading of SQL over empty relations of the same columns."""

    plain: duckdb.DuckDBPyConnection
    relations: list[dict[str, Any]]
    language: worker.DuckDB

    def canonical(self, sql: str) -> str:
        facts = analysis.facts(sql, self.relations, TODAY, self.language)
        assert facts["shape"] == "free"
        return str(facts["canonical"])

    def answer(self, sql: str) -> pa.Table:
        return self.plain.sql(sql).to_arrow_table()


@pytest.fixture(scope="module")
def desk(shop: Any) -> Iterator[Desk]:
    with duckdb.connect(config={"threads": 1}) as plain, duckdb.connect() as reader:
        for connection in (plain, reader):
            connection.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        for name, relation in shop.relations.items():
            columns = ", ".join(column.name for column in relation.columns)
            plain.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM '{shop.sources[name]}' LIMIT {ROWS}")
        plain.execute((HERE / "tpch_data.sql").read_text("utf-8"))
        relations = [
            _relation(plain, name) for (name,) in plain.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        ]
        yield Desk(plain, relations, worker.DuckDB(reader, relations))


def _relation(plain: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    columns = plain.execute(f"SELECT column_name, column_type FROM (DESCRIBE {name})").fetchall()
    return {"name": name, "columns": columns, "dimensions": [], "unit": None, "nullable": []}


def rows(table: pa.Table) -> list[str]:
    lines = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return sorted(repr(meant(line)) for line in lines)


def gated(sql: str, desk: Desk) -> Node:
    """The tree that the gate leaves of it, with the granted relations' whole paths and without positions."""
    tree = analysis.parsed(sql, desk.language)
    columns = {each["name"]: frozenset(name.lower() for name, _ in each["columns"]) for each in desk.relations}
    Gate(columns, TODAY).check(tree)
    found: Node = form(tree)
    return found


def check(desk: Desk, sql: str) -> None:
    canonical = desk.canonical(sql)
    want, got = desk.answer(sql), desk.answer(canonical)
    assert got.schema.types == want.schema.types
    assert rows(got) == rows(want)
    assert gated(canonical, desk) == gated(sql, desk), "what is rendered is read as it was meant"


@pytest.mark.parametrize("sql", EVERYDAY, ids=[f"{number}" for number in range(len(EVERYDAY))])
def test_an_everyday_query_passes_unchanged(desk: Desk, sql: str) -> None:
    check(desk, sql)


@pytest.mark.parametrize("sql", TPCH, ids=[f"q{number:02}" for number in range(1, len(TPCH) + 1)])
def test_a_query_of_tpch_passes_unchanged(desk: Desk, sql: str) -> None:
    check(desk, sql)
    assert desk.answer(sql).num_rows > 0, "the small tables hold something to find"


def test_what_a_query_is_said_to_read_is_all_that_it_needs(desk: Desk) -> None:
    """The policy decides on these columns: over relations without the others, the query must still be one."""
    wrong = []
    with duckdb.connect() as narrow:
        for sql in EVERYDAY + TPCH:
            facts = analysis.facts(sql, desk.relations, TODAY, desk.language)
            for each in desk.relations:
                kept = [
                    (name, kind) for name, kind in each["columns"] if name in facts["columns"].get(each["name"], ())
                ]
                columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in kept) or "NULL AS none"
                narrow.execute(f"CREATE OR REPLACE VIEW {each['name']} AS SELECT {columns} WHERE false")
            try:
                narrow.sql(facts["canonical"])
            except duckdb.Error as error:
                wrong.append((sql, str(error)))
    assert wrong == []


def test_the_files_are_whole() -> None:
    assert len(EVERYDAY) >= 300
    assert len({*EVERYDAY}) == len(EVERYDAY)
    assert len(TPCH) == 22
