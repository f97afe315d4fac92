"""Section 7 and rule 7 of section 3: flows that are over are forgotten, a few at a time."""

import gc
import tracemalloc
from itertools import pairwise
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import Direction, Gateway, GatewayOptions
from firezone_filter.testing import FIN, RST, tcp, udp
from tests.allocated import allocated
from tests.rules.solicited import STATEFUL, UNSOLICITED, by_either_limit, limited, solicited
from tests.rules.stories import START
from tests.rules.ways import Way, both_ways, nat_ways
from tests.scenes import ALICE, INBOUND, OUTBOUND, V4, Family, at, both_families, gateway_for_alice
from tests.translations import TICK, resolve

COUNT: Final = 1_000
FEW: Final = 150
SECOND: Final = 1.0
ROUNDING: Final = 1e-6


def fill(  # noqa: PLR0913 - as much as there is to choose
    gateway: Gateway, family: Family, kind: str, now: float, *, first: int = 1, count: int = COUNT
) -> float:
    """Begin flows from so many ports; return when they are over."""
    build = udp if kind.endswith("udp") else tcp
    for port in range(first, first + count):
        ends = at(family.client, port), at(family.host, 443)
        out, back = " > ".join(ends), " > ".join(ends[::-1])
        # The second packet either way is remembered.
        for _ in range(2):
            assert gateway.handle_packet(OUTBOUND, build(out), now).allowed
            if kind != "unanswered-udp":
                assert gateway.handle_packet(INBOUND, build(back), now).allowed
        if kind == "closed":
            assert gateway.handle_packet(OUTBOUND, tcp(out, flags=FIN), now).allowed
            assert gateway.handle_packet(INBOUND, tcp(back, flags=FIN), now).allowed
        if kind == "reset":
            assert gateway.handle_packet(OUTBOUND, tcp(out, flags=RST), now).allowed
    return now + LASTS[kind]


LASTS: Final = {
    "unanswered-udp": 60.0,
    "answered-udp": 120.0,
    "answered": 7_440.0,
    "closed": 240.0,
    "reset": 0.0,
}

each_kind = pytest.mark.parametrize("kind", LASTS)


def follow(gateway: Gateway, start: float) -> list[float]:
    """Call `handle_timeout` whenever `poll_timeout` says so, to its end; return when it was."""
    calls = [start]
    while (due := gateway.poll_timeout()) is not None:
        # While more waits, it is not later than the latest `now`.
        calls.append(max(due, calls[-1]))
        gateway.handle_timeout(calls[-1])
        assert len(calls) <= 20 * COUNT
    return calls


@each_kind
@both_families
def test_a_host_that_follows_the_timeouts_has_no_flow_left_and_nothing_remembered_of_one(
    family: Family, kind: str
) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=START)
    over = fill(gateway, family, kind, START)
    calls = follow(gateway, START)
    # As with sessions: one may be announced for when it would have ended by its time.
    assert over <= calls[-1] <= max(over, START + 60.0) + SECOND
    counters = gateway.counters()
    assert (counters.flows, counters.cached_flows) == (0, 0)
    assert gateway.poll_event() is None


@pytest.mark.parametrize("kind", ["unanswered-udp", "answered-udp", "reset"])
def test_flows_that_are_over_leave_nothing_that_grows(kind: str) -> None:
    tracemalloc.start()
    try:
        gateway = gateway_for_alice(V4.db(), options=STATEFUL, now=START)
        at_rest, rests = allocated(), []
        for number in range(3):
            now = START + 10_000.0 * number
            fill(gateway, V4, kind, now, first=1 + FEW * number, count=FEW)
            full = allocated() - at_rest
            follow(gateway, now)
            rests.append(allocated() - at_rest)
        assert full > 40_000 or kind == "reset"
        # Some dicts keep the size that they have had; nothing else is kept.
        assert rests[-1] - rests[0] <= 4_096
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("count", "step"), [(300, 0.0), (300, 0.01), (300, 0.19), (8, 7.0)])
@both_families
def test_forgetting_is_announced_within_a_second_and_at_most_once_a_second(
    family: Family, count: int, step: float
) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=START)
    over = []
    for place in range(count):
        now = START + place * step
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, place), now).allowed
        over.append(now + 60.0)
    woken = sorted(set(follow(gateway, START)[1:]))
    for end in over:
        assert any(end <= moment <= end + SECOND + ROUNDING for moment in woken)
    for earlier, later in pairwise(woken):
        assert later - earlier >= SECOND - ROUNDING


