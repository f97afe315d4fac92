"""`FlowRefused`: what was refused, told together so that a scan is a handful of records."""

from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    FlowRefused,
    Gateway,
    GatewayOptions,
    Reason,
    Tcp,
    Udp,
)
from firezone_filter.accounting.refusals import MAX_FAR_ENDS, PERIOD
from tests.builders import ESP, fragment, icmp_error, ip, resized, tcp, udp
from tests.records import closed, fetched, names, only, recording, refusals
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
)


def host(number: int) -> str:
    return f"10.0.0.{number}"


def probe(number: int, *, port: int = 22, near: int = 5401, size: int = 0) -> bytes:
    """Build a packet from Alice to one of many hosts."""
    return udp(f"{at(V4.client, near)} > {at(host(number), port)}", bytes(size))


def hand_in(gateway: Gateway, packets: Iterable[bytes], now: float = 0.0) -> None:
    for packet in packets:
        assert not gateway.handle_packet(OUTBOUND, packet, now).allowed


def told(gateway: Gateway, now: float = 60.0) -> list[tuple[str | None, int | None, int]]:
    """Return far address, port and packets of what is reported by then."""
    return [
        (None if one.far_ip is None else str(one.far_ip), one.far_port, one.packets)
        for one in refusals(gateway, now)
    ]


# --- What a record says -----------------------------------------------------------------------


@both_families
@both_directions
def test_a_refused_packet_is_reported_with_its_far_end(
    family: Family, direction: Direction
) -> None:
    gateway = recording()
    packet = family.udp(direction, size=100)
    gateway.handle_packet(direction, packet, 7.0)
    assert refusals(gateway, 67.0) == [
        FlowRefused(
            client_id="alice",
            direction=direction,
            reason=Reason.NO_RESOURCE,
            far_ip=ip_address(family.host),
            protocol=17,
            far_port=53,
            first_packet=7.0,
            last_packet=7.0,
            packets=1,
            ip_bytes=len(packet),
        )
    ]


def test_packets_to_one_far_end_are_one_record() -> None:
    gateway = recording()
    for now, size in ((1.0, 0), (2.0, 10), (30.0, 100)):
        hand_in(gateway, [probe(5, size=size, near=int(now))], now)
    (record,) = refusals(gateway, 61.0)
    assert (record.first_packet, record.last_packet) == (1.0, 30.0)
    assert (record.packets, record.ip_bytes) == (3, 3 * 28 + 110)


def test_several_ports_of_one_far_end_are_one_record_without_a_port() -> None:
    gateway = recording()
    hand_in(gateway, [probe(5, port=port) for port in range(1, 1_000)])
    assert told(gateway) == [(host(5), None, 999)]


def test_several_protocols_of_one_far_end_are_one_record_without_a_protocol() -> None:
    gateway = recording()
    flow = f"{at(V4.client, 1)} > {at(host(5), 22)}"
    hand_in(gateway, [tcp(flow), udp(flow)])
    (record,) = refusals(gateway)
    assert (record.far_ip, record.protocol, record.far_port) == (ip_address(host(5)), None, 22)


@both_families
def test_what_has_no_ports_is_reported_without(family: Family) -> None:
    gateway = recording()
    gateway.handle_packet(OUTBOUND, family.echo(OUTBOUND), 0.0)
    gateway.authorize("alice", family.db(Tcp()))
    gateway.handle_packet(OUTBOUND, ip(family.flow(OUTBOUND), ESP, bytes(8)), 0.0)
    found = [(one.reason, one.protocol, one.far_port) for one in refusals(gateway)]
    icmp = {4: 1, 6: 58}[family.version]
    assert found == [(Reason.NO_RESOURCE, icmp, None), (Reason.PROTOCOL, 50, None)]


@both_directions
def test_a_fragment_without_a_first_is_reported_without_a_port(direction: Direction) -> None:
    gateway = recording(V4.db())
    later = fragment(udp(V4.flow(direction, 53), bytes(64)), 24)
    gateway.handle_packet(direction, later, 0.0)
    (record,) = refusals(gateway)
    assert (record.reason, record.protocol, record.far_port) == (Reason.FRAGMENT, 17, None)
    assert record.far_ip == ip_address(V4.host)


@both_families
def test_an_icmp_error_is_reported_with_who_sent_it(family: Family) -> None:
    gateway = recording(family.db(Udp(1)))
    kind = 3 if family.version == 4 else 1
    quoting = family.udp(OUTBOUND)
    error = icmp_error(family.flow(INBOUND, far=family.stranger), kind, quoting=quoting)
    gateway.handle_packet(INBOUND, error, 0.0)
    (record,) = refusals(gateway)
    assert (record.reason, record.far_ip) == (Reason.ICMP_ERROR, ip_address(family.stranger))


@both_families
def test_a_proxy_address_is_reported_as_it_stood_in_the_packet(family: Family) -> None:
    gateway = recording()
    gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, far=family.proxy), 0.0)
    (record,) = refusals(gateway)
    assert record.far_ip == ip_address(family.proxy)


