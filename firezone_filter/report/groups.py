"""Groups of packets that have all in common but their time and flow, and how many there are."""

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray

from firezone_filter.values.decisions import Direction, Reason

Name = str | None
"""The id of a client or resource; `None` where a decision names none."""

_PACKETS: Final = 0
_BYTES: Final = 1
_FIRST: Final = 2
_LAST: Final = 3
_NEVER: Final = np.iinfo(np.int64).max


@frozen(cache_hash=True)
class Group:
    """What all packets of a row have in common."""

    direction: Direction
    client_id: Name
    resource_id: Name
    kind: str
    """The decision: `forward`, `translate`, `reject` or `drop`."""

    reason: Reason | None
    """`None` for packets that passed."""


@define
class Count:
    """The packets of a group."""

    first_ns: int
    """The time of the first, in nanoseconds of Unix time."""

    last_ns: int
    """The time of the last."""

    packets: int
    bytes: int

    def add(self, other: "Count") -> None:
        """Add the packets of *other*."""
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)
        self.packets += other.packets
        self.bytes += other.bytes


class Groups:
    """All groups that occurred. They are numbered, so that many packets are counted at once."""

    def __init__(self) -> None:
        self.numbers: dict[Group, int] = {}
        self._values = np.zeros((4, 64), dtype=np.int64)
        self._values[_FIRST] = _NEVER

    def __len__(self) -> int:
        return len(self.numbers)

    def number(self, group: Group) -> int:
        """Return the number of *group*, a new one if it has none."""
        number = self.numbers.setdefault(group, len(self.numbers))
        if number == self._values.shape[1]:
            more = np.zeros_like(self._values)
            more[_FIRST] = _NEVER
            self._values = np.concatenate([self._values, more], axis=1)
        return number

    def add(self, number: int, time_ns: int, packets: int, size: int) -> None:
        """Count packets of one group and time."""
        values = self._values[:, number]
        values[_PACKETS] += packets
        values[_BYTES] += size
        values[_FIRST] = min(int(values[_FIRST]), time_ns)
        values[_LAST] = max(int(values[_LAST]), time_ns)

    def add_all(
        self, numbers: NDArray[np.int64], times_ns: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> None:
        """Count a packet for each element of the arrays."""
        np.add.at(self._values[_PACKETS], numbers, 1)
        np.add.at(self._values[_BYTES], numbers, sizes)
        np.minimum.at(self._values[_FIRST], numbers, times_ns)
        np.maximum.at(self._values[_LAST], numbers, times_ns)

    def merge(self, number: int, count: Count) -> None:
        """Add the packets of *count* to those of one group."""
        self.add(number, count.first_ns, count.packets, count.bytes)
        self.add(number, count.last_ns, 0, 0)

    def items(self) -> Iterator[tuple[Group, Count]]:
        """Yield each group with its packets."""
        yield from zip(self.numbers, self.values(), strict=True)

    def values(self) -> Iterator[Count]:
        """Yield the packets of each group."""
        for packets, size, first, last in self._values[:, : len(self)].T.tolist():
            yield Count(first, last, packets, size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Groups):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__: ClassVar[None] = None  # type: ignore[assignment]
