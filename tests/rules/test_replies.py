"""Section 4, replies: when a refused packet is answered, and what the answer says."""

from collections.abc import Sequence

import dpkt
import pytest

from firezone_filter import (
    CidrResource,
    Drop,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Reject,
    Tcp,
)
from firezone_filter.testing import (
    checksums_hold,
    fragment,
    icmp,
    icmp_error,
    ip,
    ip_fragment,
    udp,
)
from tests.numbers import GRE, UDP
from tests.scenes import (
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_families,
    gateway_for_alice,
    reasons,
    refusal,
)
from tests.translations import Names, app, both_names, resolve

PROHIBITED = {4: (3, 13), 6: (1, 1)}
UNREACHABLE = {4: (3, 0), 6: (1, 3)}


def reply_to(gateway: Gateway, packet: bytes) -> bytes:
    decision = gateway.handle_packet(OUTBOUND, packet)
    assert isinstance(decision, Reject)
    return decision.reply


def answered(
    gateway: Gateway, packets: Sequence[bytes], times: Sequence[float | None] = (None,)
) -> list[bool]:
    """Tell which of some packets, each handed in at each time, got a reply."""
    return [
        isinstance(gateway.handle_packet(OUTBOUND, packet, now), Reject)
        for now in times
        for packet in packets
    ]


# --- What the answer says ------------------------------------------------------------------


@both_families
def test_what_is_forbidden_is_administratively_prohibited(family: Family) -> None:
    options = GatewayOptions(own_filters=[Tcp(53)])
    gateway = gateway_for_alice(family.db(Tcp(443)), options=options)
    header = family.header
    for packet, reason in {
        family.tcp(OUTBOUND, far=family.stranger): Reason.NO_RESOURCE,
        family.tcp(OUTBOUND, 444): Reason.TCP_PORT,
        family.udp(OUTBOUND): Reason.UDP_PORT,
        family.echo(OUTBOUND): Reason.ICMP,
        ip(family.flow(OUTBOUND), GRE): Reason.PROTOCOL,
        family.tcp(OUTBOUND, far=family.neighbour): Reason.PEER_ADDRESS,
        family.tcp(OUTBOUND, far=family.gateway): Reason.TCP_PORT,
        family.tcp(OUTBOUND, far=family.proxy): Reason.NO_RESOURCE,
    }.items():
        decision = gateway.handle_packet(OUTBOUND, packet)
        assert isinstance(decision, Reject)
        assert decision.reason == reason
        assert tuple(decision.reply[header : header + 2]) == PROHIBITED[family.version]


@both_names
def test_where_there_is_no_way_it_is_unreachable(names: Names) -> None:
    family = names.family
    gateway = gateway_for_alice(InternetResource("internet"), app())
    resolve(gateway, names, real=[])
    packets = [family.tcp(OUTBOUND), names.sent("tcp")]
    assert reasons(gateway, OUTBOUND, packets) == [Reason.NOT_INTERNET, Reason.NO_TRANSLATION]
    for packet in packets:
        reply = reply_to(gateway, packet)
        kind = tuple(reply[family.header : family.header + 2])
        assert (kind, reply.endswith(packet)) == (UNREACHABLE[family.version], True)


@both_families
def test_the_answer_goes_from_the_refused_destination_to_its_source(family: Family) -> None:
    gateway = gateway_for_alice()
    start, end, size = (12, 20, 4) if family is V4 else (8, 40, 16)
    for far in (family.host, family.neighbour, family.proxy):
        packet = family.tcp(OUTBOUND, far=far)
        source, destination = packet[start : start + size], packet[start + size : end]
        assert reply_to(gateway, packet)[start:end] == destination + source


