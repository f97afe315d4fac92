"""Which packets count for the flow records of one client, and how much.

The packets of an established flow are counted on their way, without another look at what
was decided: a decision and its count are prepared together.
"""

from struct import Struct
from typing import Final, cast

from firezone_filter.accounting.flow_records import (
    NO_FLOW,
    ClientFlows,
    FlowKey,
    FlowLog,
    OpenFlow,
)
from firezone_filter.gateway.flow_cache import Age, FlowMemory, PreparedFlow
from firezone_filter.packet.headers import NO_PORT, Headers, read_headers
from firezone_filter.packet.icmp import ICMP_HEADER, is_echo, is_icmp_error
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.decisions import Forward, Translate

# Where things are in a TCP header.
_OFFSET_AT: Final = 12
_FLAGS_AT: Final = 13
_LENGTH: Final = 0x3C  # its length, in the byte of the offset: 32-bit words, shifted by 4
_UDP_HEADER: Final = 8

_ECHO_ID = Struct("!4xH").unpack_from

# Bytes before the payload; a TCP header says itself how long it is.
_HEADER: Final = {UDP: _UDP_HEADER, ICMPV4: ICMP_HEADER, ICMPV6: ICMP_HEADER}


class _Counted:
    """The packets of one flow in one direction: what they get, and what they count for.

    Prepared with the first of them. `decide` is written out for each kind: a call more, or
    asking what kind it is, costs as much as counting does.
    """

    __slots__ = (
        "_age",
        "_born",
        "_domain",
        "_flags_at",
        "_flow",
        "_flows",
        "_forward",
        "_key",
        "_offset_at",
        "_payload_at",
        "client_id",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - what is known of the packet
        self,
        flows: ClientFlows,
        key: FlowKey,
        transport: int,
        forward: Forward,
        age: Age,
        domain: str | None = None,
    ) -> None:
        """Prepare to count.

        Args:
            flows: the records of the client.
            key: the flow.
            transport: the index of the transport header in its packets.
            forward: what permits them.
            age: inbound, what has to stay as it is while they are not judged anew.
            domain: the name that they go to, if they go to one.
        """
        self.client_id = forward.client_id
        self._flows = flows
        self._key = key
        self._forward = forward
        self._age, self._born = age, age.number
        self._domain = domain
        self._flow = NO_FLOW
        self._payload_at = transport + _HEADER.get(key.protocol, 0)
        self._offset_at = transport + _OFFSET_AT
        self._flags_at = transport + _FLAGS_AT


class _Outbound(_Counted):
    """What comes from the client, of any protocol but TCP."""

    __slots__ = ()

    def decide(self, packet: bytes, now: float) -> Forward:
        """Count a packet."""
        flow = self._flow
        if flow.ended:
            payload = len(packet) - self._payload_at
            self._flow = self._flows.outbound(self._key, self._domain, 0, payload, now)
        else:
            flow.tx_packets += 1
            flow.tx_bytes += len(packet) - self._payload_at
            flow.last_packet = now
        return self._forward


class _Inbound(_Counted):
    """What goes to the client, of any protocol but TCP."""

    __slots__ = ()

    def decide(self, packet: bytes, now: float) -> Forward | None:
        """Count a packet, if its flow has a record; `None` if it has to be judged anew."""
        if self._born != self._age.number:
            return None
        flow = self._flow
        if flow.ended:
            self._flow = self._flows.inbound(self._key, 0, len(packet) - self._payload_at, now)
        else:
            flow.rx_packets += 1
            flow.rx_bytes += len(packet) - self._payload_at
            flow.last_packet = now
        return self._forward


class _TcpOutbound(_Counted):
    """What comes from the client by TCP."""

    __slots__ = ()

    def decide(self, packet: bytes, now: float) -> Forward:
        """Count a packet."""
        payload = len(packet) - self._payload_at - (packet[self._offset_at] >> 2 & 0x3C)
        flags = packet[self._flags_at]
        flow = self._flow
        if flow.ended or flags & 7 or payload < 0:
            flow = self._flows.outbound(self._key, self._domain, flags, payload, now)
            # Until the client has sent more than its SYN, each packet may be the turn.
            self._flow = flow if flow.has_spoken else NO_FLOW
        else:
            flow.tx_packets += 1
            flow.tx_bytes += payload
            flow.last_packet = now
        return self._forward


class _TcpInbound(_Counted):
    """What goes to the client by TCP."""

    __slots__ = ()

    def decide(self, packet: bytes, now: float) -> Forward | None:
        """Count a packet, if its flow has a record; `None` if it has to be judged anew."""
        if self._born != self._age.number:
            return None
        payload = len(packet) - self._payload_at - (packet[self._offset_at] >> 2 & 0x3C)
        flags = packet[self._flags_at]
        flow = self._flow
        if flow.ended or flags & 7 or payload < 0:
            self._flow = self._flows.inbound(self._key, flags, payload, now)
        else:
            flow.rx_packets += 1
            flow.rx_bytes += payload
            flow.last_packet = now
        return self._forward


