"""Parquet files made by hand, for what no writer writes: structures of Thrift's compact protocol, pages, a footer."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Member = tuple[int, Any]
Struct = dict[int, Member]
"""The kind and the value of each member, by its number."""
TRUE, FALSE, I32, I64, BINARY, LIST, STRUCT = 1, 2, 5, 6, 8, 9, 12
UNCOMPRESSED, SNAPPY, GZIP, LZO, BROTLI, ZSTD = 0, 1, 2, 3, 4, 6


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _value(kind: int, value: Any) -> bytes:
    if kind in {4, I32, I64}:
        return varint((value << 1) ^ (value >> 63) if value >= 0 else ((-value) << 1) - 1)
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == LIST:
        of, items = value
        size = bytes([len(items) << 4 | of]) if len(items) < 15 else bytes([0xF0 | of]) + varint(len(items))
        return size + b"".join(_value(of, item) for item in items)
    return encode(value) if kind == STRUCT else bytes(value)


def encode(members: Mapping[int, Member]) -> bytes:
    """A structure as bytes."""
    out, last = bytearray(), 0
    for number, (kind, value) in sorted(members.items()):
        step = number - last
        out += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + varint(number << 1)
        out += b"" if kind in {TRUE, FALSE} else _value(kind, value)
        last = number
    return bytes([*out, 0])


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]

    def varint(self) -> int:
        value = shift = 0
        while (byte := self.take(1)[0]) >= 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def number(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind: int) -> Any:
        if kind in {4, I32, I64}:
            return self.number()
        if kind == BINARY:
            return self.take(self.varint())
        if kind == LIST:
            head = self.take(1)[0]
            size = head >> 4 if head >> 4 < 15 else self.varint()
            return head & 15, [self.value(head & 15) for _ in range(size)]
        return self.struct() if kind == STRUCT else self.take({3: 1, 7: 8}.get(kind, 0))

    def struct(self) -> Struct:
        members: Struct = {}
        number = 0
        while head := self.take(1)[0]:
            number = number + (head >> 4) if head >> 4 else self.number()
            members[number] = (head & 15, self.value(head & 15))
        return members


def decode(content: bytes) -> Struct:
    """A structure from bytes."""
    return _Reader(content).struct()


def page(payload: bytes, *, values: int = 3, unpacked: int | None = None, stored: int | None = None, kind: int = 0,
         **more: Member) -> bytes:  # fmt: skip
    """A page with its header; what is not said of it is true."""
    of_values = {1: (I32, values), 2: (I32, 0), 3: (I32, 3), 4: (I32, 3)}
    header: Struct = {
        1: (I32, kind),
        2: (I32, len(payload) if unpacked is None else unpacked),
        3: (I32, len(payload) if stored is None else stored),
        {0: 5, 2: 7}[kind]: (STRUCT, of_values),
    }
    header |= {int(name.removeprefix("m")): member for name, member in more.items()}
    return encode(header) + payload


def repeated(rows: int) -> bytes:
    """A page whose rows all point to the first value of the dictionary."""
    of_values = {1: (I32, rows), 2: (I32, 8), 3: (I32, 3), 4: (I32, 3)}
    return page(bytes([1]) + varint(rows << 1) + bytes(1), m5=(STRUCT, of_values))


def one_column(path: Path, pages: Sequence[bytes], *, values: int = 3, codec: int = UNCOMPRESSED, text: bool = False,
               dictionary: bool = False, **lies: int) -> Path:  # fmt: skip
    """A file of one column ``v`` that is never null, INTEGER or VARCHAR, in one row group."""
    chunk = b"".join(pages)
    first = 4 + (len(pages[0]) if dictionary else 0)
    column: Struct = {
        1: (I32, 6 if text else 1),
        2: (LIST, (I32, [0])),
        3: (LIST, (BINARY, [b"v"])),
        4: (I32, codec),
        5: (I64, values),
        6: (I64, lies.get("unpacked", len(chunk))),
        7: (I64, lies.get("stored", len(chunk))),
        9: (I64, lies.get("offset", first)),
    }
    if dictionary:
        column[11] = (I64, 4)
    element: Struct = {1: (I32, 6 if text else 1), 3: (I32, 0), 4: (BINARY, b"v")}
    if text:
        element |= {6: (I32, 0), 10: (STRUCT, {1: (STRUCT, {})})}
    group: Struct = {
        1: (LIST, (STRUCT, [{2: (I64, 0), 3: (STRUCT, column)}])),
        2: (I64, len(chunk)),
        3: (I64, lies.get("group", values)),
    }
    root: Struct = {4: (BINARY, b"schema"), 5: (I32, 1)}
    footer: Struct = {
        1: (I32, 1),
        2: (LIST, (STRUCT, [root, element])),
        3: (I64, lies.get("rows", values)),
        4: (LIST, (STRUCT, [group])),
    }
    return closed(path, b"PAR1" + chunk, footer)


def closed(path: Path, content: bytes, footer: Struct) -> Path:
    """A file that ends with that footer."""
    end = encode(footer)
    path.write_bytes(content + end + struct.pack("<I", len(end)) + b"PAR1")
    return path


def opened(path: Path) -> tuple[bytes, Struct]:
    """What a file holds before its footer, and the footer, to be altered."""
    content = path.read_bytes()
    (size,) = struct.unpack("<I", content[-8:-4])
    return content[: -8 - size], decode(content[-8 - size : -8])


def columns_of(footer: Struct, group: int = 0) -> list[Struct]:
    """What the footer says of the column chunks of a row group."""
    return [chunk[3][1] for chunk in footer[4][1][1][group][1][1][1]]


def numbers(*values: int) -> bytes:
    """Whole numbers of 32 bits as a page holds them."""
    return struct.pack(f"<{len(values)}i", *values)


def texts(*values: bytes) -> bytes:
    """Texts as a page holds them."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)
