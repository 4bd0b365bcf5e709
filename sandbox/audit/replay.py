"""An exported log read from leaf 0, believing nothing that the files do not prove."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from sandbox.audit.layout import CHECKPOINT, HEIGHT, WIDTH, split, tile_path, tiles_of, unbundle
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import Checkpoint
from sandbox.audit.tree import Tree
from sandbox.core.errors import Invalid, NotFound, Tampered


def mismatch(what: str) -> NoReturn:
    """Refuse a log or receipt.

    Raises:
        Tampered: ``verify.mismatch``.
    """
    raise Tampered(
        "verify.mismatch",
        what,
        hint="Fetch it again; if it stays so, keep it with your checkpoints and tell the regulator.",
    )


class Exported:
    """The files of an exported log. A file that is not there raises NotFound ``verify.missing``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def checkpoint(self) -> bytes:
        """The newest checkpoint, as signed."""
        content = self._found(CHECKPOINT)
        return self._missing(CHECKPOINT) if content is None else content

    def hashes(self, level: int, n: int, width: int) -> list[bytes]:
        """The hashes of a tile."""
        return self._part(level, n, width, split)

    def tile(self, level: int, n: int, width: int) -> bytes:
        """The hashes of a tile, side by side."""
        return b"".join(self.hashes(level, n, width))

    def leaves(self, n: int, width: int) -> list[bytes]:
        """The entries of a bundle."""
        return self._part("entries", n, width, unbundle)

    def earlier(self, level: int | str, n: int, width: int) -> list[int]:
        """The widths below ``width`` that an open tile had at earlier checkpoints and that are still there."""
        folder = (self._directory / tile_path(level, n, 1)).parent
        present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return [each for each in range(1, width) if str(each) in present]

    def _part(self, level: int | str, n: int, width: int, parts: Callable[[bytes], list[bytes]]) -> list[bytes]:
        for stored in (width, WIDTH):  # a partial tile may be dropped once the full one is there
            path = tile_path(level, n, stored)
            content = self._found(path)
            if content is not None:
                return _counted(path, parts, content, stored)[:width]
        return self._missing(tile_path(level, n, width))

    def _found(self, path: str) -> bytes | None:
        try:
            return (self._directory / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    @staticmethod
    def _missing(path: str) -> NoReturn:
        raise NotFound("verify.missing", f"The log has no file {path}.", hint="Fetch the whole log again.")


def _counted(path: str, parts: Callable[[bytes], list[bytes]], content: bytes, wanted: int) -> list[bytes]:
    try:
        found = parts(content)
    except Invalid:
        mismatch(f"{path} is cut off.")
    if len(found) != wanted:
        mismatch(f"{path} holds {len(found)} items, expected {wanted}.")
    return found


def _agree(path: str, found: Sequence[bytes], expected: Sequence[bytes]) -> None:
    if [*found] != [*expected]:
        mismatch(f"{path} does not agree with the entries.")


def replay(exported: Exported, checkpoint: Checkpoint) -> Iterator[bytes]:
    """Every leaf in order. Whoever takes the last one knows that all files together have the checkpoint's root.

    Raises:
        NotFound: ``verify.missing`` for a file that the checkpoint's tree has and the folder has not.
        Tampered: ``verify.mismatch``.
    """
    tree = Tree()
    for n, width in tiles_of(checkpoint.size, 0):
        leaves = exported.leaves(n, width)
        tree, filled = tree.appended(map(leaf_hash, leaves))
        for tile in filled:
            _agree(tile_path(tile.level, tile.n), exported.hashes(tile.level, tile.n, WIDTH), split(tile.hashes))
        if width < WIDTH:
            for before in exported.earlier("entries", n, width):
                _agree(tile_path("entries", n, before), exported.leaves(n, before), leaves[:before])
        yield from leaves
    for level, row in enumerate(tree.rows):
        n = checkpoint.size >> (HEIGHT * (level + 1))
        for width in [*exported.earlier(level, n, len(row)), len(row)] if row else []:
            _agree(tile_path(level, n, width), exported.hashes(level, n, width), row[:width])
    if tree.root != checkpoint.root:
        mismatch("The entries do not have the root that the checkpoint states.")
