"""Section 7, DNS resources: the session translates, and the flow decides who was asked."""

from typing import Final

import pytest

from firezone_filter import CidrResource, Drop, Forward, Gateway, GatewayOptions, Reason, Tcp, Udp
from firezone_filter.testing import ACK, FIN, RST, SYN, fragment, icmp_echo, icmp_error
from tests.established import tcp_and_udp
from tests.rules.solicited import STATEFUL, UNSOLICITED, live_flows
from tests.scenes import INBOUND, OUTBOUND, gateway_for_alice, reasons
from tests.translations import (
    EXPIRED,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_with,
    resolve,
    through,
)

NOT_PASSED: Final = Drop(Reason.ICMP_ERROR, "alice")
DIRECT: Final = Forward("alice", "direct")


def told(names: Names, far: str, quote: bytes) -> bytes:
    """Build an error to the client about what it sent."""
    family = names.family
    return icmp_error(f"{far} > {family.client}", family.unreachable, quoting=quote)


def telling(names: Names, far: str, quote: bytes) -> bytes:
    """Build an error of the client about what it got."""
    family = names.family
    return icmp_error(f"{family.client} > {far}", family.unreachable, quoting=quote)


# --- The resource's port -------------------------------------------------------------------


@tcp_and_udp
@both_names
def test_a_session_is_of_every_port_of_the_resource_and_a_flow_of_one(
    names: Names, kind: str
) -> None:
    proxy = names.proxies[0]
    other = names.came(kind, port=444)
    # Without `stateful`, what comes from any port is the session's.
    gateway = gateway_with(names)
    assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
    passes = through(names.came(kind, port=444, far=proxy))
    assert gateway.handle_packet(INBOUND, other) == passes
    gateway = gateway_with(names, options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
    assert gateway.handle_packets(INBOUND, [other] * 2) == [UNSOLICITED] * 2
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, port=444)).allowed
    assert gateway.handle_packets(INBOUND, [other] * 2) == [passes] * 2
    assert gateway.counters().nat_sessions == 1
    assert gateway.counters().flows == 2


@tcp_and_udp
@both_names
def test_each_flow_of_a_session_ends_by_itself(names: Names, kind: str) -> None:
    for now, expected in ((60.0 - TICK, None), (60.0, Reason.UNSOLICITED)):
        gateway = gateway_with(names, options=STATEFUL)
        assert gateway.handle_packet(OUTBOUND, names.sent(kind), 0.0).allowed
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, port=444), 30.0).allowed
        assert gateway.handle_packet(INBOUND, names.came(kind, port=444), 31.0).allowed
        assert reasons(gateway, INBOUND, [names.came(kind)], now) == [expected]
        assert gateway.counters().flows == (2 if expected is None else 1)
        assert gateway.handle_packet(INBOUND, names.came(kind, port=444)).allowed


@both_names
def test_what_is_unsolicited_prolongs_and_confirms_no_session(names: Names) -> None:
    for now, sessions in ((60.0 - TICK, 1), (60.0, 0)):
        gateway = gateway_with(names, options=STATEFUL)
        assert gateway.handle_packet(OUTBOUND, names.sent(), 0.0).allowed
        unasked = names.came(port=444)
        assert gateway.handle_packet(INBOUND, unasked, 30.0) == UNSOLICITED
        gateway.handle_packet(INBOUND, b"", now)
        assert gateway.counters().nat_sessions == sessions
        expected = UNSOLICITED if sessions else EXPIRED
        assert gateway.handle_packet(INBOUND, unasked) == expected


@both_names
def test_resets_and_fins_end_the_flow_of_their_port_alone(names: Names) -> None:
    gateway = gateway_with(names, options=STATEFUL)
    for port in (443, 444):
        assert gateway.handle_packet(OUTBOUND, names.sent("tcp", port=port), 0.0).allowed
        assert gateway.handle_packet(INBOUND, names.came("tcp", port=port), 0.0).allowed
    # Of a session to several ports they would count for nothing.
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST), 1.0).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == UNSOLICITED
    for build, way in ((names.sent, OUTBOUND), (names.came, INBOUND)):
        fin = build("tcp", port=444, flags=FIN | ACK)
        assert gateway.handle_packet(way, fin, 1.0).allowed
    came = names.came("tcp", port=444)
    assert gateway.handle_packet(INBOUND, came, 241.0 - TICK).allowed
    assert gateway.handle_packet(INBOUND, came, 241.0) == UNSOLICITED
    assert gateway.counters().nat_sessions == 1


