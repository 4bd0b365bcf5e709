"""Ways round identity, on the wire: others' tokens, keys, ids and facts, and caps raced by a crowd."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from sandbox.api.routes import OPERATIONS
from sandbox.app import create_app
from sandbox.client.signing import RequestSigner
from sandbox.contracts import envelope, orders
from sandbox.contracts.terms import request_document
from sandbox.core.canonical import digest_of
from sandbox.core.errors import SandboxError
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.signing import unverified
from sandbox.core.terms import KeyUse
from sandbox.exchange import query as query_module
from tests.trying import ASKER, OPEN, STRANGER, balance, refused
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PER_ROUTE, PROVIDER, REGULATOR, TRIPS, World, charter

LONG_IDS = [
    "%00",
    "a%00b",
    "x" * 10_000,
    "neg_" + "0" * 9_996,
    "%F0%9F%98%80",
    "%ED%A0%80",
    "..%2f..",
    "%25",
    "' OR 1=1 --",
]


@pytest.fixture
def http(ready: World) -> Iterator[TestClient]:
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def asking(world: World, dataset: str = TRIPS, **changes: Any) -> dict[str, Any]:
    return {"sql": PER_ROUTE, "agreements": [world.agreements[dataset, BUYER]], "purpose": "nghien_cuu"} | changes


def negotiation(world: World) -> str:
    public = unverified(world.offered(INDEX, price_vnd=7), envelope.OFFER)[0]
    wanted = request_document(public, digest_of(public), {}, ASKER, world.clock.now())
    return world.exchange.negotiate(ASKER, "request", envelope.sign_request(wanted, world.keys[BUYER])).id


# --- ids ---
@pytest.mark.parametrize("name", LONG_IDS, ids=range(len(LONG_IDS)))
def test_an_id_that_nobody_has_is_not_found_however_odd_it_is(http: TestClient, ready: World, name: str) -> None:
    for operation in OPERATIONS:
        if "{id}" not in operation.path:
            continue
        path = operation.path.replace("{id}", name).replace("{act}", "terminate")
        answer = http.request(operation.method, path, headers=bearer(ready.tokens[BUYER]))
        expected = {404, 405} if "%2f" in name else {404}  # what leads to another address is judged there
        assert answer.status_code in expected, path[:60]
        assert answer.json()["status"] == answer.status_code
        assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    "name", ["\x00", "sha256:" + "\x00" * 64, "a" * 10_000, "sha256:" + "0" * 64, "", "%", "_" * 8]
)
def test_an_agreement_that_nobody_has_is_unknown_however_it_is_written(
    http: TestClient, ready: World, name: str
) -> None:
    answer = http.post("/v1/queries", json=asking(ready, agreements=[name]), headers=bearer(ready.tokens[BUYER]))
    assert (answer.status_code, answer.json()["code"]) in {(404, "agreement.unknown"), (422, "request.invalid")}
    assert balance(ready) == 100_000


def test_others_negotiations_and_orders_look_like_none_at_all(http: TestClient, ready: World) -> None:
    name = negotiation(ready)
    for other in (OTHER, REGULATOR, OPERATOR):
        for path in (f"/v1/negotiations/{name}", "/v1/negotiations/neg_0"):
            answer = http.get(
                path,
                headers=bearer(
                    ready.tokens.get(other)
                    or ready.exchange.create_token(
                        ready.exchange.house.exchange_id, ready.clock.now() + timedelta(days=1)
                    )
                ),
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "negotiation.unknown")
        for act in ("terminate", "finalize", "verify"):
            answer = http.post(f"/v1/negotiations/{name}/{act}", headers=bearer(ready.tokens[OTHER]))
            assert (answer.status_code, answer.json()["code"]) == (404, "negotiation.unknown"), act
    wanted = {"act": "suspend", "scope": {"kind": "dataset", "id": INDEX}, "issuer": REGULATOR, "reason": "Thử"}
    document = orders.order_document(wanted, secrets.token_bytes(32), ready.clock.now())
    text = orders.sign_order(document, ready.keys[REGULATOR])
    answer = http.post("/v1/orders", content=text, headers=bearer(ready.tokens[OTHER]))
    assert (answer.status_code, answer.json()["code"]) == (404, "order.foreign")
    assert ready.exchange.suspensions() == []


@pytest.mark.parametrize("act", ["FINALIZE", "finalized", "finalize%00", "finalize%2f", "start", "a" * 10_000])
def test_no_act_but_those_of_the_list_moves_a_negotiation(http: TestClient, ready: World, act: str) -> None:
    name = negotiation(ready)
    answer = http.post(f"/v1/negotiations/{name}/{act}", headers=bearer(ready.tokens[PROVIDER]))
    assert answer.status_code in {404, 422}
    assert len(answer.content) < 2_000
    assert ready.exchange.negotiation(ASKER, name)[0].state == "REQUESTED"


# --- tokens and scopes ---
def test_a_token_is_good_for_its_scopes_and_none_grows_into_another(http: TestClient, ready: World) -> None:
    until = ready.clock.now() + timedelta(days=1)
    for scope in ("read", "query", "contract", "publish"):
        secret = ready.exchange.create_token(ASKER, until, {scope})
        for operation in OPERATIONS:
            if not operation.scopes or scope in operation.scopes:
                continue
            path = operation.path.replace("{id}", "x").replace("{act}", "agree")
            answer = http.request(operation.method, path, content=b"{}", headers=bearer(secret))
            assert (answer.status_code, answer.json()["code"]) == (403, "identity.scope"), (scope, operation.path)
    assert refused(lambda: ready.exchange.create_token(ASKER, until, {"supervise"})).code == "token.scopes"
    assert refused(lambda: ready.exchange.create_token(ASKER, until, {"read supervise"})).code == "token.scopes"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "POST"},
        {"X-Original-URL": "/v1/volume?by=buyer"},
        {"X-Forwarded-User": REGULATOR},
        {"Cookie": "token=x"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer sbx_test_" + "0" * 48},
    ],
    ids=lambda each: " ".join(next(iter(each.items()))),
)
def test_nothing_but_a_token_in_its_header_says_who_asks(
    http: TestClient, ready: World, headers: dict[str, str]
) -> None:
    for path in ("/v1/agreements", "/v1/volume", "/v1/suspensions"):
        assert http.get(path, headers=headers).status_code == 401
    assert http.get(f"/v1/agreements?token={ready.tokens[BUYER]}").status_code in {400, 401}


def test_a_participant_who_is_stopped_gets_nothing_with_any_token_of_its_own(http: TestClient, ready: World) -> None:
    done = ready.query()
    fresh = ready.exchange.create_token(ASKER, ready.clock.now() + timedelta(days=1))
    ready.order("suspend", "participant", BUYER, REGULATOR)
    late = ready.exchange.create_token(ASKER, ready.clock.now() + timedelta(days=1))
    for secret in (ready.tokens[BUYER], fresh, late):
        for operation in OPERATIONS:
            if not operation.token:
                continue
            path = operation.path.replace("{id}", done.id).replace("{act}", "agree")
            answer = http.request(operation.method, path, content=b"{}", headers=bearer(secret))
            assert (answer.status_code, answer.json()["code"]) == (401, "identity.suspended"), operation.path


def test_the_supervisor_reads_and_orders_on_though_the_operator_has_suspended_it(
    http: TestClient, ready: World
) -> None:
    ready.order("suspend", "participant", REGULATOR, OPERATOR)
    headers = bearer(ready.tokens[REGULATOR])
    assert http.get("/v1/suspensions", headers=headers).json()[0]["target"] == REGULATOR
    wanted = {"act": "suspend", "scope": {"kind": "market", "id": None}, "issuer": REGULATOR, "reason": "Thử nghiệm"}
    document = orders.order_document(wanted, secrets.token_bytes(32), ready.clock.now())
    assert http.post(
        "/v1/orders", content=orders.sign_order(document, ready.keys[REGULATOR]), headers=headers
    ).is_success
    answer = http.post("/v1/queries", json=asking(ready), headers=headers)
    assert answer.status_code == 404


# --- signed requests ---
def signed(world: World, key: SigningKey, secret: str, body: bytes) -> httpx2.Request:
    plain = httpx2.Request("POST", "http://testserver/v1/queries", headers=bearer(secret), content=body)
    return next(RequestSigner(key, world.clock).sync_auth_flow(plain))


def sent(http: TestClient, request: httpx2.Request) -> Any:
    headers = {name: value for name, value in request.headers.items() if name not in {"host", "content-length"}}
    return http.request(request.method, str(request.url), content=request.content, headers=headers)


def test_a_stolen_token_is_worth_nothing_beside_anothers_key_and_a_key_nothing_beside_anothers_token(
    ready: World,
) -> None:
    ready.settings = replace(ready.settings, public_url="http://testserver/")
    ready.reopen()
    keys = {}
    for number, who in enumerate((ASKER, STRANGER), 0x71):
        keys[who] = key_from_seed(f"{who}/request", bytes([number]) * 32)
        ready.exchange.register_key(who, keys[who].verify_key, KeyUse.REQUEST)
    ready.adopt(signed_requests={"query": True, "contract": False, "order": False})
    body = json.dumps(asking(ready)).encode()
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as http:
        for key, secret in ((keys[STRANGER], ready.tokens[BUYER]), (keys[ASKER], ready.tokens[OTHER])):
            answer = sent(http, signed(ready, key, secret, body))
            assert (answer.status_code, answer.json()["code"]) == (401, "identity.signature_invalid")
        plain = http.post("/v1/queries", content=body, headers=bearer(ready.tokens[BUYER]))
        assert plain.json()["code"] == "identity.signature_missing"
        good = signed(ready, keys[ASKER], ready.tokens[BUYER], body)
        swapped = httpx2.Request(
            good.method,
            good.url,
            content=good.content,
            headers={**good.headers, "authorization": f"Bearer {ready.tokens[OTHER]}"},
        )
        assert sent(http, swapped).json()["code"] == "identity.signature_invalid"
        assert sent(http, good).status_code == 201
        assert sent(http, good).json()["code"] == "identity.signature_replayed"
    assert balance(ready) == 85_000


def test_a_signed_request_spent_by_a_crowd_at_once_counts_once(ready: World) -> None:
    ready.settings = replace(ready.settings, public_url="http://testserver/")
    ready.reopen()
    key = key_from_seed(f"{BUYER}/request", b"\x71" * 32)
    ready.exchange.register_key(ASKER, key.verify_key, KeyUse.REQUEST)
    request = signed(ready, key, ready.tokens[BUYER], json.dumps(asking(ready)).encode())
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as http, ThreadPoolExecutor(8) as pool:
        statuses = Counter(answer.status_code for answer in pool.map(lambda _: sent(http, request), range(8)))
    assert statuses == {201: 1, 401: 7}
    assert balance(ready) == 85_000


# --- caps ---
def test_sixteen_clients_at_once_do_not_get_past_a_cap(http: TestClient, ready: World) -> None:
    ready.adopt(caps=charter()["caps"] | {"per_buyer_day_queries": 5})
    body = asking(ready, INDEX, sql=OPEN)

    def ask(_: int) -> int:
        return http.post("/v1/queries", json=body, headers=bearer(ready.tokens[BUYER])).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = Counter(pool.map(ask, range(16)))
    assert statuses[201] == 5
    assert {*statuses} <= {201, 402, 403, 429}
    assert [entry["type"] for entry in ready.entries()].count("query.completed") == 5


# --- what is told ---
def test_the_result_of_a_query_that_was_stopped_comes_out_by_no_other_address(
    http: TestClient, ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = query_module.settle

    def stopped(*given: Any) -> Any:
        ready.order("suspend", "query", given[1].id, REGULATOR)
        return settle(*given)

    monkeypatch.setattr(query_module, "settle", stopped)
    body = asking(ready, INDEX, sql="SELECT noi || '-bi-mat' AS noi FROM chi_so")
    answer = http.post("/v1/queries", json=body, headers=bearer(ready.tokens[BUYER]))
    assert answer.status_code == 403
    name = ready.entries()[-1]["query"]
    for path in (f"/v1/queries/{name}/receipt", f"/v1/queries/{name}/decision", f"/v1/queries/{name}"):
        told = http.get(path, headers=bearer(ready.tokens[BUYER]))
        assert b"A-bi-mat" not in told.content
        assert b'"result"' not in told.content
    assert not [path for path in (ready.home / "spool").rglob("*") if path.is_file()]
    assert balance(ready) == 100_000


def test_what_a_buyer_may_look_up_of_a_refusal_holds_nothing_of_other_buyers(http: TestClient, ready: World) -> None:
    ready.exchange.top_up(STRANGER, 100_000, "UNC-9")
    theirs = ready.agree(TRIPS, OTHER, price_vnd=15_002)
    other = ready.query(buyer=OTHER, agreements=(theirs,))
    ready.adopt(caps=charter()["caps"] | {"exchange_day_vnd": 20_002})
    answer = http.post("/v1/queries", json=asking(ready), headers=bearer(ready.tokens[BUYER]))
    assert (answer.status_code, answer.json()["reasons"]) == (403, ["CHARTER-05"])
    name = ready.entries()[-1]["query"]
    told = answer.content
    for path in (f"/v1/queries/{name}/receipt", f"/v1/queries/{name}/decision"):
        told += http.get(path, headers=bearer(ready.tokens[BUYER])).content
    for secret in (OTHER.encode(), b"15002", theirs.encode(), other.id.encode()):
        assert secret not in told
    for path in (f"/v1/queries/{other.id}/receipt", f"/v1/queries/{other.id}/decision"):
        assert http.get(path, headers=bearer(ready.tokens[BUYER])).status_code == 404


def test_a_stop_of_one_buyer_is_told_to_no_other(http: TestClient, ready: World) -> None:
    ready.order("suspend", "participant", OTHER, REGULATOR, reason="Nghi gian lận")
    found = http.get("/v1/suspensions", headers=bearer(ready.tokens[BUYER]))
    assert found.json() == []
    with pytest.raises(SandboxError):
        ready.who(OTHER)