# --- What is told apart -----------------------------------------------------------------------


def test_far_ends_are_told_apart() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1), probe(2), probe(1, near=7)])
    assert told(gateway) == [(host(1), 22, 2), (host(2), 22, 1)]


def test_directions_are_told_apart() -> None:
    gateway = recording()
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 0.0)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND), 0.0)
    assert [record.direction for record in refusals(gateway)] == [OUTBOUND, INBOUND]


def test_reasons_are_told_apart() -> None:
    gateway = recording(V4.db(Udp(53)))
    for packet in (V4.udp(OUTBOUND, 54), V4.tcp(OUTBOUND), V4.echo(OUTBOUND)):
        gateway.handle_packet(OUTBOUND, packet, 0.0)
    found = [(record.reason, record.far_port) for record in refusals(gateway)]
    assert found == [(Reason.UDP_PORT, 54), (Reason.TCP_PORT, 443), (Reason.ICMP, None)]


def test_clients_are_told_apart() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1), udp(f"{at(V4.neighbour, 1)} > {at(host(1), 22)}")])
    assert [record.client_id for record in refusals(gateway)] == ["alice", "bob"]


@pytest.mark.parametrize("options", [GatewayOptions(), GatewayOptions(reject=False)])
def test_whether_the_client_was_told_makes_no_difference(options: GatewayOptions) -> None:
    gateway = recording(options=options)
    hand_in(gateway, [probe(1)] * 200)
    assert told(gateway) == [(host(1), 22, 200)]


# --- What has no client or no address ---------------------------------------------------------


@both_directions
def test_malformed_packets_are_one_record_with_neither_client_nor_far_end(
    direction: Direction,
) -> None:
    gateway = recording(V4.db())
    odd = [b"", b"\x45", resized(V4.udp(direction), by=1), bytes(60)]
    for packet in odd:
        gateway.handle_packet(direction, packet, 0.0)
    assert refusals(gateway) == [
        FlowRefused(
            client_id=None,
            direction=direction,
            reason=Reason.MALFORMED,
            far_ip=None,
            protocol=None,
            far_port=None,
            first_packet=0.0,
            last_packet=0.0,
            packets=4,
            ip_bytes=sum(map(len, odd)),
        )
    ]


@pytest.mark.parametrize(
    ("direction", "flow", "reason", "far"),
    [
        (OUTBOUND, f"{V4.spare} > {V4.host}", Reason.UNKNOWN_CLIENT, V4.host),
        (INBOUND, f"{V4.host} > {V4.spare}", Reason.UNKNOWN_CLIENT, V4.host),
        (INBOUND, f"{V4.host} > {V4.stranger}", Reason.NOT_A_PEER, V4.host),
        (OUTBOUND, f"{V6.client} > {V6.multicast}", Reason.MULTICAST, V6.multicast),
    ],
)
def test_what_is_nobodys_has_no_client_but_a_far_end(
    direction: Direction, flow: str, reason: Reason, far: str
) -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(direction, udp(flow), 0.0)
    (record,) = refusals(gateway)
    assert (record.client_id, record.reason) == (None, reason)
    assert record.far_ip == ip_address(far)


def test_a_borrowed_address_is_reported_of_the_client_that_the_tunnel_knows() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 0.0, client_id="bob")
    (record,) = refusals(gateway)
    assert (record.client_id, record.reason) == ("bob", Reason.SOURCE_NOT_ALLOWED)


# --- A scan -------------------------------------------------------------------------------------


def test_a_scan_of_hosts_is_nine_records() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number) for number in range(1, 201)])
    few = [(host(number), 22, 1) for number in range(1, MAX_FAR_ENDS + 1)]
    # What they have in common is told of those that did not fit in.
    assert told(gateway) == [*few, (None, 22, 192)]


def test_eight_far_ends_are_told_apart_and_no_more() -> None:
    assert (MAX_FAR_ENDS, PERIOD) == (8, 60)


def test_the_ninth_far_end_alone_is_told_as_it_is() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number) for number in (*range(1, 10), 9)])
    assert told(gateway)[-1] == (host(9), 22, 2)


def test_what_is_told_together_has_no_port_if_there_were_several() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number, port=number) for number in range(1, 12)])
    assert told(gateway)[-1] == (None, None, 3)


def test_what_is_told_together_has_no_protocol_if_there_were_several() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number) for number in range(1, 10)])
    hand_in(gateway, [tcp(f"{at(V4.client, 1)} > {at(host(10), 22)}")])
    record = refusals(gateway)[-1]
    assert (record.far_ip, record.protocol, record.far_port, record.packets) == (None, None, 22, 2)


def test_far_ends_that_are_told_apart_stay_so_during_a_scan() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number) for number in (*range(1, 100), *range(1, 9))])
    assert told(gateway)[:8] == [(host(number), 22, 2) for number in range(1, 9)]


