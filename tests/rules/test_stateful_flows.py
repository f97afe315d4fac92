"""Section 7: which packets belong to a flow, and which begin one."""

from collections.abc import Callable
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import Drop, Forward, GatewayOptions, Icmp, Reason, Reject, Tcp, Udp
from firezone_filter.testing import (
    ACK,
    FIN,
    RST,
    SYN,
    Layout,
    destination_options,
    fragment,
    icmp,
    icmp_echo,
    ip,
    tcp,
    udp,
)
from tests.numbers import AUTHENTICATION, GRE
from tests.rules.solicited import (
    NO_ROOM,
    QUERIES,
    SCTP,
    STATEFUL,
    UNSOLICITED,
    answered,
    live_flows,
    solicited,
    talks,
)
from tests.rules.ways import Way, both_ways, direct_ways
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_families,
    gateway_for_alice,
    reasons,
)
from tests.translations import every_kind

PASSES: Final = Forward("alice", "db")
FULL: Final = GatewayOptions(stateful=True, max_flows=0)

each_talk = pytest.mark.parametrize(
    ("family", "sent", "came"),
    [
        pytest.param(family, sent, came, id=f"{name}-{family}")
        for family in (V4, V6)
        for name, sent, came in talks(family)
    ],
)


# --- What belongs to a flow ------------------------------------------------------------------


@each_talk
def test_an_answer_passes_and_what_nobody_asked_for_does_not(
    family: Family, sent: bytes, came: bytes
) -> None:
    # Without `stateful` it passes.
    assert gateway_for_alice(family.db()).handle_packet(INBOUND, came) == PASSES
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packets(INBOUND, [came] * 2) == [UNSOLICITED] * 2
    assert live_flows(gateway) == 0
    for _ in range(3):
        assert gateway.handle_packets(OUTBOUND, [sent] * 2) == [PASSES] * 2
        assert gateway.handle_packets(INBOUND, [came] * 2) == [PASSES] * 2
        assert live_flows(gateway) == 1


@each_talk
def test_only_its_own_kind_of_packet_answers_a_request(
    family: Family, sent: bytes, came: bytes
) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, sent) == PASSES
    for _, _, other in talks(family):
        expected = PASSES if other == came else UNSOLICITED
        assert gateway.handle_packet(INBOUND, other) == expected


@every_kind
@both_ways
def test_answers_pass_through_the_nat_as_directly(way: Way, kind: str) -> None:
    gateway = solicited(way)
    came = way.packet(INBOUND, kind)
    unasked = Drop(Reason.NO_RESOURCE, "alice") if way.translated else UNSOLICITED
    assert gateway.handle_packet(INBOUND, came) == unasked
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, kind)).allowed
    assert gateway.handle_packets(INBOUND, [came] * 2) == [answered(way, kind)] * 2
    assert live_flows(gateway) == 1


@pytest.mark.parametrize("make", [tcp, udp], ids=["tcp", "udp"])
@both_families
def test_both_ports_and_the_far_address_tell_flows_apart(
    family: Family, make: Callable[[str], bytes]
) -> None:
    host, client, other = family.host, family.client, family.host[:-1] + "6"
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, make(f"{at(client, 5401)} > {at(host, 443)}")) == PASSES
    rows = {
        f"{at(host, 443)} > {at(client, 5401)}": PASSES,
        f"{at(host, 443)} > {at(client, 5402)}": UNSOLICITED,
        f"{at(host, 444)} > {at(client, 5401)}": UNSOLICITED,
        f"{at(host, 5401)} > {at(client, 443)}": UNSOLICITED,
        f"{at(other, 443)} > {at(client, 5401)}": UNSOLICITED,
    }
    # Twice: nothing that is refused makes the next one pass.
    for _ in range(2):
        decisions = [gateway.handle_packet(INBOUND, make(flow)) for flow in rows]
        assert decisions == list(rows.values())
    # Each begins one of its own.
    for flow in rows:
        far, near = flow.split(" > ")
        assert gateway.handle_packet(OUTBOUND, make(f"{near} > {far}")) == PASSES
        assert gateway.handle_packet(INBOUND, make(flow)) == PASSES
    assert live_flows(gateway) == len(rows)


