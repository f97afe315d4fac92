"""Which refusals get a line of their own, and how many did not.

Time is cut into intervals, for each client from its first refusal on. Within one, the first
packet to each far end gets a line, for a few far ends; all else is counted, and told when the
interval is over. So nothing that a client does makes more than a few lines, and none of its
packets is in none of them.
"""

import enum
from collections.abc import Iterator
from typing import Final, NamedTuple

from attrs import define, field, frozen

from firezone_filter.values.decisions import Direction, Reason

MAX_CLIENTS: Final = 1_024
"""Clients that are told apart at a time. Each may have lines of its own, so that this is
more than anybody reads; and with 20 far ends each it comes to some 5 MiB. The packets of all
others are counted together."""


class FarEnd(NamedTuple):
    """Whom a client would have talked with."""

    protocol: int
    """IANA protocol number."""

    address: bytes
    """Packed."""

    port: int
    """`NO_PORT` where the protocol has none."""


class RefusalKey(NamedTuple):
    """Refusals that one line may stand for."""

    direction: Direction
    """Which way the packets were going."""

    reason: Reason
    """Why they were refused."""

    far_end: FarEnd | None
    """`None`: it cannot be read."""


class Overflow(enum.Enum):
    """Stands for what is not told apart."""

    CLIENTS = "clients"
    """In the place of a client: those for which there was no room."""

    FAR_ENDS = "far-ends"
    """In the place of a far end: those for which there was no room."""


Client = str | Overflow | None
"""`None`: no client was found."""


@frozen
class SuppressedCount:
    """Packets that have no line yet."""

    client: Client
    direction: Direction
    reason: Reason
    far_end: FarEnd | Overflow | None
    packets: int


@define
class _Interval:
    """What is counted for one client."""

    ends: float
    """When its interval is over."""

    room: int
    """How many kinds are told apart."""

    kinds: dict[RefusalKey, int] = field(factory=dict)
    """Packets without a line, of each kind that has had one."""

    others: dict[tuple[Direction, Reason], int] = field(factory=dict)
    """Packets without a line, of all other kinds."""

    def add(self, kind: RefusalKey) -> bool:
        """Count a packet, unless it gets a line; return whether it does."""
        if kind in self.kinds:
            self.kinds[kind] += 1
            return False
        if len(self.kinds) < self.room:
            self.kinds[kind] = 0
            return True
        key = kind.direction, kind.reason
        self.others[key] = self.others.get(key, 0) + 1
        return False

    def untold(self, client: Client) -> Iterator[SuppressedCount]:
        """Yield what has been counted."""
        for kind, packets in self.kinds.items():
            if packets:
                yield SuppressedCount(client, *kind, packets)
        for (direction, reason), packets in self.others.items():
            yield SuppressedCount(client, direction, reason, Overflow.FAR_ENDS, packets)

    def begin(self, ends: float) -> bool:
        """Begin the next interval; return whether there is anything to wait for in it.

        What has been counted has had a line just now, so it is counted further.
        """
        self.ends = ends
        self.kinds = {kind: 0 for kind, packets in self.kinds.items() if packets}
        self.others.clear()
        return bool(self.kinds)


class Suppression:
    """What is counted for all clients, the one whose interval ends first in front.

    All intervals are of one length, so those that begin later end later.
    """

    __slots__ = ("_intervals", "_length", "_room")

    def __init__(self, interval: float, room: int) -> None:
        self._length = interval
        self._room = room
        self._intervals: dict[Client, _Interval] = {}

    def add(self, client: str | None, kind: RefusalKey, now: float) -> bool:
        """Count a packet, unless it gets a line; return whether it does."""
        tally = self._intervals.get(client)
        return (tally or self._begin(client, now)).add(kind)

    def next_end(self) -> float | None:
        """Return when `over` has something to do, if ever."""
        for tally in self._intervals.values():
            return tally.ends
        return None

    def over(self, now: float) -> Iterator[SuppressedCount]:
        """End the intervals that are over; yield what was counted in them."""
        while (end := self.next_end()) is not None and end <= now:
            client, tally = next(iter(self._intervals.items()))
            yield from self.forget(client)
            if tally.begin(now + self._length):
                self._intervals[client] = tally

    def forget(self, client: Client) -> Iterator[SuppressedCount]:
        """Forget a client; yield what was counted for it."""
        tally = self._intervals.pop(client, None)
        if tally is not None:
            yield from tally.untold(client)

    def forget_all(self) -> Iterator[SuppressedCount]:
        """Forget all clients; yield what was counted for them."""
        for client in list(self._intervals):
            yield from self.forget(client)

    def _begin(self, client: Client, now: float) -> _Interval:
        """Return a tally for a client that has none."""
        room = self._room
        if len(self._intervals) >= MAX_CLIENTS:
            client, room = Overflow.CLIENTS, 0
        new = _Interval(now + self._length, room)
        return self._intervals.setdefault(client, new)
