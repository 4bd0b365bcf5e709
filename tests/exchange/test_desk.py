"""Who finds what on the regulator's desk, what is shown of it, and up to where an answer is complete."""

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.audit.events import seal
from sandbox.audit.store import log_body, log_cosignature
from sandbox.core.canonical import canonical
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, NotFound, SandboxError, Tampered
from sandbox.core.keys import from_b64url
from sandbox.core.terms import Participant
from sandbox.exchange import desk
from sandbox.exchange.desk import Page, Seen
from sandbox.exchange.wanted import FILTERS, wanted
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, TRIPS, World


def find(world: World, who: str | None, *, reveal: bool = False, limit: int = 1_000, **filters: str) -> Page:
    said = {name.rstrip("_"): value for name, value in filters.items()}
    return world.exchange.audit_entries(party(world, who), wanted(said, limit=limit), reveal=reveal)


def party(world: World, who: str | None) -> Participant | None:
    return next((each for each in world.exchange.participants() if each.id == who), None)


def refused(world: World) -> str:
    with pytest.raises(SandboxError) as refusal:
        world.query("SELECT bi_mat FROM chuyen_di")
    assert refusal.value.query
    return refusal.value.query


def named(seen: Seen) -> set[str]:
    return {*(seen.reveal or {})}


# --- who sees what ---
def test_the_overseers_and_the_house_see_every_entry_and_every_value(ready: World) -> None:
    ready.query()
    entries = ready.entries()
    for who in (REGULATOR, OPERATOR, None):
        page = find(ready, who, reveal=True)
        assert [seen.entry for seen in page.entries] == entries[::-1]
        assert all(named(seen) == {*seen.entry["sealed"]} for seen in page.entries)
        for seen in page.entries:
            for name, said in (seen.reveal or {}).items():
                assert seal(name, from_b64url(said["salt"]), canonical(said["value"])) == seen.entry["sealed"][name]


def test_a_buyer_sees_its_own_affairs_and_its_own_words_but_not_what_the_policies_counted(ready: World) -> None:
    query = ready.query().id
    page = find(ready, BUYER, reveal=True, query=query)
    completed, authorized = page.entries
    assert named(completed) == {"actor", "sql", "purpose", "result"}
    assert named(authorized) == {"actor", "sql", "purpose", "identity", "request_signature"}
    assert {"question", "extracts"} <= {*authorized.entry["sealed"]}
    own = {seen.entry["type"] for seen in find(ready, BUYER).entries}
    assert {"participant.admitted", "wallet.topped_up", "agreement.signed", "query.completed"} <= own
    assert not {"charter.adopted", "dataset.published", "policy.activated"} & own


def test_a_provider_sees_that_its_data_was_used_but_not_by_whom(ready: World) -> None:
    ready.query()
    page = find(ready, PROVIDER, reveal=True, dataset=TRIPS)
    assert {seen.entry["type"] for seen in page.entries} >= {"query.completed", "agreement.signed", "dataset.published"}
    assert BUYER not in json.dumps([seen.reveal for seen in page.entries])
    assert find(ready, PROVIDER, actor=BUYER).entries == ()
    assert find(ready, PROVIDER, actor=PROVIDER).entries


def test_another_buyer_sees_nothing_of_it(ready: World) -> None:
    query, refusal = ready.query().id, refused(ready)
    for name in (query, refusal):
        assert find(ready, OTHER, query=name).entries == ()
        with pytest.raises(NotFound) as unknown:
            ready.exchange.audit_entry(party(ready, OTHER), name)
        assert unknown.value.code == "entry.unknown"
    seen = find(ready, OTHER, reveal=True).entries
    assert seen
    assert BUYER not in json.dumps([[each.entry, each.reveal] for each in seen])


