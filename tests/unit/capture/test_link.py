"""From the frame of each link type to the IP packet inside."""

import struct
from collections.abc import Callable

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


# --- Raw IP ------------------------------------------------------------------------------


@pytest.mark.parametrize("link_type", [12, 14, 101, 228, 229])
@pytest.mark.parametrize("packet", [V4, V6, V4 + b"more", b"", b"\xff"])
def test_raw_ip_is_the_packet_as_it_is(link_type: int, packet: bytes) -> None:
    assert packet_in(link_type, packet) == packet


def test_an_unsupported_link_type_is_named_by_its_number() -> None:
    with pytest.raises(UnreadableCaptureError, match=r"^link type 105 is not supported; "):
        link_reader(105)


# --- Ethernet and cooked captures --------------------------------------------------------

FRAMES: dict[str, tuple[int, Callable[[int, bytes], bytes]]] = {
    "ethernet": (ETHERNET, ethernet),
    "cooked": (COOKED, cooked),
    "cooked v2": (COOKED_V2, cooked_v2),
}
on_each = pytest.mark.parametrize(("link_type", "frame"), FRAMES.values(), ids=FRAMES.keys())
Frame = Callable[[int, bytes], bytes]


@on_each
@pytest.mark.parametrize(("kind", "packet"), [(IPV4_TYPE, V4), (IPV6_TYPE, V6)])
def test_both_families_are_read(link_type: int, frame: Frame, kind: int, packet: bytes) -> None:
    assert packet_in(link_type, frame(kind, packet)) == packet


@on_each
@pytest.mark.parametrize("kind", [ARP_TYPE, 0x88CC, 0x05DC, 0])
def test_other_types_are_not_ip(link_type: int, frame: Frame, kind: int) -> None:
    assert packet_in(link_type, frame(kind, V4)) is None


@on_each
@pytest.mark.parametrize("tag", VLAN_TYPES)
def test_every_kind_of_vlan_tag_is_skipped(link_type: int, frame: Frame, tag: int) -> None:
    assert packet_in(link_type, frame(tag, struct.pack(">HH", 7, IPV4_TYPE) + V4)) == V4


def test_any_number_of_vlan_tags_is_skipped() -> None:
    assert packet_in(ETHERNET, ethernet(IPV6_TYPE, V6, *VLAN_TYPES * 5)) == V6


def test_a_tagged_frame_may_carry_no_ip() -> None:
    assert packet_in(ETHERNET, ethernet(ARP_TYPE, V4, 0x8100)) is None


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        pytest.param(ETHERNET, b"", id="empty"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4)[:13], id="ethernet"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:14], id="no tag"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:15], id="start of a tag"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:17], id="tag but a byte"),
        pytest.param(COOKED, cooked(IPV4_TYPE, b"")[:15], id="cooked"),
        pytest.param(COOKED_V2, cooked_v2(IPV4_TYPE, b"")[:19], id="cooked v2"),
    ],
)
def test_a_frame_without_a_whole_header_is_not_ip(link_type: int, frame: bytes) -> None:
    assert packet_in(link_type, frame) is None


@on_each
def test_a_frame_that_ends_with_its_header_carries_an_empty_packet(
    link_type: int, frame: Frame
) -> None:
    assert packet_in(link_type, frame(IPV4_TYPE, b"")) == b""


@on_each
@pytest.mark.parametrize("packet", [V4, V6, ipv4(), ipv6(protocol=59), ipv4(options=bytes(4))])
@pytest.mark.parametrize("kind", [IPV4_TYPE, IPV6_TYPE])
def test_padding_is_cut(link_type: int, frame: Frame, kind: int, packet: bytes) -> None:
    assert packet_in(link_type, frame(kind, packet + bytes(26))) == packet


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\x44" + V4[1:] + bytes(22), id="header of 16 bytes"),
        pytest.param(b"\x4f" + V4[1:] + bytes(40), id="header longer than the packet"),
        pytest.param(V4[:2] + bytes(2) + V4[4:], id="length 0, as offloading leaves it"),
        pytest.param(V4[:2] + b"\x00\x13" + V4[4:], id="length less than the header"),
        pytest.param(V4[:-1], id="shorter than its length"),
        pytest.param(V4[:19], id="IPv4 header cut short"),
        pytest.param(V6[:39], id="IPv6 header cut short"),
        pytest.param(b"\x50" + V4[1:] + bytes(22), id="version 5"),
        pytest.param(ipv6(protocol=0)[:40] + bytes(6), id="jumbogram"),
    ],
)
def test_nothing_is_cut_where_the_header_is_bad(bad: bytes) -> None:
    assert packet_in(ETHERNET, ethernet(IPV4_TYPE, bad)) == bad


# --- Loopback ----------------------------------------------------------------------------


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
