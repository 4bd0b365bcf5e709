"""The port: what is asked, and which answers are believed."""

from typing import Any

import pytest

from sandbox.core.errors import Unavailable
from sandbox.core.terms import Digest
from sandbox.policy.decision import Question, outage, read_decision, require_refusal

HERE = Digest("sha256:" + "1" * 64)
YES = {"allow": True, "reasons": [], "obligations": {"min_group": 10, "max_rows": 1000}, "policy": HERE}
NO = {"allow": False, "reasons": ["CONT-03", "CONT-06"], "obligations": {}, "policy": HERE}


def test_a_question_has_the_four_parts_of_authzen() -> None:
    question = Question({"type": "participant"}, "query.run", {"type": "query"}, {"purpose": "thong_ke"})
    assert question.as_input() == {
        "subject": {"type": "participant"},
        "action": {"name": "query.run"},
        "resource": {"type": "query"},
        "context": {"purpose": "thong_ke"},
    }


def test_a_yes_carries_its_duties() -> None:
    decision = read_decision(YES, HERE)
    assert decision.allow is True
    assert decision.reasons == ()
    assert decision.obligations == {"min_group": 10, "max_rows": 1000}
    assert decision.policy == HERE


def test_a_no_carries_every_reason() -> None:
    decision = read_decision(NO, HERE)
    assert decision.allow is False
    assert decision.reasons == ("CONT-03", "CONT-06")
    assert decision.obligations == {}


def test_duties_cannot_be_changed_afterwards() -> None:
    document = {**YES, "obligations": {"min_group": 10}}
    decision = read_decision(document, HERE)
    document["obligations"]["min_group"] = 1
    assert decision.obligations == {"min_group": 10}
    with pytest.raises(TypeError):
        decision.obligations["min_group"] = 1  # type: ignore[index]


MALFORMED: list[Any] = [
    None,
    True,
    1,
    "true",
    "<undefined>",
    [],
    {},
    {"allow": 1},
    {"allow": True},
    {**YES, "allow": 1},
    {**YES, "allow": "true"},
    {**YES, "reasons": ["CONT-03"]},
    {**YES, "reasons": None},
    {**YES, "obligations": {}},
    {**YES, "obligations": [1]},
    {**YES, "obligations": {"min_group": True}},
    {**YES, "obligations": {"min_group": 10.0}},
    {**YES, "obligations": {"min_group": "10"}},
    {**YES, "policy": None},
    {**YES, "also": 1},
    {key: value for key, value in YES.items() if key != "policy"},
    {**NO, "allow": 0},
    {**NO, "reasons": []},
    {**NO, "reasons": "CONT-03"},
    {**NO, "reasons": ["CONT-03", 6]},
    {**NO, "reasons": ["Xin lỗi, anh An ạ"]},
    {**NO, "obligations": {"min_group": 10}},
    {**NO, "also": 1},
    {key: value for key, value in NO.items() if key != "policy"},
]


@pytest.mark.parametrize("document", MALFORMED, ids=str)
def test_any_other_answer_is_no_answer(document: Any) -> None:
    with pytest.raises(Unavailable) as caught:
        read_decision(document, HERE)
    assert caught.value.code == "policy.malformed"
    assert caught.value.reasons == ("decision_malformed",)


@pytest.mark.parametrize("document", [YES, NO, {"policy": "sha256:00"}])
def test_an_answer_of_another_bundle_is_no_answer(document: dict[str, Any]) -> None:
    with pytest.raises(Unavailable) as caught:
        read_decision({**document, "policy": "sha256:" + "2" * 64}, HERE)
    assert caught.value.code == "policy.version_mismatch"
    assert caught.value.reasons == ("policy_version_mismatch",)


def test_an_empty_question_must_be_refused() -> None:
    require_refusal(NO, HERE)
    with pytest.raises(Unavailable, match="failed"):
        require_refusal(YES, HERE)
    with pytest.raises(Unavailable, match="wrong form"):
        require_refusal(None, HERE)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("engine_error", "policy.engine_error"),
        ("engine_unreachable", "policy.unreachable"),
        ("decision_malformed", "policy.malformed"),
        ("policy_version_mismatch", "policy.version_mismatch"),
    ],
)
def test_an_outage_is_told_from_a_refusal_by_its_reason(reason: str, code: str) -> None:
    error = outage(reason)
    assert (error.code, error.reasons, error.status) == (code, (reason,), 503)
