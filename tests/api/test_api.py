"""The HTTP API: its answers, its refusals as problem details, who may ask what, and its own description."""

import io
import json
from datetime import timedelta
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from sandbox.api.operations import MAX_BODY, openapi
from sandbox.api.routes import OPERATIONS
from sandbox.audit import verify
from sandbox.core.terms import SCOPES, ParticipantId
from tests.world import BUYER, INDEX, OTHER, PER_ROUTE, PROVIDER, REGULATOR, TRIPS, World

ARROW = "application/vnd.apache.arrow.stream"


def token(world: World, slug: str = BUYER) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.tokens[slug]}"}


def asked(world: World, **changes: Any) -> dict[str, Any]:
    return {"sql": PER_ROUTE, "agreements": [world.agreements[TRIPS, BUYER]], "purpose": "nghien_cuu"} | changes


def test_a_query_answers_json_by_default(http: TestClient, ready: World) -> None:
    answer = http.post("/v1/queries", json=asked(ready), headers=token(ready))
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["rows_out"], body["price_vnd"], body["groups_withheld"]) == (
        "completed",
        2,
        15_000,
        True,
    )
    assert body["columns"] == ["tuyen", "khach", "tien"]
    assert sorted(body["rows"]) == [["R1", 30, 420_000], ["R2", 28, 392_000]]
    assert answer.headers["location"] == body["receipt"]


def test_a_query_answers_csv_or_arrow_when_asked(http: TestClient, ready: World) -> None:
    arrow = http.post("/v1/queries", json=asked(ready), headers=token(ready) | {"Accept": ARROW})
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert (table.num_rows, arrow.headers["content-type"]) == (2, ARROW)
    csv = http.post("/v1/queries", json=asked(ready), headers=token(ready) | {"Accept": "text/csv"})
    assert csv.text.splitlines()[0] == "tuyen,khach,tien"
    assert len(csv.text.splitlines()) == 3


def test_the_receipt_of_an_arrow_answer_names_exactly_the_bytes_given(http: TestClient, ready: World) -> None:
    import hashlib

    arrow = http.post("/v1/queries", json=asked(ready), headers=token(ready) | {"Accept": ARROW})
    receipt = http.get(arrow.headers["location"], headers=token(ready))
    verdict = verify.verify_receipt(receipt.content, http.get("/log.vkey").text.strip())
    assert verdict.revealed["result"]["sha256"] == "sha256:" + hashlib.sha256(arrow.content).hexdigest()


def test_an_accept_that_cannot_be_met_is_refused_before_anything_is_charged(http: TestClient, ready: World) -> None:
    answer = http.post("/v1/queries", json=asked(ready), headers=token(ready) | {"Accept": "application/pdf"})
    assert (answer.status_code, answer.json()["code"]) == (406, "request.not_acceptable")
    assert ready.exchange.balance(ParticipantId(BUYER)) == 100_000


def test_a_refusal_is_a_problem_with_rules_explained_in_the_readers_language(http: TestClient, ready: World) -> None:
    body = asked(ready, purpose="ban_lai")
    vi = http.post("/v1/queries", json=body, headers=token(ready) | {"Accept-Language": "vi-VN,vi;q=0.9,en;q=0.5"})
    en = http.post("/v1/queries", json=body, headers=token(ready))
    assert vi.status_code == 403
    assert vi.headers["content-type"] == "application/problem+json"
    assert vi.json()["reasons"] == ["CONT-03"]
    assert vi.json()["explanations"]["CONT-03"] != en.json()["explanations"]["CONT-03"]
    assert vi.json()["query"].startswith("qry_")
    assert http.get(f"/v1/queries/{vi.json()['query']}/receipt", headers=token(ready)).status_code == 200


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "identity.missing"),
        ({"Authorization": "Basic abc"}, "identity.missing"),
        ({"Authorization": "Bearer "}, "identity.missing"),
        ({"Authorization": "Bearer sbx_test_nonsense"}, "identity.token_unknown"),
    ],
)
def test_a_missing_or_wrong_token_is_401(http: TestClient, ready: World, header: dict[str, str], code: str) -> None:
    answer = http.post("/v1/queries", json=asked(ready), headers=header)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert ready.entries()[-1]["type"] != "query.refused"


