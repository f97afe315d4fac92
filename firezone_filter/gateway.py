"""`Gateway`, the front door: finds the client, keeps the time, queues events.

It checks what it is handed and routes; the knowledge is below: `Client` judges packets,
`Roster` knows who is connected and what ends when.
"""

from collections.abc import Collection, Iterable, Mapping
from struct import Struct

from firezone_filter.addresses import (
    DNS,
    MULTICAST,
    NOT_RESOLVED,
    TUNNEL,
    Address,
    AddressPlan,
    TunnelAddresses,
    to_addresses,
    to_resolved,
)
from firezone_filter.arguments import (
    Packet,
    check_call,
    check_same_place,
    check_stands_for,
    check_type,
    to_bytes,
    to_id_sets,
    to_list_of_bytes,
)
from firezone_filter.client import Client
from firezone_filter.clock import MAX_AHEAD, to_time
from firezone_filter.decisions import Decision, Direction, Drop, Reason
from firezone_filter.domains import to_domain
from firezone_filter.errors import (
    AddressInUse,
    InvalidAddress,
    InvalidPolicy,
    InvalidTime,
    UnknownClient,
    UnknownResource,
)
from firezone_filter.events import Event
from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.numbers import IPV6, TCP, UDP
from firezone_filter.proxies import MAX_PROXIES, Resolution
from firezone_filter.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.roster import Roster
from firezone_filter.site import GatewayOptions, Site

_OUTBOUND = Direction.OUTBOUND
_INBOUND = Direction.INBOUND

# What the decision about an established flow depends on: the first bytes of its packets.
_IPV4_FLOW = Struct("!BxHxxHxBxx12s").unpack_from  # length, fragment, protocol; ends, ports
_IPV6_FLOW = Struct("!4xHBx36s").unpack_from  # length, protocol; ends, ports
_PLAIN_IPV4 = 0x45  # no options
_IS_FRAGMENT = 0x3FFF  # more to come, or an offset
_IPV6_HEADER = 40
_LEAST_FLOW = 28
_LEAST_TCP4 = 40
_LEAST_UDP6 = 48
_LEAST_TCP6 = 60

_MALFORMED = Drop(Reason.MALFORMED, None)
_MULTICAST = Drop(Reason.MULTICAST, None)
_NOT_A_PEER = Drop(Reason.NOT_A_PEER, None)
_UNKNOWN_CLIENT = Drop(Reason.UNKNOWN_CLIENT, None)


