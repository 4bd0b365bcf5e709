"""What a regulator or a buyer runs, with nothing but the log's public key: is this log, is this receipt, genuine?

A check ends in one of four ways: it answers (verified); ``verify.mismatch`` or ``verify.fork`` (something was changed,
or two histories were signed); ``verify.unreachable`` or ``verify.missing`` (it could not be checked: try again); and
``verify.quorum``, ``verify.uncovered`` or ``verify.books_ahead`` (nothing is wrong, and nothing promises it yet).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.audit.books import Books, differences
from sandbox.audit.layout import node_of
from sandbox.audit.merkle import inclusion_proof, leaf_hash, verify_inclusion
from sandbox.audit.note import Checkpoint
from sandbox.audit.outcomes import Forked, mismatch, uncovered
from sandbox.audit.proof import Proof, read_proof
from sandbox.audit.published import root_at
from sandbox.audit.quorum import NONE, TrustPolicy, trusted
from sandbox.audit.replay import Exported, Replay
from sandbox.audit.shown import read_receipt, revealed, signers_of
from sandbox.audit.source import Source, open_source
from sandbox.audit.totals import Totals
from sandbox.core.canonical import Json, canonical
from sandbox.core.errors import Invalid, NotCovered
from sandbox.core.keys import VerifyKey

__all__ = ["Forked", "LogVerdict", "ReceiptVerdict", "verify_log", "verify_receipt"]


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """A log whose every entry stands under its signed checkpoint.

    ``note`` is that checkpoint as it was signed, ``cosigned`` the Unix time at which each witness did. ``books`` are
    what the entries amount to; None when the log was verified without reading them.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    cosigned: Mapping[str, int]
    books: Books | None

    @property
    def entries(self) -> Mapping[str, int]:
        """How many entries there are of each type."""
        return dict(sorted(self._told.volume.entries.items()))

    @property
    def totals(self) -> Totals:
        """The volume: completed queries in all."""
        return self._told.volume.totals

    @property
    def by_day(self) -> Mapping[str, Totals]:
        """The volume of each day of Asia/Ho_Chi_Minh."""
        return dict(sorted(self._told.volume.by_day.items()))

    @property
    def by_agreement(self) -> Mapping[str, Totals]:
        """The volume under each agreement."""
        return dict(sorted(self._told.volume.by_agreement.items()))

    @property
    def _told(self) -> Books:
        if self.books is None:
            raise ValueError("the log was verified without its entries being read")
        return self.books


@dataclass(frozen=True, slots=True)
class ReceiptVerdict:
    """An entry that stands at ``index`` of the log, the sealed values that were revealed, and who signed.

    ``size`` is that of the checkpoint that promises it: the published one's where it was compared with one.
    """

    origin: str
    index: int
    size: int
    entry: Mapping[str, Any]
    revealed: Mapping[str, Json]
    signers: tuple[str, ...]


def verify_log(  # what a regulator may ask for, each by its name
    source: Path | str | Source,
    trust: str | TrustPolicy,
    old_checkpoint: bytes | None = None,
    *,
    kept: bytes | None = None,
    quorum: str | None = None,
    replay: bool = True,
    books: Mapping[str, Any] | None = None,
) -> LogVerdict:
    """Check a published log from leaf 0 and, with ``replay``, recount it.

    A log alone proves nothing against its own operator, who could rewrite it whole with the same key. An
    ``old_checkpoint`` that you kept, or the cosignatures that ``trust`` asks for, rule that out.

    Args:
        source: the folder of the log, the address that serves it, or one of those opened.
        trust: the log's vkey, or a policy with its witnesses.
        old_checkpoint: the log must still contain what this one promised.
        kept: another such, as a verifier keeps it from visit to visit.
        quorum: another witness or group than the policy's own, or ``none``.
        replay: read the entries too, and answer what they amount to.
        books: what the exchange says they amount to; implies ``replay``.

    Raises:
        Tampered: ``verify.mismatch`` when anything does not fit; :class:`Forked` when the old checkpoint does not.
        Unavailable: ``verify.missing``, ``verify.unreachable``.
        NotCovered: ``verify.quorum``; ``verify.books_ahead`` for books of more entries than are published.
        Invalid: ``vkey.malformed``, ``note.malformed``, or ``entry.malformed`` for an entry that cannot be counted.
    """
    policy = trusted(trust)
    with _opened(source) as files:
        exported = Exported(files)
        note = exported.checkpoint()
        # (1) Who signed? An unknown origin or key is another log.
        checkpoint = policy.open(note, NONE).checkpoint
        # (2) Is it the log that it was, as far as sizes tell? A fork is said first, whatever else is wrong.
        olds = [(each, _older(policy, each, checkpoint, note)) for each in (old_checkpoint, kept) if each is not None]
        # (3) Do enough witnesses say that they have seen no other?
        opened = policy.open(note, quorum)
        # (4) Does every file agree with every entry, and all of them with the checkpoint?
        walk = Replay(exported, checkpoint, [old.size for _, old in olds])
        told = _walked(walk, books, replay=replay)
        # (5) Is what was promised then still its beginning?
        for old_note, old in olds:
            if walk.roots[old.size] != old.root:
                raise Forked(f"The first {old.size} entries are not those of your older checkpoint.", old_note, note)
        if walk.stale:
            mismatch(f"{walk.stale[0]} does not agree with the entries.")
        # (6) Do its entries amount to what the exchange says?
        if told is not None and books is not None:
            _require_equal(told, books, checkpoint.origin)
    return LogVerdict(checkpoint.origin, checkpoint.size, checkpoint.root, note, opened.cosigned, told)


