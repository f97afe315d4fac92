"""One client scans, every packet a new flow; another one's established flow is timed.

What is refused is not remembered; a scan of what is permitted is the one that could push
something out, or take the most memory.
"""

import pytest

from benches.conftest import Measure, Scaled
from benches.loops import timed
from benches.memory import Measuring, alone, blocks, measured_during_a_scan, resident
from benches.scenes import (
    NOW,
    OUTBOUND,
    ROUND,
    SCANS,
    V4,
    Scan,
    gateway_with_mallory,
    packet,
)
from firezone_filter import Forward, Gateway

_FLOWS = 1_000_000
_ROUNDS = 100


# Of the module, so that those that are compared run one after the other.
@pytest.fixture(scope="module", params=SCANS, ids=str)
def scan(request: pytest.FixtureRequest) -> Scan:
    kind: Scan = request.param
    return kind


@pytest.fixture(scope="module")
def scanned(scan: Scan, scaled: Scaled) -> Gateway:
    """Return a gateway that has seen the whole scan.

    Asked for before anything is timed, so that no seconds pass between what is compared.
    """
    gateway = gateway_with_mallory()
    for probe in scan.probes(scaled(_FLOWS)):
        gateway.handle_packet(OUTBOUND, probe, NOW)
    return gateway


@pytest.fixture
def gateway() -> Gateway:
    return gateway_with_mallory()


@pytest.mark.usefixtures("scanned")
def test_before_a_scan(scan: Scan, gateway: Gateway, measure: Measure) -> None:
    run = timed(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure(f"scan: {scan}", "before", run, count=ROUND, rounds=_ROUNDS)
    assert decision == Forward("alice", V4.resource_id)


def test_after_a_scan(scan: Scan, scanned: Gateway, measure: Measure) -> None:
    run = timed(scanned, OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure(f"scan: {scan}", "after", run, count=ROUND, rounds=_ROUNDS)
    assert decision == Forward("alice", V4.resource_id)


def test_between_slices_of_a_scan(
    scan: Scan, gateway: Gateway, scaled: Scaled, measure: Measure
) -> None:
    slice_ = scaled(_FLOWS) // _ROUNDS
    probes = scan.probes(_FLOWS + 10 * slice_)

    def scan_on() -> None:
        for _ in range(slice_):
            decision = gateway.handle_packet(OUTBOUND, next(probes), NOW)
            assert decision.allowed is scan.is_permitted

    run = timed(gateway, OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure(f"scan: {scan}", "during", run, count=ROUND, setup=scan_on, rounds=_ROUNDS)
    assert decision == Forward("alice", V4.resource_id)


@pytest.mark.parametrize("measuring", [resident, blocks])
def test_memory_of_a_scan(
    scan: Scan, measuring: Measuring, scaled: Scaled, measure: Measure
) -> None:
    early, late = alone(measured_during_a_scan, scan, scaled(_FLOWS), measuring)
    case = f"{scan}, {measuring.__name__}"
    measure.record(f"memory of a scan: {case}", "at its end", late / early)
    assert early
