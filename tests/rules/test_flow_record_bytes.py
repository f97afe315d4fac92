"""Flow records count payload: what the transport carries, whatever stands before it."""

from itertools import pairwise

import pytest

from firezone_filter import Direction, FlowEnded, Gateway
from firezone_filter.testing import (
    ACK,
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
    ip_fragment,
    patched,
    routing,
    tcp,
    udp,
)
from tests.records import closed, packet, recording, sums, the_record
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    opposite,
)

OUT = V4.flow(OUTBOUND, 443)
TIMESTAMP = b"\x01\x01\x08\x0a" + bytes(8)
"""12 bytes of TCP options (RFC 7323, appendix A)."""


PLACES: dict[str, tuple[Family, Layout]] = {
    "v4": (V4, {}),
    "v4-option": (V4, {"options": b"\x01"}),
    "v4-all-options": (V4, {"options": b"\x01" * 40}),
    "v6": (V6, {}),
    "hop-by-hop": (V6, {"extensions": [hop_by_hop()]}),
    "long-options": (V6, {"extensions": [destination_options(3)]}),
    "authentication": (V6, {"extensions": [authentication()]}),
    "atomic": (V6, {"extensions": [fragment_header()]}),
    "all": (
        V6,
        {"extensions": [hop_by_hop(), routing(), fragment_header(), destination_options()]},
    ),
}
every_kind = pytest.mark.parametrize("kind", ["udp", "tcp", "echo", "esp"])


def opened(family: Family, kind: str = "udp") -> Gateway:
    """Begin a flow with a packet without payload."""
    gateway = recording(family.db())
    opening = packet(family, OUTBOUND, kind, 0)
    assert gateway.handle_packet(OUTBOUND, opening).allowed
    return gateway


def bytes_in(record: FlowEnded, direction: Direction) -> tuple[int, int]:
    """Return packets and bytes in a direction, the opening aside."""
    tx_packets, tx_bytes, rx_packets, rx_bytes = sums(record)
    return (tx_packets - 1, tx_bytes) if direction is OUTBOUND else (rx_packets, rx_bytes)


def with_tcp_options(flow: str, payload: bytes) -> bytes:
    """Build a segment with 12 bytes of options."""
    segment = tcp(flow, TIMESTAMP + payload)
    transport = 20 if segment[0] >> 4 == 4 else 40
    return patched(segment, transport + 12, b"\x80")


def cuts(whole: bytes, *places: int) -> list[bytes]:
    """Cut a packet at some places of the part that is fragmented."""
    header = 20 if whole[0] >> 4 == 4 else 40
    bounds = [0, *places, len(whole) - header]
    return [fragment(whole, start, stop) for start, stop in pairwise(bounds)]


@pytest.mark.parametrize("place", PLACES)
@every_kind
@both_directions
def test_headers_do_not_count_wherever_the_transport_begins(
    place: str, kind: str, direction: Direction
) -> None:
    # 20 bytes of TCP, 8 of UDP and ICMP; of other protocols all counts.
    family, layout = PLACES[place]
    gateway = opened(family, kind)
    for size in (0, 1, 1_400, 1_400):
        one = packet(family, direction, kind, size, flags=ACK, **layout)
        assert gateway.handle_packet(direction, one).allowed
    assert bytes_in(the_record(gateway), direction) == (4, 2_801)


def test_other_icmp_counts_without_8_bytes() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, icmp(V4.flow(OUTBOUND), 13, body=bytes(12)))
    assert the_record(gateway).tx_bytes == 12


@both_directions
@both_families
def test_tcp_options_are_no_payload(family: Family, direction: Direction) -> None:
    gateway = opened(family, "tcp")
    for size in (0, 5, 5):
        segment = with_tcp_options(family.flow(direction, 443), bytes(size))
        gateway.handle_packet(direction, segment)
    assert bytes_in(the_record(gateway), direction) == (3, 10)


def test_an_ack_with_nothing_but_options_begins_no_record() -> None:
    gateway = recording(V4.db())
    for payload, records in ((b"", 0), (b"x", 1)):
        gateway.handle_packet(OUTBOUND, with_tcp_options(OUT, payload))
        assert gateway.counters().recorded_flows == records


@both_directions
@both_families
def test_a_tcp_header_that_says_it_is_longer_than_the_packet_carries_nothing(
    family: Family, direction: Direction
) -> None:
    gateway = opened(family, "tcp")
    segment = tcp(family.flow(direction, 443), bytes(39))
    lie = patched(segment, family.header + 12, b"\xf0")
    for one in (lie, segment, lie, lie):
        assert gateway.handle_packet(direction, one).allowed
    assert bytes_in(the_record(gateway), direction) == (4, 39)
    # Nor does it begin a record; one that is as long as the packet carries nothing as well.
    for offset in (b"\xf0", b"\xa0"):
        gateway = recording(V4.db())
        for _ in range(2):
            gateway.handle_packet(OUTBOUND, patched(tcp(OUT, bytes(19)), 32, offset))
        assert gateway.counters().recorded_flows == 0