@contextmanager
def _opened(source: Path | str | Source) -> Iterator[Source]:
    if not isinstance(source, Path | str):
        yield source
        return
    with open_source(source) as files:
        yield files


def _older(policy: TrustPolicy, old_note: bytes, new: Checkpoint, note: bytes) -> Checkpoint:
    """Your older checkpoint, when the two do not contradict each other on the face of it."""
    old = policy.open(old_note, NONE).checkpoint
    if old.origin != new.origin:
        mismatch(f"Your older checkpoint is of {old.origin[:80]}, this log is {new.origin[:80]}.")
    if old.size > new.size:
        raise Forked(f"The log had {old.size} entries at your older checkpoint and has {new.size} now.", old_note, note)
    if old.size == new.size and old.root != new.root:
        raise Forked(f"Your older checkpoint of {old.size} entries has another root.", old_note, note)
    return old


def _walked(walk: Replay, books: Mapping[str, Any] | None, *, replay: bool) -> Books | None:
    if not replay and books is None:
        for _ in walk.bundles():
            pass
        return None
    told, failure = Books(None if books is None else books["size"]), None
    for leaves in walk.bundles():
        try:
            if failure is None:
                told.add_leaves(leaves)
        except Invalid as error:  # the log itself says so only if the rest proves that the file was not damaged
            failure = error
    if failure is not None:
        raise failure
    return told


def _require_equal(told: Books, books: Mapping[str, Any], origin: str) -> None:
    if books.get("origin", origin) != origin:
        mismatch(f"The books are of {str(books['origin'])[:80]!r}, not of this log.")
    if told.then is None:
        raise NotCovered(
            "verify.books_ahead",
            f"The books are as of {books['size']} entries, and {told.size} are published.",
            hint="Verify again once the log has been published that far.",
        )
    if differing := differences(told.then, books):
        hint = "Keep the books beside your checkpoint; the operator must say which of the two is wrong, and why."
        mismatch(f"After {books['size']} entries log and books differ: {'; '.join(differing)}.", hint)


def verify_receipt(
    content: bytes,
    trust: str | TrustPolicy,
    *,
    signers: Sequence[VerifyKey] = (),
    quorum: str | None = None,
    log: Path | str | Source | None = None,
) -> ReceiptVerdict:
    """Check a receipt, offline unless ``log`` is an address.

    Without ``signers`` the signatures on it are not looked at: the log's checkpoint alone vouches for the entry. With
    ``log`` the entry must also stand at its place in what is published now, and it is that newest checkpoint which must
    be cosigned as ``trust`` or ``quorum`` asks; the receipt's own may be older than any cosignature.

    Raises:
        Tampered: ``verify.mismatch`` when anything does not fit; :class:`Forked`.
        NotCovered: ``verify.quorum``; ``verify.uncovered`` when less is published than the receipt tells of.
        Unavailable: ``verify.missing``, ``verify.unreachable``.
        Invalid: what is no receipt, proof, note or vkey.
    """
    policy, document = trusted(trust), read_receipt(content)
    entry = document["entry"]
    # (1) Have the required parties signed?
    kids = signers_of(entry, document["signatures"], signers) if signers else ()
    # (2) Does each revealed value match its seal?
    values = {name: revealed(entry, name, value) for name, value in document["reveal"].items()}
    # (3) Is the checkpoint the log's, and witnessed?
    proof = read_proof(document["proof"])
    checkpoint = policy.open(proof.checkpoint, quorum if log is None else NONE).checkpoint
    # (4) Is the entry under it?
    leaf = leaf_hash(canonical(entry))
    if not verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root):
        mismatch("The entry is not in the log at that place.")
    # (5) Is it in what is published now, and is that the same log?
    if log is not None:
        with _opened(log) as files:
            checkpoint = _published(Exported(files), policy, quorum, proof, checkpoint, leaf)
    return ReceiptVerdict(checkpoint.origin, proof.index, checkpoint.size, entry, values, kids)


def _published(  # all that is known of the receipt
    exported: Exported, policy: TrustPolicy, quorum: str | None, proof: Proof, own: Checkpoint, leaf: bytes
) -> Checkpoint:
    """The published checkpoint, once it is shown to hold the entry and to continue the receipt's own."""
    note = exported.checkpoint()
    new = policy.open(note, NONE).checkpoint
    if new.origin != own.origin:
        mismatch(f"The receipt is of {own.origin[:80]}, this log is {new.origin[:80]}.")
    if new.size == own.size and new.root != own.root:
        raise Forked(f"The receipt's checkpoint of {own.size} entries has another root.", proof.checkpoint, note)
    policy.open(note, quorum)
    if proof.index >= new.size:
        raise uncovered(proof.index, new.size, "The receipt")
    # a receipt newer than what is published has nothing to be continued, and its entry is there already
    if own.size <= new.size and root_at(exported, own.size, new) != own.root:
        what = "The published log does not continue the one that the receipt was made from."
        raise Forked(what, proof.checkpoint, note)
    path = inclusion_proof(proof.index, new.size, node_of(new.size, exported.tile))
    if not verify_inclusion(leaf, proof.index, new.size, path, new.root):
        mismatch("The entry is not in the published log at that place.")
    return new
