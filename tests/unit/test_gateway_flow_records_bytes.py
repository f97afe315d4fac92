"""Flow records count payload: what the transport carries, whatever stands before it."""

from itertools import pairwise

import pytest
from attrs import frozen

from firezone_filter import Direction, FlowEnded, Gateway
from tests.builders import (
    ACK,
    ESP,
    FIN,
    RST,
    SYN,
    Extension,
    Layout,
    authentication,
    destination_options,
    fragment,
    fragment_header,
    hop_by_hop,
    icmp,
    icmp_echo,
    ip,
    ip_fragment,
    patched,
    routing,
    tcp,
    udp,
)
from tests.records import closed, recording, sums, the_record
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, both_families

OUT, BACK = V4.flow(OUTBOUND, 443), V4.flow(INBOUND, 443)
MAXIMUM = 65_535
TIMESTAMP = b"\x01\x01\x08\x0a" + bytes(8)
"""12 bytes of TCP options (RFC 7323, appendix A)."""

EXTENSIONS = {
    "hop-by-hop": [hop_by_hop()],
    "long-options": [destination_options(3)],
    "routing": [routing()],
    "authentication": [authentication()],
    "atomic-fragment": [fragment_header()],
    "all": [hop_by_hop(), routing(), fragment_header(), authentication(), destination_options()],
}


@frozen
class Place:
    """Where in a packet its transport header begins."""

    family: Family
    layout: Layout


places = pytest.mark.parametrize(
    "place",
    [
        Place(V4, {}),
        Place(V4, {"options": b"\x01"}),
        Place(V4, {"options": b"\x01" * 40}),
        Place(V6, {}),
        *(Place(V6, {"extensions": chain}) for chain in EXTENSIONS.values()),
    ],
    ids=["v4", "v4-options", "v4-all-options", "v6", *EXTENSIONS],
)


def opened(family: Family, kind: str = "udp") -> Gateway:
    """Begin a flow with a packet without payload."""
    gateway = recording(family.db())
    openings = {
        "udp": udp(family.flow(OUTBOUND, 443)),
        "tcp": tcp(family.flow(OUTBOUND, 443), flags=SYN),
        "echo": icmp_echo(family.flow(OUTBOUND)),
        "esp": ip(family.flow(OUTBOUND), ESP),
    }
    assert gateway.handle_packet(OUTBOUND, openings[kind]).allowed
    return gateway


def bytes_in(record: FlowEnded, direction: Direction) -> tuple[int, int]:
    """Return packets and bytes in a direction, the opening aside."""
    tx_packets, tx_bytes, rx_packets, rx_bytes = sums(record)
    return (tx_packets - 1, tx_bytes) if direction is OUTBOUND else (rx_packets, rx_bytes)


def with_tcp_options(flow: str, payload: bytes) -> bytes:
    """Build a segment with 12 bytes of options."""
    packet = tcp(flow, TIMESTAMP + payload)
    transport = 20 if packet[0] >> 4 == 4 else 40
    return patched(packet, transport + 12, b"\x80")


@pytest.mark.parametrize("size", [0, 1, 1_400])
@both_directions
@places
def test_udp_counts_without_its_8_bytes(place: Place, direction: Direction, size: int) -> None:
    gateway = opened(place.family)
    packet = udp(place.family.flow(direction, 443), bytes(size), **place.layout)
    for _ in range(3):
        assert gateway.handle_packet(direction, packet).allowed
    assert bytes_in(the_record(gateway), direction) == (3, 3 * size)


@pytest.mark.parametrize("size", [0, 1, 1_400])
@both_directions
@places
def test_tcp_counts_without_its_20_bytes(place: Place, direction: Direction, size: int) -> None:
    gateway = opened(place.family, "tcp")
    packet = tcp(place.family.flow(direction, 443), bytes(size), **place.layout)
    for _ in range(3):
        assert gateway.handle_packet(direction, packet).allowed
    assert bytes_in(the_record(gateway), direction) == (3, 3 * size)


@pytest.mark.parametrize("size", [0, 1, 1_400])
@both_directions
@places
def test_a_ping_counts_without_its_8_bytes(place: Place, direction: Direction, size: int) -> None:
    gateway = opened(place.family, "echo")
    ping = icmp_echo(
        place.family.flow(direction),
        reply=direction is INBOUND,
        payload=bytes(size),
        **place.layout,
    )
    for _ in range(3):
        assert gateway.handle_packet(direction, ping).allowed
    assert bytes_in(the_record(gateway), direction) == (3, 3 * size)


