"""`FlowLookup`: where every packet comes in, alone or with others, and most are decided.

Theory of operation. Policy aside, a packet's decision depends on a few bytes of its headers,
which are checked and sliced here; nothing else is read. By them the flow cache finds the decision
about nearly every packet, or the handler that decides about its flow. It is safe to admit a
packet on a hit: whatever decided about the flow's first packet is in the key or checked here
again, and a change of permissions would have removed the entry. A miss of TCP or UDP is a
first packet (`first_packets`); all others are up to `Gateway`.

The latest time is kept here too, since a packet may bring a later one. One that reaches the next
expiry, or that is odd, goes to `Gateway`. So do packets that miss the cache once upkeep is due.

The class has a twin in C. Whatever either form does not decide itself, it calls as a method of
the subclass (below, "What a subclass does").
"""

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct

from firezone_filter.access.special_ranges import RangeMap
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.compiled.twins import compiled, supply
from firezone_filter.gateway.first_packets import FirstPackets, NearEnd
from firezone_filter.gateway.flow_cache import FlowCache
from firezone_filter.structures.deadline import Deadline
from firezone_filter.values.arguments import (
    Packet,
    check_direction,
    to_batch,
    to_bytes,
    to_list_of_bytes,
    to_text,
)
from firezone_filter.values.decisions import Decision, Direction, Forward, Translate

_OUTBOUND = Direction.OUTBOUND
_INBOUND = Direction.INBOUND

# The bytes of a TCP or UDP packet that its decision depends on; the last field is the flow key.
_IPV4_FLOW = Struct("!2xHxxHxBxx12s").unpack_from  # length, fragment bits, protocol, key
_IPV6_FLOW = Struct("!4xHBx36s").unpack_from  # payload length, next header, key


