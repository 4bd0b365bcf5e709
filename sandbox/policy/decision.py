"""The port: a question, and the only two answers that count.

::

    {"allow": true,  "reasons": [], "obligations": {"min_group": 10, "max_rows": 1000}, "policy": "sha256:…"}
    {"allow": false, "reasons": ["CONT-03", "CONT-06"], "obligations": {}, "policy": "sha256:…"}

Anything else, from whichever decision point, is a refusal that says so: :class:`~sandbox.core.errors.Unavailable`,
never ``PolicyRefused``, since a regulator must tell a policy's no from an outage.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from sandbox.core.canonical import Json
from sandbox.core.errors import Unavailable
from sandbox.core.terms import Digest

PACKAGE: Final = "exchange.authz"
RULE: Final = "decision"
_REASON: Final = re.compile(r"[A-Z]+-[0-9]{2}|[a-z]+(?:_[a-z]+)*", re.ASCII)
_OUTAGES: Final = {
    "engine_error": ("policy.engine_error", "The decision point failed."),
    "engine_unreachable": ("policy.unreachable", "The decision point does not answer."),
    "decision_malformed": ("policy.malformed", "The decision point's answer has the wrong form."),
    "policy_version_mismatch": ("policy.version_mismatch", "The decision point answers by another policy bundle."),
}
_HINT: Final = "Nothing was changed. Try again later; if it stays so, tell the operator."


@dataclass(frozen=True, slots=True)
class Question:
    """Who would do what to what, and in which circumstances; the four parts of AuthZEN."""

    subject: Mapping[str, Json]
    action: str
    resource: Mapping[str, Json]
    context: Mapping[str, Json]

    def as_input(self) -> dict[str, Json]:
        """The document that policies see as ``input``."""
        return {
            "subject": dict(self.subject),
            "action": {"name": self.action},
            "resource": dict(self.resource),
            "context": dict(self.context),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes with duties, or no with the ids of all rules that do not hold; by which policy bundle."""

    allow: bool
    reasons: tuple[str, ...]
    obligations: Mapping[str, int]
    policy: Digest


class DecisionPoint(Protocol):
    """Decides by one policy bundle."""

    @property
    def policy(self) -> Digest:
        """The digest of the bundle that decides."""

    def decide(self, question: Question) -> Decision:
        """Answer a question.

        Raises:
            Unavailable: ``policy.engine_error``, ``policy.unreachable``, ``policy.malformed``,
                ``policy.version_mismatch``. No fallback to another decision point: an outage must not be a bypass.
            Invalid: ``document.malformed`` when the question has no canonical form.
        """

    def probe(self) -> None:
        """Ask nothing, and be refused by the expected bundle.

        Raises:
            Unavailable: as for :meth:`decide`.
        """


def outage(reason: str) -> Unavailable:
    """The error for a decision that was not had; ``reason`` is one of the four outages."""
    code, message = _OUTAGES[reason]
    return Unavailable(code, message, hint=_HINT, reasons=(reason,))


def read_decision(document: object, expected: Digest) -> Decision:
    """Read what a decision point answered, believing one shape only.

    Raises:
        Unavailable: ``policy.version_mismatch`` when another bundle answered, ``policy.malformed`` for all else.
    """
    match document:
        case {"policy": str(seen)} if seen != expected:
            raise outage("policy_version_mismatch")
        # True matches by identity: 1 and "true" are no yes. A mapping pattern ignores further members unless caught.
        case {"allow": True, "reasons": [], "obligations": dict(duties), "policy": str(), **rest}:
            if duties and not rest and all(_is_duty(name, value) for name, value in duties.items()):
                return Decision(True, (), MappingProxyType(dict(duties)), expected)
        case {"allow": False, "reasons": [_, *_] as why, "obligations": dict(duties), "policy": str(), **rest}:
            if not duties and not rest and all(_is_reason(each) for each in why):
                return Decision(False, tuple(why), MappingProxyType({}), expected)
    raise outage("decision_malformed")


def _is_duty(name: object, value: object) -> bool:
    return isinstance(name, str) and type(value) is int  # bool is an int, and no amount


def _is_reason(text: object) -> bool:
    """Reasons go into the log and before people: ids only, no room for a sentence."""
    return isinstance(text, str) and _REASON.fullmatch(text) is not None


def require_refusal(document: object, expected: Digest) -> None:
    """Check the answer to an empty question: a decision point that allows nothing-in-particular allows anything.

    Raises:
        Unavailable: as for :func:`read_decision`; ``policy.engine_error`` when it was a yes.
    """
    if read_decision(document, expected).allow:
        raise outage("engine_error")
