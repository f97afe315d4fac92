"""What options cost that have an effect for each packet: flow records, and `stateful`.

Each is timed beside the same without it. The pathological case of flow records is TCP: the
length of its header and its flags are read from every packet. Behind the NAT counting and
tracking come on top of translating, of which they are a small part. A refused packet is read
once more for its record, to say to whom it was going; tracking knows nothing of it.
"""

import pytest

from benches.conftest import Measure
from benches.loops import clocked, timed
from benches.scenes import (
    ALICE,
    FAMILIES,
    FLOWS,
    INBOUND,
    NOW,
    OUTBOUND,
    REFUSED_PORT,
    ROUND,
    Flow,
    gateway_for_alice,
    packet,
    resolve,
)
from firezone_filter import Forward, Gateway, GatewayOptions, Reason, Translate

OFF = GatewayOptions(reject=False)
FEATURES = {
    "flow records": GatewayOptions(reject=False, flow_records=True),
    "stateful": GatewayOptions(reject=False, stateful=True),
}
SIDES = ("off", "on")

_MOST_ROUNDS = 150
"""Warm-up included."""

TRANSLATED = [
    Flow(family, direction, protocol)
    for family in FAMILIES
    for direction in (OUTBOUND, INBOUND)
    for protocol in ("tcp", "udp", "echo")
]

both_sides = pytest.mark.parametrize("side", SIDES)
each_feature = pytest.mark.parametrize("feature", FEATURES)


def options_of(feature: str, side: str) -> GatewayOptions:
    return FEATURES[feature] if side == "on" else OFF


# Of the module, so that those that are compared run one after the other: a machine is
# not equally fast all the time.
@pytest.fixture(scope="module", params=FLOWS, ids=str)
def flow(request: pytest.FixtureRequest) -> Flow:
    kind: Flow = request.param
    return kind


@pytest.fixture(scope="module", params=TRANSLATED, ids=str)
def translated(request: pytest.FixtureRequest) -> Flow:
    kind: Flow = request.param
    return kind


def in_use(
    gateway: Gateway, flow: Flow, far: str | None = None, client_port: int = 5_000
) -> bytes:
    """Let there be the flow, with traffic both ways; return its next packet."""
    family, protocol = flow.family, flow.protocol
    outward = packet(family, OUTBOUND, protocol, far=far and family.proxy, client_port=client_port)
    inward = packet(family, INBOUND, protocol, far=far, client_port=client_port)
    gateway.handle_packet(OUTBOUND, outward, NOW)
    gateway.handle_packet(INBOUND, inward, NOW)
    return outward if flow.direction is OUTBOUND else inward


def is_on(gateway: Gateway) -> bool:
    """Tell whether packets have had the effect that is timed."""
    counters = gateway.counters()
    return bool(counters.flows or counters.recorded_flows)


@both_sides
@each_feature
def test_an_established_flow(flow: Flow, feature: str, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=options_of(feature, side))
    run = timed(gateway, flow.direction, [in_use(gateway, flow)] * ROUND, NOW)
    found = measure(f"{feature}: {flow}", side, run, count=ROUND)
    assert found == Forward("alice", flow.family.resource_id)
    assert is_on(gateway) is (side == "on")


@both_sides
@each_feature
def test_flows_in_turn_each_packet_at_a_time_of_its_own(
    flow: Flow, feature: str, side: str, measure: Measure
) -> None:
    gateway = gateway_for_alice(options=options_of(feature, side))
    packets = [in_use(gateway, flow, client_port=6_000 + n) for n in range(100)]
    # Made beforehand, so that no clock is timed.
    clock = iter([NOW + number / 1_000_000 for number in range(ROUND * _MOST_ROUNDS)])
    run = clocked(gateway, flow.direction, (packets * ROUND)[:ROUND], clock)
    found = measure(f"{feature}, in turn: {flow}", side, run, count=ROUND, rounds=100)
    assert found == Forward("alice", flow.family.resource_id)
    assert is_on(gateway) is (side == "on")


@both_sides
@each_feature
def test_the_first_packet_of_a_flow(feature: str, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=options_of(feature, side))
    family = FAMILIES[0]
    packets = [packet(family, OUTBOUND, client_port=6_000 + n) for n in range(ROUND)]

    def begin() -> None:
        gateway.client_connected("alice", ALICE, NOW)
        gateway.authorize("alice", family.resource())

    run = timed(gateway, OUTBOUND, packets, NOW)
    found = measure(
        f"first packet with {feature}", side, run, count=ROUND, setup=begin, rounds=100
    )
    assert found == Forward("alice", family.resource_id)
    assert is_on(gateway) is (side == "on")


@both_sides
@each_feature
def test_a_translated_flow(translated: Flow, feature: str, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=options_of(feature, side))
    resolve(gateway)
    sample = in_use(gateway, translated, translated.family.resolved)
    run = timed(gateway, translated.direction, [sample] * ROUND, NOW)
    found = measure(f"{feature}, translated: {translated}", side, run, count=ROUND, rounds=100)
    assert isinstance(found, Translate)
    assert is_on(gateway) is (side == "on")


@both_sides
@each_feature
def test_a_refused_flow(flow: Flow, feature: str, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=options_of(feature, side))
    sample = packet(flow.family, flow.direction, flow.protocol, port=REFUSED_PORT)
    run = timed(gateway, flow.direction, [sample] * ROUND, NOW)
    found = measure(f"{feature}, refused: {flow}", side, run, count=ROUND, rounds=100)
    assert not found.allowed
    assert found.reason in {Reason.TCP_PORT, Reason.UDP_PORT}
