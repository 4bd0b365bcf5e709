"""How a Parquet file is built, looked at before any of its values is unpacked."""

import os
from collections.abc import Sequence
from io import FileIO
from typing import Any, Final, NoReturn

from sandbox.catalog.pages import Unsound, pages
from sandbox.catalog.parquet import refuse

CODECS: Final = ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4", "LZ4_RAW")
"""Not BROTLI: its decoder in the engine writes out of bounds (CVE-2026-111497)."""
MOST_FOOTER: Final = 64 << 20
MOST_GROUPS: Final = 20_000
"""Row groups; as many as 2³¹ rows need in groups of the usual size, and some more."""
FREE_BYTES: Final = 1 << 30
MOST_RATIO: Final = 200
"""A file may unpack to ``FREE_BYTES``, and beyond that to so many times its size."""
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_TAIL: Final = 8
_HINT: Final = "Write the file again with compression zstd, and check that the copy is complete."


def require_ends(content: FileIO, name: str) -> None:
    """Look at the file's last bytes, before the footer that they announce is read.

    Raises:
        Invalid: ``parquet.unreadable`` for an encrypted file, or a footer that is no size for one.
    """
    size = os.fstat(content.fileno()).st_size
    tail = os.pread(content.fileno(), _TAIL, max(0, size - _TAIL))
    if tail[4:] == _ENCRYPTED:
        encrypted(name)
    if tail[4:] == _MAGIC and int.from_bytes(tail[:4], "little") > MOST_FOOTER:
        _unsound(name, f"a footer of {int.from_bytes(tail[:4], 'little')} bytes", f"at most {MOST_FOOTER}")


def encrypted(name: str) -> NoReturn:
    """Refuse a file that only holders of its key can read.

    Raises:
        Invalid: ``parquet.unreadable``.
    """
    sentence = f"{name}: got an encrypted file, expected one that can be read without a key."
    refuse("parquet.unreadable", sentence, "Write the file again without encryption.")


def require_sound(file: Any, content: FileIO, name: str) -> int:
    """Look at how each column chunk is stored and cut into pages; answers the bytes of the widest rows, unpacked.

    Raises:
        Invalid: ``parquet.refused_codec``, or ``parquet.unreadable`` when sizes and counts contradict each other, or
            the file would unpack to too much.
    """
    metadata = file.metadata
    size = os.fstat(content.fileno()).st_size
    if metadata.num_row_groups > MOST_GROUPS:
        _unsound(name, f"{metadata.num_row_groups} row groups", f"at most {MOST_GROUPS}")
    most = FREE_BYTES + MOST_RATIO * size
    rows = stored = unpacked = 0
    widest = 1
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        taken, grown = _group(group, content, name)
        rows, stored, unpacked = rows + group.num_rows, stored + taken, unpacked + grown
        widest = max(widest, grown // max(1, group.num_rows))
        if stored > size:  # several columns of the same bytes would make a small file large
            _unsound(name, "columns that hold more bytes than the file", "each byte once")
        if unpacked > most:
            require_unpacked(unpacked, size, name)
    if rows != metadata.num_rows:
        _unsound(name, f"{rows} rows in its row groups", f"the {metadata.num_rows} that the file declares")
    return widest


def dictionaries(file: Any, texts: Sequence[str]) -> list[str]:
    """Those columns of texts that may be read as dictionaries, which is faster: not what is stored as differences."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    deltas = {
        chunk.path_in_schema
        for group in groups
        for chunk in map(group.column, range(group.num_columns))
        if any(encoding.startswith("DELTA") for encoding in chunk.encodings)
    }
    return [name for name in texts if name not in deltas]


def require_unpacked(unpacked: int, size: int, name: str) -> None:
    """Refuse a file of ``size`` bytes whose values take far more.

    Raises:
        Invalid: ``parquet.unreadable``.
    """
    most = FREE_BYTES + MOST_RATIO * size
    if unpacked > most:
        _unsound(name, f"{size} bytes that unpack to {unpacked} or more", f"at most {most}")


def _group(group: Any, content: FileIO, name: str) -> tuple[int, int]:
    stored = unpacked = 0
    for index in range(group.num_columns):
        chunk = group.column(index)
        _require_readable(chunk, name)
        if chunk.num_values != group.num_rows or group.num_rows < 0:
            sentence = f"{name}: column {chunk.path_in_schema[:63]} counts {chunk.num_values} values"
            refuse("parquet.unreadable", f"{sentence}, expected one for each of {group.num_rows} rows.", _HINT)
        stored += chunk.total_compressed_size
        unpacked += _unpacked(chunk, content, name)
    return stored, unpacked


def _unpacked(chunk: Any, content: FileIO, name: str) -> int:
    if not chunk.num_values:  # some writers close a file with a row group of no rows, which lies nowhere
        return 0
    try:
        found = pages(content, _start(chunk), chunk.total_compressed_size, chunk.num_values)
        return sum(page.unpacked for page in found)
    except Unsound as fault:
        sentence = f"{name}: column {chunk.path_in_schema[:63]} holds {fault}, expected sound Parquet."
        refuse("parquet.unreadable", sentence, _HINT)


def _require_readable(chunk: Any, name: str) -> None:
    if chunk.compression not in CODECS:
        sentence = f"{name}: column {chunk.path_in_schema} is compressed with {chunk.compression}"
        hint = "Write the file again with compression zstd."
        refuse("parquet.refused_codec", f"{sentence}, expected one of {', '.join(CODECS)}.", hint)
    if chunk.file_path:
        sentence = f"{name}: column {chunk.path_in_schema} points to another file, expected its values."
        refuse("parquet.unreadable", sentence, "Write the table as Parquet files that stand alone.")


def _start(chunk: Any) -> int:
    """Where a reader begins: with the dictionary, when that stands before the values."""
    first = int(chunk.data_page_offset)
    dictionary = chunk.dictionary_page_offset or first
    start = min(first, dictionary) if dictionary > 0 else first
    if start < len(_MAGIC):
        raise Unsound("values outside the file")
    return start


def _unsound(name: str, got: str, expected: str) -> NoReturn:
    refuse("parquet.unreadable", f"{name}: got {got}, expected {expected}.", _HINT)
