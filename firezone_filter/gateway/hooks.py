"""The hooks of a gateway: connection lifecycle, authorizations, names, own addresses.

Arguments are checked here; what they change is in `Roster`.
"""

from collections.abc import Collection, Iterable, Mapping

from firezone_filter.access.special_ranges import NOT_RESOLVED
from firezone_filter.gateway.checks import (
    check_free,
    check_in_tunnel,
    check_not_own,
    check_proxies,
    to_expiry,
)
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import Roster
from firezone_filter.gateway.context import Site
from firezone_filter.gateway.judge import FreshDecisions
from firezone_filter.nat.proxies import MAX_PROXIES, Resolution
from firezone_filter.values.addresses import (
    Address,
    AddressPlan,
    TunnelAddresses,
    to_addresses,
    to_resolved,
)
from firezone_filter.values.arguments import (
    check_same_place,
    check_stands_for,
    check_type,
    to_id_sets,
    to_text,
)
from firezone_filter.values.counters import Counters
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import InvalidPolicy, UnknownClient, UnknownResource
from firezone_filter.values.events import FlowEnd
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.values.times import to_time


class Hooks:
    """What a gateway is told: by the portal, by the tunnel, and about names.

    Each hook checks all its arguments before it changes anything.
    """

    def __init__(
        self, addresses: TunnelAddresses, plan: AddressPlan, options: GatewayOptions
    ) -> None:
        self._site = Site(addresses, plan, options)
        check_in_tunnel(addresses, self._site)
        self._roster = Roster(self._site)
        self._flows = self._site.flows
        self._outbound, self._inbound = self._flows.outbound, self._flows.inbound
        self._prepared_outbound = self._flows.prepared_outbound
        self._prepared_inbound = self._flows.prepared_inbound
        self._deadlines = self._roster.deadlines
        self._fresh = FreshDecisions(self._site, self._roster)
        # Before the first `now` the time stands still at its start.
        self._now = 0.0
        self._started = False
        self._reckoned: float | None = None

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
        check_in_tunnel(addresses, self._site)
        check_not_own(addresses, self._site)
        check_free(addresses, self._roster, client_id)
        self._advance(checked)
        self._roster.connect(client_id, addresses, self._now)

    def client_disconnected(self, client_id: str) -> bool:
        """End a tunnel session: forget the client, its queued events included.

        Returns:
            Whether there was such a client.

        Raises:
            TypeError: *client_id* is not a `str`.
        """
        client_id = to_text("client_id", client_id)
        return self._roster.disconnect(client_id, self._now)

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
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
        authorization = self._roster.authorization(client_id, resource_id)
        if authorization is None:
            return False
        self._roster.end(authorization, FlowEnd.REVOKED, self._now)
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
        client_id = to_text("client_id", client_id)
        resource_id = to_text("resource_id", resource_id)
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
                    self._roster.end(authorization, FlowEnd.REVOKED, self._now)

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
        authorization = self._roster.authorization(client_id, resource_id)
        if authorization is None:
            raise UnknownResource(
                f"client {client_id!r} is not authorized for {resource_id!r}", resource_id
            )
        check_stands_for(authorization.resource, name)
        check_proxies(proxies, self._site)
        resolution = Resolution(
            name,
            tuple(address.packed for address in proxies),
            tuple(address.packed for address in resolved if self._may_be_resolved(address)),
        )
        number = client.proxies_after(resolution)
        if number > MAX_PROXIES:
            raise InvalidPolicy(
                f"client {client_id!r} would have {number} proxy addresses, more than "
                f"{MAX_PROXIES}",
                number,
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
        check_in_tunnel(addresses, self._site)
        check_free(addresses, self._roster, None)
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
        client_id = to_text("client_id", client_id)
        authorizations = self._connected(client_id).access.authorizations
        return {resource_id: held.expires_at for resource_id, held in authorizations.items()}

    def counters(self) -> Counters:
        """Return counts for dashboards and alarms; `prometheus_text` writes them out.

        It walks over all clients: a matter of seconds between two calls, not of packets.
        """
        return self._roster.counters(self._fresh.refusals, self._now)

    def __repr__(self) -> str:
        addresses = ", ".join(str(address) for address in self._site.addresses.present())
        now = f"now {self._now!r}" if self._started else "no time yet"
        return f"<Gateway {addresses}: {len(self._roster.clients)} clients, {now}>"

    # --- Time --------------------------------------------------------------------------------

    def _advance(self, now: float | None) -> None:
        """Move on to a checked *now* and expire what is due; time never runs backwards."""
        if now is None:
            return
        if not self._started:
            self._started = True
            self._now = now
            self._roster.start_clock(now)
        elif now > self._now:
            before, self._now = self._now, now
            self._roster.expire(now, before)

    def _time_at(self, now: float) -> float:
        """Return the moment at which a call with a checked *now* happens."""
        return max(now, self._now) if self._started else now

    def _to_expiry(self, expires_at: float | None) -> float | None:
        return to_expiry(expires_at, self._now if self._started else None)

    def _connected(self, client_id: str) -> Client:
        client = self._roster.clients.get(client_id)
        if client is None:
            raise UnknownClient(f"no client {client_id!r} is connected", client_id)
        return client

    def _may_be_resolved(self, address: Address) -> bool:
        # Whoever answers for a name must not be able to open a way to other clients, to
        # the tunnel side of the gateway or to its loopback (DNS rebinding).
        return not self._site.flags(address.packed) & NOT_RESOLVED
