"""A disclosure: the values behind the seals of some entries, each of which anybody can hold against the log.

::

    {"checkpoint":"exchange.example.vn/log…","from":812,"names":null,"origin":"exchange.example.vn/log","to":815,"type":"sandbox.disclosure/v1"}
    {"entry":"ent_01K…","index":812,"name":"actor","salt":"<43 characters>","value":"cong-ty-a"}
    {"by":901,"entry":"ent_01K…","erased":true,"index":812,"name":"sql"}
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeGuard

import orjson

from sandbox.audit.events import SALT_BYTES, EventType, read_entry, seal
from sandbox.audit.outcomes import mismatch
from sandbox.audit.published import Published
from sandbox.core.errors import Invalid, SandboxError
from sandbox.core.keys import b64url, from_b64url

DISCLOSURE: Final = "sandbox.disclosure/v1"
MOST_LINE: Final = 1 << 24
"""Bytes of one line: no sealed value is longer."""
_EXACT: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_HINT: Final = "Ask the exchange for the disclosure again, and keep this one."


@dataclass(frozen=True, slots=True)
class Header:
    """Which entries a disclosure is of, ``first`` to ``last``, and the checkpoint that it was made under.

    ``names`` are the sealed members that it is limited to; None when it is of all.
    """

    origin: str
    first: int
    last: int
    checkpoint: bytes
    names: tuple[str, ...] | None = None

    def line(self) -> bytes:
        """The first line of the file."""
        return _line({
            "type": DISCLOSURE,
            "origin": self.origin,
            "from": self.first,
            "to": self.last,
            "names": None if self.names is None else [*self.names],
            "checkpoint": self.checkpoint.decode(),
        })  # fmt: skip

    def wants(self, name: str) -> bool:
        """Whether the disclosure is of this sealed member."""
        return self.names is None or name in self.names


@dataclass(frozen=True, slots=True)
class Line:
    """One sealed member of an entry: its salt and value as canonical JSON, or where the log says it was erased."""

    index: int
    entry: str
    name: str
    salt: bytes = b""
    value: bytes = b""
    by: int | None = None

    def line(self) -> bytes:
        """The line of the file."""
        own: dict[str, Any] = {"index": self.index, "entry": self.entry, "name": self.name}
        if self.by is not None:
            return _line(own | {"erased": True, "by": self.by})
        return _line(own | {"salt": b64url(self.salt), "value": orjson.Fragment(self.value)})


@dataclass(frozen=True, slots=True)
class DisclosureVerdict:
    """A disclosure whose every value is what the log sealed, and which lacks none; ``size`` is that of the log now."""

    header: Header
    size: int
    entries: int
    shown: int
    erased: int


@dataclass(slots=True)
class Told:
    """What a disclosure says of entries, held against them one by one, in their order."""

    header: Header
    lines: Iterator[Line]
    entries: int = 0
    shown: int = 0
    erased: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """By the index of the entry that tells of an erasure: entry and name of what it must say was erased."""

    def check(self, index: int, leaf: bytes) -> None:
        """Hold the lines of one entry against its leaf: every sealed member is shown as it was sealed, or was erased.

        Raises:
            Tampered: ``verify.mismatch``.
            Invalid: ``entry.malformed``, ``disclosure.malformed``.
        """
        entry = read_entry(leaf)
        self.entries += 1
        for name in filter(self.header.wants, sorted(entry["sealed"])):
            line = next(self.lines, None)
            if line is None or (line.index, line.entry, line.name) != (index, entry["id"], name):
                mismatch(f"{name!r} of entry {index} is neither shown nor said to be erased.")
            if line.by is not None:
                self.erased[line.by].append((line.entry, name))
            elif seal(name, line.salt, line.value) == entry["sealed"][name]:
                self.shown += 1
            else:
                mismatch(f"The value shown for {name!r} of entry {index} is not what the log sealed.")

    def finish(self) -> None:
        """Make sure that nothing is told beyond.

        Raises:
            Tampered: ``verify.mismatch``.
        """
        line = next(self.lines, None)
        if line is not None:
            mismatch(f"{line.name[:40]!r} of entry {line.index} does not belong there, or is told twice.")


def verify_disclosure(lines: Iterable[bytes], log: Published) -> DisclosureVerdict:
    """Hold a disclosure against a published log: whole, unaltered, and each erasure told in the log.

    Raises:
        Tampered: ``verify.mismatch`` when anything does not fit.
        NotCovered: ``verify.uncovered``, ``verify.quorum`` when it is of entries that are not published yet.
        Unavailable: ``verify.missing``, ``verify.unreachable``.
        Invalid: ``disclosure.malformed``.
    """
    # (1) Which entries, under which checkpoint? It was the log's, and the log is its continuation.
    header, told = read_disclosure(lines)
    if header.origin != log.checkpoint.origin:
        mismatch(f"The disclosure is of another log than {log.checkpoint.origin}.")
    if header.last >= log.require_continues(header.checkpoint).size:
        mismatch("The disclosure was made under a checkpoint that does not cover its entries.")
    # (2) Is each value what its entry sealed, and is none left out?
    for index, leaf in log.leaves(header.first, header.last + 1):
        told.check(index, leaf)
    told.finish()
    # (3) Does the log tell of each erasure?
    for by, gone in sorted(told.erased.items()):
        require_erasures(by, gone, log.leaf(by))
    count = sum(map(len, told.erased.values()))
    return DisclosureVerdict(header, log.checkpoint.size, told.entries, told.shown, count)


def require_erasures(by: int, gone: Sequence[tuple[str, str]], leaf: bytes) -> None:
    """Make sure that an entry says that these values were erased.

    Raises:
        Tampered: ``verify.mismatch``.
        Invalid: ``entry.malformed``.
    """
    entry = read_entry(leaf)
    names = entry.get("names")
    said = [(entry.get("entry"), name) for name in names] if isinstance(names, list) else []
    for each in gone:
        if entry["type"] != EventType.BODY_ERASED or each not in said:
            mismatch(f"Entry {by} does not say that {each[1]!r} of {each[0]} was erased.")


def read_disclosure(lines: Iterable[bytes]) -> tuple[Header, Told]:
    """The header of a disclosure, and its lines to be held against entries as they are read.

    Raises:
        Invalid: ``disclosure.malformed``.
    """
    numbered = enumerate(lines, 1)
    header = _header(_document(*next(numbered, (1, b""))))
    return header, Told(header, (_told(number, _document(number, line)) for number, line in numbered))


def _line(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _malformed(number: int, what: str) -> NoReturn:
    raise Invalid("disclosure.malformed", f"Line {number} of the disclosure {what}.", hint=_HINT)


def _document(number: int, line: bytes) -> Any:
    document: Any = None
    same = False
    if len(line) <= MOST_LINE:
        try:
            document = orjson.loads(line)
            # a key written twice would let two readers see two values; such bytes are not what is written back
            same = orjson.dumps(document, option=_EXACT) == line.removesuffix(b"\n")
        except (orjson.JSONDecodeError, TypeError):
            pass
    if not same:
        _malformed(number, "is not JSON in canonical form")
    return document


def _place(number: object) -> TypeGuard[int]:
    return type(number) is int and number >= 0


def _header(document: Any) -> Header:
    match document:
        case {
            "type": "sandbox.disclosure/v1",
            "origin": str(origin),
            "from": first,
            "to": last,
            "names": names,
            "checkpoint": str(checkpoint),
            **rest,
        } if not rest and _place(first) and _place(last) and first <= last:
            return Header(origin, first, last, checkpoint.encode(), _names(names))
    _malformed(1, f"does not open a {DISCLOSURE}")


def _names(names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    _malformed(1, "does not say which members are disclosed")


def _told(number: int, document: Any) -> Line:
    match document:
        case {"index": index, "entry": str(entry), "name": str(name), **rest} if _place(index):
            match rest:
                case {"salt": str(salt), "value": value} if len(rest) == 2:  # noqa: PLR2004
                    return Line(index, entry, name, _salt(number, salt), orjson.dumps(value, option=_EXACT))
                case {"erased": True, "by": by} if len(rest) == 2 and _place(by):  # noqa: PLR2004
                    return Line(index, entry, name, by=by)
    _malformed(number, "tells neither a value nor an erasure")


def _salt(number: int, text: str) -> bytes:
    try:
        salt = from_b64url(text)
    except SandboxError:
        salt = b""
    if len(salt) != SALT_BYTES:
        _malformed(number, f"has no salt of {SALT_BYTES} bytes")
    return salt