@both_families
def test_what_no_flow_is_told_apart_by_belongs_to_it(family: Family) -> None:
    out, back = family.flow(OUTBOUND), family.flow(INBOUND)
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    shape: Layout = {"options": bytes([1] * 4), "extensions": [destination_options()]}
    query, answer = QUERIES[family.version][0]
    sent = [
        tcp(family.flow(OUTBOUND, 443)),
        icmp_echo(out, identifier=7, sequence=1),
        icmp(out, query, rest=bytes([0, 1, 0, 1])),
        # Other protocols may have ports; that is their affair.
        ip(out, SCTP, bytes([0, 1, 0, 2, *bytes(8)])),
    ]
    came = [
        tcp(family.flow(INBOUND, 443), bytes(9), hops=3, options=bytes([1] * 4)),
        tcp(family.flow(INBOUND, 443), extensions=[destination_options()]),
        icmp_echo(back, reply=True, identifier=7, sequence=9, payload=bytes(9)),
        icmp(back, answer, 5, rest=bytes([0, 2, 0, 9])),
        ip(back, SCTP, bytes([0, 9, 0, 8, *bytes(8)])),
        ip(back, SCTP, b"", options=bytes([1] * 4)),
    ]
    assert reasons(gateway, OUTBOUND, sent) == [None] * len(sent)
    assert reasons(gateway, INBOUND, came) == [None] * len(came)
    assert live_flows(gateway) == len(sent)
    # What has options or extension headers begins one, too.
    assert gateway.handle_packet(OUTBOUND, udp(family.flow(OUTBOUND, 53), **shape)) == PASSES
    assert gateway.handle_packet(INBOUND, family.udp(INBOUND)) == PASSES


def test_in_ipv4_an_authentication_header_is_a_flow_like_any_protocols() -> None:
    gateway = gateway_for_alice(V4.db(), options=STATEFUL)
    came = ip(V4.flow(INBOUND), AUTHENTICATION, bytes(24))
    assert gateway.handle_packet(INBOUND, came) == UNSOLICITED
    sent = ip(V4.flow(OUTBOUND), AUTHENTICATION, bytes(24))
    assert gateway.handle_packet(OUTBOUND, sent) == PASSES
    assert gateway.handle_packet(INBOUND, came) == PASSES


