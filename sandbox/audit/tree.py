"""The growing tree: what must be kept to append a leaf, know the root, and hand out each tile that becomes full."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.audit.layout import HEIGHT
from sandbox.audit.merkle import complete_root, complete_subtrees, fold, node_hash


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile: 256 hashes of one level, side by side, and the root over them."""

    level: int
    n: int
    hashes: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of ``size`` leaves.

    ``rows`` are the hashes of each level's open tile; ``edge`` are the roots of the complete subtrees, largest first.
    """

    size: int = 0
    rows: tuple[tuple[bytes, ...], ...] = ()
    edge: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        return fold(self.edge)

    def appended(self, leaf_hashes: Iterable[bytes]) -> tuple["Tree", list[Tile]]:
        """A tree with more leaves, and the tiles that they filled; the old one stays as it is."""
        size, edge, tiles = self.size, [*self.edge], []
        rows = [[*row] for row in self.rows]
        for leaf in leaf_hashes:
            node, height, index = leaf, 0, size
            _place(rows, 0, node)
            while index & 1:
                node, height, index = node_hash(edge.pop(), node), height + 1, index >> 1
                if height % HEIGHT == 0:
                    level = height // HEIGHT
                    tiles.append(Tile(level - 1, index, b"".join(rows[level - 1]), node))
                    rows[level - 1].clear()
                    _place(rows, level, node)
            edge.append(node)
            size += 1
        return Tree(size, tuple(map(tuple, rows)), tuple(edge)), tiles


def _place(rows: list[list[bytes]], level: int, node: bytes) -> None:
    if level == len(rows):
        rows.append([])
    rows[level].append(node)


def reopened(rows: Sequence[Sequence[bytes]]) -> Tree:
    """The tree whose open tiles are these."""
    edge = [
        complete_root(row[index << height : (index + 1) << height])
        for row in reversed(rows)
        for height, index in complete_subtrees(0, len(row))
    ]
    size = sum(len(row) << (HEIGHT * level) for level, row in enumerate(rows))
    return Tree(size, tuple(map(tuple, rows)), tuple(edge))
