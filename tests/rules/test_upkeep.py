"""Rule 7 of section 3: what `poll_timeout` announces, and what is left in the end."""

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import pytest

from benches.worst import (
    IDLE,
    REMEMBERED,
    START,
    UNANSWERED,
    Scene,
    client_ip,
    first_fragment,
    tcp,
    udp,
)
from firezone_filter import CidrResource, Direction, Gateway, GatewayOptions
from firezone_filter.testing import FIN, RST
from tests.allocated import allocated
from tests.records import fetched

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
RECORDING: Final = GatewayOptions(flow_records=True)
COUNT: Final = 1_000
CLIENTS: Final = 10
SECOND: Final = 1.0
ROUNDING: Final = 1e-6
SMALL_SHARE: Final = 0.08
"""Of what was there; a dict that once had a thousand entries keeps half of that by itself."""

PROXY: Final = int.from_bytes(bytes([100, 96, 0, 1]))
REAL: Final = int.from_bytes(bytes([11, 0, 0, 1]))
HOST: Final = int.from_bytes(bytes([10, 200, 0, 5]))
NEAR: Final = client_ip(0)

Fill = Callable[[Scene], None]


def scene(options: GatewayOptions | None = None) -> Scene:
    """Let some clients reach one name, for good."""
    made = Scene(options)
    for number in range(CLIENTS):
        made.connect(number)
        made.give_name(number, 0)
    return made


def follow(gateway: Gateway, most: int = 20 * COUNT) -> list[float]:
    """Call `handle_timeout` whenever `poll_timeout` says so, to its end; return when it was."""
    calls = [START]
    while (due := gateway.poll_timeout()) is not None:
        # While more waits, it is not later than the latest `now`.
        calls.append(max(due, calls[-1]))
        gateway.handle_timeout(calls[-1])
        assert len(calls) <= most
    return calls[1:] or [START]


def moments(calls: list[float]) -> list[float]:
    return sorted(set(calls))


# --- What there is to forget --------------------------------------------------------------------


def unanswered(made: Scene) -> None:
    made.open_sessions(0, COUNT)


def answered(made: Scene) -> None:
    made.open_sessions(0, COUNT)
    for place in range(COUNT):
        made.receive(udp(REAL, 53, NEAR, 1_024 + place))


def closing(made: Scene) -> None:
    for port in range(1, COUNT + 1):
        made.send(tcp(NEAR, port, PROXY, 443, FIN))
        made.receive(tcp(REAL, 443, NEAR, port, FIN))


def reset(made: Scene) -> None:
    for port in range(1, COUNT + 1):
        made.send(tcp(NEAR, port, PROXY, 443, RST))


def fragments(made: Scene) -> None:
    for number in range(1_000):
        made.send(first_fragment(NEAR, number, PROXY))


