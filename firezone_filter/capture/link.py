"""From a captured frame to the IP packet inside: one small reader for each link type.

A reader returns the packet's bytes, or `None` for a frame that carries no IP (ARP, LLDP,
…). It does not validate the packet: a broken one is returned as it is, so that the gateway
judges it as malformed.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from firezone_filter.capture.errors import UnreadableCaptureError
from firezone_filter.capture.formats import LINK_RAW_IP

LinkReader = Callable[[bytes], bytes | None]

_IPV4_TYPE: Final = 0x0800
_IPV6_TYPE: Final = 0x86DD
_IP_TYPES: Final = frozenset({_IPV4_TYPE, _IPV6_TYPE})

_VLAN_TYPES: Final = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
"""802.1Q, 802.1ad, and the two numbers in use for stacked tags before 802.1ad."""

_VLAN_TAG: Final = 4
_ETHERNET_HEADER: Final = 14
_COOKED_HEADER: Final = 16
_COOKED_V2_HEADER: Final = 20
_FAMILY: Final = 4

_IP_FAMILIES: Final = frozenset({2, 10, 23, 24, 28, 30})
"""AF_INET, the same everywhere, then AF_INET6 of Linux, of Windows, of NetBSD and OpenBSD, of
FreeBSD and of Darwin."""

_IPV4_HEADER: Final = 20
_IPV6_HEADER: Final = 40
_HOP_BY_HOP: Final = 0


def link_reader(link_type: int) -> LinkReader:
    """Return the reader for frames of *link_type*.

    Raises:
        UnreadableCaptureError: The link type is not supported.
    """
    reader = _READERS.get(link_type)
    if reader is None:
        raise UnreadableCaptureError(
            f"link type {link_type} is not supported; "
            "raw IP, Ethernet, Linux cooked and BSD loopback are"
        )
    return reader


def _raw(frame: bytes) -> bytes:
    return frame


def _ethernet(frame: bytes) -> bytes | None:
    return _by_type(frame, _ETHERNET_HEADER - 2, _ETHERNET_HEADER)


def _cooked(frame: bytes) -> bytes | None:
    return _by_type(frame, _COOKED_HEADER - 2, _COOKED_HEADER)


def _cooked_v2(frame: bytes) -> bytes | None:
    return _by_type(frame, 0, _COOKED_V2_HEADER)


def _loopback(frame: bytes) -> bytes | None:
    # The family is in the byte order of the capturing machine, whatever the order of the
    # file: libpcap's writers leave it alone. No family is another one with its bytes reversed.
    if len(frame) < _FAMILY:
        return None
    family = frame[:_FAMILY]
    if _IP_FAMILIES.isdisjoint({int.from_bytes(family, "big"), int.from_bytes(family, "little")}):
        return None
    return frame[_FAMILY:]


_READERS: Final[Mapping[int, LinkReader]] = MappingProxyType(
    {
        0: _loopback,
        1: _ethernet,
        # Raw IP, as the BSDs (12) and OpenBSD (14) number it in their own files.
        12: _raw,
        14: _raw,
        LINK_RAW_IP: _raw,
        108: _loopback,
        113: _cooked,
        228: _raw,
        229: _raw,
        276: _cooked_v2,
    }
)


def _by_type(frame: bytes, type_at: int, payload_at: int) -> bytes | None:
    """Return the packet behind the type field at *type_at* and any VLAN tags."""
    if len(frame) < payload_at:
        return None
    kind = int.from_bytes(frame[type_at : type_at + 2], "big")
    while kind in _VLAN_TYPES:
        payload_at += _VLAN_TAG
        if len(frame) < payload_at:
            return None
        kind = int.from_bytes(frame[payload_at - 2 : payload_at], "big")
    return _without_padding(frame[payload_at:]) if kind in _IP_TYPES else None


def _without_padding(packet: bytes) -> bytes:
    """Cut the padding behind the packet: short Ethernet frames are filled up to 60 bytes.

    A length field that contradicts the header is not trusted: such a packet stays as it is,
    and the gateway judges it as malformed.
    """
    length = _ip_length(packet)
    return packet if length is None else packet[:length]


def _ip_length(packet: bytes) -> int | None:
    version = packet[0] >> 4 if packet else None
    if version == 4 and len(packet) >= _IPV4_HEADER:  # noqa: PLR2004 - IP version
        length = int.from_bytes(packet[2:4], "big")
        header = (packet[0] & 0x0F) * 4
        return length if _IPV4_HEADER <= header <= length else None
    if version == 6 and len(packet) >= _IPV6_HEADER:  # noqa: PLR2004 - IP version
        length = int.from_bytes(packet[4:6], "big")
        # Length 0 before hop-by-hop options marks a jumbogram (RFC 2675, section 2), whose
        # length is inside the options.
        is_jumbogram = length == 0 and packet[6] == _HOP_BY_HOP
        return None if is_jumbogram else _IPV6_HEADER + length
    return None
