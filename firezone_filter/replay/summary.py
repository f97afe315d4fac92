"""The counts of a replay.

Everything that a capture could make grow is bounded; the rest grows with the policy alone.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, assert_never

from attrs import Factory, define, field, frozen

from firezone_filter.capture.stream import Record
from firezone_filter.replay.captured_packet import CapturedPacket
from firezone_filter.replay.five_tuple import FiveTuple, read_addresses, read_five_tuple
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.structures.key_slots import KeySlots
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.events import AccessEvent

MAX_FLOWS: Final = 256
"""Refused flows that are told apart, for each direction and reason: enough to find the busiest
few, while a scan takes a few hundred kilobytes at most."""

MAX_ADDRESSES: Final = 1024
"""Addresses of packets that belong to no client that are told apart."""

MAX_KINDS: Final = 64
"""Kinds of frames without an IP packet that are told apart."""

OTHER_KINDS: Final = "other"
"""Stands for the kinds of frames beyond `MAX_KINDS`."""

MAX_EVENTS: Final = 100
"""Events kept for the list, more than a person reads. All of them are counted."""

KINDS: Final = ("forward", "translate", "reject", "drop")
"""The kinds of decisions, as reports name them."""


@documented
@frozen
class Decided:
    """One packet of a client, and the gateway's decision."""

    frame: int
    """The number of its frame in the capture, from 1."""

    time_ns: int
    """Nanoseconds of Unix time, in the years 1970 to 2106."""

    direction: Direction
    """Which way it travels."""

    packet: CapturedPacket
    """The packet as it was captured, and as it was judged."""

    wire_length: int
    """The length of its frame on the wire."""

    decision: Decision
    """The decision about it."""

    resource_id: str | None = None
    """The resource that permits or refuses it; `None` if no resource does."""

    record: Record | None = field(default=None, eq=False, repr=False)
    """The frame as it was captured."""


def kind_of(decision: Decision) -> str:
    """Return the kind of *decision*, one of `KINDS`."""
    match decision:
        case Forward():
            return "forward"
        case Translate():
            return "translate"
        case Reject():
            return "reject"
        case Drop():
            return "drop"
        case _:
            assert_never(decision)


@documented
@define
class Tally:
    """A number of packets and of their bytes."""

    packets: int = 0
    """How many."""

    bytes: int = 0
    """How long they are together."""

    def add(self, size: int) -> None:
        """Count one packet of *size* bytes."""
        self.packets += 1
        self.bytes += size


ByDirection = dict[Direction, Tally]


def _by_direction() -> ByDirection:
    return {direction: Tally() for direction in Direction}


