"""Flow records: what begins one, what never has one, and what it says."""

from ipaddress import ip_address

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    FlowEnd,
    FlowEnded,
    FlowStarted,
    GatewayOptions,
    InternetResource,
    Reject,
    Tcp,
    TunnelAddresses,
    Udp,
)
from tests.builders import ACK, ESP, FIN, GRE, SYN, fragment, icmp, icmp_echo, icmp_error, ip
from tests.builders import tcp as tcp_packet
from tests.builders import udp as udp_packet
from tests.records import (
    CLOSING,
    OPENING,
    closed,
    fetched,
    names,
    only,
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
NUMBERS = {
    (4, "tcp"): 6,
    (4, "udp"): 17,
    (4, "echo"): 1,
    (4, "esp"): 50,
    (6, "tcp"): 6,
    (6, "udp"): 17,
    (6, "echo"): 58,
    (6, "esp"): 50,
}

every_kind = pytest.mark.parametrize("kind", ["tcp", "udp", "echo", "esp"])


def packet(
    family: Family,
    direction: Direction,
    kind: str = "udp",
    size: int = 24,
    *,
    far: str | None = None,
) -> bytes:
    """Build a packet of some kind between Alice and the resource; TCP has a SYN."""
    payload, ends = bytes(size), family.flow(direction, far=far)
    match kind:
        case "tcp":
            return tcp_packet(family.flow(direction, 443, far=far), payload, flags=SYN)
        case "udp":
            return udp_packet(family.flow(direction, 443, far=far), payload)
        case "echo":
            reply = direction is INBOUND
            return icmp_echo(ends, reply=reply, identifier=77, payload=payload)
        case _:
            return ip(ends, ESP, payload)


def numbered(family: Family, near: int, far: int, *, host: str | None = None) -> bytes:
    """Build a UDP packet from one of Alice's ports."""
    return udp_packet(f"{at(family.client, near)} > {at(host or family.host, far)}")


# --- The option -----------------------------------------------------------------------------


def test_the_option_is_off_by_default() -> None:
    assert GatewayOptions().flow_records is False


@every_kind
@both_families
def test_without_the_option_nothing_is_reported_of_flows(family: Family, kind: str) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, kind), 1.0)
    gateway.handle_packet(INBOUND, packet(family, INBOUND, kind), 1.0)
    gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, far=family.stranger), 1.0)
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(1_000.0)
    gateway.client_disconnected("alice")
    assert fetched(gateway) == []


# --- What a record says -----------------------------------------------------------------------


@every_kind
@both_families
def test_the_start_of_a_flow_is_reported_with_its_first_packet(family: Family, kind: str) -> None:
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, kind), 7.5)
    near_port, far_port = PORTS[kind]
    assert fetched(gateway) == [
        FlowStarted(
            client_id="alice",
            resource_id="db",
            protocol=NUMBERS[family.version, kind],
            inner_src_ip=ip_address(family.client),
            inner_src_port=near_port,
            inner_dst_ip=ip_address(family.host),
            inner_dst_port=far_port,
            domain=None,
            flow_start=7.5,
        )
    ]


@every_kind
@both_families
def test_the_end_of_a_flow_is_reported_with_all_that_went_through_it(
    family: Family, kind: str
) -> None:
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, kind, 24), 7.5)
    gateway.handle_packet(INBOUND, packet(family, INBOUND, kind, 100), 8.0)
    gateway.handle_packet(INBOUND, packet(family, INBOUND, kind, 1_000), 8.25)
    gateway.handle_timeout(9.0)
    near_port, far_port = PORTS[kind]
    assert the_record(gateway) == FlowEnded(
        client_id="alice",
        resource_id="db",
        protocol=NUMBERS[family.version, kind],
        inner_src_ip=ip_address(family.client),
        inner_src_port=near_port,
        inner_dst_ip=ip_address(family.host),
        inner_dst_port=far_port,
        domain=None,
        flow_start=7.5,
        last_packet=8.25,
        flow_end=9.0,
        tx_packets=1,
        tx_bytes=24,
        rx_packets=2,
        rx_bytes=1_100,
        cause=FlowEnd.DISCONNECTED,
    )


@every_kind
@both_families
def test_a_start_is_reported_once(family: Family, kind: str) -> None:
    gateway = recording(family.db())
    for now in (1.0, 2.0, 3.0):
        gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, kind), now)
    assert names(gateway) == ["started"]


