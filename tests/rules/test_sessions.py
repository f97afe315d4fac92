"""Section 6, sessions: how long each lives, and what ends it."""

from collections.abc import Callable
from functools import partial

import pytest

from firezone_filter import Direction, GatewayOptions, Reason, Tcp, Translate, Udp
from firezone_filter.testing import ACK, FIN, RST, SYN, fragment, icmp_error
from tests.rules.stories import IDLE, START, alive, asked, assert_ends, stories, tell
from tests.scenes import INBOUND, OUTBOUND, refusal
from tests.translations import (
    EXPIRED,
    GONE,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_with,
    resolve,
    through,
)

CLOSED = "0>S 1<SA 2>FA 3<FA"


# --- The table -----------------------------------------------------------------------------


@every_kind
@both_names
def test_a_session_lives_60_seconds_after_the_last_packet_out_until_it_is_answered(
    names: Names, kind: str
) -> None:
    assert_ends(names, "0>", 60.0, kind)
    assert_ends(names, "0> 30> 90->", 150.0 - TICK, kind)


@every_kind
@both_names
def test_an_answered_session_lives_on_after_its_last_packet(names: Names, kind: str) -> None:
    idle = IDLE[kind]
    # What comes in does not prolong TCP, whose time is the longest that anything may live
    # without a packet out.
    answered_at = 0.0 if kind == "tcp" else 60.0 - TICK
    assert_ends(names, "0> 60-<", answered_at + idle, kind)
    assert_ends(names, f"0> 1< {idle}->", 2 * idle - TICK, kind)
    # A packet that goes out later begins another.
    over = idle if kind == "tcp" else 1 + idle
    assert_ends(names, f"0> 1< {over}>", over + 60.0, kind)
    assert_ends(names, "0> 1<@444", over, kind)


@every_kind
@both_names
def test_a_far_end_prolongs_a_session_to_2_hours_and_4_minutes_after_the_last_packet_out(
    names: Names, kind: str
) -> None:
    prolonging = " ".join(f"{second}<" for second in range(59, 7_440, 60))
    assert_ends(names, f"0> {prolonging}", 7_440.0, kind)
    assert_ends(names, f"0> 1< 50> {prolonging}", 7_490.0, kind)


# --- TCP -----------------------------------------------------------------------------------


@stories(
    {
        CLOSED: 242,
        "0> 1<F 2>F": 242,
        "0>SF 1<SAF": 240,
        # Packets out prolong it: retransmissions, and the ACK of the last FIN.
        f"{CLOSED} 4> 5<FA 6>": 246,
        f"{CLOSED} 4>FA 5<FA": 244,
        # What comes in does not.
        f"{CLOSED} 9<FA 241<": 242,
        # FINs of one side alone end nothing.
        "0> 1< 2>F 3>F": 7_443,
        "0> 1< 2<F 3<F": 7_440,
        "0>F 3<": 7_440,
        "0> 1>F": 61,
    }
)
@both_names
def test_after_fins_both_ways_a_session_lives_240_seconds_from_its_last_packet_out(
    names: Names, story: str, ends: float
) -> None:
    assert_ends(names, story, ends)


@both_names
def test_a_retransmission_long_after_both_fins_passes(names: Names) -> None:
    assert asked(names, CLOSED, 3 + 6.5) == alive(names)
    gateway = gateway_with(names, now=START)
    tell(gateway, names, CLOSED)
    last = names.sent("tcp", flags=FIN | ACK)
    gone_on = through(names.sent("tcp", flags=FIN | ACK, far=names.real[0]))
    assert gateway.handle_packet(OUTBOUND, last, START + 3 + 6.5) == gone_on


@both_names
def test_a_client_reuses_its_port_after_the_servers_fin_and_ten_minutes_of_silence(
    names: Names,
) -> None:
    first = "0>S 0<SA 0> 1<FA"
    again = "601>S 601<SA 601> 602>FA"
    # Five seconds on the server's answer.
    assert asked(names, f"{first} {again}", 607.0) == alive(names)
    assert_ends(names, f"{first} {again} 607<", 602.0 + 7_440.0)
    assert_ends(names, f"{first} {again} 607< 608<FA 609>", 609.0 + 240.0)