def test_a_scan_for_one_reason_leaves_room_for_others() -> None:
    gateway = recording(CidrResource("db", "10.0.0.0/24", [Tcp(443)]))
    hand_in(gateway, [probe(number) for number in range(1, 100)])
    hand_in(gateway, [tcp(f"{at(V4.client, 1)} > {at(host(number), 22)}") for number in (50, 51)])
    by_tcp = [one for one in refusals(gateway) if one.reason is Reason.TCP_PORT]
    assert [str(one.far_ip) for one in by_tcp] == [host(50), host(51)]


def test_a_scan_leaves_room_for_other_clients() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number) for number in range(1, 100)])
    hand_in(gateway, [udp(f"{at(V4.neighbour, 1)} > {at(host(99), 22)}")])
    bobs = [one for one in refusals(gateway) if one.client_id == "bob"]
    assert [(str(one.far_ip), one.packets) for one in bobs] == [(host(99), 1)]


@both_families
def test_a_scan_from_outside_is_nine_records_too(family: Family) -> None:
    gateway = recording()
    stem = family.host[:-1]
    for number in range(1, 10):
        for far in (f"{stem}{number}", f"{stem}{number}0", f"{stem}{number}1"):
            gateway.handle_packet(INBOUND, family.udp(INBOUND, far=far), 0.0)
    found = refusals(gateway)
    assert (len(found), sum(one.packets for one in found)) == (9, 27)


# --- Time ---------------------------------------------------------------------------------------


def test_a_record_is_reported_a_minute_after_its_first_packet() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1)], 10.0)
    hand_in(gateway, [probe(1)], 69.5)
    gateway.handle_timeout(69.75)
    assert fetched(gateway) == []
    assert told(gateway, 70.0) == [(host(1), 22, 2)]


def test_a_refused_packet_reports_what_has_waited_for_its_minute() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1)], 10.0)
    hand_in(gateway, [probe(1)], 70.0)
    (record,) = only(FlowRefused, fetched(gateway))
    assert (record.packets, record.last_packet) == (1, 10.0)
    assert gateway.poll_timeout() == 130.0


def test_an_allowed_packet_reports_nothing() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger), 0.0)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 1_000.0)
    assert names(gateway) == ["started"]


def test_records_are_reported_in_the_order_of_their_first_packets() -> None:
    gateway = recording()
    for number in (3, 1, 2, 3, 1):
        hand_in(gateway, [probe(number)], float(number == 2))
    assert [far for far, _, _ in told(gateway, 100.0)] == [host(3), host(1), host(2)]


def test_after_a_report_a_far_end_has_another_record() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1)], 0.0)
    assert told(gateway, 60.0) == [(host(1), 22, 1)]
    hand_in(gateway, [probe(1)] * 3, 61.0)
    assert told(gateway, 121.0) == [(host(1), 22, 3)]


def test_a_report_makes_room_for_other_far_ends() -> None:
    gateway = recording()
    hand_in(gateway, [probe(number) for number in range(1, 9)], 0.0)
    hand_in(gateway, [probe(number) for number in (20, 21)], 30.0)
    assert len(told(gateway, 60.0)) == 8
    hand_in(gateway, [probe(number) for number in range(30, 40)], 61.0)
    # The record of what did not fit in has not had its minute yet.
    assert told(gateway, 130.0) == [
        (None, 22, 4),
        *((host(number), 22, 1) for number in range(30, 38)),
    ]


def test_a_long_scan_is_nine_records_a_minute() -> None:
    gateway = recording()
    for second in range(600):
        hand_in(gateway, [probe(second % 200 + 1)], float(second))
    found = refusals(gateway, 700.0)
    assert sum(one.packets for one in found) == 600
    assert len(found) <= 9 * 10


def test_refusals_of_a_client_that_has_gone_are_reported_all_the_same() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1)])
    gateway.client_disconnected("alice")
    assert [one.client_id for one in refusals(gateway)] == ["alice"]


# --- All of them ----------------------------------------------------------------------------


def test_every_refused_packet_is_in_one_record() -> None:
    gateway = recording(V4.db(Tcp(443)))
    stories = [
        [probe(number, port=number % 5, size=number) for number in range(1, 200)],
        [b"", b"\x00", V4.echo(OUTBOUND), V4.tcp(OUTBOUND, 22), V6.udp(OUTBOUND)],
    ]
    packets = [packet for story in stories for packet in story]
    hand_in(gateway, packets)
    found = refusals(gateway)
    assert sum(one.packets for one in found) == len(packets)
    assert sum(one.ip_bytes for one in found) == sum(map(len, packets))


def test_what_is_allowed_is_in_none() -> None:
    gateway = recording(V4.db())
    for _ in range(3):
        gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 0.0)
        gateway.handle_packet(INBOUND, V4.udp(INBOUND), 0.0)
    assert refusals(gateway) == []
    assert len(closed(gateway)) == 1


def test_without_the_option_refusals_are_counted_and_not_reported() -> None:
    gateway = gateway_for_alice()
    hand_in(gateway, [probe(1)])
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(60.0)
    assert fetched(gateway) == []
    assert gateway.counters().refusals[OUTBOUND, Reason.NO_RESOURCE] == 1
