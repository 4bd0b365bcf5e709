"""Published logs written without an exchange or a database, from leaves alone."""

from collections.abc import Sequence
from pathlib import Path

from sandbox.audit.layout import bundle, bundle_path, tile_path, tiles_of
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import b64, sign_note
from sandbox.audit.tree import Tree
from sandbox.core.keys import SigningKey, key_from_seed

ORIGIN = "exchange.example.vn/log"
LOG_KEY = key_from_seed("log", b"\1" * 32)


def checkpoint(size: int, root: bytes, key: SigningKey = LOG_KEY) -> bytes:
    """The checkpoint that the log signs for a size and a root, whatever it is."""
    return sign_note(f"{ORIGIN}\n{size}\n{b64(root)}\n", ORIGIN, key)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root that these leaves have."""
    return Tree().appended(map(leaf_hash, leaves))[0].root


def write_log(folder: Path, leaves: Sequence[bytes]) -> bytes:
    """Write all files of the log of these leaves; answers its checkpoint."""
    size, (tree, tiles) = len(leaves), Tree().appended(map(leaf_hash, leaves))
    files = {bundle_path(n, width): bundle(leaves[n * 256 : n * 256 + width]) for n, width in tiles_of(size, 0)}
    files |= {tile_path(tile.level, tile.n): tile.hashes for tile in tiles}
    for level, row in enumerate(tree.rows):
        if row:
            files[tile_path(level, size >> (8 * level + 8), len(row))] = b"".join(row)
    note = files["checkpoint"] = checkpoint(size, tree.root)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return note
