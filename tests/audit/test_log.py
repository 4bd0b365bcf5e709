"""The log: what is recorded, what is refused, and which databases are not believed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.audit.events import EventType
from sandbox.audit.log import Log
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import cosign, read_checkpoint, sign_note, unverified
from sandbox.audit.store import log_entry, log_head, log_tile, stored_tree
from sandbox.audit.tree import Tree
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound, Tampered
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import EntryId

ORIGIN = "exchange.example.vn/log"
NOON = datetime(2026, 11, 22, 5, tzinfo=UTC)
Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
Note = Callable[..., None]
Ids = Callable[[Opened], list[str]]
Forge = Callable[..., None]
Together = Callable[..., list[BaseException | None]]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 600])
def test_a_reopened_log_goes_on_where_it_ended(open_log: OpenLog, sell: Sell, size: int, note: Note) -> None:
    first = open_log()
    if size:
        sell(first, 0, size)
    first[0].close()
    again = open_log()
    note(again, "one more")
    with again[0].read() as connection:
        head = again[1].head(connection)
        leaves = again[1].entries(connection, 0, size + 1)
        assert (head.size, head.root) == (size + 1, Tree().appended(map(leaf_hash, leaves))[0].root)
        assert stored_tree(connection, size + 1).root == head.root


def test_an_empty_log_has_the_empty_root(open_log: OpenLog) -> None:
    database, log = open_log()
    with database.read() as connection:
        head = log.head(connection)
    assert (head.size, head.note, log.verifier.name) == (0, b"", ORIGIN)


def test_an_unknown_entry_is_not_found(open_log: OpenLog) -> None:
    database, log = open_log()
    with database.read() as connection, pytest.raises(NotFound) as refusal:
        log.find(connection, "ent_9")
    assert refusal.value.code == "entry.unknown"


def test_the_order_is_the_index_even_when_the_clock_goes_back(open_log: OpenLog, note: Note, ids: Ids) -> None:
    opened = open_log()
    for number in range(4):
        note(opened, f"ent_{number}", at=NOON - timedelta(hours=number))
    assert ids(opened) == ["ent_0", "ent_1", "ent_2", "ent_3"]


def test_an_entry_is_logged_once(open_log: OpenLog, note: Note, ids: Ids) -> None:
    opened = open_log()
    note(opened, "ent_0")
    with pytest.raises(Conflict) as refusal:
        note(opened, "ent_0")
    assert (refusal.value.code, ids(opened)) == ("entry.exists", ["ent_0"])


def test_a_leaf_too_large_to_publish_is_refused_and_nothing_else_is_lost(
    open_log: OpenLog, ids: Ids, together: Together
) -> None:
    opened = database, log = open_log()

    def unit(name: str, size: int) -> Callable[[Transaction], None]:
        clear = {"basis": "x" * size}
        return lambda tx: log.record(tx, EventType.BODY_ERASED, NOON, entry_id=EntryId(name), clear=clear)

    failures = together(database, unit("small", 1), unit("large", 65_536), unit("medium", 60_000))
    assert [getattr(failure, "code", None) for failure in failures] == [None, "log.leaf_too_large", None]
    assert ids(opened) == ["small", "medium"]


def test_a_leaf_that_went_round_the_log_is_refused_before_commit(open_log: OpenLog, ids: Ids) -> None:
    database, _ = opened = open_log()
    with pytest.raises(Invalid) as refusal:
        database.write(lambda tx: tx.record("raw", bytes(65_536)))
    assert (refusal.value.code, ids(opened)) == ("log.leaf_too_large", [])


def test_a_unit_without_an_entry_signs_nothing(open_log: OpenLog) -> None:
    database, log = open_log()
    database.write(lambda tx: tx.leaves)
    with database.read() as connection:
        assert log.head(connection).size == 0


# --- forgeries ---


OTHER = key_from_seed("other", b"\3" * 32)
ALTERED = {
    "root": [log_head.update().where(log_head.c.size == 300).values(root=bytes(32))],
    "size": [log_head.update().where(log_head.c.size == 300).values(size=301)],
    "no note": [log_head.update().where(log_head.c.size == 300).values(note=b"")],
    "another's note": [
        log_head.update()
        .where(log_head.c.size == 300)
        .values(note=sign_note(f"{ORIGIN}\n300\nHtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=\n", ORIGIN, OTHER))
    ],
    "no head": [log_head.delete().where(log_head.c.size == 300)],
    "no heads": [log_head.delete()],
    "last entry cut off": [log_entry.delete().where(log_entry.c.idx == 299)],
    "entry missing": [log_entry.delete().where(log_entry.c.idx == 280)],
    "entry changed": [log_entry.update().where(log_entry.c.idx == 280).values(leaf=b"{}")],
    "entry added": [log_entry.insert().values(idx=300, entry_id="more", leaf=b"{}")],
    "no entries": [log_entry.delete()],
    "tile missing": [log_tile.delete()],
    "tile root changed": [log_tile.update().values(root=bytes(32))],
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_database_is_not_loaded(open_log: OpenLog, sell: Sell, forge: Forge, how: str) -> None:
    first = open_log()
    sell(first, 0, 200)
    sell(first, 200, 300)
    first[0].close()
    forge(*ALTERED[how])
    with pytest.raises(Tampered) as refusal:
        open_log()
    assert refusal.value.code == "tampered.log"


def test_another_key_does_not_continue_the_log(open_log: OpenLog, sell: Sell) -> None:
    sell(open_log(), 0, 3)
    with pytest.raises(Tampered):
        open_log(Log(ORIGIN, OTHER))


def test_a_history_put_back_under_a_running_log_is_never_signed(
    open_log: OpenLog, sell: Sell, note: Note, ids: Ids, forge: Forge
) -> None:
    opened = open_log()
    sell(opened, 0, 3)
    sell(opened, 3, 5)
    forge(log_entry.delete().where(log_entry.c.idx >= 3), log_head.delete().where(log_head.c.size > 3))
    for _ in range(2):
        with pytest.raises(Tampered):
            note(opened, "fork")
    assert ids(opened) == ["ent_0", "ent_1", "ent_2"]


def test_every_head_is_a_checkpoint_that_a_witness_can_cosign(open_log: OpenLog, sell: Sell) -> None:
    opened = database, log = open_log()
    sell(opened, 0, 3)
    with database.read() as connection:
        head = log.head(connection)
    text, signatures = unverified(cosign(head.note, "w.example/1", OTHER, 1))
    assert (read_checkpoint(text).size, len(signatures)) == (3, 2)
