"""Small random policies whose networks, excludes, names and ports meet at many edges."""

from ipaddress import ip_network
from typing import Final

from attrs import evolve, frozen
from hypothesis import strategies as st

from firezone_filter import (
    AddressPlan,
    CidrResource,
    DnsResource,
    Filter,
    GatewayOptions,
    Icmp,
    InternetResource,
    Policy,
    Protocol,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.policy import PolicyAuthorization, PolicyClient, PolicyDomain
from tests.model.values import Given

CLIENTS: Final = ("alice", "bob")
IDS: Final = ("two", "one", "three")
NAMES: Final = ("a.example.com", "b.example.com", "example.com")

NETWORKS: Final = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/24", "10.0.0.0/25", "10.0.0.5/32", "10.0.0.4/30", "10.0.0.0/8"),
        *("0.0.0.0/0", "128.0.0.0/1", "100.0.0.0/8", "100.64.0.0/10", "192.168.0.0/15"),
        *("169.254.0.0/16", "169.254.169.254/32", "169.254.0.0/15", "8.8.8.0/24", "224.0.0.0/3"),
        *("fd10::/16", "fd10::5/128", "fd10::4/126", "::/0", "::/64", "2000::/3", "2600::/16"),
        *("fe80::/10", "fe80::/9", "fd00::/8", "fd00:ec2::254/128", "fd20:ce::/31"),
        *("64:ff9b::/96", "64:ff9b::a00:0/104", "64:ff9b::6440:0/106", "2002::/16"),
        *("2002:a00::/24", "2002:a9fe::/32", "2002:6440::/26"),
    )
)

FILTERS: Final[tuple[Filter, ...]] = (
    Tcp(),
    Tcp(443),
    Tcp("50-100"),
    Tcp([80, 443]),
    Tcp("100-65535"),
    Udp(),
    Udp(53),
    Udp("0-99"),
    Udp([53, "100-200"]),
    Icmp(),
    Icmp.echo(),
    Icmp([13, 3]),
    Icmp([40], [139, 1]),
    Icmp(types_v6=[128, 200]),
    Icmp([9, 10], [133]),
    *(Protocol(number) for number in (0, 47, 44, 50, 51, 59, 60, 135)),
)

RESOLVED: Final = (
    *("10.0.0.5", "10.0.0.77", "8.8.8.8", "fd10::5", "2600::8"),
    *("127.0.0.1", "169.254.1.1", "100.64.0.3", "::1", "fe80::1"),
)
"""What names resolve to, at the end what is left out."""

behind = st.lists(
    st.sampled_from((*RESOLVED[:5] * 4, *RESOLVED[5:])), min_size=1, max_size=4
) | st.lists(st.sampled_from(RESOLVED), max_size=1)


@frozen
class Ground:
    """A plan, with addresses in it."""

    plan: AddressPlan
    own: tuple[TunnelAddresses, ...]
    tunnel: dict[str, tuple[TunnelAddresses, ...]]
    """Each client's addresses, and others that it may have."""

    proxies: dict[str, tuple[str, ...]]
    """By name: a client has a proxy address for one name."""


USUAL: Final = Ground(
    AddressPlan(),
    (
        TunnelAddresses("100.64.0.1", "fd00:2021:1111::1"),
        TunnelAddresses("100.64.0.1"),
        TunnelAddresses(ipv6="fd00:2021:1111::9"),
    ),
    {
        "alice": (
            TunnelAddresses("100.64.0.2", "fd00:2021:1111::2"),
            TunnelAddresses("100.64.0.4"),
        ),
        "bob": (
            TunnelAddresses("100.64.0.3", "fd00:2021:1111::3"),
            TunnelAddresses(ipv6="fd00:2021:1111::5"),
        ),
    },
    {
        "a.example.com": ("100.96.0.0", "100.96.0.1", "fd00:2021:1111:8000::"),
        "b.example.com": ("100.96.0.2", "fd00:2021:1111:8000::2", "fd00:2021:1111:8000::3"),
        "example.com": ("100.127.255.255", "100.96.0.9"),
    },
)
NARROW: Final = Ground(
    AddressPlan(("10.0.0.64/26", "fd10::40/122"), ("10.0.0.128/30", "fd10::80/126")),
    (TunnelAddresses("10.0.0.64", "fd10::40"), TunnelAddresses(ipv6="fd10::7f")),
    {
        "alice": (TunnelAddresses("10.0.0.66", "fd10::42"),),
        "bob": (TunnelAddresses("10.0.0.127"), TunnelAddresses(ipv6="fd10::43")),
    },
    {
        "a.example.com": ("10.0.0.128", "10.0.0.129", "fd10::80"),
        "b.example.com": ("10.0.0.131", "fd10::83"),
        "example.com": ("10.0.0.130",),
    },
)
"""A plan in the middle of networks that resources have."""

