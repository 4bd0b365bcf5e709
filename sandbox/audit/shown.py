"""What a receipt shows, before the log is asked: its parts, the signatures on it, the values behind its seals."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from sandbox.audit.events import read_entry, seal
from sandbox.audit.outcomes import mismatch
from sandbox.core.canonical import Json, canonical, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import VerifyKey, from_b64url
from sandbox.core.signing import KnownKeys, envelope, open_signed

RECEIPT: Final = "sandbox.receipt/v1"
RECEIPT_JWS: Final = "receipt+jws"


def read_receipt(content: bytes) -> dict[str, Any]:
    """Take a receipt apart without believing it.

    Raises:
        Invalid: ``receipt.malformed``, ``entry.malformed``.
    """
    document = _parsed(content)
    match document:
        case {
            "type": "sandbox.receipt/v1",
            "entry": dict(entry),
            "reveal": dict(),
            "proof": str(),
            "signatures": list(),
            **rest,
        } if not rest:
            read_entry(canonical(entry))
        case _:
            _refuse()
    return document


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        return parse(content)
    except Invalid:  # whoever checks a receipt did not write its JSON, and cannot mend it
        _refuse()


def _refuse() -> NoReturn:
    raise Invalid("receipt.malformed", f"This is not a {RECEIPT}.", hint="Fetch the receipt again, unaltered.")


def signers_of(entry: dict[str, Json], signatures: list[Json], required: Sequence[VerifyKey]) -> tuple[str, ...]:
    """The key ids of who signed an entry, when every one of ``required`` has and no signature is bad.

    Raises:
        Tampered: ``verify.mismatch``.
    """
    keys = {key.kid: key for key in required}
    try:
        signed = open_signed(envelope("entry", entry, signatures), "entry", RECEIPT_JWS, KnownKeys(keys))
    except Invalid as refusal:
        mismatch(f"The receipt is not signed by those you name, and by them alone: {refusal.message}")
    if keys.keys() - {*signed.kids}:  # a stripped signature leaves a valid envelope
        mismatch("A required party has not signed the receipt.")
    return signed.kids


def revealed(entry: Mapping[str, Any], name: str, value: Any) -> Any:
    """The value behind a seal, given as ``{"salt": ..., "value": ...}``.

    Raises:
        Tampered: ``verify.mismatch`` when it is not what the entry seals under that name.
    """
    match value:
        case {"salt": str(salt), "value": content, **rest} if not rest:
            sealed = seal(name, from_b64url(salt), canonical(content))
        case _:
            sealed = ""
    if not sealed or entry["sealed"].get(name) != sealed:
        mismatch(f"The revealed {name[:40]!r} is not what the log sealed.")
    return value["value"]
