"""What a regulator or a buyer runs, with nothing but the log's public key: is this log, is this receipt, genuine?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.audit.events import read_entry, seal
from sandbox.audit.layout import node_of
from sandbox.audit.merkle import consistency_proof, leaf_hash, verify_consistency, verify_inclusion
from sandbox.audit.note import Checkpoint, open_checkpoint, read_vkey
from sandbox.audit.proof import read_proof
from sandbox.audit.replay import Exported, mismatch, replay
from sandbox.audit.totals import Fold, Totals
from sandbox.core.canonical import Json, canonical, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import VerifyKey, from_b64url
from sandbox.core.signing import KnownKeys, envelope, open_signed, refuse

RECEIPT: Final = "sandbox.receipt/v1"
RECEIPT_JWS: Final = "receipt+jws"


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """A log whose every entry stands under its signed checkpoint, and what those entries amount to.

    ``entries`` counts them by type; days are those of Asia/Ho_Chi_Minh.
    """

    origin: str
    size: int
    root: bytes
    entries: Mapping[str, int]
    totals: Totals
    by_day: Mapping[str, Totals]
    by_agreement: Mapping[str, Totals]


@dataclass(frozen=True, slots=True)
class ReceiptVerdict:
    """An entry that stands at ``index`` of the log, the sealed values that were revealed, and who signed."""

    origin: str
    index: int
    size: int
    entry: Mapping[str, Any]
    revealed: Mapping[str, Json]
    signers: tuple[str, ...]


def verify_log(
    directory: Path, vkey: str, old_checkpoint: bytes | None = None, *, witnesses: Sequence[str] = ()
) -> LogVerdict:
    """Check an exported log from leaf 0 and recount it.

    A log alone proves nothing against its own operator, who could rewrite it whole with the same key. An
    ``old_checkpoint`` that you kept, or cosignatures of all of ``witnesses`` (vkeys), rule that out.

    Raises:
        Tampered: ``verify.mismatch`` when anything does not fit.
        NotFound: ``verify.missing`` when a file is missing.
        Invalid: ``vkey.malformed``, ``note.malformed``, or ``entry.malformed`` for an entry that cannot be counted.
    """
    # (1) Who signed? An unknown origin or key is another log.
    log, exported = read_vkey(vkey), Exported(directory)
    checkpoint = open_checkpoint(exported.checkpoint(), log, *map(read_vkey, witnesses))
    # (2) Does every file agree with every entry, and all of them with the checkpoint?
    counted = Fold()
    for leaf in replay(exported, checkpoint):
        counted.add(read_entry(leaf))
    # (3) Is it the log that it was?
    if old_checkpoint is not None:
        _continues(open_checkpoint(old_checkpoint, log), checkpoint, exported)
    return LogVerdict(
        checkpoint.origin,
        checkpoint.size,
        checkpoint.root,
        dict(sorted(counted.entries.items())),
        counted.totals,
        dict(sorted(counted.by_day.items())),
        dict(sorted(counted.by_agreement.items())),
    )


def _continues(old: Checkpoint, new: Checkpoint, exported: Exported) -> None:
    if old.size > new.size:
        mismatch(f"The log had {old.size} entries at your older checkpoint and has {new.size} now.")
    proof = consistency_proof(old.size, new.size, node_of(new.size, exported.tile))
    if not verify_consistency(old.size, new.size, proof, old.root, new.root):
        mismatch(f"The first {old.size} entries are not those of your older checkpoint.")


def verify_receipt(
    content: bytes, vkey: str, *, signers: Sequence[VerifyKey] = (), witnesses: Sequence[str] = ()
) -> ReceiptVerdict:
    """Check a receipt offline.

    Without ``signers`` the signatures on it are not looked at: the log's checkpoint alone vouches for the entry.

    Raises:
        Tampered: ``verify.mismatch`` when anything does not fit.
        Invalid: ``signature.invalid``, or what is no receipt, proof, note or vkey.
    """
    log = read_vkey(vkey)
    document = _receipt(content)
    entry = document["entry"]
    # (1) Have the required parties signed?
    kids = _signed(entry, document["signatures"], signers) if signers else ()
    # (2) Does each revealed value match its seal?
    revealed = {name: _revealed(entry, name, value) for name, value in document["reveal"].items()}
    # (3) Is the checkpoint the log's, and witnessed?
    proof = read_proof(document["proof"])
    checkpoint = open_checkpoint(proof.checkpoint, log, *map(read_vkey, witnesses))
    # (4) Is the entry under it?
    leaf = leaf_hash(canonical(entry))
    if not verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root):
        mismatch("The entry is not in the log at that place.")
    return ReceiptVerdict(checkpoint.origin, proof.index, checkpoint.size, entry, revealed, kids)


def _receipt(content: bytes) -> dict[str, Any]:
    document: dict[str, Any] = parse(content)
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
            return document
    raise Invalid("receipt.malformed", f"This is not a {RECEIPT}.", hint="Fetch the receipt again, unaltered.")


def _signed(entry: dict[str, Json], signatures: list[Json], signers: Sequence[VerifyKey]) -> tuple[str, ...]:
    keys = {key.kid: key for key in signers}
    signed = open_signed(envelope("entry", entry, signatures), "entry", RECEIPT_JWS, KnownKeys(keys))
    if keys.keys() - {*signed.kids}:  # a stripped signature leaves a valid envelope
        refuse("A required party has not signed the receipt.")
    return signed.kids


def _revealed(entry: dict[str, Any], name: str, value: Any) -> Any:
    match value:
        case {"salt": str(salt), "value": content, **rest} if not rest:
            sealed = seal(name, from_b64url(salt), canonical(content))
        case _:
            sealed = ""
    if not sealed or entry["sealed"].get(name) != sealed:
        mismatch(f"The revealed {name[:40]!r} is not what the log sealed.")
    return value["value"]
