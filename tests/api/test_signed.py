"""A request's signature as HTTP carries it: what must be covered, in which words, over which body."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from http_message_signatures.httpx2 import adapt_message
from starlette.requests import Request

from sandbox.api.signed import signature_of
from sandbox.client.signing import RequestSigner
from sandbox.core.clock import ManualClock
from sandbox.core.errors import Invalid, NotIdentified
from sandbox.core.keys import key_from_seed, new_key

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
ADDRESS = "https://san.example.vn"
KEY = key_from_seed("cong-ty-a", b"\x05" * 32)
BODY = b'{"sql":"SELECT 1"}'
TOKEN = {"Authorization": "Bearer sbx_test_1"}
COVERED = ("@method", "@target-uri", "authorization", "content-digest")


def by_sdk(method: str = "POST", path: str = "/v1/queries", body: bytes = BODY, key: Any = KEY) -> httpx2.Request:
    request = httpx2.Request(method, ADDRESS + path, headers=TOKEN, content=body or None)
    return next(RequestSigner(key, ManualClock(NOW)).sync_auth_flow(request))


def by_hand(covered: tuple[str, ...] = COVERED, **changes: Any) -> httpx2.Request:
    """Signed with the library alone, any which way."""
    request = httpx2.Request("POST", ADDRESS + "/v1/queries", headers=TOKEN, content=BODY)
    request.headers["Content-Digest"] = f"sha-256=:{b64encode(hashlib.sha256(BODY).digest()).decode()}:"
    said = {
        "key_id": KEY.kid,
        "created": NOW,
        "expires": datetime.fromtimestamp(NOW.timestamp() + 300, UTC),
        "nonce": "n" * 24,
        "tag": "sandbox-v1",
        "covered_component_ids": covered,
        "use_existing_digest": True,
    }
    resolver = MappingKeyResolver(public_keys={}, private_keys={KEY.kid: KEY.private})
    signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=resolver)
    signer.sign(adapt_message(request), **(said | changes))
    return request


def received(request: httpx2.Request, *more: tuple[bytes, bytes], without: str = "", **changes: Any) -> Request:
    """What the exchange gets, with headers added or lost on the way."""
    raw = [(name.lower(), value) for name, value in request.headers.raw if name.lower() != without.encode()]
    scope = {
        "type": "http",
        "method": request.method,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "headers": [*raw, *more],
        "scheme": "http",
        "server": ("10.0.0.7", 8080),
    }
    return Request(scope | changes)


def refused(request: Request, body: bytes = BODY, address: str = ADDRESS) -> str:
    with pytest.raises(NotIdentified) as caught:
        signature_of(request, address, body)
    assert (caught.value.code, bool(caught.value.hint)) == ("identity.signature_malformed", True)
    assert "sbx_test_1" not in caught.value.message
    return caught.value.message


def test_what_the_sdk_signs_is_read_and_verifies_under_its_key() -> None:
    signed = signature_of(received(by_sdk()), ADDRESS, BODY)
    assert signed is not None
    assert (signed.keyid, signed.created, signed.expires - signed.created) == (KEY.kid, int(NOW.timestamp()), 300)
    assert KEY.verify_key.verifies(signed.signature, signed.base)
    assert b'"@target-uri": https://san.example.vn/v1/queries' in signed.base


def test_a_request_without_a_body_covers_no_digest() -> None:
    signed = signature_of(received(by_sdk("GET", "/v1/volume?by=day", b"")), ADDRESS, b"")
    assert signed is not None
    assert KEY.verify_key.verifies(signed.signature, signed.base)
    assert b"content-digest" not in signed.base
    assert b"/v1/volume?by=day" in signed.base


def test_a_request_that_is_not_signed_has_no_signature() -> None:
    assert signature_of(received(httpx2.Request("POST", ADDRESS, headers=TOKEN)), ADDRESS, BODY) is None


def test_each_request_has_a_nonce_of_its_own() -> None:
    nonces = {signature_of(received(by_sdk()), ADDRESS, BODY).nonce for _ in range(5)}  # type: ignore[union-attr]
    assert len(nonces) == 5


def verifies(request: Request, body: bytes = BODY, address: str = ADDRESS) -> bool:
    signed = signature_of(request, address, body)
    return signed is not None and KEY.verify_key.verifies(signed.signature, signed.base)


def test_a_request_sent_elsewhere_than_it_says_does_not_verify() -> None:
    request = by_sdk()
    assert verifies(received(request))
    assert not verifies(received(request, method="PUT"))
    assert not verifies(received(request, raw_path=b"/v1/agreements"))
    assert not verifies(received(request, raw_path=b"/v1/%71ueries"))  # decoded they are the same
    assert not verifies(received(request, query_string=b"by=day"))
    assert not verifies(received(request), address="https://other.example.vn")


def test_the_host_header_decides_nothing() -> None:
    request = by_sdk()
    assert verifies(received(request, (b"host", b"evil.example"), without="host"))


def test_another_token_does_not_verify() -> None:
    request = by_sdk()
    assert not verifies(received(request, (b"authorization", b"Bearer sbx_test_2"), without="authorization"))
    assert not verifies(received(request, (b"authorization", b"Bearer sbx_test_2")))


def test_another_body_is_refused() -> None:
    assert "body" in refused(received(by_sdk()), BODY.replace(b"1", b"2"))
    refused(received(by_sdk()), b"")


def test_a_body_that_comes_to_an_empty_request_is_refused() -> None:
    refused(received(by_sdk("POST", "/v1/queries", b"")), BODY)


@pytest.mark.parametrize(
    "covered",
    [
        (),
        ("@method", "@target-uri", "authorization"),
        ("@method", "@target-uri", "content-digest"),
        ("@method", "authorization", "content-digest"),
        ("@target-uri", "authorization", "content-digest"),
        (*COVERED, "@authority"),
        (*COVERED, "host"),
        ("@method", "@path", "authorization", "content-digest"),
        ("@method", "@target-uri", "authorization", '"content-digest";key="sha-256"'),
        ("@method", "@target-uri", '"authorization";bs', "content-digest"),
    ],
)
def test_less_or_more_than_what_must_be_covered_is_refused(covered: tuple[str, ...]) -> None:
    assert verifies(received(by_hand()))
    refused(received(by_hand(covered)))


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": None},
        {"nonce": None},
        {"tag": None},
        {"tag": "another-program"},
    ],
    ids=str,
)
def test_a_parameter_that_is_missing_or_foreign_is_refused(changes: dict[str, Any]) -> None:
    refused(received(by_hand(**changes)))


def test_the_algorithm_need_not_be_named() -> None:
    assert verifies(received(by_hand(include_alg=False)))


@pytest.mark.parametrize(
    ("input_", "signature"),
    [
        ("", "sig=:AAAA:"),
        ("sig=()", ""),
        ("sig=(", "sig=:AAAA:"),
        ("sig=()", "sig=:AAAA:"),
        ("sig=()", "other=:AAAA:"),
        ("sig=5", "sig=:AAAA:"),
        ('sig=("@method");created="now"', "sig=:AAAA:"),
        ('sig=("@method" "@method");created=1;keyid="k"', "sig=:AAAA:"),
        ('sig=("@status");created=1;keyid="k"', "sig=:AAAA:"),
        ('sig=("@method");created=1;keyid="k";alg="hmac-sha256"', "sig=:AAAA:"),
        ('sig=("@method");created=1;keyid="k";jwk="x"', "sig=:AAAA:"),
        ('a=("@method");created=1;keyid="k", b=("@method");created=1;keyid="k"', "a=:AAAA:, b=:AAAA:"),
        ('a=("@method");created=1;keyid="k", a=("@method");created=1;keyid="k"', "a=:AAAA:, a=:AAAA:"),
        ("\xff", "\xff"),
        ("=" * 5_000, ":" * 5_000),
    ],
)
def test_what_is_no_signature_is_refused(input_: str, signature: str) -> None:
    plain = httpx2.Request("POST", ADDRESS + "/v1/queries", headers=TOKEN, content=BODY)
    headers = [(b"signature-input", input_.encode("latin-1")), (b"signature", signature.encode("latin-1"))]
    refused(received(plain, *headers))


@pytest.mark.parametrize("lost", ["signature", "signature-input", "content-digest", "authorization"])
def test_half_a_signature_is_refused(lost: str) -> None:
    refused(received(by_sdk(), without=lost))


def test_two_signatures_are_refused_even_if_one_is_good() -> None:
    again = by_hand(append_if_signature_exists=True, label="first")
    resolver = MappingKeyResolver(public_keys={}, private_keys={KEY.kid: KEY.private})
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=resolver).sign(
        adapt_message(again), key_id=KEY.kid, label="second", append_if_signature_exists=True, use_existing_digest=True
    )
    refused(received(again))


def test_the_sdk_signs_with_ed25519_keys_only() -> None:
    with pytest.raises(Invalid) as caught:
        by_sdk(key=new_key("cong-ty-a", "ES256"))
    assert caught.value.code == "key.unsupported"
