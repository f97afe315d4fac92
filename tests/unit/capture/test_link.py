"""From the frame of each link type to the IP packet inside."""

import struct

import pytest

from firezone_filter.capture.errors import UnreadableCaptureError
from firezone_filter.capture.link import link_reader
from tests.captures import ethernet, ipv4, ipv6

V4 = ipv4(payload=b"four")
V6 = ipv6(payload=b"six")
LOOPBACK = 0
ETHERNET = 1
OPEN_LOOPBACK = 108
COOKED = 113
COOKED_V2 = 276

IPV4_TYPE = 0x0800
IPV6_TYPE = 0x86DD
ARP_TYPE = 0x0806
VLAN_TYPES = [0x8100, 0x88A8, 0x9100, 0x9200]


def cooked(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHH8sH", 0, 1, 6, b"", kind) + payload


def cooked_v2(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHIHBB8s", kind, 0, 1, 1, 0, 6, b"") + payload


def packet_in(link_type: int, frame: bytes) -> bytes | None:
    return link_reader(link_type)(frame)


@pytest.mark.parametrize("link_type", [12, 14, 101, 228, 229])
@pytest.mark.parametrize("packet", [V4, V6, b"", b"\xff"])
def test_raw_ip_is_the_packet(link_type: int, packet: bytes) -> None:
    assert packet_in(link_type, packet) == packet


def test_nothing_is_cut_from_raw_ip() -> None:
    assert packet_in(101, V4 + b"more") == V4 + b"more"


def test_another_link_type_is_called_by_its_number() -> None:
    with pytest.raises(UnreadableCaptureError, match=r"^link type 105 is not supported; "):
        link_reader(105)


@pytest.mark.parametrize(("kind", "packet"), [(IPV4_TYPE, V4), (IPV6_TYPE, V6)])
def test_ethernet_carries_both_families(kind: int, packet: bytes) -> None:
    assert packet_in(ETHERNET, ethernet(kind, packet)) == packet


@pytest.mark.parametrize("tag", VLAN_TYPES)
def test_every_kind_of_vlan_tag_is_skipped(tag: int) -> None:
    assert packet_in(ETHERNET, ethernet(IPV4_TYPE, V4, tag)) == V4


def test_any_number_of_vlan_tags_is_skipped() -> None:
    assert packet_in(ETHERNET, ethernet(IPV6_TYPE, V6, *VLAN_TYPES * 5)) == V6


def test_what_is_tagged_need_not_be_ip() -> None:
    assert packet_in(ETHERNET, ethernet(ARP_TYPE, V4, 0x8100)) is None


@pytest.mark.parametrize("kind", [ARP_TYPE, 0x88CC, 0x05DC, 0])
def test_other_ethernet_types_are_not_ip(kind: int) -> None:
    assert packet_in(ETHERNET, ethernet(kind, V4)) is None


@pytest.mark.parametrize("size", [0, 13])
def test_a_frame_without_a_whole_ethernet_header_is_not_ip(size: int) -> None:
    assert packet_in(ETHERNET, ethernet(IPV4_TYPE, V4)[:size]) is None


@pytest.mark.parametrize("size", [14, 15, 17])
def test_a_frame_without_a_whole_vlan_tag_is_not_ip(size: int) -> None:
    assert packet_in(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:size]) is None


def test_a_frame_that_ends_behind_its_header_carries_an_empty_packet() -> None:
    assert packet_in(ETHERNET, ethernet(IPV4_TYPE, b"")) == b""


@pytest.mark.parametrize(("kind", "packet"), [(IPV4_TYPE, V4), (IPV6_TYPE, V6)])
def test_cooked_captures_carry_both_families(kind: int, packet: bytes) -> None:
    assert packet_in(COOKED, cooked(kind, packet)) == packet


@pytest.mark.parametrize(("kind", "packet"), [(IPV4_TYPE, V4), (IPV6_TYPE, V6)])
def test_cooked_captures_of_version_2_carry_both_families(kind: int, packet: bytes) -> None:
    assert packet_in(COOKED_V2, cooked_v2(kind, packet)) == packet


def test_cooked_captures_may_have_vlan_tags() -> None:
    assert packet_in(COOKED, cooked(0x8100, struct.pack(">HH", 7, IPV4_TYPE) + V4)) == V4


def test_cooked_captures_of_version_2_may_have_vlan_tags() -> None:
    assert packet_in(COOKED_V2, cooked_v2(0x8100, struct.pack(">HH", 7, IPV4_TYPE) + V4)) == V4


@pytest.mark.parametrize(
    ("link_type", "frame"), [(COOKED, cooked(ARP_TYPE, V4)), (COOKED_V2, cooked_v2(ARP_TYPE, V4))]
)
def test_cooked_captures_carry_other_things_too(link_type: int, frame: bytes) -> None:
    assert packet_in(link_type, frame) is None


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [(COOKED, cooked(IPV4_TYPE, b"")[:15]), (COOKED_V2, cooked_v2(IPV4_TYPE, b"")[:19])],
)
def test_a_frame_without_a_whole_cooked_header_is_not_ip(link_type: int, frame: bytes) -> None:
    assert packet_in(link_type, frame) is None


@pytest.mark.parametrize("link_type", [LOOPBACK, OPEN_LOOPBACK])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("family", [2, 10, 23, 24, 28, 30])
def test_loopback_names_the_family_in_either_byte_order(
    link_type: int, order: str, family: int
) -> None:
    assert packet_in(link_type, struct.pack(order + "I", family) + V6) == V6


@pytest.mark.parametrize("frame", [bytes(4) + V4, b"\x07\0\0\0" + V4, b"\0\0\0"])
def test_other_families_are_not_ip(frame: bytes) -> None:
    assert packet_in(LOOPBACK, frame) is None


def test_nothing_is_cut_from_loopback() -> None:
    assert packet_in(LOOPBACK, b"\x02\0\0\0" + V4 + b"more") == V4 + b"more"


@pytest.mark.parametrize("packet", [V4, V6, ipv4(), ipv6(protocol=59), ipv4(options=bytes(4))])
@pytest.mark.parametrize("kind", [IPV4_TYPE, IPV6_TYPE])
def test_padding_is_cut_from_ethernet(kind: int, packet: bytes) -> None:
    assert packet_in(ETHERNET, ethernet(kind, packet + bytes(26))) == packet


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (COOKED, cooked(IPV4_TYPE, V4 + bytes(22))),
        (COOKED_V2, cooked_v2(IPV4_TYPE, V4 + bytes(22))),
    ],
)
def test_padding_is_cut_from_cooked_captures(link_type: int, frame: bytes) -> None:
    assert packet_in(link_type, frame) == V4


@pytest.mark.parametrize(
    "bad",
    [
        b"\x44" + V4[1:] + bytes(22),  # a header of 16 bytes
        b"\x4f" + V4[1:] + bytes(40),  # a header longer than the packet
        V4[:2] + bytes(2) + V4[4:],  # a length of 0, as offloading leaves it
        V4[:2] + b"\x00\x13" + V4[4:],  # a length less than the header
        V4[:-1],  # shorter than it says
        V4[:19],  # not even a header
        V6[:39],
        b"\x50" + V4[1:] + bytes(22),  # version 5
        ipv6(protocol=0)[:40] + bytes(6),  # a jumbogram, or the beginning of one
    ],
)
def test_nothing_is_cut_where_the_header_is_bad(bad: bytes) -> None:
    assert packet_in(ETHERNET, ethernet(IPV4_TYPE, bad)) == bad
