"""Section 7, time: how long a flow lives, what prolongs it, and what does not."""

from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import Direction, Gateway, Reason, Tcp, Udp
from firezone_filter.testing import ACK, FIN, RST, SYN, fragment, icmp_error
from tests.rules.solicited import (
    STATEFUL,
    UNSOLICITED,
    answered,
    assert_ends,
    beside,
    live_flows,
    solicited,
    talks,
    tell,
)
from tests.rules.stories import IDLE, START
from tests.rules.ways import Way, both_ways, direct_ways
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    opposite,
    reasons,
    refusal,
)
from tests.translations import EXPIRED, TICK, every_kind

LONGEST: Final = 7_440
CLOSED: Final = "0>S 1<SA 2>FA 3<FA"

anything_else = pytest.mark.parametrize(
    ("family", "sent", "came"),
    [
        pytest.param(family, sent, came, id=f"{name}-{family}")
        for family in (V4, V6)
        for name, sent, came in talks(family)
        if name != "tcp"
    ],
)


# --- The table -----------------------------------------------------------------------------


@every_kind
@both_ways
def test_a_flow_lives_60_seconds_after_the_last_packet_out_until_it_is_answered(
    way: Way, kind: str
) -> None:
    assert_ends(way, "0>", 60.0, kind)
    # Of three packets the last two meet a remembered decision.
    assert_ends(way, "0> 1> 30>", 90.0, kind)
    assert_ends(way, "0> 30> 90->", 150.0 - TICK, kind)
    # At its end it is over, and the packet begins another.
    assert_ends(way, "0> 30> 90>", 150.0, kind)


@every_kind
@both_ways
def test_an_answered_flow_lives_on_after_its_last_packet(way: Way, kind: str) -> None:
    idle = IDLE[kind]
    # What comes in does not prolong TCP, whose time is the longest that anything may live
    # without a packet out.
    comes_in = kind != "tcp"
    assert_ends(way, "0> 60-<", idle + comes_in * (60.0 - TICK), kind)
    assert_ends(way, "0> 0> 1< 2< 3<", idle + comes_in * 3.0, kind)
    assert_ends(way, "0> 1< 5> 6<", idle + 5.0 + comes_in, kind)
    assert_ends(way, f"0> 1< {idle}->", 2 * idle - TICK, kind)
    # A packet out after the end begins one that has no answer.
    over = idle + comes_in
    assert_ends(way, f"0> 1< {over}>", over + 60.0, kind)


@every_kind
@both_ways
def test_a_far_end_prolongs_a_flow_to_2_hours_and_4_minutes_after_the_last_packet_out(
    way: Way, kind: str
) -> None:
    prolonging = " ".join(f"{second}<" for second in range(59, LONGEST, 60))
    assert_ends(way, f"0> {prolonging}", LONGEST, kind)
    assert_ends(way, f"0> 1< 50> {prolonging}", LONGEST + 50.0, kind)


@both_families
def test_a_flow_that_only_hears_ends_in_time_whatever_other_flows_do(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL, now=START)
    heard = family.udp(INBOUND)
    gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND), START)
    for second in range(0, LONGEST, 60):
        assert gateway.handle_packet(INBOUND, heard, START + second).allowed
    # All the time the other is the one that ends next, but for what the first has left.
    for second in range(LONGEST - 60, LONGEST):
        for direction in (OUTBOUND, INBOUND):
            other = family.udp(direction, 54)
            assert gateway.handle_packet(direction, other, START + second).allowed
        assert gateway.handle_packet(INBOUND, heard, START + second + 1.0 - TICK).allowed

    assert gateway.handle_packet(INBOUND, heard, START + LONGEST) == UNSOLICITED


@anything_else
def test_anything_but_tcp_lives_120_seconds_after_the_last_packet_once_it_is_answered(
    family: Family, sent: bytes, came: bytes
) -> None:
    stories: list[tuple[list[tuple[float, Direction]], float]] = [
        ([(0, OUTBOUND)], 60),
        ([(0, OUTBOUND), (1, OUTBOUND), (59, OUTBOUND)], 119),
        ([(0, OUTBOUND), (1, INBOUND)], 121),
        ([(0, OUTBOUND), (1, INBOUND), (2, INBOUND), (120, INBOUND)], 240),
        ([(0, OUTBOUND), (1, INBOUND), (2, OUTBOUND), (120, OUTBOUND)], 240),
        ([(0, OUTBOUND), *((second, INBOUND) for second in range(59, LONGEST, 60))], LONGEST),
    ]
    for story, end in stories:
        for now, expected in ((end - TICK, None), (end, Reason.UNSOLICITED)):
            gateway = gateway_for_alice(family.db(), options=STATEFUL)
            for moment, direction in story:
                packet = sent if direction is OUTBOUND else came
                assert gateway.handle_packet(direction, packet, moment).allowed
            assert live_flows(gateway, now) == (expected is None)
            assert refusal(gateway.handle_packet(INBOUND, came)) == expected