@both_families
def test_a_flow_is_of_one_client_alone(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    gateway.authorize("bob", family.db())
    of_bob = evolve(family, client=family.neighbour)
    for (_, sent, came), (_, _, bobs) in zip(talks(family), talks(of_bob), strict=True):
        assert gateway.handle_packet(OUTBOUND, sent) == PASSES
        assert gateway.handle_packet(INBOUND, bobs) == Drop(Reason.UNSOLICITED, "bob")
        assert gateway.handle_packet(INBOUND, came) == PASSES


@both_families
def test_an_echo_id_tells_flows_apart_and_its_direction_counts(family: Family) -> None:
    out, back = family.flow(OUTBOUND), family.flow(INBOUND)
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    # A reply of the client passes and begins nothing.
    assert gateway.handle_packet(OUTBOUND, icmp_echo(out, reply=True, identifier=7)) == PASSES
    assert live_flows(gateway) == 0
    for reply in (True, False):
        came = icmp_echo(back, reply=reply, identifier=7)
        assert gateway.handle_packet(INBOUND, came) == UNSOLICITED
    assert gateway.handle_packet(OUTBOUND, icmp_echo(out, identifier=7)) == PASSES
    for identifier, reply, expected in (
        (7, True, PASSES),
        (8, True, UNSOLICITED),
        (0x0700, True, UNSOLICITED),
        (7, False, UNSOLICITED),
    ):
        came = icmp_echo(back, reply=reply, identifier=identifier)
        assert gateway.handle_packets(INBOUND, [came] * 2) == [expected] * 2
    # Each id is a flow of its own.
    assert gateway.handle_packet(OUTBOUND, icmp_echo(out, identifier=8)) == PASSES
    assert live_flows(gateway) == 2


# --- ICMP, by every type -----------------------------------------------------------------------

ERRORS: Final = {4: {3, 4, 5, 11, 12}, 6: {*range(128), 137}}
LINK: Final = {4: {9, 10}, 6: {133, 134, 135, 136}}
ECHO: Final = {4: (8, 0), 6: (128, 129)}


def refused_by_type(family: Family, kind: int) -> Reason | None:
    if kind in ERRORS[family.version]:
        return Reason.ICMP_ERROR
    return Reason.ICMP if kind in LINK[family.version] else None


@both_families
def test_each_icmp_request_is_answered_by_its_answer_and_every_other_type_by_none(
    family: Family,
) -> None:
    answers = dict((ECHO[family.version], *QUERIES[family.version]))
    out, back = family.flow(OUTBOUND), family.flow(INBOUND)
    came = {kind: icmp(back, kind) for kind in range(256)}
    for request in (*answers, None):
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        # All types but the requests begin nothing, though they pass.
        others = [kind for kind in range(256) if kind not in answers]
        sent = others if request is None else [request]
        passed = reasons(gateway, OUTBOUND, [icmp(out, kind) for kind in sent])
        assert passed == [refused_by_type(family, kind) for kind in sent]
        assert live_flows(gateway) == (request is not None)
        answer = None if request is None else answers[request]
        for kind, packet in came.items():
            [reason] = reasons(gateway, INBOUND, [packet])
            if kind == answer:
                assert reason is None
            else:
                assert reason == (refused_by_type(family, kind) or Reason.UNSOLICITED), kind


# --- What begins a flow, and what does not ------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [SYN, ACK, FIN, FIN | ACK, SYN | ACK, SYN | FIN, 0, 0x08, 0xE0 | ACK],
    ids=["syn", "ack", "fin", "fin-ack", "syn-ack", "syn-fin", "none", "psh", "urg-ece-cwr"],
)
@both_ways
def test_any_tcp_segment_but_a_reset_begins_a_flow(way: Way, flags: int) -> None:
    gateway = solicited(way)
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, "tcp", flags=flags)).allowed
    assert live_flows(gateway) == 1
    assert gateway.handle_packet(INBOUND, way.packet(INBOUND, "tcp")) == answered(way)


@pytest.mark.parametrize(
    "flags", [RST, RST | ACK, RST | FIN, RST | SYN], ids=["r", "ra", "rf", "rs"]
)
@both_ways
def test_a_reset_passes_and_leaves_no_flow(way: Way, flags: int) -> None:
    gateway = solicited(way)
    sent = way.packet(OUTBOUND, "tcp", flags=flags)
    assert reasons(gateway, OUTBOUND, [sent, sent]) == [None, None]
    assert live_flows(gateway) == 0
    assert not gateway.handle_packet(INBOUND, way.packet(INBOUND, "tcp")).allowed


