"""What the exchange asks its policies, held against the questions that the Rego tests start from, member by member."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regorus

from sandbox.core.canonical import Json
from sandbox.core.clock import microseconds
from sandbox.core.errors import PolicyRefused
from sandbox.core.terms import Digest, Role
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Decision, DecisionPoint, Question
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, TRIPS, World, checked

POLICIES = Path(__file__).parents[2] / "policies"
EXAMPLES = {
    "participant.admit": "participant_admit_test.question",
    "dataset.publish": "dataset_publish_test.question",
    "agreement.sign": "agreement_sign_test.question",
    "query.run": "query_run_test.question",
    "query.release": "query_release_test.question",
    "order.apply": "order_apply_test.question",
}
DISTANT = {"derived", "dp"}
"""Members that hold null or an object, and that the world's datasets and contracts leave null."""


class Listening:
    """A decision point that remembers what it was asked."""

    def __init__(self, real: DecisionPoint) -> None:
        self.real = real
        self.heard: dict[str, dict[str, Json]] = {}

    @property
    def policy(self) -> Digest:
        return self.real.policy

    def decide(self, question: Question) -> Decision:
        self.heard[question.action] = json.loads(json.dumps(question.as_input()))
        return self.real.decide(question)

    def probe(self) -> None:
        self.real.probe()


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """An allowed question of each action, as the tests of its rules have it."""
    engine = regorus.Engine()
    for path, text in Bundle.load(POLICIES).modules.items():
        engine.add_policy(path, text)
    for path in sorted(POLICIES.rglob("*_test.rego")):
        engine.add_policy(path.relative_to(POLICIES).as_posix(), path.read_text())
    return {
        action: json.loads(engine.eval_rule_as_json(f"data.exchange.authz.{rule}")) for action, rule in EXAMPLES.items()
    }


def heard_by(world: World) -> Listening:
    made = Listening(world.exchange.house.policy)
    world.exchange.house = dataclasses.replace(world.exchange.house, policy=made)
    return made


@pytest.fixture
def listening(world: World) -> Listening:
    return heard_by(world)


@dataclasses.dataclass(frozen=True)
class Life:
    """An exchange and what was asked in its life, the last question of each action."""

    world: World
    heard: dict[str, Any]


