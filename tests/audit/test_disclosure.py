"""A disclosure held against a published log: each value as it was sealed, none left out, each erasure told."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from sandbox.audit import tiles
from sandbox.audit.disclosure import DisclosureVerdict, Header, Line, read_disclosure, verify_disclosure
from sandbox.audit.log import Log
from sandbox.audit.note import verifier_key
from sandbox.audit.published import Published
from sandbox.audit.source import open_source
from sandbox.core.canonical import canonical
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Invalid, NotCovered, SandboxError, Tampered, Unavailable
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import EntryId

ORIGIN = "exchange.example.vn/log"
NOON = datetime(2026, 11, 22, 5, tzinfo=UTC)
Opened = tuple[Database, Log]


@dataclasses.dataclass
class Scene:
    """A log of some entries, published, with what was erased of it by entry and name."""

    database: Database
    log: Log
    folder: Path
    vkey: str
    erased: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    @property
    def note(self) -> bytes:
        with self.database.read() as connection:
            return self.log.head(connection).note

    def publish(self) -> None:
        tiles.export(self.database.engine, self.folder)

    def erase(self, number: int, name: str) -> None:
        entry = EntryId(f"ent_{number}")

        def unit(tx: Transaction) -> None:
            self.log.erase(tx, NOON, entry_id=EntryId(f"gone_{number}_{name}"), erased=entry, names=[name], basis="x")

        with self.database.read() as connection:
            self.erased[entry, name] = self.log.head(connection).size
        self.database.write(unit)

    def lines(self, first: int, last: int, names: tuple[str, ...] | None = None) -> list[bytes]:
        """The disclosure of some entries, number n at place n."""
        told = [Header(ORIGIN, first, last, self.note, names).line()]
        for number in range(first, last + 1):
            entry = f"ent_{number}"
            with self.database.read() as connection:
                bodies = self.log.bodies(connection, entry)
            for name in ("actor", "sql"):
                if names is not None and name not in names:
                    continue
                by = self.erased.get((entry, name))
                salt, value = bodies.get(name, (b"", ""))
                line = Line(number, entry, name, by=by) if by else Line(number, entry, name, salt, canonical(value))
                told.append(line.line())
        return told

    def verify(self, lines: list[bytes], vkey: str = "") -> DisclosureVerdict:
        with open_source(self.folder) as source:
            return verify_disclosure(lines, Published(source, vkey or self.vkey))


@pytest.fixture
def scene(
    tmp_path: Path, engine: Engine, vkey: str, open_log: Callable[..., Opened], sell: Callable[..., None]
) -> Scene:
    opened = open_log()
    sell(opened, 0, 5)
    made = Scene(*opened, tmp_path / "log", vkey)
    made.folder.mkdir()
    made.publish()
    return made


def test_all_values_of_some_entries_are_what_the_log_sealed(scene: Scene) -> None:
    verdict = scene.verify(scene.lines(1, 3))
    assert (verdict.entries, verdict.shown, verdict.erased, verdict.size) == (3, 6, 0, 5)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700])
def test_a_disclosure_reaches_over_every_edge_of_a_tile(scene: Scene, sell: Callable[..., None], size: int) -> None:
    if size > 5:
        sell((scene.database, scene.log), 5, size)
        scene.publish()
    last = max(size, 5) - 1
    for first in {0, last, max(0, last - 1), min(last, 254)}:
        assert scene.verify(scene.lines(first, last)).shown == 2 * (last - first + 1)


def test_a_disclosure_of_some_names_says_so_and_lacks_none_of_them(scene: Scene) -> None:
    lines = scene.lines(0, 4, ("actor",))
    verdict = scene.verify(lines)
    assert (verdict.shown, verdict.header.names) == (5, ("actor",))
    with pytest.raises(Tampered, match="'sql' of entry 0 is neither shown nor"):
        scene.verify([scene.lines(0, 4)[0], *lines[1:]])


def test_what_was_erased_is_told_by_the_entry_that_says_so(scene: Scene) -> None:
    scene.erase(2, "actor")
    scene.publish()
    lines = scene.lines(0, 4)
    assert (scene.verify(lines).shown, scene.verify(lines).erased) == (9, 1)
    for by in (0, 4):
        with pytest.raises(Tampered, match="does not say that 'actor' of ent_2 was erased"):
            scene.verify([line.replace(b'"by":5', b'"by":%d' % by) for line in lines])
    with pytest.raises(NotCovered) as refusal:
        scene.verify([line.replace(b'"by":5', b'"by":77') for line in lines])
    assert refusal.value.code == "verify.uncovered"


def test_a_value_that_is_called_erased_and_was_not_is_found(scene: Scene) -> None:
    scene.erase(2, "actor")
    scene.publish()
    lines = scene.lines(0, 4)
    hidden = [
        Line(2, "ent_2", "sql", by=5).line() if b'"ent_2"' in line and b'"sql"' in line else line for line in lines
    ]
    with pytest.raises(Tampered, match="does not say that 'sql'"):
        scene.verify(hidden)


def test_every_line_left_out_moved_or_doubled_is_found(scene: Scene) -> None:
    lines = scene.lines(0, 4)
    for at in range(1, len(lines)):
        without = lines[:at] + lines[at + 1 :]
        with pytest.raises(Tampered):
            scene.verify(without)
        with pytest.raises(Tampered):
            scene.verify([*without, lines[at]] if at < len(lines) - 1 else [*lines, lines[at]])
        with pytest.raises(Tampered):
            scene.verify([*lines[:at], lines[at], *lines[at:]])


def test_every_flipped_bit_of_a_value_a_salt_or_a_name_is_found(scene: Scene) -> None:
    lines = scene.lines(2, 2)
    for number, line in enumerate(lines[1:], 1):
        for at in range(len(line) - 1):
            flipped = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
            with pytest.raises(SandboxError) as refusal:
                scene.verify([*lines[:number], flipped, *lines[number + 1 :]])
            assert refusal.value.code in {"verify.mismatch", "disclosure.malformed"}


def test_a_value_does_not_pass_for_another_entrys_or_another_names(scene: Scene) -> None:
    lines = scene.lines(0, 1)
    with pytest.raises(Tampered, match="not what the log sealed"):
        scene.verify([lines[0], lines[3].replace(b'"index":1', b'"index":0').replace(b"ent_1", b"ent_0"), *lines[2:]])


def test_entries_that_are_not_published_yet_are_not_covered(scene: Scene, sell: Callable[..., None]) -> None:
    sell((scene.database, scene.log), 5, 7)
    lines = scene.lines(5, 6)
    with pytest.raises(NotCovered) as refusal:
        scene.verify(lines)
    assert refusal.value.code == "verify.uncovered"
    scene.publish()
    assert scene.verify(lines).shown == 4


def test_a_checkpoint_that_does_not_reach_its_entries_is_no_header_for_them(
    scene: Scene, sell: Callable[..., None]
) -> None:
    early = scene.note
    sell((scene.database, scene.log), 5, 7)
    scene.publish()
    lines = scene.lines(5, 6)
    with pytest.raises(Tampered, match="does not cover"):
        scene.verify([Header(ORIGIN, 5, 6, early).line(), *lines[1:]])
    assert scene.verify([Header(ORIGIN, 0, 4, early).line(), *scene.lines(0, 4)[1:]]).shown == 10


def test_a_disclosure_of_another_log_or_key_is_refused(scene: Scene) -> None:
    lines = scene.lines(0, 0)
    with pytest.raises(Tampered):
        scene.verify(lines, verifier_key(ORIGIN, key_from_seed("x", b"\2" * 32).verify_key))
    with pytest.raises(Tampered, match="another log"):
        scene.verify([Header("other.example.vn/log", 0, 0, scene.note).line(), *lines[1:]])


def test_a_changed_or_missing_file_of_the_log_is_found(scene: Scene) -> None:
    lines = scene.lines(0, 4)
    bundle = scene.folder / "tile/entries/000.p/5"
    content = bundle.read_bytes()
    bundle.write_bytes(content.replace(b"ent_3", b"ent_4", 1))
    with pytest.raises(Tampered):
        scene.verify(lines)
    bundle.unlink()
    with pytest.raises(Unavailable) as refusal:
        scene.verify(lines)
    assert refusal.value.code == "verify.missing"
    bundle.write_bytes(content)
    tile = scene.folder / "tile/0/000.p/5"
    tile.write_bytes(bytes(5 * 32))
    with pytest.raises(Tampered):
        scene.verify(lines)


MALFORMED = [
    b"",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b"not json\n",
    b'{"type":"sandbox.disclosure/v1"}\n',
    b'{"checkpoint":"","from":true,"names":null,"origin":"o","to":1,"type":"sandbox.disclosure/v1"}\n',
    b'{"checkpoint":"","from":2,"names":null,"origin":"o","to":1,"type":"sandbox.disclosure/v1"}\n',
    b'{"checkpoint":"","from":-1,"names":null,"origin":"o","to":1,"type":"sandbox.disclosure/v1"}\n',
    b'{"checkpoint":"","from":0,"names":[],"origin":"o","to":1,"type":"sandbox.disclosure/v1"}\n',
    b'{"checkpoint":"","from":0,"names":null,"origin":"o","to":1,"type":"sandbox.disclosure/v2"}\n',
    b'{"checkpoint":"","from":0,"names":null,"origin":"o","origin":"p","to":1,"type":"sandbox.disclosure/v1"}\n',
    b'{"checkpoint":"", "from":0,"names":null,"origin":"o","to":1,"type":"sandbox.disclosure/v1"}\n',
]
HEADER = b'{"checkpoint":"","from":0,"names":null,"origin":"o","to":1,"type":"sandbox.disclosure/v1"}\n'
LINES = [
    b"{}\n",
    b'{"entry":"e","index":0,"name":"n"}\n',
    b'{"entry":"e","erased":false,"index":0,"name":"n"}\n',
    b'{"entry":"e","erased":true,"index":0,"name":"n"}\n',
    b'{"by":true,"entry":"e","erased":true,"index":0,"name":"n"}\n',
    b'{"by":1,"entry":"e","erased":1,"index":0,"name":"n"}\n',
    b'{"entry":"e","index":0,"name":"n","salt":"AA","value":1}\n',
    b'{"entry":"e","index":0,"name":"n","salt":"' + b"A" * 43 + b'","value":1,"x":2}\n',
    b'{"entry":"e","index":0.0,"name":"n","salt":"' + b"A" * 43 + b'","value":1}\n',
    b'{"entry":"e","index":0,"name":"n","salt":"' + b"A" * 43 + b'","value":1e400}\n',
]


@pytest.mark.parametrize("header", MALFORMED)
def test_what_does_not_open_a_disclosure_is_refused(header: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        read_disclosure([header])
    assert refusal.value.code == "disclosure.malformed"


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_tells_neither_a_value_nor_an_erasure_is_refused_by_its_number(line: bytes) -> None:
    _, told = read_disclosure([HEADER, line])
    with pytest.raises(Invalid, match="Line 2 of the disclosure"):
        told.finish()


@given(st.lists(st.binary(max_size=80) | st.sampled_from([HEADER, *LINES]), max_size=4))
def test_no_bytes_crash_the_reader(lines: list[bytes]) -> None:
    try:
        _, told = read_disclosure(lines)
        told.finish()
    except SandboxError as refusal:
        assert refusal.code in {"disclosure.malformed", "verify.mismatch"}
