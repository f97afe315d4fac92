"""Small policies in which much overlaps, and packets at every edge of them.

Packets are those of which answers about policies are exact: whole, without options and extension
headers; ICMP that is no error and may leave its link.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from firezone_filter import (
    AddressPlan,
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Filter,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Protocol,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import SYN, icmp, ip, tcp, udp

Address = IPv4Address | IPv6Address

CLIENTS: Final = ("alice", "bob", "carol")

MOMENTS: Final = (500.0, 1_000.0, 1_500.0)
"""Expiries are at the second: one moment before it, one at it, one after."""


class Ground(NamedTuple):
    """A plan, with addresses in it."""

    plan: AddressPlan
    own: tuple[str, ...]
    tunnel: tuple[str, ...]
    proxies: tuple[str, ...]


GROUNDS: Final = (
    Ground(
        AddressPlan(),
        ("100.64.0.1", "fd00:2021:1111::1"),
        ("100.64.0.2", "100.64.0.3", "fd00:2021:1111::2", "fd00:2021:1111::3"),
        ("100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1", "fd00:2021:1111:8000::2"),
    ),
    # Inside the networks of resources; what is the tunnel above is an ordinary network here.
    Ground(
        AddressPlan(("10.0.0.128/25", "fd00:1::/64"), ("100.96.0.0/31", "2001:db8:8000::/112")),
        ("10.0.0.129", "fd00:1::1"),
        ("10.0.0.130", "10.0.0.131", "fd00:1::2", "fd00:1::3"),
        ("100.96.0.0", "100.96.0.1", "2001:db8:8000::1", "2001:db8:8000::2"),
    ),
)

NETWORKS: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.0/24",
            "10.0.0.0/30",
            "10.0.0.3/32",
            "10.0.0.128/25",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "169.254.169.254/32",
            "8.8.8.0/24",
            "8.8.8.8/32",
            "255.255.255.254/31",
            "::/0",
            "2001:db8::/32",
            "2001:db8::4/126",
            "2600::/16",
            "2600::8/128",
            "fd00:ec2::/32",
            "64:ff9b::/96",
            "fd00::/16",
        ),
    )
)

FILTERS: Final[tuple[Filter, ...]] = (
    Tcp(80),
    Tcp("79-81"),
    Tcp(),
    Tcp("0-1, 65535"),
    Udp(53),
    Udp("53-60"),
    Icmp(),
    Icmp.echo(),
    Icmp([3, 13]),
    Icmp(types_v6=[128, 135, 200]),
    Protocol(0),
    Protocol(47),
    Protocol(51),
    Protocol(255),
)

# Each stands for an address of the edges as well.
_SPECIAL: Final = (
    "0.0.0.0",  # noqa: S104 - nobody listens
    "0.255.255.255",
    "1.0.0.0",
    "126.255.255.255",
    "127.0.0.1",
    "192.168.0.1",
    "203.0.113.1",
    "223.255.255.255",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "2002:7f00:1::1",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::",
    "fe80::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)

_filters = st.lists(st.sampled_from(FILTERS), max_size=3)
_OWN_FILTERS: Final = (
    (Icmp.echo(), Udp(53), Tcp(53)),
    (),
    (Tcp(80),),
)


@st.composite
def _resources(draw: st.DrawFn, resource_id: str) -> Resource:
    kind = draw(st.sampled_from(("cidr", "cidr", "cidr", "dns", "internet")))
    filters = draw(_filters)
    if kind == "dns":
        return DnsResource(resource_id, draw(st.sampled_from(("*.example.com", "**"))), filters)
    if kind == "internet":
        exclude = draw(st.lists(st.sampled_from(NETWORKS), max_size=2))
        return InternetResource(resource_id, exclude=exclude)
    network: Any = draw(st.sampled_from(NETWORKS))
    inside = [
        one
        for one in NETWORKS
        if one.version == network.version and one != network and one.subnet_of(network)
    ]
    exclude = draw(st.lists(st.sampled_from(inside), max_size=2)) if inside else []
    return CidrResource(resource_id, network, filters, exclude=exclude)


_RESOLVED: Final = (
    ("10.0.0.1",),
    ("10.0.0.1", "8.8.8.8", "2600::8"),
    ("2600::8", "2600::9"),
    ("127.0.0.1", "fe80::1"),
    (),
)


@st.composite
def _clients(draw: st.DrawFn, ground: Ground, n: int) -> PolicyClient:
    four, six = ground.tunnel[n], ground.tunnel[2 + n]
    addresses = draw(st.sampled_from(((four, six), (four, None), (None, six))))
    given: list[PolicyAuthorization] = []
    # A proxy address belongs to one name at a time.
    names = {proxy: f"{n % 2}.example.com" for n, proxy in enumerate(ground.proxies)}
    for resource_id in draw(st.lists(st.sampled_from("abcdef"), max_size=5, unique=True)):
        resource = draw(_resources(resource_id))
        domains = []
        if isinstance(resource, DnsResource):
            for name in sorted(set(names.values())):
                mine = [proxy for proxy in ground.proxies if names[proxy] == name]
                proxies = draw(st.lists(st.sampled_from(mine), unique=True))
                domains.append(PolicyDomain(name, proxies, draw(st.sampled_from(_RESOLVED))))
        ends = draw(st.sampled_from((None, None, 1_000.0, 2_000.0)))
        given.append(PolicyAuthorization(resource, ends, domains))
    return PolicyClient(CLIENTS[n], TunnelAddresses(*addresses), given)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    ground = draw(st.sampled_from(GROUNDS))
    order = draw(st.permutations((0, 1)))
    clients = [draw(_clients(ground, n)) for n in order[: draw(st.integers(1, 2))]]
    options = GatewayOptions(own_filters=draw(st.sampled_from(_OWN_FILTERS)))
    return Policy(TunnelAddresses(*ground.own), ground.plan, clients, options)


@st.composite
def changed(draw: st.DrawFn, policy: Policy) -> Policy:
    """Draw a policy that has some of another's clients and authorizations, and others."""
    other = draw(policies())
    if other.address_plan != policy.address_plan:
        return other
    clients = []
    known = {client.id: client for client in policy.clients}
    for client in other.clients:
        before = known.get(client.id)
        if before is None:
            clients.append(client)
            continue
        kept = [one for one in before.authorizations if draw(st.booleans())]
        ids = {one.resource.id for one in kept}
        more = [one for one in client.authorizations if one.resource.id not in ids]
        both = (before.addresses, before.addresses, client.addresses)
        addresses = draw(st.sampled_from(both))
        clients.append(PolicyClient(client.id, addresses, draw(st.permutations([*kept, *more]))))
    options = draw(st.sampled_from((policy.options, policy.options, other.options)))
    return Policy(other.addresses, other.address_plan, clients, options)


