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
from firezone_filter.testing import fragment, icmp_error, ip, resized, tcp, udp
from tests.numbers import ESP
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

Told = tuple[str | None, int | None, int]
"""Far address, port and packets of what is reported."""


def host(number: int) -> str:
    return f"10.0.0.{number}"


def probe(
    number: int, *, port: int = 22, near: str = V4.client, near_port: int = 1, size: int = 0
) -> bytes:
    """Build a packet to one of many hosts."""
    return udp(f"{at(near, near_port)} > {at(host(number), port)}", bytes(size))


def hand_in(gateway: Gateway, packets: Iterable[bytes], now: float = 0.0) -> None:
    decisions = gateway.handle_packets(OUTBOUND, packets, now)
    assert not any(decision.allowed for decision in decisions)


def told(gateway: Gateway, now: float = 60.0) -> list[Told]:
    return [
        (None if one.far_ip is None else str(one.far_ip), one.far_port, one.packets)
        for one in refusals(gateway, now)
    ]


# --- What a record says --------------------------------------------------------------------


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


def test_a_record_tells_what_its_packets_have_in_common() -> None:
    gateway = recording()
    for now, size in ((1.0, 0), (2.0, 10), (30.0, 100)):
        hand_in(gateway, [probe(5, size=size, near_port=int(now))], now)
    (record,) = refusals(gateway, 61.0)
    assert (record.first_packet, record.last_packet) == (1.0, 30.0)
    assert (record.packets, record.ip_bytes) == (3, 3 * 28 + 110)
    hand_in(gateway, [probe(5, port=port) for port in range(1, 1_000)])
    assert told(gateway, 121.0) == [(host(5), None, 999)]
    flow = f"{at(V4.client, 1)} > {at(host(5), 22)}"
    hand_in(gateway, [tcp(flow), udp(flow)])
    (record,) = refusals(gateway, 181.0)
    assert (record.far_ip, record.protocol, record.far_port) == (ip_address(host(5)), None, 22)


@both_families
def test_what_has_no_ports_is_reported_without(family: Family) -> None:
    gateway = recording()
    gateway.handle_packet(OUTBOUND, family.echo(OUTBOUND), 0.0)
    gateway.authorize("alice", family.db(Tcp()))
    gateway.handle_packet(OUTBOUND, ip(family.flow(OUTBOUND), ESP, bytes(8)), 0.0)
    for direction in Direction:
        later = fragment(family.udp(direction, size=64), 24)
        gateway.handle_packet(direction, later, 0.0)
    found = [(one.reason, one.protocol, one.far_port) for one in refusals(gateway)]
    assert found == [
        (Reason.NO_RESOURCE, family.icmp, None),
        (Reason.PROTOCOL, 50, None),
        *[(Reason.FRAGMENT, 17, None)] * 2,
    ]


@both_families
def test_the_far_address_is_the_one_in_the_packet(family: Family) -> None:
    gateway = recording(family.db(Udp(1)))
    error = icmp_error(
        family.flow(INBOUND, far=family.stranger),
        family.unreachable,
        quoting=family.udp(OUTBOUND),
    )
    gateway.handle_packet(INBOUND, error, 0.0)
    gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, far=family.proxy), 0.0)
    assert [(record.reason, str(record.far_ip)) for record in refusals(gateway)] == [
        (Reason.ICMP_ERROR, family.stranger),
        (Reason.NO_RESOURCE, family.proxy),
    ]


# --- What is told apart --------------------------------------------------------------------


