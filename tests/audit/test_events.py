"""Entries: their bytes, their seals, and what is no entry."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.audit.events import EventType, entry_leaf, read_entry, seal
from sandbox.core.errors import Invalid

AT = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
LEAF = (
    b'{"id":"ent_1","query":"qry_1","sealed":{"sql":"i0eoW99Y3mfdaU3knQ5ocYP5ccoxuUJnLI4XkCQcvBY"},'
    b'"ts":"2026-11-22T10:00:00.123456Z","type":"query.completed","v":1}'
)


def test_the_golden_seal_is_met() -> None:
    assert seal("sql", b"\7" * 32, b'"SELECT 1"') == "i0eoW99Y3mfdaU3knQ5ocYP5ccoxuUJnLI4XkCQcvBY"


def test_a_seal_depends_on_name_salt_and_value() -> None:
    salt = b"\7" * 32
    seals = {seal("sql", salt, b"1"), seal("sq", salt, b"1"), seal("sql", b"\6" * 32, b"1"), seal("sql", salt, b"2")}
    assert len(seals) == 4


@pytest.mark.parametrize(("name", "salt"), [("sql", b"\7" * 31), ("sql", b"\7" * 33), ("s\0l", b"\7" * 32)])
def test_a_seal_that_could_be_read_in_two_ways_is_not_made(name: str, salt: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        seal(name, salt, b"1")
    assert refusal.value.code == "seal.malformed"


def test_an_entry_has_one_byte_form() -> None:
    seals = {"sql": seal("sql", b"\7" * 32, b'"SELECT 1"')}
    assert entry_leaf(EventType.QUERY_COMPLETED, AT, "ent_1", {"query": "qry_1"}, seals) == LEAF
    assert read_entry(LEAF)["query"] == "qry_1"


def test_a_leaf_may_have_65535_bytes_and_not_one_more() -> None:
    bare = len(entry_leaf(EventType.BODY_ERASED, AT, "e", {"basis": ""}, {}))
    assert len(entry_leaf(EventType.BODY_ERASED, AT, "e", {"basis": "x" * (65_535 - bare)}, {})) == 65_535
    with pytest.raises(Invalid) as refusal:
        entry_leaf(EventType.BODY_ERASED, AT, "e", {"basis": "x" * (65_536 - bare)}, {})
    assert refusal.value.code == "log.leaf_too_large"


@pytest.mark.parametrize("member", ["v", "type", "id", "ts", "sealed"])
def test_nobody_gives_an_entry_its_own_members(member: str) -> None:
    with pytest.raises(Invalid) as refusal:
        entry_leaf(EventType.QUERY_FAILED, AT, "ent_1", {member: 1}, {})
    assert refusal.value.code == "log.entry_malformed"


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"0",
        b"[]",
        b"\xff",
        LEAF + b"\n",
        LEAF.replace(b'"query":"qry_1"', b'"query":"qry_1","query":"qry_1"'),
        LEAF.replace(b'"v":1', b'"v":2'),
        LEAF.replace(b',"v":1', b""),
        LEAF.replace(b'"qry_1"', b"9007199254740993"),
        LEAF.replace(b"SELECT", b"\\u0053ELECT").replace(b"qry_1", b"\\u0071ry_1"),
    ],
)
def test_what_is_no_entry_in_canonical_form_is_refused(leaf: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        read_entry(leaf)
    assert refusal.value.code == "entry.malformed"


def test_the_page_lists_every_kind_of_event() -> None:
    page = Path(__file__).parents[2] / "docs" / "formats" / "log.md"
    listed = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", page.read_text(), re.MULTILINE)
    assert listed == [kind.value for kind in EventType]
