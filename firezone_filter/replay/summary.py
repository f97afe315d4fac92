"""The counts of a replay.

Everything that a capture could make grow is bounded; the rest grows with the policy alone.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, assert_never

from attrs import Factory, define, field, frozen

from firezone_filter.replay.five_tuple import FiveTuple, read_five_tuple
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

MAX_EVENTS: Final = 100
"""Events kept for the list, more than a person reads. All of them are counted."""

KINDS: Final = ("forward", "translate", "reject", "drop")
"""The kinds of decisions, as reports name them."""


@frozen
class Decided:
    """One packet of a client, and the gateway's decision."""

    time_ns: int
    """Nanoseconds of Unix time."""

    direction: Direction
    packet: bytes
    decision: Decision

    is_cut: bool = False
    """Whether the capture's snap length cut the frame."""


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


@define
class Tally:
    """A number of packets and of their bytes."""

    packets: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one packet of *size* bytes."""
        self.packets += 1
        self.bytes += size


ByDirection = dict[Direction, Tally]


def _by_direction() -> ByDirection:
    return {direction: Tally() for direction in Direction}


@define
class Refusals:
    """The packets refused in one direction for one reason."""

    tally: Tally = Factory(Tally)

    flows: dict[FiveTuple, int] = Factory(dict)
    """Packets of each flow, for the first `MAX_FLOWS` flows."""

    _slots: KeySlots[FiveTuple] = field(
        init=False, eq=False, repr=False, factory=lambda: KeySlots(MAX_FLOWS)
    )

    def add(self, packet: bytes) -> None:
        """Count *packet*, which has addresses."""
        self.tally.add(len(packet))
        flow = read_five_tuple(packet)
        if self._slots.take(flow):
            self.flows[flow] = self.flows.get(flow, 0) + 1

    def busiest(self, count: int = MAX_FLOWS) -> list[tuple[FiveTuple, int]]:
        """Return up to *count* flows and their packets, the busiest first."""
        return sorted(self.flows.items(), key=lambda item: -item[1])[:count]


@define
class ClientSummary:
    """The packets of one client, allowed and refused."""

    allowed: dict[str | None, ByDirection] = Factory(lambda: defaultdict(_by_direction))
    """By resource id; `None` stands for the gateway itself."""

    refused: ByDirection = Factory(_by_direction)

    @property
    def packets(self) -> int:
        """The number of packets, allowed and refused together."""
        tallies = (self.refused, *self.allowed.values())
        return sum(tally.packets for each in tallies for tally in each.values())


@define
class Summary:
    """All counts of a replay."""

    frames: Tally = Factory(Tally)
    """All frames of the capture, with the bytes that were captured."""

    not_ip: Tally = Factory(Tally)
    """Frames without an IP packet, such as ARP."""

    not_ours: Tally = Factory(Tally)
    """IP packets that belong to no client of the policy."""

    cut: Tally = Factory(Tally)
    """Clients' packets that are `MALFORMED` because the snap length cut them."""

    damage: str | None = None
    """Where and why the capture could not be read to its end; `None` if it could."""

    first_ns: int | None = None
    """The earliest time stamp."""

    last_ns: int | None = None
    """The latest time stamp."""

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

    def add_frame(self, time_ns: int, size: int) -> None:
        """Count a frame of *size* captured bytes, whatever its content."""
        self.frames.add(size)
        if self.first_ns is None or time_ns < self.first_ns:
            self.first_ns = time_ns
        if self.last_ns is None or time_ns > self.last_ns:
            self.last_ns = time_ns

    def add(self, decided: Decided) -> None:
        """Count a packet and its decision."""
        decision, size = decided.decision, len(decided.packet)
        self.decisions[decided.direction, kind_of(decision)].add(size)
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

    def _add_refusal(self, decided: Decided, reason: Reason) -> None:
        self.refusals[decided.direction, reason].add(decided.packet)
        if decided.is_cut and reason is Reason.MALFORMED:
            self.cut.add(len(decided.packet))
