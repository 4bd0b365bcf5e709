"""The schema that the migrations make is the schema that the rooms work with, on both databases."""

import importlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

import sandbox
from sandbox.audit.store import guard_statements as log_guards
from sandbox.core import migrate
from sandbox.core.database import metadata, open_engine
from sandbox.core.errors import Unavailable
from sandbox.core.guards import guard_statements

ROOM = re.compile(r"^from sandbox\.core\.database import .*\bmetadata\b", re.MULTILINE)
LOG = ("log_entry", "log_tile", "log_head")
ROWS = {
    "log_entry": {"idx": 0, "entry_id": "a", "leaf": b"a"},
    "log_tile": {"level": 0, "n": 0, "hashes": b"a", "root": b"a"},
    "log_head": {"size": 1, "root": b"a", "note": b"a", "at": datetime(2026, 11, 22, tzinfo=UTC)},
}


@pytest.fixture(scope="module", autouse=True)
def _all_rooms() -> None:
    """Import every module that defines tables, wherever it is."""
    package = Path(sandbox.__file__).parent
    for path in package.rglob("*.py"):
        if ROOM.search(path.read_text()) and "migrations" not in path.parts:
            importlib.import_module(".".join(path.relative_to(package.parent).with_suffix("").parts))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def migrated(engine: Engine) -> Engine:
    """A database at the newest revision."""
    migrate.upgrade(engine)
    return engine


def shape(engine: Engine) -> dict[str, Any]:
    """All that the database knows of the tables, constraints and indexes included."""
    inspector = sa.inspect(engine)
    return {
        table: {
            "columns": [{**each, "type": str(each["type"])} for each in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "checks": sorted(map(str, inspector.get_check_constraints(table))),
            "indexes": sorted(map(str, inspector.get_indexes(table))),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_there_is_nothing_left_to_migrate(migrated: Engine) -> None:
    with migrated.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_schema_is_the_rooms_to_the_last_constraint(migrated: Engine) -> None:
    found = shape(migrated)
    with migrated.execution_options(writes=True).begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert found == shape(migrated)
    assert len(found) == len(metadata.tables) >= 17


def test_the_guards_are_those_of_the_audit_room(migrated: Engine) -> None:
    dialect = migrated.dialect.name
    with migrated.connect() as connection:
        if dialect == "sqlite":
            listed = "SELECT sql FROM sqlite_master WHERE type = 'trigger'"
        else:
            listed = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
        found = {re.sub(r" ON public\.", " ON ", sql) for sql in connection.exec_driver_sql(listed).scalars()}
    both = [*log_guards(dialect), *guard_statements(dialect, metadata.tables.values())]
    wanted = {sql for sql in both if sql.startswith("CREATE TRIGGER")}
    assert {ordered(sql) for sql in found} == {ordered(sql) for sql in wanted}


def ordered(sql: str) -> tuple[str, ...]:
    """A statement's words, in an order of our own: PostgreSQL writes the events of a trigger in its own."""
    return tuple(sorted(sql.split()))


@pytest.mark.parametrize("table", LOG)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}", "REPLACE"])
def test_the_log_cannot_be_changed(migrated: Engine, table: str, change: str) -> None:
    sqlite = migrated.dialect.name == "sqlite"
    row, target = ROWS[table], metadata.tables[table]
    with migrated.execution_options(writes=True).begin() as connection:
        connection.execute(target.insert().values(row))
    if change == "REPLACE":
        forged = target.insert().values(row | {"root" if "root" in row else "leaf": b"forged"})
        statement: Any = forged.prefix_with("OR REPLACE", dialect="sqlite")
    else:
        statement = sa.text(change.format(table, next(iter(row))))
    with pytest.raises(sa.exc.DBAPIError) as refused, migrated.execution_options(writes=True).begin() as connection:
        connection.execute(statement)
    if change != "REPLACE" and not (sqlite and change.startswith("TRUNCATE")):
        assert "append-only" in str(refused.value)
    with migrated.connect() as connection:
        assert dict(connection.execute(sa.select(target)).mappings().one()).keys() == row.keys()
        assert b"forged" not in connection.execute(sa.select(target)).one()


def test_a_sealed_body_can_be_erased(migrated: Engine) -> None:
    body = metadata.tables["log_body"]
    with migrated.execution_options(writes=True).begin() as connection:
        connection.execute(body.insert().values(entry_id="a", name="sql", salt=b"s", value=b"v"))
        assert connection.execute(body.delete()).rowcount == 1


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("account", {"name": "wallet/a", "owner": "a", "balance": -1}),
        ("budget", {"id": "a", "cap": 1, "spent": 2}),
        ("hold", {"query_id": "a", "buyer": "b", "vnd": 1, "state": "lost", "reserved_by": "e"}),
        ("hold", {"query_id": "a", "buyer": "b", "vnd": 1, "state": "captured", "reserved_by": "e"}),
        ("posting", {"entry_id": "e", "account": "nobody", "vnd": 1}),
        ("posting", {"entry_id": "e", "account": "bank", "vnd": 0}),
    ],
    ids=str,
)
def test_what_must_never_be_is_refused_by_the_database_itself(
    migrated: Engine, table: str, row: dict[str, Any]
) -> None:
    with migrated.execution_options(writes=True).begin() as connection:
        connection.execute(metadata.tables["account"].insert().values(name="bank", owner="bank", balance=-5))
    with pytest.raises(sa.exc.IntegrityError), migrated.execution_options(writes=True).begin() as connection:
        connection.execute(metadata.tables[table].insert().values(row))