class _Through:
    """The packets of a flow that something else decides about: they count if they pass."""

    __slots__ = ("_counted", "_decided", "client_id")

    def __init__(self, decided: PreparedFlow, counted: PreparedFlow) -> None:
        self.client_id = decided.client_id
        self._decided = decided
        self._counted = counted

    def decide(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet, and count it if it passes."""
        decision = self._decided.decide(packet, now)
        if decision is not None:
            self._counted.decide(packet, now)
        return decision


class FlowRecorder:
    """Sees the packets of one client that pass."""

    __slots__ = ("_memory", "flows")

    def __init__(self, client_id: str, log: FlowLog, memory: FlowMemory) -> None:
        """Report to *log*, and remember in *memory* how the next packets are counted."""
        self.flows = ClientFlows(client_id, log)
        self._memory = memory

    def see(
        self, headers: Headers, packet: bytes, forward: Forward, now: float, *, outbound: bool
    ) -> None:
        """Count a whole packet or first fragment that goes on as it is.

        Nothing counts that goes to the gateway's own address, or that is an ICMP error: the
        one is no resource, the other no part of the flow that it tells about.
        """
        if forward.resource_id is None or is_icmp_error(headers.protocol, headers.icmp_type):
            return
        key = _key(forward.resource_id, headers, packet, outbound=outbound)
        kind, age = _kind(key, outbound=outbound), self._memory.inbound_age
        counted = kind(self.flows, key, headers.transport, forward, age)
        counted.decide(packet, now)
        self._memory.remember_prepared(headers, packet, counted, outbound=outbound)

    def through_nat(  # noqa: PLR0913 - what is known of the session
        self,
        flow: PreparedFlow,
        headers: Headers,
        mapping: tuple[int, int, bytes],
        permitted: Forward,
        domain: str,
        *,
        outbound: bool,
    ) -> PreparedFlow:
        """Return *flow*, which translates packets, such that it counts them too.

        Args:
            flow: what translates.
            headers: those of the first of the packets, as it arrived.
            mapping: protocol, translated port or echo id, resolved address.
            permitted: what permits them.
            domain: the name that the proxy address stands for.
            outbound: whether the client sends.
        """
        protocol, near_port, far = mapping
        near = headers.source if outbound else headers.destination
        far_port = headers.destination_port if outbound else headers.source_port
        # Only DNS resources are translated, and they have an id.
        resource_id = cast("str", permitted.resource_id)
        key = FlowKey(resource_id, protocol, near, near_port, far, _port(far_port))
        kind = _kind(key, outbound=outbound)
        # The NAT's sessions do not age: they know themselves when they have ended.
        counted = kind(self.flows, key, headers.transport, permitted, Age(), domain)
        return _Through(flow, counted)

    def of_fragments(
        self, headers: Headers, packet: bytes, decision: Forward | Translate, *, outbound: bool
    ) -> OpenFlow | None:
        """Return the record that a first fragment was counted for; later ones follow it."""
        if decision.resource_id is None:
            return None
        if outbound and isinstance(decision, Translate):
            packet = decision.packet
            # What has just been translated is as good as what came in.
            headers = cast("Headers", read_headers(packet))
        return self.flows.find(_key(decision.resource_id, headers, packet, outbound=outbound))


def count_fragment(
    flow: OpenFlow | None, headers: Headers, packet: bytes, now: float, *, outbound: bool
) -> None:
    """Count a later fragment: behind the IP headers all of it is payload."""
    if flow is not None and not flow.ended:
        flow.count(len(packet) - headers.transport, now, outbound=outbound)


def _kind(
    key: FlowKey, *, outbound: bool
) -> "type[_Outbound | _Inbound | _TcpOutbound | _TcpInbound]":
    if key.protocol == TCP:
        return _TcpOutbound if outbound else _TcpInbound
    return _Outbound if outbound else _Inbound


def _key(resource_id: str, headers: Headers, packet: bytes, *, outbound: bool) -> FlowKey:
    """Return the flow of a packet as the resource sees it."""
    protocol, echo_id = headers.protocol, _echo_id(headers, packet)
    source_port, destination_port = _port(headers.source_port), _port(headers.destination_port)
    if outbound:
        near, near_port, far, far_port = (
            headers.source,
            source_port,
            headers.destination,
            destination_port,
        )
    else:
        near, near_port, far, far_port = (
            headers.destination,
            destination_port,
            headers.source,
            source_port,
        )
    return FlowKey(
        resource_id, protocol, near, near_port if echo_id is None else echo_id, far, far_port
    )


def _port(port: int) -> int | None:
    return None if port == NO_PORT else port


def _echo_id(headers: Headers, packet: bytes) -> int | None:
    if not is_echo(headers.protocol, headers.icmp_type):
        return None
    number: int = _ECHO_ID(packet, headers.transport)[0]
    return number
