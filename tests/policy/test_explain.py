"""A decision explained: each rule of the action, proved or not, by the policies that decided."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.policy.bundle import Bundle
from sandbox.policy.explain import explained


def stored(question: Any, bundle: Bundle, *reasons: str) -> dict[str, Any]:
    return {
        "query": "qry_1",
        "question": question,
        "decision": {"allow": not reasons, "reasons": list(reasons)},
        "policy": bundle.digest,
    }


def test_every_rule_of_an_allowed_query_is_proved(bundle: Bundle, policies: Path, example: Callable[..., Any]) -> None:
    told = explained(stored(example("query.run"), bundle), policies, "en")
    assert {rule["id"] for rule in told["rules"]} >= {"CHARTER-01", "CONT-06", "QRY-09", "XBR-01"}
    assert all(rule["proved"] and rule["law"].startswith("For reference") for rule in told["rules"])


def test_what_failed_is_said_in_the_language_asked_for(
    bundle: Bundle, policies: Path, example: Callable[..., Any]
) -> None:
    told = explained(stored(example("query.run"), bundle, "CONT-03"), policies, "vi")
    (failed,) = [rule for rule in told["rules"] if not rule["proved"]]
    assert failed["id"] == "CONT-03"
    assert failed["sentence"].startswith("Mục đích sử dụng")


def test_under_other_policies_only_what_stands_in_the_log_is_told(
    bundle: Bundle, policies: Path, example: Callable[..., Any]
) -> None:
    other = stored(example("query.run"), bundle, "CONT-03") | {"policy": "sha256:00"}
    assert [rule["id"] for rule in explained(other, policies, "en")["rules"]] == ["CONT-03"]


def test_a_query_refused_before_any_question_has_no_rules_but_its_reasons(bundle: Bundle, policies: Path) -> None:
    assert explained(stored(None, bundle), policies, "en")["rules"] == []
