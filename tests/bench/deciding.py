"""A decision on a query: allowed and refused, in the process and by a server beside it."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from unittest.mock import patch

from sandbox.core.canonical import canonical
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import PACKAGE, RULE, Decision, DecisionPoint, Question
from sandbox.policy.opa import OpaServer
from sandbox.settings import share
from tests.bench.figures import Act, Bench, Row, compared, medians
from tests.opa_stand_in import engine_of, serving
from tests.world import World


def decide(bench: Bench) -> Iterator[Row]:
    """(e) One decision of each decision point, and how much of it is the engine's own."""
    point, bundle = bench.world.exchange.house.policy, Bundle.load(share("policies"))
    asked = question(bench.world)
    other = replace(asked, context={**asked.context, "purpose": "quang_cao"})
    _require(point, {True: asked, False: other})
    engine, text = engine_of(bundle), canonical(asked.as_input()).decode()

    def bare() -> None:
        engine.set_input_json(text)
        engine.eval_rule_as_json(f"data.{PACKAGE}.{RULE}")

    with serving(bundle) as server, closing(OpaServer(server.url, bundle)) as remote:
        acts: dict[str, Act] = {
            "allowed": lambda: point.decide(asked),
            "refused": lambda: point.decide(other),
            "bare": bare,
            "server": lambda: remote.decide(asked),
        }
        found = medians(bench, bench.sized(500, 100), acts)
    yield compared(
        "policy decision on a query, embedded", found["allowed"], "the Rego engine, rule by rule", found["bare"]
    )
    yield compared("… one that refuses", found["refused"], "one that allows", found["allowed"])
    yield compared("… by a server on this machine (stand-in)", found["server"], "embedded", found["allowed"])


def _require(point: DecisionPoint, expected: Mapping[bool, Question]) -> None:
    for allowed, asked in expected.items():
        if point.decide(asked).allow is not allowed:
            raise RuntimeError("The policies do not answer as this measure supposes.")


def question(world: World) -> Question:
    """What a real query puts to the decision point before it runs."""
    point = world.exchange.house.policy
    heard: list[Question] = []

    def decided(asked: Question) -> Decision:
        heard.append(asked)
        return type(point).decide(point, asked)

    with patch.object(point, "decide", decided):
        world.query()
    return heard[0]