# --- revisions ---


def test_a_migrated_database_is_accepted_and_migrating_again_changes_nothing(migrated: Engine) -> None:
    before = shape(migrated)
    migrate.upgrade(migrated)
    migrate.require_current(migrated)
    assert shape(migrated) == before


def test_the_program_needs_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]


def test_an_empty_database_is_refused(engine: Engine) -> None:
    with pytest.raises(Unavailable) as refused:
        migrate.require_current(engine)
    assert refused.value.code == "database.revision"
    assert "migrate" in refused.value.hint


@pytest.mark.parametrize("change", ["UPDATE alembic_version SET version_num = '9999'", "DELETE FROM alembic_version"])
def test_a_foreign_revision_is_refused(migrated: Engine, change: str) -> None:
    with migrated.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(Unavailable) as refused:
        migrate.require_current(migrated)
    assert refused.value.code == "database.revision"


def test_a_database_at_two_revisions_is_refused(migrated: Engine) -> None:
    with migrated.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('9999')")
    with pytest.raises(Unavailable) as refused:
        migrate.require_current(migrated)
    assert refused.value.code == "database.revision"


def test_a_database_of_a_newer_program_is_not_migrated(migrated: Engine) -> None:
    with migrated.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = shape(migrated)
    with pytest.raises(Unavailable) as refused:
        migrate.upgrade(migrated)
    assert refused.value.code == "database.revision"
    assert shape(migrated) == before


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "postgresql+psycopg://nobody@127.0.0.1:1/none"])
def test_a_database_that_does_not_answer_is_said_so(url: str) -> None:
    engine = open_engine(url)
    for act in (migrate.require_current, migrate.upgrade):
        with pytest.raises(Unavailable) as refused:
            act(engine)
        assert refused.value.code == "database.unreachable"
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing(engine: Engine) -> None:
    with engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE log_head (foreign_one INTEGER)")  # one of the last tables to come
    before = shape(engine)
    with pytest.raises(sa.exc.DBAPIError):
        migrate.upgrade(engine)
    assert shape(engine) == before
    assert not sa.inspect(engine).has_table("alembic_version")


def test_two_processes_may_migrate_at_once(database_url: str) -> None:
    barrier, engines = threading.Barrier(2), [open_engine(database_url) for _ in range(2)]

    def go(engine: Engine) -> None:
        barrier.wait(30)
        migrate.upgrade(engine)
        migrate.require_current(engine)

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(go, engines)] == [None, None]
    for engine in engines:
        engine.dispose()
