"""Packets that all resources refuse which share a place: a network, a proxy address, the Internet.

The pathological case is 10,000 resources of one place: before they were indexed, each of them
was asked about every packet that none of them permits, 1.8 ms long.
"""

from collections.abc import Callable

import pytest
from attrs import frozen

from benches.conftest import Measure, Scaled
from benches.loops import timed
from benches.scenes import (
    ALICE,
    FILTERS,
    GATEWAY,
    INBOUND,
    NOW,
    OUTBOUND,
    REFUSED_PORT,
    V4,
    packet,
)
from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Drop,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Resource,
    Tcp,
)

_SIZES = (1, 10, 10_000)

_PUBLIC = "9.9.9.9"


@frozen
class Place:
    """What the resources share, and the far address of a packet that they refuse."""

    name: str
    make: Callable[[int], Resource]
    direction: Direction
    far: str = V4.host
    reason: Reason = Reason.TCP_PORT

    def __str__(self) -> str:
        return f"{self.name}, {self.direction.name.lower()}"

    def gateway(self, size: int) -> Gateway:
        gateway = Gateway(GATEWAY, options=GatewayOptions(reject=False))
        gateway.client_connected("alice", ALICE, NOW)
        for number in range(size):
            resource = self.make(number)
            gateway.authorize("alice", resource)
            if isinstance(resource, DnsResource):
                gateway.domain_resolved(
                    "alice",
                    resource.id,
                    "wiki.example.com",
                    proxy_addresses=[V4.proxy],
                    resolved_addresses=[V4.resolved],
                )
        return gateway

    def packets(self) -> list[bytes]:
        return [
            packet(
                V4, self.direction, far=self.far, port=REFUSED_PORT, client_port=10_000 + number
            )
            for number in range(200)
        ]


def _of_network(number: int) -> Resource:
    return CidrResource(f"resource-{number:05}", V4.network, FILTERS)


def _of_network_with_own_ports(number: int) -> Resource:
    # Of all lengths, so that their ports stand at all heights of the index.
    first = 1_000 + number * 7_919 % 32_000
    last = first + number * 104_729 % 32_000
    return CidrResource(f"resource-{number:05}", V4.network, [Tcp(f"{first}-{last}")])


def _of_icmp_types(number: int) -> Resource:
    types = [13] if number % 2 else [15]
    return CidrResource(f"resource-{number:05}", V4.network, [Icmp(types), Tcp(1_000 + number)])


def _excluding(number: int) -> Resource:
    # Each excludes another address of the network; the packet goes to one that all cover.
    network = f"10.0.{number >> 8 & 255}.{number & 255}"
    exclude = [] if network == V4.host else [network]
    return CidrResource(f"resource-{number:05}", "10.0.0.0/8", FILTERS, exclude=exclude)


def _excluding_the_address(number: int) -> Resource:
    own = f"10.{1 + (number >> 8)}.{number & 255}.0/24"
    return CidrResource(f"resource-{number:05}", "10.0.0.0/8", FILTERS, exclude=[V4.network, own])


def _of_proxy_address(number: int) -> Resource:
    return DnsResource(f"resource-{number:05}", "*.example.com", FILTERS)


def _of_internet(number: int) -> Resource:
    return InternetResource(
        f"resource-{number:05}", exclude=["9.9.9.0/24", f"20.0.{number >> 8}.{number & 255}"]
    )


_PLACES = [
    *(
        Place(name, make, direction)
        for name, make in (
            ("network", _of_network),
            ("network, own ports", _of_network_with_own_ports),
            ("network, ICMP types", _of_icmp_types),
            ("network, each without a part", _excluding),
        )
        for direction in (OUTBOUND, INBOUND)
    ),
    *(
        Place(
            "network, all without the address",
            _excluding_the_address,
            direction,
            reason=Reason.NO_RESOURCE,
        )
        for direction in (OUTBOUND, INBOUND)
    ),
    Place("proxy address", _of_proxy_address, OUTBOUND, V4.proxy),
    *(
        Place(name, _of_internet, direction, far, Reason.NOT_INTERNET)
        for name, far in (("not public", V4.host), ("excluded by all", _PUBLIC))
        for direction in (OUTBOUND, INBOUND)
    ),
]


# All sizes stand side by side, so that those that are compared run one after the other.
@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("place", _PLACES, ids=str)
def test_refused_among(place: Place, size: int, scaled: Scaled, measure: Measure) -> None:
    packets = place.packets()
    run = timed(place.gateway(scaled(size)), place.direction, packets, NOW)
    decision = measure(f"refused among: {place}", f"{size:,}", run, count=len(packets), rounds=100)
    assert decision == Drop(place.reason, "alice")
