"""Ways round the record at the desk: what is searched, shown, erased and carried away, and who could stop it all."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.app import create_app
from sandbox.cli.audit_file import write_entries
from sandbox.core.canonical import canonical
from sandbox.core.errors import SandboxError
from sandbox.exchange import desk, erase
from sandbox.exchange.wanted import FILTERS, wanted
from tests.trying import asked, refused
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, World


@pytest.fixture
def http(ready: World) -> TestClient:
    return TestClient(create_app(ready.exchange), raise_server_exceptions=False)


def _get(http: TestClient, world: World, who: str, address: str, **said: str) -> Any:
    return http.get(address, params=said, headers={"Authorization": f"Bearer {world.tokens[who]}"})


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _scalars(each)
    elif isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable():
        yield value


def test_a_stranger_who_searches_for_every_sealed_value_there_is_learns_nothing(ready: World) -> None:
    asked(ready)

    def found(who: str, reveal: bool = False, **filters: str) -> tuple[desk.Seen, ...]:
        reader = ready.who(who).participant
        return ready.exchange.audit_entries(reader, wanted(filters, limit=1_000), reveal=reveal).entries

    whole = found(REGULATOR, reveal=True)
    sealed = {each for seen in whole for shown in (seen.reveal or {}).values() for each in _scalars(shown["value"])}
    own = {seen.index for seen in whole if OTHER.encode() in canonical({"": seen.entry, "shown": seen.reveal})}
    assert len(sealed) > 50
    for kind in ("participant", "digest"):
        for value in sealed:
            assert {each.index for each in found(OTHER, **{kind: value})} <= own, (kind, value)


CURSORS = [
    "n999999999999999999",
    "n0",
    "n7",
    "o7",
    "n07",
    "n-1",
    "n٧",
    "x",
    "n7 ",
    "n1e3",
    "n" + "9" * 30,
    "",
    "n7\n",
    "'",
]


def test_a_forged_cursor_shows_nobody_more_than_is_theirs(ready: World, http: TestClient) -> None:
    asked(ready)
    for who in (OTHER, PROVIDER, BUYER):
        mine = {each["index"] for each in _get(http, ready, who, "/v1/audit/entries", limit="1000").json()["entries"]}
        for cursor in CURSORS:
            answer = _get(http, ready, who, "/v1/audit/entries", cursor=cursor, limit="1000")
            assert answer.status_code in {200, 422}, cursor
            assert {each["index"] for each in answer.json().get("entries", [])} <= mine, cursor


ODD = ["\0", "'; DROP TABLE log_entry;--", "%", "\x1b[2J", "٣", "-1", "1e9", "9" * 40, "x" * 4_000]


def test_odd_words_to_the_desk_are_answered_and_break_nothing(ready: World, http: TestClient) -> None:
    addresses = {
        "/v1/audit/entries": (*FILTERS, "limit", "order", "reveal"),
        "/v1/audit/disclosures": ("from", "to", "basis"),
    }
    for address, names in addresses.items():
        for name in names:
            for word in ODD:
                said = {"from": "0", "to": "1", "basis": "PDPL-23"} if "disclosures" in address else {}
                answer = _get(http, ready, REGULATOR, address, **(said | {name: word}))
                assert answer.status_code in {200, 422}, (name, word)
    for word in ("%00", "..%2f..%2fhome", "9" * 40, "-1", "1e1", "%0d%0aX-Y:1", "%22;x=%22"):
        for address in (f"/v1/audit/entries/{word}", f"/v1/queries/{word}/evidence", f"/v1/queries/{word}/receipt"):
            answer = _get(http, ready, REGULATOR, address)
            assert answer.status_code == 404, address
            assert "X-Y" not in answer.headers


@pytest.mark.parametrize("who", [BUYER, PROVIDER, OTHER])
def test_sealed_values_and_evidence_are_behind_no_other_partys_door(ready: World, http: TestClient, who: str) -> None:
    query = asked(ready).id
    said = {"from": "0", "to": "9", "basis": "PDPL-23"}
    before = len(ready.entries())
    assert _get(http, ready, who, "/v1/audit/disclosures", **said).status_code in {403, 404}
    assert _get(http, ready, who, f"/v1/queries/{query}/evidence").status_code == 404
    assert len(ready.entries()) == before


def test_what_was_erased_is_behind_no_door_and_in_no_file_of_the_house(ready: World, http: TestClient) -> None:
    secret = "QXZJKVWBPYGH"
    query = ready.query(f"SELECT noi FROM chi_so WHERE noi <> '{secret}'", dataset=INDEX).id
    _get(http, ready, REGULATOR, "/v1/audit/entries", query=query, reveal="true")  # indexed
    assert secret in _get(http, ready, BUYER, f"/v1/queries/{query}/receipt").text
    for entry in ready.entries():
        names = [name for name in ("sql", "question") if name in entry["sealed"]]
        if entry.get("query") == query and names:
            erase.erase(ready.exchange.house, entry["id"], names, "PDPL-12(1)")
    assert erase.scrub(ready.exchange.house)
    addresses = [f"/v1/queries/{query}/{each}" for each in ("receipt", "evidence", "decision")]
    addresses += ["/v1/audit/entries?reveal=true&limit=1000", "/v1/audit/disclosures?from=0&to=20&basis=PDPL-23"]
    for who in (BUYER, PROVIDER, REGULATOR):
        for address in addresses:
            assert secret not in _get(http, ready, who, address).text
    ready.exchange.close()
    holding = [path for path in ready.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    ready.reopen()
    assert holding == []


@pytest.mark.parametrize("ending", ["ndjson", "parquet"])
def test_entries_that_are_carried_away_with_their_values_are_their_owners_alone(ready: World, ending: str) -> None:
    out = ready.folder / f"entries.{ending}"
    complete, pages = desk.all_of(ready.exchange.house, wanted({}, oldest_first=True), reveal=True)
    write_entries(out, pages(), desk.complete_document(complete), reveal=True)
    assert out.stat().st_mode & 0o077 == 0


def test_no_words_of_a_participant_stop_the_exchange_or_its_next_start(ready: World) -> None:
    """What start and survey look for in the log must not be found in what somebody wrote."""
    for words in (
        '{"type":"log.recovered","from":0,"to":99}',
        '"type":"charter.adopted"',
        "\n\n— x AAAA\n",
        "\0",
        "\x1b[",
    ):
        refused(lambda words=words: ready.query(words))
        refused(lambda words=words: ready.query(purpose=words))
        refused(lambda words=words: ready.exchange.offer(words.encode()))
        refused(lambda words=words: ready.exchange.agree(words.encode()))
        refused(lambda words=words: ready.exchange.order(words.encode()))
        refused(lambda words=words: ready.exchange.adopt_charter(words.encode()))
        refused(lambda words=words: ready.exchange.publish(words.encode(), [], words.encode()))
    stop = ready.order("suspend", "dataset", INDEX, PROVIDER)
    for _ in range(2):  # the second is refused: two ends of one stop would not start again
        with suppress(SandboxError):
            ready.order("resume", "dataset", INDEX, REGULATOR, OPERATOR, ends=stop.id)
    ready.exchange.export_log()
    ready.reopen()
    ready.exchange.survey()
    assert ready.exchange.status()["log"].ready
    asked(ready)
