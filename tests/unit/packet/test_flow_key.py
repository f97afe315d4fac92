"""Flow keys: which packets have one, and which bytes it is."""

from struct import pack

import pytest

from firezone_filter import Direction
from firezone_filter.packet.flow_key import echo_flow_key, flow_key
from firezone_filter.testing import (
    Layout,
    fragment,
    hop_by_hop,
    icmp,
    icmp_echo,
    icmp_error,
    ip,
    tcp,
    udp,
)
from tests.numbers import ESP, GRE
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, both_families
from tests.translations import every_kind
from tests.unit.reading import key_of, read


@both_directions
@both_families
def test_the_key_of_tcp_and_udp_is_addresses_and_ports_as_they_stand_there(
    family: Family, direction: Direction
) -> None:
    for packet in (family.tcp(direction), family.udp(direction)):
        assert key_of(packet) == (packet[12:24] if family is V4 else packet[8:44])


# What does not tell echoes of one flow apart: code, sequence number and payload.
ECHOES = [(0, 1, b""), (1, 1, b"odd"), (0, 2, b"even"), (255, 0xFFFF, bytes(100))]


@pytest.mark.parametrize("kind", [0, 8, 128, 129])
def test_the_key_of_an_echo_is_addresses_type_and_id(kind: int) -> None:
    family = V4 if kind < 128 else V6
    at, size = (12, 4) if kind < 128 else (8, 16)
    for code, sequence, payload in ECHOES:
        rest = pack("!HH", 5401, sequence)
        packet = icmp(family.flow(OUTBOUND), kind, code, rest=rest, body=payload)
        expected = packet[at : at + 2 * size] + bytes([kind]) + pack("!H", 5401)
        assert key_of(packet) == echo_flow_key(packet) == expected


@both_families
def test_no_echo_has_the_key_of_a_packet_with_ports(family: Family) -> None:
    # Where those have ports, an echo has type, code and checksum.
    echo = icmp_echo(family.flow(OUTBOUND), identifier=0x0800)
    assert len(echo_flow_key(echo)) == len(key_of(family.tcp(OUTBOUND))) - 1


SHAPES: dict[str, tuple[Family, Layout]] = {
    "options": (V4, {"options": b"\x01"}),
    # 20 bytes of options put the ports of IPv4 where those of plain IPv6 are.
    "options-20": (V4, {"options": b"\x01" * 20}),
    "extension": (V6, {"extensions": [hop_by_hop()]}),
}


@every_kind
@pytest.mark.parametrize(("family", "layout"), SHAPES.values(), ids=SHAPES)
def test_packets_with_options_or_extension_headers_have_no_key(
    family: Family, layout: Layout, kind: str
) -> None:
    packet = {
        "tcp": tcp(family.flow(OUTBOUND, 443), **layout),
        "udp": udp(family.flow(OUTBOUND, 53), **layout),
        "echo": icmp_echo(family.flow(OUTBOUND), **layout),
    }[kind]
    assert flow_key(read(packet), packet) is None


WITHOUT_KEY = {
    "esp": ip(V4.flow(OUTBOUND), ESP, bytes(24)),
    "gre6": ip(V6.flow(OUTBOUND), GRE, bytes(24)),
    "timestamp": icmp(V4.flow(OUTBOUND), 13),
    "node-information": icmp(V6.flow(OUTBOUND), 138),
    # The numbers of the other family's echo.
    "128-over-ipv4": icmp(V4.flow(OUTBOUND), 128),
    "129-over-ipv4": icmp(V4.flow(OUTBOUND), 129),
    "8-over-ipv6": icmp(V6.flow(OUTBOUND), 8),
    "0-over-ipv6": icmp(V6.flow(OUTBOUND), 0),
    "error": icmp_error(V4.flow(OUTBOUND), 3, quoting=V4.udp(INBOUND)),
    "error6": icmp_error(V6.flow(OUTBOUND), 1, quoting=V6.udp(INBOUND)),
    "first-fragment": fragment(V4.udp(OUTBOUND, size=40), 0, 16),
    "first-fragment6": fragment(V6.udp(OUTBOUND, size=40), 0, 16),
    "later-fragment": fragment(V4.udp(OUTBOUND, size=40), 16),
    "first-fragment-of-echo": fragment(icmp_echo(V4.flow(OUTBOUND), payload=bytes(40)), 0, 16),
    # A whole packet with a fragment header.
    "atomic": fragment(V6.udp(OUTBOUND), 0, more=False),
}


@pytest.mark.parametrize("packet", WITHOUT_KEY.values(), ids=WITHOUT_KEY)
def test_nothing_else_has_a_key(packet: bytes) -> None:
    assert flow_key(read(packet), packet) is None