def test_a_packet_with_an_earlier_time_counts_at_the_latest() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 5.0)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 2.0)
    assert the_record(gateway).last_packet == 5.0


def test_a_batch_is_recorded_as_its_packets_one_by_one_are() -> None:
    gateway = recording(V4.db())
    gateway.handle_packets(OUTBOUND, [V4.udp(OUTBOUND, size=10)] * 3, 5.0)
    gateway.handle_packets(INBOUND, [V4.udp(INBOUND, size=1)] * 2, 6.0)
    assert sums(the_record(gateway)) == (3, 30, 2, 2)


def test_the_internet_resource_is_a_resource_as_well() -> None:
    gateway = recording(InternetResource("web"))
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND, far=V4.public))
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.public))
    assert the_record(gateway).resource_id == "web"


# --- What begins a record -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1_000])
@both_families
def test_any_udp_packet_of_a_client_begins_a_record(family: Family, size: int) -> None:
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, size=size))
    assert sums(the_record(gateway)) == (1, size, 0, 0)


@pytest.mark.parametrize("flags", OPENING.values(), ids=OPENING)
@pytest.mark.parametrize("payload", [b"", b"x"], ids=["bare", "payload"])
@both_families
def test_what_may_begin_a_tcp_connection_begins_a_record(
    family: Family, payload: bytes, flags: int
) -> None:
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, tcp_packet(family.flow(OUTBOUND, 443), payload, flags=flags))
    assert sums(the_record(gateway)) == (1, len(payload), 0, 0)


@pytest.mark.parametrize("flags", CLOSING.values(), ids=CLOSING)
@pytest.mark.parametrize("payload", [b"", b"x"], ids=["bare", "payload"])
@both_families
def test_what_ends_a_tcp_connection_begins_no_record(
    family: Family, payload: bytes, flags: int
) -> None:
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, tcp_packet(family.flow(OUTBOUND, 443), payload, flags=flags))
    assert fetched(gateway) == []
    assert closed(gateway) == []


@pytest.mark.parametrize(
    ("flags", "payload", "begins"),
    [(ACK, b"", 0), (ACK, b"x", 1), (ACK | 0x08, b"", 0), (ACK | SYN, b"", 1)],
    ids=["bare", "payload", "push", "syn"],
)
@both_families
def test_an_ack_begins_a_record_only_with_a_payload_or_a_syn(
    family: Family, flags: int, payload: bytes, begins: int
) -> None:
    gateway = recording(family.db())
    # The second is decided as the first was.
    for _ in range(2):
        opening = tcp_packet(family.flow(OUTBOUND, 443), payload, flags=flags)
        gateway.handle_packet(OUTBOUND, opening)
    assert gateway.counters().recorded_flows == begins


def test_what_begins_no_record_does_not_keep_the_next_packet_from_it() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 1.0)
    gateway.handle_packet(OUTBOUND, tcp_packet(V4.flow(OUTBOUND, 443), b"data"), 2.0)
    record = the_record(gateway)
    assert (record.flow_start, *sums(record)) == (2.0, 1, 4, 0, 0)


@every_kind
@both_families
def test_a_packet_to_a_client_begins_no_record(family: Family, kind: str) -> None:
    gateway = recording(family.db())
    for _ in range(2):
        assert gateway.handle_packet(INBOUND, packet(family, INBOUND, kind)).allowed
    assert fetched(gateway) == []
    assert gateway.counters().rx_packets == 0


@every_kind
@both_families
def test_what_came_before_the_client_sent_is_in_no_record(family: Family, kind: str) -> None:
    gateway = recording(family.db())
    gateway.handle_packet(INBOUND, packet(family, INBOUND, kind))
    gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, kind))
    gateway.handle_packet(INBOUND, packet(family, INBOUND, kind, 5))
    assert sums(the_record(gateway)) == (1, 24, 1, 5)


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 13), (V6, 138)], ids=["timestamp", "renumbering"]
)
def test_other_icmp_has_one_record_without_ports(family: Family, kind: int) -> None:
    gateway = recording(family.db())
    for rest in (b"\0\1\0\1", b"\0\2\0\1"):
        gateway.handle_packet(OUTBOUND, icmp(family.flow(OUTBOUND), kind, rest=rest, body=b"1234"))
    gateway.handle_packet(INBOUND, icmp(family.flow(INBOUND), kind + 1, body=b"1"))
    record = the_record(gateway)
    assert (record.inner_src_port, record.inner_dst_port) == (None, None)
    assert sums(record) == (2, 8, 1, 1)


