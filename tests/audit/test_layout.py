"""Paths, widths and bundles of C2SP tlog-tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.layout import LARGEST_LEAF, bundle, bundle_path, levels, tile_path, tiles_of, unbundle
from sandbox.audit.source import LARGEST_BUNDLE
from sandbox.core.errors import Invalid


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (tile_path(0, 0), "tile/0/000"),
        (tile_path(1, 0, 1), "tile/1/000.p/1"),
        (tile_path(0, 1000), "tile/0/x001/000"),
        (tile_path(2, 1234067), "tile/2/x001/x234/067"),
        (bundle_path(1234067, 8), "tile/entries/x001/x234/067.p/8"),
    ],
)
def test_a_tile_stands_where_the_specification_says(path: str, expected: str) -> None:
    assert path == expected


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    tiles = {level: [*tiles_of(70_000, level)] for level in levels(70_000)}
    assert (len(tiles[0]), tiles[0][-1]) == (274, (273, 112))
    assert tiles[1] == [(0, 256), (1, 17)]
    assert tiles[2] == [(0, 1)]


def test_a_tile_of_width_zero_does_not_exist() -> None:
    assert [[*tiles_of(256, level)] for level in levels(256)] == [[(0, 256)], [(0, 1)]]
    assert [*levels(0)] == []
    assert [*tiles_of(0, 0)] == []


def test_tiles_that_were_full_before_are_left_out() -> None:
    assert [*tiles_of(600, 0, done=300)] == [(1, 256), (2, 88)]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_comes_apart_as_it_was_put_together(leaves: list[bytes]) -> None:
    assert unbundle(bundle(leaves)) == leaves


def test_the_longest_leaf_has_its_place_in_a_bundle() -> None:
    leaves = [b"", bytes(LARGEST_LEAF), b"x"]
    assert unbundle(bundle(leaves)) == leaves
    assert len(bundle([bytes(LARGEST_LEAF)] * 256)) == LARGEST_BUNDLE


@pytest.mark.parametrize("content", [b"\0", b"\0\2a", b"\0\1ab", b"\0\0\xff", b"\xff\xff" + bytes(65_534)])
def test_a_bundle_that_ends_inside_an_entry_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        unbundle(content)
    assert refusal.value.code == "bundle.malformed"


@given(st.binary(max_size=600))
def test_no_bytes_are_taken_for_other_entries_than_they_hold(content: bytes) -> None:
    try:
        leaves = unbundle(content)
    except Invalid:
        return
    assert bundle(leaves) == content
