"""Section 7, limits: which flow gives way to a new one, and when there is no room."""

from functools import partial
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import Direction, Drop, Forward, Gateway, GatewayOptions, Icmp, Reason, Tcp
from firezone_filter.testing import ACK, FIN, RST, SYN, icmp, ip, tcp, udp
from tests.numbers import GRE
from tests.rules.solicited import (
    NO_ROOM,
    QUERIES,
    UNSOLICITED,
    by_either_limit,
    limited,
    live_flows,
    solicited,
    talks,
)
from tests.rules.stories import START
from tests.rules.ways import Way, both_ways, nat_ways
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    Family,
    at,
    both_families,
    gateway_for_alice,
    reasons,
)
from tests.translations import TICK, resolve

PASSES: Final = Forward("alice", "db")

FLOWS: Final = {
    "reset": [("out", SYN), ("in", SYN | ACK), ("in", RST)],
    "closing": [("out", SYN), ("in", SYN | ACK), ("out", FIN), ("in", FIN)],
    "said-fin": [("out", SYN), ("in", SYN | ACK), ("out", FIN | ACK)],
    "said-fin-unanswered": [("out", SYN), ("out", FIN | ACK)],
    "unanswered": [("out", SYN)],
    "half-closed": [("out", SYN), ("in", SYN | ACK), ("in", FIN | ACK)],
    "established": [("out", SYN), ("in", SYN | ACK), ("out", ACK)],
}
"""Packets that make a flow of a kind. The last two give way to none."""


def for_two(family: Family, options: GatewayOptions) -> tuple[Gateway, Family]:
    """Let Bob reach the same network; return the cast with him in Alice's place, too."""
    gateway = gateway_for_alice(family.db(), options=options)
    gateway.authorize("bob", family.db())
    return gateway, evolve(family, client=family.neighbour)


def segment(family: Family, direction: Direction, number: int, flags: int = ACK) -> bytes:
    """Build a TCP segment of the flow from a port of the client."""
    ends = at(family.client, number), at(family.host, 443)
    return tcp(" > ".join(ends if direction is OUTBOUND else ends[::-1]), flags=flags)


def opened(
    gateway: Gateway, family: Family, number: int, kind: str = "unanswered", now: float = 0.0
) -> bool:
    """Open a flow from a port of the client; tell whether there was room."""
    (_, first), *others = FLOWS[kind]
    if not gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, number, first), now).allowed:
        return False
    for way, flags in others:
        direction = OUTBOUND if way == "out" else INBOUND
        packet = segment(family, direction, number, flags)
        assert gateway.handle_packet(direction, packet, now).allowed
    return True


def left(gateway: Gateway, family: Family, numbers: range | list[int]) -> list[int]:
    """Return the ports whose flow lives. The question confirms each."""
    asking = [segment(family, INBOUND, number) for number in numbers]
    found = zip(numbers, reasons(gateway, INBOUND, asking), strict=True)
    return [number for number, reason in found if reason is None]


# --- Which one -------------------------------------------------------------------------------

# In the order in which they give way; opened in another, so that the order is none of time.
GIVING_WAY: Final = {
    "reset": (1, 3.0),
    "closing": (2, 4.0),
    "said-fin": (3, 2.0),
    "said-fin-unanswered": (4, 5.0),
    "unanswered": (5, 1.0),
    "half-closed": (6, 0.0),
    "established": (7, 0.0),
}


@by_either_limit
@both_families
def test_what_is_over_gives_way_first_then_what_the_client_closed_then_what_had_no_answer(
    family: Family, limit: str
) -> None:
    for count in range(7):
        gateway, _ = for_two(family, limited(limit, 7))
        for kind, (number, now) in sorted(GIVING_WAY.items(), key=lambda one: one[1][1]):
            assert opened(gateway, family, number, kind, now)
        # Answered, they do not give way to each other.
        new = list(range(11, 11 + count))
        found = [opened(gateway, family, number, "established", 10.0) for number in new]
        fit = min(count, 5)
        assert found == [True] * fit + [False] * (count - fit)
        assert live_flows(gateway) == 7
        gone, stay = list(range(1, 1 + fit)), list(range(1 + fit, 8))
        assert left(gateway, family, [*gone, *stay, *new[:fit]]) == [*stay, *new[:fit]]