def test_a_party_that_an_order_stops_finds_the_order_without_what_it_seals(ready: World) -> None:
    ready.order("suspend", "participant", OTHER, REGULATOR)
    (given,) = find(ready, REGULATOR, participant=OTHER, type="order.given").entries
    assert find(ready, REGULATOR, actor=OTHER, type="order.given").entries == ()
    assert find(ready, BUYER, type="order.given").entries == ()
    (theirs,) = find(ready, OTHER, type="order.given", reveal=True).entries  # its tokens are stopped, its rights not
    assert (theirs.entry, theirs.reveal) == (given.entry, {})


# --- finding ---
def test_a_refusal_is_found_by_its_code_its_rule_its_actor_and_its_day(ready: World) -> None:
    query = refused(ready)
    (entry,) = (each for each in ready.entries() if each.get("query") == query)
    filters = {"query": query, "code": entry["code"], "actor": BUYER, "type": "query.refused", "to": "2026-12-01"}
    for name, value in filters.items():
        found = find(ready, REGULATOR, **{name: value}).entries
        assert entry in [seen.entry for seen in found], name
    assert [seen.entry for seen in find(ready, REGULATOR, **filters, from_="2026-12-01").entries] == [entry]
    assert find(ready, REGULATOR, **filters, from_="2026-12-02").entries == ()


def test_a_result_is_found_by_the_digest_of_its_bytes(ready: World) -> None:
    import hashlib

    result = ready.query("SELECT noi, diem FROM chi_so", dataset=INDEX)
    digest = "sha256:" + hashlib.sha256(result.ipc).hexdigest()
    (seen,) = find(ready, REGULATOR, digest=digest).entries
    assert seen.entry["query"] == result.id
    agreement = ready.agreements[INDEX, BUYER]
    assert {each.index for each in find(ready, REGULATOR, digest=agreement).entries} >= {seen.index}


def test_an_answer_says_up_to_which_checkpoint_it_is_complete(ready: World) -> None:
    before = find(ready, REGULATOR).complete_to
    ready.clock.advance(timedelta(hours=1))
    ready.query()
    after = find(ready, REGULATOR, actor="nobody").complete_to
    with ready.exchange.house.database.read() as connection:
        head = ready.exchange.house.log.head(connection)
    assert (after.entries, after.root) == (head.size, head.root)
    assert before.at
    assert after.at
    assert before.at < after.at
    assert after.entries > before.entries
    assert after.witnessed is None

    def cosign(tx: Transaction) -> None:
        row = {"size": before.entries, "witness": "w", "line": b"-", "at": ready.clock.now()}
        tx.connection.execute(log_cosignature.insert(), row)

    ready.exchange.house.database.write(cosign)
    assert find(ready, REGULATOR).complete_to.witnessed == before.entries


MALFORMED: dict[str, Any] = {
    "an unknown name": ({"buyer": "x"}, {}),
    "no value": ({"actor": ""}, {}),
    "a value no database takes": ({"actor": "a\0b"}, {}),
    "a page for a name": ({"query": "x" * 201}, {}),
    "an unknown type": ({"type": "query.sold"}, {}),
    "no day": ({"from": "2026-02-30"}, {}),
    "a week": ({"from": "2026-W49-2"}, {}),
    "no zone": ({"to": "2026-12-01T00:00:00"}, {}),
    "the end of the calendar": ({"to": "9999-12-31"}, {}),
    "its beginning": ({"from": "0001-01-01"}, {}),
    "no entries": ({}, {"limit": 0}),
    "too many": ({}, {"limit": 1_001}),
}


