"""What one client may reach: its authorizations, and which resource answers for an address."""

from typing import assert_never

from attrs import define, field

from firezone_filter.addresses import DNS, NOT_CIDR, NOT_INTERNET, Network, RangeMap
from firezone_filter.clock import NO_DEADLINE
from firezone_filter.decisions import Forward, Reason
from firezone_filter.nat import Nat
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    PermitCheck,
    Resource,
    compile_filters,
)
from firezone_filter.sharing import Shared
from firezone_filter.table import ClientFilterTable, Match


@define(eq=False)
class Authorization:
    """One client's permission for one resource."""

    client_id: str
    resource: Resource
    expires_at: float | None = None
    deadline: int = NO_DEADLINE
    check: PermitCheck = field(init=False)
    forward: Forward = field(init=False)
    """What every packet that the resource permits gets: one object for all of them."""

    def __attrs_post_init__(self) -> None:
        self.give(self.resource)
        self.forward = Forward(self.client_id, self.resource.id)

    def give(self, resource: Resource) -> None:
        """Let it be for *resource*, of the same id, from now on."""
        self.resource = resource
        filters = () if isinstance(resource, InternetResource) else resource.filters
        self.check = compile_filters(filters)


class Access:
    """The authorizations of one client, compiled for asking.

    DNS resources cover addresses only through the proxy addresses given for them.
    """

    __slots__ = ("_client_id", "_internet", "_table", "authorizations", "nat")

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self.authorizations: dict[str, Authorization] = {}
        self._table = ClientFilterTable()
        self._internet: dict[str, RangeMap] = {}
        # Only clients that use DNS resources have one: most clients of a large gateway
        # are idle, and each costs memory.
        self.nat: Nat | None = None

    def grant(self, resource: Resource) -> Authorization:
        """Permit *resource*, in place of what its id permitted; return the authorization."""
        match resource:
            case CidrResource():
                self._table.allow(resource.network, resource.id, resource.filters)
            case InternetResource():
                self._internet[resource.id] = _excluded(resource.exclude)
            case DnsResource():
                pass
            case _:
                assert_never(resource)
        authorization = self.authorizations.get(resource.id)
        if authorization is None:
            authorization = Authorization(self._client_id, resource)
            self.authorizations[resource.id] = authorization
        else:
            authorization.give(resource)
        return authorization

    def withdraw(self, resource_id: str) -> None:
        """Take a resource away that the client is authorized for."""
        del self.authorizations[resource_id]
        self._table.revoke(resource_id)
        self._internet.pop(resource_id, None)
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
        match = None if flags & NOT_CIDR else self._table.lookup(far, protocol, port)
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
        known = None if self.nat is None else self.nat.proxies.get(proxy)
        if known is None:
            return Reason.NO_RESOURCE
        icmp = ICMPV4 if len(proxy) == IPV4_LENGTH else ICMPV6
        refusal: Reason | None = None
        for resource_id in reversed(known.resources):
            authorization = self.authorizations[resource_id]
            reason = authorization.check.refusal(protocol, port, icmp)
            if reason is None:
                return authorization.forward
            refusal = refusal or reason
        return refusal or Reason.NO_RESOURCE


def _excluded_ranges(networks: tuple[Network, ...]) -> RangeMap:
    return RangeMap((network, NOT_INTERNET) for network in networks)


_excluded: Shared[tuple[Network, ...], RangeMap] = Shared(_excluded_ranges)
