"""Section 6, sessions: which of them gives way to a new one where the limits are reached."""

from typing import Final

import pytest
from attrs import evolve

from firezone_filter import Direction, Drop, Gateway, GatewayOptions, Reason, Tcp, Translate
from firezone_filter.testing import ACK, FIN, RST, SYN
from tests.scenes import ALICE, INBOUND, OUTBOUND, reasons
from tests.translations import (
    EXHAUSTED,
    EXPIRED,
    GONE,
    NAME,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_with,
    resolve,
    through,
)

SESSIONS: Final = {
    "reset": [("out", SYN), ("in", SYN | ACK), ("in", RST)],
    "closing": [("out", SYN), ("in", SYN | ACK), ("out", FIN), ("in", FIN)],
    "said-fin": [("out", SYN), ("in", SYN | ACK), ("out", FIN | ACK)],
    "said-fin-unanswered": [("out", SYN), ("out", FIN | ACK)],
    "unanswered": [("out", SYN)],
    "half-closed": [("out", SYN), ("in", SYN | ACK), ("in", FIN | ACK)],
    "established": [("out", SYN), ("in", SYN | ACK), ("out", ACK)],
}
"""Packets that make a session of a kind. The last two give way to none."""

ONE_OF_ALICE: Final = GatewayOptions(max_sessions_per_client=1)

by_either_limit = pytest.mark.parametrize("limit", ["max_sessions_per_client", "max_sessions"])


def limited(limit: str, sessions: int) -> GatewayOptions:
    if limit == "max_sessions":
        return GatewayOptions(max_sessions=sessions)
    return GatewayOptions(max_sessions_per_client=sessions)


def bobs(names: Names) -> Names:
    """Return the cast with Bob in Alice's place."""
    return evolve(names, family=evolve(names.family, client=names.family.neighbour))


def gateway_for_two(names: Names, options: GatewayOptions) -> Gateway:
    """Let Bob reach the same name, too."""
    gateway = gateway_with(names, options=options)
    let_bob(gateway, names)
    return gateway


def let_bob(gateway: Gateway, names: Names) -> None:
    gateway.authorize("bob", app())
    gateway.domain_resolved(
        "bob",
        "app",
        NAME,
        proxy_addresses=names.proxies[:1],
        resolved_addresses=names.real[:1],
    )


def opened(  # noqa: PLR0913 - as many as make a session
    gateway: Gateway,
    names: Names,
    number: int,
    kind: str = "unanswered",
    now: float = 0.0,
    *,
    packets: str = "tcp",
) -> bool:
    """Open a session under a port of the client; tell whether there was room."""
    (_, first), *others = SESSIONS[kind]
    sent = names.sent(packets, number, flags=first)
    if not gateway.handle_packet(OUTBOUND, sent, now).allowed:
        return False
    for way, flags in others:
        build, direction = (names.sent, OUTBOUND) if way == "out" else (names.came, INBOUND)
        packet = build(packets, number, flags=flags)
        assert gateway.handle_packet(direction, packet, now).allowed
    return True


def left(gateway: Gateway, names: Names, numbers: range | list[int]) -> list[int]:
    """Return the ports under which a session lives. The question confirms each."""
    answers = [gateway.handle_packet(INBOUND, names.came("tcp", number)) for number in numbers]
    return [n for n, one in zip(numbers, answers, strict=True) if isinstance(one, Translate)]


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
@both_names
def test_what_is_over_gives_way_first_then_what_the_client_closed_then_what_had_no_answer(
    names: Names, limit: str
) -> None:
    for count in range(7):
        gateway = gateway_for_two(names, limited(limit, 7))
        for kind, (number, now) in sorted(GIVING_WAY.items(), key=lambda one: one[1][1]):
            assert opened(gateway, names, number, kind, now)
        # Answered, they do not give way to each other.
        new = list(range(11, 11 + count))
        found = [opened(gateway, names, number, "established", 10.0) for number in new]
        fit = min(count, 5)
        assert found == [True] * fit + [False] * (count - fit)
        assert gateway.counters().nat_sessions == 7
        gone, stay = list(range(1, 1 + fit)), list(range(1 + fit, 8))
        assert left(gateway, names, [*gone, *stay, *new[:fit]]) == [*stay, *new[:fit]]