@pytest.mark.parametrize("kind", ["reset", "closing", "said-fin", "unanswered"])
@by_either_limit
@both_families
def test_of_one_kind_the_one_that_was_without_a_packet_for_longest_gives_way(
    family: Family, limit: str, kind: str
) -> None:
    # The last packet of the first may be one of either side that leaves its kind as it is.
    again: dict[str, list[tuple[Direction, int]]] = {
        "reset": [(INBOUND, ACK)],
        "closing": [(OUTBOUND, ACK), (INBOUND, FIN)],
        "said-fin": [(OUTBOUND, FIN), (INBOUND, ACK)],
        "unanswered": [(OUTBOUND, SYN)],
    }
    for last in (None, *again[kind]):
        gateway = gateway_for_alice(family.db(), options=limited(limit, 3))
        for number in (1, 2, 3):
            assert opened(gateway, family, number, kind, float(number))
        if last is not None:
            direction, flags = last
            packet = segment(family, direction, 1, flags)
            assert gateway.handle_packet(direction, packet, 4.0).allowed
        for number in (11, 12):
            assert opened(gateway, family, number, "established", 5.0)
        assert left(gateway, family, [1, 2, 3]) == ([3] if last is None else [1])


@pytest.mark.parametrize(
    "kinds",
    [
        ("closing", "reset", "closing"),
        ("said-fin-unanswered", "said-fin", "said-fin-unanswered"),
        ("reset", "closing", "reset"),
    ],
    ids="-".join,
)
@by_either_limit
@both_families
def test_what_is_over_by_fins_or_by_a_reset_and_what_the_client_closed_are_of_one_kind_each(
    family: Family, limit: str, kinds: tuple[str, ...]
) -> None:
    gateway = gateway_for_alice(family.db(), options=limited(limit, 3))
    for number, kind in enumerate(kinds, 1):
        assert opened(gateway, family, number, kind, float(number))
    for number in (1, 2, 3):
        assert opened(gateway, family, 10 + number, "established", 5.0)
        gone = list(range(1, number + 1))
        assert left(gateway, family, gone) == []
        assert live_flows(gateway) == 3
    assert left(gateway, family, [11, 12, 13]) == [11, 12, 13]


@by_either_limit
@both_families
def test_of_unanswered_flows_of_several_protocols_the_longest_without_a_packet_gives_way(
    family: Family, limit: str
) -> None:
    kinds = list(talks(family))
    for again in range(len(kinds)):
        gateway = gateway_for_alice(family.db(), options=limited(limit, len(kinds)))
        for now, (_, sent, _) in enumerate(kinds):
            assert gateway.handle_packet(OUTBOUND, sent, float(now)) == PASSES
        _, sent, came = kinds[again]
        assert gateway.handle_packet(OUTBOUND, sent, 20.0) == PASSES
        for number in range(1, len(kinds)):
            assert opened(gateway, family, number, "established", 21.0)
        assert live_flows(gateway) == len(kinds)
        assert gateway.handle_packet(INBOUND, came) == PASSES


@by_either_limit
@both_families
def test_of_those_with_a_packet_at_one_moment_the_one_whose_packet_came_first_gives_way(
    family: Family, limit: str
) -> None:
    gateway = gateway_for_alice(family.db(), options=limited(limit, 3))
    for number in (2, 1, 3):
        assert opened(gateway, family, number)
    assert opened(gateway, family, 11, "established")
    assert left(gateway, family, [1, 2, 3]) == [1, 3]


@by_either_limit
@both_families
@pytest.mark.parametrize("latest", [1, 2])
def test_what_sends_one_way_only_gives_way_by_its_latest_packet_also_at_one_moment(
    family: Family, limit: str, latest: int
) -> None:
    gateway = gateway_for_alice(family.db(), options=limited(limit, 2))
    for number in (1, 2, 3 - latest, latest, 3 - latest, latest):
        ends = f"{at(family.client, number)} > {at(family.host, 514)}"
        assert gateway.handle_packet(OUTBOUND, udp(ends), 1.0) == PASSES
    assert opened(gateway, family, 3, now=1.0)
    for number in (1, 2):
        back = udp(f"{at(family.host, 514)} > {at(family.client, number)}")
        assert gateway.handle_packet(INBOUND, back).allowed == (number == latest)


