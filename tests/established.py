"""The cast of the tests of remembered decisions: flows of Alice's of every kind, established."""

from collections.abc import Iterator
from typing import Final

import pytest
from attrs import frozen

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Event,
    Gateway,
    GatewayOptions,
    Icmp,
    Tcp,
    Udp,
)
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    gateway_for_alice,
)
from tests.translations import (
    N4,
    N6,
    NAME,
    Names,
    app,
)

QUIET: Final = GatewayOptions(reject=False)
RECORDED: Final = GatewayOptions(reject=False, flow_records=True)

both_options = pytest.mark.parametrize("options", [QUIET, RECORDED], ids=["off", "on"])
tcp_and_udp = pytest.mark.parametrize("kind", ["tcp", "udp"])


@frozen
class Flow:
    """One direction of a flow of Alice's."""

    kind: str
    with_: str
    """The resource that permits it, or the gateway itself."""
    direction: Direction
    packet: bytes

    def __str__(self) -> str:
        version = self.packet[0] >> 4
        return f"{self.kind}-{self.with_}-{self.direction.value}-v{version}"

    @property
    def names(self) -> tuple[str, str, str]:
        way = self.direction.value
        return f"{self.kind} {self.with_}", f"{way} {self.with_}", self.with_


def flows_of(family: Family, names: Names) -> Iterator[Flow]:
    for way in (OUTBOUND, INBOUND):
        yield Flow("tcp", f"db{family.version}", way, family.tcp(way))
        yield Flow("udp", f"db{family.version}", way, family.udp(way))
        yield Flow("udp", "own", way, family.udp(way, 53535, far=family.gateway))
        build = names.sent if way is OUTBOUND else names.came
        for kind in ("tcp", "udp", "echo"):
            yield Flow(kind, "app", way, build(kind))


FLOWS: Final = (*flows_of(V4, N4), *flows_of(V6, N6))


def policy(options: GatewayOptions) -> Gateway:
    filters = (Tcp(443), Udp(53), Icmp())
    networks = (CidrResource(f"db{one.version}", one.network, filters) for one in (V4, V6))
    gateway = gateway_for_alice(*networks, app(), options=options)
    resolved(gateway)
    return gateway


def established(options: GatewayOptions = QUIET) -> Gateway:
    """Let two packets of each flow through."""
    gateway = policy(options)
    for flow in FLOWS * 2:
        assert decided(gateway, flow.direction, flow.packet).allowed
    assert gateway.counters().cached_flows == len(FLOWS)
    return gateway


def resolved(gateway: Gateway, place: int = 0, *, domain: str = NAME) -> None:
    """Let a proxy address of either family stand for a real address."""
    gateway.domain_resolved(
        "alice",
        "app",
        domain,
        proxy_addresses=[N4.proxies[0], N6.proxies[0]],
        resolved_addresses=[N4.real[place], N6.real[place]],
    )


def decided(
    gateway: Gateway, direction: Direction, packet: bytes, client_id: str | None = None
) -> Decision:
    """Decide about a packet alone and in company: the answers are the same."""
    alone = gateway.handle_packet(direction, packet, client_id=client_id)
    assert gateway.handle_packets(direction, [packet], client_id=client_id) == [alone]
    return alone


def events(gateway: Gateway) -> list[Event]:
    return list(iter(gateway.poll_event, None))