def test_far_ends_directions_reasons_and_clients_are_told_apart() -> None:
    gateway = recording(V4.db(Udp(53)))
    bobs = probe(5, near=V4.neighbour)
    hand_in(gateway, [probe(1), probe(2), probe(1, near_port=7), V4.tcp(OUTBOUND), bobs])
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, 54, far=host(1)), 0.0)
    found = [
        (record.client_id, record.direction, record.reason, str(record.far_ip), record.packets)
        for record in refusals(gateway)
    ]
    assert found == [
        ("alice", OUTBOUND, Reason.UDP_PORT, host(1), 2),
        ("alice", OUTBOUND, Reason.UDP_PORT, host(2), 1),
        ("alice", OUTBOUND, Reason.TCP_PORT, host(5), 1),
        ("bob", OUTBOUND, Reason.NO_RESOURCE, host(5), 1),
        ("alice", INBOUND, Reason.UDP_PORT, host(1), 1),
    ]


@pytest.mark.parametrize("reject", [True, False])
def test_whether_the_client_was_told_makes_no_difference(*, reject: bool) -> None:
    gateway = recording(options=GatewayOptions(reject=reject))
    hand_in(gateway, [probe(1)] * 200)
    assert told(gateway) == [(host(1), 22, 200)]


# --- What has no client or no address ------------------------------------------------------


@both_directions
def test_malformed_packets_are_one_record_with_neither_client_nor_far_end(
    direction: Direction,
) -> None:
    gateway = recording(V4.db())
    odd = [b"", b"\x45", resized(V4.udp(direction), by=1), bytes(60)]
    gateway.handle_packets(direction, odd, 0.0)
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
    ("direction", "flow", "client_id", "reason", "far"),
    [
        (OUTBOUND, f"{V4.spare} > {V4.host}", None, Reason.UNKNOWN_CLIENT, V4.host),
        (INBOUND, f"{V4.host} > {V4.spare}", None, Reason.UNKNOWN_CLIENT, V4.host),
        (INBOUND, f"{V4.host} > {V4.stranger}", None, Reason.NOT_A_PEER, V4.host),
        (OUTBOUND, f"{V6.client} > {V6.multicast}", None, Reason.MULTICAST, V6.multicast),
        # A borrowed address is reported of the client that the tunnel knows.
        (OUTBOUND, f"{V4.client} > {V4.host}", "bob", Reason.SOURCE_NOT_ALLOWED, V4.host),
    ],
    ids=["nobody-sends", "to-nobody", "outside", "multicast", "borrowed"],
)
def test_a_record_is_of_the_client_that_was_found_if_any_was(
    direction: Direction, flow: str, client_id: str | None, reason: Reason, far: str
) -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(direction, udp(flow), 0.0, client_id)
    (record,) = refusals(gateway)
    assert (record.client_id, record.reason, str(record.far_ip)) == (client_id, reason, far)


# --- A scan --------------------------------------------------------------------------------


def test_a_scan_is_eight_far_ends_and_what_the_others_have_in_common() -> None:
    rows: list[tuple[list[bytes], Told]] = [
        ([probe(number) for number in range(1, 201)], (None, 22, 192)),
        # The ninth alone is told as it is.
        ([probe(number) for number in (*range(1, 10), 9)], (host(9), 22, 2)),
        ([probe(number, port=number) for number in range(1, 12)], (None, None, 3)),
    ]
    for packets, rest in rows:
        gateway = recording()
        hand_in(gateway, packets)
        few = told(gateway)
        assert [far for far, _, _ in few[:8]] == [host(number) for number in range(1, 9)]
        assert few[8:] == [rest]
    gateway = recording()
    hand_in(gateway, [probe(number) for number in range(1, 10)])
    hand_in(gateway, [tcp(f"{at(V4.client, 1)} > {at(host(10), 22)}")])
    record = refusals(gateway)[-1]
    assert (record.far_ip, record.protocol, record.far_port, record.packets) == (None, None, 22, 2)


