"""The words of a child, which may say anything: taken only in the form they should have."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec

from sandbox.core.canonical import digest
from sandbox.core.errors import QueryRefused, Unavailable
from sandbox.query.engine import Facts

LONGEST_LINE: Final = 4096
_LONGEST_WORDS: Final = 300
RULES: Final = {
    "sql.syntax": ("QRY-01",),
    "query.shape": ("QRY-01",),
    "query.type": ("QRY-01",),
    "query.relation": ("CONT-06",),
    "query.column": ("CONT-06",),
    "query.function": ("CONT-06",),
    "query.size": ("QRY-07",),
    "query.too_large": ("QRY-07",),
}
"""Every code that the analysis refuses with, and the rule that it stands for."""


def words_of(line: bytes) -> dict[str, Any]:
    """One line of JSON, empty when it is none."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}


def facts_of(content: bytes, names: set[str]) -> Facts:
    """The facts of a query over relations of these names.

    Raises:
        QueryRefused: the child refused the query.
        Unavailable: ``engine.unreachable`` when its answer makes no sense.
    """
    words = words_of(content)
    if words.get("status") == "refused":
        _refused(words)
    try:
        found = dict(words["facts"])
        found["fingerprint"] = digest(found["canonical"].encode())  # not what the child says, what it is
        facts = msgspec.convert(found, Facts)
    except (msgspec.ValidationError, TypeError, ValueError, KeyError, AttributeError):
        raise Unavailable("engine.unreachable", "The query engine gave no answer that could be read.") from None
    if not names.issuperset(facts.tables):
        raise Unavailable("engine.unreachable", "The query engine named a relation that was not granted.")
    return facts


def _refused(words: Mapping[str, Any]) -> NoReturn:
    code = str(words.get("code"))
    if code not in RULES:
        code = "query.shape"
    message, hint = (_printable(words.get(member)) for member in ("message", "hint"))
    raise QueryRefused(code, message or "The query is not allowed.", hint=hint, reasons=RULES[code])


def _printable(words: object) -> str:
    return "".join(character for character in str(words or "")[:_LONGEST_WORDS] if character.isprintable())


def over_limit() -> QueryRefused:
    """The refusal of a run that went beyond what it may take."""
    return QueryRefused(
        "run.limit",
        "The query took more time, memory, rows or bytes than it may.",
        hint="Filter more, group more coarsely, or add LIMIT.",
        reasons=("QRY-07",),
    )


def failed() -> QueryRefused:
    """The refusal of a run that broke off: one sentence for all, for the engine's words may hold values."""
    return QueryRefused(
        "run.failed",
        "The query failed while it ran: a value could not be computed or converted.",
        hint="Use TRY_CAST, and guard divisions and conversions.",
    )


def cancelled() -> QueryRefused:
    """The refusal of a run whose buyer went away, or lost the right to it."""
    return QueryRefused(
        "run.cancelled",
        "The query was stopped: its sender went away, or an agreement or the policy changed meanwhile.",
        hint="Send it again; nothing was charged.",
    )
