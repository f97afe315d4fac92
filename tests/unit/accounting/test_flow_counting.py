"""`FlowRecorder`: which packets count, under which key, and what their handlers count then."""

import pytest

from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.flow_counting import FlowRecorder
from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.flow_record import NO_RECORD, FlowEnds, FlowRecord, Traffic
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.structures.generation import Generation
from firezone_filter.testing import (
    ACK,
    FIN,
    RST,
    SYN,
    fragment,
    icmp,
    icmp_echo,
    ip,
    patched,
    tcp,
    udp,
)
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.decisions import Direction, Forward, Translate
from tests.numbers import ESP, ICMPV4, ICMPV6
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, both_families
from tests.unit.reading import packed, read

PERMITTED = Forward("alice", "db")
OWN = Forward("alice", None)

either_protocol = pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])


class Desk:
    """A recorder with its books, and a way to hand packets in."""

    def __init__(self) -> None:
        self.log = FlowLog(EventQueue())
        self.recorder = FlowRecorder("alice", self.log)
        self.generation = Generation()

    def count(
        self, direction: Direction, packet: bytes, now: float = 1.0, forward: Forward = PERMITTED
    ) -> FlowHandler | None:
        return self.recorder.count(
            read(packet), packet, forward, now, self.generation, outbound=direction is OUTBOUND
        )

    def handler(self, direction: Direction, packet: bytes, now: float = 1.0) -> FlowHandler:
        """Count a packet, and return the handler of the flow's next ones."""
        handler = self.count(direction, packet, now)
        assert handler is not None
        assert handler.client_id == "alice"
        return handler

    @property
    def record(self) -> FlowRecord:
        """The one record that is open."""
        (record,) = self.recorder.records.open()
        return record

    @property
    def recorded(self) -> tuple[str, FlowEnds]:
        """The resource and the ends of the one record that is open."""
        return self.record.resource_id, FlowEnds.unpack(self.record.ends)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def key(
    family: Family, protocol: int, near_port: int | None, far_port: int | None
) -> tuple[str, FlowEnds]:
    near, far = packed(family.client, family.host)
    return "db", FlowEnds(protocol, near, near_port, far, far_port)


# --- Keys -----------------------------------------------------------------------------------


@both_families
def test_a_flow_has_one_key_whichever_way_its_packets_go(desk: Desk, family: Family) -> None:
    desk.count(OUTBOUND, family.udp(OUTBOUND, size=3))
    desk.count(INBOUND, family.udp(INBOUND, size=5))
    assert desk.recorded == key(family, UDP, 5401, 53)
    assert desk.record.traffic == Traffic(1, 3, 1, 5)


@pytest.mark.parametrize(("family", "protocol"), [(V4, ICMPV4), (V6, ICMPV6)], ids=["v4", "v6"])
@pytest.mark.parametrize("reply", [False, True], ids=["request", "reply"])
def test_the_id_of_a_ping_and_of_its_answer_is_the_clients_port(
    desk: Desk, family: Family, protocol: int, *, reply: bool
) -> None:
    desk.count(OUTBOUND, icmp_echo(family.flow(OUTBOUND), identifier=0xABCD, reply=reply))
    desk.count(INBOUND, icmp_echo(family.flow(INBOUND), identifier=0xABCD, reply=not reply))
    assert desk.recorded == key(family, protocol, 0xABCD, None)
    assert desk.record.traffic == Traffic(1, 0, 1, 0)


PORTS = {
    "timestamp": (icmp(V4.flow(OUTBOUND), 13, rest=b"\1\2\3\4"), key(V4, ICMPV4, None, None)),
    "esp": (ip(V4.flow(OUTBOUND), ESP, b"1234"), key(V4, ESP, None, None)),
    "esp6": (ip(V6.flow(OUTBOUND), ESP, b"1234"), key(V6, ESP, None, None)),
    "port-0": (udp(f"{V4.client}:0 > {V4.host}:0"), key(V4, UDP, 0, 0)),
    "port-65535": (
        udp(f"{V4.client}:65535 > {V4.host}:65535"),
        key(V4, UDP, 65_535, 65_535),
    ),
}


@pytest.mark.parametrize(("packet", "expected"), PORTS.values(), ids=PORTS)
def test_only_tcp_udp_and_echo_have_ports_and_every_port_is_one(
    desk: Desk, packet: bytes, expected: tuple[str, FlowEnds]
) -> None:
    desk.count(OUTBOUND, packet)
    assert desk.recorded == expected


# --- What counts ------------------------------------------------------------------------------


@both_directions
def test_packets_of_the_gateways_own_address_do_not_count(
    desk: Desk, direction: Direction
) -> None:
    whole = udp(V4.flow(direction, 53, far=V4.gateway), bytes(64))
    for packet in (whole, fragment(whole, 0, 24), V4.echo(direction, far=V4.gateway)):
        assert desk.count(direction, packet, forward=OWN) is None
    assert len(desk.log) == 0


