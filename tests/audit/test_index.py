"""The index finds what a walk over all entries would find, and stays what the log says whatever happens to it."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from sandbox.audit.events import EventType, read_entry
from sandbox.audit.index import catch_up, covered, log_indexed, log_term, reindex
from sandbox.audit.log import Log
from sandbox.audit.named import terms_of
from sandbox.audit.search import Own, Wanted, search
from sandbox.audit.store import log_body, log_cosignature
from sandbox.core.canonical import canonical
from sandbox.core.database import Database, Transaction, metadata, open_engine
from sandbox.core.errors import Invalid, SandboxError, Tampered, Unavailable
from sandbox.core.keys import SigningKey
from sandbox.core.terms import EntryId, ParticipantId
from tests.audit.conftest import NOON, ORIGIN, TABLES, Opened

ALL = [*{*TABLES, log_term, log_indexed, log_cosignature}]
BUYERS, DATASETS = ("cong-ty-a", "cong-ty-b", "cong-ty-c"), ("bus", "land")
AGREEMENTS = {f"sha256:{number:064x}": (BUYERS[number % 3], DATASETS[number % 2]) for number in range(6)}


@pytest.fixture
def book(engine: Engine, open_log: Callable[..., Opened]) -> Opened:
    """A log whose index is empty."""
    with engine.execution_options(writes=True).begin() as connection:
        metadata.create_all(connection, tables=ALL)
    return open_log()


def put(book: Opened, *entries: tuple[EventType, str, dict[str, Any], dict[str, Any], datetime]) -> None:
    database, log = book

    def unit(tx: Transaction) -> None:
        for kind, name, clear, sealed, at in entries:
            log.record(tx, kind, at, entry_id=EntryId(name), clear=clear, sealed=sealed)

    database.write(unit)


def trade(number: int, at: datetime) -> tuple[EventType, str, dict[str, Any], dict[str, Any], datetime]:
    """The entry of a query; every seventh was refused."""
    agreement = [*AGREEMENTS][number % 6]
    buyer, dataset = AGREEMENTS[agreement]
    clear: dict[str, Any] = {"query": f"qry_{number}", "agreements": [{"id": agreement, "dataset": dataset, "vnd": 1}]}
    sealed: dict[str, Any] = {"actor": buyer, "sql": f"SELECT {number}"}
    if number % 7 == 0:
        refused = {"code": "policy.refused", "reasons": ["CONT-03"] if number % 2 else ["CONT-03", "PAY-01"]}
        return EventType.QUERY_REFUSED, f"ent_{number}", clear | refused, sealed, at
    sealed["result"] = {"sha256": f"sha256:{number + 1000:064x}"}
    return EventType.QUERY_COMPLETED, f"ent_{number}", clear, sealed, at


def fill(book: Opened, first: int, last: int, step: timedelta = timedelta(minutes=37)) -> None:
    put(book, *(trade(number, NOON + number * step) for number in range(first, last)))


def found(book: Opened, own: Own | None = None, **asked: Any) -> list[int]:
    """The places of everything that a search finds, page after page."""
    database, _ = book
    filters = tuple((name, value) for name, value in asked.items() if name in _NAMES)
    rest = {name: value for name, value in asked.items() if name not in _NAMES}
    places: list[int] = []
    cursor = None
    with database.read() as connection:
        size = covered(connection)
        while True:
            page = search(connection, Wanted(filters, **rest, cursor=cursor), size, own)
            places += [idx for idx, _ in page.entries]
            cursor = page.next
            if cursor is None:
                return places


_NAMES = {"actor", "participant", "dataset", "agreement", "query", "code", "reason", "type", "entry", "digest"}


def rows(book: Opened) -> list[tuple[Any, ...]]:
    with book[0].read() as connection:
        return sorted(tuple(row) for row in connection.execute(sa.select(log_term)))


# --- terms ---
CASES = {
    "a person in clear": ({"provider": "so-gtvt"}, {}, {("actor", "so-gtvt"): False}),
    "a person behind a seal": ({}, {"actor": "cong-ty-a"}, {("owner", "cong-ty-a"): True}),
    "several persons": (
        {"provider": "so-gtvt"},
        {"buyer": "cong-ty-a", "signers": [{"participant": "so-gtvt"}, {"participant": "san"}]},
        {("actor", "so-gtvt"): False, ("owner", "cong-ty-a"): True, ("party", "so-gtvt"): True, ("party", "san"): True},
    ),
    "an order on a party": (
        {"scope": {"kind": "participant", "id": None}},
        {"signed_by": ["co-quan", "san"], "target": "cong-ty-a"},
        {("actor", "co-quan"): True, ("actor", "san"): True, ("party", "cong-ty-a"): True},
    ),
    "an order on a dataset": (
        {"scope": {"kind": "dataset", "id": "bus"}}, {"target": "bus"}, {("dataset", "bus"): False},
    ),
    "a digest deep inside": (
        {"policy": {"bundle": "sha256:" + "a" * 64}}, {}, {("digest", "sha256:" + "a" * 64): False},
    ),
    "an agreement is a digest once": (
        {"agreement": "sha256:" + "b" * 64}, {}, {("agreement", "sha256:" + "b" * 64): False},
    ),
    "a result behind a seal": (
        {}, {"result": {"sha256": "sha256:" + "c" * 64}}, {("digest", "sha256:" + "c" * 64): True},
    ),
    "whom a disclosure went to": ({"from": 1, "to": 9}, {"to": "co-quan"}, {("actor", "co-quan"): True}),
    "no name": ({}, {"actor": "x" * 201, "document": "sha256:short"}, {}),
    "what no database takes": ({}, {"participant": "a\0b"}, {}),
    "members of other kinds": ({"reasons": "none", "agreements": [3], "scope": [], "query": 7}, {"identity": "x"}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("clear", "revealed", "expected"), CASES.values(), ids=CASES)
def test_an_entry_is_found_under_what_it_names(
    clear: dict[str, Any], revealed: dict[str, Any], expected: dict[Any, bool]
) -> None:
    entry = {"v": 1, "type": "t", "id": "ent_1", "ts": "…", "sealed": {}, **clear}
    assert terms_of(entry, canonical(entry), revealed) == {("type", "t"): False, **expected}


# --- searching ---
def _opened(book: Opened) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every entry with its kept values."""
    database, log = book
    with database.read() as connection:
        entries = [read_entry(leaf) for leaf in log.entries(connection, 0, log.head(connection).size)]
        kept = [log.bodies(connection, entry["id"]) for entry in entries]
    return [
        (entry, {name: said for name, (_, said) in each.items()}) for entry, each in zip(entries, kept, strict=True)
    ]