@by_either_limit
@both_families
def test_flows_of_any_protocol_give_way_while_nothing_has_come_back_and_no_longer(
    family: Family, limit: str
) -> None:
    gateway = gateway_for_alice(family.db(), options=limited(limit, 1))
    *earlier, (_, sent, came) = talks(family)
    for _, packet, _ in earlier:
        assert gateway.handle_packet(OUTBOUND, packet) == PASSES
    assert gateway.handle_packet(OUTBOUND, sent) == PASSES
    unasked = [packet for _, _, packet in earlier]
    assert gateway.handle_packets(INBOUND, unasked) == [UNSOLICITED] * len(unasked)
    for _, packet, answer in (*earlier, ("last", sent, came)):
        gateway = gateway_for_alice(family.db(), options=limited(limit, 1))
        assert gateway.handle_packet(OUTBOUND, packet) == PASSES
        assert gateway.handle_packet(INBOUND, answer) == PASSES
        assert gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, 9)) == NO_ROOM
        # Its own packets need no room.
        assert gateway.handle_packet(OUTBOUND, packet) == PASSES
        assert gateway.handle_packet(INBOUND, answer) == PASSES


@both_families
def test_a_flow_that_a_packet_out_has_saved_from_a_reset_gives_way_no_more(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db(), options=limited("max_flows_per_client", 1))
    assert opened(gateway, family, 1, "reset")
    assert gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, 1)) == PASSES
    assert not opened(gateway, family, 2)
    # A SYN makes it one that was never answered, and needs no room for that.
    for flags in (FIN, SYN):
        assert gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, 1, flags)) == PASSES
    assert opened(gateway, family, 2)
    assert left(gateway, family, [1, 2]) == [2]


# --- Whose -----------------------------------------------------------------------------------


@both_families
def test_at_its_own_limit_a_client_loses_its_own_flows_and_no_others(family: Family) -> None:
    gateway, bob = for_two(family, limited("max_flows_per_client", 2))
    for number in (1, 2):
        assert opened(gateway, bob, number, "closing", 0.0)
    for number in range(1, 10):
        assert opened(gateway, family, number, "unanswered", 1.0)
    assert left(gateway, family, range(1, 10)) == [8, 9]
    assert left(gateway, bob, [1, 2]) == [1, 2]


@both_families
def test_its_own_limit_comes_first_where_both_are_reached(family: Family) -> None:
    options = GatewayOptions(stateful=True, max_flows_per_client=2, max_flows=4)
    gateway, bob = for_two(family, options)
    for number in (1, 2):
        assert opened(gateway, family, number, "closing", 0.0)
        assert opened(gateway, bob, number, "unanswered", 1.0)
    assert opened(gateway, bob, 3, "established", 2.0)
    assert left(gateway, bob, [1, 2, 3]) == [2, 3]
    assert left(gateway, family, [1, 2]) == [1, 2]


@both_families
def test_at_the_limit_of_all_one_of_the_client_that_has_most_gives_way(family: Family) -> None:
    gateway, bob = for_two(family, limited("max_flows", 5))
    for number in (1, 2):
        assert opened(gateway, bob, number, "closing", 0.0)
    for number in (1, 2, 3):
        assert opened(gateway, family, number, "unanswered", 1.0)
    # Alice has most; then Bob has.
    assert opened(gateway, bob, 3, "unanswered", 2.0)
    assert opened(gateway, family, 4, "unanswered", 2.0)
    assert opened(gateway, family, 5, "unanswered", 3.0)
    assert live_flows(gateway) == 5
    assert left(gateway, family, range(1, 6)) == [3, 4, 5]
    assert left(gateway, bob, [1, 2, 3]) == [2, 3]


