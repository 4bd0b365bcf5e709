"""Who takes part: admission, keys, API tokens and prepaid wallets."""

from datetime import datetime

from sandbox.audit.events import EventType
from sandbox.contracts import participants
from sandbox.core.canonical import LARGEST, Json
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid
from sandbox.core.keys import VerifyKey
from sandbox.core.terms import Participant, ParticipantId, Role, Vnd
from sandbox.exchange.house import House
from sandbox.market import ledger

MOST_VND = 10**15


def admit(house: House, participant: Participant, key: VerifyKey | None) -> None:
    """Admit an organisation with its contract key; a buyer gets a wallet.

    Raises:
        Conflict: the id or the key is taken, or it would be operator and regulator at once (CHARTER-07).
    """
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {"roles": [*sorted(participant.roles)], "territory": participant.territory}
    sealed: dict[str, Json] = {"participant": participant.id}
    if key is not None:
        sealed["key"] = key.jwk()

    def write(tx: Transaction) -> None:
        participants.admit(tx, participant, at)
        if key is not None:
            participants.register_key(tx, participant.id, key, at)
        if Role.BUYER in participant.roles:
            ledger.open_wallet(tx, participant.id)
        house.record(tx, EventType.PARTICIPANT_ADMITTED, entry, clear, sealed)

    house.database.write(write)


def create_token(house: House, owner: ParticipantId, expires_at: datetime) -> str:
    """A new API token, shown this once; only its SHA-256 is kept.

    Raises:
        NotFound: no such participant.
        Invalid: ``token.expiry`` when it would have expired already.
    """
    at = house.now()
    if expires_at <= at:
        raise Invalid("token.expiry", "The token would have expired already.", hint="Give it a day or more.")
    secret, entry = participants.token_secret(), house.new_entry()

    def write(tx: Transaction) -> None:
        participants.participant(tx.connection, owner)
        participants.new_token(tx, owner, secret, expires_at, at)
        house.record(tx, EventType.TOKEN_CREATED, entry, {}, {"participant": owner})

    house.database.write(write)
    return secret


def top_up(house: House, owner: ParticipantId, vnd: int, evidence: str) -> Vnd:
    """Add prepaid money against an evidence reference (a bank transfer's number); answers the new balance in đồng.

    Raises:
        Invalid: ``wallet.amount`` when the amount is not 1 to 10^15 VND or the wallet would hold more than 2^53 - 1;
            ``wallet.evidence`` without a reference.
        NotFound: no such participant or no wallet.
    """
    if not 0 < vnd <= MOST_VND:
        raise Invalid("wallet.amount", f"{vnd} VND is no amount to top up.", hint=f"Give 1 to {MOST_VND} whole đồng.")
    if not evidence.strip():
        raise Invalid("wallet.evidence", "A top-up needs its evidence.", hint="Give the bank transfer's reference.")
    entry = house.new_entry()

    def write(tx: Transaction) -> Vnd:
        participants.participant(tx.connection, owner)
        ledger.top_up(tx, entry, owner, Vnd(vnd))
        house.record(
            tx, EventType.WALLET_TOPPED_UP, entry, {"vnd": vnd}, {"participant": owner, "evidence": evidence.strip()}
        )
        balance = ledger.balance(tx.connection, owner)
        if balance > LARGEST:  # no policy could be asked about such a wallet, and its owner could buy nothing
            raise Invalid(
                "wallet.amount", "The wallet would hold more than can be signed.", hint=f"It holds {LARGEST} at most."
            )
        return balance

    return house.database.write(write)
