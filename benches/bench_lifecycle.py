"""What a host calls when a portal says so: with more resources, with more clients.

The pathological case is a client with a full memory of flows, both ways: each change of
what it may do forgets all of them.
"""

import pytest

from benches.conftest import Measure, Scaled
from benches.hooks import CALLS, SPARE, measure_authorize, measure_revoke
from benches.loops import timed
from benches.scenes import (
    FILTERS,
    INBOUND,
    NOW,
    OUTBOUND,
    V4,
    addresses_of,
    forget_flows,
    gateway_for_alice,
    gateway_with_clients,
    gateway_with_networks,
    packet,
)
from firezone_filter import CidrResource, Gateway

_REMEMBERED = 2_048


_RESOURCES = (10, 1_000, 10_000)

each_number_of_resources = pytest.mark.parametrize("size", _RESOURCES)


@pytest.fixture(scope="module")
def wide(scaled: Scaled) -> dict[int, Gateway]:
    """Return gateways by how many resources one client has."""
    return {size: gateway_with_networks(scaled(size)) for size in _RESOURCES}


@each_number_of_resources
def test_authorize(size: int, wide: dict[int, Gateway], measure: Measure) -> None:
    measure_authorize(measure, "lifecycle: authorize", size, wide[size])


@each_number_of_resources
def test_revoke(size: int, wide: dict[int, Gateway], measure: Measure) -> None:
    measure_revoke(measure, "lifecycle: revoke", size, wide[size])


def _of_one_network(number: int) -> CidrResource:
    # Neighbours in number are none in the order of ids.
    return CidrResource(f"{number * 40_503 % (1 << 19)}", V4.network, FILTERS)


@pytest.fixture(scope="module")
def crowded(scaled: Scaled) -> dict[int, Gateway]:
    """Return gateways by how many resources of one network one client has."""
    gateways = {size: gateway_for_alice() for size in _RESOURCES}
    for size, gateway in gateways.items():
        for number in range(scaled(size)):
            gateway.authorize("alice", _of_one_network(number))
    return gateways


@each_number_of_resources
def test_authorize_for_one_network(
    size: int, crowded: dict[int, Gateway], measure: Measure
) -> None:
    group = "one network: authorize"
    measure_authorize(measure, group, size, crowded[size], _of_one_network)


@each_number_of_resources
def test_revoke_for_one_network(size: int, crowded: dict[int, Gateway], measure: Measure) -> None:
    measure_revoke(measure, "one network: revoke", size, crowded[size], _of_one_network)


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_client_connected(size: int, scaled: Scaled, measure: Measure) -> None:
    gateway = gateway_with_clients(scaled(size))
    newcomers = [(f"new-{number}", addresses_of(SPARE + number)) for number in range(CALLS)]

    def run() -> None:
        for client_id, addresses in newcomers:
            gateway.client_connected(client_id, addresses, NOW)

    def setup() -> None:
        for client_id, _ in newcomers:
            gateway.client_disconnected(client_id)

    measure("lifecycle: client_connected", f"{size:,}", run, count=CALLS, setup=setup)
    assert newcomers[-1][0] in gateway


@pytest.mark.parametrize("flows", [0, _REMEMBERED])
def test_authorize_when_flows_are_remembered(flows: int, measure: Measure) -> None:
    gateway = gateway_for_alice()
    traffic = [
        timed(
            gateway,
            direction,
            [packet(V4, direction, protocol, client_port=1 + port) for port in range(flows)],
            NOW,
        )
        for direction in (OUTBOUND, INBOUND)
        for protocol in ("tcp", "udp")
    ]

    def setup() -> None:
        forget_flows(gateway)
        if flows:
            assert all(run().allowed for run in traffic)

    measure(
        "lifecycle: authorize, flows remembered of each kind",
        f"{flows:,}",
        lambda: gateway.authorize("alice", V4.resource()),
        count=1,
        setup=setup,
        rounds=30,
    )
    assert V4.resource_id in gateway.authorizations("alice")
