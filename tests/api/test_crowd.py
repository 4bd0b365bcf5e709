"""Slow requests: a client that goes away is not worked for, and one too many is told when to come again."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.testclient import TestClient

from sandbox.app import create_app
from tests.world import BUYER, INDEX, REGULATOR, World

LONG = "SELECT count(*) FROM chi_so, range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"


def asked(world: World, sql: str) -> dict[str, Any]:
    return {"sql": sql, "agreements": [world.agreements[INDEX, BUYER]], "purpose": "nghien_cuu"}


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_client_that_goes_away_ends_its_query(ready: World) -> None:
    app = create_app(ready.exchange)
    body = json.dumps(asked(ready, LONG)).encode()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/queries", "raw_path": b"/v1/queries", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {ready.tokens[BUYER]}".encode())],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    leaves = threading.Event()
    told = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (message := next(told, None)) is not None:
            return message
        await asyncio.to_thread(leaves.wait)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    worker = threading.Thread(target=lambda: asyncio.run(app(scope, receive, send)))
    worker.start()
    until(lambda: ready.entries()[-1]["type"] == "query.authorized")
    leaves.set()
    worker.join(10)
    assert not worker.is_alive()
    assert ready.entries()[-1] | {"code": "run.cancelled"} == ready.entries()[-1]


def test_one_request_too_many_is_told_when_to_come_again_and_the_rest_of_the_api_goes_on(ready: World) -> None:
    ready.settings = replace(ready.settings, concurrent_queries=1, waiting_queries=0, query_seconds=3)
    ready.reopen()
    headers = {"Authorization": f"Bearer {ready.tokens[BUYER]}"}
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as http:
        first: list[Any] = []
        slow = threading.Thread(
            target=lambda: first.append(http.post("/v1/queries", json=asked(ready, LONG), headers=headers))
        )
        slow.start()
        until(lambda: ready.entries()[-1]["type"] == "query.authorized")
        second = http.post("/v1/queries", json=asked(ready, "SELECT noi FROM chi_so"), headers=headers)
        assert (second.status_code, second.json()["code"]) == (429, "engine.busy")
        assert 1 <= int(second.headers["retry-after"]) <= 30
        assert http.get("/v1/datasets").status_code == 200
        slow.join(60)
        assert first[0].status_code == 403
        assert http.post("/v1/queries", json=asked(ready, "SELECT noi FROM chi_so"), headers=headers).status_code == 201


def test_a_large_result_on_its_way_stops_when_the_market_does(ready: World) -> None:
    agreement = ready.agree(INDEX, max_rows=10_000)
    sql = "SELECT repeat(noi, 900) || r.range AS x FROM chi_so, range(2000) r"
    body = json.dumps({"sql": sql, "agreements": [agreement], "purpose": "nghien_cuu"}).encode()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/queries", "raw_path": b"/v1/queries", "query_string": b"", "root_path": "",
        "headers": [
            (b"authorization", f"Bearer {ready.tokens[BUYER]}".encode()),
            (b"accept", b"application/vnd.apache.arrow.stream"),
        ],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    sent: dict[str, int] = {}
    told = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (message := next(told, None)) is not None:
            return message
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            sent["announced"] = int(dict(message["headers"])[b"content-length"])
        elif message["body"]:
            if "given" not in sent:
                await asyncio.to_thread(ready.order, "suspend", "market", None, REGULATOR)
            sent["given"] = sent.get("given", 0) + len(message["body"])
            await asyncio.sleep(0.4)

    asyncio.run(app_of(ready)(scope, receive, send))
    assert sent["announced"] > 5_000_000
    assert 0 < sent["given"] < sent["announced"]


def app_of(world: World) -> Any:
    return create_app(world.exchange)