# --- Handlers ---------------------------------------------------------------------------------


@both_families
@both_directions
@pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])
def test_a_handler_decides_as_before_and_counts_the_flows_next_packets(
    desk: Desk, family: Family, direction: Direction, kind: str
) -> None:
    def build(way: Direction, payload: bytes) -> bytes:
        if kind == "echo":
            return icmp_echo(family.flow(way), reply=way is INBOUND, payload=payload)
        return (tcp if kind == "tcp" else udp)(family.flow(way, 443), payload)

    desk.count(OUTBOUND, build(OUTBOUND, b"begin"))
    handler = desk.handler(direction, build(direction, b"one"))
    before = desk.record.traffic
    for now in (2.0, 3.0):
        assert handler.handle(build(direction, bytes(100)), now) is PERMITTED
    counted = {OUTBOUND: Traffic(2, 200, 0, 0), INBOUND: Traffic(0, 0, 2, 200)}[direction]
    assert desk.record.last_packet == 3.0
    assert desk.record.traffic == tuple(map(sum, zip(before, counted, strict=True)))


@either_protocol
def test_an_inbound_handler_asks_for_a_judge_in_another_generation_and_counts_nothing(
    desk: Desk, protocol: int
) -> None:
    packet = {TCP: V4.tcp(INBOUND), UDP: V4.udp(INBOUND)}[protocol]
    desk.count(OUTBOUND, {TCP: V4.tcp(OUTBOUND), UDP: V4.udp(OUTBOUND)}[protocol])
    handler = desk.handler(INBOUND, packet)
    before = desk.log.traffic
    desk.generation.number += 1
    assert handler.handle(packet, 2.0) is None
    # Whoever judges it counts it.
    assert desk.log.traffic == before
    assert desk.handler(INBOUND, packet, 2.0).handle(packet, 2.0) is PERMITTED


@either_protocol
def test_an_outbound_handler_belongs_to_no_generation(desk: Desk, protocol: int) -> None:
    packet = {TCP: V4.tcp(OUTBOUND), UDP: V4.udp(OUTBOUND)}[protocol]
    handler = desk.handler(OUTBOUND, packet)
    desk.generation.number += 1
    assert handler.handle(packet, 2.0) is PERMITTED


def test_an_outbound_handler_begins_a_new_record_when_the_old_one_has_ended(desk: Desk) -> None:
    outbound = desk.handler(OUTBOUND, V4.udp(OUTBOUND))
    inbound = desk.handler(INBOUND, V4.udp(INBOUND))
    desk.log.handle_timeout(200.0)
    desk.log.report()
    assert inbound.handle(V4.udp(INBOUND, size=7), 201.0) is PERMITTED
    assert len(desk.log) == 0
    assert outbound.handle(V4.udp(OUTBOUND, size=5), 202.0) is PERMITTED
    for now in (203.0, 204.0):
        assert inbound.handle(V4.udp(INBOUND, size=1), now) is PERMITTED
    assert (desk.record.flow_start, desk.record.traffic) == (202.0, Traffic(1, 5, 2, 2))


@pytest.mark.parametrize("flags", [SYN, RST], ids=["syn", "rst"])
@both_directions
def test_flags_that_change_a_connection_are_noted_by_its_handler(
    desk: Desk, direction: Direction, flags: int
) -> None:
    desk.count(OUTBOUND, tcp(V4.flow(OUTBOUND, 443), b"data"))
    handler = desk.handler(direction, tcp(V4.flow(direction, 443), b"data"))
    record = desk.record
    assert handler.handle(tcp(V4.flow(direction, 443), flags=flags | ACK), 2.0) is PERMITTED
    assert record.ended is (flags == RST or direction is OUTBOUND)


def test_a_fin_each_way_is_noted_by_the_handlers(desk: Desk) -> None:
    packets = {way: tcp(V4.flow(way, 443), flags=FIN | ACK) for way in (OUTBOUND, INBOUND)}
    desk.count(OUTBOUND, tcp(V4.flow(OUTBOUND, 443), b"data"))
    handlers = [
        (desk.handler(way, tcp(V4.flow(way, 443), b"data")), packet)
        for way, packet in packets.items()
    ]
    for handler, packet in handlers:
        assert not desk.record.is_finished
        handler.handle(packet, 2.0)
    assert desk.record.is_finished


def test_until_the_client_has_sent_more_than_its_syn_each_packet_is_looked_at(
    desk: Desk,
) -> None:
    out = V4.flow(OUTBOUND, 443)
    handler = desk.handler(OUTBOUND, tcp(out, flags=SYN))
    for flags in (SYN, ACK, SYN):
        handler.handle(tcp(out, flags=flags), 2.0)
    assert desk.log.traffic.tx_packets == 4
    assert desk.record.traffic == Traffic(1, 0, 0, 0)


