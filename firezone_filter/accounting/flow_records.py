"""Flow records: the traffic of each client with each resource, flow by flow.

The rules are in docs/rules.md, "Flow records", and are those of Firezone's own flow log. A flow is
a client, a resource, and both ends as the resource sees them, after translation. Only a packet
from the client begins a record, so far ends cannot create any. `flow_counting` decides which
packets count, and how much.

This module is used only with `GatewayOptions.flow_records`.
"""

import math
from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple, TypedDict

from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.packet.numbers import ACK, FIN, RST, STATE_FLAGS, SYN, TCP
from firezone_filter.structures.timers import NO_DEADLINE, TimerQueue
from firezone_filter.values.events import FlowEnd, FlowEnded, FlowStarted

IDLE: Final = 120
"""Seconds without a packet after which, strictly, a flow is over."""

MAX_OPEN: Final = 4_096
"""Open records of one client: as many as it may have decisions in the flow cache for one
direction. At about 900 bytes each, 4 MiB a client."""

SECOND_CHANCES: Final = 8
"""Records passed over, at most, in the search for one to evict: those with a packet since they
were last passed over, or since they began. So a flood of short flows does not evict the record
of a long TCP flow, which its bare ACKs could not begin again. The number bounds the search."""


class FlowKey(NamedTuple):
    """The key of a flow among those of its client, with both ends as the resource sees them."""

    resource_id: str
    protocol: int
    near: bytes
    near_port: int | None
    far: bytes
    far_port: int | None


class Traffic(NamedTuple):
    """Packets and bytes of one flow or several: tx from clients, rx to them."""

    tx_packets: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    rx_bytes: int = 0

    def plus(self, other: "Traffic") -> "Traffic":
        """Return the sum of both."""
        return Traffic(*map(sum, zip(self, other, strict=True)))


class FlowRecord:
    """The open record of one flow."""

    __slots__ = (
        "deadline",
        "domain",
        "ended",
        "fin_inbound",
        "fin_outbound",
        "flow_start",
        "has_spoken",
        "key",
        "last_packet",
        "passed_over",
        "rx_bytes",
        "rx_packets",
        "siblings",
        "tx_bytes",
        "tx_packets",
    )

    def __init__(
        self, siblings: "ClientRecords", key: FlowKey, domain: str | None, now: float
    ) -> None:
        self.siblings = siblings
        self.key = key
        self.domain = domain
        self.flow_start = self.last_packet = self.passed_over = now
        self.tx_packets = self.tx_bytes = self.rx_packets = self.rx_bytes = 0
        self.fin_outbound = self.fin_inbound = self.ended = False
        self.has_spoken = False
        """Whether the client has sent more than its SYN; then another SYN begins a new flow."""
        self.deadline = NO_DEADLINE

    @property
    def is_finished(self) -> bool:
        """Whether both ends have sent a FIN."""
        return self.fin_outbound and self.fin_inbound

    @property
    def traffic(self) -> Traffic:
        """The traffic counted so far."""
        return Traffic(self.tx_packets, self.tx_bytes, self.rx_packets, self.rx_bytes)

    def count(self, payload: int, now: float, *, outbound: bool) -> None:
        """Count a packet with *payload* bytes of payload."""
        self.last_packet = now
        if outbound:
            self.tx_packets += 1
            self.tx_bytes += payload
        else:
            self.rx_packets += 1
            self.rx_bytes += payload


def _no_record() -> FlowRecord:
    flow = FlowRecord.__new__(FlowRecord)
    flow.ended, flow.has_spoken = True, False
    return flow


NO_RECORD: Final = _no_record()
"""Stands for the absence of a record, as one that has ended: handlers then need one check, not
two."""


