"""Which refused packets get a line of their own, and how many do not.

Time is cut into intervals, for each client from its first refused packet on. Within one, the
first packet to each far end gets a line, for a limited number of far ends; every other packet
is counted, and the counts are logged when the interval is over. So a client cannot cause more
than a few lines, and each of its packets is in exactly one of them. Tunnel sessions play no part
in this: a client could reconnect to have its first packets logged again and again.
"""

import enum
from collections.abc import Iterator
from typing import Final, NamedTuple

from attrs import define, field, frozen

from firezone_filter.structures.key_slots import KeySlots
from firezone_filter.values.decisions import Direction, Reason

MAX_CLIENTS: Final = 1_024
"""Clients that are told apart at a time. With 20 far ends each they take some 5 MiB, and their
lines are more than an operator reads. The packets of all further clients are counted
together."""


class FarEnd(NamedTuple):
    """The other end of a client's conversation."""

    protocol: int
    """IANA protocol number."""

    address: bytes
    """Packed."""

    port: int
    """`NO_PORT` where the protocol has none."""


class Overflow(enum.Enum):
    """Stands for everything that is not told apart."""

    CLIENTS = "clients"
    """In the place of a client: all clients beyond the limit."""

    FAR_ENDS = "far-ends"
    """In the place of a far end: all far ends beyond the limit."""


class RefusalKey(NamedTuple):
    """What the packets that share a line have in common, beside their client."""

    direction: Direction
    """Which way the packets were going."""

    reason: Reason
    """Why they were refused."""

    far_end: FarEnd | Overflow | None
    """`None` if the headers cannot be read."""


ClientKey = str | Overflow | None
"""A client's id; `None` if the packet belongs to no known client."""


@frozen
class SuppressedCount:
    """Packets that got no line of their own."""

    client: ClientKey
    direction: Direction
    reason: Reason
    far_end: FarEnd | Overflow | None
    packets: int


@define
class _Interval:
    """The current interval of one client."""

    ends: float
    """When it is over."""

    slots: KeySlots[RefusalKey]
    """The keys that have had a line."""

    suppressed: dict[RefusalKey, int] = field(factory=dict)
    """Packets without a line, of those keys (0 at first) and of the overflow."""

    def add(self, key: RefusalKey) -> bool:
        """Count a packet, unless it gets a line; return whether it does."""
        has_slot = self.slots.take(key)
        if not has_slot:
            key = RefusalKey(key.direction, key.reason, Overflow.FAR_ENDS)
        count = self.suppressed.get(key)
        if count is None and has_slot:
            self.suppressed[key] = 0
            return True
        self.suppressed[key] = (count or 0) + 1
        return False

    def counts(self, client: ClientKey) -> Iterator[SuppressedCount]:
        """Yield the counts that are not 0."""
        for key, packets in self.suppressed.items():
            if packets:
                yield SuppressedCount(client, *key, packets)

    def restart(self, ends: float) -> bool:
        """Begin the next interval; return whether there is anything to count in it.

        A key with suppressed packets has just had a line with their number, so its packets
        stay suppressed. A quiet key makes room for another one.
        """
        self.ends = ends
        for key, packets in list(self.suppressed.items()):
            if packets and key.far_end is not Overflow.FAR_ENDS:
                self.suppressed[key] = 0
            else:
                del self.suppressed[key]
                self.slots.release(key)
        return bool(self.suppressed)


class Suppression:
    """The intervals of all clients, in the order in which they end.

    All intervals have the same length, so one that begins later ends later.
    """

    __slots__ = ("_intervals", "_length", "_limit")

    def __init__(self, interval: float, max_far_ends: int) -> None:
        self._length = interval
        self._limit = max_far_ends
        self._intervals: dict[ClientKey, _Interval] = {}

    def add(self, client: str | None, key: RefusalKey, now: float) -> bool:
        """Count a packet, unless it gets a line; return whether it does."""
        interval = self._intervals.get(client)
        return (interval or self._begin(client, now)).add(key)

    def next_end(self) -> float | None:
        """Return when `end_intervals` has something to do; `None` if never."""
        for interval in self._intervals.values():
            return interval.ends
        return None

    def end_intervals(self, now: float) -> Iterator[SuppressedCount]:
        """End the intervals that are over at *now*; yield their counts."""
        while (end := self.next_end()) is not None and end <= now:
            client, interval = next(iter(self._intervals.items()))
            yield from self._forget(client)
            if interval.restart(now + self._length):
                self._intervals[client] = interval

    def set_clock(self, before: float, now: float) -> None:
        """Set the clock from *before* to *now*: intervals keep what was left of them."""
        for interval in self._intervals.values():
            # Not even rounding may let it end behind one that begins from now on.
            interval.ends = min(now + (interval.ends - before), now + self._length)

    def forget_all(self) -> Iterator[SuppressedCount]:
        """Forget all clients; yield their counts."""
        for client in list(self._intervals):
            yield from self._forget(client)

    def _forget(self, client: ClientKey) -> Iterator[SuppressedCount]:
        yield from self._intervals.pop(client).counts(client)

    def _begin(self, client: ClientKey, now: float) -> _Interval:
        """Return a new interval of *client*, which has none, or that of all further clients."""
        limit = self._limit
        if len(self._intervals) >= MAX_CLIENTS:
            client, limit = Overflow.CLIENTS, 0
        new = _Interval(now + self._length, KeySlots(limit))
        return self._intervals.setdefault(client, new)
