"""From a protocol number to the IP packet behind it: EtherTypes, LLC and SNAP, PPP, MPLS.

Each reader gets a frame and the index behind the header that it continues, and returns the
index of the IP packet, or the name of what the frame carries in its place. Nothing here looks
into the packet: a broken one is found like any other, so that the gateway judges it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

Found = int | str
"""The index of the IP packet in the frame, or the name of what the frame carries instead."""

TOO_SHORT: Final = "too short for its headers"

_IP_TYPES: Final = frozenset({0x0800, 0x86DD})

_VLAN_TYPES: Final = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
"""802.1Q, 802.1ad, and the two numbers in use for stacked tags before 802.1ad."""

MAX_802_3_LENGTH: Final = 1500
"""Up to here the field is a length, and LLC follows (IEEE 802.3, clause 3.2.6)."""

_VLAN_TAG: Final = 4
_PPPOE_HEADER: Final = 6
_MPLS_LABEL: Final = 4
_LLC_HEADER: Final = 3
_SNAP_HEADER: Final = 8

_ETHERTYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x0806: "ARP",
        0x0842: "Wake-on-LAN",
        0x2000: "CDP",
        0x8035: "RARP",
        0x8137: "IPX",
        0x8809: "slow protocols (LACP)",
        0x8863: "PPPoE discovery",
        0x888E: "EAPOL",
        0x8899: "Realtek",
        0x88A4: "EtherCAT",
        0x88CC: "LLDP",
        0x88E1: "HomePlug",
        0x88E5: "MACsec",
        0x88F7: "PTP",
        0x9000: "loopback test",
    }
)

_SNAP_OUI_ETHERTYPE: Final = frozenset({b"\x00\x00\x00", b"\x00\x00\xf8"})
"""RFC 1042, and IEEE 802.1H for bridges: an EtherType follows."""

_CISCO: Final = b"\x00\x00\x0c"
_CISCO_PROTOCOLS: Final = MappingProxyType(
    {0x0104: "DTP", 0x010B: "PVST+", 0x0111: "UDLD", 0x2000: "CDP", 0x2003: "VTP", 0x2004: "DTP"}
)

LLC_SNAP: Final = 0xAA
LLC_IP: Final = 0x06
_UNNUMBERED: Final = 0x03
_LLC_SAPS: Final[Mapping[int, str]] = MappingProxyType(
    {0x42: "STP", 0xE0: "IPX", 0xF0: "NetBIOS", 0xFE: "OSI", 0xFF: "IPX"}
)

_PPP_IP: Final = frozenset({0x0021, 0x0057})
_PPP_MPLS: Final = frozenset({0x0281, 0x0283})
_PPP_PROTOCOLS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x002D: "PPP compressed TCP",
        0x002F: "PPP uncompressed TCP",
        0x003D: "PPP multilink",
        0x00FD: "PPP compressed",
        0x8021: "PPP IPCP",
        0x8057: "PPP IPv6CP",
        0x80FD: "PPP CCP",
        0x8281: "PPP MPLSCP",
        0xC021: "PPP LCP",
        0xC023: "PPP PAP",
        0xC025: "PPP LQR",
        0xC223: "PPP CHAP",
        0xC227: "PPP EAP",
    }
)


def number(frame: bytes, at: int, size: int = 2) -> int | None:
    """Return the number of *size* bytes at index *at*; `None` if the frame is too short."""
    return int.from_bytes(frame[at : at + size]) if len(frame) >= at + size else None


def by_ethertype(kind: int | None, frame: bytes, at: int) -> Found:
    """Continue behind an EtherType *kind*, or a length of 802.3 in its place."""
    while kind in _VLAN_TYPES:
        at += _VLAN_TAG
        kind = number(frame, at - 2)
    if kind is None:
        return TOO_SHORT
    if kind in _IP_TYPES:
        return at
    if kind <= MAX_802_3_LENGTH:
        return llc(frame, at)
    if (reader := _READERS.get(kind)) is not None:
        return reader(frame, at)
    return _ETHERTYPES.get(kind) or f"EtherType 0x{kind:04x}"


def llc(frame: bytes, at: int) -> Found:
    """Continue with an LLC header (IEEE 802.2), and SNAP if that follows (RFC 1042)."""
    header = frame[at : at + _LLC_HEADER]
    if len(header) < _LLC_HEADER:
        return TOO_SHORT
    destination, _, control = header
    if (destination, control) == (LLC_IP, _UNNUMBERED):
        return at + _LLC_HEADER
    if destination == LLC_SNAP:
        return _snap(frame, at)
    return _LLC_SAPS.get(destination) or f"LLC SAP 0x{destination:02x}"


def _snap(frame: bytes, at: int) -> Found:
    kind = number(frame, at + _SNAP_HEADER - 2)
    if kind is None:
        return TOO_SHORT
    organization = frame[at + _LLC_HEADER : at + _SNAP_HEADER - 2]
    # A length has no meaning here: below 1501, too, it is the number of a protocol.
    if organization in _SNAP_OUI_ETHERTYPE and kind > MAX_802_3_LENGTH:
        return by_ethertype(kind, frame, at + _SNAP_HEADER)
    name = _CISCO_PROTOCOLS.get(kind) if organization == _CISCO else None
    return name or f"SNAP {organization.hex()} 0x{kind:04x}"


def pppoe(frame: bytes, at: int) -> Found:
    """Continue with the header of a PPPoE session (RFC 2516)."""
    if len(frame) < at + _PPPOE_HEADER:
        return TOO_SHORT
    # Another code than 0 belongs to discovery, whatever the EtherType says.
    return "PPPoE discovery" if frame[at + 1] else ppp(frame, at + _PPPOE_HEADER)


def ppp(frame: bytes, at: int) -> Found:
    """Continue with a PPP protocol number, of one byte if it is compressed (RFC 1661)."""
    first = number(frame, at, 1)
    if first is None:
        return TOO_SHORT
    # The last byte of a number is odd, and no other is: an odd first byte is the whole number.
    size = 1 if first & 1 else 2
    kind = number(frame, at, size)
    if kind is None:
        return TOO_SHORT
    if kind in _PPP_IP:
        return at + size
    if kind in _PPP_MPLS:
        return mpls(frame, at + size)
    return _PPP_PROTOCOLS.get(kind) or f"PPP protocol 0x{kind:04x}"


def mpls(frame: bytes, at: int) -> Found:
    """Continue with a stack of MPLS labels (RFC 3032).

    The labels do not name what follows them. Their first four bits tell IPv4 and IPv6 from the
    control word of a pseudowire (RFC 4928, section 3).
    """
    while (label := number(frame, at, _MPLS_LABEL)) is not None:
        at += _MPLS_LABEL
        if label & 0x100:  # the bottom of the stack
            first = number(frame, at, 1)
            if first is None:
                break
            return at if first >> 4 in {4, 6} else "MPLS without IP"
    return TOO_SHORT


_READERS: Final[Mapping[int, Callable[[bytes, int], Found]]] = MappingProxyType(
    {0x8847: mpls, 0x8848: mpls, 0x8864: pppoe, 0x880B: ppp}
)