@pytest.mark.parametrize("size", [0, 1, 1_400])
@both_directions
@places
def test_of_other_protocols_all_counts(place: Place, direction: Direction, size: int) -> None:
    gateway = opened(place.family, "esp")
    packet = ip(place.family.flow(direction), ESP, bytes(size), **place.layout)
    for _ in range(3):
        assert gateway.handle_packet(direction, packet).allowed
    assert bytes_in(the_record(gateway), direction) == (3, 3 * size)


def test_other_icmp_counts_without_8_bytes() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, icmp(V4.flow(OUTBOUND), 13, body=bytes(12)))
    assert the_record(gateway).tx_bytes == 12


@both_directions
@both_families
def test_tcp_options_are_no_payload(family: Family, direction: Direction) -> None:
    gateway = opened(family, "tcp")
    for size in (0, 5, 5):
        gateway.handle_packet(
            direction, with_tcp_options(family.flow(direction, 443), bytes(size))
        )
    assert bytes_in(the_record(gateway), direction) == (3, 10)


def test_an_ack_with_nothing_but_options_begins_no_record() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, with_tcp_options(OUT, b""))
    assert gateway.counters().recorded_flows == 0
    gateway.handle_packet(OUTBOUND, with_tcp_options(OUT, b"x"))
    assert gateway.counters().recorded_flows == 1


@both_directions
@both_families
def test_a_tcp_header_that_says_it_is_longer_than_the_packet_carries_nothing(
    family: Family, direction: Direction
) -> None:
    gateway = opened(family, "tcp")
    packet = tcp(family.flow(direction, 443), bytes(39))
    lie = patched(packet, len(packet) - 39 - 20 + 12, b"\xf0")
    for one in (lie, packet, lie, lie):
        assert gateway.handle_packet(direction, one).allowed
    assert bytes_in(the_record(gateway), direction) == (4, 39)


@pytest.mark.parametrize("offset", [b"\xf0", b"\xa0"], ids=["60", "40"])
def test_an_ack_whose_header_is_longer_than_the_packet_begins_no_record(offset: bytes) -> None:
    gateway = recording(V4.db())
    for _ in range(2):
        gateway.handle_packet(OUTBOUND, patched(tcp(OUT, bytes(19)), 32, offset))
    assert gateway.counters().recorded_flows == 0


@both_directions
def test_a_lie_about_the_header_does_not_hide_the_end_of_a_connection(
    direction: Direction,
) -> None:
    gateway = opened(V4, "tcp")
    other = INBOUND if direction is OUTBOUND else OUTBOUND
    lie = patched(tcp(V4.flow(direction, 443), flags=FIN | ACK), 32, b"\xf0")
    gateway.handle_packet(direction, lie, 1.0)
    gateway.handle_packet(other, tcp(V4.flow(other, 443), flags=FIN | ACK), 2.0)
    gateway.handle_timeout(2.0)
    assert gateway.counters().recorded_flows == 0


def test_the_largest_packet_counts_with_all_that_it_has() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, udp(OUT, bytes(MAXIMUM - 28)))
    assert the_record(gateway).tx_bytes == MAXIMUM - 28


def test_padding_behind_a_udp_datagram_counts_as_its_payload() -> None:
    gateway = recording(V4.db())
    # The datagram says 0: its length is the end hosts' to check.
    gateway.handle_packet(OUTBOUND, patched(udp(OUT, bytes(10)), 24, bytes(2)))
    assert the_record(gateway).tx_bytes == 10


# --- Fragments ------------------------------------------------------------------------------


def cuts(packet: bytes, *places: int) -> list[bytes]:
    """Cut a packet at some places of the part that is fragmented."""
    header = 20 if packet[0] >> 4 == 4 else 40
    bounds = [0, *places, len(packet) - header]
    return [fragment(packet, start, stop) for start, stop in pairwise(bounds)]