def of_many_clients(made: Scene) -> None:
    for number in range(CLIENTS):
        made.open_sessions(number, COUNT // CLIENTS)


LASTS: Final[dict[Fill, float]] = {
    unanswered: UNANSWERED + REMEMBERED,
    answered: IDLE + REMEMBERED,
    closing: REMEMBERED + REMEMBERED,
    reset: REMEMBERED,
    fragments: UNANSWERED + REMEMBERED,
    of_many_clients: UNANSWERED + REMEMBERED,
}
"""How long after the start the last of it is over, what is remembered of ends included."""

each_kind = pytest.mark.parametrize("fill", LASTS, ids=lambda fill: fill.__name__)


@each_kind
def test_a_host_that_follows_the_timeouts_is_done_in_the_end(fill: Fill) -> None:
    made = scene()
    fill(made)
    calls = follow(made.gateway)
    assert START + LASTS[fill] <= calls[-1] <= START + LASTS[fill] + SECOND
    assert made.gateway.poll_timeout() is None


def left_of(fill: Fill, clean: Callable[[Gateway], object]) -> float:
    """Return which share of what was filled in is left when it is over and cleaned up."""
    fill(scene())  # what is made once for all
    tracemalloc.start()
    try:
        made = scene()
        at_rest = allocated()
        fill(made)
        full = allocated()
        assert full - at_rest > 150_000
        clean(made.gateway)
        # A little is always left: numbers that have grown, a place in a free list.
        return max(allocated() - at_rest - 8_192, 0) / (full - at_rest)
    finally:
        tracemalloc.stop()


@each_kind
def test_a_host_that_follows_the_timeouts_is_left_with_its_policy_alone(fill: Fill) -> None:
    assert left_of(fill, follow) <= SMALL_SHARE


@pytest.mark.parametrize("fill", [answered, fragments], ids=lambda fill: fill.__name__)
def test_packets_of_others_clean_up_as_well(fill: Fill) -> None:
    other, step = tcp(client_ip(1), 1, HOST, 22), SECOND / 1_000

    def clean(gateway: Gateway) -> None:
        for number in range(6 * COUNT):
            gateway.handle_packet(OUTBOUND, other, START + 1_000.0 + number * step)

    assert left_of(fill, clean) <= SMALL_SHARE


@each_kind
def test_nothing_prepared_for_a_session_outlives_it(fill: Fill) -> None:
    made = scene()
    fill(made)
    follow(made.gateway)
    counters = made.gateway.counters()
    assert (counters.cached_flows, counters.nat_sessions, counters.fragments) == (0, 0, 0)


# --- How it is announced ------------------------------------------------------------------------


def open_one_after_the_other(made: Scene, count: int, step: float) -> list[float]:
    """Open sessions that nothing comes back to; return when each is over."""
    over = []
    for place in range(count):
        made.now = START + place * step
        made.send(udp(NEAR, 1_024 + place, PROXY, 53))
        over.append(made.now + UNANSWERED)
    return over


@pytest.mark.parametrize(("count", "step"), [(300, 0.0), (300, 0.01), (300, 0.19), (8, 7.0)])
def test_forgetting_is_announced_within_a_second_and_at_most_once_a_second(
    count: int, step: float
) -> None:
    made = scene()
    over = open_one_after_the_other(made, count, step)
    woken = moments(follow(made.gateway))
    for moment in over:
        for end in (moment, moment + REMEMBERED):
            assert any(end <= at <= end + SECOND + ROUNDING for at in woken)
    for earlier, later in pairwise(woken):
        assert later - earlier >= SECOND - ROUNDING


def test_expiries_are_announced_exactly_whatever_else_is_to_be_forgotten() -> None:
    made = scene()
    open_one_after_the_other(made, 300, 0.01)
    expiries = [START + UNANSWERED + 0.1 * place + 0.05 for place in range(30)]
    for place, at in enumerate(expiries):
        made.give(place % CLIENTS, CidrResource(f"net-{place}", "10.9.0.0/16"), at)
    woken = moments(follow(made.gateway))
    assert set(expiries) <= set(woken)
    others = [at for at in woken if at not in expiries]
    assert len(others) <= 5 + (UNANSWERED + 2 * REMEMBERED) / SECOND
    for earlier, later in pairwise(others):
        assert later - earlier >= SECOND - ROUNDING
    assert len(fetched(made.gateway)) == len(expiries)


def test_while_more_waits_the_host_is_asked_to_call_again() -> None:
    made = scene()
    until = START + UNANSWERED
    made.open_sessions(0, COUNT)
    for place in range(COUNT):
        made.give(place % CLIENTS, CidrResource(f"net-{place}", "10.9.0.0/16"), until)
    made.gateway.handle_packet(OUTBOUND, b"", until)
    calls = 0
    while (due := made.gateway.poll_timeout()) is not None and due <= until:
        made.gateway.handle_timeout(until)
        calls += 1
        # Not for nothing: each call forgets something.
        assert calls <= 2 * COUNT
    # Not all at once.
    assert calls > 1
    assert len(fetched(made.gateway)) == COUNT


@pytest.mark.parametrize("late", [0.0, 0.5, 1_000.0])
def test_after_a_late_call_too_all_is_forgotten_in_the_end(late: float) -> None:
    made = scene()
    unanswered(made)
    at = START + UNANSWERED + late
    made.gateway.handle_timeout(at)
    calls = follow(made.gateway, most=8 * COUNT)
    assert calls[-1] <= max(at, START + UNANSWERED + REMEMBERED) + SECOND


def test_flow_records_are_closed_by_a_host_that_follows_the_timeouts() -> None:
    made = scene(RECORDING)
    made.give(0, CidrResource("company", "10.200.0.0/16"))
    for place in range(COUNT):
        made.send(udp(NEAR, 1_024 + place, HOST, 53))
        made.gateway.handle_packet(OUTBOUND, tcp(NEAR, 1, HOST + (place << 8), 22), made.now)
    calls = follow(made.gateway)
    assert START + IDLE < calls[-1] <= START + IDLE + 2 * SECOND
    assert made.gateway.counters().recorded_flows == 0
    kinds = [type(event).__name__ for event in fetched(made.gateway)]
    assert kinds.count("FlowEnded") == kinds.count("FlowStarted")
