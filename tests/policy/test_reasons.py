"""What people read: a sentence in two languages for every rule, and the text it refers to."""

import pytest

from sandbox.policy.decision import _OUTAGES
from sandbox.policy.reasons import law, rule_ids, sentence

SERIES = {"CHARTER": 7, "CONT": 6, "INC": 1, "LIST": 8, "LOG": 1, "PART": 2, "PAY": 1, "QRY": 9, "REG": 1, "XBR": 1}
RULES = [f"{series}-{number:02}" for series, last in SERIES.items() for number in range(1, last + 1)]


def test_the_37_rules_are_all_there() -> None:
    assert list(rule_ids()) == RULES
    assert len(RULES) == 37


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_two_sentences_and_its_source(rule: str) -> None:
    spoken = {sentence(rule, "vi"), sentence(rule, "en")}
    assert len(spoken) == 2
    assert all(text.endswith(".") and text[0].isupper() for text in spoken)
    assert law(rule, "vi").startswith("Căn cứ tham chiếu: ")
    assert law(rule, "en").startswith("For reference: ")


def test_no_two_rules_say_the_same() -> None:
    assert len({sentence(rule, language) for rule in RULES for language in ("vi", "en")}) == 2 * 37


@pytest.mark.parametrize("reason", [*_OUTAGES, "action_unknown"])
def test_an_outage_has_sentences_too(reason: str) -> None:
    assert sentence(reason, "vi") != sentence(reason, "en")
    assert sentence(reason, "vi") != reason
    assert law(reason) == ""


def test_vietnamese_is_the_first_language_and_english_the_fallback() -> None:
    assert sentence("PAY-01") == sentence("PAY-01", "vi") == "Số dư ví trả trước không đủ cho giá của truy vấn."
    assert sentence("PAY-01", "fr") == sentence("PAY-01", "en")
    assert law("PAY-01", "fr") == law("PAY-01", "en")


def test_an_id_of_another_policy_is_its_own_sentence() -> None:
    assert sentence("OWN-01", "vi") == "OWN-01"
    assert law("OWN-01") == ""