@documented
@define
class Refusals:
    """The packets refused in one direction for one reason."""

    tally: Tally = Factory(Tally)
    """All of them."""

    flows: dict[FiveTuple, int] = Factory(dict)
    """Packets of each flow, for the first `MAX_FLOWS` flows."""

    _slots: KeySlots[FiveTuple] = field(
        init=False, eq=False, repr=False, factory=lambda: KeySlots(MAX_FLOWS)
    )

    def add(self, packet: bytes, size: int) -> None:
        """Count *packet*, which has addresses, and had *size* bytes on the wire."""
        self.tally.add(size)
        self.add_flow(read_five_tuple(packet), 1)

    def add_flow(self, flow: FiveTuple, packets: int) -> None:
        """Count *packets* of *flow* among the flows alone, not in the tally."""
        if self._slots.take(flow):
            self.flows[flow] = self.flows.get(flow, 0) + packets

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another flow."""
        return len(self.flows) >= self._slots.limit

    def busiest(self, count: int = MAX_FLOWS) -> list[tuple[FiveTuple, int]]:
        """Return up to *count* flows and their packets, the busiest first."""
        return sorted(self.flows.items(), key=lambda item: -item[1])[:count]


@documented
@define
class ClientSummary:
    """The packets of one client, allowed and refused."""

    allowed: dict[str | None, ByDirection] = Factory(lambda: defaultdict(_by_direction))
    """By resource id; `None` stands for the gateway itself."""

    refused: ByDirection = Factory(_by_direction)
    """By direction."""

    @property
    def packets(self) -> int:
        """The number of packets, allowed and refused together."""
        tallies = (self.refused, *self.allowed.values())
        return sum(tally.packets for each in tallies for tally in each.values())


@documented
@define
class Summary:
    """All counts of a replay."""

    frames: Tally = Factory(Tally)
    """All frames of the capture, with the bytes that were captured."""

    not_ip: Tally = Factory(Tally)
    """Frames without an IP packet, such as ARP."""

    not_ip_kinds: dict[str, Tally] = Factory(lambda: defaultdict(Tally))
    """The same by what they are; the first `MAX_KINDS`, and `OTHER_KINDS` for the rest."""

    unsupported: dict[int, Tally] = Factory(lambda: defaultdict(Tally))
    """Frames of a link type that is not supported, by its number."""

    not_ours: Tally = Factory(Tally)
    """IP packets that belong to no client of the policy."""

    addresses: dict[bytes, int] = Factory(lambda: defaultdict(int))
    """How many of these packets come from or go to an address, packed; the first
    `MAX_ADDRESSES` addresses."""

    cut: Tally = Factory(Tally)
    """Clients' packets that the snap length cut."""

    cut_malformed: Tally = Factory(Tally)
    """Those of them that are `MALFORMED`, their headers being cut."""

    odd_times: int = 0
    """Frames with a time stamp that cannot be right."""

    out_of_order: int = 0
    """Frames with a time stamp that is earlier than one before."""

    out_of_order_by_ns: int = 0
    """By how much the earliest of them was."""

    interrupted: bool = False
    """Whether the user ended the reading of the capture."""

    damage: str | None = None
    """Where and why the capture could not be read to its end; `None` if it could."""

    first_ns: int | None = None
    """The earliest time stamp, without those that cannot be right."""

    last_ns: int | None = None
    """The latest time stamp, likewise."""

    decisions: dict[tuple[Direction, str], Tally] = field(
        factory=lambda: {(direction, kind): Tally() for direction in Direction for kind in KINDS}
    )
    """By direction and kind, for every combination."""

    refusals: dict[tuple[Direction, Reason], Refusals] = Factory(lambda: defaultdict(Refusals))
    """By direction and reason, for those that occurred."""

    clients: dict[str | None, ClientSummary] = Factory(lambda: defaultdict(ClientSummary))
    """By client id, for those with packets; `None` for decisions that name no client."""

    events: list[AccessEvent] = Factory(list)
    """The first `MAX_EVENTS`."""

    event_count: int = 0
    """The number of all events."""

    @property
    def is_odd(self) -> bool:
        """Whether something of the capture could not be taken as it is."""
        return bool(self.unsupported or self.odd_times or self.out_of_order)

    @property
    def is_complete(self) -> bool:
        """Whether the capture was read to its end."""
        return self.damage is None and not self.interrupted

    def add_frame(self, time_ns: int | None, size: int) -> None:
        """Count a frame of *size* captured bytes; *time_ns* is `None` if it cannot be right."""
        self.frames.add(size)
        if time_ns is None:
            return
        if self.first_ns is None or time_ns < self.first_ns:
            self.first_ns = time_ns
        if self.last_ns is None or time_ns > self.last_ns:
            self.last_ns = time_ns

    def add_not_ip(self, kind: str, size: int) -> None:
        """Count a frame that carries no IP packet but *kind*."""
        self.not_ip.add(size)
        is_told_apart = kind in self.not_ip_kinds or len(self.not_ip_kinds) < MAX_KINDS
        self.not_ip_kinds[kind if is_told_apart else OTHER_KINDS].add(size)

    def add_not_ours(self, packet: bytes, size: int) -> None:
        """Count an IP packet of *size* bytes that belongs to no client."""
        self.not_ours.add(size)
        self.add_addresses(read_addresses(packet) or (), 1)

    def add_addresses(self, ends: Iterable[bytes], packets: int) -> None:
        """Count *packets* between two *ends* among the addresses alone, not in the tally."""
        for address in dict.fromkeys(ends):
            if address in self.addresses or len(self.addresses) < MAX_ADDRESSES:
                self.addresses[address] += packets

    def add(self, decided: Decided) -> None:
        """Count a packet and its decision."""
        decision, size = decided.decision, decided.packet.length
        self.decisions[decided.direction, kind_of(decision)].add(size)
        if decided.packet.is_cut:
            self.cut.add(size)
        client = self.clients[decision.client_id]
        match decision:
            case Forward() | Translate():
                client.allowed[decision.resource_id][decided.direction].add(size)
            case Reject() | Drop():
                client.refused[decided.direction].add(size)
                self._add_refusal(decided, decision.reason)
            case _:
                assert_never(decision)

    def add_events(self, events: Iterable[AccessEvent]) -> None:
        """Count *events*, and keep the first `MAX_EVENTS`."""
        for event in events:
            self.event_count += 1
            if len(self.events) < MAX_EVENTS:
                self.events.append(event)

    def decided(self, direction: Direction) -> Tally:
        """Return the total of all decisions in *direction*."""
        tallies = [self.decisions[direction, kind] for kind in KINDS]
        return Tally(
            sum(tally.packets for tally in tallies),
            sum(tally.bytes for tally in tallies),
        )

    def refused_first(self) -> list[tuple[Direction, Reason, Refusals]]:
        """Return the refusals, those with the most packets first."""
        items = [(direction, reason, each) for (direction, reason), each in self.refusals.items()]
        return sorted(items, key=lambda item: -item[2].tally.packets)

    def busiest_addresses(self, count: int) -> list[tuple[bytes, int]]:
        """Return up to *count* addresses of packets that belong to no client, busiest first."""
        return sorted(self.addresses.items(), key=lambda item: -item[1])[:count]

    def _add_refusal(self, decided: Decided, reason: Reason) -> None:
        packet = decided.packet
        self.refusals[decided.direction, reason].add(packet.captured, packet.length)
        if packet.is_cut and reason is Reason.MALFORMED:
            self.cut_malformed.add(packet.length)
