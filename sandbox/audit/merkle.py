"""RFC 6962 Merkle trees over SHA-256: hashes, proofs, and their verification (RFC 9162, section 2.1).

A *node* function answers the root of a complete subtree by height and index: ``node(0, i)`` is leaf hash ``i``,
``node(h, i)`` covers the leaves from ``i << h`` to ``(i + 1) << h``.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

Node: TypeAlias = Callable[[int, int], bytes]

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_NODE: Final = hashlib.sha256(b"\1")  # a copy of a begun hash is quicker than a new one


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one entry. The first byte keeps a leaf from ever being read as an inner node."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(roots: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that stand side by side, the largest first."""
    if not roots:
        return EMPTY_ROOT
    *rest, root = roots
    for left in reversed(rest):
        root = node_hash(left, root)
    return root


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def packed_root(hashes: bytes) -> bytes:
    """The root over a power of two of hashes, side by side: all pairs of a row, then all pairs of those."""
    begun, pair = _NODE.copy, 2 * HASH_BYTES
    while len(hashes) > HASH_BYTES:
        row: list[bytes] = []
        add = row.append
        for at in range(0, len(hashes), pair):
            hashed = begun()
            hashed.update(hashes[at : at + pair])
            add(hashed.digest())
        hashes = b"".join(row)
    return hashes


def complete_subtrees(start: int, stop: int) -> list[tuple[int, int]]:
    """Height and index of the subtrees that cover the leaves ``start`` to ``stop``, where RFC 6962 cuts them."""
    subtrees = []
    while start < stop:
        height = (stop - start).bit_length() - 1
        subtrees.append((height, start >> height))
        start += 1 << height
    return subtrees


def range_root(start: int, stop: int, node: Node) -> bytes:
    """MTH(D[start:stop]) for a range that RFC 6962's recursion reaches."""
    return fold([node(height, index) for height, index in complete_subtrees(start, stop)])


def _middle(start: int, stop: int) -> int:
    return start + (1 << ((stop - start - 1).bit_length() - 1))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]): what leads from one leaf to the root."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = _middle(start, stop)
        if index < middle:
            path.append((middle, stop))
            stop = middle
        else:
            path.append((start, middle))
            start = middle
    return [range_root(*part, node) for part in reversed(path)]


def consistency_proof(old: int, size: int, node: Node) -> list[bytes]:
    """PROOF(old, D[size]): what shows that the tree of ``old`` leaves is a prefix of the tree of ``size``."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {old} is no prefix of one of {size}")
    if old in {0, size}:
        return []
    start, stop, path = 0, size, []
    while stop != old:
        middle = _middle(start, stop)
        if old <= middle:
            path.append((middle, stop))
            stop = middle
        else:
            path.append((start, middle))
            start = middle
    if start:  # the part that ends the old tree is a root the verifier does not have
        path.append((start, stop))
    return [range_root(*part, node) for part in reversed(path)]


def _turn(fn: int, sn: int) -> tuple[int, int]:
    """Past the levels at which the last node has no sibling, and is its own parent."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``proof`` shows the leaf hash ``leaf`` at ``index`` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, found = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            fn, sn = _turn(fn, sn)
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> bool:
    """Whether ``proof`` shows that the old tree is a prefix of the new one (RFC 9162, 2.1.4.2)."""
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == size:
        return not proof and old_root == root
    return 0 < old < size and bool(proof) and _extends(old, size, proof, old_root) == (old_root, root)


def _extends(old: int, size: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes] | None:
    """The two roots that the proof leads to."""
    if old & (old - 1) == 0:  # then the old root is itself a node of the new tree
        proof = [old_root, *proof]
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    found_old = found = proof[0]
    for sibling in proof[1:]:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            found_old, found = node_hash(sibling, found_old), node_hash(sibling, found)
            fn, sn = _turn(fn, sn)
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    return (found_old, found) if sn == 0 else None