@direct_ways
def test_what_begins_nothing_needs_no_room_and_all_else_does(way: Way) -> None:
    family = way.family
    out = family.flow(OUTBOUND, far=way.names.real[0])
    gateway = solicited(way, options=FULL)
    query, answer = QUERIES[family.version][0]
    rows = {
        way.packet(OUTBOUND, "tcp", flags=RST): None,
        way.packet(OUTBOUND, "tcp", flags=RST | ACK): None,
        way.packet(OUTBOUND, "tcp", flags=RST | FIN): None,
        # This one begins a flow, and ends it.
        way.packet(OUTBOUND, "tcp", flags=RST | SYN): Reason.FLOWS_EXHAUSTED,
        way.packet(OUTBOUND, "tcp", flags=SYN): Reason.FLOWS_EXHAUSTED,
        way.packet(OUTBOUND, "tcp", flags=FIN): Reason.FLOWS_EXHAUSTED,
        way.packet(OUTBOUND, "udp"): Reason.FLOWS_EXHAUSTED,
        fragment(way.packet(OUTBOUND, "udp", payload=bytes(40)), 0, 24): Reason.FLOWS_EXHAUSTED,
        icmp_echo(out): Reason.FLOWS_EXHAUSTED,
        icmp_echo(out, reply=True): None,
        icmp(out, query): Reason.FLOWS_EXHAUSTED,
        icmp(out, answer): None,
        icmp(out, 200): None,
        ip(out, GRE): Reason.FLOWS_EXHAUSTED,
        # The gateway itself is exempt.
        family.udp(OUTBOUND, 53535, far=family.gateway): None,
        family.echo(OUTBOUND, far=family.gateway): None,
    }
    assert reasons(gateway, OUTBOUND, rows) == list(rows.values())
    assert live_flows(gateway) == 0


@both_ways
def test_no_room_is_refused_without_a_reply_and_nothing_follows_it(way: Way) -> None:
    gateway = solicited(way, options=FULL)
    whole = way.packet(OUTBOUND, payload=bytes(40))
    assert gateway.handle_packets(OUTBOUND, [whole] * 2) == [NO_ROOM] * 2
    assert gateway.handle_packet(OUTBOUND, fragment(whole, 0, 24)) == NO_ROOM
    followed = gateway.handle_packet(OUTBOUND, fragment(whole, 24))
    assert followed == Drop(Reason.FRAGMENT, "alice")
    assert gateway.counters().nat_sessions == 0
    assert gateway.counters().refusals[OUTBOUND, Reason.FLOWS_EXHAUSTED] == 3
    assert not gateway.handle_packet(INBOUND, way.packet(INBOUND)).allowed


@both_families
def test_what_is_refused_begins_nothing(family: Family) -> None:
    whole = family.udp(OUTBOUND, size=40)
    for packet, reason in {
        family.tcp(OUTBOUND, 444): Reason.TCP_PORT,
        family.udp(OUTBOUND, 54): Reason.UDP_PORT,
        family.echo(OUTBOUND): Reason.ICMP,
        family.udp(OUTBOUND, far=family.stranger): Reason.NO_RESOURCE,
        family.udp(OUTBOUND, far=family.neighbour): Reason.PEER_ADDRESS,
        family.udp(OUTBOUND, far=family.multicast): Reason.MULTICAST,
        fragment(whole, 24): Reason.FRAGMENT,
        whole[:-1]: Reason.MALFORMED,
    }.items():
        gateway = gateway_for_alice(family.db(Tcp(443), Udp(53)), options=STATEFUL)
        assert reasons(gateway, OUTBOUND, [packet]) == [reason]
        assert live_flows(gateway) == 0
        gateway.authorize("alice", family.db())
        gateway.authorize("alice", family.everything())
        for port, kind in ((444, "tcp"), (54, "udp")):
            build = family.tcp if kind == "tcp" else family.udp
            assert gateway.handle_packet(INBOUND, build(INBOUND, port)) == UNSOLICITED


@each_talk
def test_what_comes_in_begins_nothing_for_the_client_either(
    family: Family, sent: bytes, came: bytes
) -> None:
    gateway = gateway_for_alice(family.db(), options=FULL)
    assert gateway.handle_packets(INBOUND, [came] * 2) == [UNSOLICITED] * 2
    # So the client's own packet would be the first.
    assert gateway.handle_packet(OUTBOUND, sent) == NO_ROOM