@stories(
    {
        "0>S 1<SA 2<R": 240,
        "0>S 1<SA 2<RA": 240,
        "0>S 1<SA 2<FR": 240,
        "0>S 1<R": 240,
        "0>S 1<SA 50> 51<R 52<R 60<": 290,
        # It was forged, and the client goes on.
        "0>S 1<SA 2<R 3>": 7_443,
        "0>S 1<SA 2<R 3>F": 7_443,
        "0>S 1<SA 2<R 239> 240<": 7_679,
        "0>S 1<SA 2<R 3> 4<R": 243,
        # Neither takes a FIN back.
        f"{CLOSED} 4<R": 242,
        f"{CLOSED} 4<R 5>": 245,
        "0>S 1<SA 2<FR 3>F": 243,
    }
)
@both_names
def test_a_reset_from_outside_leaves_240_seconds_and_a_packet_out_takes_it_back(
    names: Names, story: str, ends: float
) -> None:
    assert_ends(names, story, ends)


@pytest.mark.parametrize("flags", ["R", "RA", "RF", "SR"])
@pytest.mark.parametrize("before", ["0>S 1<SA", "0>S", "0>S 1<SA 2<R", CLOSED])
@both_names
def test_a_reset_of_the_client_passes_and_ends_the_session_at_once(
    names: Names, before: str, flags: str
) -> None:
    story = f"{before} 3>{flags}"
    assert asked(names, story, 3.0) == EXPIRED
    assert asked(names, story, 243.0 - TICK) == EXPIRED
    assert asked(names, story, 243.0) == GONE


@both_names
def test_after_a_reset_of_its_own_the_client_may_use_its_port_again(names: Names) -> None:
    assert asked(names, "4>R", 4.0) == EXPIRED
    assert_ends(names, "0>S 1>R 1>S", 61.0)


@pytest.mark.parametrize("story", ["0>S 1<SA 2>F", "0>S 1<SA 2>"])
@pytest.mark.parametrize("flags", ["F", "R", "FR"])
@both_names
def test_where_a_flag_makes_a_moment_count_that_has_passed_the_session_goes_with_the_packet(
    names: Names, story: str, flags: str
) -> None:
    closes = "R" in flags or "F" in story
    assert_ends(names, f"{story} 242-<{flags}", 242.0 if closes else 7_442.0)
    for late in (242, 300, 7_441):
        # The packet itself passes, as `asked` makes sure.
        if closes:
            assert asked(names, f"{story} {late}<{flags}", late) == EXPIRED
            assert asked(names, f"{story} {late}<{flags}", late + 240.0 - TICK) == EXPIRED
            assert asked(names, f"{story} {late}<{flags}", late + 240.0) == GONE
        else:
            assert_ends(names, f"{story} {late}<{flags}", 7_442.0)


@stories(
    {
        # To several ports before, between and after the FINs and resets.
        "0> 1>@444 2>F 3<F": 7_442,
        "0> 1>F 2>@444 3<F": 7_442,
        f"{CLOSED} 4>@444": 7_444,
        "0> 1< 2>@444 3>F 4<F": 7_443,
        "0> 1>@444 2<R": 7_441,
        "0> 1>@444 2<R@444": 7_441,
        "0> 1<R 2>@444": 7_442,
        "0> 1>@444 2>R": 62,
        "0> 1>R@444": 61,
        "0> 1>@444 2>FR 3<FR": 7_442,
        "0> 1>@444 2<F 3>S": 7_443,
        # Inbound from a port that nothing went to.
        "0> 1>F 2<F@444": 7_441,
        "0> 2<R@444": 7_440,
        # That takes nothing from the right one.
        "0>F 1<FR@444 2<F": 240,
    }
)
@both_names
def test_fins_and_resets_count_only_of_a_session_to_one_port_and_from_that_port(
    names: Names, story: str, ends: float
) -> None:
    assert_ends(names, story, ends)


RESET = "0>S 1<SA 2<R"