@pytest.mark.parametrize(("filters", "rest"), MALFORMED.values(), ids=MALFORMED)
def test_what_cannot_be_searched_for_is_refused_with_what_can(filters: dict[str, str], rest: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as malformed:
        wanted(filters, **rest)
    assert malformed.value.code == "audit.filter"
    assert any(word in malformed.value.hint for word in ("digest", "2026-12-01", "query.refused", "cursor"))
    assert len(FILTERS) == 12


# --- reading ---
def test_an_entry_is_shown_by_its_id_its_place_and_its_query(ready: World) -> None:
    query = ready.query().id
    authorized, completed = ready.exchange.audit_entry(None, query)
    assert [each.seen.entry["type"] for each in (authorized, completed)] == ["query.authorized", "query.completed"]
    for name in (completed.seen.entry["id"], str(completed.seen.index)):
        assert ready.exchange.audit_entry(None, name) == [completed]
    assert completed.seen.reveal
    assert completed.seen.reveal["actor"]["value"] == BUYER
    assert (completed.erased, completed.missing, completed.witnessed) == ((), (), None)
    assert authorized.checkpoint[0] == authorized.seen.index + 1 < completed.checkpoint[0]


@pytest.mark.parametrize("name", ["ent_unknown", "999999", "-1", "007", "", "a\0b", "qry_unknown"])
def test_what_is_not_there_is_not_shown(ready: World, name: str) -> None:
    for who in (None, REGULATOR, BUYER):
        with pytest.raises(NotFound) as unknown:
            ready.exchange.audit_entry(party(ready, who), name)
        assert unknown.value.code == "entry.unknown"


def test_a_value_that_was_erased_on_the_record_is_told_from_one_that_is_missing(ready: World) -> None:
    query = ready.query().id
    house = ready.exchange.house
    _, completed = ready.exchange.audit_entry(None, query)
    name = completed.seen.entry["id"]
    erasing = house.new_entry()

    def erase(tx: Transaction) -> None:
        house.log.erase(tx, house.now(), entry_id=erasing, erased=name, names=["sql"], basis="PDPL")

    def lose(tx: Transaction) -> None:
        tx.connection.execute(log_body.delete().where(log_body.c.entry_id == name, log_body.c.name == "purpose"))

    house.database.write(erase)
    house.database.write(lose)
    _, shown = ready.exchange.audit_entry(None, query)
    assert (shown.erased, shown.missing) == (("sql",), ("purpose",))
    assert named(shown.seen) == {"actor", "question", "result"}


def test_a_kept_value_that_was_changed_is_not_shown(ready: World) -> None:
    query = ready.query().id
    find(ready, None)
    entry = ready.exchange.audit_entry(None, query)[1].seen.entry["id"]
    kept = sa.and_(log_body.c.entry_id == entry, log_body.c.name == "sql")

    def change(value: bytes) -> bytes:
        def unit(tx: Transaction) -> bytes:
            before: bytes = tx.connection.scalar(sa.select(log_body.c.value).where(kept))
            tx.connection.execute(log_body.update().where(kept).values(value=value))
            return before

        return ready.exchange.house.database.write(unit)

    before = change(b'"SELECT 1"')
    for ask in (lambda: find(ready, REGULATOR, reveal=True), lambda: ready.exchange.audit_entry(None, query)):
        with pytest.raises(Tampered) as changed:
            ask()
        assert changed.value.code == "tampered.body"
        assert "SELECT" not in changed.value.message
    assert find(ready, REGULATOR, query=query).entries
    change(before)


# --- all of it, and what comes ---
def test_everything_comes_in_pages_up_to_where_the_log_was(ready: World) -> None:
    complete, pages = desk.all_of(ready.exchange.house, wanted({}, oldest_first=True))
    size = len(ready.entries())
    ready.query()
    assert [seen.index for page in pages() for seen in page] == [*range(size)]
    assert complete.entries == size


def test_the_newest_are_followed_by_what_is_recorded_meanwhile(ready: World) -> None:
    size = len(ready.entries())
    rounds = iter([ready.query, lambda: None, lambda: None])

    def wait() -> bool:
        act = next(rounds, None)
        if act is not None:
            act()
        return act is None

    followed = [seen.index for seen in desk.follow(ready.exchange.house, 3, wait)]
    assert followed == [*range(size - 3, size + 2)]
    assert [*desk.follow(ready.exchange.house, 0, lambda: True)] == []


def test_a_checkpoint_was_signed_at_a_time_of_the_exchanges_clock(ready: World) -> None:
    ready.clock.advance(timedelta(minutes=1))
    ready.query()
    assert find(ready, None).complete_to.at == ready.clock.now()
