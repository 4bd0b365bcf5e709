"""The headers of a Parquet file's pages, read before anything is unpacked.

What unpacks a page takes the size that its header declares, so a page that would fill the memory is known by its
header. The headers are structures of Thrift's compact protocol; only whole numbers in them matter here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Any, Final

MOST_HEADER: Final = 1 << 16
"""Bytes; writers leave a page's statistics out when they are longer than 4096."""
MOST_UNPACKED: Final = 256 << 20
"""Bytes of one page; writers aim at one megabyte, and exceed it where single values are long."""
_DEEPEST: Final = 8
_DICTIONARY_PAGE: Final = 2
_OF_VALUES: Final = {0: 5, 2: 7, 3: 8}
"""For each type of page that has values, the member that counts them."""


class Unsound(Exception):
    """The headers of a column's pages do not make sense; the text says what is wrong, and holds no value."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as its header tells it: bytes with the header and unpacked, and how many values it counts."""

    stored: int
    unpacked: int
    values: int
    dictionary: bool


def pages(content: FileIO, start: int, size: int, values: int) -> Iterator[Page]:
    """The pages of a column chunk, until its values are all counted.

    Raises:
        Unsound: they do not fill what the footer says, or a header is none.
    """
    at, end, counted = start, start + size, 0
    while counted < values:
        page = _page(os.pread(content.fileno(), min(MOST_HEADER, end - at), at) if at < end else b"")
        at += page.stored
        counted += 0 if page.dictionary else page.values
        if at > end or counted > values:
            raise Unsound("a page that is larger than its column")
        yield page


def _page(head: bytes) -> Page:
    reader = _Compact(head)
    try:
        header = reader.struct()
    except IndexError:
        raise Unsound("a page header that is cut off or too long") from None
    kind, unpacked, stored = (header.get(member) for member in (1, 2, 3))
    if not (isinstance(kind, int) and isinstance(unpacked, int) and isinstance(stored, int)):
        raise Unsound("a page without a header")
    of_values = header.get(_OF_VALUES.get(kind, 0), {})
    values = of_values.get(1, 0) if isinstance(of_values, dict) else 0
    if not isinstance(values, int) or min(unpacked, stored, values) < 0:
        raise Unsound("a page of a negative size")
    if unpacked > MOST_UNPACKED:
        raise Unsound(f"a page that unpacks to {unpacked} bytes, more than {MOST_UNPACKED}")
    dictionary = kind == _DICTIONARY_PAGE
    if dictionary and values > unpacked:  # room is made for as many as are declared
        raise Unsound("a dictionary that is larger than its page")
    return Page(reader.at + stored, unpacked, values, dictionary)


class _Compact:
    """Reads a structure; running off the end raises IndexError."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Its members by their numbers."""
        if depth > _DEEPEST:
            raise Unsound("a page header that is nested too deeply")
        members: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            members[number] = self._value(head & 15, depth)
        return members

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:
                return kind == 1  # true or false is part of the kind
            case 3:
                return self._byte()
            case 4 | 5 | 6:  # whole numbers of 16, 32 and 64 bits
                return self._number()
            case 7:  # a number in floating point
                return self._skip(8)
            case 8:  # bytes: the least and greatest value in a page's statistics
                return self._skip(self._varint())
            case 12:
                return self.struct(depth + 1)
        raise Unsound("a page header of an unknown form")

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - the highest bit says that more follow
                return value
            shift += 7

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._content):
            raise IndexError