def test_dpkt_reads_the_answer_and_its_checksums_hold() -> None:
    gateway = gateway_for_alice()
    for packet in (V4.udp(OUTBOUND, size=3), V4.tcp(OUTBOUND)):
        parsed = dpkt.ip.IP(reply := reply_to(gateway, packet))
        assert (parsed.p, parsed.ttl, parsed.len) == (1, 64, 28 + len(packet))
        assert (parsed.data.type, parsed.data.code) == (3, 13)
        assert bytes(parsed.data.data.data) == packet
        assert checksums_hold(reply)
    for packet in (V6.udp(OUTBOUND, size=3), V6.tcp(OUTBOUND)):
        parsed = dpkt.ip6.IP6(reply := reply_to(gateway, packet))
        assert (parsed.nxt, parsed.hlim, parsed.plen) == (58, 64, 8 + len(packet))
        assert (parsed.data.type, parsed.data.code) == (1, 1)
        assert bytes(parsed.data.data.data) == packet
        assert checksums_hold(reply)


@pytest.mark.parametrize(("family", "limit"), [(V4, 576), (V6, 1_280)], ids=["ipv4", "ipv6"])
def test_the_answer_quotes_as_much_as_fits(family: Family, limit: int) -> None:
    gateway, overhead = gateway_for_alice(), family.header + 8
    fitting = family.udp(OUTBOUND, size=limit - 2 * overhead)
    longer = family.udp(OUTBOUND, size=limit - 2 * overhead + 1)
    for packet in (fitting, longer):
        reply = reply_to(gateway, packet)
        assert (len(reply), checksums_hold(reply)) == (limit, True)
        assert reply[overhead:] == packet[: len(fitting)]


# --- What is never answered ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kinds"),
    [(V4, (3, 4, 5, 11, 12)), (V6, (0, 1, 5, 127, 137))],
    ids=["ipv4", "ipv6"],
)
def test_an_icmp_error_is_never_answered(family: Family, kinds: Sequence[int]) -> None:
    gateway = gateway_for_alice()
    for kind in kinds:
        to_peer = icmp(family.flow(OUTBOUND, far=family.neighbour), kind)
        to_host = icmp(family.flow(OUTBOUND), kind)
        assert gateway.handle_packets(OUTBOUND, [to_peer, to_host]) == [
            Drop(Reason.PEER_ADDRESS, "alice"),
            Drop(Reason.ICMP_ERROR, "alice"),
        ]


@pytest.mark.parametrize(
    ("family", "kinds"), [(V4, (0, 8, 13)), (V6, (128, 129, 138))], ids=["ipv4", "ipv6"]
)
def test_other_icmp_is_answered(family: Family, kinds: Sequence[int]) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    assert all(answered(gateway, [icmp(family.flow(OUTBOUND), kind) for kind in kinds]))


@both_families
def test_packets_that_reach_no_filter_are_not_answered(family: Family) -> None:
    rows = {
        b"": Reason.MALFORMED,
        family.udp(OUTBOUND, far=family.multicast): Reason.MULTICAST,
        udp(family.flow(OUTBOUND, 53, near=family.spare)): Reason.SOURCE_NOT_ALLOWED,
        ip_fragment(family.flow(OUTBOUND), UDP, bytes(8), start=8): Reason.FRAGMENT,
        icmp(family.flow(OUTBOUND), 9 if family is V4 else 135): Reason.ICMP,
    }
    decisions = gateway_for_alice().handle_packets(OUTBOUND, rows, client_id="alice")
    assert [type(decision) for decision in decisions] == [Drop] * len(rows)
    assert [refusal(decision) for decision in decisions] == list(rows.values())


@both_families
def test_a_refused_first_fragment_is_answered(family: Family) -> None:
    first = fragment(family.udp(OUTBOUND, size=32), 0, 16)
    assert reply_to(gateway_for_alice(), first).endswith(first)


@both_families
def test_without_reject_every_refusal_is_silent_with_the_same_reason(family: Family) -> None:
    options = GatewayOptions(reject=False)
    gateway = gateway_for_alice(family.db(Icmp()), InternetResource("internet"), options=options)
    packets = [
        family.tcp(OUTBOUND, far=far) for far in (family.host, family.neighbour, family.stranger)
    ]
    assert gateway.handle_packets(OUTBOUND, packets) == [
        Drop(reason, "alice")
        for reason in (Reason.TCP_PORT, Reason.PEER_ADDRESS, Reason.NOT_INTERNET)
    ]


