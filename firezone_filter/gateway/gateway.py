"""`Gateway`, the front door: checks arguments, keeps the time, and routes.

Theory of operation. Every public method checks all its arguments first, then lets time pass,
then does its work; so a call that raises has changed nothing. A packet takes one of three
ways: its decision is in the flow cache; or the handler of its flow decides; or the judge
rules on it, and `commit` does what follows.
"""

from collections.abc import Collection, Iterable, Mapping
from struct import Struct
from typing import cast

from firezone_filter.accounting.refusals import Refusals
from firezone_filter.gateway.checks import (
    check_free,
    check_in_tunnel,
    check_not_own,
    to_expiry,
    to_resolution,
)
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.flow_cache import HANDLERS, INBOUND, OUTBOUND
from firezone_filter.gateway.judge import Judge
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.nat.nat import Nat
from firezone_filter.packet.flow_key import echo_flow_key
from firezone_filter.packet.headers import NO_PORT, Headers, read_headers
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.addresses import (
    Address,
    AddressPlan,
    TunnelAddresses,
    to_addresses,
    to_resolved,
)
from firezone_filter.values.arguments import (
    Packet,
    check_same_place,
    check_stands_for,
    check_type,
    to_bytes,
    to_id_sets,
    to_list_of_bytes,
    to_text,
)
from firezone_filter.values.counters import Counters
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import UnknownClient, UnknownResource, shown
from firezone_filter.values.events import Event, FlowEnd
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.values.times import to_time

_OUTBOUND = Direction.OUTBOUND
_INBOUND = Direction.INBOUND