@both_families
def test_remembered_decisions_end_with_their_flow_and_a_new_one_begins(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    sent, came = family.udp(OUTBOUND), family.udp(INBOUND)
    rows = [
        (OUTBOUND, sent, 0.0, None),
        (INBOUND, came, 1.0, None),
        (INBOUND, came, 2.0, None),
        (INBOUND, came, 122.0 - TICK, None),
        (INBOUND, came, 242.0 - 2 * TICK, None),
        (INBOUND, came, 362.0 - 2 * TICK, Reason.UNSOLICITED),
        (INBOUND, came, 362.0, Reason.UNSOLICITED),
        (OUTBOUND, sent, 362.0, None),
        (INBOUND, came, 362.0, None),
    ]
    for direction, packet, now, expected in rows:
        decision = gateway.handle_packet(direction, packet, now)
        assert refusal(decision) == expected


# --- What neither begins, confirms, prolongs nor ends --------------------------------------


def error(way: Way, direction: Direction, kind: str = "tcp", flags: int = RST) -> bytes:
    """Report about a packet of the flow to whoever sent it."""
    quote = way.packet(opposite(direction), kind, far=way.arrives(direction), flags=flags)
    flow = way.family.flow(direction, far=way.arrives(direction))
    return icmp_error(flow, way.family.unreachable, quoting=quote)


def piece(way: Way, direction: Direction, *, first: bool, flags: int = ACK) -> bytes:
    whole = way.packet(direction, "tcp", flags=flags, payload=bytes(20))
    return fragment(whole, 0, 24) if first else fragment(whole, 24)


Disturbance = tuple[Direction, Callable[[Way], bytes], Reason | None]
DISTURBANCES: Final[dict[str, Disturbance]] = {
    "error-in": (INBOUND, partial(error, direction=INBOUND), None),
    "error-out": (OUTBOUND, partial(error, direction=OUTBOUND), None),
    "later-in": (INBOUND, partial(piece, direction=INBOUND, first=False), Reason.FRAGMENT),
    "later-out": (OUTBOUND, partial(piece, direction=OUTBOUND, first=False), Reason.FRAGMENT),
    "malformed": (OUTBOUND, lambda way: way.packet(OUTBOUND, "tcp")[:-1], Reason.MALFORMED),
}
for letter, flag in {"A": ACK, "F": FIN, "S": SYN, "R": RST}.items():
    for arrow, direction in {"out": OUTBOUND, "in": INBOUND}.items():
        DISTURBANCES[f"refused-{arrow}-{letter}"] = (
            direction,
            partial(Way.packet, direction=direction, kind="tcp", flags=flag),
            Reason.TCP_PORT,
        )
    # From another port of the same host, nobody asked for it.
    DISTURBANCES[f"unasked-{letter}"] = (
        INBOUND,
        partial(Way.packet, direction=INBOUND, kind="tcp", port=445, flags=flag),
        Reason.UNSOLICITED,
    )


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@both_ways
def test_what_is_refused_and_icmp_errors_neither_confirm_nor_prolong_nor_end(
    way: Way, disturbance: str
) -> None:
    direction, build, reason = DISTURBANCES[disturbance]
    for story, ends in {
        "0>": 60.0,
        "0> 1<": 7_440.0,
        "0> 1< 2>F": 7_442.0,
        "0> 1< 2<F": 7_440.0,
        "0> 1< 2<R": 240.0,
        CLOSED: 242.0,
    }.items():
        for now, expected in ((ends - TICK, answered(way)), (ends, UNSOLICITED)):
            gateway = solicited(way, now=START - 1.0)
            tell(gateway, way, story, until=30.0)
            if reason == Reason.TCP_PORT:
                gateway.update_resource(way.resource(Tcp(445), Udp(443)))
            decision = gateway.handle_packet(direction, build(way), START + 30.0)
            assert refusal(decision) == reason
            gateway.update_resource(way.resource())
            if way.translated:
                tell(gateway, way, "", until=now)
            assert live_flows(gateway, START + now) == (now < ends) + beside(way, "tcp")
            assert gateway.handle_packet(INBOUND, way.packet(INBOUND, "tcp")) == expected


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_directions
@both_ways
def test_errors_about_udp_and_echo_prolong_nothing_either(
    way: Way, direction: Direction, kind: str
) -> None:
    over = EXPIRED if way.translated else UNSOLICITED
    for now, expected in ((60.0 - TICK, answered(way, kind)), (60.0, over)):
        gateway = solicited(way)
        assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, kind)).allowed
        about = error(way, direction, kind)
        assert gateway.handle_packet(direction, about, START + 30.0).allowed
        assert gateway.handle_packet(INBOUND, way.packet(INBOUND, kind), START + now) == expected


