"""`FlowRecorder` by itself: what it counts, what it prepares, and under which key."""

from ipaddress import ip_address

import pytest

from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.flow_counting import FlowRecorder, count_fragment
from firezone_filter.accounting.flow_records import NO_FLOW, FlowKey, FlowLog, OpenFlow, Traffic
from firezone_filter.gateway.flow_cache import FlowMemory, Flows, FlowTables, PreparedFlow
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.values.decisions import Direction, Forward, Translate
from firezone_filter.values.events import Event
from tests.builders import (
    ACK,
    ESP,
    FIN,
    ICMPV4,
    ICMPV6,
    RST,
    SYN,
    fragment,
    hop_by_hop,
    icmp,
    icmp_echo,
    icmp_error,
    ip,
    patched,
    tcp,
    udp,
)
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, both_families

PERMITTED = Forward("alice", "db")
OWN = Forward("alice", None)


class Desk:
    """A recorder with its books and its memory, and a way to hand packets in."""

    def __init__(self) -> None:
        self.queue = EventQueue()
        self.tables = FlowTables()
        self.memory = FlowMemory(self.tables)
        self.log = FlowLog(self.queue)
        self.recorder = FlowRecorder("alice", self.log, self.memory)

    def see(
        self, direction: Direction, packet: bytes, now: float = 1.0, forward: Forward = PERMITTED
    ) -> None:
        outbound = direction is OUTBOUND
        self.recorder.see(headers_of(packet), packet, forward, now, outbound=outbound)

    def prepared(self, direction: Direction, protocol: int = UDP) -> Flows[PreparedFlow]:
        tables = self.tables
        both = {OUTBOUND: tables.prepared_outbound, INBOUND: tables.prepared_inbound}
        return both[direction][protocol]

    def the_prepared(self, direction: Direction, protocol: int = UDP) -> PreparedFlow:
        (flow,) = self.prepared(direction, protocol).values()
        return flow

    def the_open(self) -> OpenFlow:
        (flow,) = self.log._open
        return flow

    def events(self) -> list[Event]:
        return list(iter(self.queue.get, None))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def headers_of(packet: bytes) -> Headers:
    headers = read_headers(packet)
    assert headers is not None
    return headers


def key(family: Family, protocol: int, near_port: int | None, far_port: int | None) -> FlowKey:
    near, far = ip_address(family.client).packed, ip_address(family.host).packed
    return FlowKey("db", protocol, near, near_port, far, far_port)


# --- The key --------------------------------------------------------------------------------


@both_families
def test_a_flow_has_one_key_whichever_way_its_packets_go(desk: Desk, family: Family) -> None:
    desk.see(OUTBOUND, family.udp(OUTBOUND, size=3))
    desk.see(INBOUND, family.udp(INBOUND, size=5))
    assert desk.the_open().key == key(family, UDP, 5401, 53)
    assert desk.the_open().traffic == Traffic(1, 3, 1, 5)


@pytest.mark.parametrize(("family", "protocol"), [(V4, ICMPV4), (V6, ICMPV6)], ids=["v4", "v6"])
@pytest.mark.parametrize("reply", [False, True], ids=["request", "reply"])
def test_the_id_of_a_ping_and_of_its_answer_is_the_clients_port(
    desk: Desk, family: Family, protocol: int, *, reply: bool
) -> None:
    desk.see(OUTBOUND, icmp_echo(family.flow(OUTBOUND), identifier=0xABCD, reply=reply))
    desk.see(INBOUND, icmp_echo(family.flow(INBOUND), identifier=0xABCD, reply=not reply))
    assert desk.the_open().key == key(family, protocol, 0xABCD, None)
    assert desk.the_open().traffic == Traffic(1, 0, 1, 0)


@pytest.mark.parametrize("kind", [13, 14, 17, 30])
def test_other_icmp_has_no_id(desk: Desk, kind: int) -> None:
    desk.see(OUTBOUND, icmp(V4.flow(OUTBOUND), kind, rest=b"\1\2\3\4"))
    assert desk.the_open().key == key(V4, ICMPV4, None, None)


@pytest.mark.parametrize("number", [0, 65_535])
def test_every_port_is_a_port(desk: Desk, number: int) -> None:
    desk.see(OUTBOUND, udp(f"{V4.client}:{number} > {V4.host}:{number}"))
    assert desk.the_open().key == key(V4, UDP, number, number)