@both_directions
def test_a_tcp_header_longer_than_the_packet_counts_no_bytes(
    desk: Desk, direction: Direction
) -> None:
    desk.count(OUTBOUND, tcp(V4.flow(OUTBOUND, 443), flags=SYN))
    data = tcp(V4.flow(direction, 443), b"1234")
    too_long = patched(data, 32, b"\xf0")
    handler = desk.handler(direction, data)
    for packet in (too_long, data, too_long):
        handler.handle(packet, 2.0)
    traffic = desk.record.traffic
    assert traffic.tx_bytes + traffic.rx_bytes == 8
    assert traffic.tx_packets + traffic.rx_packets == 5


# --- Translated flows -------------------------------------------------------------------------


class Translating:
    """A translated flow that says what it is told to."""

    client_id = "alice"

    def __init__(self, decision: Translate | None) -> None:
        self.decision = decision

    def handle(self, packet: bytes, now: float) -> Translate | None:
        assert (len(packet), now) == (29, 2.0)
        return self.decision


MAPPING = (UDP, 6000, packed("198.51.100.9")[0])
TRANSLATED = Translate(b"translated", "alice", "db")


def counted_translation(
    desk: Desk, direction: Direction, decision: Translate | None
) -> FlowHandler:
    """Count the first packet of a translated flow, with a byte of payload."""
    packet = V4.udp(direction, size=1)
    return desk.recorder.counted_translation(
        Translating(decision),
        read(packet),
        packet,
        MAPPING,
        PERMITTED,
        "a.example.com",
        1.0,
        outbound=direction is OUTBOUND,
    )


def test_a_translated_flow_is_recorded_under_its_mapping_and_name(desk: Desk) -> None:
    handlers = {way: counted_translation(desk, way, TRANSLATED) for way in (OUTBOUND, INBOUND)}
    (client,) = packed(V4.client)
    assert desk.recorded == ("db", FlowEnds(UDP, client, 6000, MAPPING[2], 53))
    assert (desk.record.domain, desk.record.traffic) == ("a.example.com", Traffic(1, 1, 1, 1))
    desk.generation.number += 1  # the NAT knows itself when a session has ended
    for way, handler in handlers.items():
        assert handler.client_id == "alice"
        assert handler.handle(V4.udp(way, size=1), 2.0) is TRANSLATED
    assert (desk.record.last_packet, desk.record.traffic) == (2.0, Traffic(2, 2, 2, 2))


@both_directions
def test_a_packet_that_its_flow_does_not_decide_about_is_not_counted(
    desk: Desk, direction: Direction
) -> None:
    handler = counted_translation(desk, direction, None)
    before = desk.log.traffic
    assert handler.handle(V4.udp(direction, size=1), 2.0) is None
    assert desk.log.traffic == before


def test_an_inbound_translated_packet_begins_no_record(desk: Desk) -> None:
    counted_translation(desk, INBOUND, TRANSLATED)
    assert len(desk.log) == 0


# --- Fragments ------------------------------------------------------------------------------


@both_families
@both_directions
def test_later_fragments_count_for_the_record_of_their_first(
    desk: Desk, family: Family, direction: Direction
) -> None:
    desk.count(OUTBOUND, family.udp(OUTBOUND))
    whole = udp(family.flow(direction, 53), bytes(64))
    first, later = fragment(whole, 0, 24), fragment(whole, 24)
    outbound = direction is OUTBOUND
    record = desk.recorder.record_of_first_fragment(
        read(first), first, PERMITTED, outbound=outbound
    )
    assert record is desk.record
    desk.recorder.fragment_counter(record, outbound=outbound)(read(later), later, 2.0)
    expected = Traffic(2, 48, 0, 0) if outbound else Traffic(1, 0, 1, 48)
    assert (record.last_packet, record.traffic) == (2.0, expected)


def test_first_fragments_without_a_record_have_none(desk: Desk) -> None:
    first = fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 0, 24)
    for forward in (PERMITTED, OWN):
        found = desk.recorder.record_of_first_fragment(read(first), first, forward, outbound=True)
        assert found is None


@both_directions
def test_the_record_of_a_translated_first_fragment_is_found_by_the_resources_side(
    desk: Desk, direction: Direction
) -> None:
    desk.count(OUTBOUND, V4.udp(OUTBOUND))
    resource_side, client_side = (
        fragment(udp(V4.flow(direction, 53, far=far), bytes(64)), 0, 24)
        for far in (V4.host, V4.proxy)
    )
    outbound = direction is OUTBOUND
    arrives, goes_on = (client_side, resource_side) if outbound else (resource_side, client_side)
    found = desk.recorder.record_of_first_fragment(
        read(arrives), arrives, Translate(goes_on, "alice", "db"), outbound=outbound
    )
    assert found is desk.record


def test_nothing_is_counted_for_a_record_that_has_ended(desk: Desk) -> None:
    later = fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 24)
    desk.recorder.fragment_counter(NO_RECORD, outbound=True)(read(later), later, 2.0)
    assert desk.log.traffic == Traffic()
