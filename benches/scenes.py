"""The cast of the benches: addresses, packets, and gateways with clients and resources."""

from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import Final

from attrs import frozen

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Filter,
    Gateway,
    GatewayOptions,
    Icmp,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import icmp_echo, tcp, udp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

NOW: Final = 1_000.0
"""When everything happens: a host hands the time in with each packet."""

ROUND: Final = 1_000
"""Packets of an established flow that are timed together."""

NEW_FLOWS: Final = 2_000
"""Packets that are timed together, each of a flow of its own."""

HOSTS: Final = 500
"""Packets that are timed together, each to another host."""

PORT: Final = {"tcp": 443, "udp": 53, "echo": 0}
"""The resource's port, by protocol."""

FILTERS: Final[tuple[Filter, ...]] = (Tcp(443), Tcp("8000-8100"), Udp(53), Icmp())
"""What a resource of some company permits."""

REFUSED_PORT: Final = 22
"""What it does not."""

_CLIENT_PORT: Final = 5401
_FIRST_CLIENT_PORT: Final = 10_000
_FIRST_IPV4: Final = int(IPv4Address("10.128.0.0"))
_FIRST_CLIENT: Final = int(IPv4Address("100.64.1.0"))


@frozen
class Family:
    """Addresses of one IP version: who is where."""

    version: int
    client: str
    """Alice's tunnel address."""
    host: str
    """In the network of a CIDR resource."""
    network: str
    stranger: str
    """In no resource's network."""
    proxy: str
    """Stands for a DNS resource."""
    resolved: str
    """What is behind the proxy address."""

    def __str__(self) -> str:
        return f"v{self.version}"

    @property
    def resource_id(self) -> str:
        return f"db-{self}"

    def resource(self) -> CidrResource:
        return CidrResource(self.resource_id, self.network, FILTERS)


V4: Final = Family(
    version=4,
    client="100.64.0.2",
    host="10.0.0.5",
    network="10.0.0.0/16",
    stranger="10.1.0.5",
    proxy="100.96.0.1",
    resolved="10.9.0.7",
)
V6: Final = Family(
    version=6,
    client="fd00:2021:1111::2",
    host="fd00:5::5",
    network="fd00:5::/64",
    stranger="fd00:6::5",
    proxy="fd00:2021:1111:8000::1",
    resolved="fd00:9::7",
)
FAMILIES: Final = (V4, V6)


@frozen
class Flow:
    """A kind of flow between Alice and a resource: a case of a bench."""

    family: Family
    direction: Direction
    protocol: str = "tcp"

    def __str__(self) -> str:
        return f"{self.family} {self.protocol} {self.direction.name.lower()}"


FLOWS: Final = [
    Flow(family, direction, protocol)
    for family in FAMILIES
    for direction in (OUTBOUND, INBOUND)
    for protocol in ("tcp", "udp")
]

GATEWAY: Final = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
ALICE: Final = TunnelAddresses(V4.client, V6.client)
MALLORY: Final = TunnelAddresses("100.64.0.66", "fd00:2021:1111::66")


# --- Packets -----------------------------------------------------------------------------


def packet(  # noqa: PLR0913 - as many as there are kinds
    family: Family,
    direction: Direction,
    protocol: str = "tcp",
    *,
    port: int | None = None,
    client_port: int = _CLIENT_PORT,
    client: str | None = None,
    far: str | None = None,
    size: int = 64,
) -> bytes:
    """Build a packet between Alice and the resource; *size* bytes of payload."""
    ends = [
        _at(client or family.client, client_port),
        _at(far or family.host, PORT[protocol] if port is None else port),
    ]
    flow = " > ".join(ends if direction is OUTBOUND else ends[::-1])
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    if protocol == "tcp":
        return tcp(flow, payload)
    if protocol == "udp":
        return udp(flow, payload)
    reply = direction is INBOUND
    return icmp_echo(flow, reply=reply, identifier=client_port, payload=payload)


@cache
def new_flows(kind: Flow, *, port: int | None = None) -> list[bytes]:
    """Build packets of as many flows, from one client port after the other."""
    return [
        packet(kind.family, kind.direction, kind.protocol, port=port, client_port=client_port)
        for client_port in range(_FIRST_CLIENT_PORT, _FIRST_CLIENT_PORT + NEW_FLOWS)
    ]


@cache
def many_hosts(
    kind: Flow, count: int = HOSTS, *, port: int | None = None, client_port: int = 5401
) -> list[bytes]:
    """Build packets of as many flows, to one host of the resource after the other."""
    first = ip_address(kind.family.host)
    return [
        packet(
            kind.family,
            kind.direction,
            kind.protocol,
            port=port,
            client_port=client_port,
            far=str(first + number),
        )
        for number in range(count)
    ]


