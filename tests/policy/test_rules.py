"""The rules as a whole: documented, tested in three ways, covered, and needing every fact they are given."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Question
from sandbox.policy.embedded import Embedded, _compiled
from sandbox.policy.reasons import rule_ids

PACKAGES = {"query.run": "query_run", "dataset.publish": "dataset_publish", "agreement.sign": "agreement_sign"}
BUILT_INS = {"count", "is_array", "is_boolean", "is_number", "is_string", "max", "min", "sort"}


@pytest.fixture
def checks(rego: Any) -> dict[str, list[str]]:
    rules = {action: f"data.exchange.authz.{name}.checks" for action, name in PACKAGES.items()}
    return {action: json.loads(rego.eval_rule_as_json(rule)) for action, rule in rules.items()}


def test_the_checks_are_those_of_the_documentation(checks: dict[str, list[str]], policies: Path) -> None:
    table = re.findall(r"^\| `([\w.]+)` \| ([A-Z0-9, -]+) \|", (policies / "README.md").read_text(), re.MULTILINE)
    assert {action: rules.split(", ") for action, rules in table} == checks


def test_every_check_is_a_rule_of_the_pilot(checks: dict[str, list[str]]) -> None:
    assert {rule for rules in checks.values() for rule in rules} <= set(rule_ids())


def test_every_proof_is_of_a_check(bundle: Bundle, checks: dict[str, list[str]]) -> None:
    for action, rules in checks.items():
        sources = [text for path, text in bundle.modules.items() if f"/authz/{PACKAGES[action]}/" in path]
        proved = {
            rule for text in sources for rule in re.findall(r'^proved contains "([A-Z]+-\d\d)"', text, re.MULTILINE)
        }
        assert proved == set(rules)


def test_every_proof_says_its_rule_above_itself(bundle: Bundle) -> None:
    for path, text in bundle.modules.items():
        for rule in re.findall(r'^proved contains "([A-Z]+-\d\d)"', text, re.MULTILINE):
            assert re.search(rf"^# {rule}: [^\n]*", text, re.MULTILINE), f"{path}: {rule}"


def test_every_check_is_tested_in_three_ways(checks: dict[str, list[str]], policies: Path) -> None:
    for action, rules in checks.items():
        folder = policies / "exchange/authz" / PACKAGES[action]
        source = "".join(path.read_text() for path in folder.glob("*_test.rego"))
        names = re.findall(r"^test_(\w+)", source, re.MULTILINE)
        for rule in rules:
            own = [name for name in names if name.startswith(rule.lower().replace("-", "_"))]
            refusing = [name for name in own if "_refuses_" in name]
            assert [name for name in own if "_proves_" in name], rule
            assert [name for name in refusing if not name.endswith("_missing")], rule
            assert [name for name in refusing if name.endswith("_missing")], rule


def test_rego_tests_reach_every_line(rego: Any, policies: Path) -> None:
    rego.set_enable_coverage(True)
    for path in sorted(policies.rglob("*_test.rego")):
        source = path.read_text()
        package = re.findall(r"^package (\S+)", source, re.MULTILINE)[0]
        for name in re.findall(r"^(test_\w+)", source, re.MULTILINE):
            assert rego.eval_rule_as_json(f"data.{package}.{name}") == "true", name
    report = json.loads(rego.get_coverage_report_as_json())["files"]
    left = {file["path"]: file["not_covered"] for file in report if not file["path"].endswith("_test.rego")}
    assert left
    assert {path: lines for path, lines in left.items() if lines} == {}


def test_only_built_ins_that_cannot_fail_are_called(bundle: Bundle) -> None:
    """No clock, no network, no cryptography: a decision is a function of bundle and input, the same in both engines."""
    code = re.sub(r"#.*|\"[^\"]*\"", "", "\n".join(bundle.modules.values()))
    own = set(re.findall(r"^(\w+)\(", code, re.MULTILINE))
    called = {name.removeprefix("proof.") for name in re.findall(r"([a-z_][\w.]*)\(", code)}
    assert called - own <= BUILT_INS


def test_no_package_is_imported_for_its_rules(bundle: Bundle) -> None:
    """Regorus evaluates an imported package as a whole; only that of functions has nothing to evaluate."""
    imported = set(re.findall(r"^import (\S+)", "\n".join(bundle.modules.values()), re.MULTILINE))
    tables = {f"data.exchange.{name}" for name in bundle.tables}
    assert imported <= tables | {"data.exchange.proof"}


@pytest.mark.parametrize("action", PACKAGES)
def test_a_question_evaluates_its_own_action_only(bundle: Bundle, example: Callable[[str], Any], action: str) -> None:
    engine = _compiled(bundle)
    engine.set_enable_coverage(True)
    engine.set_input_json(json.dumps(example(action)))
    engine.eval_rule_as_json("data.exchange.authz.decision")
    touched = {file["path"] for file in json.loads(engine.get_coverage_report_as_json())["files"] if file["covered"]}
    assert not [path for path in touched for other in set(PACKAGES) - {action} if f"/{PACKAGES[other]}/" in path]


def members(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every member of every object, but not to the items of lists: fewer of them is another question."""
    if isinstance(value, dict):
        for key in value:
            yield (*way, key)
            yield from members(value[key], (*way, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from members(item, (*way, place))


def at(document: Any, way: tuple[Any, ...]) -> Any:
    for step in way:
        document = document[step]
    return document


def verdict(point: Embedded, document: dict[str, Any]) -> bool:
    asked = document.get("action")
    action = asked.get("name") if isinstance(asked, dict) else None
    parts = [document.get(part, {}) for part in ("subject", "resource", "context")]
    if not isinstance(action, str) or not all(isinstance(part, dict) for part in parts):
        return False  # such a question cannot be written down
    return point.decide(Question(parts[0], action, parts[1], parts[2])).allow


IDLE = {  # members that no rule of the action reads
    "query.run": {"resource.id"},
    "open query.run": {
        "resource.id",
        *(f"resource.properties.{name}" for name in ("aggregates", "undeclared", "unit_exposed")),
        *(f"resource.properties.aggregates.0.{name}" for name in ("function", "column", "distinct")),
        *(
            f"resource.properties.datasets.{place}.agreement.{name}"
            for place in (0, 1)
            for name in ("measures", "dimensions")
        ),
    },
    "dataset.publish": {"context", "context.time_us", "subject.properties.territory"},
    "agreement.sign": {"subject.properties", "subject.properties.roles", "subject.properties.territory"},
}
OPTIONAL = {  # members for which nothing is a value: a class of firms may be traded without a privacy unit
    "query.run": set(),
    "open query.run": set(),
    "dataset.publish": set(),
    "agreement.sign": {"resource.properties.unit"},
}
STRANGE: list[Any] = [None, True, False, 0, 1, 9_000_000_000_000_000, "", "1", "true", [], [[]], [1], {}, {"a": 1}]


@pytest.mark.parametrize("name", IDLE)
def test_no_fact_can_be_left_out(bundle: Bundle, example: Callable[[str], Any], name: str) -> None:
    point, whole, idle = Embedded(bundle), example(name), set()
    assert verdict(point, whole)
    for way in members(whole):
        document = copy.deepcopy(whole)
        del at(document, way[:-1])[way[-1]]
        if verdict(point, document):
            idle.add(".".join(map(str, way)))
    assert idle == IDLE[name]


@pytest.mark.parametrize("name", IDLE)
def test_no_fact_can_be_of_another_type(bundle: Bundle, example: Callable[[str], Any], name: str) -> None:
    point, whole, loose = Embedded(bundle), example(name), set()
    for way in members(whole):
        for value in STRANGE:
            if type(value) is type(at(whole, way)):
                continue
            document = copy.deepcopy(whole)
            at(document, way[:-1])[way[-1]] = value
            if verdict(point, document):
                loose.add(".".join(map(str, way)))
    assert loose <= IDLE[name] | OPTIONAL[name]


def test_a_strange_question_is_refused_and_never_an_error(bundle: Bundle) -> None:
    point = Embedded(bundle)
    for action in PACKAGES:
        for value in STRANGE:
            for question in (
                Question({"id": value, "properties": value}, action, {"properties": value}, {"limits": value}),
                Question({}, action, {"properties": {"datasets": [value], "columns": [value], "files": [value]}}, {}),
                Question({}, action, {"properties": {"datasets": [{"agreement": value}]}}, {}),
                Question({}, action, {"properties": {"datasets": value, "columns": value, "aggregates": value}}, {}),
            ):
                assert not point.decide(question).allow
