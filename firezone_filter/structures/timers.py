"""Timer queues: deadlines in order, without reading a clock."""

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

NO_DEADLINE: Final = -1
"""The `deadline` of an object for which no deadline is set."""


class HasTimer(Protocol):
    """An object that may have a deadline, one at a time."""

    deadline: int
    """The number of its current deadline in the queue, or `NO_DEADLINE`."""


class Expirable(HasTimer, Protocol):
    """A collection of entries that expire oldest first; its deadline is that of the oldest."""

    def forget_old(self, now: float) -> float | None:
        """Sweep out entries that are over; return when the next one will be, or `None`."""


T = TypeVar("T", bound=HasTimer)

_MANY: Final = 8
"""If more than one in so many entries has to go, walking over the whole heap is quicker than
popping them one by one, at 2 µs each in a heap of a million."""


class TimerQueue(Generic[T]):
    """A queue of deadlines; equal ones come in the order in which they were set.

    A heap cannot remove an entry from its middle. A cancelled entry stays until it gets to
    the top, or until half of the heap is cancelled; both ways its removal is cheap.
    """

    __slots__ = ("_cancelled", "_heap", "_numbers", "next")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count()
        self._cancelled = 0
        self.next = math.inf
        """Nothing is due before this moment. It may be early, since cancelling leaves it."""

    def set(self, timed: T, at: float | None) -> None:
        """Set the deadline of *timed* to *at*, replacing any other; `None` cancels it."""
        if timed.deadline != NO_DEADLINE:
            self._cancelled += 1
            timed.deadline = NO_DEADLINE
        if at is not None:
            timed.deadline = next(self._numbers)
            heapq.heappush(self._heap, (at, timed.deadline, timed))
            self.next = min(self.next, at)
        if self._cancelled * 2 > len(self._heap):
            self._let_go()

    def earliest(self) -> float | None:
        """Return the next deadline, or `None`."""
        while self._heap and not _counts(self._heap[0]):
            if self._cancelled * _MANY > len(self._heap):
                self._let_go()
            else:
                heapq.heappop(self._heap)
                self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def _let_go(self) -> None:
        """Remove all cancelled entries."""
        self._heap = [entry for entry in self._heap if _counts(entry)]
        heapq.heapify(self._heap)
        self._cancelled = 0

    def pop(self, now: float) -> T | None:
        """Return the first that has reached its deadline, taking the deadline away."""
        earliest = self.earliest()
        if earliest is None or earliest > now:
            self.next = math.inf if earliest is None else earliest
            return None
        _, _, timed = heapq.heappop(self._heap)
        timed.deadline = NO_DEADLINE
        return timed

    def waiting(self, now: float) -> Iterator[T]:
        """Yield those that have reached their deadline, in any order, and leave them there."""
        # A heap has no entry below a later one that is earlier: the walk is over the due
        # ones and their children alone.
        places = [0]
        while places:
            place = places.pop()
            if place < len(self._heap) and self._heap[place][0] <= now:
                if _counts(self._heap[place]):
                    yield self._heap[place][2]
                places += (2 * place + 1, 2 * place + 2)

    def shift(self, by: float) -> None:
        """Move every deadline by so many seconds."""
        self._heap = [(at + by, number, timed) for at, number, timed in self._heap]
        heapq.heapify(self._heap)  # rounding may make equal what was not
        self.next += by

    def due(self, now: float) -> Iterator[T]:
        """Yield the objects whose deadline is at or before *now*, each without it by then.

        The caller may set and cancel deadlines while it iterates.
        """
        popped = 0
        while (earliest := self.earliest()) is not None and earliest <= now:
            if popped * _MANY > len(self._heap):
                yield from self._due_at_once(now)
            else:
                _, _, timed = heapq.heappop(self._heap)
                timed.deadline = NO_DEADLINE
                popped += 1
                yield timed
        self.next = math.inf if earliest is None else earliest

    def _due_at_once(self, now: float) -> Iterator[T]:
        """Yield the due objects like `due`, quicker where there are many."""
        # A sorted list is a heap.
        self._heap.sort()
        after = bisect_right(self._heap, (now, math.inf))
        due = [entry for entry in self._heap[:after] if _counts(entry)]
        self._cancelled -= after - len(due)
        self._heap = self._heap[after:]
        for entry in due:
            # The caller may have cancelled it since.
            if _counts(entry):
                _, _, timed = entry
                timed.deadline = NO_DEADLINE
                yield timed


def _counts(entry: tuple[float, int, HasTimer]) -> bool:
    _, number, timed = entry
    return timed.deadline == number
