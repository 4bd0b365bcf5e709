"""A published log read from leaf 0, believing nothing that the files do not prove."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Final, NoReturn

from sandbox.audit.layout import (
    CHECKPOINT,
    HEIGHT,
    WIDTH,
    bundle_path,
    levels,
    split,
    tile_path,
    unbundle,
)
from sandbox.audit.merkle import EMPTY_ROOT, HASH_BYTES, packed_root
from sandbox.audit.note import Checkpoint
from sandbox.audit.outcomes import mismatch
from sandbox.audit.source import Source
from sandbox.audit.tree import reopened
from sandbox.core.errors import Invalid, Tampered, Unavailable

# a copy of a begun hash is quicker than a new one, and a million entries take two million of them
_LEAF: Final = hashlib.sha256(b"\0")


def leaf_hashes(leaves: Iterable[bytes]) -> bytes:
    """The hashes of entries, side by side, as a tile of level 0 holds them."""
    hashes: list[bytes] = []
    begun, add = _LEAF.copy, hashes.append
    for leaf in leaves:
        hashed = begun()
        hashed.update(leaf)
        add(hashed.digest())
    return b"".join(hashes)


class Exported:
    """The files of a published log. One that is not there raises Unavailable ``verify.missing``."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def checkpoint(self) -> bytes:
        """The newest checkpoint, as signed."""
        content = self._source.read(CHECKPOINT)
        if content is None:
            raise Unavailable(
                "verify.missing",
                "There is no file checkpoint: no log is published here.",
                hint="Check folder or address; an exchange serves its log under /log.",
            )
        return content

    def tile(self, level: int, n: int, width: int) -> bytes:
        """The hashes of a tile, side by side."""
        path, content = self._part(level, n, width)
        return _of_width(path, content)[: width * HASH_BYTES]

    def leaves(self, n: int, width: int) -> list[bytes]:
        """The entries of a bundle."""
        path, content = self._part("entries", n, width)
        return _entries(path, content)[:width]

    def full(self, tiles: int) -> Iterator[tuple[list[bytes], bytes]]:
        """Entries and hashes of the first ``tiles`` tiles of level 0, all of them full, some fetched ahead."""
        content = self._source.read_all(path for n in range(tiles) for path in (bundle_path(n), tile_path(0, n)))
        for n in range(tiles):
            bundle, hashes = next(content), next(content)
            yield (
                _entries(bundle_path(n), _missing(bundle_path(n)) if bundle is None else bundle),
                _of_width(tile_path(0, n), _missing(tile_path(0, n)) if hashes is None else hashes),
            )

    def earlier(self, level: int | str, n: int, width: int) -> list[int]:
        """The widths below ``width`` that an open tile had at earlier checkpoints and that are still there."""
        names = self._source.names(tile_path(level, n, 1).rpartition("/")[0])
        return [each for each in range(1, width) if str(each) in names]

    def _part(self, level: int | str, n: int, width: int) -> tuple[str, bytes]:
        for stored in (width, WIDTH):  # a partial tile may be dropped once the full one is there
            path = tile_path(level, n, stored)
            content = self._source.read(path)
            if content is not None:
                return path, content
        return _missing(tile_path(level, n, width))


def _missing(path: str) -> NoReturn:
    raise Unavailable(
        "verify.missing",
        f"The log has no file {path}, which its checkpoint promises.",
        hint="Fetch the whole log again; where it stays missing, the operator withholds it: tell the regulator.",
    )


def _width_of(path: str) -> int:
    _, partial, width = path.rpartition(".p/")
    return int(width) if partial else WIDTH


def _of_width(path: str, hashes: bytes) -> bytes:
    if len(hashes) != _width_of(path) * HASH_BYTES:
        mismatch(f"{path} holds {len(hashes)} bytes, expected {_width_of(path) * HASH_BYTES}.")
    return hashes


def _entries(path: str, bundle: bytes) -> list[bytes]:
    try:
        leaves = unbundle(bundle)
    except Invalid:
        mismatch(f"{path} is cut off.")
    if len(leaves) != _width_of(path):
        mismatch(f"{path} holds {len(leaves)} entries, expected {_width_of(path)}.")
    return leaves


