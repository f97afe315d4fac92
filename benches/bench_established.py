"""Packets of an established flow: what nearly all packets are.

The pathological case is the widest key with every argument: IPv6, with the time and the
client that the tunnel authenticated.
"""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from benches import by_hand
from benches.conftest import Measure
from benches.loops import alone, each, named, timed
from benches.scenes import (
    FLOWS,
    NOW,
    REFUSED_PORT,
    ROUND,
    Flow,
    gateway_for_alice,
    packet,
)
from firezone_filter import Decision, Forward, Gateway

_FEW = 100


# Of the module, so that those that are compared run one after the other: a machine is
# not equally fast all the time.
@pytest.fixture(scope="module", params=FLOWS, ids=str)
def flow(request: pytest.FixtureRequest) -> Flow:
    kind: Flow = request.param
    return kind


@pytest.fixture
def group(flow: Flow) -> str:
    return f"established: {flow}"


@pytest.fixture
def packets(flow: Flow) -> list[bytes]:
    return [packet(flow.family, flow.direction, flow.protocol)] * ROUND


@pytest.fixture
def gateway(flow: Flow, packets: list[bytes]) -> Gateway:
    """Return a gateway that has seen the flow."""
    gateway = gateway_for_alice()
    gateway.handle_packet(flow.direction, packets[0])
    return gateway


def expected(flow: Flow) -> Decision:
    return Forward("alice", flow.family.resource_id)


def test_the_floor(flow: Flow, group: str, packets: list[bytes], measure: Measure) -> None:
    look_up = by_hand.floor(flow.family.version, packets[0])
    found = measure(group, "floor", each(look_up, packets), count=ROUND)
    assert found == "permitted"


def test_by_hand(flow: Flow, group: str, packets: list[bytes], measure: Measure) -> None:
    family = flow.family
    filters = by_hand.Filter()
    client = ip_address(family.client).packed
    filters.allow(client, family.network, family.resource_id, by_hand.rules(family.version))
    judge = filters.judge(flow.direction)
    assert_refuses_what_nobody_permits(judge, flow)
    run = each(judge, packets[:_FEW])
    found = measure(group, "by hand", run, count=_FEW)
    assert found == family.resource_id


def assert_refuses_what_nobody_permits(judge: Callable[[bytes], str | None], flow: Flow) -> None:
    refused = packet(flow.family, flow.direction, flow.protocol, port=REFUSED_PORT)
    strange = packet(flow.family, flow.direction, flow.protocol, far=flow.family.stranger)
    assert judge(refused) is judge(strange) is None


def test_the_packet_alone(
    flow: Flow, group: str, packets: list[bytes], gateway: Gateway, measure: Measure
) -> None:
    run = alone(gateway, flow.direction, packets)
    assert measure(group, "alone", run, count=ROUND) == expected(flow)


def test_with_the_time(
    flow: Flow, group: str, packets: list[bytes], gateway: Gateway, measure: Measure
) -> None:
    run = timed(gateway, flow.direction, packets, NOW)
    assert measure(group, "timed", run, count=ROUND) == expected(flow)


def test_with_the_time_and_the_client(
    flow: Flow, group: str, packets: list[bytes], gateway: Gateway, measure: Measure
) -> None:
    run = named(gateway, flow.direction, packets, NOW, "alice")
    assert measure(group, "named", run, count=ROUND) == expected(flow)