@pytest.mark.parametrize("asks", ["alice", "bob"])
@pytest.mark.parametrize("again", [False, True], ids=["first", "reconnected"])
@both_families
def test_of_equals_the_client_that_connected_first_gives_way(
    family: Family, asks: str, *, again: bool
) -> None:
    gateway, bob = for_two(family, limited("max_flows", 2))
    if again:
        # A client that connects again counts as connected last.
        gateway.client_connected("alice", ALICE)
        gateway.authorize("alice", family.db())
    # That of the other is over, and that makes no difference.
    assert opened(gateway, family, 1, "closing" if again else "unanswered", 1.0)
    assert opened(gateway, bob, 1, "unanswered" if again else "closing", 0.0)
    assert opened(gateway, family if asks == "alice" else bob, 2, "established", 2.0)
    assert left(gateway, family, [1]) == ([1] if again else [])
    assert left(gateway, bob, [1]) == ([] if again else [1])


@both_families
def test_where_none_of_the_client_that_has_most_can_there_is_no_room(family: Family) -> None:
    gateway, bob = for_two(family, limited("max_flows", 3))
    for number in (1, 2):
        assert opened(gateway, family, number, "established")
    assert opened(gateway, bob, 1)
    exhausted = Drop(Reason.FLOWS_EXHAUSTED, "bob")
    assert gateway.handle_packet(OUTBOUND, segment(bob, OUTBOUND, 2)) == exhausted
    assert gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, 3)) == NO_ROOM
    assert left(gateway, bob, [1]) == [1]


@both_families
def test_unanswered_flows_of_some_clients_leave_room_for_the_others(family: Family) -> None:
    # A million of them, scaled down.
    gateway, bob = for_two(family, limited("max_flows", 100))
    for number in range(1, 301):
        assert opened(gateway, family, number, "unanswered", 1.0)
    for number in range(1, 51):
        assert opened(gateway, bob, number, "established", 2.0)
    # She goes on, and takes none of his.
    for number in range(301, 601):
        assert opened(gateway, family, number, "unanswered", 3.0)
    assert live_flows(gateway) == 100
    assert left(gateway, bob, range(1, 51)) == list(range(1, 51))
    assert left(gateway, family, range(1, 601)) == list(range(551, 601))


# --- When ------------------------------------------------------------------------------------


@by_either_limit
@both_families
def test_only_a_packet_that_passes_every_row_and_begins_a_flow_displaces_one(
    family: Family, limit: str
) -> None:
    _, answer = QUERIES[family.version][0]
    rows = [
        (OUTBOUND, tcp(family.flow(OUTBOUND, 444)), Reason.TCP_PORT),
        (OUTBOUND, tcp(family.flow(OUTBOUND, 443, far=family.stranger)), Reason.NO_RESOURCE),
        (OUTBOUND, segment(family, OUTBOUND, 2)[:-1], Reason.MALFORMED),
        (OUTBOUND, ip(family.flow(OUTBOUND), GRE), Reason.PROTOCOL),
        (OUTBOUND, segment(family, OUTBOUND, 2, RST), None),
        (OUTBOUND, icmp(family.flow(OUTBOUND), answer), None),
        (OUTBOUND, family.udp(OUTBOUND, 53535, far=family.gateway), None),
        (INBOUND, segment(family, INBOUND, 2), Reason.UNSOLICITED),
        (INBOUND, family.udp(INBOUND, 53535, far=family.gateway), None),
    ]
    for direction, packet, reason in rows:
        gateway = gateway_for_alice(family.db(Tcp(443), Icmp()), options=limited(limit, 1))
        assert opened(gateway, family, 1)
        assert reasons(gateway, direction, [packet]) == [reason]
        assert left(gateway, family, [1]) == [1]
    # One that is a SYN and a reset begins a flow, and takes the room for a moment.
    gateway = gateway_for_alice(family.db(), options=limited(limit, 1))
    assert opened(gateway, family, 1)
    assert gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, 2, SYN | RST)) == PASSES
    assert live_flows(gateway) == 0
    # Of an established one it takes none.
    assert opened(gateway, family, 1, "established")
    assert gateway.handle_packet(OUTBOUND, segment(family, OUTBOUND, 2, SYN | RST)) == NO_ROOM


