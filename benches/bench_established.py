"""Packets of an established flow: what nearly all packets are.

The pathological case is the widest key with every argument: IPv6, with another time for each
packet and the client's name, as a host calls it that reads one packet at a time.
"""

import pytest

from benches import by_hand
from benches.baselines import Baseline, assert_decides_alike, each_baseline
from benches.conftest import Measure
from benches.loops import alone, as_a_host, clocked, each, named, timed
from benches.scenes import (
    FLOWS,
    NOW,
    ROUND,
    Flow,
    gateway_for_alice,
    packet,
)
from firezone_filter import Decision, Forward, Gateway

_MOST_ROUNDS = 500


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


@each_baseline
def test_by_hand(baseline: Baseline, flow: Flow, group: str, measure: Measure) -> None:
    judge = baseline.for_alice().judge(flow.direction)
    assert_decides_alike(judge, flow)
    packets = [packet(flow.family, flow.direction, flow.protocol)] * baseline.count
    run = each(judge, packets)
    found = measure(group, baseline.side, run, count=baseline.count, rounds=baseline.rounds)
    assert found == flow.family.resource_id


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


def test_with_an_equal_client(
    flow: Flow, group: str, packets: list[bytes], gateway: Gateway, measure: Measure
) -> None:
    # Made at run time: no other object, and so not the one that the gateway knows.
    equal = b"alice".decode()
    run = named(gateway, flow.direction, packets, NOW, equal)
    assert measure(group, "named equally", run, count=ROUND) == expected(flow)


def test_as_a_host_calls_it(
    flow: Flow, group: str, packets: list[bytes], gateway: Gateway, measure: Measure
) -> None:
    clock = iter([NOW + number / 1_000_000 for number in range(ROUND * _MOST_ROUNDS)])
    run = as_a_host(gateway, flow.direction, packets, clock, "alice")
    assert measure(group, "as a host", run, count=ROUND) == expected(flow)


def test_with_a_time_of_its_own(
    flow: Flow, group: str, packets: list[bytes], gateway: Gateway, measure: Measure
) -> None:
    # Made beforehand, so that no clock is timed.
    clock = iter([NOW + number / 1_000_000 for number in range(ROUND * _MOST_ROUNDS)])
    run = clocked(gateway, flow.direction, packets, clock)
    assert measure(group, "clocked", run, count=ROUND) == expected(flow)
