"""A refusal as the jail says it: words only, since the jail does not know the exchange's errors."""

from typing import NoReturn

LONGEST = 300


class Refusal(Exception):
    """The SQL asks for what is closed; ``code`` is one of ``sql.syntax`` and ``query.*``."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:LONGEST]
        self.hint = hint[:LONGEST]


def refuse(code: str, message: str, hint: str = "") -> NoReturn:
    """Refuse with a sentence that names thing and place, and a hint that names the remedy."""
    raise Refusal(code, message, hint)
