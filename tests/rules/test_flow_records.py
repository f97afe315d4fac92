"""Flow records: what begins one, what never has one, and what it says."""

from ipaddress import ip_address
from typing import Any

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    FlowEnd,
    FlowEnded,
    FlowStarted,
    Gateway,
    GatewayOptions,
    InternetResource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import ACK, SYN, fragment, icmp, icmp_echo, icmp_error, ip, tcp, udp
from tests.numbers import ESP, GRE
from tests.records import (
    CLOSING,
    OPENING,
    closed,
    fetched,
    only,
    packet,
    recording,
    sums,
    the_record,
)
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

PORTS = {"tcp": (5401, 443), "udp": (5401, 443), "echo": (77, None), "esp": (None, None)}
KINDS = list(PORTS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def number(family: Family, kind: str) -> int:
    return {"tcp": 6, "udp": 17, "echo": family.icmp, "esp": ESP}[kind]


def hand_in(gateway: Gateway, direction: Direction, *packets: bytes, **how: Any) -> list[bool]:  # noqa: ANN401 - of `handle_packets`
    """Hand packets in; tell which of them pass."""
    decisions = gateway.handle_packets(direction, packets, **how)
    return [decision.allowed for decision in decisions]


# --- The option ----------------------------------------------------------------------------


@both_families
def test_the_option_is_off_by_default_and_then_nothing_is_reported_of_flows(
    family: Family,
) -> None:
    assert GatewayOptions().flow_records is False
    gateway = gateway_for_alice(family.db())
    for direction in Direction:
        packets = [packet(family, direction, kind) for kind in KINDS]
        hand_in(gateway, direction, *packets, family.udp(direction, far=family.stranger), now=1.0)
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(1_000.0)
    gateway.client_disconnected("alice")
    assert fetched(gateway) == []


# --- What a record says --------------------------------------------------------------------


@every_kind
@both_families
def test_a_start_is_reported_once_and_an_end_with_all_that_went_through(
    family: Family, kind: str
) -> None:
    gateway = recording(family.db())
    hand_in(gateway, OUTBOUND, packet(family, OUTBOUND, kind, 24), now=7.5)
    near_port, far_port = PORTS[kind]
    identity: dict[str, Any] = {
        "client_id": "alice",
        "resource_id": "db",
        "protocol": number(family, kind),
        "inner_src_ip": ip_address(family.client),
        "inner_src_port": near_port,
        "inner_dst_ip": ip_address(family.host),
        "inner_dst_port": far_port,
        "domain": None,
        "flow_start": 7.5,
    }
    assert fetched(gateway) == [FlowStarted(**identity)]
    hand_in(gateway, OUTBOUND, packet(family, OUTBOUND, kind, 1), now=7.75)
    hand_in(gateway, INBOUND, packet(family, INBOUND, kind, 100), now=8.0)
    hand_in(gateway, INBOUND, packet(family, INBOUND, kind, 1_000), now=8.25)
    gateway.handle_timeout(9.0)
    assert fetched(gateway) == []
    assert the_record(gateway) == FlowEnded(
        **identity,
        last_packet=8.25,
        flow_end=9.0,
        tx_packets=2,
        tx_bytes=25,
        rx_packets=2,
        rx_bytes=1_100,
        cause=FlowEnd.DISCONNECTED,
    )


def test_the_internet_resource_is_a_resource_as_well() -> None:
    gateway = recording(InternetResource("web"))
    hand_in(gateway, OUTBOUND, V4.tcp(OUTBOUND, far=V4.public), V4.udp(OUTBOUND, far=V4.public))
    assert the_record(gateway).resource_id == "web"


# --- What begins a record ------------------------------------------------------------------


@both_families
def test_any_udp_packet_of_a_client_begins_a_record(family: Family) -> None:
    for size in (0, 1, 1_000):
        gateway = recording(family.db())
        hand_in(gateway, OUTBOUND, family.udp(OUTBOUND, size=size))
        assert sums(the_record(gateway)) == (1, size, 0, 0)


@pytest.mark.parametrize(
    ("flags", "bare", "payload"),
    [
        *((flags, 1, 1) for flags in OPENING.values()),
        *((flags, 0, 0) for flags in CLOSING.values()),
        # An ACK may be the last of a connection, if it carries nothing.
        (ACK, 0, 1),
        (ACK | 0x08, 0, 1),
    ],
    ids=[*OPENING, *CLOSING, "ack", "ack-push"],
)
@both_families
def test_a_tcp_packet_begins_a_record_if_it_may_begin_a_connection(
    family: Family, flags: int, bare: int, payload: int
) -> None:
    for data, begins in ((b"", bare), (b"x", payload)):
        gateway = recording(family.db())
        opening = tcp(family.flow(OUTBOUND, 443), data, flags=flags)
        # The second is decided as the first was.
        assert hand_in(gateway, OUTBOUND, opening, opening) == [True, True]
        assert gateway.counters().recorded_flows == begins
        assert (gateway.counters().tx_packets, gateway.counters().tx_bytes) == (
            2 * begins,
            2 * begins * len(data),
        )
        # A packet that begins none does not keep the next from it.
        hand_in(gateway, OUTBOUND, tcp(family.flow(OUTBOUND, 443), b"data"))
        assert gateway.counters().recorded_flows == 1


@every_kind
@both_families
def test_a_packet_to_a_client_begins_no_record_and_is_in_none_that_begins_later(
    family: Family, kind: str
) -> None:
    gateway = recording(family.db())
    assert hand_in(gateway, INBOUND, *[packet(family, INBOUND, kind)] * 2) == [True, True]
    assert (fetched(gateway), gateway.counters().rx_packets) == ([], 0)
    hand_in(gateway, OUTBOUND, packet(family, OUTBOUND, kind))
    hand_in(gateway, INBOUND, packet(family, INBOUND, kind, 5))
    assert sums(the_record(gateway)) == (1, 24, 1, 5)


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 13), (V6, 138)], ids=["timestamp", "renumbering"]
)
def test_other_icmp_has_one_record_without_ports(family: Family, kind: int) -> None:
    gateway = recording(family.db())
    for rest in (b"\0\1\0\1", b"\0\2\0\1"):
        hand_in(gateway, OUTBOUND, icmp(family.flow(OUTBOUND), kind, rest=rest, body=b"1234"))
    hand_in(gateway, INBOUND, icmp(family.flow(INBOUND), kind + 1, body=b"1"))
    record = the_record(gateway)
    assert (record.inner_src_port, record.inner_dst_port) == (None, None)
    assert sums(record) == (2, 8, 1, 1)


