"""`handle_packets` next to a loop over `handle_packet`: the same decisions, in one call.

The pathological case is a batch in which no two packets share a flow, nor a host.
"""

from collections.abc import Callable

import pytest
from attrs import frozen

from benches.conftest import Measure
from benches.loops import batched, timed
from benches.scenes import (
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
from firezone_filter import Decision, Direction, Gateway

_BATCH = 64
"""Packets that a TUN device or a socket hands over at once."""

_FLOW = Flow(V4, OUTBOUND)

Loop = Callable[[Gateway, Direction, list[bytes], float], Callable[[], Decision]]


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
    decision = measure(f"batch: {batch}", side, run, count=_BATCH, setup=setup, rounds=1_000)
    assert decision == one_by_one[-1]
    assert decision.allowed
