"""From a captured frame to the IP packet inside: one small reader for each link type.

A reader returns the index of the packet, or the name of what the frame carries in its place
(ARP, LLDP, …). It does not validate the packet: a broken one is found like any other, so that
the gateway judges it as malformed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from firezone_filter.capture.formats import LINK_RAW_IP
from firezone_filter.capture.payload import (
    TOO_SHORT,
    Found,
    by_ethertype,
    llc,
    mpls,
    number,
    ppp,
    pppoe,
)

LinkReader = Callable[[bytes], Found]

SUPPORTED: Final = (
    "raw IP, Ethernet, Linux cooked, BSD loopback, PPP, PPPoE, Cisco HDLC, MPLS, FDDI, "
    "Token Ring and ATM with LLC are"
)
"""The link types that are supported, for a message that one is not."""

_ETHERNET_HEADER: Final = 14
_COOKED_HEADER: Final = 16
_COOKED_V2_HEADER: Final = 20
_FAMILY: Final = 4
_HDLC_HEADER: Final = 4
_FDDI_HEADER: Final = 13
_TOKEN_RING_HEADER: Final = 14

_IP_FAMILIES: Final = frozenset({2, 10, 23, 24, 28, 30})
"""AF_INET, the same everywhere, then AF_INET6 of Linux, of Windows, of NetBSD and OpenBSD, of
FreeBSD and of Darwin."""

_NETLINK: Final = 824
"""ARPHRD_NETLINK: the protocol field has a family of netlink, not an EtherType."""

_FIRST_ETHERTYPE: Final = 0x0600
_LINUX_LLC: Final = 0x0004
"""ETH_P_802_2: below the first EtherType, Linux numbers protocols of its own."""

_PPP_ADDRESS: Final = b"\xff\x03"
_CISCO_HDLC: Final = frozenset({0x0F, 0x8F})
"""Cisco's addresses, unicast and broadcast, where PPP has 0xff."""

_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        105: "IEEE 802.11",
        119: "IEEE 802.11 with Prism",
        127: "IEEE 802.11 with radiotap",
        187: "Bluetooth",
        189: "USB",
        195: "IEEE 802.15.4",
        201: "Bluetooth",
        220: "USB",
        227: "CAN",
        249: "USB",
    }
)


def link_reader(link_type: int) -> LinkReader | None:
    """Return the reader for frames of *link_type*; `None` if that is not supported."""
    return _READERS.get(link_type)


def link_type_name(link_type: int) -> str:
    """Return *link_type* as text: its number, and its name if it is one of the usual ones."""
    name = _NAMES.get(link_type)
    return f"link type {link_type}" if name is None else f"link type {link_type} ({name})"


def _raw(_: bytes) -> Found:
    return 0


def _ethernet(frame: bytes) -> Found:
    return by_ethertype(number(frame, _ETHERNET_HEADER - 2), frame, _ETHERNET_HEADER)


def _cooked(frame: bytes) -> Found:
    return _by_linux_protocol(frame, 2, _COOKED_HEADER - 2, _COOKED_HEADER)


def _cooked_v2(frame: bytes) -> Found:
    return _by_linux_protocol(frame, 8, 0, _COOKED_V2_HEADER)


def _by_linux_protocol(frame: bytes, device_at: int, protocol_at: int, at: int) -> Found:
    protocol = number(frame, protocol_at)
    if protocol is None or len(frame) < at:
        return TOO_SHORT
    if number(frame, device_at) == _NETLINK:
        return "netlink"
    if protocol >= _FIRST_ETHERTYPE:
        return by_ethertype(protocol, frame, at)
    return llc(frame, at) if protocol == _LINUX_LLC else f"Linux protocol 0x{protocol:04x}"


def _loopback(frame: bytes) -> Found:
    # The family is in the byte order of the capturing machine, whatever the order of the
    # file: libpcap's writers leave it alone. No family is another one with its bytes reversed.
    if len(frame) < _FAMILY:
        return TOO_SHORT
    family = frame[:_FAMILY]
    either = {int.from_bytes(family, "big"), int.from_bytes(family, "little")}
    return f"address family {min(either)}" if _IP_FAMILIES.isdisjoint(either) else _FAMILY


def _ppp(frame: bytes, at: int = 0) -> Found:
    # Both bytes may be missing: address and control field compression (RFC 1661, section 6.6).
    return ppp(frame, at + len(_PPP_ADDRESS) if frame.startswith(_PPP_ADDRESS, at) else at)


def _hdlc(frame: bytes) -> Found:
    is_cisco = number(frame, 0, 1) in _CISCO_HDLC
    return _cisco_hdlc(frame) if is_cisco else _ppp(frame)


def _cisco_hdlc(frame: bytes) -> Found:
    kind = number(frame, _HDLC_HEADER - 2)
    if kind == 0x8035:  # noqa: PLR2004 - what is RARP elsewhere
        return "Cisco SLARP"
    return by_ethertype(kind, frame, _HDLC_HEADER)


def _token_ring(frame: bytes) -> Found:
    # The highest bit of the source address announces a route, which has its length in the
    # lower five bits of its first byte (IEEE 802.5, section 3.3).
    routed = number(frame, 8, 1)
    if routed is None or not routed & 0x80:
        return llc(frame, _TOKEN_RING_HEADER)
    route = number(frame, _TOKEN_RING_HEADER, 1)
    return TOO_SHORT if route is None else llc(frame, _TOKEN_RING_HEADER + (route & 0x1F))


_READERS: Final[Mapping[int, LinkReader]] = MappingProxyType(
    {
        0: _loopback,
        1: _ethernet,
        6: _token_ring,
        9: _ppp,
        10: partial(llc, at=_FDDI_HEADER),
        # Raw IP, as the BSDs (12) and OpenBSD (14) number it in their own files.
        12: _raw,
        14: _raw,
        50: _hdlc,
        51: partial(pppoe, at=0),
        100: partial(llc, at=0),
        LINK_RAW_IP: _raw,
        104: _cisco_hdlc,
        108: _loopback,
        113: _cooked,
        # With the direction in the place of the address, and before it.
        166: partial(ppp, at=2),
        204: partial(_ppp, at=1),
        219: partial(mpls, at=0),
        228: _raw,
        229: _raw,
        276: _cooked_v2,
    }
)
