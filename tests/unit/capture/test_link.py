"""From the frame of each link type to the IP packet inside."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.link import link_reader, link_type_name
from firezone_filter.capture.payload import TOO_SHORT
from tests.captures import (
    cooked,
    cooked_v2,
    ethernet,
    ethernet_llc,
    ipv4,
    ipv6,
    mpls,
    pppoe,
    snap,
)

V4 = ipv4(payload=b"four")
V6 = ipv6(payload=b"six")
LOOPBACK = 0
ETHERNET = 1
TOKEN_RING = 6
PPP = 9
FDDI = 10
PPP_HDLC = 50
PPPOE = 51
ATM = 100
CISCO_HDLC = 104
OPEN_LOOPBACK = 108
COOKED = 113
PPP_PPPD = 166
PPP_WITH_DIRECTION = 204
MPLS = 219
COOKED_V2 = 276

IPV4_TYPE = 0x0800
IPV6_TYPE = 0x86DD
ARP_TYPE = 0x0806
VLAN_TYPES = [0x8100, 0x88A8, 0x9100, 0x9200]
PPPOE_TYPE = 0x8864
MPLS_TYPES = [0x8847, 0x8848]
PPP_V4, PPP_V6 = b"\x00\x21", b"\x00\x57"


def carried(link_type: int, frame: bytes) -> bytes | str:
    """Return the packet in *frame*, or the name of what is there instead."""
    read = link_reader(link_type)
    assert read is not None
    found = read(frame)
    return found if isinstance(found, str) else frame[found:]


# --- Raw IP ------------------------------------------------------------------------------


@pytest.mark.parametrize("link_type", [12, 14, 101, 228, 229])
@pytest.mark.parametrize("packet", [V4, V6, V4 + b"more", b"", b"\xff"])
def test_raw_ip_is_the_packet_as_it_is(link_type: int, packet: bytes) -> None:
    assert carried(link_type, packet) == packet


@pytest.mark.parametrize(
    ("link_type", "name"),
    [(105, "link type 105 (IEEE 802.11)"), (147, "link type 147"), (65_535, "link type 65535")],
)
def test_an_unsupported_link_type_has_no_reader_but_a_name(link_type: int, name: str) -> None:
    assert (link_reader(link_type), link_type_name(link_type)) == (None, name)


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
    assert carried(link_type, frame(kind, packet)) == packet


@on_each
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ARP_TYPE, "ARP"),
        (0x88CC, "LLDP"),
        (0x888E, "EAPOL"),
        (0x8863, "PPPoE discovery"),
        (0x0600, "EtherType 0x0600"),
        (0xFFFF, "EtherType 0xffff"),
    ],
)
def test_other_types_are_named(link_type: int, frame: Frame, kind: int, name: str) -> None:
    assert carried(link_type, frame(kind, V4)) == name


def test_a_number_between_lengths_and_types_is_named_as_a_type() -> None:
    assert carried(ETHERNET, ethernet(1501, V4)) == "EtherType 0x05dd"


@on_each
@pytest.mark.parametrize("tag", VLAN_TYPES)
def test_every_kind_of_vlan_tag_is_skipped(link_type: int, frame: Frame, tag: int) -> None:
    assert carried(link_type, frame(tag, struct.pack(">HH", 7, IPV4_TYPE) + V4)) == V4


def test_any_number_of_vlan_tags_is_skipped() -> None:
    assert carried(ETHERNET, ethernet(IPV6_TYPE, V6, *VLAN_TYPES * 500)) == V6


def test_a_tagged_frame_may_carry_no_ip() -> None:
    assert carried(ETHERNET, ethernet(ARP_TYPE, V4, 0x8100)) == "ARP"


@on_each
def test_a_frame_that_ends_with_its_header_carries_an_empty_packet(
    link_type: int, frame: Frame
) -> None:
    assert carried(link_type, frame(IPV4_TYPE, b"")) == b""


@on_each
def test_bytes_behind_the_packet_are_left_to_its_reader(link_type: int, frame: Frame) -> None:
    assert carried(link_type, frame(IPV4_TYPE, V4 + bytes(26))) == V4 + bytes(26)


@pytest.mark.parametrize(("link_type", "frame"), [(COOKED, cooked), (COOKED_V2, cooked_v2)])
def test_linux_numbers_some_protocols_of_its_own(
    link_type: int, frame: Callable[[int, bytes, int], bytes]
) -> None:
    assert carried(link_type, frame(0x0004, snap(IPV4_TYPE, V4), 1)) == V4
    assert carried(link_type, frame(0x000C, V4, 1)) == "Linux protocol 0x000c"
    assert carried(link_type, frame(0x0800, V4, 824)) == "netlink"


# --- LLC and SNAP ------------------------------------------------------------------------

LLC_FRAMES: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "802.3": (ETHERNET, ethernet_llc),
    "802.3 with a tag": (ETHERNET, lambda llc: ethernet(len(llc), llc, 0x8100)),
    "token ring": (TOKEN_RING, lambda llc: bytes(14) + llc),
    "token ring with a route": (
        TOKEN_RING,
        lambda llc: bytes(8) + b"\x80" + bytes(5) + b"\x06\0\0\0\0\0" + llc,
    ),
    "fddi": (FDDI, lambda llc: bytes(13) + llc),
    "atm": (ATM, lambda llc: llc),
}
on_each_llc = pytest.mark.parametrize(
    ("link_type", "frame"), LLC_FRAMES.values(), ids=LLC_FRAMES.keys()
)
LlcFrame = Callable[[bytes], bytes]


@on_each_llc
@pytest.mark.parametrize(
    ("llc", "packet"),
    [
        pytest.param(snap(IPV4_TYPE, V4), V4, id="SNAP"),
        pytest.param(snap(IPV6_TYPE, V6), V6, id="SNAP, IPv6"),
        pytest.param(snap(IPV4_TYPE, V4, b"\0\0\xf8"), V4, id="SNAP of a bridge"),
        pytest.param(snap(0x8100, struct.pack(">HH", 7, IPV4_TYPE) + V4), V4, id="SNAP, VLAN"),
        pytest.param(b"\x06\x06\x03" + V4, V4, id="IP without SNAP"),
    ],
)
def test_llc_carries_ip(link_type: int, frame: LlcFrame, llc: bytes, packet: bytes) -> None:
    assert carried(link_type, frame(llc)) == packet


@on_each_llc
@pytest.mark.parametrize(
    ("llc", "name"),
    [
        (b"\x42\x42\x03" + bytes(35), "STP"),
        (b"\xe0\xe0\x03", "IPX"),
        (b"\xff\xff\x00", "IPX"),
        (b"\x06\x06\xf3", "LLC SAP 0x06"),
        (b"\x08\x08\x03", "LLC SAP 0x08"),
        (snap(ARP_TYPE, V4), "ARP"),
        (snap(0x2000, b"", b"\0\0\x0c"), "CDP"),
        (snap(0x9999, b"", b"\0\0\x0c"), "SNAP 00000c 0x9999"),
        (snap(IPV4_TYPE, V4, b"\0\0\x01"), "SNAP 000001 0x0800"),
        (snap(4, V4), "SNAP 000000 0x0004"),
        (b"\xaa\xaa", TOO_SHORT),
        (snap(IPV4_TYPE, b"")[:7], TOO_SHORT),
    ],
)
def test_llc_without_ip_is_named(link_type: int, frame: LlcFrame, llc: bytes, name: str) -> None:
    assert carried(link_type, frame(llc)) == name


# --- PPP ---------------------------------------------------------------------------------

PPP_FRAMES: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "ppp": (PPP, lambda ppp: ppp),
    "ppp with its address": (PPP, lambda ppp: b"\xff\x03" + ppp),
    "ppp in hdlc": (PPP_HDLC, lambda ppp: b"\xff\x03" + ppp),
    "ppp in hdlc, compressed": (PPP_HDLC, lambda ppp: ppp),
    "pppd": (PPP_PPPD, lambda ppp: b"\x01\x03" + ppp),
    "direction": (PPP_WITH_DIRECTION, lambda ppp: b"\x01" + ppp),
    "direction and address": (PPP_WITH_DIRECTION, lambda ppp: b"\0\xff\x03" + ppp),
    "pppoe": (PPPOE, lambda ppp: pppoe(0, b"")[:6] + ppp),
    "pppoe on ethernet": (ETHERNET, lambda ppp: ethernet(PPPOE_TYPE, pppoe(0, b"")[:6] + ppp)),
    "pppoe with a tag": (
        ETHERNET,
        lambda ppp: ethernet(PPPOE_TYPE, pppoe(0, b"")[:6] + ppp, 0x8100),
    ),
    "ppp on ethernet": (ETHERNET, lambda ppp: ethernet(0x880B, ppp)),
}
on_each_ppp = pytest.mark.parametrize(
    ("link_type", "frame"), PPP_FRAMES.values(), ids=PPP_FRAMES.keys()
)


@on_each_ppp
@pytest.mark.parametrize(
    ("ppp", "packet"),
    [
        pytest.param(PPP_V4 + V4, V4, id="IPv4"),
        pytest.param(PPP_V6 + V6, V6, id="IPv6"),
        pytest.param(b"\x21" + V4, V4, id="compressed number"),
        pytest.param(b"\x57" + V6, V6, id="compressed number, IPv6"),
        pytest.param(b"\x02\x81" + mpls(V4, 7), V4, id="MPLS"),
    ],
)
def test_ppp_carries_ip(link_type: int, frame: LlcFrame, ppp: bytes, packet: bytes) -> None:
    assert carried(link_type, frame(ppp)) == packet


@on_each_ppp
@pytest.mark.parametrize(
    ("ppp", "name"),
    [
        (b"\xc0\x21" + V4, "PPP LCP"),
        (b"\x80\x21" + V4, "PPP IPCP"),
        (b"\x80\x57" + V4, "PPP IPv6CP"),
        (b"\xc2\x23" + V4, "PPP CHAP"),
        (b"\x2d" + V4, "PPP compressed TCP"),
        (b"\x00\x23" + V4, "PPP protocol 0x0023"),
        (b"\xc0", TOO_SHORT),
        (b"", TOO_SHORT),
    ],
)
def test_ppp_without_ip_is_named(link_type: int, frame: LlcFrame, ppp: bytes, name: str) -> None:
    assert carried(link_type, frame(ppp)) == name


@pytest.mark.parametrize("code", [0x09, 0x65, 0xA7])
def test_a_pppoe_session_with_a_code_carries_nothing(code: int) -> None:
    assert carried(PPPOE, pppoe(0x21, V4, code)) == "PPPoE discovery"


@pytest.mark.parametrize(
    ("link_type", "address"), [(CISCO_HDLC, 0x0F), (CISCO_HDLC, 0x8F), (PPP_HDLC, 0x0F)]
)
def test_cisco_hdlc_has_ethertypes(link_type: int, address: int) -> None:
    head = bytes([address, 0])
    assert carried(link_type, head + b"\x08\x00" + V4) == V4
    assert carried(link_type, head + b"\x86\xdd" + V6) == V6
    assert carried(link_type, head + b"\x80\x35" + V4) == "Cisco SLARP"
    assert carried(link_type, head + b"\x20\x00" + V4) == "CDP"


# --- MPLS --------------------------------------------------------------------------------

MPLS_FRAMES: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "mpls": (MPLS, lambda stack: stack),
    "unicast": (ETHERNET, lambda stack: ethernet(MPLS_TYPES[0], stack)),
    "multicast": (ETHERNET, lambda stack: ethernet(MPLS_TYPES[1], stack)),
    "cooked": (COOKED, lambda stack: cooked(MPLS_TYPES[0], stack)),
}


@pytest.mark.parametrize(
    ("link_type", "frame"), MPLS_FRAMES.values(), ids=list(MPLS_FRAMES.keys())
)
@pytest.mark.parametrize(
    ("stack", "result"),
    [
        pytest.param(mpls(V4, 16), V4, id="one label"),
        pytest.param(mpls(V6, 16, 17, 2), V6, id="three labels"),
        pytest.param(mpls(V4, *[16] * 5000), V4, id="many labels"),
        pytest.param(mpls(bytes(4) + V4, 16), "MPLS without IP", id="pseudowire"),
        pytest.param(mpls(b"", 16), TOO_SHORT, id="nothing"),
        pytest.param(mpls(V4, 16, 17)[:7], TOO_SHORT, id="cut"),
        pytest.param(b"", TOO_SHORT, id="empty"),
    ],
)
def test_mpls_is_told_from_pseudowires_by_the_version(
    link_type: int, frame: LlcFrame, stack: bytes, result: bytes | str
) -> None:
    assert carried(link_type, frame(stack)) == result


# --- Frames that are too short ------------------------------------------------------------


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        pytest.param(ETHERNET, b"", id="empty"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4)[:13], id="ethernet"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:14], id="no tag"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:15], id="start of a tag"),
        pytest.param(ETHERNET, ethernet(IPV4_TYPE, V4, 0x8100)[:17], id="tag but a byte"),
        pytest.param(ETHERNET, ethernet(PPPOE_TYPE, pppoe(0x21, V4))[:19], id="pppoe"),
        pytest.param(COOKED, cooked(IPV4_TYPE, b"")[:15], id="cooked"),
        pytest.param(COOKED_V2, cooked_v2(IPV4_TYPE, b"")[:19], id="cooked v2"),
        pytest.param(COOKED_V2, b"\x08", id="cooked v2, a byte"),
        pytest.param(CISCO_HDLC, b"\x0f\0\x08", id="cisco"),
        pytest.param(PPP_HDLC, b"\x0f\0\x08", id="hdlc"),
        pytest.param(TOKEN_RING, bytes(8), id="token ring"),
        pytest.param(TOKEN_RING, bytes(8) + b"\x80" + bytes(5), id="token ring, no route"),
        pytest.param(LOOPBACK, b"\0\0\0", id="loopback"),
    ],
)
def test_a_frame_without_a_whole_header_is_named(link_type: int, frame: bytes) -> None:
    assert carried(link_type, frame) == TOO_SHORT


LINK_TYPES = [0, 1, 6, 9, 10, 12, 50, 51, 100, 101, 104, 108, 113, 166, 204, 219, 276]
TYPES = [0x0800, 0x8100, 0x8847, 0x8864, 0x880B, 3, 0x0021, 0xAAAA, 0xFF03]


@given(
    st.sampled_from(LINK_TYPES),
    st.lists(st.one_of(st.sampled_from(TYPES), st.integers(0, 0xFFFF)), max_size=40),
    st.integers(0, 1),
)
def test_any_frame_has_a_packet_inside_it_or_a_name(
    link_type: int, words: list[int], odd: int
) -> None:
    frame = b"".join(word.to_bytes(2) for word in words)[odd:]
    found = carried(link_type, frame)
    assert found if isinstance(found, str) else frame.endswith(found)


# --- Loopback ----------------------------------------------------------------------------


@pytest.mark.parametrize("link_type", [LOOPBACK, OPEN_LOOPBACK])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("family", [2, 10, 23, 24, 28, 30])
def test_loopback_names_the_family_in_either_byte_order(
    link_type: int, order: str, family: int
) -> None:
    assert carried(link_type, struct.pack(order + "I", family) + V6) == V6


@pytest.mark.parametrize(("head", "family"), [(bytes(4), 0), (b"\x07\0\0\0", 7), (b"\0\0\0\7", 7)])
def test_other_families_are_named(head: bytes, family: int) -> None:
    assert carried(LOOPBACK, head + V4) == f"address family {family}"
