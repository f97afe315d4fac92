"""What one client may reach: its authorizations, and which resource answers for an address."""

from typing import assert_never, cast, final

from attrs import define, field

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.access.special_ranges import DNS, NOT_CIDR, NOT_INTERNET, RangeMap
from firezone_filter.access.table import Alone, Entry, Match, NetworkTree
from firezone_filter.nat.nat import Nat
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.structures.interning import Shared
from firezone_filter.structures.timers import NO_DEADLINE
from firezone_filter.values.decisions import Forward, Reason
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    Filter,
    InternetResource,
    Resource,
)


class Terms:
    """What a resource permits, compiled. All clients that have the same resource share one."""

    __slots__ = ("__weakref__", "alone", "check", "excluded", "resource")

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.check: PermitCheck = compile_filters(_filters(resource))
        self.alone: Alone | None = None
        """What the tree of networks has of it."""
        self.excluded: RangeMap | None = None
        """What is not the Internet here."""
        match resource:
            case CidrResource():
                self.alone = (Entry(resource.network, resource.id, resource.filters),)
            case InternetResource():
                self.excluded = RangeMap((network, NOT_INTERNET) for network in resource.exclude)
            case DnsResource():
                pass
            case _:
                assert_never(resource)


def _filters(resource: Resource) -> tuple[Filter, ...]:
    return () if isinstance(resource, InternetResource) else resource.filters


terms_of: Shared[Resource, Terms] = Shared(Terms)
"""Compile a resource, or return what an equal one was compiled to before."""


@final
@define(eq=False)
class Authorization:
    """One client's permission for one resource."""

    client_id: str
    terms: Terms
    expires_at: float | None = None
    deadline: int = NO_DEADLINE
    made: Forward | None = field(default=None, init=False)

    @property
    def resource(self) -> Resource:
        """What the client may reach."""
        return self.terms.resource

    @property
    def match(self) -> Match:
        """What the tree of networks says of it where it permits."""
        return cast("Alone", self.terms.alone)[0].permitted

    @property
    def forward(self) -> Forward:
        """What every packet that the resource permits gets: one object for all of them."""
        # Made with the first of them: most of what clients may reach they never do.
        if self.made is None:
            self.made = Forward(self.client_id, self.resource.id)
        return self.made


class Access:
    """The authorizations of one client, compiled for asking.

    DNS resources cover addresses only through the proxy addresses given for them.
    """

    __slots__ = ("_client_id", "_internet", "_networks", "authorizations", "nat")

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self.authorizations: dict[str, Authorization] = {}
        self._networks: NetworkTree[Authorization] = NetworkTree()
        self._internet: dict[str, RangeMap] = {}
        # Only clients that use DNS resources have one: most clients of a large gateway
        # are idle, and each costs memory.
        self.nat: Nat | None = None

    def grant(self, resource: Resource) -> Authorization:
        """Permit *resource*, in place of what its id permitted; return the authorization."""
        terms = terms_of(resource)
        authorization = self.authorizations.get(resource.id)
        if authorization is None:
            authorization = Authorization(self._client_id, terms)
            self.authorizations[resource.id] = authorization
        else:
            authorization.terms = terms
        if terms.alone is not None:
            self._networks.put(terms.alone, authorization)
        if terms.excluded is not None:
            self._internet[resource.id] = terms.excluded
        return authorization

    def withdraw(self, resource_id: str) -> None:
        """Take a resource away that the client is authorized for."""
        terms = self.authorizations.pop(resource_id).terms
        if terms.alone is not None:
            self._networks.take(terms.alone)
        if terms.excluded is not None:
            del self._internet[resource_id]
        if self.nat is not None:
            self.nat.withdraw(resource_id)

    def permission(self, far: bytes, flags: int, protocol: int, port: int) -> Forward | Reason:
        """Return what permits to exchange such packets with a far address, or why not.

        Args:
            far: the resource's end of the packet, in network byte order.
            flags: what is known of that address.
            protocol: IANA protocol number.
            port: the resource's port; ignored where the protocol has none.
        """
        if flags & DNS:
            return self._dns_permission(far, protocol, port)
        found = None if flags & NOT_CIDR else self._networks.lookup(far, protocol, port)
        if type(found) is Authorization:
            if not self._internet:
                return found.made or found.forward
            found = found.match
        if self._internet and (not found or not found.network.prefixlen):
            return self._internet_permission(far, flags, found)
        if found is None:
            return Reason.NO_RESOURCE
        return found.reason or self.authorizations[found.resource_id].forward

    def _internet_permission(
        self, far: bytes, flags: int, match: Match | None
    ) -> Forward | Reason:
        """Let the Internet resources compete with what the table says.

        They have prefix length 0. Who permits goes first, then the longer prefix, then the
        greater id.
        """
        best = (False, -1, "")
        if match is not None:
            best = (match.permitted, match.network.prefixlen, match.resource_id)
        internet = max(
            (not flags & NOT_INTERNET and not excluded.flags(far), 0, resource_id)
            for resource_id, excluded in self._internet.items()
        )
        if match is not None and best > internet:
            return match.reason or self.authorizations[match.resource_id].forward
        permitted, _, resource_id = internet
        return self.authorizations[resource_id].forward if permitted else Reason.NOT_INTERNET

    def _dns_permission(self, proxy: bytes, protocol: int, port: int) -> Forward | Reason:
        """Ask the DNS resources that a proxy address was given for, the greatest id first."""
        known = None if self.nat is None else self.nat.proxies.get(proxy)
        if known is None:
            return Reason.NO_RESOURCE
        icmp = ICMPV4 if len(proxy) == IPV4_LENGTH else ICMPV6
        refusal: Reason | None = None
        for resource_id in reversed(known.resources):
            authorization = self.authorizations[resource_id]
            reason = authorization.terms.check.refusal(protocol, port, icmp)
            if reason is None:
                return authorization.forward
            refusal = refusal or reason
        return refusal or Reason.NO_RESOURCE