@both_families
def test_an_answer_to_a_ping_begins_a_record_as_a_ping_does(family: Family) -> None:
    gateway = recording(family.db())
    ping = icmp_echo(family.flow(INBOUND), identifier=9)
    pong = icmp_echo(family.flow(OUTBOUND), identifier=9, reply=True, payload=b"123")
    gateway.handle_packet(INBOUND, ping)
    gateway.handle_packet(OUTBOUND, pong)
    record = the_record(gateway)
    assert (record.inner_src_port, *sums(record)) == (9, 1, 3, 0, 0)


# --- What tells records apart -----------------------------------------------------------------


@both_families
def test_flows_are_told_apart_by_ports_and_addresses_and_protocol(family: Family) -> None:
    gateway = recording(CidrResource("db", family.network))
    other_host = family.host[:-1] + "6"
    for one in (
        numbered(family, 1, 1),
        numbered(family, 2, 1),
        numbered(family, 1, 2),
        numbered(family, 1, 1, host=other_host),
        tcp_packet(f"{at(family.client, 1)} > {at(family.host, 1)}", flags=SYN),
    ):
        gateway.handle_packet(OUTBOUND, one)
    assert [sums(record) for record in closed(gateway)] == [(1, 0, 0, 0)] * 5


@both_families
def test_pings_are_told_apart_by_their_ids(family: Family) -> None:
    gateway = recording(family.db())
    for identifier in (1, 2):
        gateway.handle_packet(OUTBOUND, icmp_echo(family.flow(OUTBOUND), identifier=identifier))
    pong = icmp_echo(family.flow(INBOUND), identifier=2, reply=True, payload=b"1")
    gateway.handle_packet(INBOUND, pong)
    found = [(record.inner_src_port, record.rx_bytes) for record in closed(gateway)]
    assert found == [(1, 0), (2, 1)]


def test_protocols_without_ports_are_told_apart() -> None:
    gateway = recording(V4.db())
    for protocol in (ESP, GRE, ESP):
        gateway.handle_packet(OUTBOUND, ip(V4.flow(OUTBOUND), protocol, b"1234"))
    found = [(record.protocol, record.tx_packets) for record in closed(gateway)]
    assert found == [(ESP, 2), (GRE, 1)]


@both_families
def test_clients_have_records_of_their_own(family: Family) -> None:
    gateway = recording(family.db())
    gateway.authorize("bob", family.db())
    bobs = udp_packet(f"{at(family.neighbour, 5401)} > {at(family.host, 53)}", b"bob")
    for _ in range(2):
        gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND))
        gateway.handle_packet(OUTBOUND, bobs)
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
        gateway.handle_packet(OUTBOUND, numbered(V4, 5, 5))
        gateway.handle_packet(INBOUND, udp_packet(f"{V4.host}:5 > {V4.client}:5", b"123"))
    assert sums(the_record(gateway)) == (2, 0, 2, 6)


def test_another_resource_that_permits_the_flow_from_now_on_has_another_record() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.authorize("alice", CidrResource("host", f"{V4.host}/32"))
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    assert [record.resource_id for record in closed(gateway)] == ["db", "host"]


# --- What has no record -------------------------------------------------------------------------


@every_kind
@both_families
def test_what_is_refused_is_in_no_record(family: Family, kind: str) -> None:
    gateway = recording()
    for _ in range(2):
        assert not gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, kind)).allowed
        assert not gateway.handle_packet(INBOUND, packet(family, INBOUND, kind)).allowed
    assert closed(gateway) == []


@both_families
def test_what_is_refused_of_a_recorded_flow_does_not_count(family: Family) -> None:
    gateway = recording(family.db(Udp(443)))
    gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND))
    gateway.update_resource(family.db(Tcp(443)))
    for _ in range(2):
        assert isinstance(gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND)), Reject)
        assert not gateway.handle_packet(INBOUND, packet(family, INBOUND)).allowed
    assert sums(the_record(gateway)) == (1, 24, 0, 0)