def _holds(name: str, value: str, entry: dict[str, Any], kept: dict[str, Any]) -> bool:
    agreements = entry["agreements"]
    said: dict[str, list[Any]] = {
        "actor": [kept.get("actor")],
        "dataset": [each["dataset"] for each in agreements],
        "agreement": [each["id"] for each in agreements],
        "query": [entry["query"]],
        "code": [entry.get("code")],
        "reason": entry.get("reasons", []),
        "type": [entry["type"]],
        "digest": [*(each["id"] for each in agreements), kept.get("result", {}).get("sha256")],
    }
    return value in said[name]


def test_every_combination_of_terms_finds_what_a_walk_finds(book: Opened) -> None:
    fill(book, 0, 120)
    catch_up(book[0], stretch=50)
    some = {
        "actor": "cong-ty-b", "dataset": "bus", "agreement": [*AGREEMENTS][4], "query": "qry_28",
        "code": "policy.refused", "reason": "PAY-01", "type": "query.completed", "digest": f"sha256:{1010:064x}",
    }  # fmt: skip
    entries = _opened(book)
    for count in (1, 2, 3):
        for names in itertools.combinations(some, count):
            asked = {name: some[name] for name in names}
            expected = [
                place
                for place, (entry, kept) in enumerate(entries)
                if all(_holds(name, value, entry, kept) for name, value in asked.items())
            ]
            assert found(book, **asked, oldest_first=True) == expected, names
            assert found(book, **asked, limit=20) == expected[::-1], names
    assert found(book, actor="cong-ty-b")
    assert found(book, actor="nobody") == []


def test_a_page_goes_on_where_the_one_before_ended_while_the_log_grows(book: Opened) -> None:
    database, _ = book
    fill(book, 0, 40)
    size = catch_up(database)
    with database.read() as connection:
        first = search(connection, Wanted((("dataset", "bus"),), limit=5), size)
    fill(book, 40, 80)
    size = catch_up(database)
    with database.read() as connection:
        second = search(connection, Wanted((("dataset", "bus"),), limit=5, cursor=first.next), size)
    places = [idx for page in (first, second) for idx, _ in page.entries]
    assert places == [*range(38, 18, -2)]


