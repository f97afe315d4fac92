"""What one client may reach: its authorizations, and which resource answers for an address."""

from functools import lru_cache
from typing import Final, assert_never

from attrs import define, field

from firezone_filter.addresses import DNS, NOT_CIDR, NOT_INTERNET, Network, RangeMap, to_network
from firezone_filter.clock import NO_DEADLINE
from firezone_filter.decisions import Forward, Reason
from firezone_filter.packet.numbers import IPV4_LENGTH, IPV6_LENGTH
from firezone_filter.resources import CidrResource, DnsResource, InternetResource, Resource
from firezone_filter.table import ClientFilterTable, Match

_EVERYWHERE: Final[dict[int, Network]] = {
    IPV4_LENGTH: to_network("0.0.0.0/0"),
    IPV6_LENGTH: to_network("::/0"),
}


@define(eq=False)
class Authorization:
    """One client's permission for one resource."""

    client_id: str
    resource: Resource
    expires_at: float | None = None
    deadline: int = NO_DEADLINE
    forward: Forward = field(init=False)
    """What every packet that the resource permits gets: one object for all of them."""

    def __attrs_post_init__(self) -> None:
        self.forward = Forward(self.client_id, self.resource.id)


class Access:
    """The authorizations of one client, compiled for asking.

    DNS resources cover addresses only through the proxy addresses given for them.
    """

    __slots__ = ("_client_id", "_internet", "_table", "authorizations")

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self.authorizations: dict[str, Authorization] = {}
        self._table = ClientFilterTable()
        self._internet: dict[str, RangeMap] = {}

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
        authorization.resource = resource
        return authorization

    def withdraw(self, resource_id: str) -> None:
        """Take a resource away that the client is authorized for."""
        del self.authorizations[resource_id]
        self._table.revoke(resource_id)
        self._internet.pop(resource_id, None)

    def match(self, far: bytes, flags: int, protocol: int, port: int) -> Match | None:
        """Return which resource answers for a far address, or `None` if none covers it.

        Args:
            far: the resource's end of the packet, in network byte order.
            flags: what is known of that address.
            protocol: IANA protocol number.
            port: the resource's port; ignored where the protocol has none.
        """
        if flags & DNS:
            return None
        best = None if flags & NOT_CIDR else self._table.lookup(far, protocol, port)
        if not self._internet:
            return best
        for resource_id, excluded in self._internet.items():
            public = not flags & NOT_INTERNET and not excluded.flags(far)
            reason = None if public else Reason.NOT_INTERNET
            candidate = Match(resource_id, _EVERYWHERE[len(far)], reason)
            if best is None or _rank(candidate) > _rank(best):
                best = candidate
        return best


def _rank(match: Match) -> tuple[bool, int, str]:
    """Order answers: who permits goes first, then the longer prefix, then the greater id."""
    return match.permitted, match.network.prefixlen, match.resource_id


@lru_cache(maxsize=1024)
def _excluded(networks: tuple[Network, ...]) -> RangeMap:
    return RangeMap((network, NOT_INTERNET) for network in networks)
