"""Ways round through the wire: bodies that lie about themselves, odd JSON, odd addresses, odd values."""

import csv
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from sandbox.api import render
from sandbox.app import create_app
from sandbox.core.canonical import parse
from sandbox.core.terms import ParticipantId
from tests.world import BUYER, INDEX, PER_ROUTE, TRIPS, World

Send = Callable[[bytes, bytes, float], bytes]


@pytest.fixture
def http(ready: World) -> TestClient:
    return TestClient(create_app(ready.exchange), raise_server_exceptions=False)


@pytest.fixture
def send(ready: World) -> Iterator[Send]:
    """Raw bytes to a real server, as a buyer; what it answers until it closes or falls silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = uvicorn.Server(uvicorn.Config(create_app(ready.exchange), log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)

    def sent(headers: bytes, body: bytes, patience: float) -> bytes:
        token = b"Authorization: Bearer " + ready.tokens[BUYER].encode()
        answer = b""
        with socket.create_connection(address) as connection:
            connection.settimeout(patience)
            try:
                connection.sendall(
                    b"POST /v1/queries HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    + token
                    + headers
                    + b"\r\n\r\n"
                    + body
                )
                while chunk := connection.recv(65_536):
                    answer += chunk
            except (TimeoutError, ConnectionError):
                pass
        return answer

    yield sent
    server.should_exit = True
    thread.join(10)
    listener.close()


def token(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.tokens[BUYER]}"}


def asked(world: World, dataset: str = TRIPS, **changes: Any) -> dict[str, Any]:
    return {"sql": PER_ROUTE, "agreements": [world.agreements[dataset, BUYER]], "purpose": "nghien_cuu"} | changes


def test_a_body_that_lies_about_itself_runs_nothing(ready: World, send: Send) -> None:
    body = json.dumps(asked(ready)).encode()
    size = len(body)
    chunks = b"".join(b"10000\r\n" + b"x" * 65_536 + b"\r\n" for _ in range(20))
    cases: list[tuple[bytes, bytes, bytes]] = [
        (b"\r\nContent-Length: 10", body, b" 400 "),
        (b"\r\nContent-Length: %d" % (size + 9), body, b""),
        (b"\r\nContent-Length: -1", body, b" 400 "),
        (b"\r\nContent-Length: 5\r\nContent-Length: 6", b"abcdef", b" 400 "),
        (b"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + body, b" 400 "),
        (b"\r\nTransfer-Encoding: chunked", b"ffffffffff\r\n" + body, b""),
        (b"\r\nTransfer-Encoding: chunked", chunks, b" 413 "),
        (b"\r\nX-Long: " + b"a" * 200_000, b"", b""),
    ]
    for headers, content, status in cases:
        answer = send(headers, content, 30 if status else 0.5)  # without a status the server waits for the rest
        assert status in answer.split(b"\r\n")[0], headers[:60]
        assert b" 201 " not in answer
    assert ready.exchange.balance(ParticipantId(BUYER)) == 100_000
    assert b" 201 " in send(b"\r\nContent-Length: %d" % size, body, 30)


CONTRACTS = [
    b'{"contract":{"assigner":[]}}',
    b'{"contract":{"assigner":{},"assignee":{"a":1}}}',
    b'{"contract":' + b"[" * 400_000,
    b'{"contract":' + b'{"a":' * 40_000,
    b'{"contract":' + b"9" * 400_000 + b"}",
    b'{"contract":{},"contract":{}}',
    b'{"contract":NaN}',
    b'{"contract":"\\ud800"}',
    b'{"type":"sandbox.receipt/v1","entry":{},"reveal":{},"proof":"","signatures":[]}',
    b"\xef\xbb\xbf{}",
    b"\x00",
    b"",
]


def test_odd_json_is_no_contract_and_no_crash(http: TestClient, ready: World) -> None:
    for body in CONTRACTS:
        answer = http.post("/v1/agreements", content=body, headers=token(ready))
        assert answer.status_code in {404, 422}, body[:60]
        assert answer.headers["content-type"] == "application/problem+json"


QUERIES = [
    b'{"zzz":' + b"[" * 400_000,
    b'{"sql":"SELECT 1","agreements":["aaaaaaaa"],"purpose":"x","max_price_vnd":' + b"9" * 5_000 + b"}",
    b'{"sql":"SELECT 1","agreements":["aaaaaaaa"],"purpose":"\\ud800"}',
    b'{"sql":"SELECT 1","agreements":["\\u0000aaaaaaa"],"purpose":"x"}',
    b'{"sql":"SELECT 1","agreements":[["a"]],"purpose":"x"}',
]


def test_odd_json_is_no_query_and_no_crash(http: TestClient, ready: World) -> None:
    for body in QUERIES:
        answer = http.post("/v1/queries", content=body, headers=token(ready))
        assert answer.status_code in {400, 404, 422}, body[:60]


def test_of_a_key_written_twice_the_record_names_what_ran(http: TestClient, ready: World) -> None:
    body = json.dumps(asked(ready)).replace('"sql"', '"sql": "SELECT 1", "sql"')
    answer = http.post("/v1/queries", content=body.encode(), headers=token(ready))
    receipt = parse(http.get(answer.headers["location"], headers=token(ready)).content)
    assert "GROUP BY tuyen" in receipt["reveal"]["sql"]["value"]  # type: ignore[index,call-overload,operator]


ADDRESSES = [
    "/log/..%2f..%2fkeys%2flog.jwk",
    "/log/%252e%252e/keys/log.jwk",
    "/log//etc/passwd",
    "/log/%00",
    "/log/" + "a" * 5_000,
    "/log/",
    "/log/tile",
    "/log/link.jwk",
    "/log/folder/log.jwk",
    "/v1/queries/..%2f..%2fkeys%2flog.jwk/receipt",
    "/v1/queries/%00/receipt",
    "/v1/queries/a%0d%0aX-Mine:%20y/receipt",
]


def test_no_address_leads_off_the_log_or_to_a_strangers_receipt(http: TestClient, ready: World) -> None:
    links = (ready.home / "log/link.jwk", ready.home / "log/folder")
    links[0].symlink_to(ready.home / "keys/log.jwk")
    links[1].symlink_to(ready.home / "keys")
    for path in ADDRESSES:
        answer = http.get(path, headers=token(ready))
        assert (answer.status_code, answer.json()["status"], "x-mine" in answer.headers) == (404, 404, False), path
    for link in links:
        link.unlink()


VALUES = [
    "'2026-01-01 00:00:00.123456789'::TIMESTAMP_NS",
    "'infinity'::TIMESTAMP",
    "DATE '290000-01-01'",
    "'9999-12-31 23:59:59+00'::TIMESTAMPTZ",
    "'0001-01-01 00:00:00+00'::TIMESTAMPTZ",
    "{'a': ['infinity'::DATE]}",
    "map{1: '0044-03-15 (BC)'::DATE}",
    "'nan'::DOUBLE",
    "INTERVAL 1 MONTH",
]


@pytest.mark.parametrize("accept", [render.JSON, render.CSV])
def test_no_value_that_is_paid_for_is_lost_in_its_rendering(http: TestClient, ready: World, accept: str) -> None:
    for value in VALUES:
        body = asked(ready, INDEX, sql=f"SELECT {value} AS v, noi FROM chi_so LIMIT 1")
        answer = http.post("/v1/queries", json=body, headers=token(ready) | {"Accept": accept})
        assert answer.status_code == 201, value


FORMULAS = ["=1+1", "+1+1", "@SUM(1)", "-1+1", "\t=1", "\r=1", "\n=1", "  =1", "＝1+1", "＠A1"]


def test_no_text_runs_in_a_spreadsheet(http: TestClient, ready: World) -> None:
    columns = ", ".join(f"'{text}' AS v{number}" for number, text in enumerate(FORMULAS))
    body = asked(ready, INDEX, sql=f'SELECT {columns}, noi AS "=x" FROM chi_so LIMIT 1')
    answer = http.post("/v1/queries", json=body, headers=token(ready) | {"Accept": render.CSV})
    head, row = csv.reader(io.StringIO(answer.content.decode(), newline=""))
    assert head[-1] == "'=x"
    assert row[:-1] == ["'" + text for text in FORMULAS]