# --- The token bucket ----------------------------------------------------------------------


def limited(*, rate: float, burst: int, now: float | None = 0.0) -> Gateway:
    options = GatewayOptions(reject_rate=rate, reject_burst=burst)
    return gateway_for_alice(options=options, now=now)


REFUSED = V4.tcp(OUTBOUND)
BOBS = udp(V4.flow(OUTBOUND, 53, near=V4.neighbour))


@both_families
def test_a_burst_is_answered_and_the_next_is_dropped_with_the_same_reason(
    family: Family,
) -> None:
    gateway = limited(rate=1, burst=3)
    decisions = gateway.handle_packets(OUTBOUND, [family.tcp(OUTBOUND)] * 5, 0.0)
    assert [type(decision) for decision in decisions] == [Reject] * 3 + [Drop] * 2
    assert decisions[3] == Drop(Reason.NO_RESOURCE, "alice")


def test_by_default_a_hundred_are_answered_at_once_and_a_hundred_a_second() -> None:
    gateway = gateway_for_alice()
    assert answered(gateway, [REFUSED] * 101, [0.0]) == [True] * 100 + [False]
    assert answered(gateway, [REFUSED] * 101, [0.5]) == [True] * 50 + [False] * 51


def test_tokens_come_back_at_their_rate_and_never_exceed_the_burst() -> None:
    times = (0.0, 0.25, 0.499, 0.5, 0.75, 1.0)
    found = answered(limited(rate=2, burst=1), [REFUSED], times)
    assert found == [True, False, False, True, False, True]
    assert answered(limited(rate=100, burst=2), [REFUSED] * 3, [1e9]) == [True, True, False]
    assert not any(answered(limited(rate=100, burst=0), [REFUSED], (0.0, 1.0, 1e6)))


def test_time_that_stands_still_or_goes_back_brings_no_tokens() -> None:
    times = (None, None, 50.0, 100.5, 101.0)
    found = answered(limited(rate=1, burst=1, now=100.0), [REFUSED], times)
    assert found == [True, False, False, False, True]


@pytest.mark.parametrize("first", [-1_000.0, 0.0, 1_790_000_000.0])
def test_before_the_first_now_no_tokens_come_back(first: float) -> None:
    times = (None, None, first, first + 1.0)
    found = answered(limited(rate=1, burst=1, now=None), [REFUSED], times)
    assert found == [True, False, False, True]


def test_each_client_has_a_bucket_that_its_families_share() -> None:
    packets = [REFUSED, V6.tcp(OUTBOUND), BOBS, BOBS]
    assert answered(limited(rate=0, burst=1), packets) == [True, False, True, False]


def test_packets_that_are_not_answered_or_pass_cost_no_token() -> None:
    gateway = limited(rate=0, burst=1)
    gateway.authorize("alice", CidrResource("db", V4.network, [Tcp(443)]))
    silent = [
        icmp_error(V4.flow(OUTBOUND, far=V4.neighbour), 3, quoting=b""),
        ip_fragment(V4.flow(OUTBOUND), UDP, bytes(8), start=8),
        b"",
        V4.udp(OUTBOUND, far=V4.multicast),
        *[V4.tcp(OUTBOUND)] * 3,
    ]
    assert not any(answered(gateway, silent))
    gateway.handle_packets(INBOUND, [V4.udp(INBOUND)])
    assert answered(gateway, [V4.udp(OUTBOUND)] * 2) == [True, False]


def test_a_new_tunnel_session_fills_the_bucket_and_a_grant_does_not() -> None:
    gateway = limited(rate=0, burst=1)
    assert answered(gateway, [BOBS] * 2) == [True, False]
    gateway.authorize("bob", CidrResource("db", V4.network, [Icmp()]))
    decision = gateway.handle_packet(OUTBOUND, BOBS)
    assert decision == Drop(Reason.UDP_PORT, "bob")
    gateway.client_connected("bob", BOB)
    assert answered(gateway, [BOBS]) == [True]