@pytest.mark.parametrize("kind", ["udp", "tcp", "echo", "esp"])
@both_directions
@both_families
def test_fragments_count_together_what_the_whole_packet_would(
    family: Family, direction: Direction, kind: str
) -> None:
    whole = {
        "udp": udp(family.flow(direction, 443), bytes(1_000)),
        "tcp": tcp(family.flow(direction, 443), bytes(1_000)),
        "echo": icmp_echo(
            family.flow(direction), reply=direction is INBOUND, payload=bytes(1_000)
        ),
        "esp": ip(family.flow(direction), ESP, bytes(1_000)),
    }[kind]
    gateway = opened(family, kind)
    for one in cuts(whole, 24, 504):
        assert gateway.handle_packet(direction, one).allowed
    assert bytes_in(the_record(gateway), direction) == (3, 1_000)


def test_headers_behind_a_fragment_header_are_no_payload_of_the_first_fragment() -> None:
    extensions: list[Extension] = [fragment_header(more=True), destination_options()]
    flow = V6.flow(OUTBOUND, 443)
    gateway = opened(V6)
    gateway.handle_packet(OUTBOUND, udp(flow, bytes(16), extensions=extensions))
    assert bytes_in(the_record(gateway), OUTBOUND) == (1, 16)


def test_options_of_a_later_fragment_are_no_payload() -> None:
    gateway = opened(V4)
    first = fragment(udp(OUT, bytes(64)), 0, 24)
    later = ip_fragment(V4.flow(OUTBOUND), 17, bytes(48), start=24, options=b"\x01" * 8)
    for one in (first, later):
        assert gateway.handle_packet(OUTBOUND, one).allowed
    assert bytes_in(the_record(gateway), OUTBOUND) == (2, 16 + 48)


@both_families
def test_a_first_fragment_begins_a_record_as_a_whole_packet_does(family: Family) -> None:
    gateway = recording(family.db())
    for one in cuts(udp(family.flow(OUTBOUND, 443), bytes(64)), 24):
        gateway.handle_packet(OUTBOUND, one)
    assert sums(the_record(gateway)) == (2, 64, 0, 0)


@both_families
def test_fragments_to_a_client_without_a_record_are_in_none(family: Family) -> None:
    gateway = recording(family.db())
    first, later = cuts(udp(family.flow(INBOUND, 443), bytes(64)), 24)
    for one in (first, later):
        assert gateway.handle_packet(INBOUND, one).allowed
    gateway.handle_packet(OUTBOUND, udp(family.flow(OUTBOUND, 443)))
    # Its first began nothing, and nothing is counted for half a packet.
    assert gateway.handle_packet(INBOUND, later).allowed
    assert sums(the_record(gateway)) == (1, 0, 0, 0)


@both_directions
def test_later_fragments_keep_a_flow_from_being_idle(direction: Direction) -> None:
    gateway = opened(V4)
    first, later = cuts(udp(V4.flow(direction, 443), bytes(64)), 24)
    gateway.handle_packet(direction, first, 100.0)
    gateway.handle_packet(direction, later, 120.0)
    assert the_record(gateway).last_packet == 120.0


@both_directions
def test_later_fragments_of_a_flow_that_is_over_are_in_no_record(direction: Direction) -> None:
    gateway = opened(V4, "tcp")
    first, later = cuts(tcp(V4.flow(direction, 443), bytes(64)), 24)
    gateway.handle_packet(direction, first)
    gateway.handle_packet(OUTBOUND, tcp(OUT, flags=RST))
    gateway.handle_packet(OUTBOUND, tcp(OUT, flags=SYN))
    assert gateway.handle_packet(direction, later).allowed
    _, after = closed(gateway)
    assert sums(after) == (1, 0, 0, 0)


def test_a_first_fragment_that_resets_a_connection_ends_its_record() -> None:
    gateway = opened(V4, "tcp")
    first, later = cuts(tcp(OUT, bytes(64), flags=RST), 24)
    gateway.handle_packet(OUTBOUND, first)
    assert gateway.handle_packet(OUTBOUND, later).allowed
    counters = gateway.counters()
    assert (counters.recorded_flows, counters.tx_packets, counters.tx_bytes) == (0, 2, 4)


def test_a_refused_fragment_does_not_count() -> None:
    gateway = opened(V4)
    first, later = cuts(udp(OUT, bytes(64)), 24)
    overlapping = ip_fragment(V4.flow(OUTBOUND), 17, bytes(8), start=0, more=True)
    gateway.handle_packet(OUTBOUND, first)
    assert not gateway.handle_packet(OUTBOUND, overlapping).allowed
    assert not gateway.handle_packet(OUTBOUND, later).allowed
    assert bytes_in(the_record(gateway), OUTBOUND) == (1, 16)
