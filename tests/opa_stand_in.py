"""A stand-in for an OPA server: OPA's wire, with the engine of the embedded decision point behind it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import regorus

from sandbox.policy.bundle import Bundle

ENTRY: Final = "data.exchange.authz.decision"

Reply = tuple[int, dict[str, str], bytes]


def engine_of(bundle: Bundle) -> Any:
    """A bare engine that holds a bundle."""
    engine = regorus.Engine()
    for path, text in bundle.modules.items():
        engine.add_policy(path, text)
    engine.add_data_json(json.dumps(bundle.data))
    return engine


class StandIn(ThreadingHTTPServer):
    """Speaks OPA's wire with regorus inside: requests, parsing, bearer and failures are real, OPA's own HTTP is not."""

    daemon_threads = True

    def __init__(self, bundle: Bundle, token: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bundle = bundle
        self.token = token
        self.reply: Callable[[], Reply] | None = None
        self.seen: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn
    engine: Any = None

    def finish(self) -> None:
        """Drop the engine in the thread that made it, which is this connection's: it panics in any other."""
        self.engine = None
        super().finish()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        status, headers, content = self._answer(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, body: Any) -> Reply:
        kind = {"Content-Type": "application/json"}
        if self.server.token and self.headers["Authorization"] != f"Bearer {self.server.token}":
            return 401, kind, b'{"code": "unauthorized"}'
        if self.server.reply is not None:
            return self.server.reply()
        if self.path != "/v1/data/exchange/authz/decision":
            return 404, kind, b'{"code": "resource_not_found"}'
        self.engine = self.engine or engine_of(self.server.bundle)
        self.engine.set_input_json(json.dumps(body["input"]))
        answer = json.loads(self.engine.eval_rule_as_json(ENTRY))
        result = {} if answer == "<undefined>" else {"result": answer}
        return 200, kind, json.dumps({"decision_id": "4ca636c1", **result}).encode()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def serving(bundle: Bundle) -> Iterator[StandIn]:
    """A stand-in that answers until this is left."""
    with StandIn(bundle) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