@pytest.mark.parametrize("kind", ["reset", "closing", "said-fin", "unanswered"])
@by_either_limit
@both_names
def test_of_one_kind_the_one_that_was_without_a_packet_for_longest_gives_way(
    names: Names, limit: str, kind: str
) -> None:
    # The last packet of the first may be one of either side that leaves its kind as it is.
    again: dict[str, list[tuple[Direction, int]]] = {
        "reset": [(INBOUND, ACK)],
        "closing": [(OUTBOUND, ACK), (INBOUND, FIN)],
        "said-fin": [(OUTBOUND, FIN), (INBOUND, ACK)],
        "unanswered": [(OUTBOUND, SYN)],
    }
    for last in (None, *again[kind]):
        gateway = gateway_with(names, options=limited(limit, 3))
        for number in (1, 2, 3):
            assert opened(gateway, names, number, kind, float(number))
        if last is not None:
            direction, flags = last
            build = names.sent if direction is OUTBOUND else names.came
            packet = build("tcp", 1, flags=flags)
            assert gateway.handle_packet(direction, packet, 4.0).allowed
        for number in (11, 12):
            assert opened(gateway, names, number, "established", 5.0)
        assert left(gateway, names, [1, 2, 3]) == ([3] if last is None else [1])


@by_either_limit
@both_names
def test_of_those_with_a_packet_at_one_moment_the_one_whose_packet_came_first_gives_way(
    names: Names, limit: str
) -> None:
    gateway = gateway_with(names, options=limited(limit, 3))
    for number in (2, 1, 3):
        assert opened(gateway, names, number)
    assert opened(gateway, names, 11, "established")
    assert left(gateway, names, [1, 2, 3]) == [1, 3]


@every_kind
@both_names
def test_sessions_of_any_protocol_give_way_while_nothing_has_come_back(
    names: Names, kind: str
) -> None:
    gateway = gateway_with(names, options=ONE_OF_ALICE)
    for number in (1, 2):
        sent = names.sent(kind, number, far=names.real[0])
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, number)) == through(sent)
    assert gateway.handle_packet(INBOUND, names.came(kind, 1)) == EXPIRED
    assert gateway.handle_packet(INBOUND, names.came(kind, 2)).allowed
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, 3)) == EXHAUSTED


@both_names
def test_a_session_that_a_packet_out_has_saved_from_a_reset_gives_way_no_more(
    names: Names,
) -> None:
    gateway = gateway_with(names, options=ONE_OF_ALICE)
    assert opened(gateway, names, 1, "reset")
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", 1)).allowed
    assert not opened(gateway, names, 2)
    # A SYN makes it one that was never answered.
    for flags in (FIN, SYN):
        assert gateway.handle_packet(OUTBOUND, names.sent("tcp", 1, flags=flags)).allowed
    assert opened(gateway, names, 2)


# --- Whose -----------------------------------------------------------------------------------


@both_names
def test_at_its_own_limit_a_client_loses_its_own_sessions_and_no_others(names: Names) -> None:
    gateway = gateway_for_two(names, GatewayOptions(max_sessions_per_client=2))
    bob = bobs(names)
    for number in (1, 2):
        assert opened(gateway, bob, number, "closing", 0.0)
    for number in range(1, 10):
        assert opened(gateway, names, number, "unanswered", 1.0)
    assert left(gateway, names, range(1, 10)) == [8, 9]
    assert left(gateway, bob, [1, 2]) == [1, 2]


@both_names
def test_its_own_limit_comes_first_where_both_are_reached(names: Names) -> None:
    options = GatewayOptions(max_sessions_per_client=2, max_sessions=4)
    gateway = gateway_for_two(names, options)
    bob = bobs(names)
    for number in (1, 2):
        assert opened(gateway, names, number, "closing", 0.0)
        assert opened(gateway, bob, number, "unanswered", 1.0)
    assert opened(gateway, bob, 3, "established", 2.0)
    assert left(gateway, bob, [1, 2, 3]) == [2, 3]
    assert left(gateway, names, [1, 2]) == [1, 2]


