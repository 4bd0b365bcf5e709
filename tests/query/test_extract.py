"""The extract: exactly the granted columns and rows, made once, or not at all."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.core.errors import Invalid, QueryRefused, SandboxError, Tampered, Unavailable
from sandbox.core.files import own_digest
from sandbox.core.terms import Column, Condition, DatasetId, Digest, Scope
from sandbox.query import extracts, views
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation

COLUMNS = (Column("town", "VARCHAR"), Column("n", "INTEGER"))
VERSION = Digest("sha256:" + "2" * 64)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.parquet"
    rows = {
        "secret": ["a", "b", "c", "d"],
        "town": ["Huế", "O'Brien", "Huế", None],
        "n": pa.array([1, 2, 3, 4], pa.int32()),
        "open": [True, False, True, True],
    }
    pq.write_table(pa.table(rows), path)
    return path


def held(extract: Path) -> pa.Table:
    """Everything that an extract holds."""
    with duckdb.connect(str(extract), read_only=True) as connection:
        assert connection.sql("SELECT table_name FROM duckdb_tables()").fetchall() == [("rows",)]
        return connection.sql("FROM rows").to_arrow_table()


def scope(*rows: Condition, columns: tuple[str, ...] = ("town", "n")) -> Scope:
    return Scope(DatasetId("towns"), VERSION, columns, rows)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ((), [1, 2, 3, 4]),
        ((Condition("town", ("Huế",)),), [1, 3]),
        ((Condition("town", ("O'Brien", "x') OR true --")),), [2]),
        ((Condition("n", (2, 3)),), [2, 3]),
        ((Condition("open", (False,)),), [2]),
        ((Condition("town", ("Huế", "O'Brien")), Condition("open", (True,))), [1, 3]),
        ((Condition("secret", ("d",)),), [4]),
        ((Condition("town", ()),), []),
        ((Condition("town", ("Huế",)), Condition("n", ())), []),
    ],
)
def test_it_holds_the_granted_columns_and_rows_and_nothing_else(
    engine: JailedEngine, source: Path, tmp_path: Path, rows: tuple[Condition, ...], kept: list[int]
) -> None:
    made = engine.extract(scope(*rows), COLUMNS, (source,), tmp_path / "out")
    table = held(made)
    assert table.column_names == ["town", "n"]
    assert table["n"].to_pylist() == kept
    assert b"secret" not in made.read_bytes()


def test_several_sources_are_one_relation(engine: JailedEngine, source: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.parquet"
    more.write_bytes(source.read_bytes())
    made = engine.extract(scope(), COLUMNS, (source, more), tmp_path / "out")
    assert held(made).num_rows == 8


def test_it_is_made_once_read_only_and_found_again_by_its_name(
    engine: JailedEngine, source: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = {*pool.map(lambda _: engine.extract(scope(), COLUMNS, (source,), tmp_path / "out"), range(4))}
    (path,) = made
    before = path.stat()
    assert stat.S_IMODE(before.st_mode) == 0o444
    assert engine.extract(scope(), COLUMNS, (source,), tmp_path / "out").stat() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_another_scope_version_or_source_has_another_name(source: Path) -> None:
    names = {
        views.extract_name(scope(), COLUMNS, (source,)),
        views.extract_name(scope(Condition("n", (1,))), COLUMNS, (source,)),
        views.extract_name(scope(Condition("n", ("1",))), COLUMNS, (source,)),
        views.extract_name(scope(columns=("town",)), COLUMNS[:1], (source,)),
        views.extract_name(scope(), COLUMNS, (source, source)),
        views.extract_name(Scope(DatasetId("towns"), Digest("sha256:" + "3" * 64), ("town", "n")), COLUMNS, (source,)),
    }
    assert len(names) == 6


def test_a_scope_of_no_or_other_columns_is_refused(engine: JailedEngine, source: Path, tmp_path: Path) -> None:
    for columns in ((), ("town",), ("town", "secret")):
        with pytest.raises(Invalid) as invalid:
            engine.extract(scope(columns=columns), COLUMNS, (source,), tmp_path / "out")
        assert invalid.value.code == "contract.mismatch"


def _nothing_left(engine: JailedEngine, sources: tuple[Path, ...], folder: Path) -> SandboxError:
    with pytest.raises(Unavailable) as failed:
        engine.extract(scope(), COLUMNS, sources, folder)
    assert [*folder.iterdir()] == []
    assert str(folder) not in failed.value.message + failed.value.hint
    return failed.value


def test_a_source_that_is_no_parquet_lacks_a_column_or_is_missing_leaves_nothing(
    engine: JailedEngine, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    text, narrow = tmp_path / "text.parquet", tmp_path / "narrow.parquet"
    text.write_text("town,n\n")
    pq.write_table(pa.table({"town": ["a"]}), narrow)
    for bad in (text, narrow, tmp_path / "none.parquet"):
        assert _nothing_left(engine, (bad,), tmp_path / "out").code == "engine.extract"


def test_a_child_killed_while_it_writes_leaves_nothing(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    hasty = JailedEngine(extract_seconds=0)
    try:
        assert _nothing_left(hasty, (source,), tmp_path / "out").code == "engine.extract"
    finally:
        hasty.close()


def test_the_jail_writes_no_other_file_than_its_extract(engine: JailedEngine, source: Path, tmp_path: Path) -> None:
    """The scope is data: a dataset whose column is named like SQL stays one column."""
    crooked = tmp_path / "crooked.parquet"
    name = """a" FROM x; COPY (SELECT 1) TO 'x"""
    pq.write_table(pa.table({name: [1]}), crooked)
    made = engine.extract(scope(columns=(name,)), (Column(name, "BIGINT"),), (crooked,), tmp_path / "out")
    assert held(made).column_names == [name]