@pytest.mark.parametrize(
    ("direction", "story", "flags", "ends"),
    [
        (OUTBOUND, "", ACK, 90.0),
        (OUTBOUND, "0>", ACK, 90.0),
        (INBOUND, "0>", ACK, 7_440.0),
        (OUTBOUND, "0> 1<", ACK, 7_470.0),
        (INBOUND, "0> 1< 2>F", FIN, 242.0),
        (INBOUND, "0> 1<", RST, 240.0),
        (OUTBOUND, "0> 1< 2<R", ACK, 7_470.0),
        (OUTBOUND, "0> 1< 2<F", SYN, 90.0),
    ],
    ids=["first", "out", "in", "out-answered", "in-fin", "in-rst", "out-after-rst", "out-syn"],
)
@direct_ways
def test_first_fragments_count_like_whole_packets_and_later_ones_not_at_all(
    way: Way, direction: Direction, story: str, flags: int, ends: float
) -> None:
    first, later = (piece(way, direction, first=which, flags=flags) for which in (True, False))
    for now, expected in ((ends - TICK, answered(way)), (ends, UNSOLICITED)):
        gateway = solicited(way)
        tell(gateway, way, story)
        assert gateway.handle_packet(direction, first, START + 30.0).allowed
        assert gateway.handle_packet(direction, later, START + 34.0).allowed
        assert gateway.handle_packet(INBOUND, way.packet(INBOUND, "tcp"), START + now) == expected


@direct_ways
def test_later_fragments_confirm_nothing_and_prolong_no_udp(way: Way) -> None:
    whole = way.packet(OUTBOUND, payload=bytes(40))
    back = way.packet(INBOUND, payload=bytes(40))
    for now, ends in ((60.0 - TICK, False), (60.0, True)):
        gateway = solicited(way)
        for part, at in ((fragment(whole, 0, 24), 0.0), (fragment(whole, 24), 29.0)):
            assert gateway.handle_packet(OUTBOUND, part, START + at).allowed
        assert (live_flows(gateway, START + now) == 0) is ends
    for now, ends in ((121.0 - TICK, False), (121.0, True)):
        gateway = solicited(way)
        assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND), START).allowed
        for part, at in ((fragment(back, 0, 24), 1.0), (fragment(back, 24), 30.0)):
            assert gateway.handle_packet(INBOUND, part, START + at).allowed
        assert (live_flows(gateway, START + now) == 0) is ends


@both_families
def test_icmp_that_is_no_request_prolongs_nothing(family: Family) -> None:
    # The host asks what the client has asked: the same addresses and ids the other way round.
    asks = evolve(family, client=family.host, host=family.client)
    icmp = [talk for talk in talks(family) if talk[0].startswith(("echo", "icmp"))]
    turned = [talk for talk in talks(asks) if talk[0].startswith(("echo", "icmp"))]
    for now, expected in ((60.0 - TICK, None), (60.0, Reason.UNSOLICITED)):
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        for _, sent, _ in icmp:
            assert gateway.handle_packet(OUTBOUND, sent, 0.0).allowed
        for _, request, answer in turned:
            unasked = gateway.handle_packet(INBOUND, request, 30.0)
            assert refusal(unasked) == Reason.UNSOLICITED
            assert gateway.handle_packet(OUTBOUND, answer, 30.0).allowed
        assert live_flows(gateway, now) == (0 if expected else len(icmp))
        assert reasons(gateway, INBOUND, [came for _, _, came in icmp]) == [expected] * len(icmp)


