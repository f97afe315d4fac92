"""What reports say of a packet."""

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

SIXTEEN = bytes([17, 1]) + bytes(14)
AUTHENTICATION = bytes([17, 2]) + bytes(14)
FIRST_FRAGMENT = struct.pack(">BBHI", 17, 0, 1, 7)
LATER_FRAGMENT = struct.pack(">BBHI", 17, 0, 1 << 3, 7)


def to_udp(first: int, *headers: bytes) -> bytes:
    return ipv6(protocol=first, payload=b"".join(headers) + PORTS)


def test_addresses_of_ipv4() -> None:
    assert read_addresses(ipv4()) == (A, B)


def test_addresses_of_ipv6() -> None:
    assert read_addresses(ipv6()) == (A6, B6)


def test_a_packet_that_is_broken_elsewhere_has_addresses() -> None:
    assert read_addresses(b"\x41\0\0\0" + ipv4()[4:]) == (A, B)


@pytest.mark.parametrize("packet", [b"", ipv4()[:19], ipv6()[:39], b"\x50" + bytes(60)])
def test_a_packet_without_addresses_has_none(packet: bytes) -> None:
    assert read_addresses(packet) is None


@pytest.mark.parametrize("protocol", [6, 17, 33, 132, 136])
def test_protocols_with_ports(protocol: int) -> None:
    assert read_five_tuple(ipv4(protocol=protocol, payload=PORTS)) == FiveTuple(
        A, B, protocol, 40000, 443
    )


@pytest.mark.parametrize("protocol", [1, 41, 50, 255])
def test_protocols_without_ports(protocol: int) -> None:
    assert read_five_tuple(ipv4(protocol=protocol, payload=PORTS)) == FiveTuple(A, B, protocol)


def test_ports_stand_behind_ipv4_options() -> None:
    packet = ipv4(payload=PORTS, options=b"\x01" * 8)
    assert read_five_tuple(packet) == FiveTuple(A, B, 17, 40000, 443)


def test_a_first_ipv4_fragment_has_ports() -> None:
    assert read_five_tuple(ipv4(payload=PORTS, fragment=0x2000)).destination_port == 443


def test_a_later_ipv4_fragment_has_no_ports() -> None:
    assert read_five_tuple(ipv4(payload=PORTS, fragment=1)) == FiveTuple(A, B, 17)


def test_an_ipv4_header_of_impossible_length_hides_the_ports() -> None:
    assert read_five_tuple(b"\x44" + tcp(1, 2)[1:]) == FiveTuple(A, B, 6)


@pytest.mark.parametrize("packet", [ipv4(payload=PORTS[:3]), b"\x4f" + ipv4()[1:]])
def test_ports_that_are_cut_off_are_none(packet: bytes) -> None:
    assert read_five_tuple(packet) == FiveTuple(A, B, 17)


@pytest.mark.parametrize(
    "packet",
    [
        to_udp(17),
        to_udp(0, EIGHT),
        to_udp(43, SIXTEEN),
        to_udp(60, b"\x3c" + EIGHT[1:], EIGHT),
        to_udp(51, AUTHENTICATION),
        to_udp(44, FIRST_FRAGMENT),
        to_udp(60, *[b"\x3c" + EIGHT[1:]] * 7, EIGHT),
    ],
)
def test_ports_stand_behind_ipv6_extension_headers(packet: bytes) -> None:
    assert read_five_tuple(packet) == FiveTuple(A6, B6, 17, 40000, 443)


def test_a_later_ipv6_fragment_has_no_ports() -> None:
    assert read_five_tuple(to_udp(44, LATER_FRAGMENT)) == FiveTuple(A6, B6, 17)


def test_extension_headers_are_not_walked_without_end() -> None:
    packet = to_udp(60, *[b"\x3c" + EIGHT[1:]] * 8, EIGHT)
    assert read_five_tuple(packet) == FiveTuple(A6, B6, 60)


def test_an_extension_header_that_is_cut_off_is_the_protocol() -> None:
    assert read_five_tuple(ipv6(protocol=60, payload=EIGHT[:7])) == FiveTuple(A6, B6, 60)


def test_an_extension_header_that_leads_beyond_the_end_hides_the_ports() -> None:
    assert read_five_tuple(ipv6(protocol=60, payload=SIXTEEN[:8])) == FiveTuple(A6, B6, 17)


@given(st.binary(max_size=80).map(lambda tail: b"\x40" + tail.ljust(19, b"\0")))
def test_any_ipv4_header_has_a_flow(packet: bytes) -> None:
    assert read_five_tuple(packet).source == packet[12:16]


@given(st.binary(max_size=200).map(lambda tail: b"\x60" + tail.ljust(39, b"\0")))
def test_any_ipv6_header_has_a_flow(packet: bytes) -> None:
    assert read_five_tuple(packet).source == packet[8:24]


def test_the_ends_of_a_flow_have_their_ports() -> None:
    assert read_five_tuple(tcp(40000, 443)).ends() == ("100.64.0.2:40000", "10.0.0.5:443")


def test_the_ends_of_an_ipv6_flow_have_brackets() -> None:
    ends = read_five_tuple(to_udp(17)).ends()
    assert ends == ("[fd00:2021:1111::2]:40000", "[2001:db8::5]:443")


def test_the_ends_of_a_flow_without_ports_are_addresses() -> None:
    assert read_five_tuple(ping()).ends() == ("100.64.0.2", "10.0.0.5")


@pytest.mark.parametrize(("protocol", "name"), [(6, "tcp"), (58, "icmpv6"), (200, "protocol 200")])
def test_protocols_have_names(protocol: int, name: str) -> None:
    assert FiveTuple(A, B, protocol).protocol_name == name