@both_families
def test_ipsec_has_no_ports(desk: Desk, family: Family) -> None:
    desk.see(OUTBOUND, ip(family.flow(OUTBOUND), ESP, b"1234"))
    assert desk.the_open().key == key(family, ESP, None, None)


# --- What is prepared ---------------------------------------------------------------------


@both_families
@both_directions
@pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])
def test_plain_flows_are_prepared_and_not_remembered_otherwise(
    desk: Desk, family: Family, direction: Direction, kind: str
) -> None:
    packet = getattr(family, kind)(direction)
    echo = {4: ICMPV4, 6: ICMPV6}[family.version]
    desk.see(direction, packet)
    protocol = {"tcp": TCP, "udp": UDP, "echo": echo}[kind]
    assert desk.the_prepared(direction, protocol).client_id == "alice"
    assert len(desk.tables) == 1


@pytest.mark.parametrize(
    "packet",
    [
        icmp(V4.flow(OUTBOUND), 13, body=bytes(16)),
        icmp_echo(V6.flow(OUTBOUND), extensions=[hop_by_hop()]),
        ip(V4.flow(OUTBOUND), ESP, bytes(24)),
        udp(V4.flow(OUTBOUND, 53), options=b"\x01"),
        udp(V6.flow(OUTBOUND, 53), extensions=[hop_by_hop()]),
        fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 0, 24),
        fragment(tcp(V6.flow(OUTBOUND, 53), bytes(64)), 0, 24),
    ],
    ids=["timestamp", "echo-extension", "esp", "options", "extension", "fragment", "fragment6"],
)
def test_anything_else_counts_without_being_prepared(desk: Desk, packet: bytes) -> None:
    for _ in range(2):
        desk.see(OUTBOUND, packet)
    assert (len(desk.tables), desk.the_open().tx_packets) == (0, 2)


@both_directions
def test_what_goes_to_the_gateway_itself_is_neither_prepared_nor_counted(
    desk: Desk, direction: Direction
) -> None:
    whole = udp(V4.flow(direction, 53, far=V4.gateway), bytes(64))
    for packet in (whole, fragment(whole, 0, 24), V4.echo(direction, far=V4.gateway)):
        desk.see(direction, packet, forward=OWN)
    assert (len(desk.tables), len(desk.log)) == (0, 0)


@both_families
@both_directions
def test_icmp_errors_do_not_count(desk: Desk, family: Family, direction: Direction) -> None:
    kind = {4: 3, 6: 1}[family.version]
    quoting = {OUTBOUND: family.udp(INBOUND), INBOUND: family.udp(OUTBOUND)}[direction]
    desk.see(OUTBOUND, family.echo(OUTBOUND))
    desk.see(direction, icmp_error(family.flow(direction), kind, quoting=quoting))
    assert desk.log.traffic == Traffic(1, 0, 0, 0)


# --- What the prepared do ---------------------------------------------------------------------


@both_families
@both_directions
def test_a_prepared_flow_decides_as_before_and_counts(
    desk: Desk, family: Family, direction: Direction
) -> None:
    desk.see(OUTBOUND, family.udp(OUTBOUND))
    desk.see(direction, family.udp(direction, size=1))
    before = desk.log.traffic
    packet = family.udp(direction, size=100)
    for now in (2.0, 3.0):
        assert desk.the_prepared(direction).decide(packet, now) is PERMITTED
    flow = desk.the_open()
    counted = {OUTBOUND: Traffic(2, 200, 0, 0), INBOUND: Traffic(0, 0, 2, 200)}[direction]
    assert (flow.last_packet, flow.traffic) == (3.0, before.plus(counted))


@both_families
@both_directions
def test_a_prepared_connection_decides_as_before_and_counts(
    desk: Desk, family: Family, direction: Direction
) -> None:
    data = tcp(family.flow(direction, 443), bytes(100))
    desk.see(OUTBOUND, tcp(family.flow(OUTBOUND, 443), flags=SYN))
    desk.see(direction, data, 2.0)
    for now in (3.0, 4.0):
        assert desk.the_prepared(direction, TCP).decide(data, now) is PERMITTED
    flow = desk.the_open()
    counted = {OUTBOUND: Traffic(4, 300, 0, 0), INBOUND: Traffic(1, 0, 3, 300)}[direction]
    assert (flow.last_packet, flow.traffic) == (4.0, counted)