# Ends are announced for the next whole second, and what waits already at once.
@pytest.mark.parametrize("start", [START, START + 0.25])
@both_families
def test_while_more_waits_the_host_is_asked_to_call_again(family: Family, start: float) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=start)
    over = fill(gateway, family, "unanswered-udp", start)
    gateway.handle_timeout(over)
    calls = 1
    while (due := gateway.poll_timeout()) is not None:
        # Not later than the latest `now`, and not for nothing.
        assert due <= over
        gateway.handle_timeout(over)
        calls += 1
        assert calls <= COUNT
    # Not all at once.
    assert calls > 1
    assert gateway.counters().flows == 0


@both_families
def test_what_waits_to_be_forgotten_is_not_live(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=START)
    over = fill(gateway, family, "unanswered-udp", START)
    for now, count in ((over - TICK, COUNT), (over, 0)):
        gateway.handle_packet(OUTBOUND, b"", now)
        assert gateway.counters().flows == count
    ends = at(family.host, 443), at(family.client, COUNT)
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=START)
    fill(gateway, family, "unanswered-udp", START)
    assert gateway.handle_packet(INBOUND, udp(" > ".join(ends)), over) == UNSOLICITED


@by_either_limit
@both_families
def test_what_waits_to_be_forgotten_takes_no_room_from_anybody(family: Family, limit: str) -> None:
    gateway = gateway_for_alice(family.db(), options=limited(limit, COUNT), now=START)
    over = fill(gateway, family, "answered-udp", START)
    # All of these are to stay: none gives way to the others.
    fill(gateway, family, "answered", over)
    assert gateway.counters().flows == COUNT
    more = gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND))
    assert not more.allowed


@pytest.mark.parametrize("stays", [True, False], ids=["in-the-way", "out-of-the-way"])
@both_families
def test_a_hook_that_ends_many_flows_ends_them_all_in_its_call(
    family: Family, *, stays: bool
) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=START)
    gateway.authorize("bob", family.db())
    bobs = evolve(family, client=family.neighbour)
    assert gateway.handle_packet(OUTBOUND, bobs.udp(OUTBOUND)).allowed
    fill(gateway, family, "answered", START)
    if stays:
        gateway.revoke("alice", "db")
    else:
        gateway.client_connected("alice", ALICE)
    assert gateway.counters().flows == 1
    gateway.authorize("alice", family.db())
    back = tcp(f"{at(family.host, 443)} > {at(family.client, 7)}")
    assert gateway.handle_packets(INBOUND, [back] * 2) == [UNSOLICITED] * 2
    # They may begin again at once, and end by their own time.
    over = fill(gateway, family, "unanswered-udp", START)
    assert gateway.counters().flows == 1 + COUNT
    assert len(list(iter(gateway.poll_event, None))) <= 1
    assert over <= follow(gateway, START)[-1] <= over + SECOND
    assert gateway.counters().flows == 0


@nat_ways
def test_what_is_prepared_for_a_flow_of_a_session_does_not_outlive_it(way: Way) -> None:
    gateway = solicited(way)
    for number in range(1, 101):
        for direction in (OUTBOUND, INBOUND) * 2:
            assert gateway.handle_packet(direction, way.packet(direction, number=number)).allowed
    follow(gateway, START)
    counters = gateway.counters()
    assert (counters.flows, counters.nat_sessions, counters.cached_flows) == (0, 0, 0)


@pytest.mark.parametrize("flow_records", [False, True])
@both_ways
def test_a_client_that_disconnects_leaves_nothing_to_the_collector(
    way: Way, *, flow_records: bool
) -> None:
    options = GatewayOptions(stateful=True, flow_records=flow_records)
    gateway = solicited(way, options=options)
    directions: list[Direction] = [OUTBOUND, INBOUND] * 2
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            for direction in directions:
                assert gateway.handle_packet(direction, way.packet(direction)).allowed
            gateway.client_disconnected("alice")
            gateway.client_connected("alice", ALICE)
            gateway.authorize("alice", way.resource())
            if way.translated:
                resolve(gateway, way.names)
        assert gc.collect() == 0
    finally:
        gc.enable()
