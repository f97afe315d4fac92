"""The 5-tuples of packets, for reports."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.replay.five_tuple import FiveTuple, read_addresses, read_five_tuple
from tests.captures import CLIENT, CLIENT_6, RESOURCE, RESOURCE_6, ipv4, ipv6, ping, ports, tcp

A, B = ip_address(CLIENT).packed, ip_address(RESOURCE).packed
A6, B6 = ip_address(CLIENT_6).packed, ip_address(RESOURCE_6).packed
PORTS = ports(40000, 443)
EIGHT = bytes([17, 0]) + bytes(6)
"""An extension header of 8 bytes before UDP."""

CHAINED = b"\x3c" + EIGHT[1:]
"""The same before destination options."""

SIXTEEN = bytes([17, 1]) + bytes(14)
AUTHENTICATION = bytes([17, 2]) + bytes(14)
FIRST_FRAGMENT = struct.pack(">BBHI", 17, 0, 1, 7)
LATER_FRAGMENT = struct.pack(">BBHI", 17, 0, 1 << 3, 7)


def to_udp(first: int, *headers: bytes) -> bytes:
    return ipv6(protocol=first, payload=b"".join(headers) + PORTS)


@pytest.mark.parametrize(
    ("packet", "addresses"),
    [
        pytest.param(ipv4(), (A, B), id="IPv4"),
        pytest.param(ipv6(), (A6, B6), id="IPv6"),
        pytest.param(b"\x41\0\0\0" + ipv4()[4:], (A, B), id="broken elsewhere"),
        pytest.param(b"", None, id="empty"),
        pytest.param(ipv4()[:19], None, id="IPv4 cut short"),
        pytest.param(ipv6()[:39], None, id="IPv6 cut short"),
        pytest.param(b"\x50" + bytes(60), None, id="version 5"),
    ],
)
def test_addresses_are_read_wherever_there_are_any(
    packet: bytes, addresses: tuple[bytes, bytes] | None
) -> None:
    assert read_addresses(packet) == addresses


@pytest.mark.parametrize("protocol", [6, 17, 33, 132, 136])
def test_protocols_with_ports_have_them(protocol: int) -> None:
    expected = FiveTuple(A, B, protocol, 40000, 443)
    assert read_five_tuple(ipv4(protocol=protocol, payload=PORTS)) == expected


@pytest.mark.parametrize("protocol", [2, 41, 50, 255])
def test_protocols_without_ports_have_none(protocol: int) -> None:
    assert read_five_tuple(ipv4(protocol=protocol, payload=PORTS)) == FiveTuple(A, B, protocol)


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        (ipv4(protocol=1, payload=b"\3\1more"), "icmp type 3 code 1"),
        (ipv6(protocol=58, payload=b"\3\1"), "icmpv6 type 3 code 1"),
    ],
    ids=["ICMP", "ICMPv6"],
)
def test_icmp_has_type_and_code(packet: bytes, name: str) -> None:
    flow = read_five_tuple(packet)
    assert (flow.icmp_type, flow.icmp_code, flow.source_port) == (3, 1, None)
    assert flow.protocol_name == name


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(protocol=1, payload=b"\3"),
        ipv4(protocol=1, payload=b"\3\1", fragment=1),
        ipv4(protocol=6, payload=b"\3\1"),
        ipv6(protocol=58),
    ],
    ids=["too short", "later fragment", "TCP", "empty"],
)
def test_others_have_no_type(packet: bytes) -> None:
    flow = read_five_tuple(packet)
    assert (flow.icmp_type, flow.icmp_code, flow.source_port) == (None, None, None)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        pytest.param(
            ipv4(payload=PORTS, options=b"\x01" * 8), FiveTuple(A, B, 17, 40000, 443), id="options"
        ),
        pytest.param(
            ipv4(payload=PORTS, fragment=0x2000),
            FiveTuple(A, B, 17, 40000, 443),
            id="first fragment",
        ),
        pytest.param(ipv4(payload=PORTS, fragment=1), FiveTuple(A, B, 17), id="later fragment"),
        pytest.param(ipv4(payload=PORTS, fragment=0x1F00), FiveTuple(A, B, 17), id="even later"),
        pytest.param(b"\x44" + tcp(1, 2)[1:], FiveTuple(A, B, 6), id="header of 16 bytes"),
        pytest.param(ipv4(payload=PORTS[:3]), FiveTuple(A, B, 17), id="ports cut short"),
        pytest.param(b"\x4f" + ipv4()[1:], FiveTuple(A, B, 17), id="header beyond the end"),
    ],
)
def test_ports_follow_the_ipv4_header(packet: bytes, expected: FiveTuple) -> None:
    assert read_five_tuple(packet) == expected


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(to_udp(17), id="none"),
        pytest.param(to_udp(0, EIGHT), id="hop-by-hop options"),
        pytest.param(to_udp(43, SIXTEEN), id="routing"),
        pytest.param(to_udp(60, CHAINED, EIGHT), id="two of them"),
        pytest.param(to_udp(51, AUTHENTICATION), id="authentication"),
        pytest.param(to_udp(44, FIRST_FRAGMENT), id="first fragment"),
        pytest.param(to_udp(60, *[CHAINED] * 7, EIGHT), id="as many as are walked"),
    ],
)
def test_ports_follow_the_ipv6_extension_headers(packet: bytes) -> None:
    assert read_five_tuple(packet) == FiveTuple(A6, B6, 17, 40000, 443)


@pytest.mark.parametrize(
    ("packet", "protocol"),
    [
        pytest.param(to_udp(44, LATER_FRAGMENT), 17, id="later fragment"),
        pytest.param(to_udp(60, *[CHAINED] * 8, EIGHT), 60, id="more than are walked"),
        pytest.param(ipv6(protocol=60, payload=EIGHT[:7]), 60, id="header cut short"),
        pytest.param(ipv6(protocol=60, payload=SIXTEEN[:8]), 17, id="header beyond the end"),
    ],
)
def test_extension_headers_may_hide_the_ports(packet: bytes, protocol: int) -> None:
    assert read_five_tuple(packet) == FiveTuple(A6, B6, protocol)


@given(st.binary(max_size=80).map(lambda tail: b"\x40" + tail.ljust(19, b"\0")))
def test_any_ipv4_header_has_a_five_tuple(packet: bytes) -> None:
    assert read_five_tuple(packet).source == packet[12:16]


@given(st.binary(max_size=200).map(lambda tail: b"\x60" + tail.ljust(39, b"\0")))
def test_any_ipv6_header_has_a_five_tuple(packet: bytes) -> None:
    assert read_five_tuple(packet).source == packet[8:24]


@pytest.mark.parametrize(
    ("packet", "ends"),
    [
        pytest.param(tcp(40000, 443), ("100.64.0.2:40000", "10.0.0.5:443"), id="IPv4"),
        pytest.param(
            to_udp(17), ("[fd00:2021:1111::2]:40000", "[2001:db8::5]:443"), id="IPv6 in brackets"
        ),
        pytest.param(ping(), ("100.64.0.2", "10.0.0.5"), id="no ports"),
    ],
)
def test_ends_are_addresses_with_their_ports(packet: bytes, ends: tuple[str, str]) -> None:
    assert read_five_tuple(packet).ends() == ends


@pytest.mark.parametrize(("protocol", "name"), [(6, "tcp"), (58, "icmpv6"), (200, "protocol 200")])
def test_protocols_have_names(protocol: int, name: str) -> None:
    assert FiveTuple(A, B, protocol).protocol_name == name