# --- The clock ------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [-1_000.0, 0.0, 1_790_000_000.0])
@both_families
def test_what_began_before_the_first_now_counts_from_there(family: Family, first: float) -> None:
    for later, expected in ((60.0 - TICK, None), (60.0, Reason.UNSOLICITED)):
        gateway = gateway_for_alice(family.db(), options=STATEFUL, now=None)
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND)).allowed
        gateway.handle_timeout(first)
        late = gateway.handle_packet(INBOUND, family.udp(INBOUND), first + later)
        assert refusal(late) == expected


@both_families
def test_an_earlier_now_counts_as_the_latest(family: Family) -> None:
    for now, expected in ((110.0 - TICK, None), (110, Reason.UNSOLICITED)):
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        gateway.handle_timeout(50)
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND), 10).allowed
        assert refusal(gateway.handle_packet(INBOUND, family.udp(INBOUND), now)) == expected


@pytest.mark.parametrize("clock", [-10_000.0, 20.0, 25.0, 1_790_000_000.0])
@both_families
def test_when_the_clock_is_set_a_flow_keeps_what_it_had_left(family: Family, clock: float) -> None:
    sent, came = family.udp(OUTBOUND), family.udp(INBOUND)
    tcp_sent, tcp_came = family.tcp(OUTBOUND), family.tcp(INBOUND)
    for left, expected in ((40.0 - TICK, None), (40.0, Reason.UNSOLICITED)):
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        assert gateway.handle_packet(OUTBOUND, sent, 0.0).allowed
        gateway.handle_timeout(20.0)
        gateway.clock_set(clock)
        assert refusal(gateway.handle_packet(INBOUND, came, clock + left)) == expected
    # And what a far end may prolong it to.
    for left, expected in ((7_420.0 - TICK, None), (7_420.0, Reason.UNSOLICITED)):
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        assert gateway.handle_packet(OUTBOUND, tcp_sent, 0.0).allowed
        assert gateway.handle_packet(INBOUND, tcp_came, 20.0).allowed
        gateway.clock_set(clock)
        assert gateway.handle_packet(INBOUND, tcp_came, clock + 100.0).allowed
        assert refusal(gateway.handle_packet(INBOUND, tcp_came, clock + left)) == expected


# --- Forgetting ------------------------------------------------------------------------------


@both_families
def test_flows_end_each_at_its_own_moment_and_are_counted_while_they_live(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    for port in range(1, 6):
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, port), float(port)).allowed
        assert live_flows(gateway) == port
    assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, 2), 10.0).allowed
    for now, count in (
        (61 - TICK, 5),
        (61, 4),
        (63, 3),
        (64, 2),
        (65, 1),
        (70 - TICK, 1),
        (70, 0),
    ):
        assert live_flows(gateway, now) == count


def forget_by_announcement(gateway: Gateway, *ends: float) -> None:
    """Call `handle_timeout` whenever `poll_timeout` says so: flows are forgotten in time."""
    count = len(ends)
    for end in ends:
        assert gateway.counters().flows == count
        # As with sessions, the moment may be one at which a flow would have ended before it was
        # prolonged; but it is never late, and it always moves on.
        while gateway.counters().flows == count:
            due = gateway.poll_timeout()
            assert due is not None
            assert due <= end + 1.0
            gateway.handle_timeout(due)
            after = gateway.poll_timeout()
            assert after is None or after > due
        count -= 1
        assert gateway.counters().flows == count
    assert gateway.poll_timeout() is None
    assert gateway.poll_event() is None


@both_families
def test_forgetting_is_announced_and_makes_no_events(family: Family) -> None:
    sent, came = family.udp(OUTBOUND), family.udp(INBOUND)
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.poll_timeout() is None
    assert gateway.handle_packet(OUTBOUND, sent, 0.0).allowed
    forget_by_announcement(gateway, 60.0)
    # What is prolonged is announced for when it is over.
    assert gateway.handle_packet(OUTBOUND, sent, 100.0).allowed
    assert gateway.handle_packet(INBOUND, came, 110.0).allowed
    assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, 54), 150.0).allowed
    forget_by_announcement(gateway, 210.0, 230.0)
    # An end at once leaves nothing to do.
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND), 1_000.0).allowed
    gateway.revoke("alice", "db")
    gateway.poll_event()
    assert gateway.counters().flows == 0
