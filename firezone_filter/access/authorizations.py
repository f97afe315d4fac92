"""What one client may reach: its authorizations, and which resource answers for an address."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, assert_never, cast, final

from attrs import define, field

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.access.special_ranges import DNS, NOT_CIDR, NOT_INTERNET, RangeMap
from firezone_filter.access.table import Entry, Match, NetworkTree, SingleEntry
from firezone_filter.nat.proxies import ProxyAddress
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.structures.interning import Interned
from firezone_filter.structures.timers import NO_DEADLINE
from firezone_filter.values.decisions import Forward, Reason
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)

_NO_PROXIES: Final[Mapping[bytes, ProxyAddress]] = MappingProxyType({})


class CompiledResource:
    """What a resource permits, compiled. All clients that have the same resource share one."""

    __slots__ = ("__weakref__", "check", "excluded", "resource", "single")

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.single: SingleEntry | None = None
        """Its entry in the tree of networks, if it has a network."""
        self.excluded: RangeMap | None = None
        """Networks that are not the Internet here, if it is the Internet."""
        self.check: PermitCheck
        match resource:
            case CidrResource():
                entry = Entry(resource.network, resource.id, resource.filters)
                self.check, self.single = entry.check, (entry,)
            case InternetResource():
                self.check = compile_filters(())
                self.excluded = RangeMap((network, NOT_INTERNET) for network in resource.exclude)
            case DnsResource():
                self.check = compile_filters(resource.filters)
            case _:
                assert_never(resource)


compile_resource: Interned[Resource, CompiledResource] = Interned(CompiledResource)
"""Compile a resource, or return what an equal one was compiled to before."""


@final
@define(eq=False)
class Authorization:
    """One client's permission for one resource."""

    client_id: str
    compiled: CompiledResource
    expires_at: float | None = None
    deadline: int = NO_DEADLINE
    _forward: Forward | None = field(default=None, init=False)

    @property
    def resource(self) -> Resource:
        """What the client may reach."""
        return self.compiled.resource

    @property
    def match(self) -> Match:
        """What the tree of networks says of it where it permits."""
        return cast("SingleEntry", self.compiled.single)[0].permitted

    @property
    def forward(self) -> Forward:
        """The decision about every packet that the resource permits: one object for all."""
        # Made with the first packet: clients never use most of what they may reach.
        if self._forward is None:
            self._forward = Forward(self.client_id, self.compiled.resource.id)
        return self._forward


class ClientAccess:
    """The authorizations of one client, compiled for asking.

    DNS resources cover addresses only through the proxy addresses given for them.
    """

    __slots__ = ("_client_id", "_internet", "_networks", "authorizations", "proxies")

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self.authorizations: dict[str, Authorization] = {}
        self._networks: NetworkTree[Authorization] = NetworkTree()
        self._internet: dict[str, RangeMap] = {}
        self.proxies: Mapping[bytes, ProxyAddress] = _NO_PROXIES
        """The client's proxy addresses, which its NAT keeps."""

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, in place of what its id permitted; return the authorization."""
        compiled = compile_resource(resource)
        authorization = self.authorizations.get(resource.id)
        if authorization is None:
            authorization = Authorization(self._client_id, compiled)
            self.authorizations[resource.id] = authorization
        else:
            authorization.compiled = compiled
        if compiled.single is not None:
            self._networks.put(compiled.single, authorization)
        if compiled.excluded is not None:
            self._internet[resource.id] = compiled.excluded
        return authorization

    def revoke(self, resource_id: str) -> None:
        """Take a resource away that the client is authorized for."""
        compiled = self.authorizations.pop(resource_id).compiled
        if compiled.single is not None:
            self._networks.take(compiled.single)
        if compiled.excluded is not None:
            del self._internet[resource_id]

    def permission(self, far: bytes, flags: int, protocol: int, port: int) -> Forward | Reason:
        """Return what permits to exchange such packets with a far address, or why not.

        Args:
            far: the resource's end of the packet, in network byte order.
            flags: what is known of that address.
            protocol: IANA protocol number.
            port: the resource's port; ignored where the protocol has none.
        """
        match: Match | None = None
        if not flags & NOT_CIDR:
            found = self._networks.lookup(far, protocol, port)
            if type(found) is not Authorization:
                match = found
            elif self._internet:
                match = found.match
            else:
                return found._forward or found.forward  # noqa: SLF001 - the property takes 50 ns
        elif flags & DNS:
            return self._dns_permission(far, protocol, port)
        if self._internet and (not match or not match.network.prefixlen):
            return self._internet_permission(far, flags, match)
        if match is None:
            return Reason.NO_RESOURCE
        return match.reason or self.authorizations[match.resource_id].forward

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
        known = self.proxies.get(proxy)
        if known is None:
            return Reason.NO_RESOURCE
        icmp = ICMPV4 if len(proxy) == IPV4_LENGTH else ICMPV6
        refusal: Reason | None = None
        for resource_id in reversed(known.resources):
            authorization = self.authorizations[resource_id]
            reason = authorization.compiled.check.refusal(protocol, port, icmp)
            if reason is None:
                return authorization.forward
            refusal = refusal or reason
        return refusal or Reason.NO_RESOURCE
