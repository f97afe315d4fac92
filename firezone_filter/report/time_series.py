"""Packets over time, in as few buckets as a picture has columns, however long the capture is.

A bucket's width is one of `WIDTHS_NS`, of which each divides the next: when a capture turns out
longer than thought, whole buckets are added up, and nothing has to be counted again.
"""

from collections.abc import Hashable
from typing import ClassVar, Final, Generic, TypeVar

import numpy as np
from attrs import define
from numpy.typing import NDArray

from firezone_filter.capture.stream import NS_PER_S

MAX_BUCKETS: Final = 240
"""The most buckets between the first and the last packet: a picture shows no more. A width is at
most five times the one before it, so a long capture has at least 48."""

_MS: Final = NS_PER_S // 1000
_DAY: Final = 86_400 * NS_PER_S

WIDTHS_NS: Final = (
    *(each * _MS for each in (1, 5, 10, 50, 100, 500)),
    *(each * NS_PER_S for each in (1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 43_200)),
    *(each * _DAY for each in (1, 4, 16, 64, 256, 1_024)),
)
"""Widths that people read easily. The last one has room for the years 1970 to 2106."""

PASSED: Final = 0
REFUSED: Final = 1

K = TypeVar("K", bound=Hashable)


@define
class Buckets:
    """The buckets that all series of a replay share: their width, and which of them are used."""

    width_ns: int = WIDTHS_NS[0]
    """Nanoseconds of a bucket; bucket *i* begins at *i* times as many of Unix time."""

    first: int | None = None
    """The first bucket with a packet; `None` before any."""

    last: int | None = None
    """The last one."""

    def reach(self, first_ns: int, last_ns: int) -> int:
        """Make room for packets between two times; return how many times wider buckets became."""
        if self.first is not None and self.last is not None:
            first_ns = min(first_ns, self.first * self.width_ns)
            last_ns = max(last_ns, self.last * self.width_ns)
        width = self.width_ns
        while last_ns // width - first_ns // width >= MAX_BUCKETS:
            width = WIDTHS_NS[WIDTHS_NS.index(width) + 1]
        factor = width // self.width_ns
        self.width_ns, self.first, self.last = width, first_ns // width, last_ns // width
        return factor

    def widen(self, width_ns: int) -> int:
        """Let buckets be at least *width_ns* wide, one of `WIDTHS_NS`; return as `reach` does."""
        factor = max(1, width_ns // self.width_ns)
        if self.first is not None and self.last is not None:
            self.first //= factor
            self.last //= factor
        self.width_ns *= factor
        return factor

    @property
    def columns(self) -> NDArray[np.int64]:
        """Where a series has the buckets from the first to the last; none before any packet."""
        if self.first is None or self.last is None:
            return np.empty(0, dtype=np.int64)
        return np.arange(self.first, self.last + 1) % MAX_BUCKETS


class TimeSeries(Generic[K]):
    """The packets of each name in each bucket, those that passed and those that did not.

    Bucket *i* has column *i* modulo `MAX_BUCKETS`: no two that are used at a time have the same.
    So earlier ones may come later, as they do when parts are merged.
    """

    def __init__(self) -> None:
        self.names: dict[K, int] = {}
        """The row of each name."""
        # 4 kB for each row: of a policy with 10,000 clients, 40 MB.
        self._counts = np.zeros((8, MAX_BUCKETS, 2), dtype=np.int64)

    def row(self, name: K) -> int:
        """Return the row of *name*, a new one if it has none."""
        row = self.names.setdefault(name, len(self.names))
        if row == len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        return row

    def add(self, row: int, bucket: int, packets: int, *, passed: bool) -> None:
        """Count packets of a row in one bucket."""
        self._counts[row, bucket % MAX_BUCKETS, PASSED if passed else REFUSED] += packets

    def add_all(
        self, rows: NDArray[np.int64], buckets: NDArray[np.int64], outcomes: NDArray[np.int64]
    ) -> None:
        """Count a packet for each element of the arrays: *outcomes* are `PASSED` or `REFUSED`."""
        np.add.at(self._counts, (rows, buckets % MAX_BUCKETS, outcomes), 1)

    def merge(self, other: "TimeSeries[K]") -> None:
        """Add the packets of *other*, whose buckets are as wide."""
        rows = [self.row(name) for name in other.names]
        self._counts[rows] += other._counts[: len(rows)]  # noqa: SLF001 - it is of this class

    def widen(self, before: Buckets, factor: int) -> None:
        """Add up as many buckets to one as *factor* says; *before* are the narrow ones."""
        if before.first is None or before.last is None:
            return
        wide = np.arange(before.first, before.last + 1) // factor
        begins = np.flatnonzero(np.diff(wide, prepend=-1))
        sums = np.add.reduceat(self._counts[:, before.columns], begins, axis=1)
        self._counts = np.zeros_like(self._counts)
        self._counts[:, wide[begins] % MAX_BUCKETS] = sums

    def counts(self, name: K, buckets: Buckets) -> NDArray[np.int64]:
        """Return a row for each bucket from the first to the last: what passed, what did not."""
        counts: NDArray[np.int64] = self._counts[self.names[name], buckets.columns]
        return counts

    def total(self, name: K) -> int:
        """Return how many packets *name* has."""
        return int(self._counts[self.names[name]].sum())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeSeries):
            return NotImplemented
        if self.names.keys() != other.names.keys():
            return False
        rows, others = list(self.names.values()), [other.names[name] for name in self.names]
        return np.array_equal(self._counts[rows], other._counts[others])

    __hash__: ClassVar[None] = None  # type: ignore[assignment]
