"""`Gateway`, the front door: checks arguments, lets time pass, commits rulings.

Theory of operation. Every public method checks all its arguments first, then lets time pass,
then does its work; so a call that raises has changed nothing. An authorization is over when its
time has come; taking it apart, and forgetting whatever else is over, is upkeep: a bounded number
of steps a call (`ClientTable.keep_up`).

A packet takes one of four paths, the cheapest first. The flow cache has its decision, by
direction, protocol and 5-tuple; or its flow has a handler, because each of its packets has an
effect; or it is the first packet of a TCP or UDP flow, whose permission is looked up; or the
judge rules on it. The first two (`lookup`) repeat an earlier decision and ask no permission
again. That is safe because whatever changes a permission invalidates the client's flows in the
same call, and because everything else that a decision depends on is in the flow key or checked
again for every packet: lengths, options, fragment bits, `client_id`.

The third (`first_packets`) decides and carries the decision out in one go. Two kinds of first
packets need more than it knows, and it hands them to `_translate` (a session) and `_judge_flow`
(`stateful`, flow records). For the fourth, judging changes nothing: `_commit` carries the ruling
out, by `_commit_refused` or `_commit_allowed`.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NoReturn, cast

from firezone_filter.access.special_ranges import PROXY
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.gateway.checks import (
    check_free,
    check_in_tunnel,
    check_not_own,
    to_expiry,
    to_resolution,
)
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import (
    STEPS_OF_A_PACKET,
    STEPS_OF_A_TIMEOUT,
    ClientTable,
)
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.first_packets import IPV4_KEY_SIZE, NearEnd
from firezone_filter.gateway.flow_cache import HANDLERS, INBOUND, OUTBOUND, REMEMBERED
from firezone_filter.gateway.judge import Judge
from firezone_filter.gateway.lookup import FlowLookup
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.nat.flows import TranslatedFlow
from firezone_filter.nat.nat import Nat
from firezone_filter.packet.flow_key import echo_flow_key, flow_key
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4_HEADER,
    IPV6_HEADER,
    MAX_PORT,
    TCP,
    UDP,
)
from firezone_filter.stateful.handlers import Tracking
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
    check_direction,
    check_same_place,
    check_stands_for,
    check_type,
    to_bytes,
    to_id_sets,
    to_text,
)
from firezone_filter.values.counters import Counters
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reject,
    Translate,
)
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import InvalidTime, UnknownClient, UnknownResource
from firezone_filter.values.events import Event
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.values.times import MAX_AHEAD, to_now, to_time

if TYPE_CHECKING:
    from firezone_filter.values.explanations import Explanation
    from firezone_filter.values.states import ClientState

_OUTBOUND = Direction.OUTBOUND
_INBOUND = Direction.INBOUND


class Gateway(FlowLookup):
    """Decides about every packet between clients and resources, in both directions.

    It opens no socket, reads no clock and starts no thread: packets and times are arguments,
    decisions are return values, events are polled. It is not thread-safe: use a gateway from
    one thread at a time.

    Time is in seconds, on one clock of the host's choosing; it must be Unix time if expiries
    come from a portal or a policy file. Time never runs backwards: a call without `now`, or
    with an earlier one, happens at the latest `now` so far. If the host's clock was wrong and
    has been set, `clock_set` says so. A call that raises has changed nothing, time included.

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
            address_plan: the tunnel ranges and the DNS ranges; Firezone's own by default.
            options: the host's settings: replies, own filters, stateful filtering, limits, flow
                records.

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
        super().__init__(
            self._context.flow_cache,
            self._clients.expiries,
            self._clients.by_address,
            self._context.ranges,
            RefusalCounts(self._context.refusal_log),
            replies=options.reject,
        )
        self._flow_cache = self._context.flow_cache
        # Whether the last steps of `handle_timeout` have left something to do.
        self._is_behind = False
        self._started = False
        # How often a `now` was earlier than the latest, and by how much at most.
        self._steps_back, self._step_back_max = 0, 0.0

    # --- Connection lifecycle --------------------------------------------------------------

    def client_connected(
        self, client_id: str, addresses: TunnelAddresses, now: float | None = None
    ) -> None:
        """Begin a tunnel session, in which the client may reach no resource yet.

        It may reach the gateway's own tunnel address, as far as `GatewayOptions.own_filters`
        go: by default for pings and the name server. If the client is already connected, its
        old session ends first, as with `client_disconnected`: authorizations, translations,
        flows, fragments, remembered decisions and queued access events are gone, flow records are
        closed, and the rate limit of replies is reset. So call it once for each tunnel session,
        not before each `authorize`.

        Args:
            client_id: names the client; not empty.
            addresses: the client's tunnel addresses.
            now: the time, in seconds.

        Raises:
            AddressInUse: another client has one of the addresses.
            InvalidAddress: an address is outside the plan's tunnel ranges, or the gateway's
                own.
            InvalidPolicy: *client_id* is empty.
            InvalidTime: *now* is not finite, 2**33 or more, or more than 50 years from the
                latest `now`.
            TypeError: a wrong type.
        """
        client_id = to_id(client_id)
        check_type("addresses", addresses, TunnelAddresses)
        checked = None if now is None else self._to_now(now)
        check_in_tunnel(addresses, self._context)
        check_not_own(addresses, self._context)
        check_free(addresses, self._clients, client_id)
        if checked is not None:
            self._advance(checked)
        self._clients.connect(client_id, addresses, self._now)

    def client_disconnected(self, client_id: str) -> bool:
        """End a tunnel session, and forget the client with everything that belongs to it.

        That includes its queued access events (`AuthorizationExpired`, `AccessExhausted`).
        Flow events stay; open flow records are closed as `FlowEnd.DISCONNECTED`.

        Returns:
            Whether the client was connected.

        Raises:
            TypeError: *client_id* is not a `str`.
        """
        client_id = to_text("client_id", client_id)
        return self._clients.disconnect(client_id, self._now)

    def authorize(
        self, client_id: str, resource: Resource, *, expires_at: float | None = None
    ) -> None:
        """Authorize a client to reach a resource, as far as the resource's filters permit.

        If the client is already authorized for this resource id, the call replaces filters,
        `exclude`, name and expiry. What runs goes on, as far as the new filters permit it: so
        renew with this call or with `update_expiry`, and not by revoking first.

        Args:
            client_id: a connected client.
            resource: the resource. **Without filters it permits every protocol.**
            expires_at: when the authorization ends, in seconds on the clock of `now`; `None`
                for never. It has ended at `now >= expires_at`; a time that has already passed
                ends it in this call.

        Raises:
            InvalidPolicy: the client has a resource of another kind, network or pattern under
                this id; `revoke` it first.
            InvalidTime: *expires_at* is not finite, 2**33 or more, more than 50 years ahead, or
                comes before the first `now`, when there is nothing to compare it with.
            TypeError: a wrong type.
            UnknownClient: no such client is connected.
        """
        client_id = to_text("client_id", client_id)
        check_type("resource", resource, CidrResource, DnsResource, InternetResource)
        checked = to_expiry(expires_at, self._now if self._started else None)
        client = self._connected(client_id)
        held = self._clients.authorization(client_id, resource.id, self._now)
        if held is not None:
            check_same_place(held.resource, resource)
        self._clients.authorize(client, resource, checked, self._now)

    def revoke(self, client_id: str, resource_id: str) -> bool:
        """End an authorization at once.

        The sessions of proxy addresses that were assigned for this resource alone end too and,
        with `GatewayOptions.stateful`, the flows that it permitted. After a client's
        last authorization, `AccessExhausted` is queued.

        Returns:
            Whether there was such an authorization; `False` also for an unknown client.

        Raises:
            TypeError: a wrong type.
        """
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        authorization = self._clients.authorization(client_id, resource_id, self._now)
        if authorization is None:
            return False
        self._clients.revoke(self._connected(client_id), authorization, self._now)
        return True

    def update_resource(self, resource: Resource) -> int:
        """Update the filters, `exclude` and name of a resource for every client that has it.

        Expiries stay as they are, and what runs goes on as far as the new filters permit it.

        Returns:
            The number of clients that are authorized for it; 0 if none is.

        Raises:
            InvalidPolicy: a client has a resource of another kind, network or pattern under
                this id; then nothing changes for any client.
            TypeError: *resource* is not a resource.
        """
        check_type("resource", resource, CidrResource, DnsResource, InternetResource)
        holders = self._clients.holders(resource.id, self._now)
        for _, authorization in holders:
            check_same_place(authorization.resource, resource)
        changed: list[tuple[Client, Resource]] = []
        try:
            for client, authorization in holders:
                before = authorization.resource
                client.authorize(resource)
                changed.append((client, before))
        except BaseException:
            for client, before in changed:
                client.authorize(before)
            raise
        return len(holders)

    def update_expiry(self, client_id: str, resource_id: str, expires_at: float | None) -> bool:
        """Change when an authorization ends.

        Args:
            client_id: the client.
            resource_id: the resource that it is authorized for.
            expires_at: as for `authorize`.

        Returns:
            Whether there was such an authorization; `False` also for an unknown client.

        Raises:
            InvalidTime: as for `authorize`.
            TypeError: a wrong type.
        """
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        checked = to_expiry(expires_at, self._now if self._started else None)
        authorization = self._clients.authorization(client_id, resource_id, self._now)
        if authorization is None:
            return False
        client = self._connected(client_id)
        self._clients.set_expiry(client, authorization, checked, self._now)
        return True

    def retain_authorizations(self, authorizations: Mapping[str, Collection[str]]) -> None:
        """End every authorization that is not listed, of every client.

        Args:
            authorizations: for each client id, the resource ids that it keeps. A connected
                client that is not a key keeps none; unknown ids are ignored.

        Raises:
            TypeError: a wrong type.
        """
        kept = to_id_sets(authorizations)
        for client in self._clients.by_id.values():
            keeps = kept.get(client.id, frozenset())
            for resource_id, held in list(client.access.authorizations.items()):
                if resource_id not in keeps and not held.is_over(self._now):
                    self._clients.revoke(client, held, self._now)

    def domain_resolved(
        self,
        client_id: str,
        resource_id: str,
        domain: str,
        *,
        proxy_addresses: Iterable[str | Address],
        resolved_addresses: Iterable[str | Address],
    ) -> None:
        """Assign the real addresses of a name to the proxy addresses that stand for it.

        Family by family, the n-th proxy address gets the n-th real address in numeric order,
        round robin; without a real address of that family it gets none. The last call that
        names a proxy address decides about it; proxy addresses that a call does not name stay
        as they are, and existing sessions keep their real address. A proxy address that stood
        for another name means that the client has renumbered: all its translations and
        sessions are removed first and, with `GatewayOptions.stateful`, its flows to proxy
        addresses.

        Args:
            client_id: a connected client.
            resource_id: a DNS resource that the client is authorized for.
            domain: the name; the resource's name or pattern must match it.
            proxy_addresses: the addresses that the client assigned to the name, in the plan's
                DNS ranges, in the client's order.
            resolved_addresses: the addresses that the name resolved to, in any order. Those
                that no name server may open a path to (DNS rebinding) are left out: the
                plan's own; 0.0.0.0/8, and unspecified, loopback, multicast, broadcast,
                v4-mapped and v4-compatible addresses; link-local ones and a cloud's own
                services (fd00:ec2::/32, fd20:ce::/32); and the NAT64 and 6to4 forms of all
                these IPv4 addresses.

        Raises:
            InvalidAddress: not an address; or a proxy address that is outside the DNS ranges
                or occurs twice.
            InvalidPolicy: not a DNS resource; not a name, or one that the resource does not
                match; or more than 1,024 proxy addresses for this client.
            TypeError: a wrong type.
            UnknownClient: no such client is connected.
            UnknownResource: the client is not authorized for the resource.
        """
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        name = to_domain(domain)
        proxies = to_addresses(proxy_addresses)
        resolved = to_resolved(resolved_addresses)
        client = self._connected(client_id)
        authorization = self._clients.authorization(client_id, resource_id, self._now)
        if authorization is None:
            raise UnknownResource(
                f"client {client_id!r} is not authorized for {resource_id!r}", resource_id
            )
        check_stands_for(authorization.resource, name)
        self._clients.forget_old_proxies(client, self._now)
        resolution = to_resolution(name, proxies, resolved, client, self._context)
        self._clients.resolve(client, resource_id, resolution, self._now)

    def domain_withdrawn(self, client_id: str, domain: str) -> bool:
        """Take the proxy addresses that stand for a name from a client.

        Their translations go and their sessions end, whichever resources they were given for;
        with `GatewayOptions.stateful` the flows to them too. `domain_resolved` may then give
        them to any name, without that meaning that the client has renumbered. That makes room
        for other names, and is safe once nobody can have the addresses from a cache.

        Args:
            client_id: a connected client.
            domain: the name.

        Returns:
            Whether the client had proxy addresses for the name; if not, nothing has changed.

        Raises:
            InvalidPolicy: *domain* is not a name.
            TypeError: a wrong type.
            UnknownClient: no such client is connected.
        """
        client_id = to_text("client_id", client_id)
        name = to_domain(domain)
        client = self._connected(client_id)
        self._clients.forget_old_proxies(client, self._now)
        return self._clients.withdraw_name(client, name, self._now)

    def set_addresses(self, addresses: TunnelAddresses) -> None:
        """Replace the gateway's own tunnel addresses.

        Raises:
            AddressInUse: a client has one of them.
            InvalidAddress: an address is outside the plan's tunnel ranges.
            TypeError: *addresses* is not a `TunnelAddresses`.
        """
        check_type("addresses", addresses, TunnelAddresses)
        check_in_tunnel(addresses, self._context)
        check_free(addresses, self._clients, None)
        self._context.addresses = addresses
        for client in self._clients.by_id.values():
            client.invalidate()

    def clock_set(self, now: float) -> None:
        """Tell that the host's clock was wrong and has been set: *now* is the time from here.

        It may be earlier or later than the latest `now`, by any distance. A lifetime of so
        many seconds keeps what was left of it, and reply tokens grow on from here. Every
        `expires_at` means what it says: an authorization whose end has passed by *now* ends
        in this call, and one that has ended stays gone. Before the first `now` this is
        `handle_timeout`.

        Args:
            now: the time by the clock as it has been set, in seconds.

        Raises:
            InvalidTime: *now* is not finite, or 2**33 or more; or an `expires_at` would lie
                more than 50 years ahead.
            TypeError: not a number.
        """
        checked = float(to_time(now))
        if not self._started:
            self.handle_timeout(checked)
            return
        latest = self._clients.latest_expiry()
        if latest is not None and latest > checked + MAX_AHEAD:
            raise InvalidTime(
                f"now {now!r} would leave an expires_at, {latest!r}, more than 50 years ahead", now
            )
        before, self._now = self._now, checked
        self._last_now = None
        self._clients.set_clock(before, checked)
        self._upkeep_at, self._is_behind = -math.inf, False

    # --- Asking why ------------------------------------------------------------------------

    def explain(
        self,
        direction: Direction,
        packet: Packet,
        now: float | None = None,
        client_id: str | None = None,
    ) -> "Explanation":
        """Tell what `handle_packet` would decide about a packet, and why. It has no effect at all.

        No time passes, also with a later *now*; no session, flow or fragment begins; no reply
        token is taken; no event is queued; nothing is counted. So a host may ask about packets
        that nobody has sent, and about moments that have not come.

        Args:
            direction: from a client (`OUTBOUND`) or to one (`INBOUND`).
            packet: one IP packet, as for `handle_packet`.
            now: the moment to ask about, in seconds; by default, and if it is earlier, the
                latest `now` so far. Before any call has brought one, it makes no difference:
                whatever was begun by then counts from the first `now`.
            client_id: as for `handle_packet`.

        Returns:
            The decision that `handle_packet` with the same arguments would make instead of this
            call, with its reply or translated packet; the checks up to the one that decides; and
            the client's resources that cover the address that was judged.

        Raises:
            InvalidTime: *now* is not finite, 2**33 or more, or more than 50 years from the
                latest `now`.
            TypeError: a wrong type.
        """
        from firezone_filter.gateway.explain import explain  # noqa: PLC0415 - few programs ask

        whole = packet if type(packet) is bytes else to_bytes(packet)
        check_direction(direction)
        if client_id is not None:
            client_id = to_text("client_id", client_id)
        at = self._now if now is None else self._time_at(now)
        if not self._started:
            # The clock stands still, and the first `now` moves everything along.
            at = self._now
        return explain(self._context, self._clients, direction, whole, at, client_id)

    # --- What there is ---------------------------------------------------------------------

    def clients(self) -> tuple[str, ...]:
        """Return the ids of the connected clients, in the order in which they connected."""
        return tuple(self._clients.by_id)

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._clients.by_id

    def authorizations(self, client_id: str) -> dict[str, float | None]:
        """Return a client's authorizations as a dict of resource ids and expiries.

        Expiries are in seconds on the clock of `now`; `None` means never.

        Raises:
            TypeError: *client_id* is not a `str`.
            UnknownClient: no such client is connected.
        """
        client_id = to_text("client_id", client_id)
        authorizations = self._connected(client_id).access.authorizations
        return {
            resource_id: held.expires_at
            for resource_id, held in authorizations.items()
            if not held.is_over(self._now)
        }

    def client(self, client_id: str) -> "ClientState":
        """Return what there is of a client, at the latest `now`; looking has no effect.

        It goes through all sessions and flows of the client, which may be many: not for every
        packet.

        Raises:
            TypeError: *client_id* is not a `str`.
            UnknownClient: no such client is connected.
        """
        from firezone_filter.gateway.states import client_state  # noqa: PLC0415 - rarely needed

        return client_state(self._connected(to_text("client_id", client_id)), self._now)

    @property
    def addresses(self) -> TunnelAddresses:
        """The gateway's own tunnel addresses, which `set_addresses` replaces."""
        return self._context.addresses

    @property
    def address_plan(self) -> AddressPlan:
        """The plan that it was made with."""
        return self._context.plan

    @property
    def options(self) -> GatewayOptions:
        """The options that it was made with."""
        return self._context.options

    def counters(self) -> Counters:
        """Return counts for dashboards and alarms; `prometheus_text` formats them.

        This walks over all clients: call it every few seconds, not for every packet.
        """
        return self._clients.counters(
            self._refusals,
            self._now,
            allowed={
                (_OUTBOUND, "forward"): self._forwarded_outbound,
                (_OUTBOUND, "translate"): self._translated_outbound,
                (_INBOUND, "forward"): self._forwarded_inbound,
                (_INBOUND, "translate"): self._translated_inbound,
            },
            clock_steps_back=self._steps_back,
            clock_step_back_max=self._step_back_max,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Gateway cannot be copied or pickled")

    def __repr__(self) -> str:
        addresses = ", ".join(str(address) for address in self._context.addresses.present())
        now = f"now {self._now!r}" if self._started else "no time yet"
        return f"<Gateway {addresses}: {len(self._clients.by_id)} clients, {now}>"

    # --- Judging and committing ------------------------------------------------------------

    def _handle(  # noqa: C901 - each way of a packet that may be waiting
        self,
        direction: Direction,
        key: bytes | None,
        protocol: int,
        packet: bytes,
        client_id: str | None,
    ) -> Decision:
        """Decide about a packet of which no decision is found, after upkeep if any is due.

        Arguments as `_judge_and_commit`.
        """
        now = self._now
        if now >= self._upkeep_at:
            # Established flows do no upkeep, so they stay fast while much waits.
            if key is not None and not self._flow_cache.is_open:
                established = self._established(direction, key, protocol, packet, client_id)
                if established is not None:
                    return established
            self._keep_up(STEPS_OF_A_PACKET)
        if key is not None:
            outbound = direction is _OUTBOUND
            flows = (self._outbound_handlers if outbound else self._inbound_handlers)[protocol]
            if flows:
                if protocol == ICMPV4 or protocol == ICMPV6:
                    echo = echo_flow_key(packet)
                    handler = flows[echo[-1]].get(echo)
                else:
                    handler = flows[key[-3 if outbound else -1]].get(key)
                if handler is not None and (client_id is None or client_id == handler.client_id):
                    decision: Decision | None = handler.handle(packet, now)
                    if decision is not None:
                        self._count(decision, outbound=outbound)
                        return decision
            if protocol == TCP or protocol == UDP:
                decision = self._first(direction, protocol, key, packet, client_id, now)
                if decision is not None:
                    return decision
        return self._judge_and_commit(direction, key, protocol, packet, client_id)

    def _judge_and_commit(
        self,
        direction: Direction,
        key: bytes | None,
        protocol: int,
        packet: bytes,
        client_id: str | None,
    ) -> Decision:
        """Judge a packet, and carry the decision out, which never changes it.

        Args:
            direction: which way the packet goes.
            key: the bytes where TCP and UDP have their flow key; `None` for a fragment, a
                packet with options or extension headers, or a malformed one.
            protocol: its protocol, if it has a key.
            packet: the packet.
            client_id: as for `handle_packet`.
        """
        now = self._now
        if protocol != TCP and protocol != UDP:
            key = None
        ruling = self._judge.judge(direction, packet, now, client_id, key)
        return self._commit(ruling, direction, packet, now)

    def _judge_flow(  # noqa: PLR0913, PLR0917 - as that of `FirstPackets`
        self,
        client: NearEnd,
        direction: Direction,
        protocol: int,
        key: bytes,
        packet: bytes,
        permitted: Forward,
        now: float,
    ) -> Decision:
        ruling = self._judge.judge_flow(
            cast("Client", client), direction, protocol, key, packet, permitted, now
        )
        return self._commit(ruling, direction, packet, now)

    def _translate(  # noqa: PLR0913, PLR0917 - as that of `FirstPackets`
        self,
        client: NearEnd,
        ends: tuple[int, int, bytes],
        far_port: int,
        key: bytes,
        packet: bytes,
        now: float,
    ) -> Decision | None:
        protocol, _, proxy = ends
        permitted = client.access.permission(proxy, PROXY, protocol, far_port, now)
        if type(permitted) is not Forward:
            return None
        transport = IPV4_HEADER if len(key) == IPV4_KEY_SIZE else IPV6_HEADER
        # Safe to translate: the client owns the source, and a resource that covers the proxy
        # address permits the packet.
        flow = cast("Nat", client.nat).flow_to(ends, far_port, transport, key, permitted, now)
        if type(flow) is not TranslatedFlow:
            return None
        decision, session = flow.translate(packet), flow.session
        self._translated_outbound += 1
        cache = client.flow_cache
        if flow.commit(packet, now):
            # As in `_commit_allowed`.
            cache.invalidate_inbound(protocol, session.outside & MAX_PORT, session.resolved)
        if session.is_open:
            cache.prepare(session, OUTBOUND + HANDLERS + protocol, key, flow)
        return decision

    def _commit(self, ruling: Ruling, direction: Direction, packet: bytes, now: float) -> Decision:
        """Carry a ruling out, and return its decision.

        Only here does a judged packet change state. Committing never changes the decision.
        """
        judged = ruling.decision
        if type(judged) is Drop or type(judged) is Reject:
            self._refusals.add(direction, packet, judged, now)
            self._commit_refused(ruling, direction, now)
        else:
            self._commit_allowed(ruling, judged, direction, packet, now)
        return judged

    def _established(
        self,
        direction: Direction,
        key: bytes,
        protocol: int,
        packet: bytes,
        client_id: str | None,
    ) -> Decision | None:
        """Decide about a packet of an established flow while the flow cache is closed.

        It is closed because some clients' entries are out of date; this asks whose they are.
        """
        if protocol not in REMEMBERED:
            return None
        outbound = direction is _OUTBOUND
        table = (OUTBOUND if outbound else INBOUND) + protocol
        cache, now = self._flow_cache, self._now
        found = cache.find(table, key)
        if found is None:
            is_echo = protocol == ICMPV4 or protocol == ICMPV6
            found = cache.find(table + HANDLERS, echo_flow_key(packet) if is_echo else key)
        if found is None or (client_id is not None and client_id != found.client_id):
            return None
        client = self._clients.by_id[found.client_id]
        if now >= client.valid_until or client.flow_cache.is_stale:
            return None
        decision: Decision | None = found if type(found) is Forward else found.handle(packet, now)
        if decision is not None:
            self._count(decision, outbound=outbound)
        return decision

    def _commit_refused(self, ruling: Ruling, direction: Direction, now: float) -> None:
        client, headers, decision = ruling.client, ruling.headers, ruling.decision
        if client is None:
            return
        if isinstance(decision, Reject):
            client.reply_tokens.take(now)
        # A refused fragment ends its packet: no other may pass on the verdict about an earlier
        # first fragment (RFC 5722).
        if headers is not None and headers.fragment is not None:
            client.fragments.forget_packet(
                headers, headers.fragment, outbound=direction is _OUTBOUND
            )

    def _commit_allowed(  # noqa: C901, PLR0912 - one step for each thing that follows
        self,
        ruling: Ruling,
        decision: Forward | Translate,
        direction: Direction,
        packet: bytes,
        now: float,
    ) -> None:
        outbound = direction is _OUTBOUND
        self._count(decision, outbound=outbound)
        _, client, headers, key, flow, tracked, followed = ruling
        # Without headers it is an ICMP error, from which nothing follows.
        if client is None or headers is None:
            return
        # A later fragment only counts. It prolongs neither its verdict nor a session.
        if followed is not None:
            if followed.count_later is not None:
                followed.count_later(headers, packet, now)
            return
        # What has been remembered by now is void, but what is from here on is not.
        if now >= client.valid_until:
            client.expire(now)
        is_new = tracked is not None and tracked.commit(packet, now)
        if flow is not None and (flow.commit(packet, now) or is_new):
            # Inbound flows that went around the NAT until now may belong to the new session, or
            # to a new flow of it.
            client.flow_cache.invalidate_inbound(*flow.session.reverse_key)
        handler: FlowHandler | None = flow
        if client.recorder is not None:
            handler = client.count(decision, flow, headers, packet, now, outbound=outbound)
        if headers.fragment is not None:
            verdict = client.verdict(decision, flow, headers, packet, outbound=outbound)
            client.fragments.keep(headers, headers.fragment, verdict, now, outbound=outbound)
            return
        if client.flows is not None and decision.resource_id is not None:
            # Each packet of a flow has an effect; one of none may be followed by one that
            # begins a flow.
            if tracked is None:
                return
            handler = tracked if handler is None else Tracking(tracked, handler)
        table = (OUTBOUND if outbound else INBOUND) + headers.protocol
        if handler is not None:
            key = key or flow_key(headers, packet)
            if key is not None and flow is not None:
                if not flow.session.is_open:
                    return  # the packet has ended it
                client.flow_cache.prepare(flow.session, table + HANDLERS, key, handler)
            elif key is not None and tracked is not None:
                if tracked.session.is_open:
                    client.flow_cache.prepare(tracked.session, table + HANDLERS, key, handler)
            elif key is not None and (headers.protocol == TCP or headers.protocol == UDP):
                client.flow_cache.store_noted(table + HANDLERS, key, handler)
        elif key is not None:
            client.flow_cache.store_noted(table, key, cast("Forward", decision))

    # --- Time and events -------------------------------------------------------------------

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout` next, in seconds on the clock of `now`.

        That is the earliest time at which `handle_timeout` may have an event to report, or
        something to forget that is over by then; the latter at most once a second. It may be
        early, for events it is never late. If the last `handle_timeout` could not do all there
        was to do, it is the latest `now`: call it again when there is nothing else to do.
        Events that already wait in the queue are not announced. Hooks and packets change it.

        Returns:
            A time, or `None` if no call is needed.
        """
        earliest = self._clients.earliest(self._now)
        if self._is_behind and self._clients.next_upkeep() <= self._now:
            return self._now if earliest is None else min(earliest, self._now)
        return earliest

    def handle_timeout(self, now: float) -> None:
        """Let time pass: report what has ended, and forget it.

        Calling it late makes no decision wrong, since what is over counts for nothing in any
        call that brings a later `now`. Only reports and memory wait for it. It does a bounded
        part of what there is to do, and `poll_timeout` says whether there is more.

        Args:
            now: the time, in seconds.

        Raises:
            InvalidTime: *now* is not finite, 2**33 or more, or more than 50 years from the
                latest `now`.
            TypeError: not a number.
        """
        self._advance(self._to_now(now))
        for log in self._context.logs:
            log.handle_timeout(self._now)
        self._keep_up(STEPS_OF_A_TIMEOUT)
        self._is_behind = self._upkeep_at <= self._now

    def poll_event(self) -> Event | None:
        """Return the next event and remove it from the queue; `None` if none waits.

        Any call may queue events, so poll until `None` after each. Events come in the order
        in which they took effect. While very much waits to be taken apart, `None` may come
        before the last: then `poll_timeout` is not later than the latest `now`.
        """
        event = self._clients.next_event(self._now)
        if event is None and self._now >= self._upkeep_at:
            # What ended has been taken apart for its events; now for what follows.
            self._keep_up(STEPS_OF_A_PACKET)
            event = self._clients.next_event(self._now)
        return event

    # --- Inside ---------------------------------------------------------------------------

    def _to_now(self, now: float) -> float:
        """Return *now* if it can be the time of a call."""
        return to_now(now, self._now if self._started else None)

    def _to_times(self, nows: list[float | None]) -> list[float | None]:
        """Return *nows* if they can be the times of as many calls, one after the other."""
        latest, sure = self._now, self._expiries.next
        has_time = self._started
        times = list(nows)
        for place, now in enumerate(nows):
            if type(now) is float and latest <= now < sure:
                latest = now  # as nearly always
            elif now is not None:
                checked = times[place] = to_now(now, latest if has_time else None)
                latest = max(checked, latest) if has_time else checked
                has_time = True
        return times

    def _advance(self, now: float) -> None:
        """Advance to a checked *now*, and see to the authorizations that are over by then.

        An earlier *now* is ignored, since time never runs backwards.
        """
        if not self._started:
            self._started = True
            self._now = now
            self._clients.start_clock(now)
        elif now > self._now:
            self._now = now
            self._clients.expiries.look_ahead(now)
            # What cannot be done at once closes the flow cache, and waits for packets that miss
            # it: those of established flows do no more than to ask whether they are concerned.
            if now >= self._expiries.next and self._flow_cache.is_open:
                self._keep_up(STEPS_OF_A_PACKET)
        elif now < self._now:
            self._steps_back += 1
            self._step_back_max = max(self._step_back_max, self._now - now)
            return
        self._last_now = now

    def _keep_up(self, steps: int) -> None:
        """Do so many steps of upkeep at most, and find out when there is more to do."""
        now = self._now
        if self._clients.keep_up(now, steps):
            # A second later at most, since packets bring new ends.
            self._upkeep_at = min(self._clients.next_upkeep(), now + 1.0)
        else:
            self._upkeep_at = now

    def _time_at(self, now: float) -> float:
        """Return the moment at which a call with *now* happens.

        Raises:
            InvalidTime: it can be no time of a call.
        """
        checked = self._to_now(now)
        return max(checked, self._now) if self._started else checked

    def _connected(self, client_id: str) -> Client:
        client = self._clients.by_id.get(client_id)
        if client is None:
            raise UnknownClient(f"no client {client_id!r} is connected", client_id)
        return client
