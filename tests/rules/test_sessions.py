"""Section 6, sessions: how long each lives, and what ends it."""

from collections.abc import Callable
from functools import partial

import pytest

from firezone_filter import Direction, GatewayOptions, Reason, Tcp, Translate, Udp
from tests.builders import ACK, FIN, RST, SYN, fragment, icmp_error
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
def test_an_answered_session_lives_on_after_its_last_packet_either_way(
    names: Names, kind: str
) -> None:
    idle = IDLE[kind]
    assert_ends(names, "0> 60-<", 60.0 - TICK + idle, kind)
    assert_ends(names, f"0> 1< {1 + idle}->", 1.0 - TICK + 2 * idle, kind)
    # A packet that goes out later begins another.
    assert_ends(names, f"0> 1< {1 + idle}>", 1.0 + idle + 60.0, kind)
    assert_ends(names, "0> 1<@444", 1.0 + idle, kind)


# --- TCP -----------------------------------------------------------------------------------


@stories(
    {
        CLOSED: 8,
        "0> 1<F 2>F": 7,
        "0>SF 1<SAF": 6,
        # Neither retransmitted FINs nor stragglers prolong it.
        f"{CLOSED} 4>FA 5<FA 6> 7<": 8,
        # FINs of one side alone end nothing.
        "0> 1< 2>F 3>F": 7_443,
        "0> 1< 2<F 3<F": 7_443,
        "0>F 3<": 7_443,
        "0> 1>F": 61,
    }
)
@both_names
def test_after_fins_both_ways_a_session_lives_5_seconds(
    names: Names, story: str, ends: float
) -> None:
    assert_ends(names, story, ends)


@pytest.mark.parametrize("flags", ["R", "RA", "RF"])
@pytest.mark.parametrize("arrow", "<>")
@both_names
def test_a_reset_of_either_side_passes_and_ends_the_session_at_once(
    names: Names, arrow: str, flags: str
) -> None:
    story = f"0>S 1<SA 2{arrow}{flags}"
    assert asked(names, story, 2.0) == EXPIRED
    assert asked(names, story, 242.0 - TICK) == EXPIRED
    assert asked(names, story, 242.0) == GONE


@both_names
def test_a_reset_ends_also_what_fins_have_closed_and_what_is_new(names: Names) -> None:
    for story in (f"{CLOSED} 4<R", f"{CLOSED} 4>R", "4>R"):
        assert asked(names, story, 4.0) == EXPIRED
    # Then the client may use its port again.
    assert_ends(names, "0>S 1<R 1>S", 61.0)


@stories(
    {
        # To several ports before, between and after the FINs and resets.
        "0> 1>@444 2>F 3<F": 7_443,
        "0> 1>F 2>@444 3<F": 7_443,
        f"{CLOSED} 4>@444": 7_444,
        "0> 1< 2>@444 3>F 4<F": 7_444,
        "0> 1>@444 2<R": 7_442,
        "0> 1>@444 2<R@444": 7_442,
        "0> 1>@444 2>R": 62,
        "0> 1>R@444": 61,
        "0> 1>@444 2>FR 3<FR": 7_443,
        # Inbound from a port that nothing went to.
        "0> 1>F 2<F@444": 7_442,
        "0> 2<R@444": 7_442,
        # That takes nothing from the right one.
        "0>F 1<FR@444 2<F": 7,
    }
)
@both_names
def test_fins_and_resets_count_only_of_a_session_to_one_port_and_from_that_port(
    names: Names, story: str, ends: float
) -> None:
    assert_ends(names, story, ends)


@stories(
    {
        f"{CLOSED} 4>S": 64,
        f"{CLOSED} 4>S@444": 64,
        # It is confirmed and closed anew, on the port that it has then.
        f"{CLOSED} 8->S 9<SA": 9 + 7_440,
        f"{CLOSED} 8->S 9<SA 10>F 11<F": 16,
        f"{CLOSED} 8->S 9<SA 11<F": 11 + 7_440,
        f"{CLOSED} 4>S@444 5>F@444 6<F@444": 11,
        f"{CLOSED} 4>S@444 5>F@444 6<F@443": 6 + 7_440,
        # Nothing else starts it anew, and nothing does before both FINs.
        f"{CLOSED} 4>SA": 8,
        f"{CLOSED} 4<S": 8,
        f"{CLOSED} 4>A": 8,
        f"{CLOSED} 4>0": 8,
        "0> 1< 2>F 3>S 4<F": 9,
    }
)
@both_names
def test_a_syn_of_the_client_after_both_fins_starts_a_session_anew(
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
def test_a_syn_5_seconds_after_both_fins_begins_another_session(names: Names) -> None:
    gateway = gateway_with(names, now=START)
    tell(gateway, names, CLOSED)
    resolve(gateway, names, real=names.real[1:2])
    syn = partial(names.sent, "tcp", flags=SYN)
    # The first of them starts anew, and lives for 60 seconds.
    for now, real in ((8.0 - TICK, names.real[0]), (68.0 - TICK, names.real[1])):
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
    for story, ends in {"0>": 60.0, "0> 1<": 7_441.0, "0> 1< 2>F": 7_442.0}.items():
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
        (INBOUND, "0>", ACK, 7_470.0),
        (OUTBOUND, "0> 1<", ACK, 7_470.0),
        (INBOUND, "0> 1< 2>F", FIN, 35.0),
    ],
    ids=["out", "in", "out-answered", "in-fin"],
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
def test_a_reset_in_a_first_fragment_ends_its_session(names: Names) -> None:
    for direction in Direction:
        gateway = gateway_with(names, now=START)
        tell(gateway, names, "0>")
        assert gateway.handle_packet(
            direction, cut(names, direction, first=True, flags=RST)
        ).allowed
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