@by_either_limit
@both_families
def test_what_is_over_by_its_time_fills_no_room(family: Family, limit: str) -> None:
    for now, expected in ((60.0 - TICK, [2, 3]), (60.0, [2, 3])):
        gateway = gateway_for_alice(family.db(), options=limited(limit, 2))
        assert opened(gateway, family, 1, "unanswered", 0.0)
        assert opened(gateway, family, 2, "unanswered", 30.0)
        assert opened(gateway, family, 3, "unanswered", now)
        assert left(gateway, family, [1, 2, 3]) == expected
    # One that is established is over, too.
    for now, fits in ((7_440.0 - TICK, False), (7_440.0, True)):
        gateway = gateway_for_alice(family.db(), options=limited(limit, 1))
        assert opened(gateway, family, 1, "established", 0.0)
        assert opened(gateway, family, 2, "unanswered", now) is fits


@by_either_limit
@both_families
def test_what_is_over_by_its_time_spares_what_would_give_way(family: Family, limit: str) -> None:
    for now, expected in ((121.0 - TICK, []), (121.0, [1])):
        gateway = gateway_for_alice(family.db(), options=limited(limit, 2))
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND), 0.0) == PASSES
        assert gateway.handle_packet(INBOUND, family.udp(INBOUND), 1.0) == PASSES
        assert opened(gateway, family, 1, "unanswered", 100.0)
        assert opened(gateway, family, 2, "established", now)
        assert left(gateway, family, [1]) == expected


@both_families
def test_a_client_with_more_flows_that_are_over_has_not_the_most(family: Family) -> None:
    gateway, bob = for_two(family, limited("max_flows", 4))
    for number in (1, 2):
        assert opened(gateway, family, number, "unanswered", 0.0)
    assert opened(gateway, family, 3, "unanswered", 50.0)
    assert opened(gateway, bob, 1, "unanswered", 50.0)
    for number in (2, 3):
        assert opened(gateway, bob, number, "unanswered", 60.0)
    assert live_flows(gateway) == 4
    assert opened(gateway, family, 4, "unanswered", 61.0)
    assert left(gateway, family, [3, 4]) == [3, 4]
    assert left(gateway, bob, [1, 2, 3]) == [2, 3]


@both_families
def test_ends_by_hooks_and_resets_make_room(family: Family) -> None:
    gateway, bob = for_two(family, limited("max_flows", 1))
    assert opened(gateway, family, 1, "established")
    assert not opened(gateway, bob, 1)
    gateway.revoke("alice", "db")
    assert opened(gateway, bob, 1, "established")
    gateway.authorize("alice", family.db())
    assert not opened(gateway, family, 1)
    assert gateway.handle_packet(OUTBOUND, segment(bob, OUTBOUND, 1, RST)).allowed
    assert opened(gateway, family, 1, "established")
    gateway.client_disconnected("alice")
    assert opened(gateway, bob, 2, "established")


@pytest.mark.parametrize("story", ["out", "answered"])
@pytest.mark.parametrize("who", ["alice", "bob"])
@both_ways
def test_what_is_remembered_of_a_flow_goes_with_it_when_it_gives_way(
    way: Way, story: str, who: str
) -> None:
    options = GatewayOptions(stateful=True, max_flows=1)
    gateway = solicited(way, options=options)
    first = [partial(way.packet, direction, "tcp") for direction in (OUTBOUND, INBOUND)]
    for _ in range(3):
        assert gateway.handle_packet(OUTBOUND, first[0]()).allowed
        if story == "answered":
            assert gateway.handle_packet(INBOUND, first[1]()).allowed
    if story == "answered":
        assert gateway.handle_packet(OUTBOUND, first[0](flags=FIN | ACK)).allowed
        assert gateway.handle_packet(INBOUND, first[1]()).allowed
    # Somebody's flow takes the room, and is there to stay.
    family = way.family if who == "alice" else evolve(way.family, client=way.family.neighbour)
    gateway.authorize(who, family.db())
    assert opened(gateway, family, 9, "established", START)
    assert gateway.handle_packet(INBOUND, first[1]()) == UNSOLICITED
    assert gateway.handle_packets(OUTBOUND, [first[0]()] * 2) == [NO_ROOM] * 2
    assert left(gateway, family, [9]) == [9]


# --- With the NAT ------------------------------------------------------------------------------