@every_kind
@both_names
def test_after_a_session_what_is_permitted_directly_was_not_asked_for_either(
    names: Names, kind: str
) -> None:
    gateway = gateway_with(names, options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, names.sent(kind), 0.0).allowed
    assert gateway.handle_packet(INBOUND, names.came(kind), 60.0) == EXPIRED
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    assert gateway.handle_packets(INBOUND, [names.came(kind)] * 2) == [UNSOLICITED] * 2
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, far=names.real[0])) == DIRECT
    assert gateway.handle_packets(INBOUND, [names.came(kind)] * 2) == [DIRECT] * 2


@tcp_and_udp
@both_names
def test_filters_of_the_name_come_before_the_flow(names: Names, kind: str) -> None:
    gateway = gateway_with(names, Tcp(443), Udp(443), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
    reason = Reason.TCP_PORT if kind == "tcp" else Reason.UDP_PORT
    assert reasons(gateway, INBOUND, [names.came(kind, port=444)]) == [reason]


# --- The client's own port or id --------------------------------------------------------------


@every_kind
@both_names
def test_a_flow_has_the_clients_own_number_and_not_the_translated_one(
    names: Names, kind: str
) -> None:
    gateway = gateway_for_alice(app(), options=STATEFUL)
    resolve(gateway, names, proxies=names.proxies[:2])
    first, second = names.proxies[:2]
    real = names.real[0]
    for proxy, number in ((first, 5401), (second, 5402)):
        sent = gateway.handle_packet(OUTBOUND, names.sent(kind, 5401, far=proxy))
        assert sent == through(names.sent(kind, number, far=real))
    assert live_flows(gateway) == 2
    for _ in range(2):
        for proxy, number in ((first, 5401), (second, 5402)):
            came = gateway.handle_packet(INBOUND, names.came(kind, number))
            assert came == through(names.came(kind, 5401, far=proxy))
            quoted = told(names, real, names.sent(kind, number, far=real))
            seen = told(names, proxy, names.sent(kind, 5401, far=proxy))
            assert gateway.handle_packet(INBOUND, quoted) == through(seen)
            about = telling(names, proxy, names.came(kind, 5401, far=proxy))
            gone_on = telling(names, real, names.came(kind, number))
            assert gateway.handle_packet(OUTBOUND, about) == through(gone_on)
    if kind != "echo":
        for number in (5401, 5402):
            assert (
                gateway.handle_packet(INBOUND, names.came(kind, number, port=444)) == UNSOLICITED
            )
            quoted = told(names, real, names.sent(kind, number, far=real, port=444))
            assert gateway.handle_packet(INBOUND, quoted) == NOT_PASSED


@both_names
def test_an_echo_request_from_outside_matches_neither_session_nor_flow(names: Names) -> None:
    gateway = gateway_with(names, options=STATEFUL)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    assert gateway.handle_packet(OUTBOUND, names.sent("echo")).allowed
    request = icmp_echo(f"{names.real[0]} > {names.family.client}", identifier=5401)
    assert gateway.handle_packet(INBOUND, request) == UNSOLICITED
    assert gateway.handle_packet(INBOUND, names.came("echo")).allowed


# --- Direct flows beside sessions ---------------------------------------------------------------


def beside(
    names: Names, *, direct: int | None, kind: str = "udp", stateful: bool = True
) -> Gateway:
    """Let the client speak by name to port 80, and directly to another of the same address."""
    gateway = gateway_with(names, options=GatewayOptions(stateful=stateful))
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, port=80), 0.0).allowed
    if direct is not None:
        sent = names.sent(kind, far=names.real[0], port=direct)
        assert gateway.handle_packet(OUTBOUND, sent, 0.0) == DIRECT
    return gateway


@tcp_and_udp
@both_names
def test_an_answer_to_a_direct_flow_is_judged_as_it_came(names: Names, kind: str) -> None:
    came, proxy = names.came(kind, port=443), names.proxies[0]
    by_name = through(names.came(kind, port=443, far=proxy))
    # The known limit of section 6.
    stateless = beside(names, direct=443, kind=kind, stateful=False)
    assert stateless.handle_packets(INBOUND, [came] * 2) == [by_name] * 2
    gateway = beside(names, direct=443, kind=kind)
    assert gateway.handle_packets(INBOUND, [came] * 2) == [DIRECT] * 2
    # The session's own answers stay its own, and what nobody asked for does not pass.
    own = names.came(kind, port=80)
    delivered = through(names.came(kind, port=80, far=proxy))
    assert gateway.handle_packets(INBOUND, [own] * 2) == [delivered] * 2
    assert gateway.handle_packet(INBOUND, names.came(kind, port=81)) == UNSOLICITED
    # Where both were asked, it is the session's, as without `stateful`.
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, port=443)).allowed
    assert gateway.handle_packets(INBOUND, [came] * 2) == [by_name] * 2
    assert gateway.counters().flows == 3


