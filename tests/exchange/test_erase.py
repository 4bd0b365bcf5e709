"""Erasing sealed values: gone from the files, told in the log, and nothing else stops verifying."""

from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.audit import index
from sandbox.audit.verify import verify_log, verify_receipt
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, Invalid, NotFound, SandboxError
from sandbox.core.terms import EntryId, ParticipantId, QueryId
from sandbox.exchange import erase, runs
from sandbox.exchange.basis import DISCLOSURE, ERASURE, require_basis
from tests.world import BUYER, INDEX, OTHER, TRIPS, World

BASIS = "D314-4(6): thư 12/CV"
MARK = "Tuyến-của-bà-Lê-Thị-Hường"


def entry_of(world: World, kind: str) -> str:
    return next(entry["id"] for entry in reversed(world.entries()) if entry["type"] == kind)


def bodies(world: World, entry: str) -> dict[str, Any]:
    with world.exchange.house.database.read() as connection:
        return {name: value for name, (_, value) in world.exchange.house.log.bodies(connection, entry).items()}


def files_of(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in world.home.glob("*.db*"))


def terms(world: World, entry: str) -> set[tuple[str, str]]:
    with world.exchange.house.database.read() as connection:
        place, _ = world.exchange.house.log.find(connection, entry)
        rows = connection.execute(sa.select(index.log_term).where(index.log_term.c.idx == place))
        return {(row.kind, row.value) for row in rows}


def test_erased_values_are_gone_told_in_clear_and_every_receipt_stays_valid(ready: World) -> None:
    query = ready.query().id
    before = ready.exchange.receipt(ready.who(BUYER).participant, query)
    entry = entry_of(ready, "query.completed")
    erase.erase(ready.exchange.house, entry, ["actor", "sql"], BASIS)
    told = ready.entries()[-1]
    assert (told["type"], told["entry"], told["names"], told["basis"]) == (
        "body.erased",
        entry,
        ["actor", "sql"],
        BASIS,
    )
    after = verify_receipt(ready.exchange.receipt(ready.who(BUYER).participant, query), ready.vkey)
    assert after.revealed.keys() == {"purpose", "result"}
    assert verify_receipt(before, ready.vkey).revealed["actor"] == BUYER
    ready.exchange.export_log()
    assert verify_log(ready.home / "log", ready.vkey).totals.count == 1


def test_the_volume_by_buyer_is_counted_on_when_the_log_may_not_tell_the_buyer_any_more(ready: World) -> None:
    ready.query()
    erase.erase(ready.exchange.house, entry_of(ready, "query.completed"), ["actor"], BASIS)
    assert {*ready.exchange.counted_volume("buyer")[1]} == {BUYER}


def test_an_erased_value_stands_in_no_file_of_the_database(ready: World) -> None:
    sql = f"SELECT noi FROM chi_so WHERE noi <> '{MARK}'"
    ready.query(sql, dataset=INDEX)
    assert MARK.encode() in files_of(ready)
    house = ready.exchange.house
    for kind in ("query.authorized", "query.completed"):
        entry = entry_of(ready, kind)
        names = [name for name, value in bodies(ready, entry).items() if MARK in str(value)]
        assert "sql" in names
        erase.erase(house, entry, names, BASIS)
    assert erase.scrub(house)
    assert MARK.encode() not in files_of(ready)


def test_what_the_database_moved_about_is_scrubbed_too(ready: World) -> None:
    """Deleting many values makes SQLite move others, and copies of these stay behind where they were."""
    house, number = ready.exchange.house, 0
    ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    entry = entry_of(ready, "query.completed")
    with house.database.engine.execution_options(writes=True).begin() as connection:
        filler = [
            {"entry_id": f"x_{at:05}", "name": "sql", "salt": bytes(32), "value": f'"filler {at:05}"'.encode() * 40}
            for at in range(600)
        ]
        connection.execute(sa.text("INSERT INTO log_body VALUES (:entry_id, :name, :salt, :value)"), filler)
        for number in range(0, 600, 2):
            connection.execute(sa.text("DELETE FROM log_body WHERE entry_id = :it"), {"it": f"x_{number:05}"})
    erase.erase(house, entry, ["sql"], BASIS)
    assert erase.scrub(house)
    found = files_of(ready)
    assert [at for at in range(0, 600, 2) if f"filler {at:05}".encode() in found] == []
    with house.database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text("DELETE FROM log_body WHERE entry_id LIKE 'x_%'"))


