"""Tables that only ever grow: the triggers by which the database itself refuses to change or drop a row of them."""

from collections.abc import Iterable

import sqlalchemy as sa

_MARK = "append_only"


def guarded(table: sa.Table) -> sa.Table:
    """Mark a table as one that only ever grows; a migration gives it its triggers."""
    table.info[_MARK] = True
    return table


def guard_statements(dialect_name: str, tables: Iterable[sa.Table]) -> list[str]:
    """The triggers of those of ``tables`` that are :func:`guarded`, for ``sqlite`` or ``postgresql``."""
    marked = sorted((table for table in tables if table.info.get(_MARK)), key=lambda table: table.name)
    if dialect_name == "sqlite":
        return [_sqlite_guard(table, event) for table in marked for event in ("UPDATE", "DELETE", "INSERT")]
    function = (
        "CREATE FUNCTION record_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the record is append-only'; END $$"
    )
    return [function] + [
        f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION record_is_append_only()"
        for table in marked
    ]


def _sqlite_guard(table: sa.Table, event: str) -> str:
    # INSERT OR REPLACE deletes the old row without asking the DELETE trigger
    when = f"WHEN EXISTS (SELECT 1 FROM {table.name} WHERE {_taken(table)}) " if event == "INSERT" else ""  # noqa: S608
    return (
        f"CREATE TRIGGER {table.name}_no_{event.lower()} BEFORE {event} ON {table.name} {when}"
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    )


def _taken(table: sa.Table) -> str:
    """That a row is there already which a new one would replace: same key, or same in what is unique."""
    unique = [
        [*constraint.columns.keys()] for constraint in table.constraints if isinstance(constraint, sa.UniqueConstraint)
    ]
    keys = [[column.name for column in table.primary_key], *sorted(unique)]
    return " OR ".join("(" + " AND ".join(f"{name} = NEW.{name}" for name in key) + ")" for key in keys)