# The bytes at the start of an established flow's packet that its decision depends on.
_IPV4_FLOW = Struct("!2xHxxHxBxx12s").unpack_from  # length, fragment, protocol; ends, ports
_IPV6_FLOW = Struct("!4xHBx36s").unpack_from  # length, protocol; ends, ports


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
        self._context = GatewayContext(addresses, address_plan, options)
        check_in_tunnel(addresses, self._context)
        self._clients = ClientTable(self._context)
        self._judge = Judge(self._context, self._clients)
        self._refusals = Refusals(self._context.refusal_log)
        cache = self._context.flow_cache
        self._outbound, self._inbound = cache.outbound, cache.inbound
        self._outbound_handlers = cache.outbound_handlers
        self._inbound_handlers = cache.inbound_handlers
        self._expiry_timers = self._clients.expiry_timers
        # Before the first `now` the time stands still at its start.
        self._now = 0.0
        self._started = False
        self._last_now: float | None = None

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
        client_id = to_id(client_id)
        check_type("addresses", addresses, TunnelAddresses)
        checked = None if now is None else to_time(now)
        check_in_tunnel(addresses, self._context)
        check_not_own(addresses, self._context)
        check_free(addresses, self._clients, client_id)
        self._advance(checked)
        self._clients.connect(client_id, addresses, self._now)

    def client_disconnected(self, client_id: str) -> bool:
        """End a tunnel session: forget the client, its queued events included.

        Returns:
            Whether there was such a client.

        Raises:
            TypeError: *client_id* is not a `str`.
        """
        client_id = to_text("client_id", client_id)
        return self._clients.disconnect(client_id, self._now)

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
        client_id = to_text("client_id", client_id)
        check_type("resource", resource, CidrResource, DnsResource, InternetResource)
        checked = to_expiry(expires_at, self._now if self._started else None)
        client = self._connected(client_id)
        held = client.access.authorizations.get(resource.id)
        if held is not None:
            check_same_place(held.resource, resource)
        authorization = self._clients.authorize(client, resource)
        self._clients.set_expiry(authorization, checked, self._now)

    def revoke(self, client_id: str, resource_id: str) -> bool:
        """Take an authorization away.

        Returns:
            Whether there was one.

        Raises:
            TypeError: a wrong type.
        """
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        authorization = self._clients.authorization(client_id, resource_id)
        if authorization is None:
            return False
        self._clients.revoke(authorization, FlowEnd.REVOKED, self._now)
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
        holders = self._clients.holders(resource.id)
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
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        checked = to_expiry(expires_at, self._now if self._started else None)
        authorization = self._clients.authorization(client_id, resource_id)
        if authorization is None:
            return False
        self._clients.set_expiry(authorization, checked, self._now)
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
        for client in self._clients.by_id.values():
            keeps = kept.get(client.id, frozenset())
            for resource_id, authorization in list(client.access.authorizations.items()):
                if resource_id not in keeps:
                    self._clients.revoke(authorization, FlowEnd.REVOKED, self._now)

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
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        name = to_domain(domain)
        proxies = to_addresses(proxy_addresses)
        resolved = to_resolved(resolved_addresses)
        client = self._connected(client_id)
        authorization = self._clients.authorization(client_id, resource_id)
        if authorization is None:
            raise UnknownResource(
                f"client {client_id!r} is not authorized for {resource_id!r}", resource_id
            )
        check_stands_for(authorization.resource, name)
        resolution = to_resolution(name, proxies, resolved, client, self._context)
        self._clients.resolve(client, resource_id, resolution, self._now)

    def set_addresses(self, addresses: TunnelAddresses) -> None:
        """Change the gateway's own tunnel addresses.

        Raises:
            AddressInUse: a client has one of them.
            InvalidAddress: outside the plan's tunnel ranges.
            TypeError: not `TunnelAddresses`.
        """
        check_type("addresses", addresses, TunnelAddresses)
        check_in_tunnel(addresses, self._context)
        check_free(addresses, self._clients, None)
        self._context.addresses = addresses
        for client in self._clients.by_id.values():
            client.invalidate()

    # --- What there is ---------------------------------------------------------------------

    def clients(self) -> tuple[str, ...]:
        """Return the ids of the connected clients, in the order of their connection."""
        return tuple(self._clients.by_id)

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._clients.by_id

    def authorizations(self, client_id: str) -> dict[str, float | None]:
        """Return the resource ids that a client is authorized for, with their expiries.

        Raises:
            TypeError: *client_id* is not a `str`.
            UnknownClient: no such client is connected.
        """
        client_id = to_text("client_id", client_id)
        authorizations = self._connected(client_id).access.authorizations
        return {resource_id: held.expires_at for resource_id, held in authorizations.items()}

    def counters(self) -> Counters:
        """Return counts for dashboards and alarms; `prometheus_text` writes them out.

        It walks over all clients: a matter of seconds between two calls, not of packets.
        """
        return self._clients.counters(self._refusals, self._now)

    def __repr__(self) -> str:
        addresses = ", ".join(str(address) for address in self._context.addresses.present())
        now = f"now {self._now!r}" if self._started else "no time yet"
        return f"<Gateway {addresses}: {len(self._clients.by_id)} clients, {now}>"

    # --- Packets ---------------------------------------------------------------------------

    def handle_packet(  # noqa: C901, PLR0912 - the whole way
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
            decisions = self._outbound
        elif direction is _INBOUND:
            decisions = self._inbound
        else:
            raise TypeError(f"direction is a Direction, not {shown(direction)}")
        # Hosts reuse one `now` for a burst, so the same object needs no second check (40 ns
        # of 300).
        if now is not None and now is not self._last_now:
            # A call that raises has changed nothing, so the type of the id is checked before
            # time passes; without a `now` it is checked only where the cache has no answer.
            if client_id is not None and type(client_id) is not str:
                client_id = to_text("client_id", client_id)
            if type(now) is float and self._now <= now < self._expiry_timers.next:
                self._now = now
            else:
                self._advance(to_time(now))
            self._last_now = now

        # The flow cache: the checks that every packet needs, and one look-up. It stands here
        # because another call would be a tenth of it, with numbers in the place of names
        # because those take 10 ns (28, 40: the shortest packet of UDP and TCP over IPv4; 48,
        # 60: over IPv6; 0x45: no options; 0x3FFF: a fragment; 6: TCP). Ids are mostly the
        # very objects that the host connected the clients with; equal ones are found below.
        found: Forward | None
        key: bytes | None = None
        size = len(packet)
        if size >= 28:
            first = packet[0]
            if first == 0x45:
                length, fragmented, protocol, ends = _IPV4_FLOW(packet)
                if length == size and not fragmented & 0x3FFF and (size >= 40 or protocol != 6):
                    found = decisions[protocol].get(ends)
                    if found is not None and (client_id is None or client_id is found.client_id):
                        return found
                    key = ends
            elif 0x60 <= first <= 0x6F and size >= 48:
                length, protocol, ends = _IPV6_FLOW(packet)
                if length + 40 == size and (size >= 60 or protocol != 6):
                    found = decisions[protocol].get(ends)
                    if found is not None and (client_id is None or client_id is found.client_id):
                        return found
                    key = ends
        if client_id is not None and type(client_id) is not str:
            client_id = to_text("client_id", client_id)
        if key is None:
            return self._judge_and_commit(direction, None, 0, packet, client_id)
        if found is not None and client_id == found.client_id:
            return found
        return self._judge_and_commit(direction, key, protocol, packet, client_id)

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
        decisions: list[Decision] = []
        add = decisions.append
        # The look-up of `handle_packet` once more: a call of that would take a quarter more.
        cache = self._outbound if direction is _OUTBOUND else self._inbound
        for packet in wholes:
            key, protocol, size = None, 0, len(packet)
            if size >= 28:
                first = packet[0]
                if first == 0x45:
                    length, fragmented, protocol, ends = _IPV4_FLOW(packet)
                    if (
                        length == size
                        and not fragmented & 0x3FFF
                        and (size >= 40 or protocol != 6)
                    ):
                        key = ends
                elif 0x60 <= first <= 0x6F and size >= 48:
                    length, protocol, ends = _IPV6_FLOW(packet)
                    if length + 40 == size and (size >= 60 or protocol != 6):
                        key = ends
            found = None if key is None else cache[protocol].get(key)
            if found is not None and (client_id is None or client_id == found.client_id):
                add(found)
            else:
                add(self._judge_and_commit(direction, key, protocol, packet, client_id))
        return decisions

    def _judge_and_commit(  # noqa: C901, PLR0912 - both halves in one call: another takes 50 ns
        self,
        direction: Direction,
        key: bytes | None,
        protocol: int,
        packet: bytes,
        client_id: str | None,
    ) -> Decision:
        """Decide about a packet that is not in the flow cache, and do what follows.

        The one place where a judged packet changes anything, and the only caller of the flow
        cache's `store`. To commit a ruling never changes its decision.

        Args:
            direction: which way the packet goes.
            key: its flow key, if it is whole and has neither options nor extension headers.
            protocol: its protocol, if it has a key.
            packet: the packet.
            client_id: as `handle_packet`.
        """
        now = self._now
        ruling: Ruling | Decision
        if key is None:
            ruling = self._judge.judge(direction, packet, now, client_id)
        else:
            # Established flows whose packets each have an effect: translated, or counted.
            outbound = direction is _OUTBOUND
            flows = (self._outbound_handlers if outbound else self._inbound_handlers)[protocol]
            if flows:
                handler = flows.get(key)
                if handler is None and (protocol == ICMPV4 or protocol == ICMPV6):
                    handler = flows.get(echo_flow_key(packet))
                if handler is not None and (client_id is None or client_id == handler.client_id):
                    decision = handler.handle(packet, now)
                    if decision is not None:
                        return decision
            if protocol == TCP or protocol == UDP:
                ruling = self._judge.judge_new_tcp_or_udp(
                    direction, protocol, key, packet, now, client_id
                )
            else:
                ruling = self._judge.judge(direction, packet, now, client_id)

        # Committing. A bare decision is one about a new TCP or UDP flow, from which nothing
        # follows but what its kind tells.
        if type(ruling) is Forward:
            client = self._clients.by_id[ruling.client_id]
            if client.recorder is None:
                table = OUTBOUND if direction is _OUTBOUND else INBOUND
                # (Only flows with a key are judged bare.)
                client.flow_cache.store(table + protocol, key, ruling)  # type: ignore[arg-type]
                return ruling
            ruling = Ruling(ruling, client, read_headers(packet), key)
        if type(ruling) is not Ruling:
            self._refusals.add(direction, packet, ruling, now)
            if type(ruling) is Reject:
                self._clients.by_id[ruling.client_id].reply_tokens.take(now)
            return ruling
        if isinstance(ruling.decision, Drop | Reject):
            self._refusals.add(direction, packet, ruling.decision, now)
            self._commit_refused(ruling, direction, now)
        elif ruling.headers is not None:
            self._commit_allowed(ruling, ruling.headers, direction, packet, now)
        return ruling.decision

    def _commit_refused(self, ruling: Ruling, direction: Direction, now: float) -> None:
        client, headers, decision = ruling.client, ruling.headers, ruling.decision
        if client is None:
            return
        if isinstance(decision, Reject):
            client.reply_tokens.take(now)
        elif isinstance(decision, Drop) and decision.reason is Reason.NAT_EXHAUSTED:
            # The judge walked over the sessions that are over: it must not do so again.
            self._context.session_timers.sweep(now)
        if headers is not None and headers.fragment is not None:
            client.fragments.forget(headers, headers.fragment, outbound=direction is _OUTBOUND)

    @staticmethod
    def _commit_allowed(
        ruling: Ruling, headers: Headers, direction: Direction, packet: bytes, now: float
    ) -> None:
        client, flow = cast("Client", ruling.client), ruling.flow
        decision, outbound = cast("Forward | Translate", ruling.decision), direction is _OUTBOUND
        if ruling.followed is not None:
            if ruling.followed.count_later is not None:
                ruling.followed.count_later(headers, packet, now)
            return
        if flow is not None and cast("Nat", client.nat).commit(flow, packet, now):
            # The new session may take over inbound packets that were judged as they came.
            client.flow_cache.invalidate_inbound()
        handler: FlowHandler | None = flow
        if client.recorder is not None:
            handler = client.count(decision, flow, headers, packet, now, outbound=outbound)
        if headers.fragment is not None:
            verdict = client.verdict(decision, flow, headers, packet, outbound=outbound)
            client.fragments.keep(headers, headers.fragment, verdict, now, outbound=outbound)
        elif ruling.key is not None:
            table = (OUTBOUND if outbound else INBOUND) + headers.protocol
            if handler is not None:
                client.flow_cache.store(table + HANDLERS, ruling.key, handler)
            elif headers.icmp_type == NO_PORT:
                client.flow_cache.store(table, ruling.key, cast("Forward", decision))

    # --- Time and events -------------------------------------------------------------------

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout` next, or `None` for not at all.

        That is the earliest moment at which it has an event to report; events that already
        wait are not announced. Hooks change it and, where flows are recorded, packets too.
        """
        return self._clients.earliest()

    def handle_timeout(self, now: float) -> None:
        """Let time pass: expire what is due, and forget what has been kept long enough.

        Being late does no harm: whatever brings a later `now` expires first.

        Raises:
            InvalidTime: *now* is not finite.
            TypeError: not a number.
        """
        self._advance(to_time(now))
        self._clients.cleanup(self._now)

    def poll_event(self) -> Event | None:
        """Return the next event, or `None`. Fetch until `None` after any call."""
        return self._clients.events.get()

    # --- Inside ---------------------------------------------------------------------------

    def _advance(self, now: float | None) -> None:
        """Move on to a checked *now* and expire what is due; time never runs backwards."""
        if now is None:
            return
        if not self._started:
            self._started = True
            self._now = now
            self._clients.start_clock(now)
        elif now > self._now:
            before, self._now = self._now, now
            self._clients.expire(now, before)

    def _time_at(self, now: float) -> float:
        """Return the moment at which a call with a checked *now* happens."""
        return max(now, self._now) if self._started else now

    def _connected(self, client_id: str) -> Client:
        client = self._clients.by_id.get(client_id)
        if client is None:
            raise UnknownClient(f"no client {client_id!r} is connected", client_id)
        return client
