"""How one member of a contract's JSON is read, or refused in a sentence that names it."""

import json
import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final, NoReturn, TypeAlias, TypeVar

from sandbox.core.canonical import Json
from sandbox.core.clock import instant_of, text_of
from sandbox.core.errors import Invalid
from sandbox.core.keys import from_b64url
from sandbox.core.terms import DIGEST, SLUG

_T = TypeVar("_T")
Reader: TypeAlias = Callable[[Json, str], _T]

NONCE_BYTES: Final = 32
MOST_ITEMS: Final = 256
MOST_LETTERS: Final = 128
_HINT: Final = "See docs/formats/contract.md for every member; sandbox contract draft writes terms to start from."


def refuse(sentence: str) -> NoReturn:
    """Refuse a contract.

    Raises:
        Invalid: ``contract.invalid``.
    """
    raise Invalid("contract.invalid", sentence, hint=_HINT, reasons=("CONT-01",))


def expect(where: str, got: Json, expected: str) -> NoReturn:
    """Refuse a member: what was got, what was expected."""
    match got:
        case dict():
            shown = "an object"
        case list():
            shown = f"a list of {len(got)}"
        case _:
            shown = json.dumps(got, ensure_ascii=False)[:60]
    refuse(f"{where} is {shown}, expected {expected}.")


def object_of(value: Json, where: str, members: Collection[str]) -> dict[str, Json]:
    """An object with exactly these members: a missing list must not read as "any", nor an unknown duty as none."""
    if not isinstance(value, dict):
        expect(where, value, "an object")
    for member in members:
        if member not in value:
            refuse(f"{where} has no member {member!r}.")
    for member in value:
        if member not in members:
            refuse(f"{where} has a member {member[:60]!r}, which contracts do not know.")
    return value


def list_of(value: Json, where: str, read: Reader[_T], least: int = 0, most: int = MOST_ITEMS) -> tuple[_T, ...]:
    """A list without repetitions. Empty means that nothing is allowed; where that is pointless, ``least`` is 1."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        expect(where, value, f"a list of {least} to {most}")
    items = tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))
    if len(set(items)) != len(items):
        refuse(f"{where} names something twice.")
    return items


def word(pattern: re.Pattern[str], expected: str) -> Reader[str]:
    """A reader of words of one form."""

    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or len(value) > MOST_LETTERS or not pattern.fullmatch(value):
            expect(where, value, expected)
        return value

    return read


participant = word(SLUG, "a participant's id, such as cong-ty-fintech")
uuid = word(re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII), "a UUID as urn:uuid:…")
digest = word(DIGEST, "a digest, sha256: and 64 hexadecimal digits")
purpose = word(re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII), "a purpose, such as thong_ke")
territory = word(re.compile(r"[A-Z]{2}", re.ASCII), "a country by ISO 3166, such as VN")
column = word(re.compile(r"[^\W\d]\w{0,62}"), "the name of a column or dimension")


def whole(value: Json, where: str, least: int, most: int) -> int:
    """A whole number within bounds; ``true`` is none, though Python counts it."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        expect(where, value, f"a whole number from {least} to {most}")
    return value


def flag(value: Json, where: str) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        expect(where, value, "true or false")
    return value


def text(value: Json, where: str, most: int) -> str:
    """Words for people; controls could turn the text on a screen round."""
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        expect(where, value, f"a text of 1 to {most} characters")
    if not value.replace("\n", "").replace("\u00a0", "").isprintable():
        expect(where, value, "a text without control characters")
    return value


def choice(choices: Collection[str]) -> Reader[str]:
    """A reader of one word of a closed list."""

    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or value not in choices:
            expect(where, value, f"one of {', '.join(choices)}")
        return value

    return read


def instant(value: Json, where: str) -> datetime:
    """An instant in its one spelling, so that one contract cannot be written in two ways."""
    found = any_instant(value, where)
    if text_of(found) != value:
        expect(where, value, f"{text_of(found)}, the same instant in UTC with microseconds")
    return found


def check_nonce(value: Json) -> None:
    """Refuse what is not 32 bytes in base64url, by which two documents of the same words are two."""
    try:
        nonce = from_b64url(value) if isinstance(value, str) else b""
    except Invalid:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        expect("nonce", value, f"{NONCE_BYTES} bytes in base64url")


def any_instant(value: Json, where: str) -> datetime:
    """An instant in any spelling of RFC 3339, as people write it."""
    if isinstance(value, str):
        try:
            return instant_of(value)
        except (Invalid, OverflowError):
            pass
    expect(where, value, "an instant, such as 2027-11-22T00:00:00Z")