def _agree(path: str, found: object, expected: object) -> None:
    if found != expected:
        mismatch(f"{path} does not agree with the entries.")


class Replay:
    """One pass over all files under a checkpoint; ``roots`` are what its first so many entries turned out to have.

    ``stale`` names files left of earlier checkpoints that do not agree with the entries: they were of another log.

    Nothing is proven before the last bundle was taken: only then do all files together have the checkpoint's root.
    """

    def __init__(self, exported: Exported, checkpoint: Checkpoint, older: Collection[int] = ()) -> None:
        """``older`` are the sizes of earlier trees whose roots the pass should take note of."""
        self._exported, self._checkpoint, self._older = exported, checkpoint, [*older]
        self._open: list[list[bytes]] = [[] for _ in levels(checkpoint.size)[1:]]  # of each level above the lowest
        self.roots = {0: EMPTY_ROOT}
        self.stale: list[str] = []

    def bundles(self) -> Iterator[list[bytes]]:
        """Every leaf in order, a bundle at a time.

        Raises:
            Unavailable: ``verify.missing`` for a file that the checkpoint's tree has and the source has not;
                ``verify.unreachable``.
            Tampered: ``verify.mismatch``.
        """
        full, rest = divmod(self._checkpoint.size, WIDTH)
        for n, (leaves, hashes) in enumerate(self._exported.full(full)):
            _agree(tile_path(0, n), hashes, leaf_hashes(leaves))
            self._note(n, hashes)
            self._rise(n + 1, packed_root(hashes))
            yield leaves
        last = b""
        if rest:
            leaves, last = self._partial(full, rest)
            yield leaves
        self._close(last)

    def _partial(self, n: int, width: int) -> tuple[list[bytes], bytes]:
        """The open bundle, and its hashes."""
        exported = self._exported
        leaves = exported.leaves(n, width)
        self._earlier_agree("entries", n, width, lambda before: exported.leaves(n, before) == leaves[:before])
        hashes = leaf_hashes(leaves)
        self._open_agrees(0, n, hashes)
        self._note(n, hashes)
        return leaves, hashes

    def _open_agrees(self, level: int, n: int, hashes: bytes) -> None:
        width, tile = len(hashes) // HASH_BYTES, self._exported.tile
        _agree(tile_path(level, n, width), tile(level, n, width), hashes)
        self._earlier_agree(level, n, width, lambda each: tile(level, n, each) == hashes[: each * HASH_BYTES])

    def _earlier_agree(self, level: int | str, n: int, width: int, agrees: Callable[[int], bool]) -> None:
        """Look at what is left of earlier checkpoints; the newest needs none of it, so the walk goes on."""
        for each in self._exported.earlier(level, n, width):
            with suppress(Tampered):
                if agrees(each):
                    continue
            self.stale.append(tile_path(level, n, each))

    def _note(self, n: int, hashes: bytes) -> None:
        for size in self._older:
            width = size - n * WIDTH
            if 0 < width <= WIDTH:
                self.roots[size] = self._root(hashes[: width * HASH_BYTES])

    def _root(self, lowest: bytes) -> bytes:
        return reopened([split(lowest), *self._open]).root

    def _rise(self, done: int, root: bytes) -> None:
        """Hand the root of a full tile up, and so on from each tile that it fills; ``done`` of level 0 are full."""
        for level, row in enumerate(self._open, 1):
            row.append(root)
            if len(row) < WIDTH:
                return
            hashes, n = b"".join(row), (done >> (HEIGHT * level)) - 1
            _agree(tile_path(level, n), self._exported.tile(level, n, WIDTH), hashes)
            row.clear()
            root = packed_root(hashes)

    def _close(self, lowest: bytes) -> None:
        for level, row in enumerate(self._open, 1):
            if row:
                self._open_agrees(level, self._checkpoint.size >> (HEIGHT * (level + 1)), b"".join(row))
        if self._root(lowest) != self._checkpoint.root:
            mismatch("The entries do not have the root that the checkpoint states.")
