"""First packets of flows: all to one host and port, and each to another host.

The pathological case is a client whose memory is full: each new flow pushes the oldest out.
"""

import pytest

from benches.baselines import BY_HAND, Baseline, each_baseline
from benches.conftest import Measure
from benches.loops import each, timed
from benches.scenes import (
    FAMILIES,
    FLOWS,
    INBOUND,
    NEW_FLOWS,
    NOW,
    OUTBOUND,
    V4,
    Flow,
    forget_flows,
    gateway_for_alice,
    give_name,
    many_hosts,
    new_flows,
    scan,
)
from firezone_filter import Decision, Forward, Gateway

_FULL = 2 * NEW_FLOWS
"""More flows than are remembered of a client, of one direction and protocol."""

# Of the module, so that those that are compared run one after the other.
each_flow = pytest.mark.parametrize("flow", FLOWS, ids=str, scope="module")


def _measure_by_hand(
    measure: Measure, group: str, baseline: Baseline, flow: Flow, packets: list[bytes]
) -> str | None:
    run = each(baseline.for_alice().judge(flow.direction), packets[: baseline.count])
    return measure(group, baseline.side, run, count=baseline.count, rounds=baseline.rounds)


def _measure_first(
    measure: Measure, group: str, gateway: Gateway, flow: Flow, packets: list[bytes]
) -> Decision:
    return measure(
        group,
        "first packet",
        timed(gateway, flow.direction, packets, NOW),
        count=len(packets),
        setup=lambda: forget_flows(gateway, flow.family),
        rounds=60,
    )


def _measure_full(measure: Measure, group: str, *, hosts: bool) -> Decision:
    gateway = gateway_for_alice()
    flows = list(scan(V4, V4.client, 2 * _FULL, hosts=hosts))
    # Two halves in turn, so that each pushes out the other: none is ever remembered.
    halves = [
        timed(gateway, OUTBOUND, flows[:_FULL], NOW),
        timed(gateway, OUTBOUND, flows[_FULL:], NOW),
    ]
    return measure(
        group,
        "memory full",
        halves[0],
        count=_FULL,
        setup=lambda: _assert_allowed(halves[1]()),
        rounds=30,
    )


def _assert_allowed(decision: Decision) -> None:
    assert decision.allowed


@each_flow
class TestToOneHost:
    @pytest.fixture
    def group(self, flow: Flow) -> str:
        return f"one host: {flow}"

    @each_baseline
    def test_by_hand(self, baseline: Baseline, flow: Flow, group: str, measure: Measure) -> None:
        found = _measure_by_hand(measure, group, baseline, flow, new_flows(flow))
        assert found == flow.family.resource_id

    def test_by_the_gateway(self, flow: Flow, group: str, measure: Measure) -> None:
        decision = _measure_first(measure, group, gateway_for_alice(), flow, new_flows(flow))
        assert decision == Forward("alice", flow.family.resource_id)


@each_flow
class TestToManyHosts:
    @pytest.fixture
    def group(self, flow: Flow) -> str:
        return f"many hosts: {flow}"

    @each_baseline
    def test_by_hand(self, baseline: Baseline, flow: Flow, group: str, measure: Measure) -> None:
        found = _measure_by_hand(measure, group, baseline, flow, many_hosts(flow))
        assert found == flow.family.resource_id

    def test_by_the_gateway(self, flow: Flow, group: str, measure: Measure) -> None:
        decision = _measure_first(measure, group, gateway_for_alice(), flow, many_hosts(flow))
        assert decision == Forward("alice", flow.family.resource_id)


def test_to_one_host_when_the_memory_is_full(measure: Measure) -> None:
    group = "one host: v4 tcp outbound"
    decision = _measure_full(measure, group, hosts=False)
    assert decision == Forward("alice", V4.resource_id)


def test_to_many_hosts_when_the_memory_is_full(measure: Measure) -> None:
    group = "many hosts: v4 tcp outbound"
    decision = _measure_full(measure, group, hosts=True)
    assert decision == Forward("alice", V4.resource_id)


@pytest.mark.parametrize(
    "flow", [Flow(family, INBOUND) for family in FAMILIES], ids=str, scope="module"
)
class TestToAClientWithNames:
    """To a client with DNS resources: each may belong to a session."""

    @pytest.fixture
    def group(self, flow: Flow) -> str:
        return f"client with names: {flow}"

    def test_by_hand(self, flow: Flow, group: str, measure: Measure) -> None:
        found = _measure_by_hand(measure, group, BY_HAND, flow, new_flows(flow))
        assert found == flow.family.resource_id

    def test_by_the_gateway(self, flow: Flow, group: str, measure: Measure) -> None:
        gateway = gateway_for_alice()
        give_name(gateway)
        decision = _measure_first(measure, group, gateway, flow, new_flows(flow))
        assert decision == Forward("alice", flow.family.resource_id)


@pytest.mark.parametrize(
    "flow",
    [Flow(family, direction, "echo") for family in FAMILIES for direction in (OUTBOUND, INBOUND)],
    ids=str,
    scope="module",
)
class TestEcho:
    """Pings that are not translated are never remembered: each is a first packet."""

    @pytest.fixture
    def group(self, flow: Flow) -> str:
        return f"echo: {flow}"

    def test_by_hand(self, flow: Flow, group: str, measure: Measure) -> None:
        found = _measure_by_hand(measure, group, BY_HAND, flow, new_flows(flow))
        assert found == flow.family.resource_id

    def test_by_the_gateway(self, flow: Flow, group: str, measure: Measure) -> None:
        packets = new_flows(flow)
        run = timed(gateway_for_alice(), flow.direction, packets, NOW)
        decision = measure(group, "gateway", run, count=len(packets), rounds=60)
        assert decision == Forward("alice", flow.family.resource_id)
