"""Which resource refused a packet: a decision names the reason, and only what permits by its id.

It follows docs/rules.md, section 5: of the resources that cover the far address and do not
permit the packet, the one with the longest prefix, then the greatest id, is the answer.
"""

from ipaddress import ip_address
from typing import Final, assert_never

from attrs import define, field

from firezone_filter.access.table import ClientFilterTable
from firezone_filter.packet.numbers import ICMPV4, ICMPV6
from firezone_filter.policy import Policy, PolicyAuthorization, PolicyClient
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject
from firezone_filter.values.resources import CidrResource, DnsResource, InternetResource

_BY_FILTERS: Final = frozenset(
    {Reason.TCP_PORT, Reason.UDP_PORT, Reason.ICMP, Reason.PROTOCOL, Reason.NO_TRANSLATION}
)

# Kept on their link, whatever a resource permits (section 4).
_LINK_TYPES: Final = {ICMPV4: frozenset({9, 10}), ICMPV6: frozenset({133, 134, 135, 136})}


@define
class _Client:
    """The resources of a client, by how they cover an address."""

    networks: ClientFilterTable = field(factory=ClientFilterTable)
    """CIDR resources by network, DNS resources by proxy address."""

    proxies: set[bytes] = field(factory=set)
    """The proxy addresses."""

    names: dict[bytes, set[str]] = field(factory=dict)
    """DNS resources by resolved address."""

    internet: set[str] = field(factory=set)
    """Internet resources."""

    def add(self, authorization: PolicyAuthorization) -> None:
        match authorization.resource:
            case CidrResource(id=resource_id, network=network, filters=filters, exclude=exclude):
                self.networks.allow(network, resource_id, filters, exclude)
            case DnsResource(id=resource_id, filters=filters):
                for domain in authorization.domains:
                    for proxy in domain.proxy_addresses:
                        self.networks.allow(proxy, resource_id, filters)
                        self.proxies.add(proxy.packed)
                    for resolved in domain.resolved_addresses:
                        self.names.setdefault(resolved.packed, set()).add(resource_id)
            case InternetResource(id=resource_id):
                self.internet.add(resource_id)
            case _:
                assert_never(authorization.resource)

    def remove(self, resource_id: str) -> None:
        self.networks.revoke(resource_id)
        self.internet.discard(resource_id)
        for ids in self.names.values():
            ids.discard(resource_id)

    def refusing(
        self, far: bytes, port: int | None, flow: FiveTuple, reason: Reason
    ) -> str | None:
        if reason is Reason.NOT_INTERNET:
            return max(self.internet, default=None)
        match = self.networks.match(ip_address(far), flow.protocol, port, icmp_type=flow.icmp_type)
        # The resource of a proxy address may permit what cannot be translated.
        if match is not None and (match.reason is reason or far in self.proxies):
            return match.resource_id
        # A packet of a session is judged by the name's resource, but comes from an address that
        # the name resolved to, whatever else covers that.
        return max(self.names.get(far, ()), default=None)


class RefusingResources:
    """The resources of a policy's clients, without those that have expired."""

    def __init__(self, policy: Policy) -> None:
        self._clients = {client.id: _compiled(client) for client in policy.clients}
        self._own = frozenset(policy.addresses.packed())

    def expired(self, client_id: str, resource_id: str) -> None:
        """Forget an authorization that has expired."""
        self._clients[client_id].remove(resource_id)

    def find(self, direction: Direction, flow: FiveTuple, refusal: Reject | Drop) -> str | None:
        """Return the resource that made *refusal* of a packet of *flow*.

        Returns:
            `None` if no resource did: nothing covers the address, the gateway's own address
            is meant, or the packet was refused whatever the resources say.
        """
        if direction is Direction.OUTBOUND:
            far, port = flow.destination, flow.destination_port
        else:
            far, port = flow.source, flow.source_port
        if (
            refusal.client_id is None
            or far in self._own
            or refusal.reason not in _BY_FILTERS | {Reason.NOT_INTERNET}
            or flow.icmp_type in _LINK_TYPES.get(flow.protocol, ())
        ):
            return None
        client = self._clients[refusal.client_id]
        return client.refusing(far, port, flow, refusal.reason)


def _compiled(client: PolicyClient) -> _Client:
    compiled = _Client()
    for authorization in client.authorizations:
        compiled.add(authorization)
    return compiled
