"""Section 6, sessions: how long each lives, what ends it, and how its end is remembered.

Whether a session lives is asked with a packet that comes back, in a gateway of its own for
each moment: the question confirms what it finds.
"""

from collections.abc import Callable
from functools import partial

import pytest

from firezone_filter import (
    CidrResource,
    Decision,
    DnsResource,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Tcp,
    Translate,
    Udp,
)
from tests.builders import ACK, FIN, RST, SYN, fragment, icmp_echo, icmp_error
from tests.scenes import ALICE, INBOUND, OUTBOUND, refusal
from tests.translations import (
    EXPIRED,
    GONE,
    N4,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)

START = 1_000.0
IDLE = {"tcp": 7_440.0, "udp": 120.0, "echo": 120.0}

Story = Callable[[Gateway, Names], object]


def out(now: float, flags: int = ACK, *, kind: str = "tcp", port: int = 443) -> Story:
    """Let a packet out, *now* seconds after the start."""

    def step(gateway: Gateway, names: Names) -> None:
        packet = names.sent(kind, port=port, flags=flags)
        assert isinstance(gateway.handle_packet(OUTBOUND, packet, START + now), Translate)

    return step


def back(now: float, flags: int = ACK, *, kind: str = "tcp", port: int = 443) -> Story:
    """Let a packet back."""

    def step(gateway: Gateway, names: Names) -> None:
        packet = names.came(kind, port=port, flags=flags)
        assert isinstance(gateway.handle_packet(INBOUND, packet, START + now), Translate)

    return step


def asked(names: Names, story: tuple[Story, ...], now: float, *, kind: str = "tcp") -> Decision:
    """Tell a gateway a story, and ask for the session at a moment."""
    gateway = gateway_with(names, now=START)
    for step in story:
        step(gateway, names)
    return gateway.handle_packet(INBOUND, names.came(kind), START + now)


def assert_ends(names: Names, kind: str, story: tuple[Story, ...], at: float) -> None:
    """Check that the session of a story lives until a moment, and not at it."""
    alive = through(names.came(kind, far=names.proxies[0]))
    assert asked(names, story, at - TICK, kind=kind) == alive
    assert asked(names, story, at, kind=kind) == EXPIRED


# --- The table -----------------------------------------------------------------------------


@every_kind
@both_names
def test_an_unanswered_session_lives_60_seconds(names: Names, kind: str) -> None:
    assert_ends(names, kind, (out(0.0, kind=kind),), 60.0)


@every_kind
@both_names
def test_the_60_seconds_count_from_the_last_packet_out(names: Names, kind: str) -> None:
    story = (out(0.0, kind=kind), out(30.0, kind=kind), out(90.0 - TICK, kind=kind))
    assert_ends(names, kind, story, 150.0 - TICK)


@every_kind
@both_names
def test_an_answered_session_lives_on_after_the_last_packet_back(names: Names, kind: str) -> None:
    story = (out(0.0, kind=kind), back(60.0 - TICK, kind=kind))
    assert_ends(names, kind, story, 60.0 - TICK + IDLE[kind])


@every_kind
@both_names
def test_an_answered_session_lives_on_after_the_last_packet_out(names: Names, kind: str) -> None:
    last = 1.0 + IDLE[kind] - TICK
    story = (out(0.0, kind=kind), back(1.0, kind=kind), out(last, kind=kind))
    assert_ends(names, kind, story, last + IDLE[kind])


@every_kind
@both_names
def test_a_packet_out_after_the_end_begins_another_session(names: Names, kind: str) -> None:
    story = (out(0.0, kind=kind), back(1.0, kind=kind), out(1.0 + IDLE[kind], kind=kind))
    assert_ends(names, kind, story, 1.0 + IDLE[kind] + 60.0)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_names
def test_an_answer_from_another_port_confirms_too(names: Names, kind: str) -> None:
    story = (out(0.0, kind=kind), back(1.0, kind=kind, port=444))
    assert_ends(names, kind, story, 1.0 + IDLE[kind])


def test_a_tcp_session_lives_2_hours_and_4_minutes() -> None:
    assert IDLE["tcp"] == (2 * 60 + 4) * 60


# --- FIN -----------------------------------------------------------------------------------

CLOSED = (
    out(0.0, SYN),
    back(1.0, SYN | ACK),
    out(2.0, FIN | ACK),
    back(3.0, FIN | ACK),
)


