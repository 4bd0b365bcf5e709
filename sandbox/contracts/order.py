"""The Order: a signed document that stops trading, wholly or in part, or starts it again.

::

    {"order": {"type": "Order", "act": "suspend", "scope": {"kind": "dataset", "id": "chi_so_cds"},
               "issuer": "so-khcn", "reason": "…", "legal_basis": "NĐ 314/2026 Điều 7(8)(d)", "ends": null,
               "nonce": "<32 bytes>", "timestamp": "2026-12-01T03:00:00.000000Z"},
     "signatures": [<the issuer>]}

One signature stops, for stopping must be fast; what starts again carries a regulator's and an operator's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NoReturn, Protocol

from sandbox.contracts import members
from sandbox.core import signing
from sandbox.core.canonical import Json, digest_of
from sandbox.core.clock import text_of
from sandbox.core.errors import Invalid
from sandbox.core.keys import SigningKey, b64url
from sandbox.core.signing import envelope, open_signed, sign, unverified
from sandbox.core.terms import SLUG, Digest, ParticipantId

ORDER: Final = "order"
ORDER_TYPE: Final = "order+jws"
MARKET: Final = "market"
SUSPEND: Final = "suspend"
TERMINATE: Final = "terminate"
OPEN_INCIDENT: Final = "open_incident"
SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    SUSPEND: (MARKET, "participant", "dataset", "agreement", "query"),
    TERMINATE: ("agreement",),
    OPEN_INCIDENT: (MARKET, "participant", "dataset", "agreement"),
}
"""What each act may be about."""
ENDS: Final[Mapping[str, str]] = {"resume": SUSPEND, "close_incident": OPEN_INCIDENT}
"""The acts that end an order, and the act of the order that each of them ends."""
ALONE: Final = timedelta(minutes=10)
"""How old an order of one signature may be, or how far ahead: an older one is not what anyone wants now."""
TOGETHER: Final = timedelta(days=7)
"""How old an order may be that takes a second signature: one that starts again, or ends a contract."""
MOST_BYTES: Final = 65_536
MOST_TEXT: Final = 2_000
_NAMED: Final[Mapping[str, members.Reader[str]]] = {
    "participant": members.participant,
    "dataset": members.word(SLUG, "a dataset's id, such as chi_so_cds"),
    "agreement": members.digest,
    "query": members.word(re.compile(r"qry_[0-9A-Z]{26}", re.ASCII), "a query's id, such as qry_01K…"),
}
_MEMBERS: Final = ("type", "act", "scope", "issuer", "reason", "legal_basis", "ends", "nonce", "timestamp")


class Owners(signing.Signers, Protocol):
    """Keys by their names, and whose they are."""

    def owner_of(self, kid: str) -> ParticipantId | None: ...


@dataclass(frozen=True, slots=True)
class Order:
    """An order, with those who signed it once it was opened. ``target`` is empty where it is about the market."""

    id: Digest
    act: str
    kind: str
    target: str
    issuer: ParticipantId
    reason: str
    legal_basis: str | None
    ends: Digest | None
    timestamp: datetime
    signed_by: tuple[ParticipantId, ...] = ()


def refuse(sentence: str) -> NoReturn:
    """Refuse an order.

    Raises:
        Invalid: ``order.invalid``.
    """
    raise Invalid("order.invalid", sentence, hint="Let the command line write it: sandbox suspend, sandbox resume.")


def order_document(wanted: Mapping[str, Json], nonce: bytes, now: datetime) -> dict[str, Json]:
    """Write an order.

    Args:
        wanted: ``act``, ``scope``, ``issuer``, ``reason``, and where there is one ``legal_basis`` and ``ends``.
        nonce: 32 random bytes, so that what is ordered twice is two orders.
        now: when it is given.

    Raises:
        Invalid: ``order.invalid``.
    """
    document: dict[str, Json] = {"type": "Order", "legal_basis": None, "ends": None, **wanted}
    document |= {"nonce": b64url(nonce), "timestamp": text_of(now)}
    read_order(document)
    return document


def read_order(document: Mapping[str, Json]) -> Order:
    """Read an order; whether anyone signed it is another question.

    Raises:
        Invalid: ``order.invalid``, naming the member.
    """
    try:
        return _read(document)
    except Invalid as refusal:
        refuse(refusal.message)


def _read(document: Mapping[str, Json]) -> Order:
    said = members.object_of(dict(document), "The order", _MEMBERS)
    members.choice(["Order"])(said["type"], "type")
    act = members.choice([*SCOPES, *ENDS])(said["act"], "act")
    kind, target = _scope(said["scope"], SCOPES[ENDS.get(act, act)])
    basis = said["legal_basis"]
    members.check_nonce(said["nonce"])
    return Order(
        id=digest_of(said),
        act=act,
        kind=kind,
        target=target,
        issuer=ParticipantId(members.participant(said["issuer"], "issuer")),
        reason=members.text(said["reason"], "reason", MOST_TEXT),
        legal_basis=None if basis is None else members.text(basis, "legal_basis", MOST_TEXT),
        ends=_ended(said["ends"], act),
        timestamp=members.instant(said["timestamp"], "timestamp"),
    )


def _scope(value: Json, kinds: tuple[str, ...]) -> tuple[str, str]:
    said = members.object_of(value, "scope", ("kind", "id"))
    kind = members.choice(kinds)(said["kind"], "scope.kind")
    if kind != MARKET:
        return kind, _NAMED[kind](said["id"], "scope.id")
    if said["id"] is not None:
        members.expect("scope.id", said["id"], "null, for there is one market")
    return kind, ""


def _ended(value: Json, act: str) -> Digest | None:
    if act in ENDS:
        return Digest(members.digest(value, "ends"))
    if value is not None:
        members.expect("ends", value, f"null, for {act} ends nothing")
    return None


# --- signatures ---
def sign_order(document: dict[str, Json], key: SigningKey, chain: tuple[bytes, ...] = ()) -> bytes:
    """Sign an order, as the first.

    Raises:
        Invalid: ``order.invalid``; nobody signs what does not read well.
    """
    read_order(document)
    return envelope(ORDER, document, [sign(document, key, ORDER_TYPE, chain)])


def add_signature(text: bytes, key: SigningKey, chain: tuple[bytes, ...] = ()) -> bytes:
    """Sign an order beside those who have; their signatures are not judged here, the exchange judges them all.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid`` or ``order.invalid``.
    """
    document, signatures = unverified(_bounded(text), ORDER)
    read_order(document)
    return envelope(ORDER, document, [*signatures, sign(document, key, ORDER_TYPE, chain)])


def open_order(text: bytes, signers: Owners, now: datetime) -> Order:
    """Verify a signed order.

    Raises:
        Invalid: ``document.malformed``, ``signature.invalid``, ``order.invalid``; ``order.stale`` when it is not of
            this hour, nor of this week where it takes a second signature.
    """
    # (1) Every signature present is good, of a key that counts now, and was made for an order.
    signed = open_signed(_bounded(text), ORDER, ORDER_TYPE, signers, "CHARTER-06")
    # (2) The document says one thing only.
    order = read_order(signed.document)
    # (3) Its issuer signed it, and nobody twice: two keys of one office are not two offices.
    owners = [owner for owner in map(signers.owner_of, signed.kids) if owner is not None]
    if len(owners) != len(signed.kids) or len(set(owners)) != len(owners) or order.issuer not in owners:
        signing.refuse("An order is signed by its issuer, and by each participant once.")
    # (4) It is meant for now.
    _check_fresh(order, len(owners), now)
    return replace(order, signed_by=tuple(owners))


def _check_fresh(order: Order, signatures: int, now: datetime) -> None:
    # whoever keeps a stop back could make it good for a week by signing beside it
    oldest = TOGETHER if signatures > 1 and order.act in {*ENDS, TERMINATE} else ALONE
    if not now - oldest <= order.timestamp <= now + ALONE:
        raise Invalid(
            "order.stale", f"The order is of {text_of(order.timestamp)}, and it is {text_of(now)}.",
            hint="Give it anew: it holds for 10 minutes, and what takes two signatures for 7 days.",
        )  # fmt: skip


def _bounded(text: bytes) -> bytes:
    if len(text) > MOST_BYTES:
        refuse(f"The order has {len(text)} bytes, expected at most {MOST_BYTES}.")
    return text
