"""Canonical JSON against RFC 8785's own implementation, and everything that a signed text must not hold."""

import json
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.canonical import LARGEST, MAX_DEPTH, canonical, check, digest, digest_of, parse
from sandbox.core.errors import Invalid, SandboxError

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
TEXTS = st.text(max_size=12).map(lambda text: unicodedata.normalize("NFC", text))
LEAVES = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | TEXTS
DOCUMENTS = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
)


def nested(levels: int) -> dict[str, Any]:
    """A document whose innermost value stands ``levels`` deep."""
    value: Any = 1
    for _ in range(levels - 1):
        value = [value]
    return {"a": value}


@given(DOCUMENTS)
def test_it_is_what_rfc_8785_says(document: dict[str, Any]) -> None:
    assert canonical(document) == rfc8785.dumps(document)


@given(DOCUMENTS)
def test_reading_gives_back_what_was_written(document: dict[str, Any]) -> None:
    assert parse(canonical(document)) == document


@given(DOCUMENTS)
def test_layout_and_order_of_what_was_received_do_not_matter(document: dict[str, Any]) -> None:
    loose = json.dumps(dict(reversed(document.items())), indent=2).encode()
    assert digest_of(parse(loose)) == digest_of(document)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_reading_arbitrary_bytes_ends_in_a_document_or_in_a_refusal(text: bytes) -> None:
    try:
        outcome: object = parse(text)
    except SandboxError as error:
        outcome = error.code
    assert isinstance(outcome, dict) or outcome == "document.malformed"


def test_a_document_has_one_spelling() -> None:
    document = {"title": "Xe buýt", "price": {"vnd": 50_000, "b": [True, None]}, "A": '"\\\n\u001f€'}
    assert canonical(document) == (
        '{"A":"\\"\\\\\\n\\u001f€","price":{"b":[true,null],"vnd":50000},"title":"Xe buýt"}'.encode()
    )


def test_a_digest_names_its_algorithm() -> None:
    assert digest(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of({}) == digest(b"{}")


def test_tuples_and_enums_of_text_have_the_form_of_lists_and_text() -> None:
    assert canonical({"a": (1, "b")}) == b'{"a":[1,"b"]}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a": "Xe buy\u0301t"}', id="text in NFD"),
        pytest.param('{"a": 1, "a": 1}', id="a key twice"),
        pytest.param('{"x": {"a": 1, "\\u0061": 2}}', id="a key twice, once escaped"),
        pytest.param('{"a": 1.0}', id="a float"),
        pytest.param('{"a": 1e2}', id="an exponent"),
        pytest.param('{"a": NaN}', id="NaN"),
        pytest.param('{"a": -Infinity}', id="infinity"),
        pytest.param('{"a": 9007199254740992}', id="an integer beyond 2^53 - 1"),
        pytest.param('{"a": -9007199254740992}', id="an integer below it"),
        pytest.param('{"a": ' + "9" * 5_000 + "}", id="an integer of 5000 digits"),
        pytest.param('{"a": "\\ud800"}', id="a lone surrogate"),
        pytest.param('{"a": "\\udc00\\ud800"}', id="surrogates in the wrong order"),
        pytest.param('{"tên": 1}', id="a key beyond ASCII"),
        pytest.param('[{"a": 1}]', id="an array"),
        pytest.param('"a"', id="a string"),
        pytest.param("null", id="null"),
        pytest.param("", id="nothing"),
        pytest.param("{} {}", id="two documents"),
        pytest.param("\ufeff{}", id="a byte order mark"),
        pytest.param("{'a': 1}", id="single quotes"),
        pytest.param('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", id="a hundred thousand brackets"),
        pytest.param(json.dumps(nested(MAX_DEPTH + 1)), id="one level too many"),
    ],
)
def test_what_has_no_place_in_a_signed_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text.encode())
    assert refused.value.code == "document.malformed"
    assert refused.value.hint
    assert len(refused.value.message) > 20  # a sentence, not the offending token


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(Invalid):
        parse(b'{"a": "\xff"}')


@pytest.mark.parametrize("value", [1.5, float("nan"), b"a", {1: 2}, {"a": object()}, "\ud800", 2**53, {"é": 1}, {1}])
def test_a_value_without_canonical_form_is_not_written(value: Any) -> None:
    with pytest.raises(Invalid):
        canonical({"a": value})


@pytest.mark.parametrize("number", [LARGEST, -LARGEST, 0])
def test_the_largest_numbers_pass(number: int) -> None:
    assert parse(canonical({"a": number})) == {"a": number}


def test_nesting_passes_up_to_its_limit() -> None:
    check(nested(MAX_DEPTH))
    with pytest.raises(Invalid):
        check(nested(MAX_DEPTH + 1))


def test_a_refusal_does_not_repeat_the_text() -> None:
    with pytest.raises(Invalid) as refused:
        parse('{"secret-key": "buy\u0301t-secret"}'.encode())
    assert "secret" not in refused.value.message