def test_the_files_cannot_be_scrubbed_while_somebody_reads_them(ready: World) -> None:
    house = ready.exchange.house
    with house.database.read() as connection:
        connection.execute(sa.text("SELECT count(*) FROM log_body")).all()
        house.database.write(lambda tx: None)
        raw = sa.event.listens_for(house.database.engine, "connect")
        raw(lambda made, record: made.execute("PRAGMA busy_timeout=50").close())
        house.database.engine.pool.dispose()
        assert not erase.scrub(house)
    assert erase.scrub(house)


NOT_SEALED: tuple[tuple[list[str], type[SandboxError], str], ...] = (
    (["meter"], Invalid, "body.clear"),
    (["id"], Invalid, "body.clear"),
    (["sql", "agreements"], Invalid, "body.clear"),
    (["tax_code"], NotFound, "body.unknown"),
    (["sql", "tax_code"], NotFound, "body.unknown"),
    ([], NotFound, "body.unknown"),
)


def test_what_is_not_sealed_in_the_entry_is_not_erased_and_nothing_changes(ready: World) -> None:
    ready.query()
    entry, size = entry_of(ready, "query.completed"), len(ready.entries())
    for names, kind, code in NOT_SEALED:
        with pytest.raises(kind) as refusal:
            erase.erase(ready.exchange.house, entry, names, BASIS)
        assert refusal.value.code == code
        assert (len(ready.entries()), "sql" in bodies(ready, entry)) == (size, True)


def test_what_is_erased_is_not_erased_twice(ready: World) -> None:
    ready.query()
    entry = entry_of(ready, "query.completed")
    erase.erase(ready.exchange.house, entry, ["sql"], BASIS)
    for names in (["sql"], ["sql", "actor"]):
        with pytest.raises(NotFound) as refusal:
            erase.erase(ready.exchange.house, entry, names, BASIS)
        assert refusal.value.code == "body.unknown"
    assert "actor" in bodies(ready, entry)


def test_what_is_not_there_is_not_found(world: World) -> None:
    for entry in ("ent_none", "ent\0", ""):
        with pytest.raises(NotFound) as refusal:
            erase.erase(world.exchange.house, entry, ["sql"], BASIS)
        assert refusal.value.code == "entry.unknown"
    for participant in ("nobody", "", "cong-ty", '"', "\0"):
        with pytest.raises(NotFound) as refusal:
            erase.erase_participant(world.exchange.house, participant, BASIS)
        assert refusal.value.code == "body.unknown"


NO_BASIS = ("", "because", "D314-4(6):", "D314-4(6): " + "x" * 201, "D314-4(6): a\nb", "D363-22", "D314-4(6) x")


def test_without_a_legal_basis_of_the_list_nothing_is_erased(ready: World) -> None:
    ready.query()
    for basis in NO_BASIS:
        with pytest.raises(Invalid) as refusal:
            erase.erase(ready.exchange.house, entry_of(ready, "query.completed"), ["sql"], basis)
        assert refusal.value.code == "basis.unknown"
        with pytest.raises(Invalid):
            erase.erase_participant(ready.exchange.house, BUYER, basis)


def test_words_beside_a_basis_are_kept_in_one_spelling() -> None:
    assert require_basis(" PDPL-23 :  sự cố", DISCLOSURE) == "PDPL-23: sự cố"
    assert require_basis("PDPL-14(6)", ERASURE) == "PDPL-14(6)"


def test_nothing_of_a_query_that_still_runs_is_erased(ready: World) -> None:
    query = ready.query().id
    entry, house = entry_of(ready, "query.authorized"), ready.exchange.house
    with house.database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.update(runs.query_run).values(state="authorized"))
    for attempt in (
        lambda: erase.erase(house, entry, ["sql"], BASIS),
        lambda: erase.erase_participant(house, BUYER, BASIS),
    ):
        with pytest.raises(Conflict) as refusal:
            attempt()
        assert refusal.value.code == "query.running"
    house.database.write(lambda tx: _finished(tx, query))
    erase.erase(house, entry, ["sql"], BASIS)