@every_kind
@both_families
def test_what_goes_to_the_gateway_itself_has_no_record(family: Family, kind: str) -> None:
    gateway = recording(family.db())
    sent = packet(family, OUTBOUND, kind, far=family.gateway)
    came = packet(family, INBOUND, kind, far=family.gateway)
    for _ in range(2):
        assert gateway.handle_packet(OUTBOUND, sent).allowed
        assert gateway.handle_packet(INBOUND, came).allowed
    assert closed(gateway) == []
    assert gateway.counters().tx_packets == gateway.counters().rx_packets == 0


@both_families
def test_icmp_errors_are_in_no_record(family: Family) -> None:
    gateway = recording(family.db())
    out, back = packet(family, OUTBOUND), packet(family, INBOUND)
    kind = 3 if family.version == 4 else 1
    gateway.handle_packet(OUTBOUND, out)
    told = icmp_error(family.flow(INBOUND), kind, quoting=out)
    telling = icmp_error(family.flow(OUTBOUND), kind, quoting=back)
    assert gateway.handle_packet(INBOUND, told).allowed
    assert gateway.handle_packet(OUTBOUND, telling).allowed
    assert [sums(record) for record in closed(gateway)] == [(1, 24, 0, 0)]


@both_families
@both_directions
def test_a_first_fragment_to_the_gateway_itself_has_no_record(
    family: Family, direction: Direction
) -> None:
    gateway = recording(family.db())
    whole = udp_packet(family.flow(direction, 53, far=family.gateway), bytes(64))
    for cut in (fragment(whole, 0, 24), fragment(whole, 24)):
        assert gateway.handle_packet(direction, cut).allowed
    assert closed(gateway) == []


# --- Odd clients ----------------------------------------------------------------------------


@pytest.mark.parametrize("peer", ["alice", None], ids=["named", "by-address"])
@both_families
def test_a_client_that_is_named_and_one_that_is_found_have_the_same_record(
    family: Family, peer: str | None
) -> None:
    gateway = recording(family.db())
    for _ in range(3):
        gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND), 1.0, client_id=peer)
        gateway.handle_packet(INBOUND, packet(family, INBOUND), 1.0, client_id=peer)
    assert sums(the_record(gateway)) == (3, 72, 3, 72)


@both_directions
def test_a_recorded_flow_is_refused_to_anybody_else(direction: Direction) -> None:
    gateway = recording(V4.db())
    gateway.authorize("bob", V4.db())
    gateway.handle_packet(OUTBOUND, packet(V4, OUTBOUND))
    gateway.handle_packet(INBOUND, packet(V4, INBOUND))
    foreign = gateway.handle_packet(direction, packet(V4, direction), client_id="bob")
    assert not foreign.allowed
    assert sums(the_record(gateway)) == (1, 24, 1, 24)


def test_a_client_with_an_id_of_another_class_has_records_too() -> None:
    class Name(str):
        __slots__ = ()

    gateway = recording()
    gateway.client_connected(Name("carol"), TunnelAddresses(V4.spare))
    gateway.authorize("carol", V4.db())
    gateway.handle_packet(OUTBOUND, udp_packet(f"{V4.spare}:1 > {V4.host}:2"), client_id="carol")
    (event,) = fetched(gateway)
    assert isinstance(event, FlowStarted)
    assert (type(event.client_id), event.client_id) == (str, "carol")


def test_a_whole_connection_is_one_record() -> None:
    gateway = recording(V4.db())
    out, back = V4.flow(OUTBOUND, 443), V4.flow(INBOUND, 443)
    gateway.handle_packet(OUTBOUND, tcp_packet(out, flags=SYN), 1.0)
    gateway.handle_packet(INBOUND, tcp_packet(back, flags=SYN | ACK), 2.0)
    gateway.handle_packet(OUTBOUND, tcp_packet(out), 3.0)
    gateway.handle_packet(OUTBOUND, tcp_packet(out, b"GET"), 4.0)
    gateway.handle_packet(INBOUND, tcp_packet(back, b"hello", flags=FIN | ACK), 5.0)
    gateway.handle_packet(OUTBOUND, tcp_packet(out, flags=FIN | ACK), 6.0)
    gateway.handle_packet(INBOUND, tcp_packet(back), 7.0)
    gateway.handle_timeout(8.0)
    started, ended = fetched(gateway)
    assert isinstance(started, FlowStarted)
    assert isinstance(ended, FlowEnded)
    assert (ended.flow_start, ended.flow_end, ended.cause) == (1.0, 7.0, FlowEnd.FIN)
    assert sums(ended) == (4, 3, 3, 5)