@both_names
def test_after_fins_both_ways_a_session_lives_5_seconds(names: Names) -> None:
    assert_ends(names, "tcp", CLOSED, 8.0)


@both_names
def test_the_fins_may_come_in_either_order(names: Names) -> None:
    assert_ends(names, "tcp", (out(0.0), back(1.0, FIN), out(2.0, FIN)), 7.0)


@both_names
def test_a_fin_in_the_first_packets_counts(names: Names) -> None:
    assert_ends(names, "tcp", (out(0.0, SYN | FIN), back(1.0, SYN | ACK | FIN)), 6.0)


@pytest.mark.parametrize(
    "story",
    [
        (out(0.0), back(1.0), out(2.0, FIN), out(3.0, FIN)),
        (out(0.0), back(1.0), back(2.0, FIN), back(3.0, FIN)),
        (out(0.0, FIN), back(3.0)),
    ],
)
@both_names
def test_fins_of_one_side_alone_end_nothing(names: Names, story: tuple[Story, ...]) -> None:
    assert_ends(names, "tcp", story, 3.0 + 7_440.0)


@both_names
def test_fins_that_nobody_answers_leave_a_session_unanswered(names: Names) -> None:
    assert_ends(names, "tcp", (out(0.0), out(1.0, FIN)), 61.0)


@both_names
def test_retransmitted_fins_and_stragglers_prolong_nothing(names: Names) -> None:
    story = (*CLOSED, out(4.0, FIN | ACK), back(5.0, FIN | ACK), out(6.0), back(7.0))
    assert_ends(names, "tcp", story, 8.0)


# --- RST -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | FIN])
@pytest.mark.parametrize("step", [out, back])
@both_names
def test_a_reset_of_either_side_passes_and_ends_the_session_at_once(
    names: Names, step: Callable[[float, int], Story], flags: int
) -> None:
    story = (out(0.0, SYN), back(1.0, SYN | ACK), step(2.0, flags))
    assert asked(names, story, 2.0) == EXPIRED
    assert asked(names, story, 242.0 - TICK) == EXPIRED
    assert asked(names, story, 242.0) == GONE


@both_names
def test_a_reset_ends_also_what_fins_have_closed_and_what_is_new(names: Names) -> None:
    for story in ((*CLOSED, back(4.0, RST)), (out(4.0, RST),)):
        assert asked(names, story, 4.0) == EXPIRED


@both_names
def test_after_a_reset_the_client_may_use_the_port_again(names: Names) -> None:
    story = (out(0.0, SYN), back(1.0, RST), out(1.0, SYN))
    assert_ends(names, "tcp", story, 61.0)


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_names
def test_only_tcp_has_flags(names: Names, kind: str) -> None:
    gateway = gateway_with(names)
    payload = b"\xff" * 20
    gateway.handle_packet(OUTBOUND, names.sent(kind, payload=payload))
    for _ in range(2):
        came = names.came(kind, payload=payload)
        delivered = names.came(kind, payload=payload, far=names.proxies[0])
        assert gateway.handle_packet(INBOUND, came) == through(delivered)


# --- Several ports -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "ends"),
    [
        # To several ports before, between and after the FINs and resets.
        ((out(0.0), out(1.0, port=444), out(2.0, FIN), back(3.0, FIN)), 7_443.0),
        ((out(0.0), out(1.0, FIN), out(2.0, port=444), back(3.0, FIN)), 7_443.0),
        ((*CLOSED, out(4.0, port=444)), 7_444.0),
        ((out(0.0), out(1.0, port=444), back(2.0, RST)), 7_442.0),
        ((out(0.0), out(1.0, port=444), back(2.0, RST, port=444)), 7_442.0),
        ((out(0.0), out(1.0, port=444), out(2.0, RST)), 62.0),
        ((out(0.0), out(1.0, RST, port=444)), 61.0),
        ((out(0.0), out(1.0, port=444), out(2.0, FIN | RST), back(3.0, FIN | RST)), 7_443.0),
        # Inbound from a port that nothing went to.
        ((out(0.0), out(1.0, FIN), back(2.0, FIN, port=444)), 7_442.0),
        ((out(0.0), back(2.0, RST, port=444)), 7_442.0),
    ],
)
@both_names
def test_with_several_ports_of_the_resource_a_session_ends_by_time(
    names: Names, story: tuple[Story, ...], ends: float
) -> None:
    assert_ends(names, "tcp", story, ends)


