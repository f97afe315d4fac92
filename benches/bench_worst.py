"""The worst states that a gateway can be brought to: the longest call, in CPU time.

Each state is built once and then met by packets of the client concerned and of another one,
each call timed by itself, without the cyclic collector; what that takes is measured apart.
Pathological is whatever is done at once: one packet then pays for a million.
"""

import gc
from time import process_time

import pytest
from attrs import frozen

from benches.conftest import Benchmark, Measure, Scaled
from benches.latencies import Latencies, Uncollected, took
from benches.scenes import gateway_with_clients
from benches.worst import STATES, UPKEEP, Worst, calls

_CALLS = 20_000
"""Enough for a 99.99th percentile."""

_REFILLED = 100
"""Rounds of a state that each round uses up: to bring it about once more takes long."""

_QUICK = 5


@frozen
class Figures:
    """What calls took in one state."""

    state: str
    size: int
    packets: Latencies
    upkeep: Latencies


def watched(worst: Worst, rounds: int) -> tuple[Latencies, Latencies]:
    """Time each call by itself: those for packets, and those of an idle host."""
    packets, upkeep = Latencies(), Latencies()
    with Uncollected():
        for call in calls(worst, rounds):
            _, nanoseconds = took(call.run)
            (upkeep if call.kind in UPKEEP else packets).add(nanoseconds, call.kind)
    return packets, upkeep


def longest_packet(state: str, size: int) -> float:
    """Return how many milliseconds the longest packet call takes in a state of at most *size*."""
    packets, _ = watched(STATES[state](lambda count: min(count, size)), rounds=20)
    return packets.longest


# Of the module, so that a state of a million is built once.
@pytest.fixture(scope="module", params=STATES, ids=lambda state: state.replace(" ", "-"))
def figures(request: pytest.FixtureRequest, scaled: Scaled) -> Figures:
    worst = STATES[request.param](scaled)
    full = scaled(_CALLS) == _CALLS
    rounds = _REFILLED if worst.refill else _CALLS // len(worst.probes)
    return Figures(request.param, worst.size, *watched(worst, rounds if full else _QUICK))


def record(measure: Measure, benchmark: Benchmark, group: str, figures: Figures) -> None:
    """Put on record how long the longest call was, and all calls of its kind."""
    latencies = figures.upkeep if group == "worst upkeep" else figures.packets
    value = latencies.percentile(0.9999) if group == "worst percentile" else latencies.longest
    measure.record(f"{group}: {figures.state}", "milliseconds", value)
    benchmark.extra_info.update(
        size=figures.size,
        calls=latencies.count,
        longest_ms=latencies.longest,
        longest_is=latencies.what,
        percentile_9999_ms=latencies.percentile(0.9999),
        mean_ms=latencies.mean,
    )
    assert latencies.count >= _QUICK


@pytest.mark.parametrize("group", ["worst packet", "worst percentile", "worst upkeep"])
def test_calls_in_a_worst_state(
    group: str, figures: Figures, measure: Measure, benchmark: Benchmark
) -> None:
    record(measure, benchmark, group, figures)


@pytest.mark.parametrize("frozen_before", [False, True], ids=["as it is", "frozen"])
def test_the_collector(measure: Measure, scaled: Scaled, *, frozen_before: bool) -> None:
    gateway = gateway_with_clients(scaled(100_000))
    gc.collect()
    if frozen_before:
        gc.freeze()
    start = process_time()
    gc.collect()
    milliseconds = (process_time() - start) * 1e3
    gc.unfreeze()
    case = "frozen" if frozen_before else "as it is"
    measure.record(f"collector: {case}", "milliseconds", milliseconds)
    assert len(gateway.clients()) == scaled(100_000)
