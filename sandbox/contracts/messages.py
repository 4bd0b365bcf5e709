"""One message of a negotiation: who moves where, and whether the signed document that it carries continues the talk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn, TypeAlias

from sandbox.contracts.envelope import CONTRACT, OFFER, REQUEST
from sandbox.contracts.stages import ACCEPTED, AGREED, BUYER, OFFERED, REQUESTED, VERIFIED
from sandbox.contracts.terms import Draft, Offer, Request, read_agreement, read_offer, read_request
from sandbox.core.errors import Invalid
from sandbox.core.signing import unverified
from sandbox.core.terms import DatasetId, Digest, ParticipantId

PROPOSALS: Final = frozenset({REQUESTED, OFFERED})
CONTRACTS: Final = frozenset({ACCEPTED, AGREED, VERIFIED})

Said: TypeAlias = Offer | Request | Draft
_READERS: Final[Mapping[str, tuple[str, Callable[[Any], Said]]]] = {
    REQUESTED: (REQUEST, read_request),
    OFFERED: (OFFER, read_offer),
    **dict.fromkeys(CONTRACTS, (CONTRACT, read_agreement)),
}


@dataclass(frozen=True, slots=True)
class Parties:
    """Between whom, and about which dataset."""

    provider: ParticipantId
    buyer: ParticipantId
    dataset: DatasetId


@dataclass(frozen=True, slots=True)
class Message:
    """One move of a party, C or P, to a state, with the signed document that it carries.

    ``signed_by`` says whose signatures on the envelope were found good, by whoever received it.
    """

    party: str
    state: str
    document: Digest | None
    envelope: bytes | None
    at: datetime
    signed_by: frozenset[ParticipantId] = frozenset()


def unfit(sentence: str) -> NoReturn:
    """Refuse a message whose document does not continue the negotiation.

    Raises:
        Invalid: ``negotiation.document``.
    """
    raise Invalid("negotiation.document", sentence, hint="See what was said last: sandbox negotiate show NEGOTIATION")


def read(message: Message, parties: Parties) -> Said:
    """The document that a message carries: of the kind that its state asks for, and between these parties.

    Raises:
        Invalid: ``negotiation.document``; ``contract.invalid`` when it does not read.
    """
    if message.envelope is None:
        unfit(f"{message.state} carries a signed document, and there is none.")
    member, reader = _READERS[message.state]
    said = reader(unverified(message.envelope, member)[0])
    if said.id != message.document:
        unfit("The envelope holds another document than the message names.")
    if said.buyer is None:
        unfit("This offer is to whoever accepts it; in a negotiation it names its buyer.")
    if (said.provider, said.buyer, said.dataset) != (parties.provider, parties.buyer, parties.dataset):
        unfit("The document is between others, or about another dataset.")
    return said


def require_signatures(message: Message, parties: Parties, *, both: bool) -> None:
    """That an agreement on its way carries the mover's signature, or both parties', and nobody else's.

    Raises:
        Invalid: ``negotiation.unsigned``.
    """
    mover = parties.buyer if message.party == BUYER else parties.provider
    wanted = {parties.buyer, parties.provider} if both else {mover}
    if message.signed_by != wanted:
        raise Invalid(
            "negotiation.unsigned",
            f"The agreement is signed by {', '.join(sorted(message.signed_by)) or 'nobody'},"
            f" expected exactly {', '.join(sorted(wanted))}.",
            hint="Sign what the negotiation holds: sandbox negotiate " + ("verify" if both else "accept"),
            reasons=("CONT-01",),
        )
