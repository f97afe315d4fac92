"""Rule 7 of section 3: no call forgets more than a bounded amount, whatever is over by then.

The states are those of `benches.worst`. Work is counted in steps, each a line of Python or a
call, so that it does not matter how busy the machine is; times are only a second opinion.
"""

import pytest

from benches.bench_worst import longest_packet
from benches.memory import alone
from benches.steps import ENDINGS, Steps, all_counted, all_endings
from benches.worst import STATES

SMALL, LARGE = 250, 1_500
"""Entries that are over at one moment, or that a limit counts."""

MOST_STEPS = 16_000
"""Three quarters of a millisecond, when nobody counts. A refused packet with its reply takes 900
by itself; the rest is upkeep, of which the withdrawal of a permission is the longest step."""

MOST_STEPS_WHEN_IDLE = 120_000
"""Of `handle_timeout`, which may do more at once than a packet."""

MOST_BLOCKS = 1_000
"""Of memory, given back or taken by one call: sixteen sessions are two hundred."""

MOST_MILLISECONDS = 25.0
"""All at once takes three to ten times as long."""

each_state = pytest.mark.parametrize("state", STATES)


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, Steps], dict[str, Steps]]:
    """Count in a process of its own, where nothing else follows each line."""
    return alone(all_counted, SMALL), alone(all_counted, LARGE)


@each_state
def test_no_packet_does_more_than_a_bounded_amount_of_work(
    state: str, found: tuple[dict[str, Steps], dict[str, Steps]]
) -> None:
    few, many = found[0][state], found[1][state]
    assert many.of_packets <= MOST_STEPS, many
    # Few may all be forgotten before the packet comes that would have the most to do.
    assert many.of_packets <= max(1.5 * few.of_packets, MOST_STEPS / 2), (few, many)


@each_state
def test_no_packet_frees_more_than_a_bounded_amount_of_memory(
    state: str, found: tuple[dict[str, Steps], dict[str, Steps]]
) -> None:
    assert found[1][state].blocks <= MOST_BLOCKS


@each_state
def test_an_idle_host_makes_only_short_calls(
    state: str, found: tuple[dict[str, Steps], dict[str, Steps]]
) -> None:
    assert found[1][state].of_upkeep <= MOST_STEPS_WHEN_IDLE


@each_state
def test_each_state_is_what_it_says(
    state: str, found: tuple[dict[str, Steps], dict[str, Steps]]
) -> None:
    few, many = found[0][state], found[1][state]
    if state != "a full port search":
        assert SMALL // 2 <= few.size <= 4 * SMALL
        assert min(1_000, LARGE // 2) <= many.size <= 4 * LARGE


@pytest.fixture(scope="module")
def endings() -> list[dict[tuple[str, bool], int]]:
    return [alone(all_endings, size) for size in (20, 600)]


@pytest.mark.parametrize("flow_records", [False, True], ids=["plain", "recorded"])
@pytest.mark.parametrize("how", ENDINGS)
def test_an_ending_costs_what_it_touches(
    how: str, endings: list[dict[tuple[str, bool], int]], *, flow_records: bool
) -> None:
    few, many = (counted[how, flow_records] for counted in endings)
    assert many <= 1.2 * few + 300


@pytest.mark.parametrize(
    ("state", "size"),
    [
        ("sessions of 64 clients", 16_000),
        ("authorizations of few", 15_000),
        ("a full flow cache", 8_192),
        ("refusals that are due", 10_000),
    ],
)
def test_no_packet_waits(state: str, size: int) -> None:
    # What disturbs a run hardly does so twice.
    assert any(alone(longest_packet, state, size) <= MOST_MILLISECONDS for _ in range(2))
