"""Upkeep: forgetting what is over, a bounded amount at a time.

Nothing waits for upkeep but memory: whoever reads an entry compares its moment with `now`, so
what is over counts as gone whether or not it has been forgotten.
"""

import math
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar, cast

from firezone_filter.structures.heaps import PlacedHeap


class Keeper(Protocol):
    """A collection whose entries are over at some time, such as the sessions of one client."""

    deadline: int
    """Its place in the queue, or `NO_PLACE`; only the queue may change it."""

    def due(self) -> float | None:
        """Return when its first entry is over, perhaps too early; `None` if none ever is."""

    def forget(self, now: float, most: int) -> int:
        """Forget up to *most* entries that are over at *now*; return how many steps it took.

        It may take steps in vain, for entries that are not over yet, but never more than *most*.
        """


K = TypeVar("K", bound=Keeper)


class UpkeepQueue(Generic[K]):
    """The keepers that have something to forget, the earliest first.

    A keeper's place may be too early, since what prolongs an entry does not move it: it gets
    its right place when its turn comes. No call walks, but `shift`.
    """

    __slots__ = ("_heap", "next")

    def __init__(self) -> None:
        self._heap: PlacedHeap[K] = PlacedHeap("deadline")
        self.next: float = math.inf
        """Nothing is due before this moment."""

    def announce(self, keeper: K, at: float) -> None:
        """Take note that an entry of *keeper* is over at *at*, and no other before."""
        self._heap.put(keeper, at)
        self.next = self._heap.least

    def set(self, keeper: K, at: float | None) -> None:
        """Announce a keeper, or with `None` no more."""
        if at is None:
            self._heap.remove(keeper)
            self.next = self._heap.least
        else:
            self.announce(keeper, at)

    def earliest(self) -> float | None:
        """Return when a keeper is due first, or `None`."""
        return None if self._heap.first is None else self.next

    def waiting(self, now: float) -> Iterator[K]:
        """Yield the keepers that are due, in any order, and leave them there."""
        return self._heap.waiting(now)

    def shift(self, by: float) -> None:
        """Move every moment by so many seconds."""
        self._heap.shift(by)
        self.next = self._heap.least

    def forget(self, now: float, most: int) -> int:
        """Let the keepers forget what is over at *now*, in up to *most* steps.

        Returns:
            How many steps it took; *most* if there may be more to forget.
        """
        steps = 0
        while steps < most and self.next <= now:
            keeper = cast("K", self._heap.first)
            # Keepers that come in vain count as well.
            steps += keeper.forget(now, most - steps) or 1
            self.set(keeper, keeper.due())
        return steps
