"""Single entries of a published log, each believed only once it stands under the checkpoint."""

from collections.abc import Iterator, Sequence
from typing import Final

from sandbox.audit.layout import WIDTH, node_of, split, tiles_of
from sandbox.audit.merkle import complete_root, consistency_proof, range_root, verify_consistency
from sandbox.audit.note import Checkpoint
from sandbox.audit.outcomes import Forked, mismatch, uncovered
from sandbox.audit.quorum import NONE, TrustPolicy, trusted
from sandbox.audit.replay import Exported, leaf_hashes
from sandbox.audit.source import Source


class Published:
    """A published log under its newest checkpoint, from which single bundles are read.

    What it knows for sure are the roots of all bundles: 32 bytes for each 256 entries.
    """

    def __init__(self, source: Source, trust: str | TrustPolicy, quorum: str | None = None) -> None:
        """Open the log.

        Raises:
            Tampered: ``verify.mismatch`` when signatures or hashes do not fit.
            NotCovered: ``verify.quorum``.
            Unavailable: ``verify.missing``, ``verify.unreachable``.
            Invalid: ``note.malformed``, ``vkey.malformed``, ``quorum.unknown``.
        """
        self._exported, self._policy = Exported(source), trusted(trust)
        self._note: Final = self._exported.checkpoint()
        self.checkpoint: Final = self._policy.open(self._note, quorum).checkpoint
        self._roots: Final = self._proven()

    def require_continues(self, note: bytes) -> Checkpoint:
        """An older checkpoint of the same log, once this one is shown to continue it.

        Raises:
            Tampered: ``verify.mismatch``, ``verify.fork``.
            NotCovered: ``verify.uncovered`` when less is published than it promises.
            Invalid: ``note.malformed``.
        """
        old, new = self._policy.open(note, NONE).checkpoint, self.checkpoint
        if old.origin != new.origin:
            mismatch(f"It was made from {old.origin[:80]}, this log is {new.origin[:80]}.")
        if old.size > new.size:
            raise uncovered(old.size - 1, new.size)
        if root_at(self._exported, old.size, new) != old.root:
            raise Forked(f"The first {old.size} entries are not those that it was made from.", note, self._note)
        return old

    def leaves(self, first: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """The entries ``first`` to ``stop``, each with its index.

        Raises:
            Tampered: ``verify.mismatch``.
            NotCovered: ``verify.uncovered``.
            Unavailable: ``verify.missing``, ``verify.unreachable``.
        """
        if stop > self.checkpoint.size:
            raise uncovered(stop - 1, self.checkpoint.size)
        for n in range(first // WIDTH, -(-stop // WIDTH)):
            leaves = self._exported.leaves(n, min(WIDTH, self.checkpoint.size - n * WIDTH))
            if _root(split(leaf_hashes(leaves))) != self._roots[n]:
                mismatch(f"The entries from {n * WIDTH} on do not have the root that the checkpoint promises.")
            for index, leaf in enumerate(leaves, n * WIDTH):
                if first <= index < stop:
                    yield index, leaf

    def leaf(self, index: int) -> bytes:
        """One entry; see :meth:`leaves`."""
        return next(self.leaves(index, index + 1))[1]

    def _proven(self) -> list[bytes]:
        """The roots of all bundles, the last of which may be open: they lead to the checkpoint's root."""
        size = self.checkpoint.size
        roots = [root for n, width in tiles_of(size, 1) for root in split(self._exported.tile(1, n, width))]
        full, rest = divmod(size, WIDTH)
        if rest:
            roots.append(_root(split(self._exported.tile(0, full, rest))))
        if _root(roots) != self.checkpoint.root:
            mismatch("The tiles do not have the root that the checkpoint states.")
        return roots


def root_at(exported: Exported, size: int, new: Checkpoint) -> bytes:
    """The root that the first ``size`` entries have under a newer checkpoint, from a few tiles alone.

    They are proven first: whoever holds an older checkpoint against this root must not take a damaged file for a fork.

    Raises:
        Tampered: ``verify.mismatch``.
        Unavailable: ``verify.missing``, ``verify.unreachable``.
    """
    node = node_of(new.size, exported.tile)
    root = range_root(0, size, node)
    if not verify_consistency(size, new.size, consistency_proof(size, new.size, node), root, new.root):
        mismatch("The tiles do not have the root that the checkpoint states.")
    return root


def _root(hashes: Sequence[bytes]) -> bytes:
    """The root over nodes of one height of which the last alone may be of an incomplete subtree.

    RFC 6962 cuts at powers of two, so a tree of bundles is cut as the tree of their entries.
    """
    return range_root(0, len(hashes), lambda height, at: complete_root(hashes[at << height : (at + 1) << height]))