@pytest.fixture(scope="module")
def life(bare_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """One admission, publication, agreement, query, release and order, for all tests that only look on."""
    for world in checked(bare_world.copy_to(tmp_path_factory.mktemp("life"))):
        made = heard_by(world)
        world.admit("cong-ty-c", Role.BUYER, 40, tax_code="0101234567")
        world.publish(TRIPS)
        world.agree(TRIPS)
        world.query()
        world.order("suspend", "dataset", TRIPS, REGULATOR)
        yield Life(world, made.heard)


@pytest.fixture
def asked(life: Life) -> dict[str, Any]:
    return life.heard


def form(value: Any, name: str = "") -> Any:
    """The members of a document at every depth and the kinds of its values; a list has those of all its items.

    Objects whose members are ids, and what may be null, are of one form whatever they hold.
    """
    if name in DISTANT or value is None:
        return "any"
    if name == "providers" and isinstance(value, dict):
        return "by id"
    if isinstance(value, dict):
        return {key: form(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        forms = [form(item, name) for item in value]
        return [each for place, each in enumerate(forms) if each not in forms[:place]]
    return type(value).__name__


def differences(mine: Any, theirs: Any, way: str = "") -> list[str]:
    """Where two forms differ; what is null or an empty list on either side agrees with anything."""
    if "any" in (mine, theirs) or [] in (mine, theirs):
        return []
    if isinstance(mine, dict) and isinstance(theirs, dict):
        lone = [f"{way}.{key}" for key in sorted(mine.keys() ^ theirs.keys())]
        return lone + [
            said for key in mine.keys() & theirs.keys() for said in differences(mine[key], theirs[key], f"{way}.{key}")
        ]
    if isinstance(mine, list) and isinstance(theirs, list):
        return [f"{way}[]" for each in mine if not any(not differences(each, other, f"{way}[]") for other in theirs)]
    return [] if mine == theirs else [f"{way}: {mine} is not {theirs}"]


@pytest.mark.parametrize("action", EXAMPLES)
def test_each_question_has_the_members_of_the_rules_own_example(
    asked: dict[str, Any], examples: dict[str, Any], action: str
) -> None:
    assert differences(form(asked[action]), form(examples[action])) == []


def test_a_difference_is_found_at_any_depth() -> None:
    whole = {"a": [{"b": 1, "c": None}], "d": {"e": "x"}}
    assert differences(form(whole), form(whole)) == []
    for other in ({"a": [{"b": 1}], "d": {"e": "x"}}, {"a": [{"b": "1", "c": 1}], "d": {"e": "x"}}):
        assert differences(form(whole), form(other)) == [".a[]"]
    assert differences(form(whole), form({"a": [], "d": {"e": 2}})) == [".d.e: str is not int"]
    assert differences(form(whole), form({"a": [], "d": {}})) == [".d.e"]


# --- what stands in them ---
def test_an_admission_tells_who_would_come_and_how_many_there_are(asked: dict[str, Any]) -> None:
    question = asked["participant.admit"]
    assert question["subject"] == {
        "type": "participant",
        "id": "cong-ty-c",
        "properties": {
            "roles": ["buyer"],
            "territory": "VN",
            "entity_verified": True,
            "eid_level": 2,
            "payment_account": True,
        },
    }
    assert question["resource"] == {"type": "participant", "id": "cong-ty-c"}
    assert question["context"]["counts"] == {"providers": 1, "buyers": 2}  # without it


def test_a_publication_tells_what_the_descriptor_claims_and_what_the_files_are(asked: dict[str, Any]) -> None:
    said = asked["dataset.publish"]["resource"]["properties"]
    assert (said["class"], said["sector"]) == ("khu_nhan_dang", "giao_thong")
    assert (said["personal_origin"], said["deidentification"]) == (True, "du_lieu_tong_hop")
    assert (said["unit"], said["min_group"]) == ("khach", 10)
    assert (said["flags"], said["subject_count"], said["subject_sensitive"]) == ([], 30, False)
    assert said["assessment"]["assessor"] == "trung-tam-kiem-dinh"
    assert said["columns"] == [
        {"name": "khach", "sensitivity": "P"},
        {"name": "tuyen", "sensitivity": "Q"},
        {"name": "gia_vnd", "sensitivity": "M"},
        {"name": "bi_mat", "sensitivity": "M"},
    ]
    assert said["titles"] == said["quality"] == said["lawful_origin"] == ["en", "vi"]
    (file,) = said["files"]
    assert file["declared"] == file["actual"]
    assert asked["dataset.publish"]["context"]["amr"] == ["pop"]


def test_claims_that_a_descriptor_does_not_make_are_null(world: World, listening: Listening) -> None:
    unsaid = ("flags", "subject_count", "assessment", "quality", "lawful_origin", "seller_status")
    with pytest.raises(PolicyRefused) as refusal:
        world.publish(INDEX, **dict.fromkeys(unsaid))
    said = listening.heard["dataset.publish"]["resource"]["properties"]  # type: ignore[index,call-overload]
    assert {name: said[name] for name in unsaid} == dict.fromkeys(unsaid)  # type: ignore[index,call-overload]
    assert {"LIST-01", "LIST-05", "LIST-07"} <= {*refusal.value.reasons}


def test_an_agreement_tells_its_signers_its_terms_and_its_dataset(asked: dict[str, Any]) -> None:
    question = asked["agreement.sign"]
    said = question["resource"]["properties"]
    assert question["subject"]["id"] == said["buyer"] == BUYER
    assert question["context"]["provider"]["id"] == said["provider"] == said["dataset_provider"] == PROVIDER
    assert sorted(said["signed_by"]) == sorted([PROVIDER, BUYER, OPERATOR])
    assert (said["purposes"], said["territories"], said["price_vnd"]) == (["nghien_cuu"], ["VN"], 15_000)
    assert (said["unit"], said["dataset_unit"], said["min_group"], said["dataset_min_group"]) == (
        "khach", "khach", 10, 10,
    )  # fmt: skip
    assert (said["version_current"], said["release"]) == (True, "exact")
    assert said["not_after_us"] - said["not_before_us"] == 30 * 86_400 * 1_000_000


def test_a_query_tells_what_it_uses_and_what_its_contract_opens(life: Life) -> None:
    question, world = life.heard["query.run"], life.world
    said, context = question["resource"]["properties"], question["context"]
    assert (said["statement"], said["shape"], said["expressions"]) == ("select", "aggregate", False)
    assert (said["joins"], said["undeclared"], said["unit_exposed"], said["scalar_functions"]) == ([], [], False, [])
    assert said["aggregates"] == [
        {"function": "count", "column": "khach", "distinct": True},
        {"function": "sum", "column": "gia_vnd", "distinct": False},
    ]
    (dataset,) = said["datasets"]
    used = {"columns": ["khach", "tuyen", "gia_vnd"], "dimensions": ["tuyen"], "literals": [], "matched": []}
    assert {name: dataset[name] for name in used} == used
    assert dataset["outputs"] == ["khach", "tuyen", "gia_vnd"]
    assert (dataset["price_vnd"], dataset["free"], dataset["unit"]) == (15_000, False, "khach")
    opened = dataset["agreement"]
    assert opened["id"] == world.agreements[TRIPS, BUYER]
    assert (opened["columns"], opened["dimensions"]) == (["khach", "tuyen", "gia_vnd"], ["tuyen"])
    assert opened["measures"] == [["sum", "gia_vnd"], ["avg", "gia_vnd"]]
    assert (opened["literals"], opened["matched"], opened["hidden"]) == (["tuyen"], ["tuyen"], [])
    assert (opened["any_expression"], opened["join_condition"], opened["receivers"]) == (False, "not_required", [BUYER])
    assert (context["purpose"], context["country"], context["amr"]) == ("nghien_cuu", "VN", ["mfa"])
    assert (context["balance_vnd"], context["suspensions"], context["incidents"]) == (100_000, [], [])
    assert context["usage"] == {
        "buyer_day_vnd": 0,
        "buyer_day_queries": 0,
        "exchange_day_vnd": 0,
        "providers": {PROVIDER: 0},
    }
    assert context["log"] == {"healthy": True, "kept_days": 3_650}
    assert context["time_us"] == microseconds(world.clock.now())


def test_a_second_query_of_the_day_tells_what_the_first_has_used(world: World, listening: Listening) -> None:
    world.ready()
    for _ in range(2):
        world.query()
    context: Any = listening.heard["query.run"]["context"]
    assert context["usage"] == {
        "buyer_day_vnd": 15_000,
        "buyer_day_queries": 1,
        "exchange_day_vnd": 15_000,
        "providers": {PROVIDER: 15_000},
    }
    assert context["balance_vnd"] == 85_000


def test_a_release_tells_the_size_of_the_result_and_what_was_read(life: Life) -> None:
    question, world = life.heard["query.release"], life.world
    said = question["resource"]["properties"]
    assert (said["rows_out"], said["min_group"], said["price_vnd"]) == (2, 10, 15_000)
    assert said["guards"] >= 1
    assert said["bytes_out"] > 0
    (dataset,) = said["datasets"]
    assert dataset["extract"].startswith("sha256:")
    assert dataset["agreement"]["state"] == "in_force"
    authorized = next(each["id"] for each in world.entries() if each["type"] == "query.authorized")
    assert question["context"]["log"] == {"healthy": True, "kept_days": 3_650, "authorized": authorized}


def test_an_order_tells_who_signed_it_and_whose_affair_it_is(asked: dict[str, Any]) -> None:
    question = asked["order.apply"]
    said = question["resource"]["properties"]
    assert said == {"act": "suspend", "kind": "dataset", "target": TRIPS, "ends": None, "parties": [PROVIDER]}
    assert question["context"]["signers"] == [{"id": REGULATOR, "roles": ["regulator"]}]
    assert question["subject"]["id"] == REGULATOR


def test_orders_that_stand_are_told_to_those_whom_they_concern_alone(world: World, listening: Listening) -> None:
    world.ready()
    world.order("suspend", "participant", OTHER, REGULATOR)
    incident = world.order("open_incident", "dataset", INDEX, REGULATOR)
    world.query()
    context: Any = listening.heard["query.run"]["context"]
    assert (context["suspensions"], context["incidents"]) == ([], [])
    with pytest.raises(PolicyRefused):
        world.query("SELECT noi FROM chi_so", dataset=INDEX)
    context = listening.heard["query.run"]["context"]
    assert context["suspensions"] == []
    assert context["incidents"] == [{"kind": "dataset", "id": INDEX, "order": incident.id}]


def test_a_charter_that_is_over_is_told_with_its_end(world: World, listening: Listening) -> None:
    charter = world.exchange.charter()
    assert charter
    world.clock.advance(charter.window.end - world.clock.now())
    with pytest.raises(PolicyRefused) as refusal:
        world.publish(INDEX)
    assert "CHARTER-01" in refusal.value.reasons
    told: Any = listening.heard["dataset.publish"]["context"]["charter"]  # type: ignore[index,call-overload]
    assert told["end_us"] == microseconds(world.clock.now())
