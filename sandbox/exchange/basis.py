"""On which legal basis sealed values are erased or disclosed: a closed list, for reference and no legal advice."""

import unicodedata
from collections.abc import Mapping
from typing import Final

from sandbox.core.errors import Invalid

ERASURE: Final[Mapping[str, str]] = {
    "D314-4(6)": "Decree 314/2026, art. 4(6): personal data, which is not traded",
    "LData-42(3)": "Law on Data 60/2024, art. 42(3): what its subject has not agreed to",
    "PDPL-12(1)": "Law on Personal Data Protection 91/2025, art. 12(1): what identifies a person",
    "PDPL-14(6)": "Law on Personal Data Protection 91/2025, art. 14(6): what would let a person be identified again",
    "D165-17(10)": "Decree 165/2025, art. 17(10): the time for which the log is kept is over",
}
"""Why a value may be erased."""
DISCLOSURE: Final[Mapping[str, str]] = {
    "D314-5(2)(c)": "Decree 314/2026, art. 5(2)(c): supervision of the exchange",
    "D363-22": "Decree 363/2026, art. 22: inspection of the log",
    "PDPL-23": "Law on Personal Data Protection 91/2025, art. 23: an incident",
    "D165-17(10)": "Decree 165/2025, art. 17(10): review of the log",
}
"""Why a value may be shown to a supervisor."""
MOST_WORDS: Final = 200


def require_basis(text: str, known: Mapping[str, str]) -> str:
    """A basis as it stands in the log, in clear: one of the list, and after a colon words of one's own.

    Raises:
        Invalid: ``basis.unknown``.
    """
    article, colon, words = text.partition(":")
    said = words.strip()
    if article.strip() not in known or len(said) > MOST_WORDS or not said.isprintable() or (colon and not said):
        raise Invalid(
            "basis.unknown",
            f"{text[:40]!r} is no legal basis for this, expected one of the list, and words behind a colon if any.",
            hint=f"One of: {', '.join(known)}. For example --basis '{next(iter(known))}: letter 12/CV'.",
        )
    return f"{article.strip()}: {unicodedata.normalize('NFC', said)}" if said else article.strip()