@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
def test_what_comes_in_has_to_be_judged_anew_at_another_age(desk: Desk, protocol: int) -> None:
    packets = {TCP: V4.tcp(INBOUND), UDP: V4.udp(INBOUND)}
    desk.see(OUTBOUND, V4.udp(OUTBOUND))
    desk.see(INBOUND, packets[protocol])
    before = desk.log.traffic
    desk.memory.forget_inbound()
    prepared = desk.the_prepared(INBOUND, protocol)
    assert prepared.decide(packets[protocol], 2.0) is None
    # Whoever judges it counts it.
    assert desk.log.traffic == before
    desk.see(INBOUND, packets[protocol], 2.0)
    assert desk.the_prepared(INBOUND, protocol).decide(packets[protocol], 2.0) is PERMITTED


@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
def test_what_goes_out_does_not_age(desk: Desk, protocol: int) -> None:
    packets = {TCP: V4.tcp(OUTBOUND), UDP: V4.udp(OUTBOUND)}
    desk.see(OUTBOUND, packets[protocol])
    desk.memory.forget_inbound()
    assert desk.the_prepared(OUTBOUND, protocol).decide(packets[protocol], 2.0) is PERMITTED


def test_a_prepared_flow_begins_a_new_record_when_the_old_one_has_ended(desk: Desk) -> None:
    desk.see(OUTBOUND, V4.udp(OUTBOUND), 1.0)
    desk.see(INBOUND, V4.udp(INBOUND), 1.0)
    desk.log.forget_old(200.0)
    inbound, outbound = desk.the_prepared(INBOUND), desk.the_prepared(OUTBOUND)
    assert inbound.decide(V4.udp(INBOUND, size=7), 201.0) is PERMITTED
    assert len(desk.log) == 0
    assert outbound.decide(V4.udp(OUTBOUND, size=5), 202.0) is PERMITTED
    for now in (203.0, 204.0):
        assert inbound.decide(V4.udp(INBOUND, size=1), now) is PERMITTED
    flow = desk.the_open()
    assert (flow.flow_start, flow.traffic) == (202.0, Traffic(1, 5, 2, 2))


@pytest.mark.parametrize("flags", [FIN, SYN, RST])
@both_directions
def test_turns_of_a_connection_are_never_passed_over(
    desk: Desk, direction: Direction, flags: int
) -> None:
    desk.see(OUTBOUND, tcp(V4.flow(OUTBOUND, 443), b"data"))
    desk.see(direction, tcp(V4.flow(direction, 443), b"data"))
    turn = tcp(V4.flow(direction, 443), flags=flags | ACK)
    prepared = desk.the_prepared(direction, TCP)
    flow = desk.the_open()
    assert prepared.decide(turn, 2.0) is PERMITTED
    seen = {
        FIN: flow.fin_outbound or flow.fin_inbound,
        RST: flow.ended,
        SYN: flow.ended is (direction is OUTBOUND),
    }
    assert seen[flags]


def test_a_connection_that_has_only_begun_is_looked_at_again(desk: Desk) -> None:
    out = V4.flow(OUTBOUND, 443)
    desk.see(OUTBOUND, tcp(out, flags=SYN))
    prepared = desk.the_prepared(OUTBOUND, TCP)
    for flags in (SYN, ACK, SYN):
        prepared.decide(tcp(out, flags=flags), 2.0)
    assert desk.log.traffic.tx_packets == 4
    assert desk.the_open().traffic == Traffic(1, 0, 0, 0)


@both_directions
def test_a_lie_about_the_header_counts_as_no_bytes(desk: Desk, direction: Direction) -> None:
    desk.see(OUTBOUND, tcp(V4.flow(OUTBOUND, 443), flags=SYN))
    data = tcp(V4.flow(direction, 443), b"1234")
    desk.see(direction, data)
    lie = patched(data, 32, b"\xf0")
    prepared = desk.the_prepared(direction, TCP)
    for packet in (lie, data, lie):
        prepared.decide(packet, 2.0)
    traffic = desk.the_open().traffic
    assert traffic.tx_bytes + traffic.rx_bytes == 8
    assert traffic.tx_packets + traffic.rx_packets == 5


# --- Through the NAT --------------------------------------------------------------------------


class Prepared:
    """A flow of the NAT that says what it is told to."""

    client_id = "alice"

    def __init__(self, decision: Translate | None) -> None:
        self.decision = decision

    def decide(self, packet: bytes, now: float) -> Translate | None:
        assert (len(packet), now) == (29, 2.0)
        return self.decision


MAPPING = (UDP, 6000, ip_address("198.51.100.9").packed)
TRANSLATED = Translate(b"translated", "alice", "db")