@both_families
def test_an_answer_to_a_ping_begins_a_record_as_a_ping_does(family: Family) -> None:
    gateway = recording(family.db())
    hand_in(gateway, INBOUND, icmp_echo(family.flow(INBOUND), identifier=9))
    pong = icmp_echo(family.flow(OUTBOUND), identifier=9, reply=True, payload=b"123")
    hand_in(gateway, OUTBOUND, pong)
    record = the_record(gateway)
    assert (record.inner_src_port, *sums(record)) == (9, 1, 3, 0, 0)


# --- What tells records apart --------------------------------------------------------------


@both_families
def test_flows_are_told_apart_by_ends_protocol_and_id(family: Family) -> None:
    gateway = recording(family.db())
    near, far = family.client, family.host
    other_host = f"{family.host[:-1]}6"
    for one in (
        udp(f"{at(near, 1)} > {at(far, 1)}"),
        udp(f"{at(near, 2)} > {at(far, 1)}"),
        udp(f"{at(near, 1)} > {at(far, 2)}"),
        udp(f"{at(near, 1)} > {at(other_host, 1)}"),
        tcp(f"{at(near, 1)} > {at(far, 1)}", flags=SYN),
        icmp_echo(family.flow(OUTBOUND), identifier=1),
        icmp_echo(family.flow(OUTBOUND), identifier=2),
        ip(family.flow(OUTBOUND), ESP),
        ip(family.flow(OUTBOUND), GRE),
    ):
        hand_in(gateway, OUTBOUND, one)
    pong = icmp_echo(family.flow(INBOUND), identifier=2, reply=True, payload=b"1")
    hand_in(gateway, INBOUND, pong)
    records = closed(gateway)
    assert [sums(record) for record in records] == [
        *[(1, 0, 0, 0)] * 6,
        (1, 0, 1, 1),
        *[(1, 0, 0, 0)] * 2,
    ]
    assert [record.inner_src_port for record in records[5:]] == [1, 2, None, None]


