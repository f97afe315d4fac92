"""Packets of an established flow while flows are recorded, beside the same without records.

The pathological case is TCP: the length of its header and its flags are read from every
packet. Behind the NAT counting comes on top of translating, of which it is a small part. A
refused packet is read once more, to say to whom it was going.
"""

import pytest

from benches.conftest import Measure
from benches.loops import timed
from benches.scenes import (
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

SIDES = {
    "off": GatewayOptions(reject=False),
    "on": GatewayOptions(reject=False, flow_records=True),
}

TRANSLATED = [
    Flow(family, direction, protocol)
    for family in FAMILIES
    for direction in (OUTBOUND, INBOUND)
    for protocol in ("tcp", "udp", "echo")
]

both_sides = pytest.mark.parametrize("side", SIDES)


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


def in_use(gateway: Gateway, flow: Flow, far: str | None = None) -> bytes:
    """Let there be the flow, with a record where there are any; return its next packet."""
    family, protocol = flow.family, flow.protocol
    outward = packet(family, OUTBOUND, protocol, far=far and family.proxy)
    inward = packet(family, INBOUND, protocol, far=far)
    gateway.handle_packet(OUTBOUND, outward, NOW)
    gateway.handle_packet(INBOUND, inward, NOW)
    return outward if flow.direction is OUTBOUND else inward


def counted(gateway: Gateway, flow: Flow) -> int | None:
    """Return how many packets of the flow's direction are in records."""
    counters = gateway.counters()
    return counters.tx_packets if flow.direction is OUTBOUND else counters.rx_packets


@both_sides
def test_an_established_flow(flow: Flow, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=SIDES[side])
    run = timed(gateway, flow.direction, [in_use(gateway, flow)] * ROUND, NOW)
    found = measure(f"flow records: {flow}", side, run, count=ROUND)
    assert found == Forward("alice", flow.family.resource_id)
    assert (counted(gateway, flow) is not None) is (side == "on")


@both_sides
def test_a_translated_flow(translated: Flow, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=SIDES[side])
    resolve(gateway)
    sample = in_use(gateway, translated, translated.family.resolved)
    run = timed(gateway, translated.direction, [sample] * ROUND, NOW)
    found = measure(f"records of translated: {translated}", side, run, count=ROUND, rounds=100)
    assert isinstance(found, Translate)
    assert (counted(gateway, translated) is not None) is (side == "on")


@both_sides
def test_a_refused_flow(flow: Flow, side: str, measure: Measure) -> None:
    gateway = gateway_for_alice(options=SIDES[side])
    sample = packet(flow.family, flow.direction, flow.protocol, port=REFUSED_PORT)
    run = timed(gateway, flow.direction, [sample] * ROUND, NOW)
    found = measure(f"records of refused: {flow}", side, run, count=ROUND, rounds=100)
    assert not found.allowed
    assert found.reason in {Reason.TCP_PORT, Reason.UDP_PORT}