@both_directions
def test_what_the_nat_passes_is_counted_under_its_mapping(
    desk: Desk, direction: Direction
) -> None:
    near, far = ip_address(V4.client).packed, MAPPING[2]
    mapped = FlowKey("db", UDP, near, 6000, far, 53)
    desk.recorder.flows.outbound(mapped, "a.example.com", 0, 0, 1.0)
    packet = V4.udp(direction, size=1)
    through = desk.recorder.through_nat(
        Prepared(TRANSLATED),
        headers_of(packet),
        MAPPING,
        PERMITTED,
        "a.example.com",
        outbound=direction is OUTBOUND,
    )
    assert through.client_id == "alice"
    assert through.decide(packet, 2.0) is TRANSLATED
    counted = {OUTBOUND: Traffic(2, 1, 0, 0), INBOUND: Traffic(1, 0, 1, 1)}[direction]
    assert desk.the_open().traffic == counted


@both_directions
def test_what_the_nat_does_not_pass_is_not_counted(desk: Desk, direction: Direction) -> None:
    packet = V4.udp(direction, size=1)
    through = desk.recorder.through_nat(
        Prepared(None),
        headers_of(packet),
        MAPPING,
        PERMITTED,
        "a.example.com",
        outbound=direction is OUTBOUND,
    )
    assert through.decide(packet, 2.0) is None
    assert (desk.log.traffic, desk.events()) == (Traffic(), [])


def test_what_the_nat_passes_begins_a_record_with_the_name(desk: Desk) -> None:
    packet = V4.udp(OUTBOUND, size=1)
    through = desk.recorder.through_nat(
        Prepared(TRANSLATED),
        headers_of(packet),
        MAPPING,
        PERMITTED,
        "a.example.com",
        outbound=True,
    )
    through.decide(packet, 2.0)
    flow = desk.the_open()
    assert (flow.domain, flow.key.near_port, flow.key.far, flow.key.far_port) == (
        "a.example.com",
        6000,
        MAPPING[2],
        53,
    )


# --- Fragments ------------------------------------------------------------------------------


@both_families
@both_directions
def test_later_fragments_find_the_record_of_their_first(
    desk: Desk, family: Family, direction: Direction
) -> None:
    desk.see(OUTBOUND, family.udp(OUTBOUND))
    whole = udp(family.flow(direction, 53), bytes(64))
    first, later = fragment(whole, 0, 24), fragment(whole, 24)
    outbound = direction is OUTBOUND
    flow = desk.recorder.of_fragments(headers_of(first), first, PERMITTED, outbound=outbound)
    assert flow is desk.the_open()
    count_fragment(flow, headers_of(later), later, 2.0, outbound=outbound)
    assert flow.traffic.tx_bytes + flow.traffic.rx_bytes == 48
    assert flow.last_packet == 2.0


def test_fragments_of_what_has_no_record_find_none(desk: Desk) -> None:
    first = fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 0, 24)
    headers = headers_of(first)
    assert desk.recorder.of_fragments(headers, first, PERMITTED, outbound=True) is None
    assert desk.recorder.of_fragments(headers, first, OWN, outbound=True) is None


def test_a_translated_first_fragment_is_looked_up_as_it_left(desk: Desk) -> None:
    desk.see(OUTBOUND, V4.udp(OUTBOUND))
    first = fragment(udp(V4.flow(OUTBOUND, 53, far=V4.proxy), bytes(64)), 0, 24)
    left = fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 0, 24)
    decision = Translate(left, "alice", "db")
    found = desk.recorder.of_fragments(headers_of(first), first, decision, outbound=True)
    assert found is desk.the_open()


def test_a_fragment_to_the_client_is_looked_up_as_it_came(desk: Desk) -> None:
    desk.see(OUTBOUND, V4.udp(OUTBOUND))
    came = fragment(udp(V4.flow(INBOUND, 53), bytes(64)), 0, 24)
    goes = fragment(udp(V4.flow(INBOUND, 53, far=V4.proxy), bytes(64)), 0, 24)
    decision = Translate(goes, "alice", "db")
    found = desk.recorder.of_fragments(headers_of(came), came, decision, outbound=False)
    assert found is desk.the_open()


def test_nothing_is_counted_for_a_record_that_is_not_there_or_has_ended(desk: Desk) -> None:
    later = fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 24)
    count_fragment(None, headers_of(later), later, 2.0, outbound=True)
    count_fragment(NO_FLOW, headers_of(later), later, 2.0, outbound=True)
    assert desk.log.traffic == Traffic()