@tcp_and_udp
@both_names
def test_a_session_that_begins_later_takes_no_answers_from_a_direct_flow(
    names: Names, kind: str
) -> None:
    gateway = gateway_with(names, options=STATEFUL)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    came = names.came(kind)
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, far=names.real[0])) == DIRECT
    assert gateway.handle_packets(INBOUND, [came] * 2) == [DIRECT] * 2
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, port=80)).allowed
    assert gateway.handle_packets(INBOUND, [came] * 2) == [DIRECT] * 2
    # The same address and ports by name: from here on it is the session's.
    assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
    by_name = through(names.came(kind, far=names.proxies[0]))
    assert gateway.handle_packets(INBOUND, [came] * 2) == [by_name] * 2


@both_names
def test_when_the_flow_by_name_is_over_the_answer_is_the_direct_ones_again(names: Names) -> None:
    for now, expected in (
        (60.0 - TICK, through(names.came(far=names.proxies[0]))),
        (60.0, DIRECT),
    ):
        gateway = gateway_with(names, options=STATEFUL)
        gateway.authorize("alice", CidrResource("direct", names.real[0]))
        # To port 80 the session goes on.
        assert gateway.handle_packet(OUTBOUND, names.sent(), 0.0).allowed
        assert gateway.handle_packet(OUTBOUND, names.sent(port=80), 30.0).allowed
        assert gateway.handle_packet(OUTBOUND, names.sent(far=names.real[0]), 30.0) == DIRECT
        assert gateway.handle_packet(INBOUND, names.came(), now) == expected
        assert gateway.counters().nat_sessions == 1


@both_names
def test_an_answer_to_a_direct_flow_is_none_of_the_sessions(names: Names) -> None:
    for now, sessions in ((60.0 - TICK, 1), (60.0, 0)):
        gateway = beside(names, direct=443)
        # It neither confirms nor prolongs the session, or the flow by name.
        for second in (30.0, 50.0):
            assert gateway.handle_packet(INBOUND, names.came(), second) == DIRECT
        assert live_flows(gateway, now) == 1 + sessions
        assert gateway.counters().nat_sessions == sessions
    # It prolongs its own flow.
    for now, expected in ((170.0 - TICK, DIRECT), (170.0, UNSOLICITED)):
        gateway = beside(names, direct=443)
        assert gateway.handle_packet(INBOUND, names.came(), 50.0) == DIRECT
        assert gateway.handle_packet(INBOUND, names.came(), now) == expected


@both_names
def test_what_is_judged_as_it_came_is_judged_by_what_permits_it_as_it_came(names: Names) -> None:
    # Not by the name's filters.
    gateway = beside(names, direct=443)
    gateway.update_resource(app(Udp(80)))
    assert gateway.handle_packet(INBOUND, names.came()) == DIRECT
    # But by those of the network.
    gateway.update_resource(app())
    gateway.update_resource(CidrResource("direct", names.real[0], [Udp(80)]))
    assert gateway.handle_packet(INBOUND, names.came()) == Drop(Reason.UDP_PORT, "alice")
    # Without its authorization the flow is gone, and it is judged translated.
    gateway.revoke("alice", "direct")
    assert gateway.handle_packet(INBOUND, names.came()) == UNSOLICITED
    gateway.update_resource(app(Udp(80)))
    assert gateway.handle_packet(INBOUND, names.came()) == Drop(Reason.UDP_PORT, "alice")


@both_names
def test_where_neither_flow_lives_it_is_judged_translated(names: Names) -> None:
    gateway = beside(names, direct=None)
    gateway.update_resource(app(Udp(80)))
    # The network permits it; the name does not, and names the reason.
    assert gateway.handle_packet(INBOUND, names.came()) == Drop(Reason.UDP_PORT, "alice")
    gateway.update_resource(app())
    assert gateway.handle_packet(INBOUND, names.came()) == UNSOLICITED