@compiled
class FlowLookup(FirstPackets):
    """Decides about packets of remembered flows, and first ones; a subclass judges all others."""

    __slots__ = (
        "_expiries",
        "_inbound",
        "_inbound_handlers",
        "_last_now",
        "_now",
        "_outbound",
        "_outbound_handlers",
        "_translated_inbound",
        "_translated_outbound",
        "_upkeep_at",
    )

    def __init__(  # noqa: PLR0913 - all tables that packets are looked up in
        self,
        cache: FlowCache,
        expiries: Deadline,
        clients: Mapping[bytes, NearEnd],
        ranges: RangeMap,
        refusals: RefusalCounts,
        *,
        replies: bool,
    ) -> None:
        super().__init__(clients, ranges, refusals, replies=replies)
        self._outbound, self._inbound = cache.outbound, cache.inbound
        self._outbound_handlers = cache.outbound_handlers
        self._inbound_handlers = cache.inbound_handlers
        # No time before that of the next expiry needs a second look.
        self._expiries = expiries
        # Time stands still before the first `now`. Whatever begins in that period is restarted
        # at the first `now`; only an event that is polled before it shows the 0.
        self._now = 0.0
        self._last_now: float | None = None
        # Upkeep may have something to do from then on.
        self._upkeep_at = float("-inf")
        # Allowed packets so far, beside those that go on unchanged.
        self._translated_outbound = self._translated_inbound = 0

    def handle_packet(  # noqa: C901, PLR0912, PLR0915 - the whole way
        self,
        direction: Direction,
        packet: Packet,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        """Decide about one packet. No packet content makes this raise.

        Args:
            direction: from a client (`OUTBOUND`) or to one (`INBOUND`).
            packet: one IP packet, as any contiguous bytes-like object. It is not kept.
            now: the time, in seconds.
            client_id: outbound, the peer that the tunnel authenticated. Leave it out only
                if the tunnel itself binds inner source addresses to peers, as WireGuard's
                AllowedIPs do. Inbound, the client that the packet is for, if known.

        Returns:
            `Forward` if the packet goes on unchanged, `Translate` if a translated one goes
            on, `Reject` if an ICMP error goes back to the client, `Drop` if nothing is sent.
            `decision.to_send(packet)` returns the bytes that go on, or `None`. Inbound
            packets are never rejected, only dropped.

        Raises:
            InvalidTime: *now* is not finite, 2**33 or more, or more than 50 years from the
                latest `now`.
            TypeError: a wrong type.
        """
        # No keyword-only parameters: they would cost a call 35 ns more, of 270.
        if type(packet) is not bytes:
            packet = to_bytes(packet)
        if direction is _OUTBOUND:
            decisions, shard_at = self._outbound, -3
        elif direction is _INBOUND:
            decisions, shard_at = self._inbound, -1
        else:
            check_direction(direction)
        # Hosts reuse one `now` for a burst, so the same object needs no second check (40 ns
        # of 300).
        if now is not None and now is not self._last_now:
            # A call that raises must have changed nothing, so the id's type is checked before
            # time passes. Without a new `now` no time passes, and the check can wait for a
            # miss of the cache: a hit needs the very object that the client was connected with.
            if client_id is not None and type(client_id) is not str:
                client_id = to_text("client_id", client_id)
            if type(now) is float and self._now <= now < self._expiries.next:
                self._now = self._last_now = now
            else:
                self._advance(self._to_now(now))

        # The headers are read inline because a call would add a fifth, and by numbers because
        # each name takes 10 ns. (28 and 40 are the shortest packets of UDP and TCP
        # over IPv4, 48 and 60 over IPv6; 0x45 is IPv4 without options; 0x3FFF are the bits of
        # a fragment; 6 is TCP, 17 UDP.) `is` compares ids first, since hosts mostly pass the
        # very object that they connected the client with.
        key: bytes | None = None
        size = len(packet)
        if size >= 28:
            first = packet[0]
            if first == 0x45:
                length, fragmented, protocol, ends = _IPV4_FLOW(packet)
                if length == size and not fragmented & 0x3FFF and (size >= 40 or protocol != 6):
                    key = ends
            elif size >= 48 and first >> 4 == 6:
                length, protocol, ends = _IPV6_FLOW(packet)
                if length == size - 40 and (size >= 60 or protocol != 6):
                    key = ends
        if key is None:
            if client_id is not None:
                client_id = to_text("client_id", client_id)
            return self._handle(direction, None, 0, packet, client_id)
        found: Forward | None = decisions[protocol][key[shard_at]].get(key)
        if found is not None and (
            client_id is None
            or client_id is found.client_id
            or to_text("client_id", client_id) == found.client_id
        ):
            if direction is _OUTBOUND:
                self._forwarded_outbound += 1
            else:
                self._forwarded_inbound += 1
            return found
        if client_id is not None:
            client_id = to_text("client_id", client_id)

        # Flow handlers, for established flows whose packets each have an effect: translated,
        # tracked or counted. They are invalidated like decisions. A handler returns `None` if
        # its flow is over or its generation out of date, and then the packet is judged.
        if (protocol == 6 or protocol == 17) and self._now < self._upkeep_at:
            outbound = direction is _OUTBOUND
            flows = (self._outbound_handlers if outbound else self._inbound_handlers)[protocol]
            handler = flows[key[shard_at]].get(key) if flows else None
            if handler is not None and (client_id is None or client_id == handler.client_id):
                decision: Decision | None = handler.handle(packet, self._now)
                if decision is not None:
                    if type(decision) is Translate:
                        self._count(decision, outbound=outbound)
                    # (Calling `_count` would take 80 ns.)
                    elif outbound:
                        self._forwarded_outbound += 1
                    else:
                        self._forwarded_inbound += 1
                    return decision
            decision = self._first(direction, protocol, key, packet, client_id, self._now)
            if decision is not None:
                return decision
            return self._judge_and_commit(direction, key, protocol, packet, client_id)
        return self._handle(direction, key, protocol, packet, client_id)

    # Several packets are decided by this very method, whatever a subclass makes of it.
    _handle_packet = handle_packet

    def handle_packets(
        self,
        direction: Direction,
        packets: Iterable[Packet],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        """Decide about several packets, as that many calls of `handle_packet` at one *now*.

        Arguments are as for `handle_packet`, and all are checked before the first decision.

        Returns:
            A decision for each packet, in the same order.

        Raises:
            InvalidTime: *now* is not finite, 2**33 or more, or more than 50 years from the
                latest `now`.
            TypeError: a wrong type, also of a single packet; then none is decided.
        """
        check_direction(direction)
        if client_id is not None:
            client_id = to_text("client_id", client_id)
        wholes = to_list_of_bytes(packets)
        if now is not None:
            if type(now) is float and self._now <= now < self._expiries.next:
                self._now = self._last_now = now
            else:
                self._advance(self._to_now(now))
        handle = self._handle_packet
        return [handle(direction, packet, None, client_id) for packet in wholes]

    def handle_batch(
        self,
        directions: Sequence[Direction],
        packets: Sequence[Packet],
        nows: Sequence[float | None],
        client_ids: Sequence[str | None] | None = None,
    ) -> list[Decision]:
        """Decide about several packets, each with a direction, a time and a client of its own.

        That is what a tunnel delivers at once. It equals as many calls of `handle_packet`, one
        after the other, whose arguments are checked before the first decision.

        Args:
            directions: the direction of each packet.
            packets: the packets.
            nows: the time of each, in seconds; `None` where no time passes.
            client_ids: the client of each, or `None`, as for `handle_packet`; `None` for no
                client at all.

        Returns:
            A decision for each packet, in the same order.

        Raises:
            InvalidTime: a time as for `handle_packet`; then no packet is decided.
            TypeError: a wrong type, also of a single element; the same.
            ValueError: not of one length.
        """
        batch = to_batch(directions, packets, nows, client_ids)
        times = self._to_times(batch.nows)
        handle = self._handle_packet
        return list(map(handle, batch.directions, batch.packets, times, batch.client_ids))

    def _count(self, decision: Decision, *, outbound: bool) -> None:
        if type(decision) is Translate:
            self._translated_outbound += outbound
            self._translated_inbound += not outbound
        else:
            self._forwarded_outbound += outbound
            self._forwarded_inbound += not outbound

    # --- What a subclass does ---------------------------------------------------------------

    def _handle(
        self,
        direction: Direction,
        key: bytes | None,
        protocol: int,
        packet: bytes,
        client_id: str | None,
    ) -> Decision:
        raise NotImplementedError

    def _judge_and_commit(
        self,
        direction: Direction,
        key: bytes | None,
        protocol: int,
        packet: bytes,
        client_id: str | None,
    ) -> Decision:
        raise NotImplementedError

    def _to_now(self, now: float) -> float:
        raise NotImplementedError

    def _advance(self, now: float) -> None:
        raise NotImplementedError

    def _to_times(self, nows: list[float | None]) -> list[float | None]:
        raise NotImplementedError


supply(
    OUTBOUND=_OUTBOUND,
    INBOUND=_INBOUND,
    Translate=Translate,
    check_direction=check_direction,
    to_batch=to_batch,
    to_bytes=to_bytes,
    to_list_of_bytes=to_list_of_bytes,
    to_text=to_text,
)
