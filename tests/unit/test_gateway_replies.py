"""Section 4, replies: when a refused packet is answered, and what the answer says."""

import dpkt
import pytest

from firezone_filter import (
    CidrResource,
    Decision,
    Drop,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Reject,
    Tcp,
)
from tests.builders import (
    GRE,
    UDP,
    checksums_hold,
    fragment,
    icmp,
    icmp_error,
    ip,
    ip_fragment,
    udp,
)
from tests.scenes import (
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_families,
    gateway_for_alice,
    refusal,
    rejection,
)


def reply_to(gateway: Gateway, packet: bytes) -> bytes:
    decision = gateway.handle_packet(OUTBOUND, packet)
    assert isinstance(decision, Reject)
    return decision.reply


def is_answered(decision: Decision) -> bool:
    return isinstance(decision, Reject)


# --- What the answer says ------------------------------------------------------------------


@pytest.mark.parametrize(("family", "code"), [(V4, (3, 13)), (V6, (1, 1))])
def test_what_is_forbidden_is_administratively_prohibited(
    family: Family, code: tuple[int, int]
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=GatewayOptions(own_filters=[Tcp(53)]))
    header = 20 if family is V4 else 40
    for packet, reason in (
        (family.tcp(OUTBOUND, far=family.stranger), Reason.NO_RESOURCE),
        (family.tcp(OUTBOUND, 444), Reason.TCP_PORT),
        (family.udp(OUTBOUND), Reason.UDP_PORT),
        (family.echo(OUTBOUND), Reason.ICMP),
        (ip(family.flow(OUTBOUND), GRE), Reason.PROTOCOL),
        (family.tcp(OUTBOUND, far=family.neighbour), Reason.PEER_ADDRESS),
        (family.tcp(OUTBOUND, far=family.gateway), Reason.TCP_PORT),
        (family.tcp(OUTBOUND, far=family.proxy), Reason.NO_RESOURCE),
    ):
        decision = gateway.handle_packet(OUTBOUND, packet)
        assert isinstance(decision, Reject)
        assert decision.reason == reason
        assert tuple(decision.reply[header : header + 2]) == code


@pytest.mark.parametrize(("family", "code"), [(V4, (3, 0)), (V6, (1, 3))])
def test_what_is_not_the_internet_is_unreachable(family: Family, code: tuple[int, int]) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    header = 20 if family is V4 else 40
    reply = reply_to(gateway, family.tcp(OUTBOUND))
    assert tuple(reply[header : header + 2]) == code


@both_families
def test_the_answer_goes_from_the_refused_destination_to_its_source(family: Family) -> None:
    gateway = gateway_for_alice()
    for far in (family.host, family.neighbour, family.proxy):
        packet = family.tcp(OUTBOUND, far=far)
        reply = reply_to(gateway, packet)
        if family is V4:
            assert reply[12:20] == packet[16:20] + packet[12:16]
        else:
            assert reply[8:40] == packet[24:40] + packet[8:24]


@both_families
def test_the_answer_quotes_the_packet_with_checksums_that_hold(family: Family) -> None:
    gateway = gateway_for_alice()
    packet = family.udp(OUTBOUND, size=3)
    reply = reply_to(gateway, packet)
    assert checksums_hold(reply)
    assert reply.endswith(packet)
    hops = 8 if family is V4 else 7
    assert reply[hops] == 64


def test_dpkt_reads_an_ipv4_answer() -> None:
    packet = V4.udp(OUTBOUND, size=3)
    parsed = dpkt.ip.IP(reply_to(gateway_for_alice(), packet))
    assert (parsed.p, parsed.ttl, parsed.len) == (1, 64, 28 + len(packet))
    assert (parsed.data.type, parsed.data.code) == (3, 13)
    assert bytes(parsed.data.data.data) == packet


def test_dpkt_reads_an_ipv6_answer() -> None:
    packet = V6.udp(OUTBOUND, size=3)
    parsed = dpkt.ip6.IP6(reply_to(gateway_for_alice(), packet))
    assert (parsed.nxt, parsed.hlim, parsed.plen) == (58, 64, 8 + len(packet))
    assert (parsed.data.type, parsed.data.code) == (1, 1)
    assert bytes(parsed.data.data.data) == packet


@pytest.mark.parametrize(
    ("family", "overhead", "limit"), [(V4, 28, 576), (V6, 48, 1_280)], ids=["ipv4", "ipv6"]
)
def test_the_answer_quotes_as_much_as_fits(family: Family, overhead: int, limit: int) -> None:
    gateway = gateway_for_alice()
    fitting = family.udp(OUTBOUND, size=limit - 2 * overhead)
    longer = family.udp(OUTBOUND, size=limit - 2 * overhead + 1)
    assert reply_to(gateway, fitting)[overhead:] == fitting
    assert len(reply_to(gateway, fitting)) == len(reply_to(gateway, longer)) == limit
    assert reply_to(gateway, longer)[overhead:] == longer[:-1]
    assert checksums_hold(reply_to(gateway, longer))


