"""Trees and proofs, against the golden roots and against each other."""

from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.audit.layout import node_of, split, tiles_of
from sandbox.audit.merkle import (
    EMPTY_ROOT,
    Node,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    range_root,
    verify_consistency,
    verify_inclusion,
)
from sandbox.audit.tree import Tree, reopened

ROOTS = {
    0: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    1: "2zQm6HgGjSjSabbIcXIyLOU3K2V1bQeJAB00g19gHAM=",
    3: "cl1SMNto9VdHDcNfHYhlgTrNfrsHrRUndBQd7LrnEyc=",
    256: "goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=",
    257: "HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=",
    65537: "3IeVol/UvVKguE9jn9MTm6FggkAj0YjkKOtdsPPOIho=",
}
EDGES = [1, 2, 3, 4, 7, 8, 255, 256, 257, 511, 512, 513, 600]


def hashes(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 writes it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    cut = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(by_definition(leaves[:cut]), by_definition(leaves[cut:]))


def node_over(leaves: list[bytes]) -> Node:
    return lambda height, index: by_definition(leaves[index << height : (index + 1) << height])


LEAVES = hashes(600)
ROOT = {size: by_definition(LEAVES[:size]) for size in range(601)}


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_the_golden_roots_are_met(size: int, root: str) -> None:
    assert b64encode(Tree().appended(hashes(size))[0].root).decode() == root


@pytest.mark.parametrize("size", [0, *EDGES])
def test_a_tree_has_the_root_of_the_definition_however_it_grew(size: int) -> None:
    tree = Tree()
    for leaf in LEAVES[:size]:
        tree, _ = tree.appended([leaf])
    assert tree.root == ROOT[size] == range_root(0, size, node_over(LEAVES))
    assert tree == Tree().appended(LEAVES[:size])[0]


@pytest.mark.parametrize("size", [0, *EDGES, 65535, 65536, 65537])
def test_a_tree_reopened_from_its_open_tiles_is_the_same(size: int) -> None:
    tree, _ = Tree().appended(hashes(size))
    again = reopened(tree.rows)
    assert (again, again.root) == (tree, tree.root)


@pytest.mark.parametrize("size", [65535, 65536, 65537])
def test_proofs_from_tiles_verify_around_two_levels(size: int) -> None:
    leaves = hashes(size)
    tree, filled = Tree().appended(leaves)
    stored = {(tile.level, tile.n): tile.hashes for tile in filled}

    def read(level: int, n: int, width: int) -> bytes:
        if width == 256:
            return stored[level, n]
        assert len(tree.rows[level]) == width
        return b"".join(tree.rows[level])

    node = node_of(size, read)
    for index in (0, 1, 255, 256, 32767, 65534, size - 1):
        assert verify_inclusion(leaves[index], index, size, inclusion_proof(index, size, node), tree.root)
    for old in (1, 2, 255, 256, 257, 65534, 65535, size):
        old_root = Tree().appended(leaves[:old])[0].root
        assert verify_consistency(old, size, consistency_proof(old, size, node), old_root, tree.root)
    kept = {(level, n) for level in range(3) for n, width in tiles_of(size, level) if width == 256}
    assert kept == stored.keys()
    assert all(split(stored[0, n]) == leaves[n * 256 : n * 256 + 256] for level, n in kept if level == 0)


@pytest.mark.parametrize("size", EDGES)
def test_every_leaf_has_an_inclusion_proof_that_fits_nothing_else(size: int) -> None:
    node = node_over(LEAVES)
    for index in {0, 1, size // 2, size - 2, size - 1} & {*range(size)}:
        proof = inclusion_proof(index, size, node)
        assert verify_inclusion(LEAVES[index], index, size, proof, ROOT[size])
        assert not verify_inclusion(LEAVES[index + 1 - 2 * (index % 2)], index, size, proof, ROOT[size])
        assert not verify_inclusion(LEAVES[index], index, size, [*proof, ROOT[1]], ROOT[size])
        assert not verify_inclusion(LEAVES[index], size, size, proof, ROOT[size])
        assert not verify_inclusion(LEAVES[index], -1, size, proof, ROOT[size])
        assert not proof or not verify_inclusion(LEAVES[index], index, size, proof[:-1], ROOT[size])


@pytest.mark.parametrize("size", EDGES)
def test_every_older_tree_is_shown_to_be_a_prefix(size: int) -> None:
    node = node_over(LEAVES)
    for old in range(0, size + 1, 1 if size < 20 else 7):
        proof = consistency_proof(old, size, node)
        assert verify_consistency(old, size, proof, ROOT[old], ROOT[size])
        assert not verify_consistency(old, size, proof, ROOT[600 - old], ROOT[size]) or 600 - old == old
        assert not verify_consistency(old, size, [*proof, ROOT[1]], ROOT[old], ROOT[size])
        assert not proof or not verify_consistency(old, size, proof[:-1], ROOT[old], ROOT[size])
    assert not verify_consistency(size + 1, size, [], ROOT[size], ROOT[size])


@pytest.mark.parametrize("ask", [inclusion_proof, consistency_proof])
def test_a_proof_beyond_the_tree_is_not_made(ask: Callable[[int, int, Node], list[bytes]]) -> None:
    for index in (-1, 4):
        with pytest.raises(ValueError, match="tree of"):
            ask(index, 3, node_over(LEAVES))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_altered_proof_fails(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    old, index = data.draw(st.integers(1, size - 1)), data.draw(st.integers(0, size - 1))
    node = node_over(LEAVES)
    inclusion, consistency = inclusion_proof(index, size, node), consistency_proof(old, size, node)
    assert verify_inclusion(LEAVES[index], index, size, inclusion, ROOT[size])
    assert verify_consistency(old, size, consistency, ROOT[old], ROOT[size])
    for proof, verifies in (
        (inclusion, lambda altered: verify_inclusion(LEAVES[index], index, size, altered, ROOT[size])),
        (consistency, lambda altered: verify_consistency(old, size, altered, ROOT[old], ROOT[size])),
    ):
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[at], "big") ^ (1 << bit)).to_bytes(32, "big")
        assert not verifies([*proof[:at], flipped, *proof[at + 1 :]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_batches_of_any_size_fill_the_same_tiles(batches: list[int]) -> None:
    tree, filled, leaves = Tree(), [], hashes(sum(batches))
    for batch in batches:
        before = tree.size
        tree, more = tree.appended(leaves[before : before + batch])
        filled += more
    assert (tree, filled) == Tree().appended(leaves)