@tcp_and_udp
@both_names
def test_quotes_of_a_direct_flow_are_judged_as_they_came(names: Names, kind: str) -> None:
    real, proxy = names.real[0], names.proxies[0]
    error = told(names, real, names.sent(kind, far=real))
    stateless = beside(names, direct=443, kind=kind, stateful=False)
    translated = through(told(names, proxy, names.sent(kind, far=proxy)))
    assert stateless.handle_packet(INBOUND, error) == translated
    gateway = beside(names, direct=443, kind=kind)
    assert gateway.handle_packets(INBOUND, [error] * 2) == [DIRECT] * 2
    # The filters of the name are no matter of it.
    gateway.update_resource(app(Tcp(80), Udp(80)))
    assert gateway.handle_packet(INBOUND, error) == DIRECT
    own = told(names, real, names.sent(kind, far=real, port=80))
    seen = through(told(names, proxy, names.sent(kind, far=proxy, port=80)))
    assert gateway.handle_packet(INBOUND, own) == seen
    none = told(names, real, names.sent(kind, far=real, port=81))
    assert gateway.handle_packet(INBOUND, none) == NOT_PASSED
    gateway.update_resource(app())
    assert gateway.handle_packet(INBOUND, none) == NOT_PASSED
    # What the client tells about a direct packet has no session to begin with.
    outward = telling(names, real, names.came(kind))
    assert gateway.handle_packet(OUTBOUND, outward) == DIRECT


@both_names
def test_fragments_of_a_direct_flow_go_on_as_they_came(names: Names) -> None:
    gateway = beside(names, direct=443)
    whole = names.came(payload=bytes(40))
    parts = [fragment(whole, 0, 24), fragment(whole, 24)]
    assert gateway.handle_packets(INBOUND, parts) == [DIRECT] * 2
    own = names.came(port=80, payload=bytes(40))
    parts = [fragment(own, start, stop, identification=8) for start, stop in ((0, 24), (24, None))]
    delivered = names.came(port=80, payload=bytes(40), far=names.proxies[0])
    seen = [
        through(fragment(delivered, start, stop, identification=8))
        for start, stop in ((0, 24), (24, None))
    ]
    assert gateway.handle_packets(INBOUND, parts) == seen


@both_names
def test_a_direct_echo_with_the_id_of_a_session_is_judged_as_it_came_once_the_other_is_over(
    names: Names,
) -> None:
    gateway = gateway_with(names, options=STATEFUL)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    assert gateway.handle_packet(OUTBOUND, names.sent("echo", far=names.real[0]), 0.0) == DIRECT
    assert gateway.handle_packet(OUTBOUND, names.sent("echo"), 0.0).allowed
    by_name = through(names.came("echo", far=names.proxies[0]))
    assert gateway.handle_packet(INBOUND, names.came("echo"), 30.0) == by_name
    # The direct one had no answer.
    assert live_flows(gateway, 60.0 - TICK) == 2
    assert live_flows(gateway, 60.0) == 1
    assert gateway.handle_packet(INBOUND, names.came("echo")) == by_name


@pytest.mark.parametrize("flags", [SYN, ACK])
@both_names
def test_where_a_flow_gave_way_the_session_stays_and_the_next_packet_out_begins_another(
    names: Names, flags: int
) -> None:
    options = GatewayOptions(stateful=True, max_flows_per_client=1)
    gateway = gateway_with(names, options=options)
    for port in (443, 444):
        assert gateway.handle_packet(OUTBOUND, names.sent("tcp", port=port, flags=flags)).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == UNSOLICITED
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=flags)).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp")).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp", port=444)) == UNSOLICITED
    assert gateway.counters().nat_sessions == 1


@pytest.mark.parametrize("flags", [ACK, RST, SYN, FIN], ids=["ack", "rst", "syn", "fin"])
@both_names
def test_what_gets_no_session_neither_prolongs_nor_ends_a_flow(names: Names, flags: int) -> None:
    for now, count in ((60.0 - TICK, 2), (60.0, 0)):
        options = GatewayOptions(stateful=True, max_sessions=1)
        gateway = gateway_with(names, options=options)
        # The first session gives way, and the name leads nowhere any more.
        for number in (1, 2):
            assert gateway.handle_packet(OUTBOUND, names.sent("tcp", number), 0.0).allowed
        resolve(gateway, names, real=names.real[:0])
        again = names.sent("tcp", 1, flags=flags)
        assert reasons(gateway, OUTBOUND, [again], 30.0) == [Reason.NO_TRANSLATION]
        assert live_flows(gateway, now) == count