@both_families
def test_the_reply_of_one_packet_is_not_that_of_another(family: Family) -> None:
    gateway = gateway_for_alice()
    one, other = family.tcp(OUTBOUND, 1), family.tcp(OUTBOUND, 2)
    assert reply_to(gateway, one).endswith(one)
    assert reply_to(gateway, other).endswith(other)


# --- What is never answered ----------------------------------------------------------------


@both_families
def test_inbound_nothing_is_answered(family: Family) -> None:
    decision = gateway_for_alice().handle_packet(INBOUND, family.tcp(INBOUND))
    assert decision == Drop(Reason.NO_RESOURCE, "alice")


@pytest.mark.parametrize(
    ("family", "kind"),
    [(V4, 3), (V4, 4), (V4, 5), (V4, 11), (V4, 12), (V6, 0), (V6, 1), (V6, 127), (V6, 137)],
)
def test_an_icmp_error_is_never_answered(family: Family, kind: int) -> None:
    gateway = gateway_for_alice()
    to_peer = icmp(family.flow(OUTBOUND, far=family.neighbour), kind)
    to_host = icmp(family.flow(OUTBOUND), kind)
    assert gateway.handle_packet(OUTBOUND, to_peer) == Drop(Reason.PEER_ADDRESS, "alice")
    assert gateway.handle_packet(OUTBOUND, to_host) == Drop(Reason.ICMP_ERROR, "alice")


@pytest.mark.parametrize(("family", "kind"), [(V4, 8), (V4, 0), (V6, 128), (V6, 129)])
def test_other_icmp_is_answered(family: Family, kind: int) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    decision = gateway.handle_packet(OUTBOUND, icmp(family.flow(OUTBOUND), kind))
    assert rejection(decision) == Reason.ICMP


@both_families
def test_what_never_gets_a_decision_of_policy_is_not_answered(family: Family) -> None:
    gateway = gateway_for_alice()
    link_only = icmp(family.flow(OUTBOUND), 9 if family is V4 else 135)
    later = ip_fragment(family.flow(OUTBOUND), UDP, bytes(8), start=8)
    foreign = udp(family.flow(OUTBOUND, 53, near=family.spare))
    for packet, reason in (
        (b"", Reason.MALFORMED),
        (family.udp(OUTBOUND, far=family.multicast), Reason.MULTICAST),
        (foreign, Reason.SOURCE_NOT_ALLOWED),
        (later, Reason.FRAGMENT),
        (link_only, Reason.ICMP),
    ):
        decision = gateway.handle_packet(OUTBOUND, packet, client_id="alice")
        assert isinstance(decision, Drop)
        assert decision.reason == reason


@both_families
def test_a_refused_first_fragment_is_answered(family: Family) -> None:
    first = fragment(family.udp(OUTBOUND, size=32), 0, 16)
    decision = gateway_for_alice().handle_packet(OUTBOUND, first)
    assert isinstance(decision, Reject)
    assert decision.reply.endswith(first)


@both_families
def test_without_reject_every_refusal_is_silent_with_the_same_reason(family: Family) -> None:
    gateway = gateway_for_alice(
        family.db(Icmp()), InternetResource("internet"), options=GatewayOptions(reject=False)
    )
    packets = (
        family.tcp(OUTBOUND),
        family.tcp(OUTBOUND, far=family.neighbour),
        family.tcp(OUTBOUND, far=family.stranger),
    )
    assert gateway.handle_packets(OUTBOUND, packets) == [
        Drop(Reason.TCP_PORT, "alice"),
        Drop(Reason.PEER_ADDRESS, "alice"),
        Drop(Reason.NOT_INTERNET, "alice"),
    ]


# --- The token bucket ----------------------------------------------------------------------


def limited(*, rate: float, burst: int, now: float | None = 0.0) -> Gateway:
    options = GatewayOptions(reject_rate=rate, reject_burst=burst)
    return gateway_for_alice(options=options, now=now)


@both_families
def test_a_burst_is_answered_and_the_next_is_dropped_with_the_same_reason(
    family: Family,
) -> None:
    gateway = limited(rate=1, burst=3)
    decisions = gateway.handle_packets(OUTBOUND, [family.tcp(OUTBOUND)] * 5, 0.0)
    assert [is_answered(decision) for decision in decisions] == [True, True, True, False, False]
    assert decisions[3] == Drop(Reason.NO_RESOURCE, "alice")


