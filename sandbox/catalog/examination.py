"""The examination: every row of a dataset's files read once, against the descriptor."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from sandbox.catalog import parquet
from sandbox.catalog.descriptor import Descriptor
from sandbox.catalog.parquet import refuse
from sandbox.catalog.tally import Tally
from sandbox.core.canonical import Json
from sandbox.core.terms import Digest

Statistics: TypeAlias = Mapping[str, Mapping[str, Json]]
"""For each column: nulls, distinct, min and max; see :class:`sandbox.catalog.tally.Tally` for what is withheld."""
MOST_FILES: Final = 10_000
_MOST_FAULTS: Final = 10


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One Parquet file of a version, by the digest of its bytes."""

    digest: Digest
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Examined:
    """Files that are what their descriptor says, in the order they were given."""

    rows: int
    bytes: int
    files: tuple[FileEntry, ...]
    statistics: Statistics


def examine_here(
    descriptor: Descriptor, files: Sequence[Path], started: Callable[[Path], None] = lambda _: None
) -> Examined:
    """Examine files in this process, which unsound bytes can end: only for files of one's own.

    Raises:
        Invalid: see :func:`sandbox.catalog.dataset.examine`.
    """
    if not 0 < len(files) <= MOST_FILES:
        sentence = f"{descriptor.id}: got {len(files)} files, expected 1 to {MOST_FILES}."
        refuse("parquet.mismatch", sentence, "Name the dataset's Parquet files.")
    tallies = {
        column.name: Tally(column, is_unit=column.name == descriptor.privacy_unit, columns=len(descriptor.columns))
        for column in descriptor.columns
    }
    entries: dict[Digest, FileEntry] = {}
    for path in files:
        started(path)
        entry = _file(path, descriptor, tallies)
        if entry.digest in entries:
            sentence = f"{path.name}: got the same bytes as an earlier file, expected each row once."
            refuse("parquet.mismatch", sentence, "Leave one of the two out.")
        entries[entry.digest] = entry
        _check_size(sum(known.rows for known in entries.values()), path.name)
    return Examined(
        rows=sum(entry.rows for entry in entries.values()),
        bytes=sum(entry.bytes for entry in entries.values()),
        files=tuple(entries.values()),
        statistics={name: tally.statistics() for name, tally in tallies.items()},
    )


def _check_size(rows: int, name: str) -> None:
    if rows > parquet.MOST_ROWS:
        sentence = f"{name}: got {rows} rows with it, expected at most {parquet.MOST_ROWS} in a dataset."
        refuse("parquet.mismatch", sentence, "Split the dataset in two.")


def _file(path: Path, descriptor: Descriptor, tallies: Mapping[str, Tally]) -> FileEntry:
    with parquet.opened(path) as content:
        digest = Digest("sha256:" + hashlib.file_digest(content, "sha256").hexdigest())
        size = content.tell()
        content.seek(0)
        file = parquet.open_parquet(content)
        _check_size(file.metadata.num_rows, path.name)
        _check_columns(parquet.fields(file, path.name), descriptor, path.name)
        parquet.check_chunks(file, path.name)
        content.seek(0)
        file = parquet.open_parquet(content, [column.name for column in descriptor.columns if column.type == "VARCHAR"])
        return FileEntry(digest, _read(file, descriptor, tallies, path.name), size)


def _check_columns(fields: tuple[parquet.Field, ...], descriptor: Descriptor, name: str) -> None:
    found = {field.name: field.type for field in fields}
    expected = {column.name: column.type for column in descriptor.columns}
    faults = [
        f"column {column} is missing, expected {kind}" for column, kind in expected.items() if column not in found
    ]
    faults += [
        f"column {column} is {found[column]}, expected {kind}"
        for column, kind in expected.items()
        if found.get(column, kind) != kind
    ]
    faults += [
        f"column {column[:63]} is {kind}, expected no such column"
        for column, kind in found.items()
        if column not in expected
    ]
    if faults:
        more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        hint = "Write the file with the descriptor's columns and types, or correct the descriptor."
        refuse("parquet.mismatch", f"{name}: {'; '.join(faults[:_MOST_FAULTS])}{more}.", hint)


def _read(file: Any, descriptor: Descriptor, tallies: Mapping[str, Tally], name: str) -> int:
    rows = 0
    for batch in parquet.batches(file):
        for column in descriptor.columns:
            values = batch.column(column.name)
            if values.null_count and not column.nullable:
                first = rows + values.is_null().index(True).as_py() + 1
                sentence = f"{name}: column {column.name} is null in row {first}, expected a value in every row."
                refuse("parquet.mismatch", sentence, 'Fill the column, or set "nullable": true in the descriptor.')
            tallies[column.name].add(values)
        rows += batch.num_rows
    if rows != file.metadata.num_rows:
        sentence = f"{name}: got {rows} rows, expected the {file.metadata.num_rows} that the file declares."
        refuse("parquet.unreadable", sentence, "Write the file again.")
    if rows == 0:
        refuse("parquet.unreadable", f"{name}: got no rows, expected at least one.", "Leave the file out.")
    return rows
