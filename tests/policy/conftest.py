"""Questions to start from, both decision points, and a stand-in for an OPA server."""

import copy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import regorus

from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Question
from sandbox.policy.opa import OpaServer

POLICIES: Final = Path(__file__).parents[2] / "policies"
ENTRY: Final = "data.exchange.authz.decision"
GONE: Final = object()

Reply = tuple[int, dict[str, str], bytes]


def _engine(bundle: Bundle, tests: bool = False) -> Any:
    engine = regorus.Engine()
    for path, text in bundle.modules.items():
        engine.add_policy(path, text)
    if tests:
        for path in sorted(POLICIES.rglob("*_test.rego")):
            engine.add_policy(path.relative_to(POLICIES).as_posix(), path.read_text())
    engine.add_data_json(json.dumps(bundle.data))
    return engine


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return Bundle.load(POLICIES)


@pytest.fixture(scope="session")
def policies() -> Path:
    return POLICIES


@pytest.fixture
def rego(bundle: Bundle) -> Any:
    """A bare engine holding the policies and their tests."""
    return _engine(bundle, tests=True)


@pytest.fixture(scope="session")
def _examples(bundle: Bundle) -> dict[str, Any]:
    """The questions of the Rego tests, so that both languages start from the same."""
    engine = _engine(bundle, tests=True)
    rules = {
        "query.run": "query_run_test.question",
        "open query.run": "query_run_test.open_question",
        "dataset.publish": "dataset_publish_test.question",
        "agreement.sign": "agreement_sign_test.question",
    }
    return {name: json.loads(engine.eval_rule_as_json(f"data.exchange.authz.{rule}")) for name, rule in rules.items()}


@pytest.fixture
def example(_examples: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    """An allowed input by name, free to be changed."""
    return lambda name: copy.deepcopy(_examples[name])


@pytest.fixture
def question(example: Callable[[str], dict[str, Any]]) -> Callable[..., Question]:
    """An allowed question by name, with members at JSON pointers changed, or taken out by ``GONE``."""

    def build(name: str, changes: dict[str, Any] | None = None) -> Question:
        document = example(name)
        for pointer, value in (changes or {}).items():
            *way, last = [int(step) if step.isdigit() else step for step in pointer.strip("/").split("/")]
            place = document
            for step in way:
                place = place[step]
            if value is GONE:
                del place[last]
            else:
                place[last] = value
        return Question(document["subject"], document["action"]["name"], document["resource"], document["context"])

    return build


@pytest.fixture(scope="session")
def gone() -> object:
    return GONE


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
        engine = _engine(self.server.bundle)  # in this connection's own thread, and gone before it ends
        engine.set_input_json(json.dumps(body["input"]))
        answer = json.loads(engine.eval_rule_as_json(ENTRY))
        result = {} if answer == "<undefined>" else {"result": answer}
        return 200, kind, json.dumps({"decision_id": "4ca636c1", **result}).encode()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def stand_in(bundle: Bundle) -> Iterator[StandIn]:
    with StandIn(bundle) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def opa_server(bundle: Bundle) -> Iterator[Callable[..., OpaServer]]:
    """Makes clients, and closes them."""
    made: list[OpaServer] = []

    def connect(url: str, **options: Any) -> OpaServer:
        made.append(OpaServer(url, options.pop("bundle", bundle), **options))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def dead_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