def _finished(tx: Transaction, query: QueryId) -> None:
    tx.connection.execute(sa.update(runs.query_run).where(runs.query_run.c.id == query).values(state="completed"))


def test_a_commit_that_fails_erases_nothing(ready: World) -> None:
    ready.query()
    entry, house = entry_of(ready, "query.completed"), ready.exchange.house
    size = len(ready.entries())
    with house.database.engine.execution_options(writes=True).begin() as connection:
        stop = "CREATE TRIGGER stop BEFORE INSERT ON log_head BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
        connection.execute(sa.text(stop))
    with pytest.raises(Exception, match="the disk is gone"):
        erase.erase(house, entry, ["sql"], BASIS)
    with house.database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text("DROP TRIGGER stop"))
    assert ("sql" in bodies(ready, entry), len(ready.entries())) == (True, size)
    erase.erase(house, entry, ["sql"], BASIS)
    assert "sql" not in bodies(ready, entry)


def test_everything_that_names_a_participant_is_erased_and_what_names_others_stays(ready: World) -> None:
    ready.query()
    ready.agree(INDEX, OTHER, retention_days=3)
    ready.query("SELECT noi FROM chi_so", buyer=OTHER, dataset=INDEX, agreements=(ready.agreements[INDEX, OTHER],))
    house = ready.exchange.house
    erasures = erase.erase_participant(house, OTHER, BASIS)
    told = {entry["entry"]: entry["names"] for entry in ready.entries() if entry["type"] == "body.erased"}
    assert told == {each.entry: [*each.names] for each in erasures}
    left = [bodies(ready, entry["id"]) for entry in ready.entries()]
    assert not any(f'"{OTHER}"' in str(each).replace("'", '"') for each in left)
    assert any(each.get("actor") == BUYER for each in left)
    admitted = next(
        entry["id"] for entry in ready.entries() if told.get(entry["id"]) == ["key", "participant", "tax_code"]
    )
    assert bodies(ready, admitted) == {}
    with pytest.raises(NotFound):
        erase.erase_participant(house, OTHER, BASIS)


def test_the_index_forgets_what_was_erased_and_nothing_else(ready: World) -> None:
    ready.query()
    house, entry = ready.exchange.house, entry_of(ready, "query.completed")
    index.catch_up(house.database)
    before = terms(ready, entry)
    assert BUYER in {value for _, value in before}
    erase.erase(house, entry, ["actor"], BASIS)
    gone = before - terms(ready, entry)
    assert {value for _, value in gone} == {BUYER}
    after = terms(ready, entry)
    index.catch_up(house.database)
    index.reindex(house.database)
    assert terms(ready, entry) == after


def test_an_entry_beyond_the_index_is_erased_and_indexed_without_it(ready: World) -> None:
    index.catch_up(ready.exchange.house.database)
    ready.query()
    entry = entry_of(ready, "query.completed")
    erase.erase(ready.exchange.house, entry, ["actor"], BASIS)
    index.catch_up(ready.exchange.house.database)
    assert BUYER not in {value for _, value in terms(ready, entry)}


def test_an_exchange_starts_again_after_values_were_erased(ready: World) -> None:
    ready.query()
    erase.erase_participant(ready.exchange.house, BUYER, BASIS)
    ready.reopen()
    assert ready.exchange.balance(ParticipantId(BUYER)) == 85_000
    assert ready.query(dataset=TRIPS).rows


def test_orders_and_charters_whose_sealed_parts_were_erased_hold_on(ready: World) -> None:
    ready.order("suspend", "participant", OTHER, "co-quan-giam-sat")
    given = entry_of(ready, "order.given")
    erase.erase(ready.exchange.house, EntryId(given), [*bodies(ready, given)], BASIS)
    ready.reopen()
    assert [each.target for each in ready.exchange.suspensions()] == [OTHER]