@both_directions
def test_a_lie_about_the_header_does_not_hide_the_end_of_a_connection(
    direction: Direction,
) -> None:
    gateway, back = opened(V4, "tcp"), opposite(direction)
    lie = patched(tcp(V4.flow(direction, 443), flags=FIN), 32, b"\xf0")
    gateway.handle_packet(direction, lie, 1.0)
    gateway.handle_packet(back, tcp(V4.flow(back, 443), flags=FIN), 2.0)
    gateway.handle_timeout(2.0)
    assert gateway.counters().recorded_flows == 0


def test_all_of_the_packet_counts_whatever_udp_says_of_its_length() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, udp(OUT, bytes(65_535 - 28)))
    # The datagram says 0: its length is the end hosts' to check.
    gateway.handle_packet(OUTBOUND, patched(udp(OUT, bytes(10)), 24, bytes(2)))
    assert the_record(gateway).tx_bytes == 65_535 - 28 + 10


# --- Fragments -----------------------------------------------------------------------------


@every_kind
@both_directions
@both_families
def test_fragments_count_together_what_the_whole_packet_would(
    family: Family, direction: Direction, kind: str
) -> None:
    gateway = opened(family, kind)
    for one in cuts(packet(family, direction, kind, 1_000, flags=ACK), 24, 504):
        assert gateway.handle_packet(direction, one).allowed
    assert bytes_in(the_record(gateway), direction) == (3, 1_000)


def test_headers_behind_a_fragment_header_and_options_of_later_ones_are_no_payload() -> None:
    extensions: list[Extension] = [fragment_header(more=True), destination_options()]
    gateway = opened(V6)
    first = udp(V6.flow(OUTBOUND, 443), bytes(16), extensions=extensions)
    gateway.handle_packet(OUTBOUND, first)
    assert bytes_in(the_record(gateway), OUTBOUND) == (1, 16)
    gateway = opened(V4)
    first, _ = cuts(udp(OUT, bytes(64)), 24)
    later = ip_fragment(V4.flow(OUTBOUND), 17, bytes(48), start=24, options=b"\x01" * 8)
    gateway.handle_packets(OUTBOUND, [first, later])
    assert bytes_in(the_record(gateway), OUTBOUND) == (2, 16 + 48)


@both_families
def test_a_first_fragment_begins_a_record_as_a_whole_packet_does(family: Family) -> None:
    gateway = recording(family.db())
    gateway.handle_packets(OUTBOUND, cuts(udp(family.flow(OUTBOUND, 443), bytes(64)), 24))
    assert sums(the_record(gateway)) == (2, 64, 0, 0)


@both_families
def test_fragments_to_a_client_without_a_record_are_in_none(family: Family) -> None:
    gateway = recording(family.db())
    first, later = cuts(udp(family.flow(INBOUND, 443), bytes(64)), 24)
    gateway.handle_packets(INBOUND, [first, later])
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
    gateway.handle_packets(OUTBOUND, [tcp(OUT, flags=RST), tcp(OUT, flags=SYN)])
    assert gateway.handle_packet(direction, later).allowed
    before, after = closed(gateway)
    assert bytes_in(before, INBOUND) == ((1, 4) if direction is INBOUND else (0, 0))
    assert sums(after) == (1, 0, 0, 0)


def test_a_first_fragment_that_resets_a_connection_ends_its_record() -> None:
    gateway = opened(V4, "tcp")
    decisions = gateway.handle_packets(OUTBOUND, cuts(tcp(OUT, bytes(64), flags=RST), 24))
    assert all(decision.allowed for decision in decisions)
    counters = gateway.counters()
    assert (counters.recorded_flows, counters.tx_packets, counters.tx_bytes) == (0, 2, 4)


def test_a_refused_fragment_does_not_count() -> None:
    gateway = opened(V4)
    first, later = cuts(udp(OUT, bytes(64)), 24)
    contradicting = ip_fragment(V4.flow(OUTBOUND), 17, bytes(8), more=True)
    decisions = gateway.handle_packets(OUTBOUND, [first, contradicting, later])
    assert [decision.allowed for decision in decisions] == [True, False, False]
    assert bytes_in(the_record(gateway), OUTBOUND) == (1, 16)
