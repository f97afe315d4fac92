"""The largest flows of a capture, in bytes and in packets, without a table of all flows.

The method is that of *Space-Saving* (Metwally, Agrawal, El Abbadi 2005), cut back in batches: of a
full table, the smaller flows are forgotten, and the largest of these sets a floor, beyond which no
flow can have been missed. A flow that comes (again) later may have missed as much as the floor.
With *n* packets in all, the floor is at most *n* / `KEPT`, and the same goes for bytes: whatever
is larger is in the table. Two tables merge by the same rule (Agarwal et al. 2012).
"""

from collections.abc import Callable, Sequence
from operator import add
from typing import Final, NamedTuple

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

KEPT: Final = 512
"""Flows that are kept when the table is full, by bytes and as many by packets."""

FULL: Final = 8 * KEPT
"""The size at which the smaller flows are forgotten; some 1.5 MB. To forget takes as long as to
count this many flows, so it should not be done often."""


class Conversation(NamedTuple):
    """Both directions of a flow, as its client sees it."""

    client_id: str | None
    """The client; `None` if the decisions about the flow name none."""

    protocol: int
    """IP protocol number."""

    near: bytes
    """The client's address, packed."""

    near_port: int | None
    """Its port; `None` where there is none."""

    far: bytes
    """The other address, packed."""

    far_port: int | None
    """Its port; `None` where there is none."""


@frozen(eq=False)
class FlowPackets:
    """The flows of many packets; arrays have an element for each packet."""

    flows: Sequence[Conversation]
    """The flows, no two of them equal; there may be more than occur."""

    places: NDArray[np.int64]
    """Indices into `flows`."""

    resources: Sequence[str]
    """Ids of resources."""

    resource_places: NDArray[np.int64]
    """Indices into `resources`: who decided; below 0 if no resource did."""

    def some(self, part: slice) -> "FlowPackets":
        """Return those of the packets."""
        return FlowPackets(
            self.flows, self.places[part], self.resources, self.resource_places[part]
        )


@define
class FlowCount:
    """What is known of a flow."""

    missed_packets: int
    """How many of its packets may have come before it was kept, at most."""

    missed_bytes: int
    """How many of its bytes, at most."""

    first_ns: int
    """Its first packet since, in nanoseconds of Unix time."""

    last_ns: int
    """Its last packet."""

    packets: int = 0
    """Packets that were counted."""

    bytes: int = 0
    """Bytes that were counted."""

    refused: int = 0
    """Those of the packets that did not pass."""

    resource_id: str | None = None
    """The resource that decided about it last, if one did."""

    @property
    def most_packets(self) -> int:
        """The most packets that it may have."""
        return self.packets + self.missed_packets

    @property
    def most_bytes(self) -> int:
        """The most bytes that it may have."""
        return self.bytes + self.missed_bytes


