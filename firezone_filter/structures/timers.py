"""Timer queues: which deadline comes next, without reading a clock."""

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

NO_DEADLINE: Final = -1
"""The `deadline` of what never ends by itself."""


class HasTimer(Protocol):
    """What may have a deadline, one at a time."""

    deadline: int
    """Which of the deadlines that were set for it counts."""


class Expirable(HasTimer, Protocol):
    """What keeps things for a while, the oldest first; its deadline is that of the oldest."""

    def forget_old(self, now: float) -> float | None:
        """Forget what has been kept for its time; return when to come again, if at all."""


T = TypeVar("T", bound=HasTimer)

_MANY: Final = 8
"""More than one in so many of those that wait are many: it is quicker to go through all than to
take them off the heap one by one, at 2 µs each when there are a million."""


class TimerQueue(Generic[T]):
    """Deadlines in their order; those of one moment in the order in which they were set.

    A heap cannot let go of what is in its middle. What was cancelled stays until it comes
    to the top or until it makes up half of the heap: both cost nothing to speak of.
    """

    __slots__ = ("_cancelled", "_heap", "_numbers", "next")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count()
        self._cancelled = 0
        self.next = -math.inf
        """Nothing is due before this moment; early at times, since what is cancelled leaves
        it alone, and always until the clock has started."""

    def start_clock(self) -> None:
        """Let time begin; no deadline can have been set before."""
        self.next = math.inf

    def set(self, timed: T, at: float | None) -> None:
        """Give *timed* the deadline *at* in place of any other; `None` for none at all."""
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
        """Return the next deadline, if there is one."""
        while self._heap and not _counts(self._heap[0]):
            if self._cancelled * _MANY > len(self._heap):
                self._let_go()
            else:
                heapq.heappop(self._heap)
                self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def _let_go(self) -> None:
        """Let go of all that was cancelled."""
        self._heap = [entry for entry in self._heap if _counts(entry)]
        heapq.heapify(self._heap)
        self._cancelled = 0

    def due(self, now: float) -> Iterator[T]:
        """Yield what has reached its deadline, taking the deadline away first."""
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
        """Do as `due`, for many."""
        # What is sorted is a heap.
        self._heap.sort()
        after = bisect_right(self._heap, (now, math.inf))
        due = [entry for entry in self._heap[:after] if _counts(entry)]
        self._cancelled -= after - len(due)
        self._heap = self._heap[after:]
        for entry in due:
            # It may have been cancelled while others were yielded.
            if _counts(entry):
                _, _, timed = entry
                timed.deadline = NO_DEADLINE
                yield timed


def _counts(entry: tuple[float, int, HasTimer]) -> bool:
    _, number, timed = entry
    return timed.deadline == number
