"""A ranking: which of many things has most of something, where counts change all the time."""

from typing import Final, Generic, Protocol, TypeVar

from firezone_filter.structures.heaps import PlacedHeap

_MAX_LOOKS: Final = 32


class Counted(Protocol):
    """A thing that has some number of something."""

    rank: int
    """Its place in the ranking, or `NO_PLACE`; only the ranking may change it."""

    @property
    def count(self) -> int:
        """How many it has."""

    def expect_growth(self) -> None:
        """Call `Ranking.put` before the count grows again: its bound is exact by now."""


T = TypeVar("T", bound=Counted)


class Ranking(Generic[T]):
    """Things by their counts, the greatest first.

    Its heap has an upper bound of each count, so that growing costs one comparison for most
    steps, and shrinking nothing; a bound that is too high is corrected when it comes to the top.
    """

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: PlacedHeap[T] = PlacedHeap("rank")

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, thing: T, bound: int) -> None:
        """Take note that a thing's count is going to grow, up to *bound* without another call."""
        self._heap.put(thing, -bound)

    def leave(self, thing: T) -> None:
        """Take a thing out of the ranking, if it is there."""
        self._heap.remove(thing)

    def greatest(self) -> T | None:
        """Return the thing with the greatest count, or `None`.

        The search is bounded: where the bounds of very many are too high, it is one of the
        greatest.
        """
        best: T | None = None
        for _ in range(_MAX_LOOKS):
            thing = self._heap.first
            if thing is None:
                break
            exact = thing.count
            if -exact <= self._heap.least:
                return thing
            if best is None or exact > best.count:
                best = thing
            self._heap.put(thing, -exact)
            thing.expect_growth()
        return best
