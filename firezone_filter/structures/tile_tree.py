"""A tree over numbers, at whose nodes names stand: the greatest name that covers a number.

A name that stands for a range of numbers stands at the few nodes that tile it, and a number is
looked up along its ancestors. So neither takes longer for more names.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Final, Generic, Protocol, TypeVar

# Each node has four children: with two, a look-up would visit twice as many nodes; with sixteen,
# most ranges would take twice as many tiles.
_STEP: Final = 2
_CHILDREN: Final = 1 << _STEP

ROOT: Final = 1


class HasNames(Sized, Protocol):
    """Names in ascending order, in some form."""

    def add(self, name: str, /) -> None:
        """Add a name, unless it is there."""

    def discard(self, name: str, /) -> None:
        """Remove a name, if it is there."""


N = TypeVar("N", bound=HasNames)


class TileTree(Generic[N]):
    """Names, in ascending order, at the nodes of a tree over numbers of *bits* bits.

    The leaf of a number is the number with a further bit 1 above all of its own; its parent has
    two bits less.
    """

    __slots__ = ("_at", "_counts", "_first_leaf", "_new", "_shifts")

    def __init__(self, bits: int, new: Callable[[], N]) -> None:
        """Create a tree without names; *bits* is even, and *new* makes those of a node."""
        self._first_leaf = 1 << bits
        self._new = new
        self._at: dict[int, N] = {}
        # How many nodes have names, by the shift from a leaf up to their height: heights
        # without any are not looked at.
        self._counts: dict[int, int] = {}
        self._shifts: tuple[int, ...] = ()

    def add(self, name: str, nodes: Iterable[int]) -> None:
        """Let a name stand at nodes; where it stands already, it stays."""
        for node in nodes:
            names = self._at.get(node)
            if names is None:
                names = self._at[node] = self._new()
                self._count(node, 1)
            names.add(name)

    def discard(self, name: str, nodes: Iterable[int]) -> None:
        """Remove a name from nodes, also from those where it has been dropped before."""
        for node in nodes:
            names = self._at.get(node)
            if names is not None:
                names.discard(name)
                if not names:
                    del self._at[node]
                    self._count(node, -1)

    def covering(self, number: int) -> list[N]:
        """Return the names at each node above a number; the caller may drop the last of them."""
        leaf, find = self._first_leaf | number, self._at.get
        found = []
        for shift in self._shifts:
            names = find(leaf >> shift)
            if names:
                found.append(names)
        return found

    def everywhere(self) -> list[N]:
        """Return the names that stand for all numbers, if there are any, as `covering` does."""
        names = self._at.get(ROOT)
        return [names] if names else []

    def _count(self, node: int, change: int) -> None:
        shift = self._first_leaf.bit_length() - node.bit_length()
        count = self._counts.get(shift, 0) + change
        if count:
            self._counts[shift] = count
        else:
            del self._counts[shift]
        if count <= 1:
            self._shifts = tuple(self._counts)


def tiles(first: int, after: int, bits: int) -> Iterator[int]:
    """Yield the nodes that tile a range of numbers, at most six of each height."""
    low, high = first + (1 << bits), after + (1 << bits)
    while low < high:
        while low % _CHILDREN and low < high:
            yield low
            low += 1
        while high % _CHILDREN and low < high:
            high -= 1
            yield high
        low >>= _STEP
        high >>= _STEP