def test_its_name_holds_the_digest_of_its_bytes(engine: JailedEngine, source: Path, tmp_path: Path) -> None:
    made = engine.extract(scope(), COLUMNS, (source,), tmp_path / "out")
    assert own_digest(made) == hashlib.sha256(made.read_bytes()).hexdigest()


def test_an_extract_that_was_altered_is_not_opened(engine: JailedEngine, source: Path, tmp_path: Path) -> None:
    made = engine.extract(scope(), COLUMNS, (source,), tmp_path / "out")
    job = Job("qry", "SELECT count(*) FROM towns", {"towns": (made,)}, Limits(10, 10_000, 10, 512))
    with engine.run(job) as outcome:
        assert outcome.read().to_pylist() == [{"count_star()": 4}]
    content = bytearray(made.read_bytes())
    content[len(content) // 2] ^= 1
    made.unlink()
    made.write_bytes(content)
    with pytest.raises(Tampered) as tampered:
        engine.run(job)
    assert tampered.value.code == "tampered.extract"
    assert str(tmp_path) not in tampered.value.message


def test_what_nobody_needs_is_swept_and_what_is_needed_stays(
    engine: JailedEngine, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    kept = engine.extract(scope(), COLUMNS, (source,), folder)
    engine.extract(scope(Condition("n", (1,))), COLUMNS, (source,), folder)
    (folder / "part-left").mkdir()
    (folder / "part-left" / "made.duckdb").touch()
    needed = {views.extract_name(scope(), COLUMNS, (source,))}
    assert extracts.sweep(folder, needed, lambda _: False) == 0, "somebody may be at work on it"
    assert extracts.sweep(folder, needed, lambda _: True) == 2
    assert [*folder.iterdir()] == [kept]
    assert extracts.sweep(tmp_path / "none", needed, lambda _: True) == 0


@pytest.mark.parametrize(
    "more",
    [
        "CREATE VIEW lower AS SELECT 1",
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE SEQUENCE s",
        "CREATE TABLE other (a INTEGER)",
        "CREATE INDEX i ON rows (n)",
    ],
)
def test_a_file_that_brings_more_along_than_rows_is_not_opened(engine: JailedEngine, tmp_path: Path, more: str) -> None:
    """As one would that a maker who was taken over has written."""
    with duckdb.connect(str(tmp_path / "made.duckdb")) as connection:
        connection.execute("CREATE TABLE rows AS SELECT 1 AS n")
        connection.execute(more)
    digest = hashlib.sha256((tmp_path / "made.duckdb").read_bytes()).hexdigest()
    path = (tmp_path / "made.duckdb").rename(tmp_path / f"x-{digest}.duckdb")
    with pytest.raises(QueryRefused), engine.run(Job("q", "SELECT 1", {"t": (path,)}, Limits(9, 999, 9, 512))) as run:
        run.read()


def test_a_macro_that_a_file_brings_along_takes_no_functions_place(engine: JailedEngine, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "made.duckdb")) as connection:
        connection.execute("CREATE TABLE rows AS SELECT 'A' AS n")
        connection.execute("CREATE MACRO lower(x) AS 'mine'")
    digest = hashlib.sha256((tmp_path / "made.duckdb").read_bytes()).hexdigest()
    path = (tmp_path / "made.duckdb").rename(tmp_path / f"x-{digest}.duckdb")
    sql = engine.analyse("SELECT lower(n) AS n FROM t", [Relation("t", (Column("n", "VARCHAR"),))]).runs
    with engine.run(Job("q", sql, {"t": (path,)}, Limits(9, 999, 9, 512))) as run:
        assert run.read().to_pylist() == [{"n": "a"}]


def test_no_piece_of_a_row_that_was_not_granted_lies_in_the_file(engine: JailedEngine, tmp_path: Path) -> None:
    source = tmp_path / "source.parquet"
    duckdb.sql(
        f"COPY (SELECT i % 10 AS town, (CASE WHEN i % 10 = 0 THEN 'open' ELSE 'HIDDEN' END) || hash(i) AS secret "
        f"FROM range(300000) t(i)) TO '{source}'"
    )
    columns = (Column("town", "BIGINT"), Column("secret", "VARCHAR"))
    granted = Scope(DatasetId("towns"), VERSION, ("town", "secret"), (Condition("town", (0,)),))
    content = engine.extract(granted, columns, (source,), tmp_path / "out").read_bytes()
    assert b"open" in content
    assert b"HIDD" not in content


def test_a_log_planted_beside_an_extract_is_not_replayed(engine: JailedEngine, source: Path, tmp_path: Path) -> None:
    made = engine.extract(scope(), COLUMNS, (source,), tmp_path / "out")
    made.with_name(f"{made.name}.wal").write_bytes(b"planted")
    job = Job("q", "SELECT count(*) FROM towns", {"towns": (made,)}, Limits(9, 999, 9, 512))
    with pytest.raises(QueryRefused), engine.run(job) as run:
        run.read()