ODD: Final = Ground(
    AddressPlan(
        ("8.8.8.0/26", "169.254.0.0/24", "fd00:ec2::/64"), ("8.8.8.64/26", "64:ff9b::a00:0/112")
    ),
    (TunnelAddresses("8.8.8.1", "fd00:ec2::1"), TunnelAddresses("169.254.0.1")),
    {
        "alice": (TunnelAddresses("8.8.8.2", "fd00:ec2::2"), TunnelAddresses("169.254.0.2")),
        "bob": (TunnelAddresses("8.8.8.63", "fd00:ec2::3"),),
    },
    {
        "a.example.com": ("8.8.8.64", "8.8.8.65", "64:ff9b::a00:0"),
        "b.example.com": ("8.8.8.127", "64:ff9b::a00:1"),
        "example.com": ("8.8.8.66", "64:ff9b::a00:ffff"),
    },
)
"""A plan where the Internet is, local services, and forms of IPv4 addresses."""

GROUNDS: Final = (USUAL, NARROW, ODD)

filters = st.lists(st.sampled_from(FILTERS), max_size=3).map(tuple)
moments = st.sampled_from((None, 100.0, 200.0))
"""Expiries."""

ats = st.sampled_from((None, 0.0, 99.5, 100.0, 150.0, 200.0))
"""Moments at which a policy is asked, about when something expires."""


def inside(network: Given) -> list[Given]:
    """Return networks that a network may exclude: others of the pool, its halves, its ends."""
    longest = network.max_prefixlen
    if network.prefixlen == longest:
        return []
    halves = list(network.subnets())
    ends = [ip_network((network[0], longest)), ip_network((network[-1], longest))]
    known = [
        one
        for one in NETWORKS
        if one.version == network.version and one != network and one.subnet_of(network)
    ]
    return [*known, *halves, *ends]


@st.composite
def cidr_resources(draw: st.DrawFn, resource_id: str) -> CidrResource:
    network = draw(st.sampled_from(NETWORKS))
    pool = inside(network)
    exclude = draw(st.lists(st.sampled_from(pool), max_size=2)) if pool else []
    return CidrResource(resource_id, network, draw(filters), "", exclude)


@st.composite
def dns_resources(draw: st.DrawFn, resource_id: str) -> DnsResource:
    pattern = draw(st.sampled_from(("*.example.com", "a.example.com")))
    return DnsResource(resource_id, pattern, draw(filters), "")


@st.composite
def resources(draw: st.DrawFn, resource_id: str) -> Resource:
    kind = draw(st.sampled_from(("dns", "cidr", "cidr", "dns", "cidr", "dns", "internet")))
    if kind == "cidr":
        return draw(cidr_resources(resource_id))
    if kind == "dns":
        return draw(dns_resources(resource_id))
    exclude = draw(st.lists(st.sampled_from(NETWORKS), max_size=2))
    return InternetResource(resource_id, "", exclude)


@st.composite
def domains(draw: st.DrawFn, resource: Resource, ground: Ground) -> list[PolicyDomain] | None:
    if not isinstance(resource, DnsResource):
        return None
    usable = NAMES if resource.address == "*.example.com" else NAMES[:1]
    found = []
    for name in draw(st.lists(st.sampled_from(usable), min_size=1, max_size=2, unique=True)):
        several = st.lists(st.sampled_from(ground.proxies[name]), unique=True, max_size=3)
        proxies = ground.proxies[name] if draw(st.booleans()) else draw(several)
        found.append(PolicyDomain(name, proxies, draw(behind)))
    return found


