"""How one member of a descriptor's JSON is read, or refused in a sentence that names it."""

import json
import re
import unicodedata
from collections.abc import Collection
from typing import Final, NoReturn

from sandbox.catalog.descriptor import LANGUAGES, RESERVED
from sandbox.core.canonical import Json
from sandbox.core.errors import Invalid
from sandbox.core.terms import DatasetId

LONGEST_NAME: Final = 63
_TABLE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
_NAME: Final = re.compile(r"[^\W\d]\w*")
_SLUG: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def refuse(sentence: str) -> NoReturn:
    """Refuse a descriptor.

    Raises:
        Invalid: ``descriptor.invalid``.
    """
    hint = "See docs/formats/descriptor.md for what each member may be."
    raise Invalid("descriptor.invalid", sentence, hint=hint, reasons=("LIST-05",))


def expect(where: str, got: Json, expected: str) -> NoReturn:
    """Refuse a member: what was got, what was expected."""
    match got:
        case dict():
            shown = "an object"
        case list():
            shown = "a list"
        case _:
            shown = json.dumps(got, ensure_ascii=False)[:60]
    refuse(f"{where} is {shown}, expected {expected}.")


def object_of(value: Json, where: str, members: Collection[str], optional: Collection[str] = ()) -> dict[str, Json]:
    """An object with these members and no others."""
    if not isinstance(value, dict):
        expect(where, value, "an object")
    for member in members:
        if member not in value and member not in optional:
            refuse(f"{where} has no member {member!r}.")
    for member in value:
        if member not in members:  # a misspelt "exposd" must not quietly expose a column
            refuse(f"{where} has a member {member[:60]!r}, which descriptors do not know.")
    return value


def list_of(value: Json, where: str, most: int) -> list[Json]:
    """A list that is not too long."""
    if not isinstance(value, list) or len(value) > most:
        expect(where, value, f"a list of at most {most}")
    return value


def text(value: Json, where: str, most: int) -> str:
    """Words for people."""
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        expect(where, value, f"a text of 1 to {most} characters")
    if not value.replace("\n", "").replace("\u00a0", "").isprintable():  # controls can turn the text on a screen round
        expect(where, value, "a text without control characters")
    return value


def words(value: Json, where: str, most: int) -> dict[str, str]:
    """Words for people in every language of the exchange."""
    both = object_of(value, where, LANGUAGES)
    return {language: text(both[language], f"{where}.{language}", most) for language in LANGUAGES}


def choice(value: Json, where: str, choices: Collection[str]) -> str:
    """One word of a closed list."""
    if not isinstance(value, str) or value not in choices:
        expect(where, value, f"one of {', '.join(choices)}")
    return value


def flag(value: Json, where: str) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        expect(where, value, "true or false")
    return value


def whole(value: Json, where: str, least: int, most: int) -> int:
    """A whole number within bounds; ``true`` is none, though Python counts it."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        expect(where, value, f"a whole number from {least} to {most}")
    return value


def slug(value: Json, where: str, example: str) -> str:
    """A word of an open list, the same in every language."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _SLUG.fullmatch(value):
        expect(where, value, f"a word of small ASCII letters, digits and underscores, such as {example}")
    return value


def name(value: Json, where: str) -> str:
    """The name of a column or dimension."""
    if not isinstance(value, str) or not is_name(value):
        expect(where, value, "one word of letters, digits and underscores, at most 63")
    return value


def is_name(value: str) -> bool:
    """Whether SQL can name it: a word of up to 63 letters, digits and underscores, in Unicode NFC."""
    fits = len(value) <= LONGEST_NAME and _NAME.fullmatch(value) is not None
    return fits and unicodedata.is_normalized("NFC", value)


def dataset_id(value: Json, where: str = "id") -> DatasetId:
    """The name of a dataset, which is the table that buyers query."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _TABLE.fullmatch(value) or value in RESERVED:
        expect(where, value, "a table name of small ASCII letters, digits and single underscores, such as chi_so_cds")
    return DatasetId(value)
