"""The entries of the log: what happened, in clear what the pilot must publish, sealed what it must not."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

import orjson

from sandbox.audit.layout import LARGEST_LEAF
from sandbox.core.canonical import Json, canonical
from sandbox.core.clock import text_of
from sandbox.core.errors import Invalid
from sandbox.core.keys import b64url

VERSION: Final = 1
SALT_BYTES: Final = 32
_CANONICAL: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_OWN: Final = frozenset({"v", "type", "id", "ts", "sealed"})


class EventType(StrEnum):
    """Everything that goes on the record. A new kind is added here and to docs/formats/log.md."""

    PARTICIPANT_ADMITTED = "participant.admitted"
    PARTICIPANT_REFUSED = "participant.refused"
    KEY_REGISTERED = "key.registered"
    KEY_REVOKED = "key.revoked"
    REVOCATIONS_STORED = "revocations.stored"
    TOKEN_CREATED = "token.created"  # noqa: S105  # an event's name
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    CHARTER_ADOPTED = "charter.adopted"
    CHARTER_REFUSED = "charter.refused"
    DATASET_PUBLISHED = "dataset.published"
    DATASET_REFUSED = "dataset.refused"
    NEGOTIATION_MOVED = "negotiation.moved"
    OFFER_SIGNED = "offer.signed"
    CONTRACT_REFUSED = "contract.refused"
    AGREEMENT_SIGNED = "agreement.signed"
    AGREEMENT_TERMINATED = "agreement.terminated"
    ORDER_GIVEN = "order.given"
    ORDER_REFUSED = "order.refused"
    POLICY_ACTIVATED = "policy.activated"
    QUERY_AUTHORIZED = "query.authorized"
    QUERY_REFUSED = "query.refused"
    QUERY_FAILED = "query.failed"
    QUERY_COMPLETED = "query.completed"
    WALLET_TOPPED_UP = "wallet.topped_up"
    BODY_DISCLOSED = "body.disclosed"
    BODY_ERASED = "body.erased"
    LOG_RECOVERED = "log.recovered"


def seal(name: str, salt: bytes, content: bytes) -> str:
    """The commitment to a value, given as canonical JSON, that the log holds in its place.

    The salt keeps SQL, prices and tax codes from being guessed; the name keeps a value from moving to another field.
    """
    if len(salt) != SALT_BYTES or "\0" in name:
        raise Invalid("seal.malformed", f"A seal takes a salt of {SALT_BYTES} bytes and a name without a zero byte.")
    return b64url(hashlib.sha256(b"sandbox/sealed/v1\0" + name.encode() + b"\0" + salt + content).digest())


def entry_leaf(
    kind: EventType, at: datetime, entry_id: str, clear: Mapping[str, Json], seals: Mapping[str, str]
) -> bytes:
    """The canonical bytes of an entry.

    Raises:
        Invalid: ``log.leaf_too_large`` over 65,535 bytes; ``log.entry_malformed``, ``document.malformed``.
    """
    if _OWN & clear.keys():
        raise Invalid("log.entry_malformed", "An entry's own members are not given from outside.")
    own = {"v": VERSION, "type": kind.value, "id": entry_id, "ts": text_of(at), "sealed": dict(seals)}
    leaf = canonical({**clear, **own})
    if len(leaf) > LARGEST_LEAF:
        raise Invalid(
            "log.leaf_too_large",
            f"The log entry has {len(leaf)} bytes, at most {LARGEST_LEAF} can be published.",
            hint="Name fewer or shorter things in one request.",
        )
    return leaf


def read_entry(leaf: bytes) -> dict[str, Any]:
    """Read a leaf as an entry, if it is one in canonical form.

    Raises:
        Invalid: ``entry.malformed``.
    """
    try:
        entry = orjson.loads(leaf)
        # a key written twice would let two readers see two meters; such bytes are not what is written back
        if orjson.dumps(entry, option=_CANONICAL) == leaf and _is_entry(entry):
            return cast("dict[str, Any]", entry)
    except (orjson.JSONDecodeError, TypeError):
        pass
    raise Invalid("entry.malformed", "A leaf is not a log entry in canonical form.", hint="Tell the regulator.")


def _is_entry(entry: object) -> bool:
    if type(entry) is not dict or entry.get("v") != VERSION or type(entry.get("sealed")) is not dict:
        return False
    return type(entry.get("type")) is str and type(entry.get("id")) is str and type(entry.get("ts")) is str