@both_names
def test_a_fin_from_another_port_takes_nothing_from_the_right_one(names: Names) -> None:
    story = (out(0.0, FIN), back(1.0, FIN | RST, port=444), back(2.0, FIN))
    assert_ends(names, "tcp", story, 7.0)


# --- SYN after the FINs --------------------------------------------------------------------


@pytest.mark.parametrize("port", [443, 444])
@both_names
def test_a_syn_after_both_fins_starts_the_session_anew(names: Names, port: int) -> None:
    assert_ends(names, "tcp", (*CLOSED, out(4.0, SYN, port=port)), 64.0)


@both_names
def test_what_has_started_anew_is_confirmed_and_closed_anew(names: Names) -> None:
    anew = (*CLOSED, out(8.0 - TICK, SYN), back(9.0, SYN | ACK))
    assert_ends(names, "tcp", anew, 9.0 + 7_440.0)
    assert_ends(names, "tcp", (*anew, out(10.0, FIN), back(11.0, FIN)), 16.0)
    assert_ends(names, "tcp", (*anew, back(11.0, FIN)), 11.0 + 7_440.0)


@both_names
def test_what_has_started_anew_with_another_port_counts_that_one(names: Names) -> None:
    anew = (*CLOSED, out(4.0, SYN, port=444), out(5.0, FIN, port=444))
    assert_ends(names, "tcp", (*anew, back(6.0, FIN, port=444)), 11.0)
    assert_ends(names, "tcp", (*anew, back(6.0, FIN, port=443)), 6.0 + 7_440.0)


@pytest.mark.parametrize(
    "story",
    [
        (*CLOSED, out(4.0, SYN | ACK)),
        (*CLOSED, back(4.0, SYN)),
        (*CLOSED, out(4.0, ACK)),
        (*CLOSED, out(4.0, 0)),
    ],
)
@both_names
def test_nothing_but_a_syn_of_the_client_starts_anew(
    names: Names, story: tuple[Story, ...]
) -> None:
    assert_ends(names, "tcp", story, 8.0)


@both_names
def test_a_syn_before_both_fins_starts_nothing_anew(names: Names) -> None:
    story = (out(0.0), back(1.0), out(2.0, FIN), out(3.0, SYN), back(4.0, FIN))
    assert_ends(names, "tcp", story, 9.0)


