"""The stages of a negotiation: from which to which, and by whose move (Dataspace Protocol 2025-1).

C is the consumer, here the buyer, P the provider. Suspending is a matter of the agreement, not of its negotiation.
"""

from collections.abc import Mapping
from typing import Final

REQUESTED: Final = "REQUESTED"
OFFERED: Final = "OFFERED"
ACCEPTED: Final = "ACCEPTED"
AGREED: Final = "AGREED"
VERIFIED: Final = "VERIFIED"
FINALIZED: Final = "FINALIZED"
TERMINATED: Final = "TERMINATED"
BUYER: Final = "C"
PROVIDER: Final = "P"

START: Final = "START"
NEGOTIATION: Final[Mapping[str, Mapping[str, str]]] = {
    START: {REQUESTED: "C", OFFERED: "P"},
    REQUESTED: {OFFERED: "P", AGREED: "P", TERMINATED: "CP"},
    OFFERED: {REQUESTED: "C", ACCEPTED: "C", TERMINATED: "CP"},
    ACCEPTED: {AGREED: "P", TERMINATED: "P"},
    AGREED: {VERIFIED: "C", TERMINATED: "C"},
    VERIFIED: {FINALIZED: "P", TERMINATED: "P"},
}
"""From each state, where it may go and by whose move."""
FINAL: Final = (FINALIZED, TERMINATED)
ACTS: Final[Mapping[str, str]] = {
    "request": REQUESTED,
    "offer": OFFERED,
    "accept": ACCEPTED,
    "agree": AGREED,
    "verify": VERIFIED,
    "finalize": FINALIZED,
    "terminate": TERMINATED,
}
"""What a party does, and the state to which that leads."""
SIDES: Final[Mapping[str, str]] = {BUYER: "buyer", PROVIDER: "provider"}


def whose_turn(state: str) -> str | None:
    """Who can go on from a state, C or P; None where nobody or either can. Giving up is no way on."""
    able = {party for target, party in NEGOTIATION.get(state, {}).items() if target != TERMINATED}
    return able.pop() if len(able) == 1 else None


def moves(state: str, party: str) -> tuple[str, ...]:
    """Where this party, C or P, may go from a state."""
    return tuple(target for target, parties in NEGOTIATION.get(state, {}).items() if party in parties)


def diagram() -> str:
    """The negotiation as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for state, targets in NEGOTIATION.items():
        here = "[*]" if state == START else state
        for target, parties in targets.items():
            lines.append(f"    {here} --> {target}: {' or '.join(SIDES[party] for party in parties)}")
    return "\n".join([*lines, *(f"    {state} --> [*]" for state in FINAL)])
