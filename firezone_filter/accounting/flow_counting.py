"""Counting packets for the flow records of one client: which ones, and how much of each.

Theory of operation. Counting comes after the decision, and never changes it. `Gateway` passes the
first packet of a flow, once it is allowed, to `FlowRecorder`, which counts it and returns a
handler for the next ones. The handler holds both the decision and the record, so an established
flow is decided and counted in one call, without a look-up of either. For a translated flow the
NAT's handler decides, and the counting one follows (`tracking.handlers.Joined`).

The flow cache stores these handlers, and invalidates them with the client's permissions. Inbound
ones of direct flows also check their generation, since a new session may take the flow over.

A record may be closed at any time. Its handler notices that at the next packet, by one
comparison (up to its `open_until` a record takes packets without a second look), and then looks
for the flow's next record. What a packet usually does to its record (`CountedFlow`) has a twin in
C; beginning, restarting and ending one is Python (`count_slowly`). Later fragments are counted
through their first fragment's verdict.
"""

from struct import Struct
from typing import Any, Final, cast

from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.flow_record import NO_RECORD, FlowEnds, FlowRecord, Tally
from firezone_filter.accounting.flow_records import ClientRecords, FindOver
from firezone_filter.compiled.twins import compiled
from firezone_filter.packet.headers import NO_PORT, Headers, read_headers
from firezone_filter.packet.icmp import ICMP_HEADER, is_echo
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, STATE_FLAGS, TCP, TCP_FLAGS_AT, UDP
from firezone_filter.structures.generation import NEVER_OUTDATED, Generation
from firezone_filter.tracking.handlers import CountFragment, FlowHandler, Joined, Quick
from firezone_filter.values.decisions import Forward, Translate

_UDP_HEADER: Final = 8

_ECHO_ID = Struct("!4xH").unpack_from

# Bytes of the transport header before the payload; TCP has its data offset for that.
_HEADER: Final = {UDP: _UDP_HEADER, ICMPV4: ICMP_HEADER, ICMPV6: ICMP_HEADER}


@compiled
class CountedFlow(Quick):
    """The packets of one flow in one direction: the decision about them, and their record.

    It counts, unless a record may begin or end with the packet. That is one function, since
    another call would cost as much as the counting.
    """

    __slots__ = (
        "_born",
        "_flags_at",
        "_generation",
        "_header_end",
        "_is_tcp",
        "forward",
        "is_outbound",
        "record",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the facts about a flow
        self,
        forward: Forward,
        record: Tally,
        transport: int,
        header: int,
        generation: Generation,
        is_tcp: bool,  # noqa: FBT001 - keywords take 50 ns
        is_outbound: bool,  # noqa: FBT001
    ) -> None:
        """Prepare to count the packets of a flow.

        Args:
            forward: the decision about them, which names a resource.
            record: its record, or `NO_RECORD`.
            transport: the index of the transport header in its packets.
            header: bytes of that, before the payload; TCP has its data offset for that.
            generation: the flow is judged anew once this has moved on.
            is_tcp: whether it is one of TCP.
            is_outbound: whether the client sends the packets.
        """
        self.client_id: str = forward.client_id
        self.forward: Forward = forward
        self.record: Any = record
        self._header_end = transport + header
        self._flags_at = transport + TCP_FLAGS_AT
        self._generation, self._born = generation, generation.number
        self._is_tcp = is_tcp
        self.is_outbound: bool = is_outbound

    def handle(self, packet: bytes, now: float) -> Forward | None:
        """Count a packet; return `None` to have it judged anew."""
        if self._born != self._generation.number:
            return None
        record, flags = self.record, 0
        payload = len(packet) - self._header_end
        if self._is_tcp:
            at = self._flags_at
            # The data offset stands before the flags, in the upper four bits: words of four bytes.
            payload -= packet[at - 1] >> 2 & 0x3C
            flags = packet[at]
        # FIN, SYN and RST may begin, restart or end a record.
        if now > record.open_until or flags & STATE_FLAGS or payload < 0:
            self.count_slowly(flags, payload, now)
        elif self.is_outbound:
            record.tx_packets += 1
            record.tx_bytes += payload
            record.last_packet = now
        else:
            record.rx_packets += 1
            record.rx_bytes += payload
            record.last_packet = now
        return self.forward

    def count_slowly(self, flags: int, payload: int, now: float) -> None:
        """Count a packet with such TCP flags (or 0), with which a record may begin or end."""
        raise NotImplementedError


class _Counted(CountedFlow):
    """The same, with what tells its record from others."""

    __slots__ = ("_domain", "_ends", "_records")

    def __init__(  # noqa: PLR0913, PLR0917 - the facts about a flow
        self,
        records: ClientRecords,
        ends: bytes,
        transport: int,
        forward: Forward,
        generation: Generation,
        outbound: bool,  # noqa: FBT001
        domain: str | None = None,
    ) -> None:
        """Prepare to count the packets of a flow.

        Args:
            records: the client's records.
            ends: the ends of the flow, packed.
            transport: as for `CountedFlow`, like `forward` and `generation`.
            forward: the decision.
            generation: that of the flow, if it comes in.
            outbound: whether the client sends the packets.
            domain: the name behind the proxy address; `None` if the flow is not translated.
        """
        protocol = ends[0]
        header = _HEADER.get(protocol, 0)
        generation = NEVER_OUTDATED if outbound else generation
        is_tcp = protocol == TCP
        super().__init__(forward, NO_RECORD, transport, header, generation, is_tcp, outbound)
        self._records = records
        self._ends = ends
        self._domain = domain

    def count_slowly(self, flags: int, payload: int, now: float) -> None:
        """Count a packet, which may begin a record if the client sends it."""
        resource_id = cast("str", self.forward.resource_id)
        if not self.is_outbound:
            self.record = self._records.inbound(resource_id, self._ends, flags, payload, now)
            return
        record = self._records.outbound(resource_id, self._ends, self._domain, flags, payload, now)
        # Keep the record only once the client has sent more than its SYN: until then, `outbound`
        # must see each packet, to note the first other one.
        self.record = record if record.has_spoken else NO_RECORD


class FlowRecorder:
    """Counts the allowed packets of one client. It neither decides nor remembers anything."""

    __slots__ = ("records",)

    def __init__(self, client_id: str, log: FlowLog, find_over: FindOver | None = None) -> None:
        """Create a recorder whose records go to *log*; *find_over* as for `ClientRecords`."""
        self.records: ClientRecords = ClientRecords(client_id, log, find_over)

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
        handler = _Counted(self.records, ends, headers.transport, forward, generation, outbound)
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
        # A generation that never moves on: the NAT's handler notices itself when the session is
        # over.
        counter = _Counted(
            self.records, ends, headers.transport, permitted, NEVER_OUTDATED, outbound, domain
        )
        counter.handle(packet, now)
        return Joined(flow, counter)

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
