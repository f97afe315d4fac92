"""The authorizations of one client, and the resource that answers for a far address.

This is rules.md, section 5. CIDR resources are matched in a tree of networks, DNS
resources by proxy address, Internet resources by exclusion; `ClientAccess.permission` asks the
kinds that can cover the address, and lets the best candidate answer.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, assert_never, cast, final

from attrs import define, field

from firezone_filter.access.excluding import ExcludedNetworks
from firezone_filter.access.internet import InternetAccess
from firezone_filter.access.liveness import Foresight, Liveness
from firezone_filter.access.permit_index import PermitIndex
from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.access.special_ranges import DNS, LOCAL_SERVICE, NOT_CIDR, NOT_INTERNET
from firezone_filter.access.table import Entry, Match, NetworkTree, SingleEntry
from firezone_filter.compiled.twins import compiled
from firezone_filter.nat.proxies import ProxyAddress, ProxyTable
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.structures.interning import Interned
from firezone_filter.values.decisions import Forward, Reason
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)

_NO_PROXIES: Final[Mapping[bytes, ProxyAddress]] = MappingProxyType({})


class CompiledResource:
    """A resource, compiled. All clients with an equal resource share one object."""

    __slots__ = ("__weakref__", "check", "excluded", "resource", "single")

    def __init__(self, resource: Resource) -> None:
        self.resource: Resource = resource
        self.single: SingleEntry | None = None
        """Its entry in the tree of networks; `None` for all but CIDR resources."""
        self.excluded: ExcludedNetworks | None = None
        """The networks that it excludes; `None` for all but Internet resources (a CIDR resource's
        are those of its entry)."""
        self.check: PermitCheck
        """Its filters, compiled."""
        match resource:
            case CidrResource():
                entry = Entry(resource.network, resource.id, resource.filters, resource.exclude)
                self.check, self.single = entry.check, (entry,)
            case InternetResource():
                # No filters: the Internet is permitted for every protocol (section 5, rule 5).
                self.check = compile_filters(())
                self.excluded = ExcludedNetworks(resource.exclude)
            case DnsResource():
                self.check = compile_filters(resource.filters)
            case _:
                assert_never(resource)


compile_resource: Interned[Resource, CompiledResource] = Interned(CompiledResource)
"""Compile a resource; equal ones share the result. A global cache, of resources in use."""


@final
@define(eq=False)
class Authorization:
    """One client's permission to reach one resource."""

    client_id: str
    compiled: CompiledResource
    expires_at: float | None = None
    """When it ends, in seconds; `None` for never. It is over from then on, whether or not it
    has been taken apart."""

    number: int = -1
    """The number of the setting of its expiry: it orders those of one moment."""

    is_reported: bool = False
    """Whether its expiry has been reported."""

    _forward: Forward | None = field(default=None, init=False)

    def is_over(self, now: float) -> bool:
        """Tell whether its end has come."""
        return self.expires_at is not None and now >= self.expires_at

    @property
    def resource(self) -> Resource:
        """The resource that the client may reach."""
        return self.compiled.resource

    @property
    def match(self) -> Match:
        """The permitting match of a CIDR resource, in the form that a tree returns."""
        return cast("SingleEntry", self.compiled.single)[0].permitted

    @property
    def forward(self) -> Forward:
        """The `Forward` that all packets permitted by the resource share."""
        # Made for the first packet: clients never use most of their authorizations.
        if self._forward is None:
            self._forward = Forward(self.client_id, self.compiled.resource.id)
        return self._forward


_NO_NETWORKS: Final[NetworkTree[Authorization | Forward]] = NetworkTree()


class ProxyPermits:
    """What the many resources of one proxy address permit together.

    A `ProxyTable` keeps it up to date (`nat.proxies.SharedPermits`).
    """

    __slots__ = ("_authorizations", "index")

    def __init__(self, authorizations: Mapping[str, Authorization]) -> None:
        self._authorizations = authorizations
        self.index: PermitIndex[CompiledResource] = PermitIndex()

    def add(self, resource_id: str) -> None:
        """Add a resource, which must be authorized."""
        self.index.put(resource_id, self._authorizations[resource_id].compiled)

    def remove(self, resource_id: str) -> None:
        """Remove a resource, which may have lost its authorization by now."""
        self.index.remove(resource_id)


@compiled
class NearAccess:
    """A client's authorizations, as far as first packets ask about them (`first_packets`)."""

    __slots__ = ("first_expiry", "internet", "networks")

    first_expiry: float
    """When the first of them is over."""
    networks: NetworkTree[Authorization | Forward]
    """The networks of its CIDR resources, but for those of local services. Each answers with the
    authorization, or with its `Forward` once a first packet has asked."""
    internet: InternetAccess | None
    """Its Internet resources; `None` without any."""


