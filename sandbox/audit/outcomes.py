"""How a check of the record ends where it does not end well, told apart for whoever must act on it."""

from typing import Final, NoReturn

from sandbox.core.errors import NotCovered, Tampered

_AGAIN: Final = "Fetch it again; if it stays so, keep it with your checkpoints and tell the regulator."
_COMPARE: Final = "Fetch it again, and compare the key by another way; if it stays so, keep it and tell the regulator."


def mismatch(what: str, hint: str = _AGAIN) -> NoReturn:
    """Refuse a log or receipt.

    Raises:
        Tampered: ``verify.mismatch``.
    """
    raise Tampered("verify.mismatch", what, hint=hint)


def unsigned(what: str) -> NoReturn:
    """Refuse a checkpoint whose signatures do not fit it.

    Raises:
        Tampered: ``verify.mismatch``.
    """
    mismatch(what, _COMPARE)


class Forked(Tampered):
    """The log has signed two histories: ``old`` and ``new`` are the checkpoints that contradict each other."""

    def __init__(self, what: str, old: bytes, new: bytes) -> None:
        hint = "Keep both checkpoints: together they prove that the log was rewritten. Tell the regulator."
        super().__init__("verify.fork", what, hint=hint)
        self.old, self.new = old, new


def uncovered(index: int, size: int, what: str = "It") -> NotCovered:
    """The error for what tells of an entry that is not published yet."""
    return NotCovered(
        "verify.uncovered",
        f"{what} is of entry {index}, and entries 0 to {size - 1} are published.",
        hint="Verify again in a minute, when the log has been published that far.",
    )
