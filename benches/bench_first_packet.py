"""First packets of flows, and refused ones, which are never remembered.

The pathological case is a client whose memory of flows is full: each new flow pushes the
oldest out.
"""

from ipaddress import ip_address

import pytest

from benches import by_hand
from benches.conftest import Measure
from benches.loops import each, timed
from benches.scenes import (
    FAMILIES,
    FLOWS,
    INBOUND,
    NEW_FLOWS,
    NOW,
    OUTBOUND,
    REFUSED_PORT,
    V4,
    Family,
    Flow,
    forget_flows,
    gateway_for_alice,
    new_flows,
    scan,
)
from firezone_filter import (
    Decision,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Reject,
)

_FEW = 200

both_families = pytest.mark.parametrize("family", FAMILIES, ids=str, scope="module")


def _measure_first(measure: Measure, group: str, gateway: Gateway, flow: Flow) -> Decision:
    packets = new_flows(flow)
    return measure(
        group,
        "first packet",
        timed(gateway, flow.direction, packets, NOW),
        count=len(packets),
        setup=lambda: forget_flows(gateway, flow.family),
        rounds=60,
    )


# Of the module, so that those that are compared run one after the other.
@pytest.mark.parametrize("flow", FLOWS, ids=str, scope="module")
class TestFirstPackets:
    def test_by_hand(self, flow: Flow, measure: Measure) -> None:
        family = flow.family
        filters = by_hand.Filter()
        client = ip_address(family.client).packed
        filters.allow(client, family.network, family.resource_id, by_hand.rules(family.version))
        run = each(filters.judge(flow.direction), new_flows(flow)[:_FEW])
        found = measure(f"first packet: {flow}", "by hand", run, count=_FEW)
        assert found == family.resource_id

    def test_by_the_gateway(self, flow: Flow, measure: Measure) -> None:
        decision = _measure_first(measure, f"first packet: {flow}", gateway_for_alice(), flow)
        assert decision == Forward("alice", flow.family.resource_id)


def test_first_packets_when_the_memory_is_full(measure: Measure) -> None:
    gateway = gateway_for_alice()
    flows = list(scan(V4, V4.client, 4 * NEW_FLOWS))
    # Two halves in turn, so that each pushes out the other: none is ever remembered.
    halves = [
        timed(gateway, OUTBOUND, flows[:4_000], NOW),
        timed(gateway, OUTBOUND, flows[4_000:], NOW),
    ]
    decision = measure(
        "first packet: v4 tcp outbound",
        "memory full",
        halves[0],
        count=4_000,
        setup=lambda: assert_allowed(halves[1]()),
        rounds=30,
    )
    assert decision == Forward("alice", V4.resource_id)


def assert_allowed(decision: Decision) -> None:
    assert decision.allowed


@both_families
class TestRefusedOutbound:
    @pytest.fixture
    def group(self, family: Family) -> str:
        return f"refused: {family} outbound"

    @pytest.fixture
    def gateway(self) -> Gateway:
        return gateway_for_alice(options=GatewayOptions(reject=False))

    def test_a_first_packet(
        self, family: Family, group: str, gateway: Gateway, measure: Measure
    ) -> None:
        decision = _measure_first(measure, group, gateway, Flow(family, OUTBOUND))
        assert decision == Forward("alice", family.resource_id)

    def test_a_port_that_is_not_permitted(
        self, family: Family, group: str, gateway: Gateway, measure: Measure
    ) -> None:
        packets = new_flows(Flow(family, OUTBOUND), port=REFUSED_PORT)
        run = timed(gateway, OUTBOUND, packets, NOW)
        decision = measure(group, "port", run, count=len(packets), rounds=60)
        assert decision == Drop(Reason.TCP_PORT, "alice")

    def test_a_host_of_no_resource(
        self, family: Family, group: str, gateway: Gateway, measure: Measure
    ) -> None:
        packets = new_flows(Flow(family, OUTBOUND))
        gateway.revoke("alice", family.resource_id)
        run = timed(gateway, OUTBOUND, packets, NOW)
        decision = measure(group, "no resource", run, count=len(packets), rounds=60)
        assert decision == Drop(Reason.NO_RESOURCE, "alice")

    def test_more_than_the_token_bucket_lets_be_answered(
        self, family: Family, group: str, measure: Measure
    ) -> None:
        gateway = gateway_for_alice(options=GatewayOptions(reject_rate=0.0, reject_burst=0))
        packets = new_flows(Flow(family, OUTBOUND), port=REFUSED_PORT)
        run = timed(gateway, OUTBOUND, packets, NOW)
        decision = measure(group, "no token", run, count=len(packets), rounds=60)
        assert decision == Drop(Reason.TCP_PORT, "alice")

    def test_with_a_reply(self, family: Family, group: str, measure: Measure) -> None:
        options = GatewayOptions(reject_rate=1e9, reject_burst=1_000_000_000)
        gateway = gateway_for_alice(options=options)
        packets = new_flows(Flow(family, OUTBOUND), port=REFUSED_PORT)[:_FEW]
        run = timed(gateway, OUTBOUND, packets, NOW)
        decision = measure(group, "reply", run, count=len(packets), rounds=60)
        assert isinstance(decision, Reject)
        assert decision.reason is Reason.TCP_PORT


@both_families
class TestRefusedInbound:
    @pytest.fixture
    def group(self, family: Family) -> str:
        return f"refused: {family} inbound"

    def test_a_first_packet(self, family: Family, group: str, measure: Measure) -> None:
        decision = _measure_first(measure, group, gateway_for_alice(), Flow(family, INBOUND))
        assert decision == Forward("alice", family.resource_id)

    def test_a_port_that_is_not_permitted(
        self, family: Family, group: str, measure: Measure
    ) -> None:
        packets = new_flows(Flow(family, INBOUND), port=REFUSED_PORT)
        run = timed(gateway_for_alice(), INBOUND, packets, NOW)
        decision = measure(group, "port", run, count=len(packets), rounds=60)
        assert decision == Drop(Reason.TCP_PORT, "alice")

    def test_a_host_of_no_resource(self, family: Family, group: str, measure: Measure) -> None:
        gateway = gateway_for_alice()
        gateway.revoke("alice", family.resource_id)
        packets = new_flows(Flow(family, INBOUND))
        run = timed(gateway, INBOUND, packets, NOW)
        decision = measure(group, "no resource", run, count=len(packets), rounds=60)
        assert decision == Drop(Reason.NO_RESOURCE, "alice")
