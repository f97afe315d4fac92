"""Counting packets for the flow records of one client: which ones, and how much of each.

Theory of operation. Counting comes after the decision, and never changes it. Packets come in
once they have been judged and allowed: `Gateway` passes the first packet of a flow to
`FlowRecorder`, which counts it and returns a handler for the next ones. The handler holds both
the decision and the record, so that an established flow is decided and counted in one call,
without a look-up of either. A handler of a translated flow wraps that of the NAT.

The flow cache stores these handlers, and invalidates them with the client's permissions. Inbound
ones of direct flows also check their generation, since a new session may take the flow over.
Records may be closed at any time; a handler notices that at the next packet, and looks for the
flow's next record then. One comparison tells: up to its `open_until` a record takes packets
without a second look. Later fragments are counted through their first fragment's verdict.
"""

from struct import Struct
from typing import Final, cast

from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.flow_record import NO_RECORD, FlowEnds, FlowRecord
from firezone_filter.accounting.flow_records import ClientRecords, FindOver
from firezone_filter.packet.headers import NO_PORT, Headers, read_headers
from firezone_filter.packet.icmp import ICMP_HEADER, is_echo
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, STATE_FLAGS, TCP, TCP_FLAGS_AT, UDP
from firezone_filter.structures.generation import NEVER_OUTDATED, Generation
from firezone_filter.tracking.handlers import CountFragment, FlowHandler
from firezone_filter.values.decisions import Forward, Translate

# Indexes in a TCP header.
_OFFSET_AT: Final = 12  # data offset: the upper four bits, in words of four bytes
_UDP_HEADER: Final = 8

_ECHO_ID = Struct("!4xH").unpack_from

# Bytes of the transport header before the payload; TCP has its data offset for that.
_HEADER: Final = {UDP: _UDP_HEADER, ICMPV4: ICMP_HEADER, ICMPV6: ICMP_HEADER}


class _Counted:
    """A flow handler that counts: the decision about a flow's packets, and their record.

    Each subclass writes `handle` out in full, since another call, or a branch on the kind of
    flow, would cost as much as the counting.
    """

    __slots__ = (
        "_born",
        "_domain",
        "_ends",
        "_flags_at",
        "_forward",
        "_generation",
        "_offset_at",
        "_payload_at",
        "_record",
        "_records",
        "_resource_id",
        "client_id",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the facts about a flow
        self,
        records: ClientRecords,
        ends: bytes,
        transport: int,
        forward: Forward,
        generation: Generation,
        domain: str | None = None,
    ) -> None:
        """Prepare to count the packets of a flow.

        Args:
            records: the client's records.
            ends: the ends of the flow, packed.
            transport: the index of the transport header in its packets.
            forward: the decision about them, which names a resource.
            generation: an inbound flow is judged anew once this has moved on.
            domain: the name behind the proxy address; `None` if the flow is not translated.
        """
        self.client_id = forward.client_id
        self._records = records
        self._ends = ends
        self._resource_id = cast("str", forward.resource_id)
        self._forward = forward
        self._generation, self._born = generation, generation.number
        self._domain = domain
        self._record = NO_RECORD
        self._payload_at = transport + _HEADER.get(ends[0], 0)
        self._offset_at = transport + _OFFSET_AT
        self._flags_at = transport + TCP_FLAGS_AT


class _Outbound(_Counted):
    """Counts packets from the client, of any protocol but TCP."""

    __slots__ = ()

    def handle(self, packet: bytes, now: float) -> Forward:
        """Count a packet, which begins a record if there is none."""
        record = self._record
        if now > record.open_until:
            payload = len(packet) - self._payload_at
            self._record = self._records.outbound(
                self._resource_id, self._ends, self._domain, 0, payload, now
            )
        else:
            record.tx_packets += 1
            record.tx_bytes += len(packet) - self._payload_at
            record.last_packet = now
        return self._forward


class _Inbound(_Counted):
    """Counts packets to the client, of any protocol but TCP."""

    __slots__ = ()

    def handle(self, packet: bytes, now: float) -> Forward | None:
        """Count a packet, if its flow has a record; return `None` to have it judged anew."""
        # A new session may have taken the flow over since the judge permitted it.
        if self._born != self._generation.number:
            return None
        record = self._record
        if now > record.open_until:
            self._record = self._records.inbound(
                self._resource_id, self._ends, 0, len(packet) - self._payload_at, now
            )
        else:
            record.rx_packets += 1
            record.rx_bytes += len(packet) - self._payload_at
            record.last_packet = now
        return self._forward


class _TcpOutbound(_Counted):
    """Counts TCP packets from the client."""

    __slots__ = ()

    def handle(self, packet: bytes, now: float) -> Forward:
        """Count a packet, which may begin a record."""
        payload = len(packet) - self._payload_at - (packet[self._offset_at] >> 2 & 0x3C)
        flags = packet[self._flags_at]
        record = self._record
        # 7: the state flags FIN, SYN and RST, which may begin, restart or end a record.
        if now > record.open_until or flags & STATE_FLAGS or payload < 0:
            record = self._records.outbound(
                self._resource_id, self._ends, self._domain, flags, payload, now
            )
            # Keep the record only once the client has sent more than its SYN: until then,
            # `outbound` must see each packet, to note the first other one.
            self._record = record if record.has_spoken else NO_RECORD
        else:
            record.tx_packets += 1
            record.tx_bytes += payload
            record.last_packet = now
        return self._forward


