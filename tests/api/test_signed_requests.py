"""Signed requests at the door: when they must be, what a bad one costs, and that one counts once."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pyarrow as pa
import pytest

from sandbox.client.sdk import Remote, connect
from sandbox.client.signing import RequestSigner
from sandbox.core.clock import ManualClock
from sandbox.core.errors import Invalid, NotIdentified, PolicyRefused
from sandbox.core.keys import SigningKey, key_from_seed, write_key
from sandbox.core.terms import KeyUse, ParticipantId
from tests.api.conftest import Signing
from tests.world import BUYER, OTHER, PER_ROUTE, TRIPS


def asked(signing: Signing, **changes: Any) -> bytes:
    agreements = [signing.world.agreements[TRIPS, BUYER]]
    return json.dumps({"sql": PER_ROUTE, "agreements": agreements, "purpose": "nghien_cuu"} | changes).encode()


def request(signing: Signing, key: SigningKey | None = None, owner: str = BUYER, **more: Any) -> httpx2.Request:
    """A query that is signed, though not sent."""
    wanted = {"method": "POST", "url": "http://testserver/v1/queries", "content": asked(signing)} | more
    headers = {"Authorization": f"Bearer {signing.world.tokens[owner]}"}
    plain = httpx2.Request(wanted.pop("method"), wanted.pop("url"), headers=headers, **wanted)
    return next(RequestSigner(key or signing.key, signing.world.clock).sync_auth_flow(plain))


def sent(signing: Signing, signed: httpx2.Request, content: bytes | None = None, **headers: str) -> Any:
    kept = {name: value for name, value in signed.headers.items() if name not in {"host", "content-length"}}
    body = signed.content if content is None else content
    return signing.http.request(signed.method, str(signed.url), content=body, headers=kept | headers)


def spent(signing: Signing) -> int:
    return 100_000 - int(signing.world.exchange.balance(ParticipantId(BUYER)))


def test_a_query_that_must_be_signed_and_is_not_is_refused_and_costs_nothing(signing: Signing) -> None:
    headers = {"Authorization": f"Bearer {signing.world.tokens[BUYER]}"}
    answer = signing.http.post("/v1/queries", content=asked(signing), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.signature_missing")
    assert answer.json()["hint"]
    assert spent(signing) == 0


@pytest.mark.parametrize("path", ["/v1/offers", "/v1/agreements", "/v1/negotiations", "/v1/negotiations/neg_1/agree"])
def test_so_are_contracts(signing: Signing, path: str) -> None:
    headers = {"Authorization": f"Bearer {signing.world.tokens[BUYER]}"}
    answer = signing.http.post(path, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.signature_missing")


def test_what_is_only_read_need_not_be_signed(signing: Signing) -> None:
    headers = {"Authorization": f"Bearer {signing.world.tokens[BUYER]}"}
    assert signing.http.get("/v1/agreements", headers=headers).status_code == 200
    assert signing.http.get("/v1/datasets").status_code == 200


def test_a_signed_query_runs_and_the_record_keeps_the_proof_but_not_the_token(signing: Signing) -> None:
    answer = sent(signing, request(signing))
    assert answer.status_code == 201
    assert spent(signing) == 15_000
    exchange, query = signing.world.exchange, answer.json()["id"]
    entry = next(each for each in signing.world.entries() if each["type"] == "query.authorized")
    assert entry["query"] == query
    with exchange.house.database.read() as connection:
        bodies = {name: value for name, (_, value) in exchange.house.log.bodies(connection, entry["id"]).items()}
    assert bodies["identity"]["amr"] == ["mfa", "pop"]
    assert bodies["request_signature"]["keyid"] == signing.key.kid
    assert signing.world.tokens[BUYER] not in json.dumps(bodies)


def test_the_same_request_sent_twice_is_charged_once(signing: Signing) -> None:
    signed = request(signing)
    assert sent(signing, signed).status_code == 201
    again = sent(signing, signed)
    assert (again.status_code, again.json()["code"]) == (401, "identity.signature_replayed")
    signing.world.reopen()  # it is remembered where a restart does not forget it
    assert signing.world.exchange.balance(ParticipantId(BUYER)) == 85_000


def test_a_tampered_query_is_refused_before_anything_runs(signing: Signing) -> None:
    signed = request(signing)
    other = asked(signing, sql="SELECT count(*) AS n FROM chuyen_di")
    assert sent(signing, signed, other).json()["code"] == "identity.signature_malformed"
    digest = request(signing, content=other).headers["content-digest"]
    answer = sent(signing, signed, other, **{"content-digest": digest})
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.signature_invalid")
    assert spent(signing) == 0


def test_a_signature_for_another_address_is_none_for_this_one(signing: Signing) -> None:
    signed = request(signing, url="http://evil.example/v1/queries")
    signed.url = httpx2.URL("http://testserver/v1/queries")
    assert sent(signing, signed).json()["code"] == "identity.signature_invalid"
    assert sent(signing, request(signing), host="evil.example").status_code == 201


@pytest.mark.parametrize("minutes", [7, -2])
def test_an_old_request_is_refused(signing: Signing, minutes: int) -> None:
    signed = request(signing)
    signing.world.clock.advance(timedelta(minutes=minutes))
    assert sent(signing, signed).json()["code"] == "identity.signature_expired"


def test_a_stolen_token_is_worth_nothing_beside_another_key(signing: Signing) -> None:
    thief = key_from_seed(OTHER, b"\x52" * 32)
    signing.world.exchange.register_key(ParticipantId(OTHER), thief.verify_key, KeyUse.REQUEST)
    assert sent(signing, request(signing, thief)).json()["code"] == "identity.signature_invalid"
    assert sent(signing, request(signing, owner=OTHER)).json()["code"] == "identity.signature_invalid"


def test_a_contract_key_signs_no_request(signing: Signing) -> None:
    answer = sent(signing, request(signing, signing.world.keys[BUYER]))
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.signature_invalid")


def test_a_revoked_key_signs_no_more(signing: Signing) -> None:
    signing.world.exchange.revoke_key(signing.key.kid)
    assert sent(signing, request(signing)).json()["code"] == "identity.signature_invalid"


def test_a_bad_signature_refuses_even_where_none_is_needed(signing: Signing) -> None:
    for path in ("/v1/agreements", "/v1/datasets"):
        url = "http://testserver" + path
        good = request(signing, method="GET", url=url, content=None)
        assert sent(signing, good).status_code == 200
        forged = request(signing, key_from_seed(BUYER, b"\x53" * 32), method="GET", url=url, content=None)
        assert sent(signing, forged).json()["code"] == "identity.signature_invalid"
        half = sent(signing, httpx2.Request("GET", url, headers={"Signature": "sig=:AAAA:"}))
        assert half.status_code == 401


# --- the SDK ---
@pytest.fixture
def remote(signing: Signing) -> Iterator[Remote]:
    world = signing.world
    transport = signing.http._transport
    with connect(
        "http://testserver", world.tokens[BUYER], key=signing.key, clock=world.clock, transport=transport
    ) as remote:
        yield remote


def test_the_sdk_signs_what_it_sends(remote: Remote, signing: Signing) -> None:
    agreement = signing.world.agreements[TRIPS, BUYER]
    result = remote.query(PER_ROUTE, agreements=[agreement], purpose="nghien_cuu")
    assert pa.table(result).num_rows == 2
    assert remote.decision(result.id)["decision"]["allow"] is True
    assert remote.charter()["id"]
    assert (remote.negotiations(), remote.suspensions()) == ([], [])
    with pytest.raises(PolicyRefused) as refusal:
        remote.query(PER_ROUTE, agreements=[agreement], purpose="ban_lai")
    assert (refusal.value.reasons, bool(refusal.value.hint)) == (("CONT-03",), True)


def test_the_sdk_reads_its_key_from_a_file_that_no_one_else_can_read(signing: Signing, tmp_path: Any) -> None:
    path = tmp_path / "request.jwk"
    write_key(signing.key, path)
    told = {"clock": signing.world.clock, "transport": signing.http._transport}
    with connect("http://testserver", signing.world.tokens[BUYER], key=str(path), **told) as remote:
        assert remote.agreements()
    path.chmod(0o644)
    with pytest.raises(Invalid, match="Others may read"):
        connect("http://testserver", signing.world.tokens[BUYER], key=path)


def test_the_sdk_without_a_key_is_told_that_it_needs_one(signing: Signing) -> None:
    with (
        connect("http://testserver", signing.world.tokens[BUYER], transport=signing.http._transport) as remote,
        pytest.raises(NotIdentified) as refusal,
    ):
        remote.query(PER_ROUTE, agreements=[signing.world.agreements[TRIPS, BUYER]], purpose="nghien_cuu")
    assert refusal.value.code == "identity.signature_missing"
    assert refusal.value.hint


def test_a_key_without_a_token_says_nothing() -> None:
    with pytest.raises(Invalid):
        connect("http://testserver", key=key_from_seed(BUYER, b"\x51" * 32))


def test_the_sdk_whose_clock_is_wrong_is_told_so(signing: Signing) -> None:
    late = ManualClock(signing.world.clock.now() - timedelta(minutes=10))
    transport = signing.http._transport
    with (
        connect(
            "http://testserver", signing.world.tokens[BUYER], key=signing.key, clock=late, transport=transport
        ) as remote,
        pytest.raises(NotIdentified, match="another time"),
    ):
        remote.agreements()
