"""The record over HTTP: pages that go on, parameters that are refused with the list, and what the SDK makes of them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from sandbox.client.sdk import Remote
from sandbox.core.errors import Invalid, NotFound
from sandbox.core.terms import ParticipantId
from tests.world import BUYER, INDEX, OTHER, PROVIDER, REGULATOR, World

ENTRIES = "/v1/audit/entries"


def ask(http: TestClient, ready: World, path: str = ENTRIES, who: str = REGULATOR, **said: Any) -> httpx2.Response:
    names = {name.rstrip("_"): value for name, value in said.items()}
    return http.get(path, params=names, headers={"Authorization": f"Bearer {ready.tokens[who]}"})


@pytest.fixture
def sdk(http: TestClient, ready: World) -> Iterator[Remote]:
    http.headers["Authorization"] = f"Bearer {ready.tokens[REGULATOR]}"
    yield Remote(http)
    del http.headers["Authorization"]


def test_pages_of_two_hold_the_whole_record_once(http: TestClient, ready: World) -> None:
    entries: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = ask(http, ready, limit=2, order="oldest", **cursor).json()
        entries += page["entries"]
        if page["next"] is None:
            break
        assert len(page["entries"]) == 2
        cursor = {"cursor": page["next"]}
    assert [each["entry"] for each in entries] == ready.entries()
    assert [each["index"] for each in entries] == [*range(len(entries))]
    assert page["complete_to"]["entries"] == page["complete_to"]["checkpoint"]["size"] == len(entries)
    assert page["complete_to"]["witnessed"] is None


def test_values_behind_seals_are_shown_to_who_asks_for_them(http: TestClient, ready: World) -> None:
    query = ready.query("SELECT noi FROM chi_so", dataset=INDEX).id
    (bare, _) = ask(http, ready, query=query).json()["entries"]
    (shown, _) = ask(http, ready, query=query, reveal="true").json()["entries"]
    assert "reveal" not in bare
    assert shown["reveal"]["actor"]["value"] == BUYER
    (own, _) = ask(http, ready, who=BUYER, query=query, reveal="true").json()["entries"]
    assert "question" not in own["reveal"]
    (used, _) = ask(http, ready, who=PROVIDER, query=query, reveal="true").json()["entries"]
    assert used["reveal"] == {}
    assert ask(http, ready, who=OTHER, query=query, reveal="true").json()["entries"] == []


WRONG: dict[str, dict[str, str]] = {
    "type": {"type": "query.sold"},
    "limit": {"limit": "1001"},
    "limit in words": {"limit": "ten"},
    "limit of another script": {"limit": "٣"},
    "limit below": {"limit": "0"},
    "cursor": {"cursor": "n1x"},
    "cursor of the other order": {"cursor": "o1"},
    "order": {"order": "random"},
    "reveal": {"reveal": "yes"},
    "from": {"from": "yesterday"},
    "to": {"to": "2026-13-01"},
    "actor": {"actor": "\0"},
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
def test_a_wrong_parameter_is_refused_with_what_is_right(http: TestClient, ready: World, said: dict[str, str]) -> None:
    answer = ask(http, ready, **said)
    assert answer.status_code == 422
    assert answer.json()["code"] == ("audit.cursor" if "cursor" in said else "audit.filter")
    assert answer.json()["hint"]


def test_an_unknown_parameter_is_no_search_for_everything(http: TestClient, ready: World) -> None:
    answer = ask(http, ready, buyer=BUYER)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.malformed")


def test_one_entry_has_an_address(http: TestClient, ready: World) -> None:
    query = ready.query("SELECT noi FROM chi_so", dataset=INDEX).id
    place = len(ready.entries()) - 1
    shown = ask(http, ready, f"{ENTRIES}/{place}").json()
    assert shown["entry"]["type"] == "query.completed"
    assert ask(http, ready, f"{ENTRIES}/{shown['entry']['id']}").json() == shown
    assert shown["checkpoint"]["size"] == place + 1
    assert (shown["erased"], shown["missing"], shown["witnessed"]) == ([], [], None)
    for name, who in ((query, REGULATOR), ("ent_none", REGULATOR), (str(place), OTHER), (str(place + 1), REGULATOR)):
        answer = ask(http, ready, f"{ENTRIES}/{name}", who)
        assert (answer.status_code, answer.json()["code"]) == (404, "entry.unknown")


def test_a_token_that_is_good_for_neither_reading_nor_supervising_opens_nothing(http: TestClient, ready: World) -> None:
    until = ready.clock.now() + timedelta(days=1)
    for scopes, status in ((("query", "contract", "publish"), 403), (("read",), 200), (("supervise",), 200)):
        token = ready.exchange.create_token(ParticipantId(REGULATOR), until, scopes)
        for path in (ENTRIES, f"{ENTRIES}/0"):
            answer = http.get(path, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status, scopes


def test_the_sdk_reads_the_record(sdk: Remote, ready: World) -> None:
    entries = ready.entries()
    first = sdk.entries(limit=3, order="oldest", from_="2026-12-01")
    assert [each["entry"] for each in first["entries"]] == entries[:3]
    second = sdk.entries(limit=3, order="oldest", from_="2026-12-01", cursor=first["next"])
    assert [each["index"] for each in second["entries"]] == [3, 4, 5]
    admitted = sdk.entries(reveal=True, type="participant.admitted", participant=BUYER)["entries"]
    assert [each["reveal"]["participant"]["value"] for each in admitted] == [BUYER]
    assert sdk.entry(admitted[0]["entry"]["id"])["entry"] == admitted[0]["entry"]
    with pytest.raises(Invalid):
        sdk.entries(type="nothing")
    with pytest.raises(NotFound):
        sdk.entry("../volume")


def test_the_description_lists_every_parameter(http: TestClient) -> None:
    described = http.get("/openapi.json").json()["paths"][ENTRIES]["get"]
    names = {each["name"] for each in described["parameters"]}
    assert {"actor", "dataset", "digest", "from", "to", "cursor", "limit", "reveal", "order"} <= names
    assert "EntriesView" in json.dumps(described["responses"]["200"])
