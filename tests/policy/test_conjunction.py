"""Two forms of the same rules: one conjunction, and proof by proof; they must never differ."""

import copy
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import regorus

from sandbox.policy.bundle import Bundle
from sandbox.policy.conjunction import conjunction

ENTRY = "data.exchange.authz.decision"
QUICK = "data.exchange.authz.query_run.quick"
VALUES: list[Any] = [None, True, False, 0, 1, -1, 2**53 - 1, "", "x", "1", "VN", [], {}, [[]], [None], {"a": 1}]


def engine_of(modules: dict[str, str], data: Any) -> Any:
    engine = regorus.Engine()
    for path, text in modules.items():
        engine.add_policy(path, text)
    engine.add_data_json(json.dumps(data))
    return engine


@pytest.fixture(scope="module")
def both(bundle: Bundle) -> Any:
    return engine_of({**bundle.modules, "quick.rego": conjunction(bundle.modules, "query.run")}, bundle.data)


def ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*way, key)
        yield from ways(item, (*way, key))


def changed(document: Any, chance: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(chance.randint(0, 2)):
        *way, last = chance.choice(list(ways(document)))
        place = document
        for step in way:
            place = place[step]
        if chance.random() < 0.3:
            del place[last]
        else:
            place[last] = copy.deepcopy(chance.choice(VALUES))
    return document


def answers(engine: Any, document: Any) -> tuple[Any, Any]:
    engine.set_input_json(json.dumps(document))
    return json.loads(engine.eval_rule_as_json(QUICK)), json.loads(engine.eval_rule_as_json(ENTRY))


@pytest.mark.parametrize("name", ["query.run", "open query.run"])
def test_an_allowed_question_is_allowed_alike(both: Any, example: Callable[[str], Any], name: str) -> None:
    quick, slow = answers(both, example(name))
    assert quick == slow
    assert slow["allow"] is True


def test_every_single_change_is_answered_alike(both: Any, example: Callable[[str], Any]) -> None:
    for name in ("query.run", "open query.run"):
        for way in ways(example(name)):
            document = example(name)
            place = document
            for step in way[:-1]:
                place = place[step]
            del place[way[-1]]
            quick, slow = answers(both, document)
            assert quick == (slow if slow["allow"] else "<undefined>"), way


def test_random_changes_are_answered_alike(both: Any, example: Callable[[str], Any]) -> None:
    chance, until, seen = random.Random(11), time.monotonic() + 3, set()
    examples = [example(name) for name in ("query.run", "open query.run")]
    while time.monotonic() < until:
        document = changed(chance.choice(examples), chance)
        quick, slow = answers(both, document)
        seen.add(slow["allow"])
        assert quick == (slow if slow["allow"] else "<undefined>"), json.dumps(document)
    assert seen == {True, False}


def test_each_rule_alone_can_undo_it(bundle: Bundle, example: Callable[[str], Any]) -> None:
    """A rule that the conjunction had lost would be missed by no question that all others allow."""
    document = json.dumps(example("query.run"))
    for path, text in bundle.modules.items():
        if "/query_run/" not in path and "/common/" not in path:
            continue
        for found in re.finditer(r'("[A-Z]+-\d\d": \[true \|)( \w+)?', text):
            broken = {
                **bundle.modules,
                path: f"{text[: found.end(1)]} 1 == 2{'' if found[2] else '; '}{text[found.end() :]}",
            }
            engine = engine_of({**broken, "quick.rego": conjunction(broken, "query.run")}, bundle.data)
            engine.set_input_json(document)
            assert engine.eval_rule_as_json(QUICK) == '"<undefined>"', found[1]


@pytest.mark.parametrize(
    "proof",
    [
        '"CONT-01": [true | input.a],',  # as it should be
        '"CONT-01": [1 | input.a],',
        '"CONT-01": {true | input.a},',
        '"CONT-1": [true | input.a],',
    ],
)
def test_what_is_not_surely_a_proof_leaves_no_conjunction(proof: str) -> None:
    head = "package exchange.authz.query_run\n\nrules := [standing]\n\nobligations := {}\n\n"
    text = f'{head}standing := {{\n\t{proof}\n\t"QRY-01": [true | b],\n}}\n\nb if input.b\n'
    made = conjunction({"exchange/authz/query_run/query_run.rego": text}, "query.run")
    engine = engine_of(
        {"exchange/authz/query_run/query_run.rego": text, "quick.rego": made}, {"exchange": {"policy": "x"}}
    )
    engine.set_input_json('{"action": {"name": "query.run"}, "a": true, "b": true}')
    sure = proof.startswith('"CONT-01": [true')
    assert (engine.eval_rule_as_json(QUICK) != '"<undefined>"') is sure


@pytest.mark.parametrize("rules", ["rules := [standing, other]", "rules := standing", ""])
def test_rules_that_cannot_be_followed_leave_no_conjunction(rules: str) -> None:
    text = f'package exchange.authz.query_run\n\n{rules}\n\nstanding := {{\n\t"QRY-01": [true | input.b],\n}}\n'
    assert "if false" in conjunction({"exchange/authz/query_run/query_run.rego": text}, "query.run")