@st.composite
def authorizations(draw: st.DrawFn, ground: Ground) -> list[PolicyAuthorization]:
    found = []
    for resource_id in IDS[: draw(st.sampled_from((2, 1, 3, 0)))]:
        resource = draw(resources(resource_id))
        names = draw(domains(resource, ground))
        found.append(PolicyAuthorization(resource, draw(moments), names))
    return found


@st.composite
def options(draw: st.DrawFn) -> GatewayOptions:
    own_filters = draw(st.one_of(st.just(GatewayOptions().own_filters), filters))
    return GatewayOptions(own_filters=own_filters, stateful=draw(st.booleans()))


@st.composite
def policies(
    draw: st.DrawFn,
    grounds: tuple[Ground, ...] = GROUNDS,
    chosen: st.SearchStrategy[GatewayOptions] | None = None,
) -> Policy:
    ground = draw(st.sampled_from(grounds))
    ids = draw(st.lists(st.sampled_from(CLIENTS), unique=True, min_size=1, max_size=2))
    clients = [
        PolicyClient(
            client_id,
            draw(st.sampled_from(ground.tunnel[client_id])),
            draw(authorizations(ground)),
        )
        for client_id in ids
    ]
    own = draw(st.sampled_from(ground.own))
    return Policy(own, ground.plan, clients, draw(options() if chosen is None else chosen))


@st.composite
def varied(draw: st.DrawFn, one: PolicyAuthorization, ground: Ground) -> PolicyAuthorization:
    """Draw an authorization as it is, or with another expiry, other names or other filters."""
    of_names = ("moved", "moved", "names") if one.domains is not None else ()
    what = draw(st.sampled_from((*of_names, "nothing", "expiry", "filters")))
    if what == "expiry":
        return evolve(one, expires_at=draw(moments))
    if what == "moved" and one.domains is not None:
        elsewhere = [evolve(name, resolved_addresses=draw(behind)) for name in one.domains]
        return evolve(one, domains=elsewhere)
    if what == "names" and isinstance(one.resource, DnsResource):
        return evolve(one, domains=draw(domains(one.resource, ground)))
    if what == "filters" and isinstance(one.resource, (CidrResource, DnsResource)):
        return evolve(one, resource=evolve(one.resource, filters=draw(filters)))
    return one


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Draw a policy and another one, which has much of it, with the same plan and options."""
    ground = draw(st.sampled_from(GROUNDS))
    chosen = st.just(draw(options()))
    one = draw(policies((ground,), chosen))
    other = draw(policies((ground,), chosen))
    kept = {client.id: client for client in one.clients}
    mixed = []
    for client in other.clients:
        before = kept.get(client.id)
        if before is None or draw(st.sampled_from((False, False, True))):
            mixed.append(client)
            continue
        # Some of what it had, and of the rest what it had not.
        own = [
            draw(varied(auth, ground))
            for auth in before.authorizations
            if draw(st.sampled_from((True, True, False)))
        ]
        having = {auth.resource.id for auth in own}
        new = [auth for auth in client.authorizations if auth.resource.id not in having]
        mixed.append(PolicyClient(client.id, before.addresses, [*own, *new]))
    return one, Policy(other.addresses, other.address_plan, mixed, other.options)


@st.composite
def variants(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Draw a policy with names, and the same where much is a little different."""
    ground = draw(st.sampled_from(GROUNDS))
    resource = draw(dns_resources("dns"))
    named = PolicyAuthorization(resource, draw(moments), draw(domains(resource, ground)))
    policy = draw(policies((ground,)))
    clients = [
        evolve(client, authorizations=[*client.authorizations, named]) for client in policy.clients
    ]
    other = [
        evolve(client, authorizations=[draw(varied(one, ground)) for one in client.authorizations])
        for client in clients
    ]
    return evolve(policy, clients=clients), evolve(policy, clients=other)