class ClientAccess(NearAccess):
    """The authorizations of one client, compiled for one quick question per packet.

    A DNS resource covers nothing but the proxy addresses that were assigned for it.

    A change that raises has changed nothing: all that may raise comes before the first effect.
    """

    __slots__ = (
        "_client_id",
        "_proxy_table",
        "authorizations",
        "last_expiry",
        "local_networks",
        "proxies",
    )

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self.authorizations: dict[str, Authorization] = {}
        """By resource id; those that are over and have not been taken apart yet included."""
        self.first_expiry: float = math.inf
        self.last_expiry: float = math.inf
        """When all of them are over; infinity if some never are."""
        self.networks: NetworkTree[Authorization | Forward] = NetworkTree()
        # Made when needed: few clients have any, and a tree is a good part of an idle client.
        self.local_networks: NetworkTree[Authorization | Forward] = _NO_NETWORKS
        """The networks of its CIDR resources that lie inside a range of local services."""
        self.internet = None
        self._proxy_table: ProxyTable | None = None
        self.proxies: Mapping[bytes, ProxyAddress] = _NO_PROXIES
        """The client's proxy addresses; its NAT owns them."""

    def use_proxies(self, table: ProxyTable) -> None:
        """Take the client's proxy addresses from *table*, an empty one that its NAT owns."""
        self._proxy_table = table
        self.proxies = table.by_address
        # Of the authorizations, not of `self`: what is in a cycle only the collector frees.
        table.share_permits = partial(ProxyPermits, self.authorizations)

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, replacing an authorization with its id; return the new one.

        The caller has checked that kind, network and pattern of an id stay the same.
        """
        compiled = compile_resource(resource)
        known = self.authorizations.get(resource.id)
        authorization = known or Authorization(self._client_id, compiled)
        # A resource is of one kind, so only one of these applies, and each is all or nothing.
        if compiled.single is not None:
            if compiled.single[0].is_local_service:
                self._permit_local_service(compiled.single, authorization)
            else:
                self.networks.put(compiled.single, authorization)
        elif compiled.excluded is not None:
            internet = InternetAccess() if self.internet is None else self.internet
            internet.put(resource.id, compiled.excluded)
            self.internet = internet
        elif known is not None and known.compiled is not compiled:
            self._replace_at_proxies(known.compiled, compiled)
        authorization.compiled = compiled
        self.authorizations[resource.id] = authorization
        return authorization

    def take_back(self, authorization: Authorization, before: Resource | None) -> None:
        """Undo `authorize`, which replaced *before*, or nothing."""
        if before is None:
            self.revoke(authorization.resource.id)
        else:
            self.authorize(before)

    def _permit_local_service(self, single: SingleEntry, authorization: Authorization) -> None:
        tree = self.local_networks
        if tree is _NO_NETWORKS:
            tree = NetworkTree()
        tree.put(single, authorization)
        self.local_networks = tree

    def _replace_at_proxies(self, before: CompiledResource, compiled: CompiledResource) -> None:
        """Let the proxy addresses of a DNS resource have its new filters."""
        if self._proxy_table is None:
            return
        resource_id, changed = compiled.resource.id, []
        try:
            for permits in self._proxy_table.shared_permits(resource_id):
                index = cast("ProxyPermits", permits).index
                index.put(resource_id, compiled)
                changed.append(index)
        except BaseException:
            for index in changed:
                index.put(resource_id, before)
            raise

    def revoke(self, resource_id: str) -> None:
        """Remove the authorization for a resource, which must be there.

        A DNS resource must not be left without authorization while it has proxy addresses and
        a packet may come: remove those first, from the `ProxyTable`, or with nothing in between.
        """
        compiled = self.authorizations[resource_id].compiled
        if compiled.single is not None:
            is_local = compiled.single[0].is_local_service
            tree = self.local_networks if is_local else self.networks
            tree.take(compiled.single)
        elif compiled.excluded is not None:
            internet = cast("InternetAccess", self.internet)
            internet.remove(resource_id)
            if not internet:
                self.internet = None
        del self.authorizations[resource_id]

    def ends_at(self, resource_id: str) -> float:
        """Return when the authorization for a resource ends; infinity for never."""
        expires_at = self.authorizations[resource_id].expires_at
        return math.inf if expires_at is None else expires_at

    def permission(
        self, far: bytes, flags: int, protocol: int, number: int, now: float
    ) -> Forward | Reason:
        """Return the permission to exchange packets with a far address, or the refusal.

        Args:
            far: the far address, 4 or 16 bytes in network byte order.
            flags: its flags in the range map.
            protocol: IANA protocol number.
            number: the far port for TCP and UDP, the type for ICMP and ICMPv6; ignored for other
                protocols.
            now: the time: what is over by then permits nothing.

        Returns:
            The `Forward` of the best candidate that permits the packet (section 5), otherwise
            the reason of the best one that does not; `NO_RESOURCE` without any candidate.
        """
        if now >= self.first_expiry:
            liveness = Liveness(self.authorizations, now)
            return self._permission_of_living(far, flags, protocol, number, now, liveness)
        match: Match | None = None
        # Special addresses never reach the tree: no CIDR resource covers them, however wide
        # its network is (section 5, rule 1).
        if not flags & NOT_CIDR:
            # Local services have a tree of their own, so that no wider network covers them.
            networks = self.local_networks if flags & LOCAL_SERVICE else self.networks
            found = networks.lookup(far, protocol, number)
            # The tree answers with these only if they permit the packet.
            if type(found) is Authorization:
                found = found.forward
            if type(found) is not Forward:
                match = found
            elif self.internet is None:
                return found
            else:
                match = self.authorizations[cast("str", found.resource_id)].match
        # In the DNS ranges DNS resources alone are candidates; not even the Internet is.
        elif flags & DNS:
            return self._dns_permission(far, protocol, number, None)
        return self._best(far, flags, match, None)

    def foresee(
        self, far: bytes, flags: int, protocol: int, number: int, now: float
    ) -> Forward | Reason:
        """Return what `permission` would at a moment that may not have come, and never may.

        `permission` may ask less of what is over the next time; this leaves no trace. Arguments
        and result are those of `permission`.
        """
        if now < self.first_expiry:
            return self.permission(far, flags, protocol, number, now)
        liveness = Foresight(self.authorizations, now)
        return self._permission_of_living(far, flags, protocol, number, now, liveness)

    def _permission_of_living(  # noqa: PLR0913, PLR0917 - what is asked, and who still counts
        self,
        far: bytes,
        flags: int,
        protocol: int,
        number: int,
        now: float,
        liveness: Liveness,
    ) -> Forward | Reason:
        """Return what `permission` would, had every authorization been revoked that is over.

        That is one with `now >= expires_at`. With a `Liveness` it may ask less of those the next
        time, so an authorization that is over must never live again: whoever wants that must
        revoke it first.
        """
        if now >= self.last_expiry:
            # As often where very many are over: to ask each of them may take milliseconds.
            return Reason.NO_RESOURCE
        if flags & DNS:
            return self._dns_permission(far, protocol, number, liveness)
        match: Match | None = None
        if not flags & NOT_CIDR:
            networks = self.local_networks if flags & LOCAL_SERVICE else self.networks
            match = networks.lookup_living(far, protocol, number, liveness)
        return self._best(far, flags, match, liveness)

    def _best(
        self, far: bytes, flags: int, match: Match | None, liveness: Liveness | None
    ) -> Forward | Reason:
        """Return the answer of the tree's match, or of an Internet resource if that is better.

        By rule 2 of section 5: a candidate that permits comes first, then the longer prefix
        (theirs has length 0), then the greater id.
        """
        # They matter only if no network permits the packet, or only one of length 0 does.
        if self.internet is not None and (not match or not match.network.prefixlen):
            is_public = not flags & NOT_INTERNET
            found = self.internet.best(far, is_public=is_public, liveness=liveness)
            if found is not None:
                permits, resource_id = found
                if match is None or (permits, 0, resource_id) > (
                    match.permitted,
                    match.network.prefixlen,
                    match.resource_id,
                ):
                    # Safe to permit: the address is public, and not excluded by the resource.
                    forward = self.authorizations[resource_id].forward
                    return forward if permits else Reason.NOT_INTERNET
        if match is None:
            return Reason.NO_RESOURCE
        # The match permits the packet if it has no reason, and its resource is authorized:
        # `revoke` removes it from the tree.
        return match.reason or self.authorizations[match.resource_id].forward

    def _dns_permission(
        self, proxy: bytes, protocol: int, number: int, liveness: Liveness | None
    ) -> Forward | Reason:
        """Ask the DNS resources that a proxy address was assigned for, greatest id first.

        The first that permits the packet answers; if none does, the first one's refusal does.
        """
        known = self.proxies.get(proxy)
        if known is None:
            return Reason.NO_RESOURCE
        is_ipv4 = len(proxy) == IPV4_LENGTH
        icmp = ICMPV4 if is_ipv4 else ICMPV6
        ids: Sequence[str] = known.resources
        if known.permits is not None:
            index = cast("ProxyPermits", known.permits).index
            # If none permits the packet, the one asked first says why.
            first = index.winner(protocol, number, proxy, liveness)
            first = first or index.greatest(proxy, liveness)
            ids = () if first is None else (first,)
        refusal: Reason | None = None
        for resource_id in reversed(ids):
            if liveness is not None and liveness.is_over(resource_id):
                continue
            authorization = self.authorizations[resource_id]
            check = authorization.compiled.check
            bounds = (check.ipv4 if is_ipv4 else check.ipv6).get(protocol)
            # Nearly always a permitted number: 120 ns, where `refusal` takes 250 ns.
            if bounds is not None and bisect_right(bounds, number) & 1:
                return authorization.forward
            reason = check.refusal(protocol, number, icmp)
            if reason is None:
                return authorization.forward
            refusal = refusal or reason
        return refusal or Reason.NO_RESOURCE


AsksPermission = Callable[[ClientAccess, bytes, int, int, int, float], Forward | Reason]
"""`ClientAccess.permission`, or `ClientAccess.foresee` for a moment that may not have come."""