@nat_ways
def test_direct_flows_and_those_of_names_share_the_room(way: Way) -> None:
    gateway = solicited(way, options=limited("max_flows_per_client", 1))
    gateway.authorize("alice", way.family.db())
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)).allowed
    assert gateway.handle_packet(OUTBOUND, way.family.udp(OUTBOUND)) == PASSES
    assert live_flows(gateway) == 1
    # The flow gave way, and its session did not.
    assert gateway.counters().nat_sessions == 1
    assert gateway.handle_packet(INBOUND, way.packet(INBOUND)) == UNSOLICITED
    assert gateway.handle_packet(INBOUND, way.family.udp(INBOUND)) == PASSES
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)) == NO_ROOM


@nat_ways
def test_what_gets_no_session_displaces_no_flow_and_begins_none(way: Way) -> None:
    family, names = way.family, way.names
    options = GatewayOptions(stateful=True, max_flows=1, max_sessions=0)
    for packet, reason in {
        names.sent(): Reason.NAT_EXHAUSTED,
        names.sent(far=names.proxies[1]): Reason.NO_TRANSLATION,
        ip(f"{family.client} > {names.proxies[0]}", GRE): Reason.PROTOCOL,
    }.items():
        gateway = solicited(way, options=options)
        gateway.authorize("alice", family.db())
        # Proxy addresses that the name has been given, but no real ones.
        resolve(gateway, names, proxies=names.proxies[1:2], real=[])
        assert reasons(gateway, OUTBOUND, [packet]) == [reason]
        assert live_flows(gateway) == 0
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND)) == PASSES
        assert reasons(gateway, OUTBOUND, [packet]) == [reason]
        assert gateway.handle_packet(INBOUND, family.udp(INBOUND)) == PASSES
        # Now that it is answered there is no room, and that row comes first.
        assert reasons(gateway, OUTBOUND, [packet]) == [Reason.FLOWS_EXHAUSTED]


@nat_ways
def test_what_gets_no_flow_displaces_no_session_and_opens_none(way: Way) -> None:
    family, names = way.family, way.names
    gateway = solicited(way, options=GatewayOptions(stateful=True, max_flows=1, max_sessions=1))
    gateway.authorize("alice", family.db())
    # The first flow gives way to a direct one; its session could give way as well.
    assert gateway.handle_packet(OUTBOUND, names.sent(number=1)).allowed
    assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND)) == PASSES
    assert gateway.handle_packet(INBOUND, family.udp(INBOUND)) == PASSES
    assert gateway.handle_packet(OUTBOUND, names.sent(number=2)) == NO_ROOM
    assert gateway.counters().nat_sessions == 1
    gateway = solicited(way, options=GatewayOptions(stateful=True, max_flows=0))
    assert gateway.handle_packet(OUTBOUND, names.sent()) == NO_ROOM
    assert gateway.counters().nat_sessions == 0


@nat_ways
def test_a_session_that_gives_way_takes_no_flow_along(way: Way) -> None:
    names = way.names
    options = GatewayOptions(stateful=True, max_sessions=1, max_flows=2)
    gateway = solicited(way, options=options)
    # Each takes the session of the other, which its flow outlives.
    for number in (1, 2, 1, 2):
        assert gateway.handle_packets(OUTBOUND, [names.sent(number=number)] * 2)[1].allowed
        assert gateway.counters().nat_sessions == 1
        assert not gateway.handle_packet(INBOUND, names.came(number=3 - number)).allowed
    assert gateway.counters().flows == 2
    assert gateway.handle_packet(INBOUND, names.came(number=2)).allowed
    # The session that has an answer gives way no more, and so the first flow need not.
    assert gateway.handle_packet(OUTBOUND, names.sent(number=3)) == Drop(
        Reason.NAT_EXHAUSTED, "alice"
    )
    assert gateway.counters().flows == 2


@both_ways
def test_a_flow_needs_room_for_each_port_of_the_resource(way: Way) -> None:
    gateway = solicited(way, options=limited("max_flows_per_client", 2))
    for port, expected in ((443, None), (444, None), (445, Reason.FLOWS_EXHAUSTED)):
        sent = way.packet(OUTBOUND, port=port)
        assert reasons(gateway, OUTBOUND, [sent]) == [expected]
        if expected is None:
            assert reasons(gateway, INBOUND, [way.packet(INBOUND, port=port)]) == [None]
    assert gateway.counters().flows == 2
    assert gateway.counters().nat_sessions == way.translated
