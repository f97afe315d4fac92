"""Only answers come back (section 7): the flows of a client, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import packets
from .packets import Packet
from .values import INBOUND, OUTBOUND, TCP, UDP, Address, Moment, end_of, moved, over

if TYPE_CHECKING:
    from collections.abc import Iterator

UNANSWERED = 60
TCP_IDLE = 7_440
CLOSING = 240
IDLE = 120
WITHOUT_PACKETS_OUT = 7_440  # whatever comes in meanwhile

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

# Protocol, the client's address, the far address, and what else tells flows apart: both ports,
# the echo id, the type of another request, or nothing more.
Name = tuple[int, Address, Address, tuple[object, ...]]


def name_of(packet: Packet, direction: str) -> Name | None:
    """Name the flow of a packet as the client sees it; `None` if it can belong to none."""
    near, far = packet.source, packet.destination
    if direction == INBOUND:
        near, far = far, near
    if packet.protocol in (TCP, UDP):
        ports = (packet.source_port, packet.destination_port)
        which: tuple[object, ...] = ports if direction == OUTBOUND else ports[::-1]
    elif packet.is_icmp:
        kind, version = packet.icmp_type, packet.version
        # Requests go out and answers come back; every other ICMP belongs to none.
        answers = packets.ANSWERS[version]
        requests = (
            {kind: kind for kind in answers}
            if direction == OUTBOUND
            else {answer: request for request, answer in answers.items()}
        )
        echo = packets.ECHO_REQUEST if direction == OUTBOUND else packets.ECHO_REPLY
        if kind == echo[version]:
            which = ("echo", packet.echo_id)
        elif kind in requests:
            which = ("request", requests[kind])
        else:
            return None
    else:
        which = ()
    return packet.protocol, near, far, which


def flags_of(packet: Packet) -> int:
    return packet.tcp_flags if packet.protocol == TCP else 0


def begins_one(packet: Packet) -> bool:
    """Tell whether an outbound packet that belongs to no live flow begins one.

    reading: a SYN with RST begins one, which ends with it; it is given room like any other.
    """
    flags = flags_of(packet)
    return name_of(packet, OUTBOUND) is not None and not (flags & RST and not flags & SYN)


@dataclass(eq=False)
class Flow:
    """What a client began, and what may come back for it."""

    name: Name
    resource_id: str | None  # of the authorization that permitted the packet that began it
    last_out: Moment
    last: Moment
    answered: bool = False
    fins: set[str] = field(default_factory=set)  # directions in which a FIN was seen
    reset: bool = False  # a RST has come in, and no packet out has taken it back

    @property
    def far(self) -> Address:
        return self.name[2]

    @property
    def is_closing(self) -> bool:
        """Tell whether it is in its 240 s."""
        return len(self.fins) == 2 or self.reset

    def lifetime(self) -> tuple[Moment, int]:
        """Say from when it lasts how long: the table. Only asked once time is known."""
        if self.is_closing:
            return self.last_out, CLOSING
        if not self.answered:
            return self.last_out, UNANSWERED
        by_table = (self.last, TCP_IDLE if self.name[0] == TCP else IDLE)
        at_most = (self.last_out, WITHOUT_PACKETS_OUT)
        return min(by_table, at_most, key=lambda ends: end_of(*ends))

    def sent(self, packet: Packet, resource_id: str | None, now: Moment) -> bool:
        """Take note of a packet out that passes; `True` if it ends the flow."""
        flags = flags_of(packet)
        # reading: a RST that was taken back is none that it has seen.
        if flags & SYN and not flags & ACK and (self.fins or self.reset):
            self.answered = False
            self.fins = set()
            self.resource_id = resource_id
        self.reset = False  # any packet out takes a RST from outside back
        self.last_out = self.last = now
        if flags & FIN:
            self.fins.add(OUTBOUND)
        return bool(flags & RST)

    def received(self, packet: Packet, now: Moment) -> bool:
        """Take note of a packet in that passes; `True` if it ends the flow."""
        flags = flags_of(packet)
        self.answered = True
        self.last = now
        if flags & FIN:
            self.fins.add(INBOUND)
        if flags & RST:
            self.reset = True
        # They may make a moment count that has passed already.
        return now.seconds is not None and over(*self.lifetime(), now.seconds)


class Flows:
    """The live flows of one client, the longest without a packet first."""

    def __init__(self) -> None:
        self._by_name: dict[Name, Flow] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Flow]:
        return iter(list(self._by_name.values()))

    def of(self, packet: Packet, direction: str) -> Flow | None:
        """Find the live flow that a packet, as the client sees it, belongs to."""
        name = name_of(packet, direction)
        return None if name is None else self._by_name.get(name)

    def sent(self, packet: Packet, resource_id: str | None, now: Moment) -> None:
        """Let a packet out that passes begin, prolong or end what it belongs to."""
        flow = self.of(packet, OUTBOUND)
        if flow is None:
            name = name_of(packet, OUTBOUND)
            if name is None or not begins_one(packet):
                return
            flow = Flow(name, resource_id, last_out=now, last=now)
        self._put_last(flow)
        if flow.sent(packet, resource_id, now):
            self.remove(flow)

    def received(self, packet: Packet, now: Moment) -> None:
        """Let a packet in that passes prolong or end what it belongs to."""
        flow = self.of(packet, INBOUND)
        assert flow is not None
        self._put_last(flow)
        if flow.received(packet, now):
            self.remove(flow)

    def _put_last(self, flow: Flow) -> None:
        self._by_name.pop(flow.name, None)
        self._by_name[flow.name] = flow

    def remove(self, flow: Flow) -> None:
        del self._by_name[flow.name]

    def giving_way(self) -> Flow | None:
        """Choose which gives way to a new one; `None` if none can."""
        return next(
            (
                flow
                for may_go in (
                    lambda flow: flow.is_closing,
                    lambda flow: OUTBOUND in flow.fins,
                    lambda flow: not flow.answered,
                )
                for flow in self
                if may_go(flow)
            ),
            None,
        )

    def move_moments(self, by: float) -> None:
        for flow in self:
            flow.last_out, flow.last = moved(flow.last_out, by), moved(flow.last, by)