@pytest.mark.parametrize("cursor", ["", "o5", "n", "n-1", "n05", "n" + "9" * 19, "5", "n5\n", "n٣"])
def test_a_cursor_that_is_none_is_refused(book: Opened, cursor: str) -> None:
    with book[0].read() as connection, pytest.raises(Invalid) as refused:
        search(connection, Wanted(cursor=cursor), 0)
    assert refused.value.code == "audit.cursor"


def test_a_period_is_of_days_in_ho_chi_minh_city_and_to_the_microsecond(book: Opened) -> None:
    midnight = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)  # there
    tick = timedelta(microseconds=1)
    put(book, *(trade(number, midnight + shift) for number, shift in enumerate([-2 * tick, -tick, 0 * tick, tick])))
    catch_up(book[0])
    assert found(book, since=midnight) == [3, 2]
    assert found(book, until=midnight) == [1, 0]
    assert found(book, since=midnight - tick, until=midnight + tick) == [2, 1]
    assert found(book, since=midnight + timedelta(days=1)) == []
    assert found(book, until=midnight, actor="cong-ty-b") == [1]


def test_a_clock_that_goes_back_hides_nothing_from_a_period(book: Opened) -> None:
    days = [0, 1, 0, 2, 1, 1, 0] * 30  # more stretches than are asked for one by one
    put(book, *(trade(number, NOON + timedelta(days=day)) for number, day in enumerate(days)))
    catch_up(book[0], stretch=11)
    for day in range(3):
        since = NOON + timedelta(days=day)
        expected = [place for place, each in enumerate(days) if each == day]
        assert found(book, since=since, until=since + timedelta(hours=1), oldest_first=True) == expected
        assert found(book, since=since, until=since + timedelta(hours=1), limit=7) == expected[::-1]


def test_a_query_that_failed_is_found_by_the_agreement_that_its_own_entry_does_not_name(book: Opened) -> None:
    authorized, failed = trade(1, NOON), {"query": "qry_1", "code": "run.failed", "reasons": []}
    put(book, (EventType.QUERY_AUTHORIZED, *authorized[1:]))
    catch_up(book[0])
    put(book, (EventType.QUERY_FAILED, "ent_f", failed, {}, NOON))
    catch_up(book[0])
    assert found(book, agreement=[*AGREEMENTS][1], dataset="land") == [1, 0]
    assert found(book, actor="cong-ty-b") == [0]  # a seal of one entry says nothing of another: it may be erased


# --- others' affairs ---
def test_whoever_is_no_overseer_finds_only_what_names_them_and_cannot_guess_seals(book: Opened) -> None:
    fill(book, 0, 60)
    catch_up(book[0])
    mine = [name for name, (_, dataset) in AGREEMENTS.items() if dataset == "bus"]
    provider, buyer = Own(ParticipantId("so-gtvt"), tuple(mine)), Own(ParticipantId("cong-ty-a"), ())
    assert found(book, provider) == [*range(58, -1, -2)]
    assert found(book, provider, actor="cong-ty-a") == []  # though many are: it must not learn which
    assert found(book, provider, code="policy.refused") == [56, 42, 28, 14, 0]
    assert found(book, provider, digest=f"sha256:{1002:064x}") == []
    assert found(book, provider, agreement=mine[0], limit=4) == [*range(54, -1, -6)]
    assert found(book, buyer) == found(book, actor="cong-ty-a") == found(book, buyer, actor="cong-ty-a")
    assert found(book, buyer, digest=f"sha256:{1003:064x}") == [3]
    assert found(book, Own(ParticipantId("cong-ty-x"), ())) == []


# --- what stays ---
def test_the_index_covers_what_was_recorded_and_nothing_when_nobody_asks(book: Opened) -> None:
    fill(book, 0, 7)
    assert rows(book) == []
    assert catch_up(book[0], stretch=3) == 7
    once = rows(book)
    assert catch_up(book[0]) == 7
    assert rows(book) == once


def test_made_anew_it_is_the_same(book: Opened) -> None:
    fill(book, 0, 50)
    catch_up(book[0])
    once = rows(book)
    assert reindex(book[0], stretch=7) == 50
    assert rows(book) == once