@both_families
def test_clients_have_records_of_their_own(family: Family) -> None:
    gateway = recording(family.db())
    gateway.authorize("bob", family.db())
    bobs = udp(f"{at(family.neighbour, 5401)} > {at(family.host, 53)}", b"bob")
    hand_in(gateway, OUTBOUND, *[family.udp(OUTBOUND), bobs] * 2)
    records = closed(gateway)
    gateway.client_disconnected("bob")
    records += only(FlowEnded, fetched(gateway))
    found = [(record.client_id, str(record.inner_src_ip), *sums(record)) for record in records]
    assert found == [
        ("alice", family.client, 2, 0, 0, 0),
        ("bob", family.neighbour, 2, 6, 0, 0),
    ]


def test_the_same_ports_at_both_ends_do_not_confuse_the_directions() -> None:
    gateway = recording(V4.db())
    for _ in range(2):
        hand_in(gateway, OUTBOUND, udp(f"{V4.client}:5 > {V4.host}:5"))
        hand_in(gateway, INBOUND, udp(f"{V4.host}:5 > {V4.client}:5", b"123"))
    assert sums(the_record(gateway)) == (2, 0, 2, 6)


def test_another_resource_that_permits_the_flow_from_now_on_has_another_record() -> None:
    gateway = recording(V4.db())
    hand_in(gateway, OUTBOUND, V4.udp(OUTBOUND))
    gateway.authorize("alice", CidrResource("host", V4.host))
    hand_in(gateway, OUTBOUND, V4.udp(OUTBOUND))
    assert [record.resource_id for record in closed(gateway)] == ["db", "host"]


# --- What has no record --------------------------------------------------------------------


@both_families
def test_what_is_refused_is_in_no_record(family: Family) -> None:
    gateway = recording(family.db(Udp(443)))
    hand_in(gateway, OUTBOUND, packet(family, OUTBOUND))
    gateway.update_resource(family.db(Tcp(1)))
    for direction in Direction:
        packets = [packet(family, direction, kind) for kind in KINDS]
        assert not any(hand_in(gateway, direction, *packets, *packets))
    assert sums(the_record(gateway)) == (1, 24, 0, 0)


@both_families
def test_what_goes_to_the_gateway_itself_or_comes_from_it_has_no_record(family: Family) -> None:
    gateway = recording(family.db(), options=GatewayOptions(flow_records=True, own_filters=()))
    for direction in Direction:
        own = [packet(family, direction, kind, far=family.gateway) for kind in KINDS]
        whole = udp(family.flow(direction, 53, far=family.gateway), bytes(64))
        cut = [fragment(whole, 0, 24), fragment(whole, 24)]
        assert all(hand_in(gateway, direction, *own, *own, *cut))
    assert gateway.counters().tx_packets == gateway.counters().rx_packets == 0
    assert closed(gateway) == []


@both_families
def test_icmp_errors_are_in_no_record(family: Family) -> None:
    gateway = recording(family.db())
    out, back = packet(family, OUTBOUND), packet(family, INBOUND)
    told = icmp_error(family.flow(INBOUND), family.unreachable, quoting=out)
    telling = icmp_error(family.flow(OUTBOUND), family.unreachable, quoting=back)
    assert hand_in(gateway, OUTBOUND, out, telling) == [True, True]
    assert hand_in(gateway, INBOUND, told) == [True]
    assert [sums(record) for record in closed(gateway)] == [(1, 24, 0, 0)]


# --- Odd clients ---------------------------------------------------------------------------


@both_families
def test_a_client_that_is_named_and_one_that_is_found_have_the_same_record(
    family: Family,
) -> None:
    gateway = recording(family.db())
    for name in ("alice", None, "alice"):
        for direction in Direction:
            hand_in(gateway, direction, packet(family, direction), client_id=name)
    assert sums(the_record(gateway)) == (3, 72, 3, 72)


@both_directions
def test_a_recorded_flow_is_refused_to_anybody_else(direction: Direction) -> None:
    gateway = recording(V4.db())
    gateway.authorize("bob", V4.db())
    for way in Direction:
        hand_in(gateway, way, packet(V4, way))
    assert hand_in(gateway, direction, packet(V4, direction), client_id="bob") == [False]
    assert sums(the_record(gateway)) == (1, 24, 1, 24)


def test_a_client_with_an_id_of_another_class_has_records_too() -> None:
    class Name(str):
        __slots__ = ()

    gateway = recording()
    gateway.client_connected(Name("carol"), TunnelAddresses(V4.spare))
    gateway.authorize("carol", V4.db())
    hand_in(gateway, OUTBOUND, udp(f"{V4.spare}:1 > {V4.host}:2"), client_id="carol")
    (event,) = fetched(gateway)
    assert isinstance(event, FlowStarted)
    assert (type(event.client_id), event.client_id) == (str, "carol")
