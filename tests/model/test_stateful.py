"""Section 7, sentence by sentence: which flow a packet belongs to, and what becomes of it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from . import Model
from .flows import FlowModel
from .hand_made import (
    ACK,
    ALICE,
    BOB,
    FIN,
    GATEWAY,
    IN,
    OUT,
    RST,
    SYN,
    AddressPlan,
    Direction,
    Options,
    addresses,
    cidr,
    dns,
    echo,
    fragment,
    gateway,
    icmp,
    ip,
    permit_tcp,
    resolved,
    tcp,
    udp,
)
from .values import Given

A4, A6, B4 = "100.64.0.2", "fd00:2021:1111::2", "100.64.0.3"
FAR4, FAR6 = "10.0.0.1", "2001:db8::1"
REAL4, PROXY4 = "93.184.216.34", "100.96.0.1"
REAL6, PROXY6 = "2606:2800::34", "fd00:2021:1111:8000::1"

FORWARD, TRANSLATE = "forward", "translate"
ALONE, FULL, GONE = "unsolicited", "flows-exhausted", "expired-nat-session"


def stateful(**options: Given) -> Model:
    """Alice and Bob may reach everything in 10.0.0.0/8 and IPv6, and a name."""
    model = gateway(stateful=True, **options)
    model.client_connected("bob", BOB)
    for client in ("alice", "bob"):
        model.authorize(client, cidr("10.0.0.0/8", (), "four"))
    model.authorize("alice", cidr("2000::/3", (), "six"))
    model.authorize("alice", dns("*.example.com"))
    resolved(model, PROXY4, PROXY6, to=(REAL4, REAL6))
    return model


def handed(model: Model, direction: Direction, packet: bytes, now: float | None = None) -> str:
    """Hand in a packet; say what becomes of it in a word."""
    decision = model.handle_packet(direction, packet, now)
    return str(decision[0] if decision[0] in (FORWARD, TRANSLATE) else decision[-2])


def bare(path: str, protocol: int) -> bytes:
    source, destination = (ip_address(text) for text in path.split(" > "))
    return ip(source, destination, protocol, b"data")


# Which flow --------------------------------------------------------------------------

TO, BACK = f"{A4}:5000 > {FAR4}:443", f"{FAR4}:443 > {A4}:5000"
TO6, BACK6 = f"[{A6}]:5000 > [{FAR6}]:443", f"[{FAR6}]:443 > [{A6}]:5000"
PATH, PATH_BACK = f"{A4} > {FAR4}", f"{FAR4} > {A4}"
PATH6, PATH6_BACK = f"{A6} > {FAR6}", f"{FAR6} > {A6}"
ALIAS, ALIAS_BACK = f"{A4}:5000 > {PROXY4}:443", f"{REAL4}:443 > {A4}:5000"


@pytest.mark.parametrize(
    ("sent", "comes", "belongs"),
    [
        (tcp(TO, SYN), tcp(BACK), True),
        (tcp(TO6, SYN), tcp(BACK6), True),
        (tcp(TO, SYN), tcp(f"{FAR4}:444 > {A4}:5000"), False),
        (tcp(TO, SYN), tcp(f"{FAR4}:443 > {A4}:5001"), False),
        (tcp(TO, SYN), tcp(f"10.0.0.2:443 > {A4}:5000"), False),
        (tcp(TO, SYN), tcp(f"{FAR4}:443 > {B4}:5000"), False),
        (tcp(TO, SYN), tcp(f"{FAR4}:5000 > {A4}:443"), False),
        (tcp(TO, SYN), udp(BACK), False),
        (udp(TO), udp(BACK), True),
        (udp(TO6), udp(BACK6), True),
        (udp(TO), udp(f"{FAR4}:444 > {A4}:5000"), False),
        (echo(PATH, 7), echo(PATH_BACK, 7, reply=True), True),
        (echo(PATH6, 7), echo(PATH6_BACK, 7, reply=True), True),
        (echo(PATH, 7), echo(PATH_BACK, 8, reply=True), False),
        # An inbound echo request, or an outbound reply, belongs to none.
        (echo(PATH, 7), echo(PATH_BACK, 7), False),
        (echo(PATH, 7, reply=True), echo(PATH_BACK, 7, reply=True), False),
        (echo(PATH, 7, reply=True), echo(PATH_BACK, 7), False),
        # Other requests: their type, whatever their id.
        *((icmp(PATH, n), icmp(PATH_BACK, n + 1, rest=9 << 16), True) for n in (13, 15, 17, 42)),
        *((icmp(PATH6, n), icmp(PATH6_BACK, n + 1, rest=9 << 16), True) for n in (139, 160)),
        (icmp(PATH, 13), icmp(PATH_BACK, 16), False),
        (icmp(PATH, 13), icmp(PATH_BACK, 0), False),
        (icmp(PATH, 13), icmp(PATH_BACK, 13), False),
        (icmp(PATH, 14), icmp(PATH_BACK, 14), False),
        (icmp(PATH, 14), icmp(PATH_BACK, 13), False),
        (icmp(PATH6, 140), icmp(PATH6_BACK, 139), False),
        # ICMPv6 types mean nothing in ICMPv4, and every other type belongs to none.
        (icmp(PATH, 139), icmp(PATH_BACK, 140), False),
        (icmp(PATH, 40), icmp(PATH_BACK, 40), False),
        (icmp(PATH6, 200), icmp(PATH6_BACK, 200), False),
        # Other protocols: nothing more.
        (bare(PATH, 47), bare(PATH_BACK, 47), True),
        (bare(PATH6, 132), bare(PATH6_BACK, 132), True),
        (bare(PATH, 47), bare(PATH_BACK, 50), False),
    ],
)
def test_only_what_belongs_to_a_flow_comes_in(sent: bytes, comes: bytes, *, belongs: bool) -> None:
    model = stateful()
    assert handed(model, IN, comes) == ALONE
    assert handed(model, OUT, sent) == FORWARD
    assert handed(model, IN, comes) == (FORWARD if belongs else ALONE)


@pytest.mark.parametrize(
    ("sent", "begun"),
    [
        (tcp(TO, SYN), 1),
        (tcp(TO, ACK), 1),
        (tcp(TO, FIN), 1),
        (tcp(TO, 0), 1),
        (tcp(TO, RST), 0),
        (tcp(TO, RST | ACK), 0),
        (tcp(TO, RST | FIN), 0),
        # It begins one, and ends it at once.
        (tcp(TO, RST | SYN), 0),
        (udp(TO), 1),
        (echo(PATH, 7), 1),
        (echo(PATH, 7, reply=True), 0),
        (icmp(PATH, 40), 0),
        (bare(PATH, 47), 1),
        (fragment(PATH, 17, udp(TO)[20:], more=True), 1),
        (udp(f"{A4}:1 > 100.64.0.1:53535"), 0),
        (echo(f"{A4} > 100.64.0.1", 7), 0),
    ],
)
def test_what_begins_a_flow(sent: bytes, begun: int) -> None:
    model = stateful()
    assert handed(model, OUT, sent) == FORWARD
    assert model.flows == begun


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (udp(f"{A4}:1 > 11.0.0.1:2"), "no-resource"),
        (udp(f"{A4}:1 > {B4}:2"), "peer-address"),
        (icmp(f"{A4} > {PROXY4}", 13), "protocol"),
        (udp(f"{A4}:1 > 100.96.0.2:2"), "no-translation"),
        (udp(f"{A4}:1 > {PROXY4}:2"), "nat-exhausted"),
    ],
)
def test_what_is_refused_begins_none(packet: bytes, reason: str) -> None:
    model = stateful(max_sessions_per_client=0)
    model.domain_resolved(
        "alice", "dns", "example.com", proxy_addresses=["100.96.0.2"], resolved_addresses=[]
    )
    assert handed(model, OUT, packet) == reason
    assert model.flows == 0


def test_without_stateful_there_is_none() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    assert handed(model, IN, tcp(BACK)) == FORWARD
    assert handed(model, OUT, tcp(TO)) == FORWARD
    assert model.flows == 0


def test_it_permits_nothing_that_another_row_refuses() -> None:
    model = stateful()
    model.handle_packet(OUT, tcp(TO, SYN))
    model.update_resource(cidr("10.0.0.0/8", permit_tcp(80), "four"))
    assert handed(model, IN, tcp(BACK)) == "tcp-port"
    # The flow lives, and is judged by the filters anyway.
    model.update_resource(cidr("10.0.0.0/8", permit_tcp(443), "four"))
    assert handed(model, IN, tcp(BACK)) == FORWARD


@pytest.mark.parametrize(
    "packet",
    [udp(f"100.64.0.1:53535 > {A4}:1"), echo(f"100.64.0.1 > {A4}", 7, reply=True)],
)
def test_the_gateway_itself_is_exempt(packet: bytes) -> None:
    model = stateful(max_flows=0)
    assert handed(model, IN, packet) == FORWARD
    assert handed(model, OUT, udp(f"{A4}:1 > 100.64.0.1:53535")) == FORWARD
    quote = udp(f"{A4}:1 > 100.64.0.1:53535")
    assert handed(model, IN, icmp(f"10.0.0.9 > {A4}", 3, payload=quote)) == FORWARD


# How flows end -----------------------------------------------------------------------

FLAGS = {"S": SYN, "A": ACK, "F": FIN, "R": RST}
HELLO = "0 >S | 0 <SA | 0 >A"
PASSES = "passes"


def played(script: str, *, translated: bool = False) -> str:
    """Play what happens in one TCP flow; say what becomes of the last packet.

    Each step is the seconds since the beginning, `>` out or `<` in, and the flags.
    """
    model, became = stateful(), ""
    out, back = (ALIAS, ALIAS_BACK) if translated else (TO, BACK)
    for step in script.split(" | "):
        seconds, what = step.split(" ")
        flags = sum(FLAGS[letter] for letter in what[1:])
        way = (OUT, out) if what[0] == ">" else (IN, back)
        became = handed(model, way[0], tcp(way[1], flags), 1000 + float(seconds))
    return PASSES if became in (FORWARD, TRANSLATE) else became


ENDINGS = [
    # Nothing came back yet: 60 s after the last packet out.
    ("59.999", "0 >S", "60"),
    ("89.999", "0 >S | 30 >S", "90"),
    # 2 h 4 min, but not for the sake of what comes in.
    ("7439.999", HELLO, "7440"),
    ("7439.999", f"{HELLO} | 5000 <A", "7440"),
    ("14439.999", f"{HELLO} | 7000 >A", "14440"),
    ("7440.999", f"{HELLO} | 1 >FA", "7441"),
    ("7439.999", f"{HELLO} | 1 <FA", "7440"),
    # FINs both ways: 240 s after the last packet out.
    ("240.999", f"{HELLO} | 1 >FA | 1 <FA", "241"),
    ("240.999", f"{HELLO} | 1 <FA | 1 >FA", "241"),
    ("240.999", f"{HELLO} | 1 >FA | 1 <FA | 240 <A", "241"),
    ("479.999", f"{HELLO} | 1 >FA | 1 <FA | 240 >A", "480"),
    # A RST from outside likewise, until any other packet out takes it back.
    ("239.999", f"{HELLO} | 5 <R", "240"),
    ("7445.999", f"{HELLO} | 5 <R | 6 >A", "7446"),
    ("7445.999", f"{HELLO} | 5 <R | 6 >SA", "7446"),
    ("245.999", f"{HELLO} | 5 <R | 6 >A | 7 <R", "246"),
    ("242.999", f"{HELLO} | 1 >FA | 2 <FR | 3 >A", "243"),
    ("7442.999", f"{HELLO} | 1 >FA | 2 <R | 3 >A", "7443"),
    # A SYN without ACK after a FIN or a RST: anew.
    ("65.999", f"{HELLO} | 1 >FA | 6 >S", "66"),
    ("65.999", f"{HELLO} | 1 <FA | 6 >S", "66"),
    ("65.999", f"{HELLO} | 1 >FA | 2 <FA | 6 >S", "66"),
    ("65.999", f"{HELLO} | 5 <R | 6 >S", "66"),
    ("7445.999", f"{HELLO} | 1 >FA | 2 <FA | 6 >S | 7 <SA", "7446"),
    # Nothing else restarts it.
    ("7445.999", f"{HELLO} | 6 >S", "7446"),
    ("245.999", f"{HELLO} | 1 >FA | 2 <FA | 6 >SA", "246"),
    ("245.999", f"{HELLO} | 1 >FA | 2 <FA | 6 >A", "246"),
    ("7439.999", f"{HELLO} | 1 <FA | 6 <S", "7440"),
    # A RST that was taken back is none.
    ("7446.999", f"{HELLO} | 5 <R | 6 >A | 7 >S", "7447"),
    # A SYN that is also FIN restarts first.
    ("65.999", f"{HELLO} | 1 <FA | 6 >SF", "66"),
    ("245.999", f"{HELLO} | 1 <FA | 6 >SF | 7 <FA", "246"),
    ("7445.999", f"{HELLO} | 1 <FA | 6 >SF | 7 <A", "7446"),
    ("7445.999", f"{HELLO} | 1 <FA | 6 >SF | 7 <A | 8 >SA", "7448"),
    # Both sides open at once.
    ("7440.999", "0 >S | 0.5 <S | 1 >SA", "7441"),
    # A FIN or a RST that makes a moment count that is not there yet.
    ("239.999", f"{HELLO} | 239 <R", "240"),
]


@pytest.mark.parametrize(("before", "script", "over"), ENDINGS)
def test_when_tcp_flows_end(before: str, script: str, over: str) -> None:
    assert played(f"{script} | {before} <A") == PASSES
    assert played(f"{script} | {over} <A") == ALONE


@pytest.mark.parametrize(
    ("script", "becomes"),
    [
        # A RST from the client: at once, and it passes itself.
        (f"{HELLO} | 5 >R", PASSES),
        (f"{HELLO} | 5 >R | 5 <A", ALONE),
        (f"{HELLO} | 5 >RA | 5 <A", ALONE),
        (f"{HELLO} | 5 >SR | 5 <A", ALONE),
        (f"{HELLO} | 1 <FA | 2 >SR | 2 <A", ALONE),
        (f"{HELLO} | 5 >R | 6 >S | 6 <SA", PASSES),
        (f"{HELLO} | 5 >R | 6 >A | 6 <A", PASSES),
        ("0 >R | 0 <A", ALONE),
        ("0 >SR | 0 <A", ALONE),
        # A moment that has passed already: it goes with that packet.
        (f"{HELLO} | 240 <R", PASSES),
        (f"{HELLO} | 240 <R | 240 <A", ALONE),
        (f"{HELLO} | 1 >FA | 241 <FA", PASSES),
        (f"{HELLO} | 1 >FA | 241 <FA | 241 <A", ALONE),
        # The client's next packet begins it again, whatever it is.
        (f"{HELLO} | 7440 <A", ALONE),
        (f"{HELLO} | 7440 >A | 7440 <A", PASSES),
        # Unasked for; then it opens the same flow itself.
        ("0 <S | 0 >SA | 0 <A", PASSES),
        ("0 <S", ALONE),
    ],
)
def test_what_becomes_of_a_tcp_flow(script: str, becomes: str) -> None:
    assert played(script) == becomes


@pytest.mark.parametrize(
    ("script", "becomes"),
    [
        ("0 >S | 59.999 <SA", PASSES),
        ("0 >S | 60 <SA", GONE),
        (f"{HELLO} | 7439.999 <A", PASSES),
        (f"{HELLO} | 7440 <A", GONE),
        (f"{HELLO} | 5 >R | 5 <A", GONE),
        ("0 <SA", "no-resource"),
    ],
)
def test_translated_flows_end_with_their_sessions(script: str, becomes: str) -> None:
    assert played(script, translated=True) == becomes


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        (udp(TO), udp(BACK)),
        (udp(TO6), udp(BACK6)),
        (echo(PATH, 7), echo(PATH_BACK, 7, reply=True)),
        (icmp(PATH6, 139), icmp(PATH6_BACK, 140)),
        (bare(PATH, 47), bare(PATH_BACK, 47)),
    ],
)
def test_when_other_flows_end(sent: bytes, back: bytes) -> None:
    def passed(*steps: tuple[Direction, float]) -> bool:
        model = stateful()
        packets = {OUT: sent, IN: back}
        return [handed(model, way, packets[way], 1000 + at) for way, at in steps][-1] == FORWARD

    assert passed((OUT, 0), (IN, 59.999))
    assert not passed((OUT, 0), (IN, 60))
    assert passed((OUT, 0), (IN, 1), (IN, 120.999))
    assert not passed((OUT, 0), (IN, 1), (IN, 121))
    assert passed((OUT, 0), (IN, 1), (OUT, 50), (IN, 169.999))
    assert not passed((OUT, 0), (IN, 1), (OUT, 50), (IN, 170))
    # What comes in prolongs it to 2 h 4 min after the last packet out.
    long = [(IN, at) for at in range(50, 7440, 119)]
    assert passed((OUT, 0), *long, (IN, 7439.999))
    assert not passed((OUT, 0), *long, (IN, 7440))


def test_before_the_first_now_no_moment_has_passed() -> None:
    model = Model(GATEWAY, address_plan=AddressPlan(), options=Options(stateful=True))
    model.client_connected("alice", ALICE)
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.handle_packet(OUT, tcp(TO, SYN))
    model.handle_packet(IN, tcp(BACK, RST))
    assert handed(model, IN, tcp(BACK), 5000) == FORWARD
    assert handed(model, IN, tcp(BACK), 5239.5) == FORWARD
    assert handed(model, IN, tcp(BACK), 5240) == ALONE


@pytest.mark.parametrize("now", [0, 1009.5, 1.75e9])
def test_a_flow_keeps_what_it_had_left_when_the_clock_is_set(now: float) -> None:
    model = stateful()
    model.handle_packet(OUT, udp(TO), 1000)
    model.handle_timeout(1010)
    model.clock_set(now)
    assert handed(model, IN, udp(BACK), now + 49.999) == FORWARD
    assert handed(model, IN, udp(BACK), now + 169.999) == ALONE


# What ends flows, and what does not --------------------------------------------------


@pytest.mark.parametrize(
    ("change", "direct", "translated"),
    [
        (lambda model: model.revoke("alice", "four"), "no-resource", TRANSLATE),
        (lambda model: model.revoke("alice", "dns"), FORWARD, "no-resource"),
        (lambda model: model.revoke("alice", "six"), FORWARD, TRANSLATE),
        (lambda model: model.revoke("bob", "four"), FORWARD, TRANSLATE),
        (lambda model: model.update_expiry("alice", "four", 1000), "no-resource", TRANSLATE),
        (
            lambda model: model.retain_authorizations({"alice": {"dns"}}),
            "no-resource",
            TRANSLATE,
        ),
        (lambda model: model.client_connected("alice", ALICE), "no-resource", "no-resource"),
        (lambda model: model.client_disconnected("alice"), "unknown-client", "unknown-client"),
    ],
)
def test_what_ends_flows(change: Given, direct: str, translated: str) -> None:
    model = began()
    change(model)
    assert handed(model, IN, tcp(BACK)) == direct
    assert handed(model, IN, tcp(ALIAS_BACK)) == translated
    if direct == "unknown-client":
        model.client_connected("alice", ALICE)
    # Given anew, the flows that have ended stay gone.
    model.authorize("alice", cidr("10.0.0.0/8", (), "four"))
    assert handed(model, IN, tcp(BACK)) == (FORWARD if direct == FORWARD else ALONE)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.update_resource(cidr("10.0.0.0/8", permit_tcp(443), "four")),
        lambda model: model.update_expiry("alice", "four", 5000),
        lambda model: model.authorize("alice", cidr("10.0.0.0/8", (), "four"), expires_at=5000),
        lambda model: model.authorize("alice", cidr("10.0.0.0/24", (), "more")),
        lambda model: resolved(model, PROXY4, to=("9.9.9.9",)),
        lambda model: model.domain_withdrawn("alice", "www.example.com"),
        lambda model: model.domain_withdrawn("bob", "example.com"),
        lambda model: model.set_addresses(addresses("100.64.0.9")),
        lambda model: model.client_disconnected("bob"),
    ],
)
def test_what_leaves_flows_alone(change: Given) -> None:
    model = began()
    change(model)
    assert handed(model, IN, tcp(BACK)) == FORWARD
    assert handed(model, IN, tcp(ALIAS_BACK)) == TRANSLATE


def began() -> Model:
    model = stateful()
    assert handed(model, OUT, tcp(TO, SYN)) == FORWARD
    assert handed(model, OUT, tcp(ALIAS, SYN)) == TRANSLATE
    assert model.flows == 2
    return model


def test_a_flow_ends_with_its_proxy_address() -> None:
    model = began()
    resolved(model, PROXY4, to=(REAL4,), domain="www.example.com")
    assert model.flows == 1
    assert handed(model, IN, tcp(BACK)) == FORWARD
    # Without its session, it is the real address that it comes from.
    assert handed(model, IN, tcp(ALIAS_BACK)) == "no-resource"


def test_flows_end_with_the_name_that_is_withdrawn() -> None:
    model = began()
    other = f"{A4}:5001 > 100.96.0.2:443"
    resolved(model, "100.96.0.2", to=("8.8.8.8",), domain="www.example.com")
    for sent in (tcp(other, SYN), udp(f"[{A6}]:1 > [{PROXY6}]:2")):
        assert handed(model, OUT, sent) == TRANSLATE
    assert model.flows == 4
    assert model.domain_withdrawn("alice", "example.com")
    assert model.flows == 2
    assert handed(model, IN, tcp(BACK)) == FORWARD
    assert handed(model, IN, tcp(f"8.8.8.8:443 > {A4}:5001")) == TRANSLATE
    assert handed(model, IN, tcp(ALIAS_BACK)) == "no-resource"
    # Given anew, and with a session that would translate it, the flow stays gone.
    resolved(model, PROXY4, to=(REAL4,))
    assert handed(model, OUT, tcp(f"{A4}:5000 > {PROXY4}:80", SYN)) == TRANSLATE
    assert handed(model, IN, tcp(ALIAS_BACK)) == ALONE
    assert handed(model, IN, tcp(f"{REAL4}:80 > {A4}:5000")) == TRANSLATE


def test_a_proxy_that_another_resource_named_too_outlives_the_flow() -> None:
    model = began()
    model.authorize("alice", dns("**.com", (), "more"))
    model.domain_resolved(
        "alice", "more", "example.com", proxy_addresses=[PROXY4], resolved_addresses=[REAL4]
    )
    model.revoke("alice", "dns")
    # "dns" permitted the first packet; the session lives on with the proxy address.
    assert handed(model, IN, tcp(ALIAS_BACK)) == ALONE
    assert handed(model, OUT, tcp(ALIAS)) == TRANSLATE
    assert handed(model, IN, tcp(ALIAS_BACK)) == TRANSLATE


@pytest.mark.parametrize(("restarted", "lives"), [(False, False), (True, True)])
def test_a_flow_ends_with_what_permitted_its_first_packet_or_its_restart(
    *, restarted: bool, lives: bool
) -> None:
    model = stateful()
    model.handle_packet(OUT, tcp(TO, FIN))
    # From here on the other permits it: its prefix is longer.
    model.authorize("alice", cidr("10.0.0.0/24", (), "narrow"))
    assert model.handle_packet(OUT, tcp(TO, SYN if restarted else ACK))[-1] == "narrow"
    model.revoke("alice", "four")
    assert handed(model, IN, tcp(BACK)) == (FORWARD if lives else ALONE)


# Fragments and ICMP errors -----------------------------------------------------------


def test_later_fragments_follow_their_first_whatever_becomes_of_the_flow() -> None:
    model = stateful()
    data = tcp(BACK)[20:] + bytes(4)
    first = fragment(PATH_BACK, 6, data, more=True)
    later = fragment(PATH_BACK, 6, b"x", offset=24)
    assert handed(model, IN, first) == ALONE
    assert handed(model, IN, later) == "fragment"
    model.handle_packet(OUT, tcp(TO, SYN))
    assert handed(model, IN, first) == FORWARD
    model.handle_packet(OUT, tcp(TO, RST))
    assert model.flows == 0
    assert handed(model, IN, later) == FORWARD
    # A second first fragment is judged anew.
    assert handed(model, IN, first) == ALONE
    assert handed(model, IN, later) == "fragment"


def test_later_fragments_and_errors_do_nothing_to_a_flow() -> None:
    model = stateful()
    first = fragment(PATH, 17, udp(TO)[20:], more=True)
    assert handed(model, OUT, first, 1000) == FORWARD
    later = fragment(PATH, 17, b"x", offset=8)
    assert handed(model, OUT, later, 1020) == FORWARD
    error = icmp(f"10.9.9.9 > {A4}", 3, payload=udp(TO))
    assert handed(model, IN, error, 1030) == FORWARD
    # Still unanswered, since 1000.
    assert handed(model, IN, udp(BACK), 1060) == ALONE


@pytest.mark.parametrize(
    ("sent", "direction", "quote"),
    [
        (tcp(TO, SYN), IN, tcp(TO, ACK)),
        (tcp(TO, SYN), OUT, tcp(BACK)),
        (tcp(TO6, SYN), IN, tcp(TO6, SYN)),
        (tcp(TO6, SYN), OUT, tcp(BACK6)),
        (echo(PATH, 7), IN, echo(PATH, 7)),
        (echo(PATH, 7), OUT, echo(PATH_BACK, 7, reply=True)),
        (icmp(PATH, 13), OUT, icmp(PATH_BACK, 14)),
        (bare(PATH, 47), IN, bare(PATH, 47)),
    ],
)
def test_errors_pass_with_the_flow_of_what_they_quote(
    sent: bytes, direction: Direction, quote: bytes
) -> None:
    model = stateful()
    far, near = (FAR6, A6) if quote[0] >> 4 == 6 else (FAR4, A4)
    path = f"{far} > {near}" if direction is IN else f"{near} > {far}"
    error = icmp(path, 1 if ":" in path else 3, payload=quote)
    assert handed(model, direction, error) == "icmp-error"
    model.handle_packet(OUT, sent)
    assert handed(model, direction, error) == FORWARD


@pytest.mark.parametrize(
    ("direction", "quote"),
    [
        (IN, tcp(f"{A4}:5001 > {FAR4}:443")),
        (IN, tcp(f"{A4}:5000 > {FAR4}:444")),
        (IN, udp(TO)),
        # What belongs to no flow is not asked for, and no answer to it either.
        (IN, echo(PATH, 7, reply=True)),
        (OUT, echo(PATH_BACK, 7)),
        (IN, icmp(PATH, 40)),
    ],
)
def test_errors_about_no_flow_are_refused(direction: Direction, quote: bytes) -> None:
    model = stateful()
    model.handle_packet(OUT, tcp(TO, SYN))
    model.handle_packet(OUT, echo(PATH, 7))
    error = icmp(PATH_BACK if direction is IN else PATH, 3, payload=quote)
    assert handed(model, direction, error) == "icmp-error"


# Through the NAT ---------------------------------------------------------------------


def test_a_translated_flow_has_the_clients_own_port() -> None:
    model = stateful()
    resolved(model, "100.96.0.2", to=(REAL4,))
    other = f"{A4}:5000 > 100.96.0.2:443"
    for flow in (ALIAS, other):
        model.handle_packet(OUT, udp(flow))
    # The second has another port outside, and each resource port is a flow of its own.
    assert model.handle_packet(IN, udp(f"{REAL4}:443 > {A4}:5001"))[:1] == (TRANSLATE,)
    assert handed(model, IN, udp(f"{REAL4}:444 > {A4}:5001")) == ALONE
    quotes = {443: TRANSLATE, 444: "icmp-error"}
    for port, becomes in quotes.items():
        error = icmp(f"{REAL4} > {A4}", 3, payload=udp(f"{A4}:5001 > {REAL4}:{port}"))
        assert handed(model, IN, error) == becomes
        proxied = udp(f"100.96.0.2:{port} > {A4}:5000")
        assert handed(model, OUT, icmp(f"{A4} > 100.96.0.2", 3, payload=proxied)) == becomes


def test_the_row_is_the_last_also_behind_a_session() -> None:
    model = stateful()
    model.handle_packet(OUT, tcp(ALIAS, SYN))
    model.update_resource(dns("*.example.com", permit_tcp(443)))
    for port, becomes in ((80, "tcp-port"), (443, TRANSLATE)):
        assert handed(model, IN, tcp(f"{REAL4}:{port} > {A4}:5000")) == becomes


def test_an_unsolicited_packet_keeps_no_session_alive() -> None:
    model = stateful()
    model.handle_packet(OUT, udp(ALIAS), 1000)
    assert handed(model, IN, udp(f"{REAL4}:444 > {A4}:5000"), 1059) == ALONE
    assert handed(model, IN, udp(ALIAS_BACK), 1060) == GONE


@pytest.mark.parametrize(
    ("sent", "comes"),
    [
        (f"{A4}:5000 > {REAL4}:80", f"{REAL4}:80 > {A4}:5000"),
        # The session's own port: then it is translated, since that belongs to a flow.
        (f"{A4}:5000 > {REAL4}:443", ALIAS_BACK),
    ],
)
def test_an_answer_to_a_direct_flow_is_judged_as_it_came(sent: str, comes: str) -> None:
    model = stateful()
    model.authorize("alice", cidr(f"{REAL4}/32", (), "direct"))
    model.handle_packet(OUT, udp(ALIAS))
    assert handed(model, IN, udp(f"{REAL4}:80 > {A4}:5000")) == ALONE
    model.handle_packet(OUT, udp(sent))
    expected = TRANSLATE if comes == ALIAS_BACK else FORWARD
    assert handed(model, IN, udp(comes)) == expected
    error = icmp(f"{REAL4} > {A4}", 3, payload=udp(sent))
    assert handed(model, IN, error) == expected
    model.revoke("alice", "direct")
    assert handed(model, IN, udp(comes)) == (expected if comes == ALIAS_BACK else ALONE)


# Room --------------------------------------------------------------------------------


def begin(model: Model, port: int, kind: str, near: str = A4) -> None:
    """Bring a flow to where it may give way, or may not."""
    out, back = f"{near}:{port} > {FAR4}:443", f"{FAR4}:443 > {near}:{port}"
    steps = {
        "unanswered": [(OUT, out, SYN)],
        "answered": [(OUT, out, SYN), (IN, back, SYN | ACK)],
        "said fin": [(OUT, out, SYN), (IN, back, SYN | ACK), (OUT, out, FIN | ACK)],
        "heard fin": [(OUT, out, SYN), (IN, back, FIN | ACK)],
        "closing": [(OUT, out, FIN | ACK), (IN, back, FIN | ACK)],
        "reset": [(OUT, out, SYN), (IN, back, RST)],
        "taken back": [(OUT, out, SYN), (IN, back, RST), (OUT, out, ACK)],
    }
    for direction, flow, flags in steps[kind]:
        assert handed(model, direction, tcp(flow, flags)) == FORWARD


def left(model: Model, client: str) -> list[Given]:
    return sorted(flow.name[3][0] for flow in model._clients[client].flows)


@pytest.mark.parametrize(
    ("kinds", "goes"),
    [
        (("unanswered", "said fin", "closing"), 3),
        (("unanswered", "said fin", "reset"), 3),
        (("unanswered", "said fin", "answered"), 2),
        (("answered", "unanswered", "heard fin"), 2),
        (("answered", "taken back", "unanswered"), 3),
        # Of a kind, the longest without a packet.
        (("closing", "reset", "answered"), 1),
        (("said fin", "said fin", "answered"), 1),
        (("answered", "unanswered", "unanswered"), 2),
        (("answered", "heard fin", "taken back"), None),
    ],
)
@pytest.mark.parametrize("limit", ["max_flows_per_client", "max_flows"])
def test_which_flow_gives_way(kinds: tuple[str, ...], goes: int | None, limit: str) -> None:
    model = stateful(**{limit: 3})
    for port, kind in enumerate(kinds, 1):
        begin(model, port, kind)
    becomes = handed(model, OUT, tcp(f"{A4}:4 > {FAR4}:443", SYN))
    assert becomes == (FULL if goes is None else FORWARD)
    wanted = [1, 2, 3] if goes is None else sorted({1, 2, 3, 4} - {goes})
    assert left(model, "alice") == wanted
    if goes is None:
        # Also for one that would end at once.
        assert handed(model, OUT, tcp(f"{A4}:4 > {FAR4}:443", SYN | RST)) == FULL
    # What belongs to a flow, or begins none, needs no room.
    assert handed(model, OUT, tcp(f"{A4}:{wanted[0]} > {FAR4}:443")) == FORWARD
    assert handed(model, OUT, tcp(f"{A4}:9 > {FAR4}:443", RST)) == FORWARD
    assert handed(model, OUT, echo(PATH, 7, reply=True)) == FORWARD
    assert model.flows == 3


@pytest.mark.parametrize(("direction", "goes"), [(IN, 2), (OUT, 2), (None, 1)])
def test_a_packet_either_way_puts_a_flow_behind_the_others(
    direction: Direction | None, goes: int
) -> None:
    model = stateful(max_flows_per_client=2)
    for port in (1, 2):
        begin(model, port, "closing")
    if direction is not None:
        back = f"{FAR4}:443 > {A4}:1" if direction is IN else f"{A4}:1 > {FAR4}:443"
        assert handed(model, direction, tcp(back)) == FORWARD
    begin(model, 3, "unanswered")
    assert left(model, "alice") == sorted({1, 2, 3} - {goes})


def test_at_the_limit_of_all_one_of_the_client_that_has_most_gives_way() -> None:
    model = stateful(max_flows=3)
    begin(model, 1, "unanswered", B4)
    begin(model, 1, "unanswered")
    begin(model, 2, "unanswered")
    begin(model, 2, "unanswered", B4)
    assert (left(model, "alice"), left(model, "bob")) == ([2], [1, 2])
    begin(model, 3, "unanswered")
    assert (left(model, "alice"), left(model, "bob")) == ([2, 3], [2])


def test_of_equals_the_one_that_connected_first_gives_way() -> None:
    model = stateful(max_flows=2)
    begin(model, 1, "unanswered")
    begin(model, 1, "unanswered", B4)
    begin(model, 2, "unanswered", B4)
    assert (left(model, "alice"), left(model, "bob")) == ([], [1, 2])


def test_nobody_else_is_asked() -> None:
    model = stateful(max_flows=3)
    begin(model, 1, "answered")
    begin(model, 2, "answered")
    begin(model, 1, "unanswered", B4)
    assert handed(model, OUT, tcp(f"{B4}:2 > {FAR4}:443", SYN)) == FULL
    assert handed(model, OUT, tcp(f"{A4}:3 > {FAR4}:443", SYN)) == FULL


@pytest.mark.parametrize(
    ("packet", "with_room", "without"),
    [
        (icmp(f"{A4} > {PROXY4}", 13), "protocol", FULL),
        (bare(f"{A4} > {PROXY4}", 47), "protocol", FULL),
        (icmp(f"{A4} > {PROXY4}", 14), "protocol", "protocol"),
        (udp(f"{A4}:1 > 100.96.0.2:2"), "no-translation", FULL),
        (udp(f"{A4}:1 > {PROXY4}:2"), "nat-exhausted", FULL),
        (udp(f"{A4}:1 > 11.0.0.1:2"), "no-resource", "no-resource"),
    ],
)
def test_room_is_made_only_for_what_passes_every_row(
    packet: bytes, with_room: str, without: str
) -> None:
    for kind, becomes in (("unanswered", with_room), ("answered", without)):
        model = stateful(max_flows_per_client=1, max_sessions_per_client=0)
        model.domain_resolved(
            "alice", "dns", "example.com", proxy_addresses=["100.96.0.2"], resolved_addresses=[]
        )
        begin(model, 1, kind)
        assert handed(model, OUT, packet) == becomes
        assert left(model, "alice") == [1]


def test_a_refusal_for_want_of_room_is_silent_and_makes_no_session() -> None:
    model = stateful(max_flows_per_client=0)
    assert model.handle_packet(OUT, udp(ALIAS)) == ("drop", FULL, "alice")
    assert len(model._clients["alice"].sessions) == 0


def test_flows_are_counted() -> None:
    model = FlowModel(GATEWAY, address_plan=AddressPlan(), options=Options(stateful=True))
    model.client_connected("alice", ALICE, 1000)
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.handle_packet(OUT, udp(TO))
    model.handle_packet(OUT, udp(f"{A4}:1 > {FAR4}:2"))
    assert model.counters()["flows"] == 2
    model.handle_timeout(1059.5)
    assert model.counters()["flows"] == 2
    model.handle_timeout(1060)
    assert model.counters()["flows"] == 0