def test_several_who_catch_up_at_once_write_each_term_once(
    book: Opened, engine: Engine, open_log: Callable[..., Opened]
) -> None:
    fill(book, 0, 200)
    others = [book, open_log(), open_log()]
    workers = [threading.Thread(target=catch_up, args=(each[0], 9)) for each in others]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    together = rows(book)
    reindex(book[0])
    assert together == rows(book)


def test_broken_off_it_goes_on_where_it_was(book: Opened, open_log: Callable[..., Opened]) -> None:
    fill(book, 0, 150)
    other = open_log()
    errors: list[SandboxError] = []

    def work() -> None:
        try:
            catch_up(other[0], stretch=2)
        except SandboxError as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    while not rows(book):
        time.sleep(0.001)
    other[0].close()
    worker.join()
    assert [error.code for error in errors] in ([], ["database.closed"])
    with book[0].read() as connection:
        done = covered(connection)
    assert {idx for *_, idx, _ in rows(book)} == {*range(done)}
    catch_up(book[0])
    half = rows(book)
    reindex(book[0])
    assert half == rows(book)


def test_what_was_erased_leaves_no_term(book: Opened) -> None:
    database, log = book
    fill(book, 0, 4)

    def erase(tx: Transaction) -> None:
        log.erase(tx, NOON, entry_id=EntryId("ent_e"), erased=EntryId("ent_1"), names=["actor"], basis="…")

    database.write(erase)
    catch_up(database)
    assert found(book, actor="cong-ty-b") == []
    assert found(book, entry="ent_1", type="body.erased") == [4]
    assert found(book, query="qry_1") == [1]


def test_what_is_erased_while_it_is_being_indexed_leaves_no_term(book: Opened) -> None:
    database, log = book
    fill(book, 0, 4)
    started, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        started.set()
        go.wait(5)

    def erase(tx: Transaction) -> None:
        log.erase(tx, NOON, entry_id=EntryId("ent_e"), erased=EntryId("ent_1"), names=["actor"], basis="…")

    first = database.submit(hold)
    started.wait(5)
    second = database.submit(erase)
    worker = threading.Thread(target=catch_up, args=(database,))  # it reads now, and its unit waits behind the erasure
    worker.start()
    time.sleep(0.2)
    go.set()
    first.result()
    second.result()
    worker.join()
    catch_up(database)
    assert found(book, actor="cong-ty-b") == []
    assert found(book, digest=f"sha256:{1001:064x}") == [1]


def test_a_kept_value_that_was_changed_stops_the_index_before_its_entry(
    book: Opened, forge: Callable[..., None]
) -> None:
    fill(book, 0, 20)
    forge(log_body.update().where(log_body.c.entry_id == "ent_12", log_body.c.name == "actor").values(value=b'"x"'))
    with pytest.raises(Tampered) as refused:
        catch_up(book[0], stretch=5)
    assert refused.value.code == "tampered.body"
    assert "entry ent_12" in refused.value.message
    with book[0].read() as connection:
        assert covered(connection) == 10


def test_a_closed_database_is_said_to_be_closed(book: Opened) -> None:
    fill(book, 0, 2)
    book[0].close()
    with pytest.raises(Unavailable):
        reindex(book[0])


@pytest.fixture
def anywhere(database_url: str, key: SigningKey) -> Iterator[Opened]:
    engine = open_engine(database_url)
    with engine.execution_options(writes=True).begin() as connection:
        metadata.create_all(connection, tables=ALL)
    log = Log(ORIGIN, key)
    log.load(engine)
    with Database(engine, log) as database:
        yield database, log


def test_it_is_the_same_on_each_kind_of_database(anywhere: Opened) -> None:
    fill(anywhere, 0, 60)
    catch_up(anywhere[0], stretch=25)
    own = Own(ParticipantId("cong-ty-a"), ([*AGREEMENTS][1],))
    assert found(anywhere, actor="cong-ty-a", dataset="bus", limit=2) == [*range(54, -1, -6)]
    assert found(anywhere, own, reason="CONT-03") == [49, 42, 21, 7, 0]
    assert found(anywhere, since=NOON, until=NOON + timedelta(hours=1)) == [1, 0]
    once = rows(anywhere)
    reindex(anywhere[0], stretch=40)
    assert rows(anywhere) == once
