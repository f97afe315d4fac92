"""Who may do what in the property tests: Alice much, the others nothing."""

from firezone_filter import (
    CidrResource,
    DnsResource,
    GatewayOptions,
    Icmp,
    InternetResource,
    Resource,
    Tcp,
    TunnelAddresses,
)
from tests.property.pools import CLIENTS, DOMAINS, OWN, PROXIES, RESOLVED, TUNNEL
from tests.property.twins import Twins

ROOMY: tuple[Resource, ...] = (
    CidrResource("cidr-0", "10.0.0.0/8"),
    CidrResource("cidr-1", "fd10::/16", [Tcp(), Icmp()]),
    DnsResource("dns-0", "*.example.com"),
)
"""What lets most packets pass."""

CIDR_ONLY: tuple[Resource, ...] = (*ROOMY[:2], InternetResource("internet"))
"""The same without state: no translations."""

UNLIMITED = GatewayOptions(reject_burst=1_000_000)
"""Replies depend on nothing that came before."""


def connected(options: GatewayOptions = UNLIMITED) -> Twins:
    """Connect all clients; nobody may do anything yet."""
    twins = Twins(OWN[0], options)
    for client_id, four, six in zip(CLIENTS, TUNNEL[4], TUNNEL[6], strict=True):
        twins.call("client_connected", client_id, TunnelAddresses(four, six), 0.0)
    return twins


def roomy(options: GatewayOptions = UNLIMITED) -> Twins:
    """Let Alice do much."""
    twins = connected(options)
    for resource in ROOMY:
        twins.call("authorize", "alice", resource)
    resolve(twins, "alice", "dns-0", 0)
    return twins


def resolve(twins: Twins, client_id: str, resource_id: str, name: int, resolved: int = 0) -> None:
    """Let the proxy addresses of a name stand for real ones of either family.

    Args:
        twins: both gateways.
        client_id: the client.
        resource_id: a DNS resource that it has.
        name: which of two names; each has proxy addresses of its own.
        resolved: which real addresses.
    """
    mine = slice(2 * name, 2 * name + 2)
    twins.call(
        "domain_resolved",
        client_id,
        resource_id,
        DOMAINS[name],
        proxy_addresses=[*PROXIES[4][mine], *PROXIES[6][mine]],
        resolved_addresses=[RESOLVED[4][resolved], RESOLVED[6][resolved]],
    )
