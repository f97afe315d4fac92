"""An agenda: items by moment, where many may share one."""

import math
from bisect import bisect_left, bisect_right, insort
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_MANY: Final = 64
"""Places of removed items at the front that are not worth closing up."""


_REMOVED: Final[Any] = (-math.inf, -1, None)


class Agenda(Generic[T]):
    """Items by their moments, the earliest first, and by number within a moment.

    Numbers are unique. The items stand in a sorted list: among 10,000 another takes 4 µs, the
    last and the first take less, and what comes next after any moment is one bisection.
    """

    __slots__ = ("_entries", "_first")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, T]] = []
        # Items that have been removed from the front: closing up each time would move all others.
        self._first = 0

    def __len__(self) -> int:
        return len(self._entries) - self._first

    def add(self, at: float, number: int, item: T) -> None:
        """Add an item."""
        insort(self._entries, (at, number, item), lo=self._first)

    def remove(self, at: float, number: int) -> None:
        """Remove an item, which must be there."""
        key: tuple[float, float] = (at, number)
        place = bisect_left(self._entries, key, lo=self._first)
        if place != self._first:
            del self._entries[place]
            return
        # What is removed is freed now, and not with thousands of others later.
        self._entries[place] = _REMOVED
        self._first += 1
        if not len(self) or (self._first > _MANY and 2 * self._first > len(self._entries)):
            del self._entries[: self._first]
            self._first = 0

    def first(self) -> tuple[float, int, T] | None:
        """Return the first item with its moment and number, or `None`."""
        return self._entries[self._first] if self._first < len(self._entries) else None

    def last(self) -> float:
        """Return the last moment; infinity if there is none."""
        return self._entries[-1][0] if self._first < len(self._entries) else math.inf

    def next_after(self, now: float) -> float | None:
        """Return the first moment after *now*, or `None`."""
        key: tuple[float, float] = (now, math.inf)
        place = bisect_right(self._entries, key, lo=self._first)
        return self._entries[place][0] if place < len(self._entries) else None
