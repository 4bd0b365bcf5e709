"""Who takes part: admission, keys, certificates' revocations, API tokens and prepaid wallets."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sandbox.audit.events import EventType
from sandbox.contracts import certificates, keyring, participants, tokens
from sandbox.contracts.charter import Charter
from sandbox.core.canonical import LARGEST, Json
from sandbox.core.clock import text_of
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, PolicyRefused
from sandbox.core.keys import VerifyKey
from sandbox.core.terms import OVERSEERS, SCOPES, Digest, KeyUse, Participant, ParticipantId, Role, Vnd
from sandbox.exchange import questions
from sandbox.exchange.decide import in_words
from sandbox.exchange.house import House
from sandbox.exchange.refused import recorded
from sandbox.market import ledger

MOST_VND: Final = 10**15
SUPERVISE: Final = "supervise"
STRONG: Final = ("mfa",)
"""How the operator has made sure who takes a token: more than one factor (Decree 356/2025, art. 9(3); RFC 8176)."""


def admit(house: House, participant: Participant, key: VerifyKey | None) -> None:
    """Admit an organisation with its contract key; a buyer gets a wallet.

    Raises:
        Invalid: ``participant.invalid``, ``key.foreign``, ``key.weak``.
        PolicyRefused: it lacks standing, the cohort is full, or no charter is in force.
        Conflict: the id or the key is taken, or it would be operator and regulator at once (CHARTER-07).
    """
    with recorded(house, EventType.PARTICIPANT_REFUSED, {"participant": participant.id[:80]}):
        participants.check(participant)
        with house.database.read() as connection:
            charter = house.charter(connection)
            counts = participants.counts(connection)
        question = questions.admission(participant, counts, charter, house.now())
        decision = house.policy.decide(question)
        if not decision.allow:
            raise PolicyRefused(
                "policy.refused",
                f"{participant.id} may not be admitted. {in_words(decision)}",
                hint=questions.way_in(decision.reasons),
                reasons=decision.reasons,
            )
        _admit(house, participant, key, charter)


def _admit(house: House, participant: Participant, key: VerifyKey | None, charter: Charter | None) -> None:
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {"roles": [*sorted(participant.roles)], "territory": participant.territory}
    sealed: dict[str, Json] = {"participant": participant.id, "tax_code": participant.tax_code}
    if key is not None:
        sealed["key"] = key.jwk()

    def write(tx: Transaction) -> None:
        participants.admit(tx, participant, at)
        _require_places(tx, charter)
        if key is not None:
            keyring.register_key(tx, participant.id, key, KeyUse.CONTRACT, at)
        if Role.BUYER in participant.roles:
            ledger.open_wallet(tx, participant.id)
        house.record(tx, EventType.PARTICIPANT_ADMITTED, entry, clear, sealed)

    house.database.write(write)


def _require_places(tx: Transaction, charter: Charter | None) -> None:
    """Two that were asked about at the same time may both have found the last place; writers take turns."""
    counts = participants.counts(tx.connection)
    if charter and (counts["providers"] > charter.providers_max or counts["buyers"] > charter.buyers_max):
        raise PolicyRefused(
            "policy.refused", "The cohort has no place left.",
            hint="Wait for a charter with more places.", reasons=("CHARTER-02",),
        )  # fmt: skip


# --- keys ---
def register_key(house: House, owner: ParticipantId, key: VerifyKey, use: KeyUse, valid_until: datetime | None) -> None:
    """Register a further public key of a participant, for one use.

    Raises:
        NotFound, Invalid, Conflict: see :func:`sandbox.contracts.keyring.register_key`.
    """
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {"use": str(use), "until": text_of(valid_until) if valid_until else None}

    def write(tx: Transaction) -> None:
        keyring.register_key(tx, owner, key, use, at, valid_until)
        house.record(tx, EventType.KEY_REGISTERED, entry, clear, {"participant": owner, "key": key.jwk()})

    house.database.write(write)


def revoke_key(house: House, kid: str, invalid_from: datetime | None) -> None:
    """Trust a key no longer: from an instant on, or nothing that it ever signed. Agreements under it end with it.

    Raises:
        NotFound: ``key.unknown``.
    """
    entry, at = house.new_entry(), house.now()
    clear: dict[str, Json] = {"invalid_from": text_of(invalid_from) if invalid_from else None}

    def write(tx: Transaction) -> None:
        keyring.revoke_key(tx, kid, at, invalid_from)
        house.record(tx, EventType.KEY_REVOKED, entry, clear, {"key": kid})

    house.database.write(write)


def store_crl(house: House, content: bytes) -> Digest:
    """Keep a revocation list of a trusted authority: evidence for what was signed before, refusal of what comes after.

    Raises:
        Invalid: it is none, no trusted authority signed it, or this exchange trusts none.
    """
    if house.trust is None:
        raise Invalid("trust.none", "This exchange trusts no certificate authority.", hint="Set trust_store.")
    entry, at, trust = house.new_entry(), house.now(), house.trust

    def write(tx: Transaction) -> Digest:
        name = certificates.put_crl(tx, content, trust, at)
        house.record(tx, EventType.REVOCATIONS_STORED, entry, {"list": name})
        return name

    return house.database.write(write)


# --- tokens ---
def create_token(
    house: House, owner: ParticipantId, expires_at: datetime, scopes: Collection[str] | None, amr: tuple[str, ...]
) -> str:
    """A new API token, shown this once; only its SHA-256 is kept.

    Args:
        house: the exchange.
        owner: for whom it speaks.
        expires_at: until when.
        scopes: what it is good for, of ``SCOPES``; None for all that the owner's roles have use for.
        amr: how the operator has made sure of its holder (RFC 8176).

    Raises:
        NotFound: no such participant.
        Invalid: ``token.expiry`` when it would have expired already; ``token.scopes``.
    """
    at = house.now()
    if expires_at <= at:
        raise Invalid("token.expiry", "The token would have expired already.", hint="Give it a day or more.")
    secret, entry = tokens.token_secret(), house.new_entry()

    def write(tx: Transaction) -> None:
        holder = participants.participant(tx.connection, owner)
        allowed = _scopes(holder, scopes)
        tokens.new_token(tx, owner, secret, expires_at, at, allowed, amr)
        clear: dict[str, Json] = {"scopes": [*sorted(allowed)], "amr": [*amr], "until": text_of(expires_at)}
        house.record(tx, EventType.TOKEN_CREATED, entry, clear, {"participant": owner})

    house.database.write(write)
    return secret


def _scopes(holder: Participant, wanted: Collection[str] | None) -> frozenset[str]:
    useful = frozenset(SCOPES) if holder.roles & OVERSEERS else frozenset(SCOPES) - {SUPERVISE}
    if wanted is None:
        return useful
    if not wanted or not useful >= set(wanted):
        raise Invalid(
            "token.scopes", f"A token of {holder.id} cannot have the scopes {', '.join(sorted(wanted)) or '(none)'}.",
            hint="Choose some of " + ", ".join(sorted(useful)) + ".",
        )  # fmt: skip
    return frozenset(wanted)


def revoke_token(house: House, token: str) -> None:
    """End a token, by its id.

    Raises:
        NotFound: ``token.unknown``.
    """
    entry, at = house.new_entry(), house.now()

    def write(tx: Transaction) -> None:
        tokens.revoke_token(tx, token, at)
        house.record(tx, EventType.TOKEN_REVOKED, entry, {}, {"token": token})

    house.database.write(write)


# --- wallets ---
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
