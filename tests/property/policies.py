"""The policy of the property tests: Alice may reach much, the others nothing."""

from attrs import evolve

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
"""Resources that permit most packets."""

CIDR_ONLY: tuple[Resource, ...] = (*ROOMY[:2], InternetResource("internet"))
"""The same without DNS resources, and so without translations and their state."""

UNLIMITED = GatewayOptions(reject_burst=1_000_000)
"""Options without a limit of replies, so that no reply depends on earlier ones."""

STATEFUL = evolve(UNLIMITED, stateful=True)
"""The same where only answers come back."""


def connected(options: GatewayOptions = UNLIMITED) -> Twins:
    """Connect all clients, without any authorization."""
    twins = Twins(OWN[0], options)
    for client_id, four, six in zip(CLIENTS, TUNNEL[4], TUNNEL[6], strict=True):
        twins.call("client_connected", client_id, TunnelAddresses(four, six), 0.0)
    return twins


def roomy(options: GatewayOptions = UNLIMITED) -> Twins:
    """Connect all clients, and authorize Alice for much."""
    twins = connected(options)
    for resource in ROOMY:
        twins.call("authorize", "alice", resource)
    resolve(twins, "alice", "dns-0", 0)
    return twins


def resolve(  # noqa: PLR0913, PLR0917 - the facts about a name
    twins: Twins,
    client_id: str,
    resource_id: str,
    name: int,
    resolved: int = 0,
    place: int | None = None,
) -> None:
    """Resolve a name: its proxy addresses stand for real addresses of both families.

    Args:
        twins: both gateways.
        client_id: the client.
        resource_id: a DNS resource that it has.
        name: which of two names; each has proxy addresses of its own.
        resolved: which real addresses.
        place: whose proxy addresses; its own if not told otherwise.
    """
    whose = name if place is None else place
    mine = slice(2 * whose, 2 * whose + 2)
    twins.call(
        "domain_resolved",
        client_id,
        resource_id,
        DOMAINS[name],
        proxy_addresses=[*PROXIES[4][mine], *PROXIES[6][mine]],
        resolved_addresses=[RESOLVED[4][resolved], RESOLVED[6][resolved]],
    )