def scan(
    family: Family, client: str, count: int, *, port: int | None = None, hosts: bool = False
) -> Iterator[bytes]:
    """Yield TCP packets of *count* flows to the resource, as fast as may be.

    Checksums are left alone: they are the end hosts' to check.

    Args:
        family: which addresses.
        client: who scans.
        count: how many, at most 2 ** 32.
        port: the resource's; one that is permitted, if not given.
        hosts: whether each packet goes to another host than the one before, or to the same
            from another port.
    """
    probe = bytearray(packet(family, OUTBOUND, client=client, size=0, port=port))
    transport = 20 if family is V4 else 40
    address, client_port = transport - 2, transport
    fast, slow = (address, client_port) if hosts else (client_port, address)
    for number in range(count):
        probe[fast : fast + 2] = (number & 0xFFFF).to_bytes(2)
        probe[slow : slow + 2] = (number >> 16).to_bytes(2)
        yield bytes(probe)


@frozen
class Scan:
    """A way in which one client tries everything; each packet is a flow of its own."""

    kind: str
    port: int | None = None
    hosts: bool = False

    def __str__(self) -> str:
        return self.kind

    @property
    def is_permitted(self) -> bool:
        return self.port is None

    def probes(self, count: int) -> Iterator[bytes]:
        """Yield packets of Mallory's."""
        return scan(V4, str(MALLORY.ipv4), count, port=self.port, hosts=self.hosts)


SCANS: Final = (
    Scan("one host"),
    Scan("many hosts", hosts=True),
    Scan("refused", port=REFUSED_PORT, hosts=True),
)


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# --- Gateways ----------------------------------------------------------------------------


def gateway_for_alice(*, options: GatewayOptions | None = None) -> Gateway:
    """Connect Alice, and authorize her for one CIDR resource of each family."""
    gateway = Gateway(GATEWAY, options=options or GatewayOptions())
    gateway.client_connected("alice", ALICE, NOW)
    for family in FAMILIES:
        gateway.authorize("alice", family.resource())
    return gateway


def forget_flows(gateway: Gateway, family: Family = V4) -> None:
    """Let every packet of Alice be the first of its flow again."""
    # Any change of what she may do forgets all; this one leaves the family as it is.
    other = V6 if family is V4 else V4
    gateway.authorize("alice", other.resource())


def resolve(gateway: Gateway) -> None:
    """Connect Alice anew, with a DNS resource and two proxy addresses for one host."""
    gateway.client_connected("alice", ALICE, NOW)
    give_name(gateway)


def give_name(gateway: Gateway, client_id: str = "alice") -> None:
    """Authorize a client for a DNS resource, with two proxy addresses for one host."""
    gateway.authorize(client_id, DnsResource("wiki", "wiki.example.com", FILTERS))
    for family in FAMILIES:
        gateway.domain_resolved(
            client_id,
            "wiki",
            "wiki.example.com",
            proxy_addresses=[family.proxy, second_proxy(family)],
            resolved_addresses=[family.resolved],
        )


def second_proxy(family: Family) -> str:
    """Return a proxy address that stands for the same host as `family.proxy`."""
    return family.proxy[:-1] + "2"


def network(number: int) -> IPv4Network:
    """Return one of a million networks that do not overlap, 16 addresses each."""
    # Scattered, as those of a company are: neighbours in number are none in the tree.
    scattered = number * 40_503 % (1 << 19)
    return IPv4Network((_FIRST_IPV4 + scattered * 16, 28))


def host(number: int) -> str:
    """Return an address in `network(number)`."""
    return str(network(number)[5])


def other_resource(number: int) -> CidrResource:
    return CidrResource(f"resource-{number}", network(number), FILTERS)


def gateway_with_networks(count: int) -> Gateway:
    """Authorize Alice for *count* more networks."""
    gateway = gateway_for_alice()
    for number in range(count):
        gateway.authorize("alice", other_resource(number))
    return gateway


def client_address(number: int) -> str:
    return str(IPv4Address(_FIRST_CLIENT + number))


def addresses_of(number: int) -> TunnelAddresses:
    ipv6 = IPv6Address(int(IPv6Address("fd00:2021:1111::1:0")) + number)
    return TunnelAddresses(client_address(number), ipv6)


def gateway_with_clients(count: int) -> Gateway:
    """Connect Alice and as many others that there are *count*, each with one resource."""
    gateway = gateway_for_alice()
    for number in range(count - 1):
        connect(gateway, number)
    return gateway


def connect(gateway: Gateway, number: int) -> None:
    gateway.client_connected(f"client-{number}", addresses_of(number), NOW)
    gateway.authorize(f"client-{number}", V4.resource())


def gateway_with_mallory() -> Gateway:
    """Connect Alice and Mallory, who may reach the same resource."""
    gateway = gateway_for_alice()
    gateway.client_connected("mallory", MALLORY, NOW)
    gateway.authorize("mallory", V4.resource())
    return gateway
