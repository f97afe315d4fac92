"""The cast of the gateway tests: one gateway, two clients, a resource, in both families."""

from collections.abc import Iterable

import pytest
from attrs import frozen

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Filter,
    Gateway,
    GatewayOptions,
    Reason,
    Reject,
    Resource,
    TunnelAddresses,
)
from firezone_filter.testing import icmp_echo, tcp, udp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND


@frozen
class Family:
    """Addresses of one IP version: who is where."""

    version: int
    gateway: str
    """The gateway's own tunnel address."""
    client: str
    """Alice's tunnel address."""
    neighbour: str
    """Bob's tunnel address."""
    spare: str
    """A tunnel address that nobody has."""
    host: str
    """In the network of the resource "db"."""
    network: str
    """Of the resource "db"."""
    stranger: str
    """In no resource's network."""
    public: str
    """On the public Internet."""
    proxy: str
    """In the plan's DNS ranges."""
    multicast: str

    def __str__(self) -> str:
        return f"ipv{self.version}"

    @property
    def header(self) -> int:
        """Bytes of an IP header with nothing behind its fixed part."""
        return 20 if self.version == 4 else 40

    @property
    def icmp(self) -> int:
        """The protocol number of its ICMP."""
        return 1 if self.version == 4 else 58

    @property
    def unreachable(self) -> int:
        """The ICMP type of "destination unreachable"."""
        return 3 if self.version == 4 else 1

    def db(self, *filters: Filter) -> CidrResource:
        return CidrResource("db", self.network, filters)

    def everything(self, *filters: Filter) -> CidrResource:
        """A resource of the widest network there is."""
        return CidrResource("all", "0.0.0.0/0" if self.version == 4 else "::/0", filters)

    def flow(
        self,
        direction: Direction,
        port: int | None = None,
        *,
        far: str | None = None,
        near: str | None = None,
    ) -> str:
        """Write the flow between Alice and the resource, in the direction that is asked."""
        ends = (near or self.client, far or self.host)
        if port is not None:
            ends = (at(ends[0], 5401), at(ends[1], port))
        return " > ".join(ends if direction is OUTBOUND else ends[::-1])

    def tcp(self, direction: Direction, port: int = 443, *, far: str | None = None) -> bytes:
        return tcp(self.flow(direction, port, far=far))

    def udp(
        self, direction: Direction, port: int = 53, *, far: str | None = None, size: int = 0
    ) -> bytes:
        return udp(self.flow(direction, port, far=far), bytes(size))

    def echo(self, direction: Direction, *, far: str | None = None) -> bytes:
        return icmp_echo(self.flow(direction, far=far), reply=direction is INBOUND)


V4 = Family(
    version=4,
    gateway="100.64.0.1",
    client="100.64.0.2",
    neighbour="100.64.0.3",
    spare="100.64.0.99",
    host="10.0.0.5",
    network="10.0.0.0/24",
    stranger="10.0.1.5",
    public="1.1.1.1",
    proxy="100.96.0.1",
    multicast="224.0.0.1",
)
V6 = Family(
    version=6,
    gateway="fd00:2021:1111::1",
    client="fd00:2021:1111::2",
    neighbour="fd00:2021:1111::3",
    spare="fd00:2021:1111::99",
    host="fd00:5::5",
    network="fd00:5::/64",
    stranger="fd00:6::5",
    public="2606:4700::1111",
    proxy="fd00:2021:1111:8000::1",
    multicast="ff02::1",
)

both_families = pytest.mark.parametrize("family", [V4, V6], ids=str)
both_directions = pytest.mark.parametrize(
    "direction", [OUTBOUND, INBOUND], ids=["outbound", "inbound"]
)

GATEWAY = TunnelAddresses(V4.gateway, V6.gateway)
ALICE = TunnelAddresses(V4.client, V6.client)
BOB = TunnelAddresses(V4.neighbour, V6.neighbour)


def gateway_for_alice(
    *resources: Resource, options: GatewayOptions | None = None, now: float | None = 0.0
) -> Gateway:
    """Connect Alice, and Bob beside her; authorize Alice alone."""
    gateway = Gateway(GATEWAY, options=options or GatewayOptions())
    gateway.client_connected("alice", ALICE, now)
    gateway.client_connected("bob", BOB, now)
    for resource in resources:
        gateway.authorize("alice", resource)
    return gateway


def opposite(direction: Direction) -> Direction:
    return INBOUND if direction is OUTBOUND else OUTBOUND


def at(address: str, port: int) -> str:
    """Write an address with a port."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def refusal(decision: Decision) -> Reason | None:
    """Return why a packet was refused, silently or not; `None` if it was not."""
    return None if decision.allowed else decision.reason


def reasons(
    gateway: Gateway,
    direction: Direction,
    packets: Iterable[bytes],
    now: float | None = None,
    client_id: str | None = None,
) -> list[Reason | None]:
    """Return why each of several packets was refused; `None` for those that were not."""
    return [
        refusal(gateway.handle_packet(direction, packet, now, client_id)) for packet in packets
    ]


def rejection(decision: Decision) -> Reason:
    """Return why a packet was refused with a reply."""
    assert isinstance(decision, Reject)
    return decision.reason
