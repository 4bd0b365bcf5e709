"""Questions to start from, and both decision points."""

import copy
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Question
from sandbox.policy.opa import OpaServer
from tests.opa_stand_in import StandIn, engine_of, serving

POLICIES: Final = Path(__file__).parents[2] / "policies"
GONE: Final = object()


def _engine(bundle: Bundle) -> Any:
    """A bare engine that holds the tests, too."""
    engine = engine_of(bundle)
    for path in sorted(POLICIES.rglob("*_test.rego")):
        engine.add_policy(path.relative_to(POLICIES).as_posix(), path.read_text())
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
    return _engine(bundle)


@pytest.fixture(scope="session")
def _examples(bundle: Bundle) -> dict[str, Any]:
    """The questions of the Rego tests, so that both languages start from the same."""
    engine = _engine(bundle)
    rules = {
        "query.run": "query_run_test.question",
        "open query.run": "query_run_test.open_question",
        "dataset.publish": "dataset_publish_test.question",
        "agreement.sign": "agreement_sign_test.question",
        "query.release": "query_release_test.question",
        "participant.admit": "participant_admit_test.question",
        "order.apply": "order_apply_test.question",
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


@pytest.fixture
def stand_in(bundle: Bundle) -> Iterator[StandIn]:
    with serving(bundle) as server:
        yield server


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
