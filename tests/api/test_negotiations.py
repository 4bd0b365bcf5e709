"""A negotiation over HTTP, from the request to data, and what a party may not do in it."""

import json
import secrets
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.app import create_app
from sandbox.contracts import envelope
from sandbox.contracts.terms import counter_document, request_document
from sandbox.core.canonical import digest_of
from sandbox.core.terms import ParticipantId
from tests.world import BUYER, INDEX, OTHER, PROVIDER, World


class Table:
    """Both parties at one table, each with its key and token."""

    def __init__(self, http: TestClient, world: World) -> None:
        self.http, self.world = http, world
        self.public = json.loads(world.offered(INDEX, price_vnd=7))["offer"]

    def post(self, who: str, path: str, content: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.world.tokens[who]}"}
        return self.http.post(f"/v1/negotiations{path}", content=content, headers=headers)

    def get(self, who: str, path: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.world.tokens[who]}"}
        return self.http.get(f"/v1/negotiations{path}", headers=headers)

    def request(self, **changed: Any) -> bytes:
        document = request_document(
            self.public, digest_of(self.public), changed, ParticipantId(BUYER), self.world.clock.now()
        )
        return envelope.sign_request(document, self.world.keys[BUYER])

    def counter(self, request: bytes, **changed: Any) -> bytes:
        asked = json.loads(request)["request"]
        document = counter_document(asked, digest_of(asked), changed, self.world.clock.now())
        return envelope.sign_offer(document, self.world.keys[PROVIDER])

    def begun(self, **changed: Any) -> tuple[str, bytes]:
        asked = self.request(**changed)
        return self.post(BUYER, "", asked).json()["id"], asked

    def accepted(self, text: bytes, who: str) -> bytes:
        key, now = self.world.keys[who], self.world.clock.now()
        return envelope.accept_offer(text, key, secrets.token_bytes(32), now)


@pytest.fixture
def table(http: TestClient, ready: World) -> Table:
    return Table(http, ready)


def test_a_request_that_is_agreed_to_opens_data_once_it_is_finalised(table: Table, ready: World) -> None:
    begun = table.post(BUYER, "", table.request())
    assert begun.status_code == 201
    assert (begun.json()["state"], begun.json()["due"]) == ("REQUESTED", "provider")
    name = begun.json()["id"]
    half = table.accepted(table.request(), PROVIDER)
    assert table.post(PROVIDER, f"/{name}/agree", half).json()["state"] == "AGREED"
    whole = envelope.add_signature(half, ready.keys[BUYER])
    assert table.post(BUYER, f"/{name}/verify", whole).json()["due"] == "provider"
    before = len(ready.exchange.agreements(ParticipantId(BUYER)))
    assert (
        table.post(PROVIDER, f"/{name}/finalize").json() | {"state": "FINALIZED", "due": None}
        == table.get(PROVIDER, f"/{name}").json()["negotiation"]
    )
    assert len(ready.exchange.agreements(ParticipantId(BUYER))) == before + 1
    states = [message["state"] for message in table.get(BUYER, f"/{name}").json()["messages"]]
    assert states == ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]


def test_a_counter_offer_is_answered_by_its_buyer_alone(table: Table) -> None:
    name, asked = table.begun()
    counter = table.counter(asked)
    assert table.post(PROVIDER, f"/{name}/offer", counter).json()["due"] == "buyer"
    assert table.post(OTHER, f"/{name}/terminate").status_code == 404
    accepted = table.accepted(counter, BUYER)
    assert table.post(BUYER, f"/{name}/accept", accepted).json()["state"] == "ACCEPTED"
    shown = table.get(BUYER, f"/{name}").json()
    assert [message["party"] for message in shown["messages"]] == ["C", "P", "C"]
    assert shown["messages"][1]["envelope"] == json.loads(counter)


def test_a_step_that_does_not_lead_on_says_what_does(table: Table) -> None:
    name, _ = table.begun()
    early = table.post(PROVIDER, f"/{name}/finalize")
    assert (early.status_code, early.json()["code"]) == (409, "negotiation.state")
    assert early.json()["hint"]
    assert table.post(BUYER, f"/{name}/dance").status_code == 422
    assert table.post(BUYER, f"/{name}/accept").status_code == 422
    assert table.post(BUYER, "/neg_0/terminate").status_code == 404
    assert table.get(BUYER, f"/{name}").json()["negotiation"]["state"] == "REQUESTED"


def test_what_is_over_stays_over(table: Table) -> None:
    name, _ = table.begun()
    assert table.post(BUYER, f"/{name}/terminate", b"{}").json()["state"] == "TERMINATED"
    late = table.post(PROVIDER, f"/{name}/offer", table.counter(table.request()))
    assert late.status_code in {409, 422}
    assert table.get(PROVIDER, f"/{name}").json()["negotiation"] | {"due": None} == table.get(PROVIDER).json()[0]


def test_the_same_message_sent_twice_is_one(table: Table) -> None:
    asked = table.request()
    first, again = table.post(BUYER, "", asked), table.post(BUYER, "", asked)
    assert first.status_code == 201
    assert again.status_code in {201, 409}
    assert len(table.get(BUYER).json()) == 1


def test_the_record_keeps_how_the_sender_was_identified(ready: World) -> None:
    """Token and sign-in stand sealed in the entry of what was handed in, as with a query."""
    with TestClient(create_app(ready.exchange)) as http:
        Table(http, ready).begun(price_vnd=5)
    moved = next(entry for entry in reversed(ready.entries()) if entry["type"] == "negotiation.moved")
    with ready.exchange.house.database.read() as connection:
        told: Any = ready.exchange.house.log.bodies(connection, moved["id"])["identity"][1]
    assert (told["participant"], told["amr"]) == (BUYER, ["mfa"])
    assert told["token"] not in ready.tokens.values(), "a secret in the record"