def test_an_expired_token_is_told_so(http: TestClient, ready: World) -> None:
    ready.clock.advance(timedelta(days=91))
    answer = http.get("/v1/agreements", headers=token(ready))
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.token_expired")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request.malformed"),
        (b"\xff\xfe", 400, "request.malformed"),
        (b"[]", 422, "request.invalid"),
        (b'{"sql":"SELECT 1"}', 422, "request.invalid"),
        (b'{"sql":"SELECT 1","agreements":[],"purpose":"x"}', 422, "request.invalid"),
        (b'{"sql":1,"agreements":["a"],"purpose":"x"}', 422, "request.invalid"),
        (b'{"sql":"SELECT 1","agreements":["a"],"purpose":"x","role":"operator"}', 422, "request.invalid"),
        (b'{"sql":"' + b"x" * (MAX_BODY + 1) + b'"}', 413, "request.too_large"),
    ],
)
def test_a_malformed_body_is_refused_with_what_to_do(
    http: TestClient, ready: World, body: bytes, status: int, code: str
) -> None:
    answer = http.post("/v1/queries", content=body, headers=token(ready))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["hint"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/v1/queries", 405, "request.method"),
        ("GET", "/v1/queries/", 404, "not_found"),
        ("GET", "/v1/datasets?limit=5", 400, "request.malformed"),
        ("GET", "/log/../keys/log.jwk", 404, "not_found"),
        ("GET", "/log/%2e%2e/keys/log.jwk", 404, "not_found"),
    ],
)
def test_addresses_that_are_not_there_are_problems_too(
    http: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_catalogue_is_public_and_shows_no_sizes_or_hidden_columns(http: TestClient) -> None:
    found = {dataset["id"]: dataset for dataset in http.get("/v1/datasets").json()}
    assert {*found} == {TRIPS, INDEX}
    assert [column["name"] for column in found[TRIPS]["columns"]] == ["khach", "tuyen", "gia_vnd"]
    assert not {"rows", "bytes", "statistics"} & found[TRIPS].keys()


def test_an_agreement_is_made_over_http_by_its_own_parties_only(http: TestClient, ready: World) -> None:
    offer = json.dumps(next(o for o in http.get("/v1/offers").json() if o["dataset"] == INDEX)["document"]).encode()
    signed = ready.bought(offer, OTHER)
    foreign = http.post("/v1/agreements", content=signed, headers=token(ready, BUYER))
    assert (foreign.status_code, foreign.json()["code"]) == (404, "agreement.foreign")
    made = http.post("/v1/agreements", content=signed, headers=token(ready, OTHER))
    assert made.status_code == 201
    mine = http.get("/v1/agreements", headers=token(ready, OTHER)).json()
    assert [row["id"] for row in mine] == [made.json()["id"]]
    assert http.post("/v1/agreements", content=signed, headers=token(ready, OTHER)).status_code == 409


def test_the_volume_by_buyer_is_for_the_overseers(http: TestClient, ready: World) -> None:
    http.post("/v1/queries", json=asked(ready), headers=token(ready))
    total = http.get("/v1/volume", headers=token(ready)).json()["total"]
    assert (total["count"], total["value_vnd"]) == (1, 15_000)
    assert http.get("/v1/volume?by=day", headers=token(ready)).json()["by"]["2026-12-01"]["count"] == 1
    assert http.get("/v1/volume?by=buyer", headers=token(ready)).status_code == 404
    assert {*http.get("/v1/volume?by=buyer", headers=token(ready, REGULATOR)).json()["by"]} == {BUYER}
    assert http.get("/v1/volume?by=moon", headers=token(ready)).status_code == 400


def test_the_log_is_served_as_static_tiles_that_verify(http: TestClient, ready: World) -> None:
    ready.exchange.export_log()
    checkpoint = http.get("/log/checkpoint")
    assert checkpoint.headers["content-type"].startswith("text/plain")
    assert checkpoint.headers["cache-control"] == "no-cache"
    size = checkpoint.text.splitlines()[1]
    tile = http.get(f"/log/tile/0/000.p/{size}")
    assert tile.headers["content-type"] == "application/octet-stream"
    assert "immutable" in tile.headers["cache-control"]
    assert len(tile.content) == 32 * int(size)


def test_health_and_readiness_name_each_part(http: TestClient) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    ready = http.get("/readyz")
    assert ready.status_code == 200
    assert {*ready.json()["parts"]} == {"database", "log", "policy", "engine"}


def test_openapi_describes_every_operation_and_its_answers_fit(http: TestClient, ready: World) -> None:
    document = http.get("/openapi.json").json()
    assert document == json.loads(json.dumps(openapi(OPERATIONS)))
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    for path in ("/v1/datasets", "/v1/offers", "/healthz", "/readyz", "/v1/volume", "/v1/agreements", "/v1/charter",
                 "/v1/negotiations", "/v1/suspensions"):  # fmt: skip
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(
            http.get(path, headers=token(ready)).json(), schema | {"components": document["components"]}
        )


def test_openapi_says_which_scope_a_token_needs_and_what_may_be_signed(http: TestClient) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert paths["/v1/datasets"]["get"]["security"] == []
    assert paths["/v1/queries"]["post"]["security"] == [{"token": ["query"]}]
    assert paths["/v1/orders"]["post"]["security"] == [{"token": ["supervise"]}, {"token": ["contract"]}]
    signed = {
        (method, path)
        for path, item in paths.items()
        for method, described in item.items()
        if any(each["name"] == "Signature" and each["in"] == "header" for each in described["parameters"])
    }
    assert signed == {(each.method.lower(), each.path) for each in OPERATIONS if each.kind}
    assert {path for method, path in signed if method == "post"} == {
        "/v1/offers", "/v1/agreements", "/v1/negotiations", "/v1/negotiations/{id}/{act}", "/v1/queries", "/v1/orders",
    }  # fmt: skip
    assert paths["/v1/negotiations/{id}/{act}"]["post"]["requestBody"]["required"] is False
    assert paths["/v1/queries"]["post"]["requestBody"]["required"] is True


def test_every_scope_is_one_that_tokens_have() -> None:
    for operation in OPERATIONS:
        assert {*operation.scopes} <= {*SCOPES}
        assert bool(operation.scopes) == operation.token, operation.path


def test_a_token_without_the_scope_is_told_which_one(http: TestClient, ready: World) -> None:
    until = ready.clock.now() + timedelta(days=1)
    secret = ready.exchange.create_token(ParticipantId(BUYER), until, frozenset({"read"}))
    headers = {"Authorization": f"Bearer {secret}"}
    assert http.get("/v1/agreements", headers=headers).status_code == 200
    answer = http.post("/v1/queries", json=asked(ready), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "identity.scope")
    assert "query" in answer.json()["detail"]
    assert "query" in answer.json()["hint"]
    assert ready.exchange.balance(ParticipantId(BUYER)) == 100_000


def test_the_charter_is_shown_with_its_stage_and_caps(http: TestClient, ready: World) -> None:
    shown = http.get("/v1/charter").json()
    charter = ready.exchange.charter()
    assert charter is not None
    assert (shown["digest"], shown["version"], shown["state"]) == (charter.digest, 1, "active")
    assert shown["caps"] == charter.caps_at(ready.clock.now()).as_input()
    assert shown["document"] == charter.document
    ready.clock.advance(timedelta(days=3_000))
    assert http.get("/v1/charter").json()["stage"] is None


def test_the_decision_on_a_query_is_told_to_its_buyer(http: TestClient, ready: World) -> None:
    done = http.post("/v1/queries", json=asked(ready), headers=token(ready)).json()["id"]
    refused = http.post("/v1/queries", json=asked(ready, purpose="ban_lai"), headers=token(ready)).json()["query"]
    good = http.get(f"/v1/queries/{done}/decision", headers=token(ready)).json()
    bad = http.get(f"/v1/queries/{refused}/decision", headers=token(ready)).json()
    assert good["decision"] == {"allow": True, "reasons": []}
    assert bad["decision"] == {"allow": False, "reasons": ["CONT-03"]}
    assert http.get("/v1/queries/qry_0/decision", headers=token(ready)).status_code == 404


def test_a_suspended_buyer_is_told_so_at_once(http: TestClient, ready: World) -> None:
    ready.order("suspend", "participant", BUYER, REGULATOR)
    answer = http.post("/v1/queries", json=asked(ready), headers=token(ready))
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.suspended")
    assert answer.json()["reasons"] == ["CHARTER-06"]


def test_another_buyers_query_is_not_found(http: TestClient, ready: World) -> None:
    query = http.post("/v1/queries", json=asked(ready), headers=token(ready)).json()["id"]
    for slug in (OTHER, PROVIDER):
        assert http.get(f"/v1/queries/{query}/receipt", headers=token(ready, slug)).status_code == 404
        assert http.post("/v1/queries", json=asked(ready), headers=token(ready, slug)).status_code in {403, 404}


def test_a_crash_is_a_problem_without_its_cause(
    http: TestClient, ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies() -> None:
        raise RuntimeError("secret path /x/y")

    monkeypatch.setattr(type(ready.exchange), "datasets", lambda self: dies())
    answer = http.get("/v1/datasets")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


def test_formulas_do_not_survive_in_csv(http: TestClient, ready: World) -> None:
    body = asked(
        ready, sql="SELECT '=1+1' AS a, '-5' AS b, noi FROM chi_so LIMIT 1", agreements=[ready.agreements[INDEX, BUYER]]
    )
    answer = http.post("/v1/queries", json=body, headers=token(ready) | {"Accept": "text/csv"})
    assert answer.text.splitlines()[1].startswith("'=1+1,-5,")


def test_the_sdk_asks_and_reads_arrow_and_its_errors_are_the_exchanges(http: TestClient, ready: World) -> None:
    from sandbox.client.sdk import Remote
    from sandbox.core.errors import PolicyRefused

    http.headers.update(token(ready))
    remote = Remote(http)
    result = remote.query(PER_ROUTE, agreements=[ready.agreements[TRIPS, BUYER]], purpose="nghien_cuu")
    assert pa.table(result).num_rows == result.rows == 2
    assert verify.verify_receipt(result.receipt(), ready.vkey).index > 0
    with pytest.raises(PolicyRefused) as refusal:
        remote.query(PER_ROUTE, agreements=[ready.agreements[TRIPS, BUYER]], purpose="ban_lai")
    assert refusal.value.reasons == ("CONT-03",)
    assert io.BytesIO(result.ipc).read(4)
