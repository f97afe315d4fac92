"""How long single calls take, in CPU time: the longest, a percentile, the mean.

The processor's time and not that of a clock on the wall: what other processes do meanwhile
matters less. Reading it takes half a microsecond, which is part of every figure.
"""

import gc
from collections.abc import Callable, Iterable
from time import process_time_ns
from typing import Final, TypeVar

T = TypeVar("T")

_BITS: Final = 5
"""Bits of a duration that are told apart: to a thirty-second at least."""

_PLACES: Final = 64 << _BITS


class Latencies:
    """Durations, counted by their size: as small after a million of them as after one."""

    def __init__(self) -> None:
        self._counts = [0] * _PLACES
        self._total = 0
        self._longest = 0
        self.what = ""
        """What took longest."""

    def add(self, nanoseconds: int, what: str = "") -> None:
        shift = max(nanoseconds.bit_length() - _BITS, 0)
        self._counts[(shift << _BITS) + (nanoseconds >> shift)] += 1
        self._total += nanoseconds
        if nanoseconds > self._longest:
            self._longest, self.what = nanoseconds, what

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def longest(self) -> float:
        """Milliseconds."""
        return self._longest / 1e6

    @property
    def total(self) -> float:
        """Seconds."""
        return self._total / 1e9

    @property
    def mean(self) -> float:
        """Milliseconds."""
        return self._total / max(self.count, 1) / 1e6

    def percentile(self, share: float) -> float:
        """Return what so great a share of them did not exceed, in milliseconds."""
        wanted, seen = share * self.count, 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                shift, high = place >> _BITS, place & ((1 << _BITS) - 1)
                return min(((high + 1) << shift) / 1e6, self.longest)
        return 0.0

    def __str__(self) -> str:
        return (
            f"{self.count:,} calls: longest {self.longest:.3f} ms ({self.what}), "
            f"99.99 % within {self.percentile(0.9999):.3f} ms, mean {self.mean * 1e3:.2f} µs"
        )


def took(run: Callable[[], T]) -> tuple[T, int]:
    """Call something; return its result, and how many nanoseconds that took."""
    start = process_time_ns()
    result = run()
    return result, process_time_ns() - start


class Uncollected:
    """A stretch without the cyclic collector, which would look at all that was built before."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
        gc.unfreeze()


def longest(many: Iterable[Latencies]) -> Latencies:
    """Return the one that has the longest call."""
    return max(many, key=lambda one: one.longest)
