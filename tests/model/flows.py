"""`FlowModel`: the model, with flow records and counts: the portal's section 4, item by item.

It looks at decisions from outside: nothing of how packets are judged is here.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import packets
from .gateway import Decision, Event, Model
from .values import OUTBOUND, TCP, UDP, Address, Given, Moment, moved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .gateway import Client
    from .packets import Packet

IDLE = 120
PERIOD = 60
FAR_ENDS = 8
MAX_OPEN = 4_096
MAX_EVENTS = 65_536

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


@dataclass(frozen=True)
class Ends:
    """Who exchanges packets with whom: one flow at a time has all of it."""

    client_id: str
    resource_id: str
    protocol: int
    inner_src_ip: Address
    inner_src_port: int | None
    inner_dst_ip: Address
    inner_dst_port: int | None


@dataclass
class Flow:
    """A record that is open."""

    ends: Ends
    domain: str | None
    start: Moment
    last: Moment
    tx: list[int] = field(default_factory=list)  # payload of each packet from the client
    rx: list[int] = field(default_factory=list)  # and to it
    fins: set[str] = field(default_factory=set)  # the directions of those that were seen
    spoke: bool = False  # whether the client has sent anything but SYN
    spared: Moment | None = None  # its last packet when it was passed over last

    @property
    def has_both_fins(self) -> bool:
        return len(self.fins) == 2

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """Packets and bytes, first those that were sent, then those that came."""
        return len(self.tx), sum(self.tx), len(self.rx), sum(self.rx)


@dataclass
class Refused:
    """Refused packets that are reported together."""

    group: tuple[str | None, str, str]  # client, direction, reason
    own_far_end: bool  # whether it is for one address, else for what did not fit in
    looks: list[tuple[Address | None, int | None, int | None]]  # address, protocol, port
    times: list[Moment]
    sizes: list[int]


class FlowModel(Model):
    """The model that keeps books."""

    def __init__(
        self,
        addresses: Given,
        *,
        address_plan: Given,
        options: Given,
        max_open: int = MAX_OPEN,
        max_events: int = MAX_EVENTS,
    ) -> None:
        super().__init__(addresses, address_plan=address_plan, options=options)
        self._max_open = max_open
        self._max_events = max_events
        self._before: float | None = None
        # By client; those that give way first are first.
        self._open: dict[str, dict[Ends, Flow]] = {}
        # Of those that are closed, what they were in sum: packets and bytes, both ways.
        self._closed = (0, 0, 0, 0)
        self._refused: list[Refused] = []
        self._of_fragments: dict[Given, Flow | None] = {}
        self._flow_events = 0
        self._waiting = 0
        self._lost = 0
        self.refusals: Counter[tuple[str, str]] = Counter()

    # What there is -------------------------------------------------------------------

    def counters(self) -> dict[str, float]:
        clients = self._clients.values()
        all_sums = [self._closed, *(flow.sums for flow in self._all_open())]
        tx_packets, tx_bytes, rx_packets, rx_bytes = (
            sum(column) for column in zip(*all_sums, strict=True)
        )
        return {
            "clients": len(clients),
            "authorizations": sum(len(client.authorizations) for client in clients),
            "nat_sessions": sum(len(client.sessions) for client in clients),
            "flows": self.flows,
            "fragments": sum(len(client.fragments) for client in clients),
            "recorded_flows": len(self._all_open()),
            "tx_packets": tx_packets,
            "tx_bytes": tx_bytes,
            "rx_packets": rx_packets,
            "rx_bytes": rx_bytes,
            "flow_events_lost": self._lost,
            "clock_steps_back": self.earlier_nows,
            "clock_step_back_max": self.earlier_by,
        }

    def idle_ends(self) -> list[float]:
        """Return up to when each open flow may be without packets: over it is behind that."""
        last = [flow.last.seconds for flow in self._all_open()]
        return [at + IDLE for at in last if at is not None]

    def _all_open(self) -> list[Flow]:
        return [flow for flows in self._open.values() for flow in flows.values()]

    def _is_open(self, flow: Flow) -> bool:
        return self._open.get(flow.ends.client_id, {}).get(flow.ends) is flow

    def reports(self) -> list[float]:
        """Return when refused packets are reported."""
        first = [one.times[0].seconds for one in self._refused]
        return [at + PERIOD for at in first if at is not None]

    # Time ----------------------------------------------------------------------------

    def poll_timeout(self) -> float | None:
        moments = [super().poll_timeout(), *self.reports()]
        moments += [math.nextafter(at, math.inf) for at in self.idle_ends()]
        moments += [flow.last.seconds for flow in self._all_open() if flow.has_both_fins]
        return min((at for at in moments if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        for flow in self._all_open():
            assert flow.last.seconds is not None
            assert self._now.seconds is not None
            if flow.has_both_fins:
                self._close(flow, "fin", flow.last)
            elif self._now.seconds > flow.last.seconds + IDLE:
                self._close(flow, "idle", self._now)
        self._report_refused()

    def _at(self, now: float | None) -> None:
        self._before = self._now.seconds
        super()._at(now)
        self._before = self._now.seconds

    def _move_moments(self, by: float) -> None:
        """Let records keep what they have left.

        reading: their moments are told on the clock that was set, so that their length
        stays right and none ends before it began. Events that wait already stay as they are.
        """
        super()._move_moments(by)
        for flow in self._all_open():
            flow.start, flow.last = moved(flow.start, by), moved(flow.last, by)
            flow.spared = None if flow.spared is None else moved(flow.spared, by)
        for refused in self._refused:
            refused.times = [moved(at, by) for at in refused.times]
        # What expires now does so at the moment to which the clock was set.
        self._before = self._now.seconds

    # What ends flows at once ---------------------------------------------------------

    def client_disconnected(self, client_id: str) -> bool:
        known = super().client_disconnected(client_id)
        self._close_those(client_id, None, "disconnected", self._now)
        return known

    def _take_away(self, client: Client, resource_id: str, event: Event | None = None) -> None:
        if event is None:
            self._close_those(client.client_id, resource_id, "revoked", self._now)
        super()._take_away(client, resource_id, event)

    def _announce(self, event: Event) -> None:
        super()._announce(event)
        if event[0] == "authorization-expired":
            _, client_id, resource_id, expired_at = event
            at = expired_at if self._before is None else max(expired_at, self._before)
            self._close_those(client_id, resource_id, "expired", Moment(at))

    def _close_those(
        self, client_id: str, resource_id: str | None, cause: str, at: Moment
    ) -> None:
        for flow in list(self._open.get(client_id, {}).values()):
            if resource_id in (None, flow.ends.resource_id):
                self._close(flow, cause, at)

    # Packets -------------------------------------------------------------------------

    def handle_packet(
        self,
        direction: Given,
        packet: Given,
        now: float | None = None,
        *,
        client_id: str | None = None,
    ) -> Decision:
        decision = super().handle_packet(direction, packet, now, client_id=client_id)
        if decision[0] in ("drop", "reject"):
            reason, client = decision[-2:]
            self._see_refused(direction.name, bytes(packet), reason, client)
        else:
            self._see_allowed(direction.name, bytes(packet), decision)
        return decision

    def _see_allowed(self, direction: str, data: bytes, decision: Decision) -> None:
        client_id, resource_id = decision[-2:]
        inside = outside = _parsed(data)
        if decision[0] == "translate" and direction == OUTBOUND:
            outside = _parsed(decision[1])
        if resource_id is None or inside.is_icmp_error:
            return
        of_fragment = (client_id, direction, _fragment_of(inside))
        if inside.is_later_fragment:
            flow = self._of_fragments[of_fragment]
            if flow is not None and self._is_open(flow):
                self._count(flow, direction, len(data) - inside.transport_at)
            return
        ends = _ends(client_id, resource_id, outside, direction)
        flags = inside.tcp_flags if inside.protocol == TCP else 0
        flow = self._open.get(client_id, {}).get(ends)
        if direction == OUTBOUND:
            domain = None
            if decision[0] == "translate":
                domain = self._clients[client_id].proxies[inside.destination].domain
            flow = self._sent(flow, ends, domain, flags, _payload(inside))
        if flow is not None:
            self._count(flow, direction, max(_payload(inside), 0), flags)
        if inside.fragment is not None:
            still_open = flow is not None and self._is_open(flow)
            self._of_fragments[of_fragment] = flow if still_open else None

    def _sent(
        self, flow: Flow | None, ends: Ends, domain: str | None, flags: int, payload: int
    ) -> Flow | None:
        """Find the record of a packet from the client, and open one if it opens one."""
        is_syn = bool(flags & SYN) and not flags & (FIN | RST)
        if flow is not None and (flow.domain != domain or (is_syn and flow.spoke)):
            if flow.has_both_fins:
                self._close(flow, "fin", flow.last)
            else:
                self._close(flow, "restarted", self._now)
            flow = None
        if flow is None:
            bare_ack = flags & ACK and not flags & SYN and payload <= 0
            if ends.protocol == TCP and (flags & (FIN | RST) or bare_ack):
                return None
            flow = self._opened(ends, domain)
        flow.spoke = flow.spoke or not flags & SYN
        return flow

    def _opened(self, ends: Ends, domain: str | None) -> Flow:
        of_client = self._open.setdefault(ends.client_id, {})
        if len(of_client) >= self._max_open:
            self._close(self._expendable(of_client), "crowded-out", self._now)
        flow = of_client[ends] = Flow(ends, domain, start=self._now, last=self._now)
        self._put("FlowStarted", ends, domain=domain, flow_start=flow.start)
        return flow

    def _expendable(self, of_client: dict[Ends, Flow]) -> Flow:
        """Choose which record goes: those that were used lately are spared, eight at most."""
        for _ in range(8):  # pragma: no branch - chance decides whether all are spared
            oldest = next(iter(of_client.values()))
            before = oldest.start if oldest.spared is None else oldest.spared
            if oldest.last.seconds == before.seconds:
                break
            oldest.spared = oldest.last
            of_client[oldest.ends] = of_client.pop(oldest.ends)
        return next(iter(of_client.values()))

    def _count(self, flow: Flow, direction: str, payload: int, flags: int = 0) -> None:
        flow.last = self._now
        (flow.tx if direction == OUTBOUND else flow.rx).append(payload)
        if flags & FIN:
            flow.fins.add(direction)
        if flags & RST:
            self._close(flow, "rst", self._now)

    def _close(self, flow: Flow, cause: str, at: Moment) -> None:
        if flow.has_both_fins and cause != "rst":
            cause, at = "fin", flow.last
        del self._open[flow.ends.client_id][flow.ends]
        one, two, three, four = self._closed
        tx_packets, tx_bytes, rx_packets, rx_bytes = flow.sums
        self._closed = one + tx_packets, two + tx_bytes, three + rx_packets, four + rx_bytes
        self._put(
            "FlowEnded",
            flow.ends,
            domain=flow.domain,
            flow_start=flow.start,
            last_packet=flow.last,
            flow_end=at,
            tx_packets=tx_packets,
            tx_bytes=tx_bytes,
            rx_packets=rx_packets,
            rx_bytes=rx_bytes,
            cause=cause,
        )

    # Refusals ------------------------------------------------------------------------

    def _see_refused(
        self, direction: str, data: bytes, reason: str, client_id: str | None
    ) -> None:
        self.refusals[direction, reason] += 1
        self._report_refused()
        group = (client_id, direction, reason)
        look = _look(packets.parse(data), direction)
        address = look[0]
        mine = [one for one in self._refused if one.group == group]
        own = [one for one in mine if one.own_far_end]
        for one in own:
            if address == one.looks[0][0]:
                return self._add_refused(one, look, data)
        fits = address is not None and len(own) < FAR_ENDS
        for one in mine:
            if not fits and not one.own_far_end:
                return self._add_refused(one, look, data)
        one = Refused(group, fits, [], [], [])
        self._refused.append(one)
        return self._add_refused(one, look, data)

    def _add_refused(
        self, one: Refused, look: tuple[Address | None, int | None, int | None], data: bytes
    ) -> None:
        one.looks.append(look)
        one.times.append(self._now)
        one.sizes.append(len(data))

    def _report_refused(self) -> None:
        now = self._now.seconds
        for one in list(self._refused):
            first = one.times[0].seconds
            if now is not None and first is not None and now >= first + PERIOD:
                self._refused.remove(one)
                self._put_refused(one)

    def _put_refused(self, one: Refused) -> None:
        client_id, direction, reason = one.group
        addresses, protocols, ports = (_common(column) for column in zip(*one.looks, strict=True))
        self._put(
            "FlowRefused",
            None,
            client_id=client_id,
            direction=direction,
            reason=reason,
            far_ip=addresses,
            protocol=protocols,
            far_port=ports,
            first_packet=one.times[0],
            last_packet=one.times[-1],
            packets=len(one.sizes),
            ip_bytes=sum(one.sizes),
        )

    # Events --------------------------------------------------------------------------

    def poll_event(self) -> Event | None:
        event = super().poll_event()
        if event is None or event[0] != "flow":
            return event
        self._waiting -= 1
        _, told = event
        return ("flow", {name: _seconds(value) for name, value in told.items()})

    def _put(self, kind: str, ends: Ends | None, **fields: Given) -> None:
        if self._waiting >= self._max_events:
            self._lost += 1
            return
        self._waiting += 1
        self._flow_events += 1
        known = {} if ends is None else dict(vars(ends))
        event = ("flow", {"kind": kind, **known, **fields})
        self._events["flow", self._flow_events] = event


def _seconds(value: Given) -> Given:
    """Tell a moment in seconds; before the first `now` time stands still at 0."""
    return (value.seconds or 0.0) if isinstance(value, Moment) else value


def _parsed(data: bytes) -> Packet:
    packet = packets.parse(data)
    assert packet is not None
    return packet


def _fragment_of(packet: Packet) -> tuple[Given, ...] | None:
    if packet.fragment is None:
        return None
    protocol = packet.protocol if packet.version == 4 else None
    return packet.source, packet.destination, packet.fragment.identification, protocol


def _ends(client_id: str, resource_id: str, packet: Packet, direction: str) -> Ends:
    """Read the flow of a packet as the resource sees it."""
    source, destination = packet.source, packet.destination
    near_port, far_port = packet.source_port, packet.destination_port
    if direction != OUTBOUND:
        source, destination, near_port, far_port = destination, source, far_port, near_port
    echo = {packets.ECHO_REQUEST[packet.version], packets.ECHO_REPLY[packet.version]}
    if packet.icmp_type in echo:
        at = packet.transport_at + 4
        near_port = int.from_bytes(packet.data[at : at + 2])
    return Ends(client_id, resource_id, packet.protocol, source, near_port, destination, far_port)


def _payload(packet: Packet) -> int:
    """Say how long what the transport carries is; below 0 if its header says nonsense."""
    header = 0
    if packet.protocol == TCP:
        header = (packet.data[packet.transport_at + 12] >> 4) * 4
    elif packet.protocol == UDP or packet.is_icmp:
        header = 8
    return len(packet.data) - packet.transport_at - header


def _look(packet: Packet | None, direction: str) -> tuple[Address | None, int | None, int | None]:
    if packet is None:
        return None, None, None
    if direction == OUTBOUND:
        return packet.destination, packet.protocol, packet.destination_port
    return packet.source, packet.protocol, packet.source_port


def _common(values: Iterable[Given]) -> Given:
    first, *others = values
    return first if all(one == first for one in others) else None
