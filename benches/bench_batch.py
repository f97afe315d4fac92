"""`handle_packets` and `handle_batch` next to loops over `handle_packet`, and to the floor.

The same decisions, in one call. The pathological case is a batch in which no two packets
share a flow, nor a host.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from attrs import frozen

from benches import by_hand
from benches.conftest import Measure
from benches.loops import batched, each, mixed, mixed_batch, timed
from benches.scenes import (
    FLOWS,
    INBOUND,
    NOW,
    OUTBOUND,
    V4,
    Flow,
    forget_flows,
    gateway_for_alice,
    give_name,
    many_hosts,
    new_flows,
    packet,
)
from firezone_filter import Decision, Direction, Forward, Gateway

_BATCH: Final = 64
"""Packets that a TUN device or a socket hands over at once."""

_ROUNDS: Final = 1_000

_FLOW = Flow(V4, OUTBOUND)

Loop = Callable[[Gateway, Direction, list[bytes], float], Callable[[], Decision]]
Packets = list[tuple[Direction, bytes]]


# --- One direction, one time -------------------------------------------------------------


@frozen
class Batch:
    """What comes at once."""

    kind: str
    packets: list[bytes]
    is_new: bool = False
    """Whether nothing is to be remembered of it."""

    def __str__(self) -> str:
        return self.kind


_BATCHES = (
    Batch("established flow", [packet(V4, OUTBOUND)] * _BATCH),
    Batch("first packets, one host", new_flows(_FLOW)[:_BATCH], is_new=True),
    Batch("first packets, many hosts", many_hosts(_FLOW, _BATCH), is_new=True),
    Batch("translated flow", [packet(V4, OUTBOUND, far=V4.proxy)] * _BATCH),
)


# Both sides of a batch run one after the other.
@pytest.mark.parametrize("batch", _BATCHES, ids=str, scope="module")
@pytest.mark.parametrize(("side", "loop"), [("loop", timed), ("batch", batched)])
def test_a_batch(batch: Batch, side: str, loop: Loop, measure: Measure) -> None:
    gateway = gateway_for_alice()
    give_name(gateway)
    one_by_one = [gateway.handle_packet(OUTBOUND, one, NOW) for one in batch.packets]

    def setup() -> None:
        if batch.is_new:
            forget_flows(gateway)

    run = loop(gateway, OUTBOUND, batch.packets, NOW)
    decision = measure(f"batch: {batch}", side, run, count=_BATCH, setup=setup, rounds=_ROUNDS)
    assert decision == one_by_one[-1]
    assert decision.allowed


# Of the module, so that those that are compared run one after the other.
@pytest.fixture(scope="module", params=FLOWS, ids=str)
def flow(request: pytest.FixtureRequest) -> Flow:
    kind: Flow = request.param
    return kind


@pytest.fixture
def packets(flow: Flow) -> list[bytes]:
    return [packet(flow.family, flow.direction, flow.protocol)] * _BATCH


@pytest.mark.parametrize("group", ["batch, flow", "mixed batch, flow"])
def test_the_floor(group: str, flow: Flow, packets: list[bytes], measure: Measure) -> None:
    run = each(by_hand.floor(flow.family.version, packets[0]), packets)
    found = measure(f"{group}: {flow}", "floor", run, count=_BATCH, rounds=_ROUNDS)
    assert found == "permitted"


def test_an_established_flow_at_one_time(
    flow: Flow, packets: list[bytes], measure: Measure
) -> None:
    run = batched(gateway_for_alice(), flow.direction, packets, NOW)
    found = measure(f"batch, flow: {flow}", "batch", run, count=_BATCH, rounds=_ROUNDS)
    assert found == Forward("alice", flow.family.resource_id)


# --- Each with its own -------------------------------------------------------------------


def clock() -> Iterator[list[float]]:
    """Return the times of the packets of each round; made beforehand, so that none is timed."""
    times = [NOW + number / 1_000_000 for number in range(2 * _ROUNDS * _BATCH)]
    return iter([times[first : first + _BATCH] for first in range(0, len(times), _BATCH)])


def test_an_established_flow_each_packet_with_its_own_time(
    flow: Flow, packets: list[bytes], measure: Measure
) -> None:
    run = mixed_batch(gateway_for_alice(), [(flow.direction, one) for one in packets], clock())
    found = measure(f"mixed batch, flow: {flow}", "batch", run, count=_BATCH, rounds=_ROUNDS)
    assert found == Forward("alice", flow.family.resource_id)


def _both_ways(outward: list[bytes], inward: list[bytes]) -> Packets:
    """Return what a tunnel delivers: packets of both directions, one after the other."""
    pairs = zip(outward, inward, strict=True)
    return [one for there, back in pairs for one in ((OUTBOUND, there), (INBOUND, back))]


_HALF = _BATCH // 2
_BACK = Flow(V4, INBOUND)
_MIXED: dict[str, Packets] = {
    "established flows": _both_ways([packet(V4, OUTBOUND)] * _HALF, [packet(V4, INBOUND)] * _HALF),
    "first packets, many hosts": _both_ways(many_hosts(_FLOW, _HALF), many_hosts(_BACK, _HALF)),
    "translated flow": _both_ways(
        [packet(V4, OUTBOUND, far=V4.proxy)] * _HALF,
        [packet(V4, INBOUND, far=V4.resolved)] * _HALF,
    ),
}


@pytest.mark.parametrize("kind", _MIXED, scope="module")
@pytest.mark.parametrize(("side", "loop"), [("loop", mixed), ("batch", mixed_batch)])
def test_a_mixed_batch(
    kind: str,
    side: str,
    loop: Callable[[Gateway, Packets, Iterator[list[float]]], Callable[[], Decision]],
    measure: Measure,
) -> None:
    gateway = gateway_for_alice()
    give_name(gateway)
    run = loop(gateway, _MIXED[kind], clock())

    def setup() -> None:
        if kind.startswith("first"):
            forget_flows(gateway)

    group = f"mixed batch: {kind}"
    assert measure(group, side, run, count=_BATCH, setup=setup, rounds=_ROUNDS).allowed