def test_a_scan_leaves_alone_what_is_told_apart_and_other_reasons_and_clients() -> None:
    gateway = recording(CidrResource("db", "10.0.0.0/24", [Tcp(443)]))
    hand_in(gateway, [probe(number) for number in (*range(1, 100), *range(1, 9))])
    hand_in(gateway, [tcp(f"{at(V4.client, 1)} > {at(host(number), 22)}") for number in (50, 51)])
    hand_in(gateway, [probe(99, near=V4.neighbour)])
    scanned, others = (found := refusals(gateway))[:8], found[9:]
    assert [record.packets for record in scanned] == [2] * 8
    assert [(one.client_id, one.reason, str(one.far_ip)) for one in others] == [
        ("alice", Reason.TCP_PORT, host(50)),
        ("alice", Reason.TCP_PORT, host(51)),
        ("bob", Reason.NO_RESOURCE, host(99)),
    ]


@both_families
def test_a_scan_from_outside_is_nine_records_too(family: Family) -> None:
    gateway = recording()
    stem = family.host[:-1]
    ends = [f"{stem}{number}{digit}" for number in range(1, 10) for digit in ("", 0, 1)]
    packets = [family.udp(INBOUND, far=far) for far in ends]
    gateway.handle_packets(INBOUND, packets, 0.0)
    found = refusals(gateway)
    assert (len(found), sum(one.packets for one in found)) == (9, 27)


# --- Time ----------------------------------------------------------------------------------


def test_a_record_is_reported_a_minute_after_its_first_packet() -> None:
    gateway = recording()
    hand_in(gateway, [probe(1)], 10.0)
    hand_in(gateway, [probe(1)], 69.5)
    gateway.handle_timeout(69.75)
    assert fetched(gateway) == []
    assert told(gateway, 70.0) == [(host(1), 22, 2)]
    # After that a far end has another.
    hand_in(gateway, [probe(1)] * 3, 71.0)
    assert told(gateway, 131.0) == [(host(1), 22, 3)]


def test_a_refused_packet_reports_what_has_waited_for_its_minute_and_an_allowed_one_nothing() -> (
    None
):
    gateway = recording(CidrResource("db", host(9)))
    hand_in(gateway, [probe(1)], 10.0)
    assert gateway.handle_packet(OUTBOUND, probe(9), 70.0).allowed
    assert names(gateway) == ["started"]
    hand_in(gateway, [probe(1)], 70.0)
    (record,) = only(FlowRefused, fetched(gateway))
    assert (record.packets, record.last_packet) == (1, 10.0)
    assert gateway.poll_timeout() == 130.0


def test_records_are_reported_in_the_order_of_their_first_packets() -> None:
    gateway = recording()
    for number in (3, 1, 2, 3, 1):
        hand_in(gateway, [probe(number)], float(number == 2))
    assert [far for far, _, _ in told(gateway, 100.0)] == [host(3), host(1), host(2)]


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
    assert (sum(one.packets for one in found), len(found) <= 9 * 10) == (600, True)


# --- All of them ---------------------------------------------------------------------------


def test_every_refused_packet_is_in_one_record_and_what_is_allowed_in_none() -> None:
    gateway = recording(V4.db(Tcp(443)))
    packets = [probe(number, port=number % 5 + 1, size=number) for number in range(1, 200)]
    packets += [b"", b"\x00", V4.echo(OUTBOUND), V4.tcp(OUTBOUND, 22), V6.udp(OUTBOUND)]
    hand_in(gateway, packets)
    for direction in Direction:
        assert gateway.handle_packet(direction, V4.tcp(direction), 0.0).allowed
    # Also if the client has gone.
    assert closed(gateway) == []
    found = refusals(gateway)
    assert sum(one.packets for one in found) == len(packets)
    assert sum(one.ip_bytes for one in found) == sum(map(len, packets))


def test_without_the_option_refusals_are_counted_and_not_reported() -> None:
    gateway = gateway_for_alice()
    hand_in(gateway, [probe(1)])
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(60.0)
    assert fetched(gateway) == []
    assert gateway.counters().refusals[OUTBOUND, Reason.NO_RESOURCE] == 1
