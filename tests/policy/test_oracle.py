"""Against OPA itself, where its bindings are installed (`opa-golib-python-bindings`, no runtime dependency)."""

import copy
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.policy.bundle import Bundle
from sandbox.policy.embedded import _compiled

bindings = pytest.importorskip("opa_bindings")

NAMES = (
    "query.run",
    "open query.run",
    "query.release",
    "dataset.publish",
    "agreement.sign",
    "participant.admit",
    "order.apply",
)
VALUES: list[Any] = [None, True, 0, 1, -1, 2**53, 2**63 - 1, "", "x", "1", "VN", [], {}, [[]], [None], {"a": 1}, 1.5]


@pytest.fixture(scope="module")
def opa(bundle: Bundle, policies: Path) -> Iterator[Any]:
    with bindings.OpaEngine() as engine:
        for path, text in bundle.modules.items():
            engine.add_policy(path, text)
        for path in sorted(policies.rglob("*_test.rego")):
            engine.add_policy(path.relative_to(policies).as_posix(), path.read_text())
        engine.add_data(bundle.data)
        yield engine


def test_every_rego_test_holds_in_opa(opa: Any, policies: Path) -> None:
    for path in sorted(policies.rglob("*_test.rego")):
        source = path.read_text()
        package = re.findall(r"^package (\S+)", source, re.MULTILINE)[0]
        rules = [f"data.{package}.{name}" for name in re.findall(r"^(test_\w+)", source, re.MULTILINE)]
        answer = opa.eval_query(f"passed = [{', '.join(rules)}]")  # one query a file: OPA compiles each anew
        assert answer == [{"passed": [True] * len(rules)}], path.name


def ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*way, key)
        yield from ways(item, (*way, key))


def changed(document: Any, chance: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        *way, last = chance.choice(list(ways(document)) or [("action",)])
        place = document
        for step in way:
            place = place[step]
        if chance.random() < 0.4 and (last in place if isinstance(place, dict) else True):
            del place[last]
        else:
            place[last] = copy.deepcopy(chance.choice(VALUES))
    return document


def test_both_engines_decide_alike(opa: Any, bundle: Bundle, example: Callable[[str], Any]) -> None:
    chance, engine, until = random.Random(7), _compiled(bundle), time.monotonic() + 3
    examples = [example(name) for name in NAMES]
    while time.monotonic() < until:
        document = changed(chance.choice(examples), chance)
        engine.set_input_json(json.dumps(document))
        here = json.loads(engine.eval_rule_as_json("data.exchange.authz.decision"))
        assert here == opa.eval_document("exchange.authz.decision", document), json.dumps(document)