class FlowLog:
    """The records of all clients: their deadlines, their totals, and their reports as events."""

    def __init__(self, events: EventQueue) -> None:
        """Create a log that reports flows to *events*."""
        self._events = events
        self._open: dict[FlowRecord, None] = {}
        self._deadlines: TimerQueue[FlowRecord] = TimerQueue()
        self._closed = Traffic()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def traffic(self) -> Traffic:
        """The traffic of all flows since the start, open ones included."""
        tx_packets, tx_bytes, rx_packets, rx_bytes = self._closed
        # Added by hand, since `plus` takes 0.3 s for 100,000 open flows.
        for flow in self._open:
            tx_packets += flow.tx_packets
            tx_bytes += flow.tx_bytes
            rx_packets += flow.rx_packets
            rx_bytes += flow.rx_bytes
        return Traffic(tx_packets, tx_bytes, rx_packets, rx_bytes)

    def begin(self, flow: FlowRecord) -> None:
        """Open a record, and report it."""
        self._open[flow] = None
        self._await_idleness(flow)
        self._events.put_flow(FlowStarted(**_identity(flow)))

    def finish(self, flow: FlowRecord) -> None:
        """Have the next `forget_old` close *flow*, since both ends have sent a FIN.

        Until then it stays open, so that the last ACKs still count for it.
        """
        self._deadlines.set(flow, flow.last_packet)

    def end(self, flow: FlowRecord, cause: FlowEnd, at: float) -> None:
        """Close a record, and report it."""
        flow.ended = True
        del self._open[flow]
        self._deadlines.set(flow, None)
        traffic = flow.traffic
        self._closed = self._closed.plus(traffic)
        self._events.put_flow(
            FlowEnded(
                **_identity(flow),
                **traffic._asdict(),
                last_packet=flow.last_packet,
                flow_end=at,
                cause=cause,
            )
        )

    def earliest(self) -> float | None:
        """Return when `forget_old` may have a flow to close, perhaps too early; or `None`."""
        return self._deadlines.earliest()

    def forget_old(self, now: float) -> None:
        """Close the records that are finished, and those idle for more than 120 s."""
        for flow in self._deadlines.due(now):
            # Packets do not move the deadline, which would cost a microsecond each; so it is
            # checked here whether the flow has really been idle.
            if flow.is_finished or now > flow.last_packet + IDLE:
                flow.siblings.end(flow, FlowEnd.IDLE, now)
            else:
                self._await_idleness(flow)

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        for record in self._open:
            record.flow_start += by
            record.last_packet += by
            record.passed_over += by
            # Not by moving the deadline: it is the next float after a sum, and rounding is
            # not the same everywhere.
            if record.is_finished:
                self.finish(record)
            else:
                self._await_idleness(record)

    def _await_idleness(self, flow: FlowRecord) -> None:
        # Idle means *more than* 120 s, so the deadline is the next float after that.
        self._deadlines.set(flow, _just_after(flow.last_packet + IDLE))


def _just_after(moment: float) -> float | None:
    """Return the next float after *moment*, or `None` if no finite one is greater."""
    try:
        after = math.nextafter(moment, math.inf)
    except OverflowError:  # an `int` beyond the range of floats
        return None
    return None if after == math.inf else after


