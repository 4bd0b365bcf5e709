"""From a contract's scope to the extract: the one file that holds what the contract grants and nothing else.

The scope is data. Names and values are escaped here, and the SQL is never a contract's own text.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from sandbox.core.canonical import digest_of
from sandbox.core.errors import Invalid
from sandbox.core.terms import Column, Condition, Scope

_TYPE: Final = re.compile(r"[A-Z][A-Z0-9_]*(?: [A-Z]+)*(?:\(\d{1,2}, ?\d{1,2}\))?", re.ASCII)
_FORMAT: Final = 3  # a new way of writing extracts gets new names
_ROW_GROUP: Final = 120_832
"""With a row more than 122,880 in a group of Parquet, two threads leave half of a database's blocks empty."""
_TABLE: Final = "made.main.rows"


def checked(columns: Iterable[Column]) -> list[list[str]]:
    """Columns as the jail takes them, name and type.

    Raises:
        Invalid: ``contract.mismatch`` when a type is not the plain name of one; it would stand in SQL unquoted.
    """
    pairs = [[column.name, column.type] for column in columns]
    for name, kind in pairs:
        if not _TYPE.fullmatch(kind):
            raise Invalid(
                "contract.mismatch", f"Column {name!r} has no plain type.", hint="Such as BIGINT or DECIMAL(9, 2)."
            )
    return pairs


@cache
def _engine() -> str:
    return version("duckdb")


@lru_cache(maxsize=1024)
def extract_name(scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...]) -> str:
    """How an extract's file name begins: a digest of all that determines it, sources being named by theirs."""
    document = {
        "format": _FORMAT,
        "engine": _engine(),
        "version": scope.version,
        "sources": [source.name for source in sources],
        "columns": checked(columns),
        "rows": [{"column": condition.column, "values": list(condition.values)} for condition in scope.rows],
    }
    return digest_of(document).removeprefix("sha256:")


def granted_sql(scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...], target: Path) -> str:
    """The COPY that takes the granted columns and rows out of the sources.

    Raises:
        Invalid: ``contract.mismatch`` when the scope opens no column or another one than ``columns``.
    """
    if not columns or {column.name for column in columns} != set(scope.columns):
        raise Invalid(
            "contract.mismatch", "The contract's columns are not those of the relation.", hint="Sign it anew."
        )
    chosen = ", ".join(f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind in checked(columns))
    files = ", ".join(_text(str(source)) for source in sources)
    rows = " AND ".join(_condition(condition) for condition in scope.rows) or "true"
    options = f"FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {_ROW_GROUP}, USE_TMP_FILE false"
    return f"COPY (SELECT {chosen} FROM read_parquet([{files}]) WHERE {rows}) TO {_text(str(target))} ({options})"  # noqa: S608 - every part is escaped above


def extract_sql(columns: tuple[Column, ...], granted: Path) -> str:
    """The statement that fills an extract with what was granted, in another process than read the rest.

    The engine leaves pieces of its memory in the unused parts of its files' blocks.
    """
    chosen = ", ".join(f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind in checked(columns))
    return f"CREATE TABLE {_TABLE} AS SELECT {chosen} FROM read_parquet({_text(str(granted))})"  # noqa: S608 - every part is escaped above


def _condition(condition: Condition) -> str:
    if not condition.values:  # an empty list grants nothing
        return "false"
    return f"{_name(condition.column)} IN ({', '.join(_literal(value) for value in condition.values)})"


def _literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, int) else _text(value)


def _text(value: str) -> str:
    if "\0" in value:
        raise Invalid("contract.mismatch", "A text in the contract holds NUL.", hint="Sign it anew without.")
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