@stories(
    {
        f"{CLOSED} 4>S": 64,
        f"{CLOSED} 4>S@444": 64,
        f"{RESET} 4>S": 64,
        f"{RESET} 4>S@444": 64,
        # After a FIN of one side, if it goes to the only port.
        "0>S 1<SA 2<FA 3>S": 63,
        "0>S 1<SA 2>FA 3>S": 63,
        "0>S 1<SA 2<FA 3>S@444": 7_443,
        "0>S 1<SA 2>FA 3>S@444": 7_443,
        # It is confirmed and closed anew, on the port that it has then.
        f"{CLOSED} 242->S 243<SA": 242 - TICK + 7_440,
        f"{CLOSED} 8>S 9<SA 10>F 11<F": 250,
        f"{CLOSED} 8>S 9<SA 11<F": 7_448,
        f"{CLOSED} 8>SF 9<SAF": 248,
        f"{CLOSED} 4>S@444 5>F@444 6<F@444": 245,
        f"{CLOSED} 4>S@444 5>F@444 6<F@443": 7_445,
        f"{RESET} 4>S@444 5<SA@444 6<R@444": 244,
        f"{RESET} 4>S@444 5<SA@444 6<R@443": 7_444,
        "0>S 1<SA 2<FA 3>S 4<SA 5>F": 7_445,
        "0>S 1<SA 2<FA 3>S 4<SA 5>F 6<F": 245,
        "0> 1< 2>F 3>S 4<F": 7_443,
        # Nothing else starts it anew, and nothing does before a FIN or a reset.
        f"{CLOSED} 4>SA": 244,
        f"{CLOSED} 4<S": 242,
        f"{CLOSED} 4>A": 244,
        f"{CLOSED} 4>0": 244,
        "0>S 1<SA 2<FA 3>SA": 7_443,
        "0>S 1<SA 2>S": 7_442,
    }
)
@both_names
def test_a_syn_of_the_client_starts_anew_what_is_over_or_half_closed(
    names: Names, story: str, ends: float
) -> None:
    assert_ends(names, story, ends)


@both_names
def test_a_session_that_starts_anew_keeps_its_port_and_its_address(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    resolve(gateway, names, proxies=names.proxies[:2])
    second = names.proxies[1]
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp")).allowed
    for flags in (SYN, FIN):
        assert gateway.handle_packet(OUTBOUND, names.sent("tcp", far=second, flags=flags)).allowed
        assert gateway.handle_packet(INBOUND, names.came("tcp", 5402, flags=flags)).allowed
    # The first port is free again, and the name leads elsewhere.
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST)).allowed
    resolve(gateway, names, proxies=names.proxies[:2], real=names.real[1:2])
    again = gateway.handle_packet(OUTBOUND, names.sent("tcp", far=second, flags=SYN))
    assert again == through(names.sent("tcp", 5402, far=names.real[0], flags=SYN))


@both_names
def test_a_syn_240_seconds_after_both_fins_begins_another_session(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    tell(gateway, names, CLOSED)
    resolve(gateway, names, real=names.real[1:2])
    syn = partial(names.sent, "tcp", flags=SYN)
    # The first of them starts anew, and lives for 60 seconds.
    for now, real in ((242.0 - TICK, names.real[0]), (302.0 - TICK, names.real[1])):
        assert gateway.handle_packet(OUTBOUND, syn(), START + now) == through(syn(far=real))


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_names
def test_only_tcp_has_flags(names: Names, kind: str) -> None:
    gateway = gateway_with(names)
    payload = b"\xff" * 20
    for _ in range(2):
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, payload=payload)).allowed
        came = gateway.handle_packet(INBOUND, names.came(kind, payload=payload))
        assert came == through(names.came(kind, payload=payload, far=names.proxies[0]))


# --- What neither creates, confirms, prolongs nor ends -------------------------------------


def error_in(names: Names, kind: str = "tcp") -> bytes:
    """Report to the client about what it sent."""
    quote = names.sent(kind, far=names.real[0], flags=RST)
    flow = f"{names.real[0]} > {names.family.client}"
    return icmp_error(flow, names.family.unreachable, quoting=quote)


def error_out(names: Names, kind: str = "tcp") -> bytes:
    """Let the client report about what it got."""
    quote = names.came(kind, far=names.proxies[0], flags=RST)
    flow = f"{names.family.client} > {names.proxies[0]}"
    return icmp_error(flow, names.family.unreachable, quoting=quote)


def cut(names: Names, direction: Direction, *, first: bool, flags: int = ACK) -> bytes:
    build = names.sent if direction is OUTBOUND else names.came
    whole = build("tcp", flags=flags, payload=bytes(20))
    return fragment(whole, 0, 24) if first else fragment(whole, 24)