@both_families
def test_the_gateways_own_address_is_exempt_both_ways(family: Family) -> None:
    options = GatewayOptions(stateful=True, own_filters=())
    gateway = gateway_for_alice(options=options)
    own = Forward("alice", None)
    far = family.gateway
    out, back = (family.flow(way, far=far) for way in (OUTBOUND, INBOUND))
    came = [
        family.udp(INBOUND, 53535, far=far),
        family.tcp(INBOUND, 80, far=far),
        icmp_echo(back),
        icmp_echo(back, reply=True),
        ip(back, GRE),
    ]
    assert gateway.handle_packets(INBOUND, came) == [own] * len(came)
    sent = [family.udp(OUTBOUND, 53535, far=far), icmp_echo(out), ip(out, GRE)]
    assert gateway.handle_packets(OUTBOUND, sent) == [own] * len(sent)
    assert live_flows(gateway) == 0


# --- One more row ------------------------------------------------------------------------------


@both_families
def test_a_live_flow_permits_nothing_that_another_row_refuses(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    sent, came = family.tcp(OUTBOUND), family.tcp(INBOUND)
    assert reasons(gateway, OUTBOUND, [sent]) == reasons(gateway, INBOUND, [came]) == [None]
    gateway.update_resource(family.db(Tcp(444), Icmp()))
    assert gateway.handle_packet(INBOUND, came) == Drop(Reason.TCP_PORT, "alice")
    refused = gateway.handle_packet(OUTBOUND, sent)
    assert isinstance(refused, Reject)
    assert refused.reason == Reason.TCP_PORT
    gateway.update_resource(family.db(Tcp(443)))
    assert gateway.handle_packet(INBOUND, came) == PASSES


@both_families
def test_inbound_it_is_the_last_row(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=STATEFUL)
    whole = family.udp(INBOUND, size=40)
    rows = {
        family.tcp(INBOUND)[:-1]: Reason.MALFORMED,
        udp(f"{at(family.host, 53)} > {at(family.public, 5401)}"): Reason.NOT_A_PEER,
        udp(f"{at(family.host, 53)} > {at(family.spare, 5401)}"): Reason.UNKNOWN_CLIENT,
        fragment(whole, 24): Reason.FRAGMENT,
        family.udp(INBOUND, far=family.neighbour): Reason.PEER_ADDRESS,
        icmp(family.flow(INBOUND), family.unreachable): Reason.ICMP_ERROR,
        icmp(family.flow(INBOUND), min(LINK[family.version])): Reason.ICMP,
        family.udp(INBOUND, 53, far=family.gateway): Reason.UDP_PORT,
        family.tcp(INBOUND, far=family.stranger): Reason.NO_RESOURCE,
        family.tcp(INBOUND, 444): Reason.TCP_PORT,
        family.udp(INBOUND): Reason.UDP_PORT,
        ip(family.flow(INBOUND), GRE): Reason.PROTOCOL,
        family.tcp(INBOUND): Reason.UNSOLICITED,
    }
    assert reasons(gateway, INBOUND, rows) == list(rows.values())
    assert gateway.counters().refusals[INBOUND, Reason.UNSOLICITED] == 1


@both_families
def test_outbound_it_comes_after_the_resource(family: Family) -> None:
    options = GatewayOptions(stateful=True, max_flows_per_client=0)
    gateway = gateway_for_alice(family.db(Tcp(443)), options=options)
    rows = {
        family.udp(OUTBOUND, far=family.multicast): Reason.MULTICAST,
        family.udp(OUTBOUND, far=family.neighbour): Reason.PEER_ADDRESS,
        family.tcp(OUTBOUND, far=family.stranger): Reason.NO_RESOURCE,
        family.tcp(OUTBOUND, 444): Reason.TCP_PORT,
        family.tcp(OUTBOUND): Reason.FLOWS_EXHAUSTED,
    }
    assert reasons(gateway, OUTBOUND, rows) == list(rows.values())