class Gateway:
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
        self._site = Site(addresses, address_plan, options)
        self._check_in_tunnel(addresses)
        self._roster = Roster(self._site)
        self._deadlines = self._roster.deadlines
        flows = self._site.flows
        self._outbound = (flows.outbound_tcp, flows.outbound_udp)
        self._inbound = (flows.inbound_tcp, flows.inbound_udp)
        # Before the first `now` the time stands still at its start.
        self._now = 0.0
        self._started = False

    # --- Connection lifecycle --------------------------------------------------------------

    def client_connected(
        self, client_id: str, addresses: TunnelAddresses, now: float | None = None
    ) -> None:
        """Begin a tunnel session: from here on the client is allowed nothing.

        (But to talk to the gateway's own tunnel address, as `own_filters` says.) If the
        client is already connected, everything of its old session is forgotten first:
        authorizations, translations, fragments, flows, queued events, spent tokens. So it
        is for a new tunnel session, not for each grant.

        Args:
            client_id: names the client.
            addresses: its tunnel addresses.
            now: the time, in seconds.

        Raises:
            AddressInUse: another client has one of the addresses.
            InvalidAddress: outside the plan's tunnel ranges, or the gateway's own.
            InvalidPolicy: an empty id.
            InvalidTime: *now* is not finite.
            TypeError: a wrong type.
        """
        to_id(client_id)
        check_type("addresses", addresses, TunnelAddresses)
        checked = None if now is None else to_time(now)
        self._check_in_tunnel(addresses)
        for address in addresses.present():
            if address.packed in self._site.own:
                raise InvalidAddress(f"{address} is the gateway's own", address)
        self._check_free(addresses, client_id)
        self._advance(checked)
        self._roster.connect(client_id, addresses, self._now)

    def client_disconnected(self, client_id: str) -> bool:
        """End a tunnel session: forget the client, its queued events included.

        Returns:
            Whether there was such a client.

        Raises:
            TypeError: *client_id* is not a `str`.
        """
        check_type("client_id", client_id, str)
        return self._roster.disconnect(client_id)

    def authorize(
        self, client_id: str, resource: Resource, *, expires_at: float | None = None
    ) -> None:
        """Permit a client to reach a resource, as its filters say.

        For a resource that is already authorized this replaces filters, `exclude`, name and
        expiry.

        Args:
            client_id: a connected client.
            resource: what it may reach.
            expires_at: when the permission ends, on the clock of `now`; `None` for never.
                One that has already passed ends it in this call.

        Raises:
            InvalidPolicy: the client has another kind, network or pattern under this id;
                `revoke` it first.
            InvalidTime: *expires_at* is not finite, more than 50 years ahead, or there has
                been no `now` to compare it with.
            TypeError: a wrong type.
            UnknownClient: no such client is connected.
        """
        check_type("client_id", client_id, str)
        check_type("resource", resource, CidrResource, DnsResource, InternetResource)
        checked = self._to_expiry(expires_at)
        client = self._connected(client_id)
        held = client.access.authorizations.get(resource.id)
        if held is not None:
            check_same_place(held.resource, resource)
        authorization = self._roster.authorize(client, resource)
        self._roster.set_expiry(authorization, checked, self._now)

    def revoke(self, client_id: str, resource_id: str) -> bool:
        """Take an authorization away.

        Returns:
            Whether there was one.

        Raises:
            TypeError: a wrong type.
        """
        check_type("client_id", client_id, str)
        check_type("resource_id", resource_id, str)
        authorization = self._roster.authorization(client_id, resource_id)
        if authorization is None:
            return False
        self._roster.end(authorization, self._now)
        return True

    def update_resource(self, resource: Resource) -> int:
        """Give every client that has *resource* its filters, `exclude` and name.

        Expiries stay as they are.

        Returns:
            How many clients have it.

        Raises:
            InvalidPolicy: a client has another kind, network or pattern under this id; then
                nothing changes for any.
            TypeError: not a resource.
        """
        check_type("resource", resource, CidrResource, DnsResource, InternetResource)
        holders = self._roster.holders(resource.id)
        for _, authorization in holders:
            check_same_place(authorization.resource, resource)
        for client, _ in holders:
            client.authorize(resource)
        return len(holders)

    def update_expiry(self, client_id: str, resource_id: str, expires_at: float | None) -> bool:
        """Change when an authorization ends; `None` for never.

        Returns:
            Whether there was such an authorization.

        Raises:
            InvalidTime: as `authorize`.
            TypeError: a wrong type.
        """
        check_type("client_id", client_id, str)
        check_type("resource_id", resource_id, str)
        checked = self._to_expiry(expires_at)
        authorization = self._roster.authorization(client_id, resource_id)
        if authorization is None:
            return False
        self._roster.set_expiry(authorization, checked, self._now)
        return True

    def retain_authorizations(self, authorizations: Mapping[str, Collection[str]]) -> None:
        """Take away every authorization that is not listed, from every client.

        Args:
            authorizations: which resource ids each client id keeps. A connected client that
                is not mentioned keeps none; ids that nobody knows are ignored.

        Raises:
            TypeError: a wrong type.
        """
        kept = to_id_sets(authorizations)
        for client in self._roster.clients.values():
            keeps = kept.get(client.id, frozenset())
            for resource_id, authorization in list(client.access.authorizations.items()):
                if resource_id not in keeps:
                    self._roster.end(authorization, self._now)

    def domain_resolved(
        self,
        client_id: str,
        resource_id: str,
        domain: str,
        *,
        proxy_addresses: Iterable[str | Address],
        resolved_addresses: Iterable[str | Address],
    ) -> None:
        """Tell which real addresses stand behind the proxy addresses of a name.

        The n-th proxy address of a family takes the n-th resolved address in numeric order,
        round robin; none if the name has none of that family. The last call that names a
        proxy address decides; those that it does not name stay as they were. Existing
        sessions keep their addresses. A proxy address that stood for another name means
        that the client has renumbered: all its translations and sessions go first.

        Args:
            client_id: a connected client.
            resource_id: a DNS resource that it is authorized for.
            domain: the name, one that the resource stands for.
            proxy_addresses: what the client assigned to the name, in the plan's DNS ranges.
            resolved_addresses: what the name resolved to. Addresses that a name server must
                not be able to open a way to are left out: those of the plan, and
                unspecified, loopback, link-local, multicast, broadcast and v4-mapped ones.

        Raises:
            InvalidAddress: not an address; a proxy address outside the DNS ranges, or given
                twice.
            InvalidPolicy: not a DNS resource, a name that it does not stand for, or more
                than 1,024 proxy addresses for this client.
            TypeError: a wrong type.
            UnknownClient: no such client is connected.
            UnknownResource: the client is not authorized for it.
        """
        check_type("client_id", client_id, str)
        check_type("resource_id", resource_id, str)
        name = to_domain(domain)
        proxies = to_addresses(proxy_addresses)
        resolved = to_resolved(resolved_addresses)
        client = self._connected(client_id)
        authorization = self._roster.authorization(client_id, resource_id)
        if authorization is None:
            raise UnknownResource(
                f"client {client_id!r} is not authorized for {resource_id!r}", resource_id
            )
        check_stands_for(authorization.resource, name)
        self._check_proxies(proxies)
        resolution = Resolution(
            name,
            tuple(address.packed for address in proxies),
            tuple(address.packed for address in resolved if self._may_be_resolved(address)),
        )
        if not client.has_room_for(resolution):
            raise InvalidPolicy(
                f"client {client_id!r} would have more than {MAX_PROXIES} proxy addresses",
                len(resolution.proxies),
            )
        self._roster.resolve(client, resource_id, resolution, self._now)

    def set_addresses(self, addresses: TunnelAddresses) -> None:
        """Change the gateway's own tunnel addresses.

        Raises:
            AddressInUse: a client has one of them.
            InvalidAddress: outside the plan's tunnel ranges.
            TypeError: not `TunnelAddresses`.
        """
        check_type("addresses", addresses, TunnelAddresses)
        self._check_in_tunnel(addresses)
        self._check_free(addresses, None)
        self._site.addresses = addresses
        for client in self._roster.clients.values():
            client.forget_decisions()

    # --- What there is ---------------------------------------------------------------------

    def clients(self) -> tuple[str, ...]:
        """Return the ids of the connected clients, in the order of their connection."""
        return tuple(self._roster.clients)

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._roster.clients

    def authorizations(self, client_id: str) -> dict[str, float | None]:
        """Return the resource ids that a client is authorized for, with their expiries.

        Raises:
            TypeError: *client_id* is not a `str`.
            UnknownClient: no such client is connected.
        """
        check_type("client_id", client_id, str)
        authorizations = self._connected(client_id).access.authorizations
        return {resource_id: held.expires_at for resource_id, held in authorizations.items()}

    def __repr__(self) -> str:
        addresses = ", ".join(str(address) for address in self._site.addresses.present())
        now = f"now {self._now!r}" if self._started else "no time yet"
        return f"<Gateway {addresses}: {len(self._roster.clients)} clients, {now}>"

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
        if packet.__class__ is not bytes:
            packet = to_bytes(packet)
        # Established flows are decided here, at a tenth of the cost of the whole way: what
        # every packet is checked for, one look-up, and whether client and time are right.
        found = None
        size = len(packet)
        if size >= _LEAST_FLOW and (direction is _OUTBOUND or direction is _INBOUND):
            tcp, udp = self._outbound if direction is _OUTBOUND else self._inbound
            first, length, fragmented, protocol, flow = _IPV4_FLOW(packet)
            if first == _PLAIN_IPV4:
                if length == size and not fragmented & _IS_FRAGMENT:
                    if protocol == TCP and size >= _LEAST_TCP4:
                        found = tcp.get(flow)
                    elif protocol == UDP:
                        found = udp.get(flow)
            elif first >> 4 == IPV6 and size >= _LEAST_UDP6:
                length, protocol, flow = _IPV6_FLOW(packet)
                if length + _IPV6_HEADER == size:
                    if protocol == TCP and size >= _LEAST_TCP6:
                        found = tcp.get(flow)
                    elif protocol == UDP:
                        found = udp.get(flow)
            if found is not None and (client_id is None or client_id == found.client_id):
                if now is None:
                    return found
                if now.__class__ is float and self._now <= now < self._deadlines.next:
                    self._now = now
                    return found
        check_call(direction, client_id)
        self._advance(None if now is None else to_time(now))
        return self._decide(packet, client_id, outbound=direction is _OUTBOUND)

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
        check_call(direction, client_id)
        wholes = to_list_of_bytes(packets)
        self._advance(None if now is None else to_time(now))
        outbound = direction is _OUTBOUND
        return [self._decide(whole, client_id, outbound=outbound) for whole in wholes]

    def _decide(self, packet: bytes, client_id: str | None, *, outbound: bool) -> Decision:
        headers = read_headers(packet)
        if headers is None:
            return _MALFORMED
        roster = self._roster
        if outbound:
            near, far = headers.source, headers.destination
            flags = self._site.flags(far)
            if flags & MULTICAST:
                return _MULTICAST
            client = (
                roster.by_address.get(near) if client_id is None else roster.clients.get(client_id)
            )
        else:
            far, near = headers.source, headers.destination
            flags = self._site.flags(far)
            client = roster.by_address.get(near)
            if client is None and not self._site.flags(near) & TUNNEL:
                return _NOT_A_PEER
        if client is None or (client_id is not None and client_id != client.id):
            return _UNKNOWN_CLIENT
        if near not in client.addresses:
            # A client sends from its own addresses only; otherwise it could borrow
            # another's access.
            return client.drop(Reason.SOURCE_NOT_ALLOWED)
        if headers.fragment is not None:
            roster.note_transient(client)
        return client.judge(headers, flags, packet, self._now, outbound=outbound)

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

    # --- Below -----------------------------------------------------------------------------

    def _advance(self, now: float | None) -> None:
        """Move on to a checked *now* and expire what is due; time never runs backwards."""
        if now is None:
            return
        if not self._started:
            self._started = True
            self._now = now
            self._roster.start_clock(now)
        elif now > self._now:
            self._now = now
            self._roster.expire(now)

    def _to_expiry(self, expires_at: float | None) -> float | None:
        if expires_at is None:
            return None
        checked = to_time(expires_at)
        if not self._started:
            raise InvalidTime(
                f"expires_at {expires_at!r} before any now: no clock yet", expires_at
            )
        if checked > self._now + MAX_AHEAD:
            raise InvalidTime(
                f"expires_at {expires_at!r} is more than 50 years after now {self._now!r}: "
                "two clocks mixed?",
                expires_at,
            )
        return checked

    def _connected(self, client_id: str) -> Client:
        client = self._roster.clients.get(client_id)
        if client is None:
            raise UnknownClient(f"no client {client_id!r} is connected", client_id)
        return client

    def _check_in_tunnel(self, addresses: TunnelAddresses) -> None:
        for address in addresses.present():
            if not self._site.flags(address.packed) & TUNNEL:
                raise InvalidAddress(f"{address} is outside the plan's tunnel ranges", address)

    def _check_proxies(self, proxies: tuple[Address, ...]) -> None:
        seen: set[Address] = set()
        for address in proxies:
            if address in seen:
                raise InvalidAddress(f"proxy address {address} is given twice", address)
            if not self._site.flags(address.packed) & DNS:
                raise InvalidAddress(f"{address} is outside the plan's DNS ranges", address)
            seen.add(address)

    def _may_be_resolved(self, address: Address) -> bool:
        # Whoever answers for a name must not be able to open a way to other clients, to
        # the tunnel side of the gateway or to its loopback (DNS rebinding).
        return not self._site.flags(address.packed) & NOT_RESOLVED

    def _check_free(self, addresses: TunnelAddresses, client_id: str | None) -> None:
        for address in addresses.present():
            holder = self._roster.by_address.get(address.packed)
            if holder is not None and holder.id != client_id:
                raise AddressInUse(f"{address} belongs to {holder.id!r}", address, holder.id)