@both_names
def test_what_starts_anew_keeps_its_port_and_its_address(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    resolve(gateway, names, proxies=names.proxies[:2])
    for number, proxy in enumerate(names.proxies[:2], 5401):
        for direction, flags in ((OUTBOUND, SYN), (INBOUND, SYN | ACK), (OUTBOUND, FIN)):
            packet = (
                names.sent("tcp", far=proxy, flags=flags)
                if direction is OUTBOUND
                else names.came("tcp", number, flags=flags)
            )
            assert refusal(gateway.handle_packet(direction, packet)) is None
        gateway.handle_packet(INBOUND, names.came("tcp", number, flags=FIN))
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    resolve(gateway, names, proxies=names.proxies[:2], real=names.real[1:2])
    again = names.sent("tcp", far=names.proxies[1], flags=SYN)
    gone_on = names.sent("tcp", 5402, far=names.real[0], flags=SYN)
    assert gateway.handle_packet(OUTBOUND, again) == through(gone_on)


@both_names
def test_a_syn_5_seconds_after_both_fins_begins_another_session(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    for step in CLOSED:
        step(gateway, names)
    resolve(gateway, names, real=names.real[1:2])
    again = names.sent("tcp", flags=SYN)
    for now, real in ((8.0 - TICK, names.real[0]), (68.0 - TICK, names.real[1])):
        gone_on = names.sent("tcp", far=real, flags=SYN)
        assert gateway.handle_packet(OUTBOUND, again, START + now) == through(gone_on)


# --- What neither creates, confirms, prolongs nor ends -------------------------------------


def refused(
    now: float, packet: Callable[[Names], bytes], reason: Reason, *, inbound: bool = False
) -> Story:
    """Hand in a packet that is refused, of a resource that permits port 443 alone."""

    def step(gateway: Gateway, names: Names) -> None:
        gateway.update_resource(app(Tcp(443), Udp(443)))
        direction = INBOUND if inbound else OUTBOUND
        decision = gateway.handle_packet(direction, packet(names), START + now)
        assert refusal(decision) == reason
        gateway.update_resource(app())

    return step


def passed(now: float, packet: Callable[[Names], bytes], *, inbound: bool) -> Story:
    """Hand in a packet that is translated, whatever it is."""

    def step(gateway: Gateway, names: Names) -> None:
        direction = INBOUND if inbound else OUTBOUND
        decision = gateway.handle_packet(direction, packet(names), START + now)
        assert isinstance(decision, Translate)

    return step


def error_in(names: Names, kind: str) -> bytes:
    """Report to the client about what it sent."""
    flow = f"{names.real[0]} > {names.family.client}"
    quote = names.sent(kind, far=names.real[0], flags=RST)
    return icmp_error(flow, 3 if names is N4 else 1, quoting=quote)


def error_out(names: Names, kind: str) -> bytes:
    """Let the client report about what it got."""
    flow = f"{names.family.client} > {names.proxies[0]}"
    quote = names.came(kind, far=names.proxies[0], flags=RST)
    return icmp_error(flow, 3 if names is N4 else 1, quoting=quote)


def first_out(names: Names, flags: int = ACK) -> bytes:
    return fragment(names.sent("tcp", flags=flags, payload=bytes(20)), 0, 24)


def later_out(names: Names) -> bytes:
    return fragment(names.sent("tcp", payload=bytes(20)), 24)


def first_in(names: Names, flags: int = ACK) -> bytes:
    return fragment(names.came("tcp", flags=flags, payload=bytes(20)), 0, 24)


def later_in(names: Names) -> bytes:
    return fragment(names.came("tcp", payload=bytes(20)), 24)


def sent_to_444(names: Names, flags: int = ACK) -> bytes:
    return names.sent("tcp", port=444, flags=flags)


def came_from_444(names: Names, flags: int = ACK) -> bytes:
    return names.came("tcp", port=444, flags=flags)


def cut_short(names: Names) -> bytes:
    return names.sent("tcp")[:-1]


def refused_both_ways(flags: int) -> tuple[Story, Story]:
    return (
        refused(30.0, partial(sent_to_444, flags=flags), Reason.TCP_PORT),
        refused(30.0, partial(came_from_444, flags=flags), Reason.TCP_PORT, inbound=True),
    )


DISTURBANCES = [
    *refused_both_ways(ACK),
    *refused_both_ways(FIN),
    *refused_both_ways(SYN),
    *refused_both_ways(RST),
    passed(30.0, partial(error_in, kind="tcp"), inbound=True),
    passed(30.0, partial(error_out, kind="tcp"), inbound=False),
    refused(30.0, later_out, Reason.FRAGMENT),
    refused(30.0, later_in, Reason.FRAGMENT, inbound=True),
    refused(30.0, cut_short, Reason.MALFORMED),
]


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@both_names
def test_what_is_refused_and_icmp_errors_neither_confirm_nor_prolong_nor_end(
    names: Names, disturbance: Story
) -> None:
    assert_ends(names, "tcp", (out(0.0), disturbance), 60.0)
    answered = (out(0.0), back(1.0), disturbance)
    assert_ends(names, "tcp", answered, 7_441.0)
    half_closed = (out(0.0), back(1.0), out(2.0, FIN), disturbance)
    assert_ends(names, "tcp", half_closed, 7_442.0)


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_names
def test_errors_about_udp_and_echo_prolong_nothing_either(names: Names, kind: str) -> None:
    inbound = passed(30.0, partial(error_in, kind=kind), inbound=True)
    outbound = passed(30.0, partial(error_out, kind=kind), inbound=False)
    assert_ends(names, kind, (out(0.0, kind=kind), inbound, outbound), 60.0)


@both_names
def test_later_fragments_prolong_nothing(names: Names) -> None:
    gone = (passed(0.0, first_out, inbound=False), passed(20.0, later_out, inbound=False))
    assert_ends(names, "tcp", gone, 60.0)
    came = (passed(1.0, first_in, inbound=True), passed(20.0, later_in, inbound=True))
    assert_ends(names, "tcp", (out(0.0), *came), 7_441.0)


@both_names
def test_first_fragments_confirm_prolong_and_end_like_whole_packets(names: Names) -> None:
    again = passed(30.0, first_out, inbound=False)
    assert_ends(names, "tcp", (out(0.0), again), 90.0)
    answer = passed(30.0, first_in, inbound=True)
    assert_ends(names, "tcp", (out(0.0), answer), 7_470.0)
    reset = passed(30.0, partial(first_in, flags=RST), inbound=True)
    assert asked(names, (out(0.0), reset), 30.0) == EXPIRED


@both_names
def test_what_is_refused_creates_no_session(names: Names) -> None:
    for packet, reason in (
        (sent_to_444(names), Reason.TCP_PORT),
        (error_out(names, "tcp"), Reason.ICMP_ERROR),
        (later_out(names), Reason.FRAGMENT),
        (cut_short(names), Reason.MALFORMED),
    ):
        gateway = gateway_with(names, Tcp(443), options=GatewayOptions(max_sessions=1))
        assert refusal(gateway.handle_packet(OUTBOUND, packet)) == reason
        assert gateway.handle_packet(INBOUND, names.came("tcp")) == GONE
        other = names.sent("tcp", 5402)
        assert refusal(gateway.handle_packet(OUTBOUND, other)) is None


@every_kind
@both_names
def test_what_comes_in_creates_no_session(names: Names, kind: str) -> None:
    gateway = gateway_with(names)
    for _ in range(2):
        assert gateway.handle_packet(INBOUND, names.came(kind)) == GONE


# --- Ends that are remembered --------------------------------------------------------------


@every_kind
@both_names
def test_an_end_is_remembered_for_240_seconds_however_late_it_is_noticed(
    names: Names, kind: str
) -> None:
    story = (out(0.0, kind=kind),)
    assert asked(names, story, 300.0 - TICK, kind=kind) == EXPIRED
    assert asked(names, story, 300.0, kind=kind) == GONE


@both_names
def test_packets_of_a_session_that_ended_do_not_prolong_the_memory(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    out(0.0)(gateway, names)
    for now in (60.0, 200.0, 300.0 - TICK):
        assert gateway.handle_packet(INBOUND, names.came("tcp"), START + now) == EXPIRED
    assert gateway.handle_packet(INBOUND, names.came("tcp"), START + 300.0) == GONE


@both_names
def test_handle_timeout_forgets_ends_in_their_time(names: Names) -> None:
    for now, expected in ((300.0 - TICK, EXPIRED), (300.0, GONE)):
        gateway = gateway_in_use(names)
        gateway.handle_timeout(60.0)
        gateway.handle_timeout(now)
        assert gateway.handle_packet(INBOUND, names.came()) == expected


@pytest.mark.parametrize(
    "first_now",
    [
        None,
        -1_000.0,
        1_790_000_000.0,
    ],
)
@both_names
def test_handle_timeout_leaves_nothing_behind_of_what_is_over(
    names: Names, first_now: float | None
) -> None:
    gateway = gateway_with(names, now=0.0 if first_now is None else None)
    gateway.handle_packet(OUTBOUND, names.sent())
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    start = first_now or 0.0
    gateway.handle_timeout(start)
    nat = gateway._roster.clients["alice"].access.nat
    assert nat is not None
    for now, sessions, ends in (
        (60.0 - TICK, 1, 1),
        (60.0, 0, 2),
        (240.0 - TICK, 0, 2),
        (300.0 - TICK, 0, 1),
        (300.0, 0, 0),
    ):
        gateway.handle_timeout(start + now)
        assert (len(nat._sessions), len(nat._sessions._remembered)) == (sessions, ends)
    assert len(gateway._site.lifetimes) == 0
    assert gateway._site.reminders.earliest() is None


@both_names
def test_a_client_that_disconnects_leaves_nothing_behind(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    gateway.client_disconnected("alice")
    assert len(gateway._site.lifetimes) == 0
    assert gateway._site.reminders.earliest() is None


@both_names
def test_sessions_ask_for_no_timeout(names: Names) -> None:
    gateway = gateway_in_use(names)
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(60.0)
    assert gateway.poll_timeout() is None
    assert gateway.poll_event() is None


@pytest.mark.parametrize(("count", "oldest"), [(4_096, EXPIRED), (4_097, GONE)])
@both_names
def test_the_last_4096_ends_of_a_client_are_remembered(
    names: Names, count: int, oldest: Drop
) -> None:
    gateway = gateway_with(names)
    packets = [names.sent(number=number) for number in range(1, count + 1)]
    assert all(decision.allowed for decision in gateway.handle_packets(OUTBOUND, packets))
    gateway.handle_timeout(60.0)
    assert gateway.handle_packet(INBOUND, names.came(number=1)) == oldest
    assert gateway.handle_packet(INBOUND, names.came(number=2)) == EXPIRED
    assert gateway.handle_packet(INBOUND, names.came(number=count)) == EXPIRED


@both_names
def test_a_new_session_with_the_tuple_takes_its_end_out(names: Names) -> None:
    gateway = gateway_with(names)
    gateway.authorize("alice", DnsResource("other", "db.example.com"))
    resolve(
        gateway, names, proxies=names.proxies[1:2], domain="db.example.com", resource_id="other"
    )
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == EXPIRED
    gateway.handle_packet(OUTBOUND, names.sent("tcp", far=names.proxies[1]))
    gateway.revoke("alice", "other")
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == GONE


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_names
def test_an_end_is_of_one_protocol_port_and_address(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    gateway.handle_timeout(60.0)
    other = "udp" if kind == "tcp" else "tcp"
    for packet, expected in (
        (names.came(kind), EXPIRED),
        (names.came(kind, port=444), EXPIRED),
        (names.came(kind, 5402), GONE),
        (names.came(kind, far=names.real[1]), GONE),
        (names.came(other), GONE),
        (names.came("echo"), GONE),
    ):
        assert gateway.handle_packet(INBOUND, packet) == expected


@both_names
def test_an_inbound_echo_request_belongs_to_no_session_that_ended(names: Names) -> None:
    gateway = gateway_in_use(names, "echo")
    gateway.handle_timeout(60.0)
    request = icmp_echo(f"{names.real[0]} > {names.family.client}", identifier=5401)
    assert gateway.handle_packet(INBOUND, request) == GONE
    assert gateway.handle_packet(INBOUND, names.came("echo")) == EXPIRED


@every_kind
@both_names
def test_directly_permitted_packets_pass_after_the_end_of_a_session(
    names: Names, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    gateway.handle_timeout(60.0)
    for _ in range(2):
        decision = gateway.handle_packet(INBOUND, names.came(kind))
        assert decision == Forward("alice", "direct")


@both_names
def test_an_end_names_also_what_a_direct_resource_refuses(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0], [Udp(444)]))
    assert gateway.handle_packet(INBOUND, names.came(), 300.0 - TICK) == EXPIRED
    refused_again = Drop(Reason.UDP_PORT, "alice")
    assert gateway.handle_packet(INBOUND, names.came(), 300.0) == refused_again


@both_names
def test_a_live_session_that_the_filters_refuse_has_not_ended(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.update_resource(app(Udp(444)))
    assert gateway.handle_packet(INBOUND, names.came()) == Drop(Reason.UDP_PORT, "alice")


# --- What leaves nothing behind ------------------------------------------------------------


def revoke_and_authorize(gateway: Gateway) -> None:
    gateway.revoke("alice", "app")
    gateway.authorize("alice", app())


def expire_and_authorize(gateway: Gateway) -> None:
    gateway.update_expiry("alice", "app", 30.0)
    gateway.handle_timeout(30.0)
    gateway.authorize("alice", app())


def reconnect(gateway: Gateway) -> None:
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", app())


def disconnect(gateway: Gateway) -> None:
    gateway.client_disconnected("alice")
    reconnect(gateway)


def retain_nothing(gateway: Gateway) -> None:
    gateway.retain_authorizations({})
    gateway.authorize("alice", app())


leaving = pytest.mark.parametrize(
    "leave",
    [revoke_and_authorize, expire_and_authorize, reconnect, disconnect, retain_nothing],
)


@leaving
@every_kind
@both_names
def test_nothing_of_a_live_session_is_left(
    names: Names, kind: str, leave: Callable[[Gateway], None]
) -> None:
    gateway = gateway_in_use(names, kind)
    leave(gateway)
    assert gateway.handle_packet(INBOUND, names.came(kind)) == GONE
    resolve(gateway, names, real=names.real[1:2])
    assert gateway.handle_packet(INBOUND, names.came(kind)) == GONE
    gone_on = names.sent(kind, far=names.real[1])
    assert gateway.handle_packet(OUTBOUND, names.sent(kind)) == through(gone_on)
    assert gateway.handle_packet(INBOUND, names.came(kind)) == GONE
    assert gateway.handle_packet(INBOUND, names.came(kind), 300.0) == GONE


@pytest.mark.parametrize("leave", [reconnect, disconnect])
@both_names
def test_a_new_tunnel_session_remembers_no_ends(
    names: Names, leave: Callable[[Gateway], None]
) -> None:
    gateway = gateway_in_use(names)
    assert gateway.handle_packet(INBOUND, names.came(), 60.0) == EXPIRED
    leave(gateway)
    assert gateway.handle_packet(INBOUND, names.came()) == GONE


@pytest.mark.parametrize(
    ("expires_at", "expected"), [(60.0 - TICK, GONE), (60.0, EXPIRED), (60.0 + TICK, EXPIRED)]
)
@both_names
def test_a_session_ends_at_its_moment_or_with_its_resource_whichever_comes_first(
    names: Names, expires_at: float, expected: Drop
) -> None:
    for asked_at in (61.0, 299.0):
        gateway = gateway_in_use(names)
        gateway.update_expiry("alice", "app", expires_at)
        assert gateway.handle_packet(INBOUND, names.came(), asked_at) == expected


@both_names
def test_renumbering_does_not_end_what_was_over_already(names: Names) -> None:
    for now, expected in ((60.0 - TICK, GONE), (60.0, EXPIRED)):
        gateway = gateway_in_use(names)
        gateway.handle_packet(INBOUND, b"", now)
        resolve(gateway, names, domain="db.example.com")
        assert gateway.handle_packet(INBOUND, names.came()) == expected


@both_names
def test_a_revocation_does_not_end_what_was_over_already(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.handle_packet(INBOUND, b"", 60.0)
    gateway.revoke("alice", "app")
    assert gateway.handle_packet(INBOUND, names.came()) == EXPIRED


# --- Time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first_now", [-1_000.0, 0.0, 1_790_000_000.0])
@both_names
def test_what_began_before_the_first_now_counts_from_there(names: Names, first_now: float) -> None:
    for later, expected in (
        (60.0 - TICK, through(names.came(far=names.proxies[0]))),
        (60.0, EXPIRED),
        (300.0 - TICK, EXPIRED),
        (300.0, GONE),
    ):
        gateway = gateway_with(names, now=None)
        assert refusal(gateway.handle_packet(OUTBOUND, names.sent())) is None
        gateway.handle_timeout(first_now)
        assert gateway.handle_packet(INBOUND, names.came(), first_now + later) == expected


@both_names
def test_what_ended_before_the_first_now_is_remembered_from_there(names: Names) -> None:
    for later, expected in ((240.0 - TICK, EXPIRED), (240.0, GONE)):
        gateway = gateway_with(names, now=None)
        gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
        gateway.handle_timeout(1_000.0)
        decision = gateway.handle_packet(INBOUND, names.came("tcp"), 1_000.0 + later)
        assert decision == expected


@both_names
def test_an_earlier_now_counts_as_the_latest(names: Names) -> None:
    for at, expected in ((110.0 - TICK, None), (110.0, Reason.EXPIRED_NAT_SESSION)):
        gateway = gateway_in_use(names)
        gateway.handle_timeout(50.0)
        gateway.handle_packet(OUTBOUND, names.sent(), 10.0)
        assert refusal(gateway.handle_packet(INBOUND, names.came(), at)) == expected


@both_names
def test_whole_seconds_are_times_too(names: Names) -> None:
    gateway = gateway_with(names, now=0)
    gateway.handle_packet(OUTBOUND, names.sent(), 1)
    assert refusal(gateway.handle_packet(INBOUND, names.came(), 60)) is None
    assert gateway.handle_packet(INBOUND, names.came(), 180) == EXPIRED


@both_names
def test_sessions_end_each_at_its_own_moment(names: Names) -> None:
    gateway = gateway_with(names)
    for number in range(1, 6):
        gateway.handle_packet(OUTBOUND, names.sent(number=number), float(number))
    gateway.handle_packet(OUTBOUND, names.sent(number=2), 10.0)
    gateway.handle_timeout(64.0)
    answers = [gateway.handle_packet(INBOUND, names.came(number=n)) for n in range(1, 6)]
    live = [isinstance(answer, Translate) for answer in answers]
    assert live == [False, True, False, False, True]