@both_names
def test_at_the_limit_of_all_one_of_the_client_that_has_most_gives_way(names: Names) -> None:
    gateway = gateway_for_two(names, GatewayOptions(max_sessions=5))
    bob = bobs(names)
    for number in (1, 2):
        assert opened(gateway, bob, number, "closing", 0.0)
    for number in (1, 2, 3):
        assert opened(gateway, names, number, "unanswered", 1.0)
    # Alice has most; then both have as many, or Bob has.
    assert opened(gateway, bob, 3, "unanswered", 2.0)
    assert opened(gateway, names, 4, "unanswered", 2.0)
    assert opened(gateway, names, 5, "unanswered", 3.0)
    assert gateway.counters().nat_sessions == 5
    assert left(gateway, names, range(1, 6)) == [3, 4, 5]
    assert left(gateway, bob, [1, 2, 3]) == [2, 3]


@pytest.mark.parametrize("asks", ["alice", "bob"])
@pytest.mark.parametrize("again", [False, True], ids=["first", "reconnected"])
@both_names
def test_of_equals_the_client_that_connected_first_gives_way(
    names: Names, asks: str, *, again: bool
) -> None:
    gateway = gateway_for_two(names, GatewayOptions(max_sessions=2))
    if again:
        # A client that connects again counts as connected last.
        gateway.client_connected("alice", ALICE)
        gateway.authorize("alice", app())
        resolve(gateway, names)
    bob = bobs(names)
    # That of the other is over, and that makes no difference.
    assert opened(gateway, names, 1, "closing" if again else "unanswered", 1.0)
    assert opened(gateway, bob, 1, "unanswered" if again else "closing", 0.0)
    assert opened(gateway, names if asks == "alice" else bob, 2, "established", 2.0)
    assert left(gateway, names, [1]) == ([1] if again else [])
    assert left(gateway, bob, [1]) == ([] if again else [1])


@both_names
def test_where_none_of_the_client_that_has_most_can_there_is_no_room(names: Names) -> None:
    gateway = gateway_for_two(names, GatewayOptions(max_sessions=3))
    bob = bobs(names)
    for number in (1, 2):
        assert opened(gateway, names, number, "established")
    assert opened(gateway, bob, 1)
    exhausted = Drop(Reason.NAT_EXHAUSTED, "bob")
    assert gateway.handle_packet(OUTBOUND, bob.sent("tcp", 2)) == exhausted
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", 3)) == EXHAUSTED
    assert left(gateway, bob, [1]) == [1]


@both_names
def test_unanswered_sessions_of_some_clients_leave_room_for_the_others(names: Names) -> None:
    # A million of them, scaled down.
    gateway = gateway_for_two(names, GatewayOptions(max_sessions=100))
    bob = bobs(names)
    for number in range(1, 301):
        assert opened(gateway, names, number, "unanswered", 1.0)
    for number in range(1, 51):
        assert opened(gateway, bob, number, "established", 2.0)
    # She goes on, and takes none of his.
    for number in range(301, 601):
        assert opened(gateway, names, number, "unanswered", 3.0)
    assert gateway.counters().nat_sessions == 100
    assert left(gateway, bob, range(1, 51)) == list(range(1, 51))
    assert left(gateway, names, range(1, 601)) == list(range(551, 601))


# --- How -------------------------------------------------------------------------------------


@both_names
def test_what_gives_way_counts_as_forgotten_at_that_moment(names: Names) -> None:
    gateway = gateway_with(names, options=ONE_OF_ALICE)
    assert opened(gateway, names, 1, "unanswered", 0.0)
    assert opened(gateway, names, 2, "established", 30.0)
    for now, expected in ((30.0, EXPIRED), (270.0 - TICK, EXPIRED), (270.0, GONE)):
        assert gateway.handle_packet(INBOUND, names.came("tcp", 1), now) == expected


