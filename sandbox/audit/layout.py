"""The layout of an exported log: which files a tree of some size has, and what stands in them (C2SP tlog-tiles)."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from sandbox.audit.merkle import HASH_BYTES, Node, packed_root
from sandbox.core.errors import Invalid

ReadTile: TypeAlias = Callable[[int, int, int], bytes]
"""The hashes of a tile, side by side, by level, number and width."""

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
CHECKPOINT: Final = "checkpoint"
LARGEST_LEAF: Final = 65_535
"""A bundle writes an entry's length in 16 bits, so a longer leaf could be committed and never published."""


def tile_path(level: int | str, n: int, width: int = WIDTH) -> str:
    """``tile/<L>/<N>``, for a partial tile ``tile/<L>/<N>.p/<W>``; the level of entry bundles is ``entries``."""
    thousands, last = divmod(n, 1000)
    groups = [f"{last:03}"]
    while thousands:
        thousands, group = divmod(thousands, 1000)
        groups.append(f"x{group:03}")
    path = f"tile/{level}/" + "/".join(reversed(groups))
    return path if width == WIDTH else f"{path}.p/{width}"


def bundle_path(n: int, width: int = WIDTH) -> str:
    """Where the entries under a level-0 tile stand."""
    return tile_path("entries", n, width)


def levels(size: int) -> range:
    """The levels at which a tree of ``size`` leaves has tiles."""
    return range(-(-size.bit_length() // HEIGHT))


def tiles_of(size: int, level: int, done: int = 0) -> Iterator[tuple[int, int]]:
    """Number and width of a level's tiles, leaving out those that a tree of ``done`` leaves had full."""
    full, rest = divmod(size >> (HEIGHT * level), WIDTH)
    for n in range(done >> (HEIGHT * (level + 1)), full):
        yield n, WIDTH
    if rest:  # a tile of width 0 does not exist
        yield full, rest


def split(hashes: bytes) -> list[bytes]:
    """The hashes of a tile, one by one."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def node_of(size: int, read: ReadTile) -> Node:
    """The node function of a tree of ``size`` leaves whose tiles ``read`` answers."""
    cached = lru_cache(maxsize=64)(read)

    def node(height: int, index: int) -> bytes:
        level, rise = divmod(height, HEIGHT)
        n, first = divmod(index << rise, WIDTH)
        width = min(WIDTH, (size >> (HEIGHT * level)) - n * WIDTH)
        part = cached(level, n, width)[HASH_BYTES * first : HASH_BYTES * (first + (1 << rise))]
        return packed_root(part)

    return node


def bundle(leaves: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry behind its length in 16 bits, big-endian."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def unbundle(content: bytes) -> list[bytes]:
    """Take an entry bundle apart.

    Raises:
        Invalid: ``bundle.malformed`` when the lengths do not add up to the file.
    """
    leaves: list[bytes] = []
    add, at, end = leaves.append, 0, len(content)
    while at < end - 1:  # a verifier spends a third of its time here
        start = at + 2
        at = start + (content[at] << 8 | content[at + 1])
        add(content[start:at])
    if at != len(content):
        raise Invalid("bundle.malformed", "An entry bundle ends inside an entry.", hint="Fetch the file again.")
    return leaves
