"""`handle_packets` next to a loop over `handle_packet`: the same decisions, in one call.

The pathological case is a batch in which no two packets share a flow.
"""

import pytest

from benches.conftest import Measure
from benches.loops import batched, timed
from benches.scenes import (
    NOW,
    OUTBOUND,
    V4,
    Flow,
    forget_flows,
    gateway_for_alice,
    new_flows,
    packet,
)
from firezone_filter import Forward, Gateway

_BATCH = 64
"""Packets that a TUN device or a socket hands over at once."""


@pytest.fixture
def gateway() -> Gateway:
    return gateway_for_alice()


class TestEstablishedFlow:
    group = "batch: established flow"

    def test_in_a_loop(self, gateway: Gateway, measure: Measure) -> None:
        run = timed(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * _BATCH, NOW)
        decision = measure(self.group, "loop", run, count=_BATCH, rounds=2_000)
        assert decision == Forward("alice", V4.resource_id)

    def test_in_a_batch(self, gateway: Gateway, measure: Measure) -> None:
        run = batched(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * _BATCH, NOW)
        decision = measure(self.group, "batch", run, count=_BATCH, rounds=2_000)
        assert decision == Forward("alice", V4.resource_id)


class TestFirstPackets:
    group = "batch: first packets"

    def test_in_a_loop(self, gateway: Gateway, measure: Measure) -> None:
        run = timed(gateway, OUTBOUND, new_flows(Flow(V4, OUTBOUND))[:_BATCH], NOW)
        decision = measure(
            self.group,
            "loop",
            run,
            count=_BATCH,
            setup=lambda: forget_flows(gateway),
            rounds=1_000,
        )
        assert decision == Forward("alice", V4.resource_id)

    def test_in_a_batch(self, gateway: Gateway, measure: Measure) -> None:
        run = batched(gateway, OUTBOUND, new_flows(Flow(V4, OUTBOUND))[:_BATCH], NOW)
        decision = measure(
            self.group,
            "batch",
            run,
            count=_BATCH,
            setup=lambda: forget_flows(gateway),
            rounds=1_000,
        )
        assert decision == Forward("alice", V4.resource_id)
