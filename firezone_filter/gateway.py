"""`Gateway`, the front door: finds the client, keeps the time, queues events.

It checks what it is handed and routes; the knowledge is below: `Client` judges packets,
`Roster` knows who is connected and what ends when.
"""

from collections.abc import Iterable
from struct import Struct

from firezone_filter.addresses import MULTICAST, TUNNEL, AddressPlan, TunnelAddresses
from firezone_filter.arguments import Packet, check_type, to_bytes, to_list_of_bytes, to_text
from firezone_filter.clock import to_time
from firezone_filter.decisions import Decision, Direction, Drop, Forward, Reason, Translate
from firezone_filter.errors import shown
from firezone_filter.events import Event
from firezone_filter.hooks import Hooks
from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.numbers import IPV6, IPV6_HEADER, TCP
from firezone_filter.site import GatewayOptions

_OUTBOUND = Direction.OUTBOUND
_INBOUND = Direction.INBOUND

# What the decision about an established flow depends on: the first bytes of its packets.
_IPV4_FLOW = Struct("!2xHxxHxBxx12s").unpack_from  # length, fragment, protocol; ends, ports
_IPV6_FLOW = Struct("!4xHBx36s").unpack_from  # length, protocol; ends, ports
_PLAIN_IPV4 = 0x45  # no options
_IS_FRAGMENT = 0x3FFF  # more to come, or an offset
_LEAST_IPV4 = 28
_LEAST_IPV4_TCP = 40
_LEAST_IPV6 = 48
_LEAST_IPV6_TCP = 60


_MALFORMED = Drop(Reason.MALFORMED, None)
_MULTICAST = Drop(Reason.MULTICAST, None)
_NOT_A_PEER = Drop(Reason.NOT_A_PEER, None)
_UNKNOWN_CLIENT = Drop(Reason.UNKNOWN_CLIENT, None)


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
        *,
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
        if type(packet) is not bytes:
            packet = to_bytes(packet)
        if direction is _OUTBOUND:
            flows = self._outbound
        elif direction is _INBOUND:
            flows = self._inbound
        else:
            raise TypeError(f"direction is a Direction, not {shown(direction)}")
        if client_id is not None and type(client_id) is not str:
            client_id = to_text("client_id", client_id)
        if now is not None:
            if now.__class__ is float and self._now <= now < self._deadlines.next:
                self._now = now
            else:
                self._advance(to_time(now))
        # Established flows end here: what every packet is checked for, and one look-up. It
        # is a tenth of the whole way, and stands here because a call more is a tenth of it.
        found: Forward | None
        size = len(packet)
        if size >= _LEAST_IPV4:
            first = packet[0]
            if first == _PLAIN_IPV4:
                length, fragmented, protocol, flow = _IPV4_FLOW(packet)
                if (
                    length == size
                    and not fragmented & _IS_FRAGMENT
                    and (size >= _LEAST_IPV4_TCP or protocol != TCP)
                ):
                    found = flows[protocol].get(flow)
                    if found is not None and (client_id is None or client_id == found.client_id):
                        return found
                    if self._flows.is_translating and (
                        decision := self._translate(direction, protocol, flow, packet, client_id)
                    ):
                        return decision
            elif first >> 4 == IPV6 and size >= _LEAST_IPV6:
                length, protocol, flow = _IPV6_FLOW(packet)
                if length + IPV6_HEADER == size and (size >= _LEAST_IPV6_TCP or protocol != TCP):
                    found = flows[protocol].get(flow)
                    if found is not None and (client_id is None or client_id == found.client_id):
                        return found
                    if self._flows.is_translating and (
                        decision := self._translate(direction, protocol, flow, packet, client_id)
                    ):
                        return decision
        if direction is _OUTBOUND:
            return self._decide_outbound(packet, client_id)
        return self._decide_inbound(packet, client_id)

    def handle_packets(
        self,
        direction: Direction,
        packets: Iterable[Packet],
        now: float | None = None,
        *,
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
        handle = self.handle_packet
        if client_id is None:
            return [handle(direction, whole) for whole in wholes]
        return [handle(direction, whole, client_id=client_id) for whole in wholes]

    def _translate(
        self,
        direction: Direction,
        protocol: int,
        flow: bytes,
        packet: bytes,
        client_id: str | None,
    ) -> Translate | None:
        """Translate a packet of an established flow through the NAT, if it is one."""
        if direction is _OUTBOUND:
            found = self._flows.translated_outbound[protocol].get(flow)
        else:
            found = self._flows.translated_inbound[protocol].get(flow)
        if found is None or (client_id is not None and client_id != found.client_id):
            return None
        return found.translate(packet, self._now)

    def _decide_outbound(self, packet: bytes, client_id: str | None) -> Decision:
        headers = read_headers(packet)
        if headers is None:
            return _MALFORMED
        flags = self._site.flags(headers.destination)
        if flags & MULTICAST:
            return _MULTICAST
        if client_id is None:
            client = self._roster.by_address.get(headers.source)
        else:
            client = self._roster.clients.get(client_id)
            # A client sends from its own addresses only; otherwise it could borrow
            # another's access.
            if client is not None and headers.source not in client.addresses:
                return client.drop(Reason.SOURCE_NOT_ALLOWED)
        if client is None:
            return _UNKNOWN_CLIENT
        if headers.fragment is not None:
            return client.judge_fragment(headers, flags, packet, self._now, outbound=True)
        decision = client.judge_outbound(headers, flags, packet, self._now)
        if decision.__class__ is Forward:
            client.flows.remember_outbound(headers, packet, decision)
        return decision

    def _decide_inbound(self, packet: bytes, client_id: str | None) -> Decision:
        headers = read_headers(packet)
        if headers is None:
            return _MALFORMED
        client = self._roster.by_address.get(headers.destination)
        if client is None and not self._site.flags(headers.destination) & TUNNEL:
            return _NOT_A_PEER
        if client is None or (client_id is not None and client_id != client.id):
            return _UNKNOWN_CLIENT
        flags = self._site.flags(headers.source)
        if headers.fragment is not None:
            return client.judge_fragment(headers, flags, packet, self._now, outbound=False)
        decision = client.judge_inbound(headers, flags, packet, self._now)
        if decision.__class__ is Forward:
            client.flows.remember_inbound(headers, packet, decision)
        return decision

    # --- Time and events -------------------------------------------------------------------

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout` next, or `None` for not at all.

        That is the earliest moment at which it has an event to report; events that already
        wait are not announced.
        """
        return self._roster.deadlines.earliest()

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
