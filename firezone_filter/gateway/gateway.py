"""`Gateway`, the front door: finds the client, keeps the time, queues events.

It checks what it is handed and routes; the knowledge is below: `Client` judges packets,
`Roster` knows who is connected and what ends when.
"""

from collections.abc import Iterable
from struct import Struct

from firezone_filter.gateway.flow_cache import PreparedFlow, echo_flow
from firezone_filter.gateway.hooks import Hooks
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.arguments import (
    Packet,
    check_type,
    to_bytes,
    to_list_of_bytes,
    to_text,
)
from firezone_filter.values.decisions import Decision, Direction, Forward
from firezone_filter.values.errors import shown
from firezone_filter.values.events import Event
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.times import to_time

_OUTBOUND = Direction.OUTBOUND
_INBOUND = Direction.INBOUND

# What the decision about an established flow depends on: the first bytes of its packets.
_IPV4_FLOW = Struct("!2xHxxHxBxx12s").unpack_from  # length, fragment, protocol; ends, ports
_IPV6_FLOW = Struct("!4xHBx36s").unpack_from  # length, protocol; ends, ports


class Gateway(Hooks):
    """Decides about every packet between clients and resources, in both directions.

    It opens no socket, reads no clock and starts no thread: packets and times are handed
    in, decisions and events come out. One thread at a time.

    Time is in seconds, on one clock of the host's choosing; Unix time wherever expiries
    come from a portal or a policy file. A call without `now` happens at the latest `now`
    seen, and an earlier one counts as that. Every hook checks all its arguments first: a
    call that raises has changed nothing, time included.

    >>> gateway = Gateway(TunnelAddresses(ipv4="100.64.0.1"))
    >>> gateway.client_connected("alice", TunnelAddresses(ipv4="100.64.0.2"), now=0.0)
    >>> gateway.authorize("alice", CidrResource("db", "10.0.0.0/24", [Tcp(5432)]))
    """

    def __init__(
        self,
        addresses: TunnelAddresses,
        *,
        address_plan: AddressPlan = AddressPlan(),  # noqa: B008 - immutable
        options: GatewayOptions = GatewayOptions(),  # noqa: B008 - immutable
    ) -> None:
        """Create a gateway without clients.

        Args:
            addresses: the gateway's own tunnel addresses.
            address_plan: which addresses mean clients, which stand for DNS resources.
            options: what the portal has no say in.

        Raises:
            InvalidAddress: an address of the gateway is outside the plan's tunnel ranges.
            TypeError: a wrong type.
        """
        check_type("addresses", addresses, TunnelAddresses)
        check_type("address_plan", address_plan, AddressPlan)
        check_type("options", options, GatewayOptions)
        super().__init__(addresses, address_plan, options)

    # --- Packets ---------------------------------------------------------------------------

    def handle_packet(  # noqa: C901, PLR0912 - one screen; a call more costs a tenth of it
        self,
        direction: Direction,
        packet: Packet,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        """Decide about one packet. Nothing in the packet makes it raise.

        Args:
            direction: from a client (`OUTBOUND`) or to one (`INBOUND`).
            packet: a whole IP packet, any contiguous bytes-like object. It is not kept.
            now: the time, in seconds.
            client_id: outbound, the peer that the tunnel authenticated. Leave it out only
                if the tunnel itself binds inner source addresses to peers, as WireGuard's
                AllowedIPs do. Inbound, the client that the packet is for, if known.

        Returns:
            What to do; `decision.to_send(packet)` is what goes on, or `None`.

        Raises:
            InvalidTime: *now* is not finite.
            TypeError: a wrong type.
        """
        # No parameter is for keywords alone: CPython would take 35 ns of 270 more for a call.
        if type(packet) is not bytes:
            packet = to_bytes(packet)
        if direction is _OUTBOUND:
            flows = self._outbound
        elif direction is _INBOUND:
            flows = self._inbound
        else:
            raise TypeError(f"direction is a Direction, not {shown(direction)}")
        # Hosts read the clock once for all packets that are there: what has been reckoned
        # with once needs no second look (40 ns of 300).
        if now is not None and now is not self._reckoned:
            if client_id is not None and type(client_id) is not str:
                client_id = to_text("client_id", client_id)
            if type(now) is float and self._now <= now < self._deadlines.next:
                self._now = now
            else:
                self._advance(to_time(now))
            self._reckoned = now
        # Established flows end here: what every packet is checked for, and one look-up. It
        # is a fifth of the way of a first packet, and stands here because a call more is a
        # tenth of it, with numbers in the place of names because those take 10 ns (28, 40:
        # the least packet of UDP and TCP over IPv4; 48, 60: over IPv6; 0x45: no options;
        # 0x3FFF: a fragment; 6: TCP). Ids are mostly the very objects that the host connected
        # the clients with; others are compared further down.
        found: Forward | None
        flow: bytes | None = None
        size = len(packet)
        if size >= 28:
            first = packet[0]
            if first == 0x45:
                length, fragmented, protocol, ends = _IPV4_FLOW(packet)
                if length == size and not fragmented & 0x3FFF and (size >= 40 or protocol != 6):
                    found = flows[protocol].get(ends)
                    if found is not None and (client_id is None or client_id is found.client_id):
                        return found
                    flow = ends
            elif 0x60 <= first <= 0x6F and size >= 48:
                length, protocol, ends = _IPV6_FLOW(packet)
                if length + 40 == size and (size >= 60 or protocol != 6):
                    found = flows[protocol].get(ends)
                    if found is not None and (client_id is None or client_id is found.client_id):
                        return found
                    flow = ends
        if client_id is not None and type(client_id) is not str:
            client_id = to_text("client_id", client_id)
        if flow is not None:
            if found is not None and client_id == found.client_id:
                return found
            return self._decide_missed(direction, protocol, flow, packet, client_id)
        return self._fresh.any(direction, None, packet, self._now, client_id)

    def handle_packets(
        self,
        direction: Direction,
        packets: Iterable[Packet],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        """Decide about packets that arrived together: as many single calls at one *now*.

        Arguments as `handle_packet`.

        Returns:
            A decision for each packet, in their order.

        Raises:
            InvalidTime: *now* is not finite.
            TypeError: a wrong type, also of one of the packets; then none is decided.
        """
        check_type("direction", direction, Direction)
        if client_id is not None:
            client_id = to_text("client_id", client_id)
        wholes = to_list_of_bytes(packets)
        self._advance(None if now is None else to_time(now))
        return self._decide_each(direction, wholes, client_id)

    def _decide_each(
        self, direction: Direction, packets: list[bytes], client_id: str | None
    ) -> list[Decision]:
        # The look-up of `handle_packet` once more, without what holds for all of them: 0.94 of
        # its time for an established flow.
        decisions: list[Decision] = []
        add = decisions.append
        flows = self._outbound if direction is _OUTBOUND else self._inbound
        for packet in packets:
            size = len(packet)
            if size >= 28:
                first = packet[0]
                if first == 0x45:
                    length, fragmented, protocol, flow = _IPV4_FLOW(packet)
                    if (
                        length == size
                        and not fragmented & 0x3FFF
                        and (size >= 40 or protocol != 6)
                    ):
                        found = flows[protocol].get(flow)
                        if found is not None and (
                            client_id is None or client_id == found.client_id
                        ):
                            add(found)
                        else:
                            add(self._decide_missed(direction, protocol, flow, packet, client_id))
                        continue
                elif 0x60 <= first <= 0x6F and size >= 48:
                    length, protocol, flow = _IPV6_FLOW(packet)
                    if length + 40 == size and (size >= 60 or protocol != 6):
                        found = flows[protocol].get(flow)
                        if found is not None and (
                            client_id is None or client_id == found.client_id
                        ):
                            add(found)
                        else:
                            add(self._decide_missed(direction, protocol, flow, packet, client_id))
                        continue
            add(self._fresh.any(direction, None, packet, self._now, client_id))
        return decisions

    def _decide_missed(
        self,
        direction: Direction,
        protocol: int,
        flow: bytes,
        packet: bytes,
        client_id: str | None,
    ) -> Decision:
        """Decide about a whole packet without options of which no decision is remembered."""
        # Established flows of which each packet has an effect: translated, or counted.
        ready = self._prepared_outbound if direction is _OUTBOUND else self._prepared_inbound
        flows = ready[protocol]
        if flows:
            prepared: PreparedFlow | None = flows.get(flow)
            if prepared is None and protocol in (ICMPV4, ICMPV6):
                prepared = flows.get(echo_flow(packet))
            if prepared is not None and (client_id is None or client_id == prepared.client_id):
                decision = prepared.decide(packet, self._now)
                if decision is not None:
                    return decision
        if protocol == TCP or protocol == UDP:
            return self._fresh.plain(direction, protocol, flow, packet, self._now, client_id)
        return self._fresh.any(direction, None, packet, self._now, client_id)

    # --- Time and events -------------------------------------------------------------------

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout` next, or `None` for not at all.

        That is the earliest moment at which it has an event to report; events that already
        wait are not announced. Hooks change it and, where flows are recorded, packets too.
        """
        return self._roster.earliest()

    def handle_timeout(self, now: float) -> None:
        """Let time pass: expire what is due, and forget what has been kept long enough.

        Being late does no harm: whatever brings a later `now` expires first.

        Raises:
            InvalidTime: *now* is not finite.
            TypeError: not a number.
        """
        self._advance(to_time(now))
        self._roster.forget_old(self._now)

    def poll_event(self) -> Event | None:
        """Return the next event, or `None`. Fetch until `None` after any call."""
        return self._roster.events.get()
