"""One client scans, every packet a new flow; another one's established flow is timed.

The scan is permitted by the filters: refused packets are never remembered, so a permitted
scan is the one that could push something out.
"""

from collections.abc import Callable
from itertools import cycle

import pytest

from benches.conftest import Measure
from benches.loops import timed
from benches.scenes import (
    MALLORY,
    NOW,
    OUTBOUND,
    ROUND,
    V4,
    gateway_for_alice,
    packet,
    scan,
)
from firezone_filter import Forward, Gateway

_SCAN = 200_000
_SLICE = 5_000
_GROUP = "scan: another's established flow"

Scaled = Callable[[int], int]


@pytest.fixture
def gateway() -> Gateway:
    gateway = gateway_for_alice()
    gateway.client_connected("mallory", MALLORY, NOW)
    gateway.authorize("mallory", V4.resource())
    return gateway


def test_before_a_scan(gateway: Gateway, measure: Measure) -> None:
    run = timed(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure(_GROUP, "before", run, count=ROUND, rounds=100)
    assert decision == Forward("alice", V4.resource_id)


def test_after_a_scan(gateway: Gateway, scaled: Scaled, measure: Measure) -> None:
    for probe in scan(V4, str(MALLORY.ipv4), scaled(_SCAN)):
        gateway.handle_packet(OUTBOUND, probe)
    run = timed(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure(_GROUP, "after", run, count=ROUND, rounds=100)
    assert decision == Forward("alice", V4.resource_id)


def test_between_slices_of_a_scan(gateway: Gateway, scaled: Scaled, measure: Measure) -> None:
    probes = cycle(list(scan(V4, str(MALLORY.ipv4), scaled(_SCAN))))

    def scan_on() -> None:
        for _ in range(scaled(_SLICE)):
            assert gateway.handle_packet(OUTBOUND, next(probes)).allowed

    run = timed(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure(_GROUP, "during", run, count=ROUND, setup=scan_on, rounds=100)
    assert decision == Forward("alice", V4.resource_id)