class _TcpInbound(_Counted):
    """Counts TCP packets to the client."""

    __slots__ = ()

    def handle(self, packet: bytes, now: float) -> Forward | None:
        """Count a packet, if its flow has a record; return `None` to have it judged anew."""
        # A new session may have taken the flow over since the judge permitted it.
        if self._born != self._generation.number:
            return None
        payload = len(packet) - self._payload_at - (packet[self._offset_at] >> 2 & 0x3C)
        flags = packet[self._flags_at]
        record = self._record
        if now > record.open_until or flags & STATE_FLAGS or payload < 0:
            self._record = self._records.inbound(
                self._resource_id, self._ends, flags, payload, now
            )
        else:
            record.rx_packets += 1
            record.rx_bytes += payload
            record.last_packet = now
        return self._forward


class _CountedTranslation:
    """The handler of a translated flow: lets the NAT decide, and counts what passes."""

    __slots__ = ("_counted", "_decided", "client_id")

    def __init__(self, decided: FlowHandler, counted: FlowHandler) -> None:
        self.client_id = decided.client_id
        self._decided = decided
        self._counted = counted

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Translate a packet and count it; return `None` if the session is over."""
        decision = self._decided.handle(packet, now)
        if decision is not None:
            self._counted.handle(packet, now)
        return decision


class FlowRecorder:
    """Counts the allowed packets of one client. It neither decides nor remembers anything."""

    __slots__ = ("records",)

    def __init__(self, client_id: str, log: FlowLog, find_over: FindOver | None = None) -> None:
        """Create a recorder whose records go to *log*; *find_over* as for `ClientRecords`."""
        self.records = ClientRecords(client_id, log, find_over)

    def count(  # noqa: PLR0913 - the facts about a packet
        self,
        headers: Headers,
        packet: bytes,
        forward: Forward,
        now: float,
        generation: Generation,
        *,
        outbound: bool,
    ) -> FlowHandler | None:
        """Count an allowed packet, whole or a first fragment, that is not translated.

        Packets to and from the gateway's own address do not count, since it is no resource.
        (ICMP errors do not get here: they belong to no flow, least of all to the one that they
        are about.)

        Returns:
            The handler of the flow's next packets; `None` if they do not count. Inbound, it
            has packets judged anew once *generation* has moved on.
        """
        if forward.resource_id is None:
            return None
        ends = _ends(headers, packet, outbound=outbound)
        kind = _handler_class(headers.protocol, outbound=outbound)
        handler = kind(self.records, ends, headers.transport, forward, generation)
        handler.handle(packet, now)
        return handler

    def counted_translation(  # noqa: PLR0913, PLR0917 - the facts about a session
        self,
        flow: FlowHandler,
        headers: Headers,
        packet: bytes,
        mapping: tuple[int, int, bytes],
        permitted: Forward,
        domain: str,
        now: float,
        *,
        outbound: bool,
    ) -> FlowHandler:
        """Count a translated packet; return a handler that translates and counts the next ones.

        Args:
            flow: the handler that translates.
            headers: those of the packet before translation.
            packet: the packet before translation.
            mapping: protocol, translated port or echo id, real address.
            permitted: the permission for it; only DNS resources are translated, so it has an id.
            domain: the name that the proxy address stands for.
            now: the time, in seconds.
            outbound: whether the client sends it.
        """
        protocol, near_port, far = mapping
        near = headers.source if outbound else headers.destination
        far_port = headers.destination_port if outbound else headers.source_port
        ends = FlowEnds(protocol, near, near_port, far, _port(far_port)).packed()
        kind = _handler_class(protocol, outbound=outbound)
        # A generation that never moves on: the NAT's handler notices itself when the session is
        # over.
        counter = kind(self.records, ends, headers.transport, permitted, NEVER_OUTDATED, domain)
        counter.handle(packet, now)
        return _CountedTranslation(flow, counter)

    def record_of_first_fragment(
        self, headers: Headers, packet: bytes, decision: Forward | Translate, *, outbound: bool
    ) -> FlowRecord | None:
        """Return the record that an allowed first fragment was counted for, or `None`.

        Later fragments count for the same record.
        """
        if decision.resource_id is None:
            return None
        if outbound and isinstance(decision, Translate):
            packet = decision.packet
            # Records have the ends after translation. Translation keeps a packet well formed.
            headers = cast("Headers", read_headers(packet))
        return self.records.find(decision.resource_id, _ends(headers, packet, outbound=outbound))

    def fragment_counter(self, record: FlowRecord, *, outbound: bool) -> CountFragment:
        """Return the function that counts the later fragments of a packet for *record*."""
        records = self.records

        def count(headers: Headers, packet: bytes, now: float) -> None:
            # A later fragment has no transport header: all behind its IP headers is payload.
            payload = len(packet) - headers.transport
            records.later_fragment(record, payload, now, outbound=outbound)

        return count


def _handler_class(
    protocol: int, *, outbound: bool
) -> "type[_Outbound | _Inbound | _TcpOutbound | _TcpInbound]":
    if protocol == TCP:
        return _TcpOutbound if outbound else _TcpInbound
    return _Outbound if outbound else _Inbound


def _ends(headers: Headers, packet: bytes, *, outbound: bool) -> bytes:
    """Return the packed ends of a packet's flow as the resource sees them."""
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
    near_port = near_port if echo_id is None else echo_id
    return FlowEnds(protocol, near, near_port, far, far_port).packed()


def _port(port: int) -> int | None:
    return None if port == NO_PORT else port


def _echo_id(headers: Headers, packet: bytes) -> int | None:
    if not is_echo(headers.protocol, headers.icmp_type):
        return None
    number: int = _ECHO_ID(packet, headers.transport)[0]
    return number
