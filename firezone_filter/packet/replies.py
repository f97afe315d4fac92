"""Replies: building the ICMP error that a `Reject` carries (docs/rules.md, section 4, "Replies").

A client that tries again and again costs a reply each time, so they are packed by hand, in 1 µs;
dpkt takes 16. In the tests it is the second opinion about every byte.
"""

from struct import Struct
from typing import Final

from firezone_filter.packet.icmp import ICMP_HEADER
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4_HEADER,
    IPV4_LENGTH,
    IPV6_HEADER,
)

_V4_SIZE: Final = 576
"""Maximum size of a reply: every IPv4 host accepts a datagram of this size (RFC 1122, section
3.3.2), and replies quote no more than fits (RFC 1812, section 4.3.2.3)."""

_V6_SIZE: Final = 1280
"""Maximum size of a reply: the IPv6 minimum MTU (RFC 4443, section 2.4)."""

_V4_HEADER = Struct("!BBHHHBBH4s4s").pack
_V6_HEADER = Struct("!IHBB16s16s").pack
_ICMP_HEADER = Struct("!BBHxxxx").pack

_V4_HEADERS: Final = IPV4_HEADER + ICMP_HEADER
_V6_HEADERS: Final = IPV6_HEADER + ICMP_HEADER
_HOPS: Final = 64  # TTL or hop limit: the default that IANA recommends (RFC 1700)

# Type and code of destination unreachable (RFC 792; RFC 1812, section 5.2.7.1; RFC 4443, 3.1).
_V4_NETWORK: Final = (3, 0)
_V4_PROHIBITED: Final = (3, 13)
_V6_PROHIBITED: Final = (1, 1)
_V6_ADDRESS: Final = (1, 3)


def unreachable_reply(
    packet: bytes, source: bytes, destination: bytes, *, prohibited: bool
) -> bytes:
    """Build the destination-unreachable message that answers a refused packet.

    Args:
        packet: the refused packet, well formed.
        source: its source address, 4 or 16 bytes: the reply's destination.
        destination: its destination address: the reply's source.
        prohibited: whether the code is "administratively prohibited"; otherwise it is network
            (IPv4) or address (IPv6) unreachable.

    Returns:
        An IP packet that quotes as much of *packet* as fits into 576 bytes (IPv4) or 1,280
        (IPv6).
    """
    if len(source) == IPV4_LENGTH:
        return _reply_ipv4(
            packet[: _V4_SIZE - _V4_HEADERS], destination, source, prohibited=prohibited
        )
    return _reply_ipv6(
        packet[: _V6_SIZE - _V6_HEADERS], destination, source, prohibited=prohibited
    )


def _reply_ipv4(quote: bytes, source: bytes, destination: bytes, *, prohibited: bool) -> bytes:
    kind, code = _V4_PROHIBITED if prohibited else _V4_NETWORK
    size = _V4_HEADERS + len(quote)
    unsummed = _V4_HEADER(0x45, 0, size, 0, 0, _HOPS, ICMPV4, 0, source, destination)
    header = _V4_HEADER(
        0x45, 0, size, 0, 0, _HOPS, ICMPV4, _checksum(unsummed), source, destination
    )
    checksum = _checksum(_ICMP_HEADER(kind, code, 0) + quote)
    return header + _ICMP_HEADER(kind, code, checksum) + quote


def _reply_ipv6(quote: bytes, source: bytes, destination: bytes, *, prohibited: bool) -> bytes:
    kind, code = _V6_PROHIBITED if prohibited else _V6_ADDRESS
    length = ICMP_HEADER + len(quote)
    header = _V6_HEADER(6 << 28, length, ICMPV6, _HOPS, source, destination)
    # The pseudo-header (RFC 8200, section 8.1).
    pseudo = source + destination + length.to_bytes(4) + ICMPV6.to_bytes(4)
    checksum = _checksum(pseudo + _ICMP_HEADER(kind, code, 0) + quote)
    return header + _ICMP_HEADER(kind, code, checksum) + quote


def _checksum(covered: bytes) -> int:
    """Return the Internet checksum of bytes that are not all zero (RFC 1071)."""
    # The sum of 16-bit words with end-around carry is the remainder by 2**16 - 1, which takes
    # 0.4 µs for 1,280 bytes. (A remainder of 0 is the sum 0xffff, of which 0 is the complement.)
    if len(covered) % 2:
        covered += b"\x00"
    return -int.from_bytes(covered) % 0xFFFF
