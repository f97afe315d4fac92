"""Policies: some clients, some resources, and who may reach which until when."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from hypothesis import strategies as st

from firezone_filter import (
    AddressPlan,
    DnsResource,
    GatewayOptions,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Resource,
    TunnelAddresses,
)
from firezone_filter.testing.strategies.ends import Address
from firezone_filter.testing.strategies.named import named
from firezone_filter.testing.strategies.rules import resources as any_resources

CLIENTS: Final = ("alice", "bob", "carol")

_LIFETIMES: Final = (3_600.0, 60.0, 0.5, 86_400.0)
"""Seconds after *now* at which authorizations end."""

RESOLVED: Final = ("10.0.0.5", "10.0.1.6", "203.0.113.80", "fd10::5", "2600::8")
_mostly = st.sampled_from((False, True, True, True))

FILLERS: Final = ("a", "b", "web")
"""What stands for the wildcards of a pattern in a name."""


def policies(
    *,
    resources: st.SearchStrategy[Resource] | None = None,
    clients: Sequence[str] = CLIENTS,
    address_plan: AddressPlan | None = None,
    options: st.SearchStrategy[GatewayOptions] | None = None,
    now: float = 0.0,
) -> st.SearchStrategy[Policy]:
    """Draw a policy that `Policy.gateway(now)` makes a gateway of.

    Every id stands for one resource, which several clients may have. Names of DNS resources have
    proxy addresses of their own, mostly, and real ones. It shrinks towards one client that may
    reach nothing.

    Args:
        resources: what clients are authorized for; `resources()` if not given.
        clients: their ids; a policy has one of them or more, in this order, with addresses that
            depend only on the place in the list.
        address_plan: the ranges of tunnel and proxy addresses, with room for some; Firezone's
            own if not given.
        options: those of the gateway; the defaults if not given.
        now: a moment at which no authorization has ended yet. Those that end do so half a
            second to a day later.
    """
    plan = AddressPlan() if address_plan is None else address_plan
    drawn = any_resources() if resources is None else resources
    several = st.lists(drawn, max_size=5, unique_by=lambda one: one.id)
    expiries = st.none() | st.sampled_from([now + seconds for seconds in _LIFETIMES])
    policy = st.builds(
        Policy,
        st.just(_peer(plan, 1)),
        st.just(plan),
        _clients(tuple(clients), several, expiries, plan),
        st.just(GatewayOptions()) if options is None else options,
    )
    return named("policies", policy)


@st.composite
def _clients(
    draw: st.DrawFn,
    ids: tuple[str, ...],
    resources: st.SearchStrategy[list[Resource]],
    expiries: st.SearchStrategy[float | None],
    plan: AddressPlan,
) -> list[PolicyClient]:
    several = draw(resources)
    clients = []
    for place in range(draw(st.integers(1, len(ids)))):
        names: list[str] = []
        authorizations = [
            PolicyAuthorization(one, draw(expiries), draw(_domains(one, names, plan)))
            for one in several
            if draw(_mostly)
        ]
        clients.append(PolicyClient(ids[place], _peer(plan, place + 2), authorizations))
    return clients


@st.composite
def _domains(
    draw: st.DrawFn, resource: Resource, names: list[str], plan: AddressPlan
) -> list[PolicyDomain] | None:
    """Draw the names of a resource; each of those of a client, *names*, has its own proxies."""
    if not isinstance(resource, DnsResource) or not draw(_mostly):
        return None
    domains = []
    for filler in draw(st.lists(st.sampled_from(FILLERS), max_size=2)):
        name = name_of(resource, filler)
        if name not in names:
            names.append(name)
        resolved = draw(st.lists(st.sampled_from(RESOLVED), max_size=3, unique=True))
        proxies = proxies_for(plan, names.index(name))[: draw(st.integers(0, 4))]
        domains.append(PolicyDomain(name, proxies, resolved))
    return domains


def _peer(plan: AddressPlan, number: int) -> TunnelAddresses:
    """Return the addresses of a peer: those of this place in each family's first range."""
    ipv4 = (one[number] for one in plan.tunnel if isinstance(one, IPv4Network))
    ipv6 = (one[number] for one in plan.tunnel if isinstance(one, IPv6Network))
    return TunnelAddresses(next(ipv4, None), next(ipv6, None))


def name_of(resource: DnsResource, filler: str) -> str:
    """Return a name that a resource stands for, with *filler* for its wildcards."""
    return re.sub(r"[*]+", filler, resource.address).replace("?", "0").lower().removesuffix(".")


def proxies_for(plan: AddressPlan, number: int) -> list[Address]:
    """Return the proxy addresses of a client's name: two of each range, which no other has."""
    places = (2 * number + 1, 2 * number + 2)
    return [
        network[place]
        for place in places
        for network in plan.dns_resources
        if place < network.num_addresses
    ]