@define
class LargestFlows:
    """A table of flows that never forgets a large one."""

    kept: int = KEPT
    full: int = FULL
    flows: dict[Conversation, FlowCount] = field(factory=dict)
    floor_packets: int = 0
    """The most packets of a flow that is not in the table."""

    floor_bytes: int = 0
    """The most bytes of one."""

    def add(  # noqa: PLR0913 - what there is to say about packets
        self,
        flow: Conversation,
        time_ns: int,
        packets: int,
        size: int,
        *,
        passed: bool,
        resource_id: str | None = None,
    ) -> None:
        """Count *packets* of *flow* with *size* bytes together."""
        count = self.flows.get(flow)
        if count is None:
            count = FlowCount(self.floor_packets, self.floor_bytes, time_ns, time_ns)
            self.flows[flow] = count
        count.packets += packets
        count.bytes += size
        count.first_ns = min(count.first_ns, time_ns)
        count.last_ns = max(count.last_ns, time_ns)
        if not passed:
            count.refused += packets
        if resource_id is not None:
            count.resource_id = resource_id
        if len(self.flows) > self.full:
            self._forget_small()

    def add_all(
        self,
        packets: FlowPackets,
        times_ns: NDArray[np.int64],
        sizes: NDArray[np.int64],
        is_refused: NDArray[np.bool_],
    ) -> None:
        """Count many packets, exactly as `add` would count them one by one."""
        at, end, most = 0, len(times_ns), len(times_ns)
        while at < end:
            part = slice(at, min(end, at + most))
            at += self._add_some(packets.some(part), times_ns[part], sizes[part], is_refused[part])
            # Where flows have to be forgotten once, they have to be soon again.
            most = self.full

    def _add_some(
        self,
        packets: FlowPackets,
        times_ns: NDArray[np.int64],
        sizes: NDArray[np.int64],
        is_refused: NDArray[np.bool_],
    ) -> int:
        """Count packets until small flows have to be forgotten; return how many that were."""
        # A flow that is new to a full table is added before the small ones are forgotten.
        found, first, places = np.unique(packets.places, return_index=True, return_inverse=True)
        order = np.argsort(first)
        flows = [packets.flows[place] for place in found[order].tolist()]
        room, counted, until = self.full - len(self.flows), 0, len(times_ns)
        for flow in flows:
            counted += 1
            if flow not in self.flows:
                room -= 1
                if room < 0:
                    until = int(first[order[counted - 1]]) + 1
                    break
        # In the order of their first packets, since the table breaks ties by that.
        sums = _sums(
            places[:until],
            packets.resource_places[:until],
            times_ns[:until],
            sizes[:until],
            is_refused[:until],
        )
        for flow, (number, size, refused, begin, end, resource) in zip(
            flows[:counted], sums[:, order[:counted]].T.tolist(), strict=True
        ):
            count = self.flows.get(flow)
            if count is None:
                count = FlowCount(self.floor_packets, self.floor_bytes, begin, end)
                self.flows[flow] = count
            count.packets += number
            count.bytes += size
            count.refused += refused
            count.first_ns = min(count.first_ns, begin)
            count.last_ns = max(count.last_ns, end)
            if resource >= 0:
                count.resource_id = packets.resources[resource]
        if len(self.flows) > self.full:
            self._forget_small()
        return until

    def merge(self, other: "LargestFlows", *, apart: bool = False) -> None:
        """Add the flows of *other*; if they are *apart*, no flow had packets in both."""
        mine_missed = (0, 0) if apart else (other.floor_packets, other.floor_bytes)
        their_missed = (0, 0) if apart else (self.floor_packets, self.floor_bytes)
        for flow, count in self.flows.items():
            if flow not in other.flows:
                count.missed_packets += mine_missed[0]
                count.missed_bytes += mine_missed[1]
        for flow, theirs in other.flows.items():
            mine = self.flows.get(flow)
            if mine is None:
                mine = FlowCount(*their_missed, theirs.first_ns, theirs.last_ns)
                self.flows[flow] = mine
            _add_up(mine, theirs)
        together = max if apart else add
        self.floor_packets = together(self.floor_packets, other.floor_packets)
        self.floor_bytes = together(self.floor_bytes, other.floor_bytes)
        if len(self.flows) > self.full:
            self._forget_small()

    def by_bytes(self, count: int) -> list[tuple[Conversation, FlowCount]]:
        """Return up to *count* flows, those that may have the most bytes first."""
        return self._largest(_bytes, count)

    def by_packets(self, count: int) -> list[tuple[Conversation, FlowCount]]:
        """Return up to *count* flows, those that may have the most packets first."""
        return self._largest(_packets, count)

    def _largest(
        self, size: Callable[[FlowCount], int], count: int
    ) -> list[tuple[Conversation, FlowCount]]:
        def rank(item: tuple[Conversation, FlowCount]) -> tuple[int, int]:
            return -size(item[1]), item[1].first_ns

        return sorted(self.flows.items(), key=rank)[:count]

    def _forget_small(self) -> None:
        kept = dict(self.by_bytes(self.kept)) | dict(self.by_packets(self.kept))
        gone = [count for flow, count in self.flows.items() if flow not in kept]
        self.floor_packets = max([self.floor_packets, *map(_packets, gone)])
        self.floor_bytes = max([self.floor_bytes, *map(_bytes, gone)])
        self.flows = kept


def _sums(
    places: NDArray[np.int64],
    resources: NDArray[np.int64],
    times_ns: NDArray[np.int64],
    sizes: NDArray[np.int64],
    is_refused: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return rows of packets, bytes, refused, first and last time, and last resource."""
    flows = int(places.max()) + 1
    sums = np.zeros((6, flows), dtype=np.int64)
    np.add.at(sums[0], places, 1)
    np.add.at(sums[1], places, sizes)
    np.add.at(sums[2], places, is_refused)
    sums[3] = np.iinfo(np.int64).max
    np.minimum.at(sums[3], places, times_ns)
    np.maximum.at(sums[4], places, times_ns)
    last = np.full(flows, -1)
    decided = np.flatnonzero(resources >= 0)
    np.maximum.at(last, places[decided], decided)
    sums[5] = np.where(last < 0, -1, resources[last])
    return sums


def _packets(count: FlowCount) -> int:
    return count.most_packets


def _bytes(count: FlowCount) -> int:
    return count.most_bytes


def _add_up(mine: FlowCount, theirs: FlowCount) -> None:
    mine.missed_packets += theirs.missed_packets
    mine.missed_bytes += theirs.missed_bytes
    mine.packets += theirs.packets
    mine.bytes += theirs.bytes
    mine.refused += theirs.refused
    if theirs.resource_id is not None and (
        mine.resource_id is None or theirs.last_ns > mine.last_ns
    ):
        mine.resource_id = theirs.resource_id
    mine.first_ns = min(mine.first_ns, theirs.first_ns)
    mine.last_ns = max(mine.last_ns, theirs.last_ns)