Disturbance = tuple[Direction, Callable[[Names], bytes], Reason | None]
DISTURBANCES: dict[str, Disturbance] = {
    "error-in": (INBOUND, error_in, None),
    "error-out": (OUTBOUND, error_out, None),
    "later-in": (INBOUND, partial(cut, direction=INBOUND, first=False), Reason.FRAGMENT),
    "later-out": (OUTBOUND, partial(cut, direction=OUTBOUND, first=False), Reason.FRAGMENT),
    "malformed": (OUTBOUND, lambda names: names.sent("tcp")[:-1], Reason.MALFORMED),
}
for letter, flag in {"A": ACK, "F": FIN, "S": SYN, "R": RST}.items():
    DISTURBANCES[f"refused-out-{letter}"] = (
        OUTBOUND,
        partial(Names.sent, kind="tcp", port=444, flags=flag),
        Reason.TCP_PORT,
    )
    DISTURBANCES[f"refused-in-{letter}"] = (
        INBOUND,
        partial(Names.came, kind="tcp", port=444, flags=flag),
        Reason.TCP_PORT,
    )


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@both_names
def test_what_is_refused_and_icmp_errors_neither_confirm_nor_prolong_nor_end(
    names: Names, disturbance: str
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
        for now, expected in ((ends - TICK, alive(names)), (ends, EXPIRED)):
            gateway = gateway_with(names, now=START)
            tell(gateway, names, story)
            gateway.update_resource(app(Tcp(443), Udp(443)))
            decision = gateway.handle_packet(direction, build(names), START + 30.0)
            assert refusal(decision) == reason
            gateway.update_resource(app())
            assert gateway.handle_packet(INBOUND, names.came("tcp"), START + now) == expected


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_names
def test_errors_about_udp_and_echo_prolong_nothing_either(names: Names, kind: str) -> None:
    for now, expected in ((60.0 - TICK, alive(names, kind)), (60.0, EXPIRED)):
        gateway = gateway_with(names, now=START)
        tell(gateway, names, "0>", kind)
        assert gateway.handle_packet(INBOUND, error_in(names, kind), START + 30.0).allowed
        assert gateway.handle_packet(OUTBOUND, error_out(names, kind), START + 30.0).allowed
        assert gateway.handle_packet(INBOUND, names.came(kind), START + now) == expected


@pytest.mark.parametrize(
    ("direction", "story", "flags", "ends"),
    [
        (OUTBOUND, "0>", ACK, 90.0),
        (INBOUND, "0>", ACK, 7_440.0),
        (OUTBOUND, "0> 1<", ACK, 7_470.0),
        (INBOUND, "0> 1< 2>F", FIN, 242.0),
        (INBOUND, "0> 1<", RST, 240.0),
        (OUTBOUND, "0> 1< 2<R", ACK, 7_470.0),
        (OUTBOUND, "0> 1< 2<F", SYN, 90.0),
    ],
    ids=["out", "in", "out-answered", "in-fin", "in-rst", "out-after-rst", "out-syn"],
)
@both_names
def test_first_fragments_count_like_whole_packets_and_later_ones_not_at_all(
    names: Names, direction: Direction, story: str, flags: int, ends: float
) -> None:
    first, later = (cut(names, direction, first=which, flags=flags) for which in (True, False))
    for now, expected in ((ends - TICK, alive(names)), (ends, EXPIRED)):
        gateway = gateway_with(names, now=START)
        tell(gateway, names, story)
        assert isinstance(gateway.handle_packet(direction, first, START + 30.0), Translate)
        assert isinstance(gateway.handle_packet(direction, later, START + 34.0), Translate)
        assert gateway.handle_packet(INBOUND, names.came("tcp"), START + now) == expected


@both_names
def test_a_reset_of_the_client_in_a_first_fragment_ends_its_session(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    tell(gateway, names, "0>")
    reset = cut(names, OUTBOUND, first=True, flags=RST)
    assert gateway.handle_packet(OUTBOUND, reset).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == EXPIRED


@both_names
def test_what_is_refused_creates_no_session(names: Names) -> None:
    for packet, reason in {
        names.sent("tcp", port=444): Reason.TCP_PORT,
        error_out(names): Reason.ICMP_ERROR,
        cut(names, OUTBOUND, first=False): Reason.FRAGMENT,
        names.sent("tcp")[:-1]: Reason.MALFORMED,
    }.items():
        gateway = gateway_with(names, Tcp(443), options=GatewayOptions(max_sessions=1))
        assert refusal(gateway.handle_packet(OUTBOUND, packet)) == reason
        assert gateway.handle_packet(INBOUND, names.came("tcp")) == GONE
        assert gateway.counters().nat_sessions == 0
        assert gateway.handle_packet(OUTBOUND, names.sent("tcp", 5402)).allowed


@every_kind
@both_names
def test_what_comes_in_creates_no_session(names: Names, kind: str) -> None:
    gateway = gateway_with(names)
    assert gateway.handle_packets(INBOUND, [names.came(kind)] * 2) == [GONE, GONE]
