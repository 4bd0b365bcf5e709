"""What a rule id means, for people: a sentence in two languages, the law it refers to."""

from functools import cache
from typing import Final

from sandbox.core.canonical import Json, parse
from sandbox.settings import share

LANGUAGES: Final = ("vi", "en")
_REFERENCE: Final = {"vi": "Căn cứ tham chiếu", "en": "For reference"}


def sentence(rule_id: str, language: str = "vi") -> str:
    """Why a rule or an outage refuses, in ``vi`` or ``en`` (any other language gets ``en``).

    An id that is in no table, as of an operator's own policies, is its own sentence: this is called where errors are
    shown, which must not fail.
    """
    return _text(rule_id, language if language in LANGUAGES else "en") or rule_id


def law(rule_id: str, language: str = "vi") -> str:
    """The text that a rule refers to, marked as a reference and not as legal advice; empty for an id without one."""
    source = _text(rule_id, "law")
    return f"{_REFERENCE.get(language, _REFERENCE['en'])}: {source}" if source else ""


def rule_ids() -> tuple[str, ...]:
    """All rule ids of the pilot, sorted."""
    return tuple(sorted(_table()["rules"]))


def _text(rule_id: str, member: str) -> str:
    entry = _table()["rules"].get(rule_id) or _table()["outages"].get(rule_id)
    text = entry.get(member) if isinstance(entry, dict) else None
    return text if isinstance(text, str) else ""


@cache
def _table() -> dict[str, dict[str, Json]]:
    document = parse((share("policies") / "exchange/reasons/data.json").read_bytes())
    return {name: part for name, part in document.items() if isinstance(part, dict)}
