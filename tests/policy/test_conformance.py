"""One table of decisions for every decision point: embedded, stand-in, and the real server that ``OPA_URL`` names."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import DecisionPoint, Question
from sandbox.policy.embedded import Embedded
from sandbox.policy.opa import OpaServer

GONE = "gone"
DATASET = "/resource/properties/datasets/0"
AGREEMENT = f"{DATASET}/agreement"
QUERY = {"min_group": 10, "max_rows": 5000, "max_bytes": 10_485_760}

ALLOWED: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("query.run", {}, QUERY),
    ("open query.run", {}, {**QUERY, "min_group": 1, "max_rows": 700}),
    ("query.release", {}, {"released": 1}),
    ("dataset.publish", {}, {"listed": 1}),
    ("agreement.sign", {}, {"recorded": 1}),
    ("participant.admit", {}, {"admitted": 1}),
    ("order.apply", {}, {"applied": 1}),
    (
        "query.run",
        {"/context/limits/max_rows": 7, "/context/limits/max_bytes": 1},
        {**QUERY, "max_rows": 7, "max_bytes": 1},
    ),
    ("query.run", {f"{AGREEMENT}/min_group": 150}, {**QUERY, "min_group": 150}),
    ("query.run", {"/context/balance_vnd": 2**53 - 1}, QUERY),
    ("query.run", {"/context/charter/caps/per_query_rows_out": 1000}, {**QUERY, "max_rows": 1000}),
    ("query.run", {"/resource/id": GONE}, QUERY),
    ("participant.admit", {"/subject/properties/roles": ["regulator"], "/context/charter": None}, {"admitted": 1}),
]
REFUSED: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("query.run", {"/action/name": "query.explain"}, ("action_unknown",)),
    (
        "query.run",
        {"/context/charter": None},
        (
            *("CHARTER-01", "CHARTER-02", "CHARTER-03", "CHARTER-04", "CHARTER-05", "CHARTER-07"),
            *("PART-01", "PART-02", "QRY-02", "QRY-05"),
        ),
    ),
    ("query.run", {"/context/charter/state": "paused"}, ("CHARTER-01",)),
    ("query.run", {"/context/charter/sectors": []}, ("CHARTER-03",)),
    ("query.run", {"/context/usage/buyer_day_queries": 200}, ("CHARTER-05",)),
    ("query.run", {"/context/suspensions": [{"kind": "market"}]}, ("CHARTER-06",)),
    ("query.run", {"/context/charter/operator": "so-khcn"}, ("CHARTER-07",)),
    ("query.run", {"/context/incidents": [{"kind": "dataset"}]}, ("INC-01",)),
    ("query.run", {"/context/amr": ["pwd"]}, ("PART-02",)),
    ("query.run", {f"{AGREEMENT}/verified": False}, ("CONT-01",)),
    ("query.run", {"/context/time_us": 1826800000000000}, ("CONT-02",)),
    ("query.run", {"/context/time_us": "1795341600000000"}, ("CHARTER-01", "CONT-02")),
    ("query.run", {f"{AGREEMENT}/state": "suspended"}, ("CONT-02",)),
    ("query.run", {"/context/purpose": "tiếp thị"}, ("CONT-03",)),
    ("query.run", {"/context/purpose": GONE}, ("CONT-03",)),
    ("query.run", {f"{AGREEMENT}/territories": []}, ("CONT-04",)),
    ("query.run", {"/subject/id": "cong-ty-khac"}, ("CONT-05",)),
    ("query.run", {f"{DATASET}/columns": ["thue_gtgt_vnd"]}, ("CONT-06",)),
    ("query.run", {f"{DATASET}/columns": 5}, ("CONT-06",)),
    ("query.run", {f"{DATASET}/columns": ["thue_gtgt_vnd"], "/context/purpose": "x"}, ("CONT-03", "CONT-06")),
    ("query.run", {f"{DATASET}/manifest_verified": False}, ("LIST-08",)),
    ("query.run", {"/resource/properties/statement": "attach"}, ("QRY-01",)),
    ("query.run", {f"{AGREEMENT}/release": "safe_cube"}, ("QRY-02",)),
    ("query.run", {"/resource/properties/aggregates/2/function": "max"}, ("QRY-03",)),
    ("query.run", {"/resource/properties/undeclared": ["ngay_lap"]}, ("QRY-04",)),
    ("query.run", {f"{AGREEMENT}/min_group": 4}, ("QRY-05",)),
    ("query.run", {f"{DATASET}/nano_rho/query": 1}, ("QRY-06",)),
    ("query.run", {f"{AGREEMENT}/max_rows": GONE}, ("QRY-07",)),
    ("query.run", {f"{AGREEMENT}/release": "template"}, ("QRY-02", "QRY-08")),
    ("query.run", {"/resource/properties/unit_exposed": True}, ("QRY-09",)),
    ("query.run", {f"{DATASET}/class": "cot_loi"}, ("CHARTER-04", "LIST-02", "QRY-05")),
    ("query.run", {"/context/balance_vnd": 24_999}, ("PAY-01",)),
    ("query.run", {"/context/log/healthy": GONE}, ("LOG-01",)),
    ("query.run", {"/subject/properties/roles": ["regulator"]}, ("PART-01", "REG-01")),
    ("query.run", {"/context/country": "SG"}, ("CONT-04", "XBR-01")),
    (
        "query.run",
        {
            f"{DATASET}/unit": None,
            f"{AGREEMENT}/unit": None,
            f"{DATASET}/class": "khu_nhan_dang",
            f"{DATASET}/personal_origin": True,
            f"{DATASET}/deidentification": "an_danh_k",
        },
        ("QRY-01", "QRY-03", "QRY-04", "QRY-05", "QRY-09"),
    ),
    ("query.release", {f"{AGREEMENT}/state": "suspended"}, ("CONT-02",)),
    ("query.release", {"/resource/properties/rows_out": 5001}, ("QRY-07",)),
    ("query.release", {"/context/log/authorized": None}, ("LOG-01",)),
    ("dataset.publish", {"/resource/properties/sector": "y_te"}, ("CHARTER-03",)),
    ("dataset.publish", {"/resource/properties/flags": ["an_ninh"]}, ("LIST-01",)),
    (
        "dataset.publish",
        {"/resource/properties/personal_origin": True, "/resource/properties/deidentification": "ma_hoa"},
        ("LIST-02",),
    ),
    ("dataset.publish", {"/resource/properties/columns/0/sensitivity": "D"}, ("LIST-03", "QRY-05")),
    ("dataset.publish", {"/resource/properties/subject_count": 100_000}, ("LIST-04",)),
    ("dataset.publish", {"/resource/properties/titles": ["vi"]}, ("LIST-05",)),
    ("dataset.publish", {"/resource/properties/assessment": None}, ("LIST-07",)),
    ("dataset.publish", {"/resource/properties/files/0/actual": "sha256:00"}, ("LIST-08",)),
    ("dataset.publish", {"/subject/properties/roles": ["buyer"]}, ("PART-01",)),
    ("agreement.sign", {"/resource/properties/dataset_provider": "so-giao-thong"}, ("CONT-01",)),
    ("agreement.sign", {"/resource/properties/version_current": False}, ("CONT-02",)),
    ("agreement.sign", {"/resource/properties/purposes": []}, ("CONT-03",)),
    ("agreement.sign", {"/context/provider": GONE}, ("CHARTER-07", "CONT-01", "PART-01")),
    ("participant.admit", {"/context/counts/buyers": 40}, ("CHARTER-02",)),
    ("participant.admit", {"/subject/properties/eid_level": 1}, ("PART-01",)),
    ("order.apply", {"/resource/properties/act": "resume"}, ("CHARTER-06",)),
    ("order.apply", {"/context/signers": []}, ("CHARTER-06", "CHARTER-07")),
]


@pytest.fixture(params=["embedded", "stand-in", *filter(None, [os.environ.get("OPA_URL")])])
def point(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[DecisionPoint]:
    if request.param == "embedded":
        yield Embedded(bundle)
        return
    url = request.getfixturevalue("stand_in").url if request.param == "stand-in" else request.param
    server = OpaServer(url, bundle)
    yield server
    server.close()


def changed(changes: dict[str, Any], gone: object) -> dict[str, Any]:
    return {place: gone if value == GONE else value for place, value in changes.items()}


def test_every_decision_of_the_table(point: DecisionPoint, question: Callable[..., Question], gone: object) -> None:
    for name, changes, duties in ALLOWED:
        decision = point.decide(question(name, changed(changes, gone)))
        assert (decision.allow, decision.reasons) == (True, ()), changes
        assert decision.obligations == duties, changes
        assert decision.policy == point.policy
    for name, changes, reasons in REFUSED:
        decision = point.decide(question(name, changed(changes, gone)))
        assert (decision.allow, decision.reasons) == (False, reasons), changes
        assert decision.obligations == {}
        assert decision.policy == point.policy


def test_the_probe_is_refused_by_the_expected_bundle(point: DecisionPoint, bundle: Bundle) -> None:
    point.probe()
    assert point.policy == bundle.digest


def test_an_empty_question_is_refused(point: DecisionPoint) -> None:
    assert point.decide(Question({}, "", {}, {})).reasons == ("action_unknown",)