class Far(NamedTuple):
    """What a client sends: to where, and what."""

    address: Address
    protocol: int
    number: int


def edges(*asked: Policy) -> list[Address]:
    """Return the addresses at which anything begins or ends, and those beside them."""
    found = {ip_address(one) for one in _SPECIAL}
    networks = [*NETWORKS]
    for policy in asked:
        networks += [*policy.address_plan.tunnel, *policy.address_plan.dns_resources]
        found.update(policy.addresses.present())
        for client in policy.clients:
            found.update(client.addresses.present())
            for one in client.authorizations:
                for domain in one.domains or ():
                    found.update(domain.proxy_addresses)
    for network in networks:
        found.update((network.network_address, network.broadcast_address))
    for address in list(found):
        for number in (int(address) - 1, int(address) + 1):
            if 0 <= number < 1 << address.max_prefixlen:
                found.add(type(address)(number))
    return sorted(found, key=lambda one: (one.version, int(one)))


_PORTS: Final = (0, 1, 2, 52, 53, 54, 60, 61, 78, 79, 80, 81, 82, 443, 65_534, 65_535)
# Neither errors nor kept on their link (rules.md, section 4).
_TYPES: Final = {
    4: (0, 1, 2, 6, 8, 13, 14, 15, 42, 43, 200, 255),
    6: (128, 129, 130, 132, 138, 139, 160, 200, 255),
}
_ERRORS_AND_ON_LINK: Final = {
    4: frozenset({3, 4, 5, 9, 10, 11, 12}),
    6: frozenset({*range(128), 133, 134, 135, 136, 137}),
}
ICMP_TYPES: Final = {
    version: tuple(one for one in range(256) if one not in left_out)
    for version, left_out in _ERRORS_AND_ON_LINK.items()
}
_OTHERS: Final = {4: (0, 2, 43, 47, 50, 51, 59, 60, 254, 255), 6: (2, 47, 50, 59, 135, 254, 255)}


def packets_at(address: Address) -> list[Far]:
    """Return packets to an address, at the bounds of every filter."""
    protocols: list[tuple[int, tuple[int, ...]]] = [(6, _PORTS), (17, _PORTS)]
    protocols.append((1 if address.version == 4 else 58, _TYPES[address.version]))
    protocols += [(other, (0,)) for other in _OTHERS[address.version]]
    return [Far(address, protocol, one) for protocol, numbers in protocols for one in numbers]


def some_packets(seed: int, *asked: Policy) -> Iterator[Far]:
    """Yield a few packets to every edge of policies."""
    random = Random(seed)
    for address in edges(*asked):
        yield from random.sample(packets_at(address), 6)


def packet_of(client: PolicyClient, far: Far) -> bytes | None:
    """Return a packet from a client; `None` if it has no address of the family."""
    addresses = {one.version: one for one in client.addresses.present()}
    near = addresses.get(far.address.version)
    if near is None:
        return None
    if far.protocol in (6, 17):
        text = "{}:{}" if near.version == 4 else "[{}]:{}"
        flow = f"{text.format(near, 4_000)} > {text.format(far.address, far.number)}"
        return tcp(flow, flags=SYN) if far.protocol == 6 else udp(flow)
    flow = f"{near} > {far.address}"
    if far.protocol in (1, 58):
        return icmp(flow, far.number)
    return ip(flow, far.protocol)


def decide(gateway: Gateway, client: PolicyClient, far: Far) -> Decision | None:
    packet = packet_of(client, far)
    if packet is None:
        return None
    return gateway.handle_packet(Direction.OUTBOUND, packet, client_id=client.id)
