"""Counts what a replay decided; prints nothing.

What a capture can make grow has a maximum here; what else grows, grows with the policy.
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
"""Refused flows that are counted one by one, for each direction and reason: enough to find
the busiest few, while a scan costs a few hundred kilobytes at most."""

MAX_EVENTS: Final = 100
"""Events that are kept to be listed: more than a person reads. Every one is counted."""

KINDS: Final = ("forward", "translate", "reject", "drop")
"""The kinds of decisions, as reports name them."""


@frozen
class Decided:
    """One packet of a client, and what the gateway said."""

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
    """How many packets, and how many bytes."""

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
    """What was refused in one direction for one reason."""

    tally: Tally = Factory(Tally)

    flows: dict[FiveTuple, int] = Factory(dict)
    """Packets of each flow, the first `MAX_FLOWS` that were seen."""

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
    """What one client was allowed and refused."""

    allowed: dict[str | None, ByDirection] = Factory(lambda: defaultdict(_by_direction))
    """By resource id; `None` is the gateway itself."""

    refused: ByDirection = Factory(_by_direction)

    @property
    def packets(self) -> int:
        """How many packets there were, allowed and refused."""
        tallies = (self.refused, *self.allowed.values())
        return sum(tally.packets for each in tallies for tally in each.values())


@define
class Summary:
    """All that a replay counts."""

    frames: Tally = Factory(Tally)
    """Every frame of the capture, as captured."""

    not_ip: Tally = Factory(Tally)
    """Frames without an IP packet: ARP and the like."""

    not_ours: Tally = Factory(Tally)
    """IP packets that concern no client of the policy."""

    cut: Tally = Factory(Tally)
    """Clients' packets that the snap length cut, and that are `MALFORMED` since."""

    damage: str | None = None
    """Where and why the capture could not be read further."""

    first_ns: int | None = None
    """The earliest time stamp."""

    last_ns: int | None = None
    """The latest time stamp."""

    decisions: dict[tuple[Direction, str], Tally] = field(
        factory=lambda: {(direction, kind): Tally() for direction in Direction for kind in KINDS}
    )
    """By direction and kind; all of them, from the start."""

    refusals: dict[tuple[Direction, Reason], Refusals] = Factory(lambda: defaultdict(Refusals))
    """Only what came up."""

    clients: dict[str | None, ClientSummary] = Factory(lambda: defaultdict(ClientSummary))
    """Only those with packets; `None` where the decision names no client."""

    events: list[AccessEvent] = Factory(list)
    """The first `MAX_EVENTS`."""

    event_count: int = 0
    """How many there were."""

    def add_frame(self, time_ns: int, size: int) -> None:
        """Count a frame of *size* captured bytes, whatever is in it."""
        self.frames.add(size)
        if self.first_ns is None or time_ns < self.first_ns:
            self.first_ns = time_ns
        if self.last_ns is None or time_ns > self.last_ns:
            self.last_ns = time_ns

    def add(self, decided: Decided) -> None:
        """Count a packet that was decided."""
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
        """Count *events*, and keep the first of them."""
        for event in events:
            self.event_count += 1
            if len(self.events) < MAX_EVENTS:
                self.events.append(event)

    def decided(self, direction: Direction) -> Tally:
        """Return everything that was decided in *direction*."""
        tallies = [self.decisions[direction, kind] for kind in KINDS]
        return Tally(
            sum(tally.packets for tally in tallies),
            sum(tally.bytes for tally in tallies),
        )

    def refused_first(self) -> list[tuple[Direction, Reason, Refusals]]:
        """Return the refusals, those of the most packets first."""
        items = [(direction, reason, each) for (direction, reason), each in self.refusals.items()]
        return sorted(items, key=lambda item: -item[2].tally.packets)

    def _add_refusal(self, decided: Decided, reason: Reason) -> None:
        self.refusals[decided.direction, reason].add(decided.packet)
        if decided.is_cut and reason is Reason.MALFORMED:
            self.cut.add(len(decided.packet))