class ClientRecords:
    """The open records of one client."""

    __slots__ = ("_flows", "_log", "client_id")

    def __init__(self, client_id: str, log: FlowLog) -> None:
        self.client_id = client_id
        self._flows: OrderedDict[FlowKey, FlowRecord] = OrderedDict()
        self._log = log

    def find(self, key: FlowKey) -> FlowRecord | None:
        """Return the open record of a flow, or `None`."""
        return self._flows.get(key)

    def outbound(
        self, key: FlowKey, domain: str | None, flags: int, payload: int, now: float
    ) -> FlowRecord:
        """Count an allowed packet from the client; return its record, or `NO_RECORD`.

        Args:
            key: its flow.
            domain: the name behind its proxy address; `None` if it is not translated.
            flags: its TCP flags; 0 for other protocols.
            payload: bytes of its payload; negative if the data offset of TCP, which the filter
                does not check, points behind the end of the packet.
            now: the time, in seconds.
        """
        flow = self._flows.get(key)
        if flow is not None and _restarts(flow, domain, flags):
            self.end(flow, FlowEnd.RESTARTED, now)
            flow = None
        if flow is None:
            if not _begins(key.protocol, flags, payload):
                return NO_RECORD
            flow = self._begin(key, domain, now)
        if not flags & SYN:
            flow.has_spoken = True
        return self._count(flow, flags, payload, now, outbound=True)

    def inbound(self, key: FlowKey, flags: int, payload: int, now: float) -> FlowRecord:
        """Count an allowed packet to the client; return its record, or `NO_RECORD`.

        It never begins a record.
        """
        flow = self._flows.get(key)
        if flow is None:
            return NO_RECORD
        return self._count(flow, flags, payload, now, outbound=False)

    def end(self, flow: FlowRecord, cause: FlowEnd, at: float) -> None:
        """Close a record; one that is finished ends as `FIN`, whatever ends it but a RST."""
        if flow.is_finished and cause is not FlowEnd.RST:
            cause, at = FlowEnd.FIN, flow.last_packet
        del self._flows[flow.key]
        self._log.end(flow, cause, at)

    def end_resource(self, resource_id: str, cause: FlowEnd, at: float) -> None:
        """Close all records of a resource."""
        for flow in [held for held in self._flows.values() if held.key.resource_id == resource_id]:
            self.end(flow, cause, at)

    def end_all(self, cause: FlowEnd, at: float) -> None:
        """Close all records."""
        for flow in list(self._flows.values()):
            self.end(flow, cause, at)

    def _begin(self, key: FlowKey, domain: str | None, now: float) -> FlowRecord:
        if len(self._flows) >= MAX_OPEN:
            self.end(self._least_needed(), FlowEnd.CROWDED_OUT, now)
        flow = self._flows[key] = FlowRecord(self, key, domain, now)
        self._log.begin(flow)
        return flow

    def _least_needed(self) -> FlowRecord:
        for _ in range(SECOND_CHANCES):
            first = next(iter(self._flows.values()))
            if first.last_packet == first.passed_over:
                return first
            first.passed_over = first.last_packet
            self._flows.move_to_end(first.key)
        return next(iter(self._flows.values()))

    def _count(
        self, flow: FlowRecord, flags: int, payload: int, now: float, *, outbound: bool
    ) -> FlowRecord:
        flow.count(max(payload, 0), now, outbound=outbound)
        if flags & FIN:
            was_finished = flow.is_finished
            if outbound:
                flow.fin_outbound = True
            else:
                flow.fin_inbound = True
            if flow.is_finished and not was_finished:
                self._log.finish(flow)
        if flags & RST:
            self.end(flow, FlowEnd.RST, now)
        return flow


def _begins(protocol: int, flags: int, payload: int) -> bool:
    """Tell whether a packet from a client begins a record.

    The last packets of a TCP connection do not (FIN, RST, and an ACK without payload), since
    they may come when its record has been closed already.
    """
    if protocol != TCP:
        return True
    return not flags & (FIN | RST) and (bool(flags & SYN) or not flags & ACK or payload > 0)


def _restarts(flow: FlowRecord, domain: str | None, flags: int) -> bool:
    """Tell whether a client's packet with the key of *flow* begins another flow.

    That is a SYN that begins a new connection on the same ports, or a packet to another name
    with the same real address.
    """
    return flow.domain != domain or (flow.has_spoken and flags & STATE_FLAGS == SYN)


class _Identity(TypedDict):
    client_id: str
    resource_id: str
    protocol: int
    inner_src_ip: IPv4Address | IPv6Address
    inner_src_port: int | None
    inner_dst_ip: IPv4Address | IPv6Address
    inner_dst_port: int | None
    domain: str | None
    flow_start: float


def _identity(flow: FlowRecord) -> _Identity:
    """Return the fields that all events of a flow have in common."""
    key = flow.key
    return {
        "client_id": flow.siblings.client_id,
        "resource_id": key.resource_id,
        "protocol": key.protocol,
        "inner_src_ip": ip_address(key.near),
        "inner_src_port": key.near_port,
        "inner_dst_ip": ip_address(key.far),
        "inner_dst_port": key.far_port,
        "domain": flow.domain,
        "flow_start": flow.flow_start,
    }
