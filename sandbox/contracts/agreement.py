"""The Agreement: a usage contract that exists only once all its signatures are verified."""

from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import Final

from sandbox.contracts.clauses import Terms
from sandbox.core.terms import DatasetId, Digest, ParticipantId

VERIFIED: Final = object()
"""What :func:`sandbox.contracts.envelope.open_agreement`, and nothing else, hands in to make an Agreement."""


@dataclass(frozen=True, slots=True)
class PartySignature:
    """One party's signature that verified: by which key, how, and whether a trusted CA vouches for the key."""

    participant: ParticipantId
    kid: str
    alg: str
    ca_licensed: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """One buyer may use one dataset version under some terms. Whether it is suspended, the registry knows.

    ``signatures`` are the provider's, the buyer's and the exchange's, in this order.
    """

    id: Digest
    offer: Digest
    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId
    version: Digest
    terms: Terms
    not_before: datetime
    not_after: datetime
    signatures: tuple[PartySignature, ...]
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not VERIFIED:  # also stops dataclasses.replace from altering one that was verified
            raise TypeError("An Agreement is made by open_agreement only.")

    def in_force_at(self, now: datetime) -> bool:
        """Whether ``now`` is in its term; the end is not."""
        return self.not_before <= now < self.not_after
