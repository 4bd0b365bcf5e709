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
_FORMAT: Final = 2  # a new way of writing extracts gets new names
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


def extract_sql(scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...]) -> str:
    """The statement that fills an extract.

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
    return f"CREATE TABLE {_TABLE} AS SELECT {chosen} FROM read_parquet([{files}]) WHERE {rows}"  # noqa: S608 - every part is escaped above


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
