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

PACKAGES = {
    "query.run": "query_run",
    "query.release": "query_release",
    "dataset.publish": "dataset_publish",
    "agreement.sign": "agreement_sign",
    "participant.admit": "participant_admit",
    "order.apply": "order_apply",
}
BUILT_INS = {"count", "is_array", "is_number", "max", "min", "sort", "sum"}
ENTRY = re.compile(r'^\t"([A-Z]+-\d\d)": \[true \|', re.MULTILINE)


@pytest.fixture
def checks(rego: Any) -> dict[str, list[str]]:
    """The rules of each action, as the policies themselves list them."""
    return {action: sorted(ids(rego, name)) for action, name in PACKAGES.items()}


def ids(engine: Any, package: str) -> set[str]:
    groups = json.loads(engine.eval_rule_as_json(f"data.exchange.authz.{package}.rules"))
    return {rule for proofs in groups for rule in proofs}


def test_the_checks_are_those_of_the_documentation(checks: dict[str, list[str]], policies: Path) -> None:
    table = re.findall(r"^\| `([\w.]+)` \| ([A-Z0-9, -]+) \|", (policies / "README.md").read_text(), re.MULTILINE)
    assert {action: rules.split(", ") for action, rules in table} == checks


def test_every_rule_of_the_pilot_is_asked_somewhere(checks: dict[str, list[str]]) -> None:
    assert sorted({rule for rules in checks.values() for rule in rules}) == list(rule_ids())


def test_every_written_rule_is_one_that_is_asked(bundle: Bundle, rego: Any) -> None:
    shared = {rule for path, text in bundle.modules.items() if "/common/" in path for rule in ENTRY.findall(text)}
    for name in PACKAGES.values():
        sources = [text for path, text in bundle.modules.items() if f"/authz/{name}/" in path]
        own = {rule for text in sources for rule in ENTRY.findall(text)}
        assert own <= ids(rego, name) <= own | shared, name


def test_every_proof_says_its_rule_above_itself(bundle: Bundle) -> None:
    for path, text in bundle.modules.items():
        for rule in ENTRY.findall(text):
            assert re.search(rf"^\t# {rule}: [^\n]*\n(?:\t# [^\n]*\n)*\t\"{rule}\": ", text, re.MULTILINE), (
                f"{path}: {rule}"
            )


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
    called = set(re.findall(r"([a-z_][\w.]*)\(", code))
    assert called - own <= BUILT_INS


def test_no_package_is_imported_for_its_rules(bundle: Bundle) -> None:
    """Regorus evaluates an imported package as a whole."""
    imported = set(re.findall(r"^import (\S+)", "\n".join(bundle.modules.values()), re.MULTILINE))
    tables = {f"data.exchange.{name}" for name in bundle.tables}
    assert imported <= tables


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


IDLE: dict[str, list[str]] = json.loads((Path(__file__).parent / "idle.json").read_text())
"""The members that no rule of an action reads, by example: reviewed, for what stands here proves nothing."""
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
    assert sorted(idle) == IDLE[name]


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
    assert loose <= set(IDLE[name])


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