def test_by_default_a_hundred_are_answered_at_once() -> None:
    gateway = gateway_for_alice()
    decisions = gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND)] * 101, 0.0)
    assert [is_answered(decision) for decision in decisions] == [True] * 100 + [False]


def test_tokens_come_back_at_their_rate() -> None:
    gateway = limited(rate=2, burst=1)
    packet = V4.tcp(OUTBOUND)
    answered = [
        is_answered(gateway.handle_packet(OUTBOUND, packet, now))
        for now in (0.0, 0.25, 0.499, 0.5, 0.75, 1.0)
    ]
    assert answered == [True, False, False, True, False, True]


def test_tokens_never_exceed_the_burst() -> None:
    gateway = limited(rate=100, burst=2)
    decisions = gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND)] * 3, 1e9)
    assert [is_answered(decision) for decision in decisions] == [True, True, False]


def test_time_that_stands_still_or_goes_back_brings_no_tokens() -> None:
    gateway = limited(rate=1, burst=1, now=100.0)
    packet = V4.tcp(OUTBOUND)
    assert is_answered(gateway.handle_packet(OUTBOUND, packet))
    assert not is_answered(gateway.handle_packet(OUTBOUND, packet))
    assert not is_answered(gateway.handle_packet(OUTBOUND, packet, 50.0))
    assert not is_answered(gateway.handle_packet(OUTBOUND, packet, 100.5))
    assert is_answered(gateway.handle_packet(OUTBOUND, packet, 101.0))


@pytest.mark.parametrize("first_now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_before_the_first_now_no_tokens_come_back(first_now: float) -> None:
    gateway = limited(rate=1, burst=1, now=None)
    packet = V4.tcp(OUTBOUND)
    assert is_answered(gateway.handle_packet(OUTBOUND, packet))
    assert not is_answered(gateway.handle_packet(OUTBOUND, packet))
    assert not is_answered(gateway.handle_packet(OUTBOUND, packet, first_now))
    assert is_answered(gateway.handle_packet(OUTBOUND, packet, first_now + 1.0))


def test_each_client_has_a_bucket_of_its_own() -> None:
    gateway = limited(rate=0, burst=1)
    own = V4.tcp(OUTBOUND)
    other = udp(V4.flow(OUTBOUND, 53, near=V4.neighbour))
    decisions = gateway.handle_packets(OUTBOUND, [own, own, other, other])
    assert [is_answered(decision) for decision in decisions] == [True, False, True, False]


def test_the_two_families_of_a_client_share_its_bucket() -> None:
    gateway = limited(rate=0, burst=1)
    decisions = gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND), V6.tcp(OUTBOUND)])
    assert [is_answered(decision) for decision in decisions] == [True, False]


def test_what_is_not_answered_costs_no_token() -> None:
    gateway = limited(rate=0, burst=1)
    error = icmp_error(V4.flow(OUTBOUND, far=V4.neighbour), 3, quoting=b"")
    later = ip_fragment(V4.flow(OUTBOUND), UDP, bytes(8), start=8)
    gateway.handle_packets(OUTBOUND, [error, later, b"", V4.udp(OUTBOUND, far=V4.multicast)])
    gateway.handle_packets(INBOUND, [V4.tcp(INBOUND)])
    assert is_answered(gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)))


def test_what_is_allowed_costs_no_token() -> None:
    gateway = limited(rate=0, burst=1)
    gateway.authorize("alice", CidrResource("db", V4.network, [Tcp(443)]))
    gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND)] * 3)
    assert is_answered(gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND)))


def test_without_a_burst_nothing_is_ever_answered() -> None:
    gateway = limited(rate=100, burst=0)
    for now in (0.0, 1.0, 1e6):
        decision = gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), now)
        assert decision == Drop(Reason.NO_RESOURCE, "alice")


def test_a_new_session_has_a_full_bucket() -> None:
    gateway = limited(rate=0, burst=1)
    packet = udp(V4.flow(OUTBOUND, 53, near=V4.neighbour))
    assert is_answered(gateway.handle_packet(OUTBOUND, packet))
    assert not is_answered(gateway.handle_packet(OUTBOUND, packet))
    gateway.client_connected("bob", BOB)
    assert is_answered(gateway.handle_packet(OUTBOUND, packet))


def test_a_grant_fills_no_bucket() -> None:
    gateway = limited(rate=0, burst=1)
    assert is_answered(gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)))
    gateway.authorize("alice", CidrResource("db", V4.network, [Icmp()]))
    decision = gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))
    assert refusal(decision) == Reason.TCP_PORT
    assert not is_answered(decision)