@both_names
def test_its_flow_is_judged_anew_and_may_take_the_place_again(names: Names) -> None:
    gateway = gateway_with(names, options=ONE_OF_ALICE)
    packets = [names.sent("udp", number) for number in (1, 2)]
    for _ in range(3):
        for packet, number in zip(packets, (1, 2), strict=True):
            gone_on = through(names.sent("udp", number, far=names.real[0]))
            assert gateway.handle_packet(OUTBOUND, packet) == gone_on
            assert gateway.handle_packets(OUTBOUND, [packet] * 2) == [gone_on] * 2
    assert gateway.counters().nat_sessions == 1
    assert gateway.handle_packet(INBOUND, names.came("udp", 1)) == EXPIRED
    assert gateway.handle_packet(INBOUND, names.came("udp", 2)).allowed
    assert gateway.handle_packets(OUTBOUND, packets) == [
        EXHAUSTED,
        through(names.sent("udp", 2, far=names.real[0])),
    ]


@by_either_limit
@both_names
def test_only_a_packet_that_passes_every_check_displaces_a_session(
    names: Names, limit: str
) -> None:
    gateway = gateway_with(names, Tcp(443), options=limited(limit, 1))
    resolve(gateway, names, proxies=names.proxies[1:2], real=[])
    assert opened(gateway, names, 1, "closing")
    refused = [
        names.sent("tcp", 2, port=444),
        names.sent("udp", 2),
        names.sent("tcp", 2, far=names.proxies[1]),
        names.sent("tcp", 2)[:-1],
    ]
    expected = [Reason.TCP_PORT, Reason.UDP_PORT, Reason.NO_TRANSLATION, Reason.MALFORMED]
    assert reasons(gateway, OUTBOUND, refused) == expected
    assert left(gateway, names, [1]) == [1]
    # Nor does a packet of a live session, nor what comes in.
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", 1)).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp", 2)) == GONE
    assert left(gateway, names, [1]) == [1]


@both_names
def test_where_no_port_is_free_none_gives_way(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions_per_client=257))
    # One port of the client to 257 proxy addresses with one real address behind them.
    proxies = [
        f"100.97.{n >> 8}.{n & 255}"
        if names.family.version == 4
        else f"fd00:2021:1111:8000::a:{n:x}"
        for n in range(258)
    ]
    resolve(gateway, names, proxies=proxies)
    packets = [names.sent("tcp", far=proxy) for proxy in proxies]
    found = reasons(gateway, OUTBOUND, packets)
    assert found == [None] * 257 + [Reason.NAT_EXHAUSTED]
    assert gateway.counters().nat_sessions == 257


@by_either_limit
@both_names
def test_what_is_over_by_its_time_fills_no_room_and_none_gives_way_to_another(
    names: Names, limit: str
) -> None:
    gateway = gateway_with(names, options=limited(limit, 2))
    assert opened(gateway, names, 1, "unanswered", 0.0)
    assert opened(gateway, names, 2, "unanswered", 30.0)
    assert opened(gateway, names, 3, "established", 60.0)
    assert left(gateway, names, [1, 2, 3]) == [2, 3]


@both_names
def test_a_client_with_more_sessions_that_are_over_has_not_the_most(names: Names) -> None:
    gateway = gateway_for_two(names, GatewayOptions(max_sessions=4))
    bob = bobs(names)
    for number in (1, 2):
        assert opened(gateway, names, number, "unanswered", 0.0)
    assert opened(gateway, names, 3, "unanswered", 30.0)
    assert opened(gateway, bob, 1, "unanswered", 31.0)
    # Alice's first two are over, which makes room for two.
    assert opened(gateway, bob, 2, "unanswered", 60.0)
    assert opened(gateway, bob, 3, "unanswered", 60.0)
    # Now Bob has most.
    assert opened(gateway, names, 4, "unanswered", 60.0)
    assert left(gateway, names, range(1, 5)) == [3, 4]
    assert left(gateway, bob, [1, 2, 3]) == [2, 3]
