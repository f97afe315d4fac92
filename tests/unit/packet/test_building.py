"""Built packets: what the library reads of them, and what their checksums say."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from firezone_filter.packet.building import NEAR_PORT, build_answer, build_packet
from firezone_filter.packet.headers import NO_PORT, read_headers
from firezone_filter.testing import ACK, SYN, checksums_hold

ENDS = {
    4: (ip_address("100.64.0.2").packed, ip_address("10.0.0.5").packed),
    6: (ip_address("fd00::2").packed, ip_address("fd10::5").packed),
}
OUT = [
    # version, protocol, number; source port, destination port and ICMP type that are read
    (4, 6, 443, NEAR_PORT, 443, NO_PORT),
    (6, 6, 0, NEAR_PORT, 0, NO_PORT),
    (4, 17, 53, NEAR_PORT, 53, NO_PORT),
    (6, 17, 65_535, NEAR_PORT, 65_535, NO_PORT),
    (4, 1, 13, NO_PORT, NO_PORT, 13),
    (6, 58, 128, NO_PORT, NO_PORT, 128),
    (4, 47, 443, NO_PORT, NO_PORT, NO_PORT),
    (6, 59, 0, NO_PORT, NO_PORT, NO_PORT),
]


@pytest.mark.parametrize(("version", "protocol", "number", "near", "far", "icmp_type"), OUT)
def test_a_built_packet_says_what_was_asked_for(  # noqa: PLR0913, PLR0917 - a row
    version: int, protocol: int, number: int, near: int, far: int, icmp_type: int
) -> None:
    source, destination = ENDS[version]
    packet = build_packet(source, destination, protocol, number)
    headers = read_headers(packet)
    assert headers is not None
    assert headers[:6] == (source, destination, protocol, near, far, icmp_type)
    assert protocol in {47, 59} or checksums_hold(packet)


@pytest.mark.parametrize(("version", "protocol", "number", "near", "far", "icmp_type"), OUT)
def test_an_answer_comes_from_where_the_packet_went(  # noqa: PLR0913, PLR0917 - a row
    version: int, protocol: int, number: int, near: int, far: int, icmp_type: int
) -> None:
    client, resource = ENDS[version]
    answer = {13: 14, 128: 129}.get(icmp_type, icmp_type)
    packet = build_answer(resource, client, protocol, number)
    headers = read_headers(packet)
    assert headers is not None
    assert headers[:6] == (
        resource,
        client,
        protocol,
        far,
        near,
        answer,
    )
    assert protocol in {47, 59} or checksums_hold(packet)


@pytest.mark.parametrize(("build", "flags"), [(build_packet, SYN), (build_answer, SYN | ACK)])
def test_tcp_begins_a_connection(build: Callable[..., bytes], flags: int) -> None:
    assert build(*ENDS[4], 6, 443)[20 + 13] == flags


def test_a_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    sums = {build_packet(*ENDS[4], 17, port)[26:28] for port in range(0x10000)}
    assert b"\xff\xff" in sums
    assert b"\0\0" not in sums
