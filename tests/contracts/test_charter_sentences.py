"""Every member of a charter is said in both languages, with every value that it holds."""

import pytest

from sandbox.contracts import articles
from sandbox.contracts.articles import read_charter
from sandbox.contracts.charter_sentences import CLASSES, MODES, OFFICES, PERIODS, REQUESTS, STATES, explain_charter
from sandbox.contracts.wording import number
from sandbox.core.terms import ReleaseMode
from tests.chartering import document

SAID_OTHERWISE = ("window.start", "window.end", "nano_rho", "early_exit_plan", "suspension.effect", "months", "prev")
"""Dates and rates are written for people, and a stage by when it ends."""


def sentences(**changes):
    return {clause.member: clause for clause in explain_charter(read_charter(document(**changes)))}


def leaves(node, path=""):
    match node:
        case dict():
            for name, child in node.items():
                yield from leaves(child, f"{path}.{name}" if path else name)
        case list():
            for child in node:
                yield from leaves(child, path)
        case int() if not isinstance(node, bool):
            yield path, number(node)
        case str():
            yield path, node


def test_every_member_is_said_and_no_other():
    assert sentences().keys() == articles.SHAPE["The charter"]


def test_every_number_and_name_stands_in_both_sentences():
    said = sentences()
    for path, value in leaves(document()):
        clause = said[path.partition(".")[0]]
        if any(name in path for name in SAID_OTHERWISE) or path in {"state", "reporting.period", "suspension.who_may"}:
            continue
        assert value in clause.vi, path
        assert value in clause.en, path
        assert clause.value == document()[clause.member]


def test_a_sentence_ends_and_is_not_the_same_in_both_languages():
    for clause in sentences().values():
        assert clause.vi.endswith(".")
        assert clause.en.endswith(".")
        assert clause.vi != clause.en


@pytest.mark.parametrize(
    ("changes", "vi", "en"),
    [
        ({"state": "paused"}, "tạm dừng", "nothing may be traded"),
        ({"cross_border": True}, "hồ sơ chuyển dữ liệu", "transfer dossier"),
        ({"changes": {"signed_requests.query": True}}, "truy vấn (query)", "queries (query)"),
        ({"sectors": []}, "không có", "none"),
        ({"release_modes": ["threshold"]}, "yếu hơn", "weaker"),
        ({"changes": {"exit.early_exit_plan": "not_required"}}, "không bắt buộc", "not required"),
        ({"version": 2, "prev": "sha256:" + "0" * 64}, "sha256:000", "sha256:000"),
    ],
)
def test_what_a_choice_means_is_said_in_plain_words(changes, vi, en):
    said = sentences(**changes)
    assert any(vi in clause.vi for clause in said.values())
    assert any(en in clause.en for clause in said.values())


def test_every_word_that_a_charter_may_use_has_its_sentence():
    assert STATES.keys() == {"active", "paused", "ended"}
    assert CLASSES.keys() == {*articles.CLASSES}
    assert MODES.keys() == {*ReleaseMode}
    assert REQUESTS.keys() == articles.SHAPE["signed_requests"]
    assert PERIODS.keys() == {*articles.PERIODS}
    assert {*OFFICES} == {"regulator", "operator"}
