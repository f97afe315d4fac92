"""`TileTree`: names at the nodes of a tree over numbers, and the tiles of a range."""

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.structures.names import Names
from firezone_filter.structures.tile_tree import ROOT, TileTree, tiles

BITS = 6

numbers = st.integers(0, 63)
ranges = st.tuples(numbers, numbers).map(lambda ends: (min(ends), max(ends) + 1))
names = st.sampled_from("abc")


def covered(node: int) -> range:
    """Return the numbers below a node."""
    first = after = node
    while first < 1 << BITS:
        first, after = first << 2, (after << 2) + 3
    return range(first - (1 << BITS), after + 1 - (1 << BITS))


@given(ranges)
def test_tiles_cover_each_number_of_a_range_once_and_are_few(ends: tuple[int, int]) -> None:
    nodes = list(tiles(*ends, BITS))
    assert sorted(number for node in nodes for number in covered(node)) == list(range(*ends))
    heights = [node.bit_length() for node in nodes]
    assert max(heights.count(height) for height in heights) <= 6


def test_the_root_is_the_one_tile_of_all() -> None:
    assert list(tiles(0, 64, BITS)) == [ROOT]
    assert list(tiles(5, 5, BITS)) == []


@given(st.lists(st.tuples(st.booleans(), names, ranges)), numbers)
def test_a_tree_knows_whose_ranges_cover_a_number(
    changes: list[tuple[bool, str, tuple[int, int]]], number: int
) -> None:
    tree, told = TileTree(BITS, Names), {name: set[int]() for name in "abc"}
    for adds, name, ends in changes:
        nodes = set(tiles(*ends, BITS))
        (tree.add if adds else tree.discard)(name, nodes)
        told[name] = told[name] | nodes if adds else told[name] - nodes
    found = tree.covering(number)
    assert all(one == sorted(set(one)) for one in found)
    for name, nodes in told.items():
        covering = [node for node in nodes if number in covered(node)]
        assert sum(name in one for one in found) == len(covering)
        assert any(name in one for one in tree.everywhere()) == (ROOT in nodes)
    # Heights without names cost no look-up.
    heights = {node.bit_length() for nodes in told.values() for node in nodes}
    assert {BITS + 1 - shift for shift in tree._shifts} == heights


def test_a_name_that_was_dropped_can_be_discarded_and_leaves_nothing() -> None:
    tree = TileTree(BITS, Names)
    for name in "ab":
        tree.add(name, [ROOT])
    assert tree.covering(9) == [["a", "b"]]
    for dropped in ("b", "a"):
        assert tree.everywhere()[0].pop() == dropped
    assert tree.covering(9) == tree.everywhere() == []
    tree.discard("a", [ROOT])
    tree.discard("b", [ROOT])
    assert (tree._at, tree._counts, tree._shifts) == ({}, {}, ())
