"""The examination: every row of a dataset's files read once, against the descriptor, and written anew on the way."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog import parquet, structure
from sandbox.catalog.descriptor import ColumnSpec, Descriptor
from sandbox.catalog.layout import Layout, plain_bytes
from sandbox.catalog.parquet import refuse
from sandbox.catalog.tally import Tally
from sandbox.core.canonical import Json
from sandbox.core.terms import Digest

Statistics: TypeAlias = Mapping[str, Mapping[str, Json]]
"""For each column: nulls, distinct, min and max; see :class:`sandbox.catalog.tally.Tally` for what is withheld."""
MOST_FILES: Final = 1_000
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


def require_count(descriptor: Descriptor, files: Sequence[Path]) -> None:
    """Be sure that there are files, and not too many.

    Raises:
        Invalid: ``parquet.mismatch``.
    """
    if not 0 < len(files) <= MOST_FILES:
        sentence = f"{descriptor.id}: got {len(files)} files, expected 1 to {MOST_FILES}."
        refuse("parquet.mismatch", sentence, "Name the dataset's Parquet files.")


def examine_here(
    descriptor: Descriptor,
    files: Sequence[Path],
    started: Callable[[int], None] = lambda _: None,
    folder: Path | None = None,
) -> Examined:
    """Examine files in this process, which unsound bytes can end: only for files of one's own, or in a jail.

    In ``folder`` each file is written anew, under its number.

    Raises:
        Invalid: see :class:`sandbox.catalog.intake.Intake`.
        Unwritten: the folder does not take it.
    """
    require_count(descriptor, files)
    tallies = {
        column.name: Tally(column, is_unit=column.name == descriptor.privacy_unit, columns=len(descriptor.columns))
        for column in descriptor.columns
    }
    entries: dict[Digest, FileEntry] = {}
    for number, path in enumerate(files):
        started(number)
        anew = Layout(folder / str(number), descriptor) if folder else None
        entry = _file(path, descriptor, tallies, anew)
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


def _file(path: Path, descriptor: Descriptor, tallies: Mapping[str, Tally], anew: Layout | None) -> FileEntry:
    with parquet.opened(path) as content:
        digest = Digest("sha256:" + hashlib.file_digest(content, "sha256").hexdigest())
        size = content.tell()
        structure.require_ends(content, path.name)
        content.seek(0)
        file = _opened(content, path.name)
        _check_size(file.metadata.num_rows, path.name)
        _check_columns(parquet.fields(file, path.name), descriptor, path.name)
        widest = structure.require_sound(file, content, path.name)
        content.seek(0)
        texts = [column.name for column in descriptor.columns if column.type == "VARCHAR"]
        file = parquet.open_parquet(content, structure.dictionaries(file, texts))
        reading = _Reading(descriptor, tallies, path.name, size)
        _read(parquet.batches(file, widest), reading, anew)
        return FileEntry(digest, reading.total(file.metadata.num_rows), size)


def _read(batches: Iterable[Any], reading: "_Reading", anew: Layout | None) -> None:
    rewriting: AbstractContextManager[object] = anew or nullcontext()
    with rewriting:
        for batch in batches:
            reading.take(batch)
            if anew:
                anew.add(batch)


def _opened(content: FileIO, name: str) -> Any:
    try:
        return parquet.open_parquet(content)
    except OSError as error:
        if "crypt" in str(error):
            structure.encrypted(name)
        raise


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


class _Reading:
    """The rows of one file, looked at batch by batch."""

    def __init__(self, descriptor: Descriptor, tallies: Mapping[str, Tally], name: str, size: int) -> None:
        self._columns = descriptor.columns
        self._tallies = tallies
        self._name = name
        self._size = size
        self._rows = self._unpacked = 0

    def take(self, batch: Any) -> None:
        """Look at some rows and count them.

        Raises:
            Invalid: ``parquet.mismatch``, or ``parquet.unreadable`` when the rows written out would be far too many
                bytes for the file.
        """
        self._unpacked += plain_bytes(batch)
        structure.require_unpacked(self._unpacked, self._size, self._name)
        for column in self._columns:
            values = batch.column(column.name)
            if values.null_count and not column.nullable:
                first = self._rows + values.is_null().index(True).as_py() + 1
                sentence = f"{self._name}: column {column.name} is null in row {first}, expected a value in every row."
                refuse("parquet.mismatch", sentence, 'Fill the column, or set "nullable": true in the descriptor.')
            if column.type == "VARCHAR":
                _check_texts(values, column, self._name)
            self._tallies[column.name].add(values)
        self._rows += batch.num_rows

    def total(self, declared: int) -> int:
        """How many rows there were.

        Raises:
            Invalid: ``parquet.unreadable`` for none, or others than the file declares.
        """
        if self._rows != declared:
            sentence = f"{self._name}: got {self._rows} rows, expected the {declared} that the file declares."
            refuse("parquet.unreadable", sentence, "Write the file again.")
        if self._rows == 0:
            refuse("parquet.unreadable", f"{self._name}: got no rows, expected at least one.", "Leave the file out.")
        return self._rows


def _check_texts(values: Any, column: ColumnSpec, name: str) -> None:
    texts = values.unique()
    if pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_decode()
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > parquet.LONGEST_TEXT:
        sentence = f"{name}: column {column.name} holds a text of more than {parquet.LONGEST_TEXT} bytes"
        refuse("parquet.mismatch", f"{sentence}, expected none.", "Shorten the texts, or leave the column out.")
    other = texts.filter(pc.invert(pc.string_is_ascii(texts))) if len(texts) else texts
    if len(other) and not pc.utf8_normalize(other, "NFC").equals(other):  # equal to the eye, and two groups
        sentence = f"{name}: column {column.name} holds text in another Unicode form, expected NFC."
        refuse("parquet.mismatch", sentence, "Write the texts anew: unicodedata.normalize('NFC', text).")
