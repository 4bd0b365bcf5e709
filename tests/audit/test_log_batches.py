"""Entries that are made before their transaction, and batches in which they are written together."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from sandbox.audit.events import EventType, read_entry, seal
from sandbox.audit.log import Entry, Log, written_down
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.tree import Tree
from sandbox.core.canonical import canonical
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Insufficient, Invalid
from sandbox.core.terms import EntryId

NOON = datetime(2026, 11, 22, 5, tzinfo=UTC)
Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Ids = Callable[[Opened], list[str]]
Together = Callable[..., list[BaseException | None]]


@pytest.fixture
def log_url(database_url: str) -> str:
    return database_url


def made(name: str, **sealed: str) -> Entry:
    return written_down(EventType.QUERY_FAILED, NOON, entry_id=EntryId(name), clear={"code": "x"}, sealed=sealed)


def adding(log: Log, entry: Entry) -> Callable[[Transaction], None]:
    return lambda tx: log.add(tx, entry)


def refuse(tx: Transaction) -> None:
    raise Insufficient("wallet.insufficient", "No.")


def test_an_entry_holds_seals_each_with_a_salt_of_its_own_and_no_value() -> None:
    entry = made("ent_0", sql="SELECT 1", actor="SELECT 1", purpose="thử")
    seals = {name: seal(name, salt, value) for _, name, salt, value in entry.bodies}
    assert read_entry(entry.leaf)["sealed"] == seals
    assert len({salt for *_, salt, _ in entry.bodies}) == len(set(seals.values())) == 3
    assert {name: value for _, name, _, value in entry.bodies}["purpose"] == canonical("thử")
    assert b"SELECT" not in entry.leaf
    assert made("ent_0", sql="SELECT 1").leaf != made("ent_0", sql="SELECT 1").leaf


@pytest.mark.parametrize(
    ("clear", "sealed", "code"),
    [
        ({"basis": "x" * 65_536}, {}, "log.leaf_too_large"),
        ({"id": "mine"}, {}, "log.entry_malformed"),
        ({"price": 0.5}, {}, "document.malformed"),
        ({}, {"sql": 0.5}, "document.malformed"),
        ({}, {"a\0b": "x"}, "seal.malformed"),
    ],
)
def test_an_entry_that_cannot_be_published_is_refused_before_any_transaction(
    clear: dict[str, object], sealed: dict[str, object], code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        written_down(EventType.BODY_ERASED, NOON, entry_id=EntryId("ent_0"), clear=clear, sealed=sealed)  # type: ignore[arg-type]
    assert refusal.value.code == code


def test_an_entry_made_before_is_written_once_though_its_unit_runs_twice(
    open_log: OpenLog, ids: Ids, together: Together
) -> None:
    opened = database, log = open_log()
    failures = together(database, adding(log, made("ent_0", sql="x")), refuse, adding(log, made("ent_1", sql="y")))
    assert [failure is None for failure in failures] == [True, False, True]
    assert ids(opened) == ["ent_0", "ent_1"]
    with database.read() as connection:
        assert [log.bodies(connection, name)["sql"][1] for name in ("ent_0", "ent_1")] == ["x", "y"]


@pytest.mark.parametrize("sealed", [{}, {"sql": "x", "actor": "y"}], ids=["clear", "sealed"])
def test_in_a_large_batch_only_the_unit_whose_entry_is_taken_fails(
    open_log: OpenLog, ids: Ids, together: Together, sealed: dict[str, str]
) -> None:
    opened = database, log = open_log()
    database.write(adding(log, made("ent_050", **sealed)))
    names = [f"ent_{number:03}" for number in range(100)]
    failures = together(database, *(adding(log, made(name, **sealed)) for name in names))
    codes = {name: getattr(failure, "code", None) for name, failure in zip(names, failures, strict=True) if failure}
    assert codes == {"ent_050": "entry.exists"}
    assert ids(opened) == ["ent_050", *(name for name in names if name != "ent_050")]
    with database.read() as connection:
        head, leaves = log.head(connection), log.entries(connection, 0, 100)
        assert all(log.bodies(connection, name).keys() == sealed.keys() for name in names)
    assert head.root == Tree().appended(map(leaf_hash, leaves))[0].root


def test_a_unit_sees_the_bodies_of_what_it_recorded(open_log: OpenLog) -> None:
    database, log = open_log()

    def unit(tx: Transaction) -> set[str]:
        log.add(tx, made("ent_0", sql="x"))
        return {*log.bodies(tx.connection, "ent_0")}

    assert database.write(unit) == {"sql"}


def test_a_batch_fills_tiles_as_single_entries_would(open_log: OpenLog) -> None:
    database, log = open_log()
    entries = [made(f"ent_{number:03}") for number in range(600)]

    def unit(tx: Transaction) -> None:
        for entry in entries:
            log.add(tx, entry)

    database.write(unit)
    again = open_log()[1]  # which compares entries, tiles and head
    with database.read() as connection:
        assert log.head(connection).root == Tree().appended(leaf_hash(entry.leaf) for entry in entries)[0].root
        assert again.head(connection) == log.head(connection)
