"""Canonical JSON: the one byte form in which documents are hashed and signed (RFC 8785, restricted)."""

import hashlib
import json
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NoReturn, TypeAlias

import orjson

from sandbox.core.errors import Invalid
from sandbox.core.terms import Digest

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

LARGEST: Final = 2**53 - 1
MAX_DEPTH: Final = 32
_MANY: Final = 8
_HINT = "Use ASCII keys once each, whole numbers below 2^53, and text in Unicode NFC."


def _refuse(what: str) -> NoReturn:
    raise Invalid("document.malformed", what, hint=_HINT)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):  # json keeps the last of two, so a reader could see another document than a signer
        _refuse("A key stands twice in one object.")
    return document


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON number.")


def _check_number(number: int) -> None:
    if abs(number) > LARGEST:
        _refuse("A number is beyond 2^53.")


def _check_text(text: str) -> None:
    if text.isascii():  # the most of them; nothing below applies
        return
    if not unicodedata.is_normalized("NFC", text):  # the same Vietnamese words would have two digests
        _refuse("Text is not in Unicode NFC.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse("Text holds a lone surrogate.")


def _all_ascii(items: Iterable[object]) -> bool:
    """Whether these are texts in ASCII, all of them; at once, since a contract names hundreds of functions."""
    try:
        return "".join(items).isascii()  # type: ignore[arg-type]
    except TypeError:
        return False


def _check_keys(keys: Iterable[object]) -> None:
    if _all_ascii(keys):
        return
    for key in keys:
        if not isinstance(key, str) or not key.isascii():
            _refuse("A key is not ASCII text.")


def _check_each(items: Collection[object], depth: int) -> None:
    if depth > MAX_DEPTH and items:
        _refuse("The document is nested too deeply.")
    for item in items:
        kind = type(item)  # most items are plain, and every question to the policies passes here
        if kind is str:
            if not item.isascii():  # type: ignore[attr-defined]
                check(item, depth)
        elif kind is int:
            _check_number(item)  # type: ignore[arg-type]
        elif item is not None and kind is not bool and (kind is not list or item):
            check(item, depth)


def check(document: object, depth: int = 0) -> None:
    """Refuse what has no place in a signed text: floats, big numbers, foreign keys, NFD, deep nesting.

    Raises:
        Invalid: ``document.malformed``.
    """
    if depth > MAX_DEPTH:
        _refuse("The document is nested too deeply.")
    match document:
        case dict():
            _check_keys(document)
            _check_each(document.values(), depth + 1)
        case list() | tuple():
            if depth == MAX_DEPTH or len(document) < _MANY or not _all_ascii(document):
                _check_each(document, depth + 1)
        case str():
            _check_text(document)
        case None | bool():
            pass
        case int():
            _check_number(document)
        case _:
            _refuse(f"A value of type {type(document).__name__} has no canonical form.")


def canonical(document: object) -> bytes:
    """The RFC 8785 bytes of a document.

    Raises:
        Invalid: ``document.malformed``, see :func:`check`.
    """
    if type(document) is not str or not document.isascii():  # most sealed values are plain text
        check(document)
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)


def parse(text: bytes) -> dict[str, Json]:
    """Read one JSON object strictly: UTF-8, no key twice, and everything that :func:`check` asks.

    Raises:
        Invalid: ``document.malformed``.
    """
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError):
        _refuse("This is not JSON in UTF-8.")
    if not isinstance(document, dict):
        _refuse("The document is not a JSON object.")
    check(document)
    return document


def digest(content: bytes) -> Digest:
    """The name of some bytes: ``sha256:`` and the hexadecimal SHA-256."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def digest_of(document: Mapping[str, object]) -> Digest:
    """The digest of a document's canonical bytes."""
    return digest(canonical(dict(document)))
