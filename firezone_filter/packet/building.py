"""Building packets: the smallest whole ones of each protocol, with right checksums.

They show what a policy means; nothing that is on the way of a packet needs any.
"""

from struct import Struct
from typing import Final, NamedTuple

from firezone_filter.packet.icmp import ICMP_ANSWERS, ICMP_HEADER
from firezone_filter.packet.numbers import (
    ACK,
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV4_HEADER,
    IPV4_LENGTH,
    IPV6,
    SYN,
    TCP,
    UDP,
)

NEAR_PORT: Final = 49_152
"""The client's port, or echo id, of built packets: the first of those that no service has
(RFC 6335, section 6)."""

_HOPS: Final = 64
_WINDOW: Final = 65_535

_ipv4 = Struct("!HHIBBH4s4s").pack
_ipv6 = Struct("!IHBB16s16s").pack
_tcp = Struct("!HHIIBBHHH").pack
_udp = Struct("!HHHH").pack
_icmp = Struct("!BBHHH").pack

_V4_START: Final = IPV4 << 12 | (IPV4_HEADER // 4) << 8
_V6_START: Final = IPV6 << 28
_NO_TCP_OPTIONS: Final = 5 << 4
_TCP_SIZE: Final = 20
_UDP_SIZE: Final = 8

# Checksums are sums of words modulo this number (see `rewrite`).
_MODULUS: Final = 0xFFFF


def build_packet(
    source: bytes, destination: bytes, protocol: int, number: int = 0, near_port: int = NEAR_PORT
) -> bytes:
    """Build a packet as a client would begin with: a SYN, an empty datagram, a message.

    Args:
        source: the client's address, 4 or 16 bytes.
        destination: the far address, of the same family.
        protocol: IANA protocol number.
        number: the far port for TCP and UDP, the type for ICMP; ignored for other protocols,
            whose packets have no content.
        near_port: the client's port, or echo id.
    """
    first = _Fields(near_port, number, SYN, number, near_port)
    return _packet(source, destination, protocol, first)


def build_answer(
    source: bytes, destination: bytes, protocol: int, number: int = 0, near_port: int = NEAR_PORT
) -> bytes:
    """Build the answer to a packet as `build_packet` does: a SYN+ACK, a datagram, a message.

    Args:
        source: the far address, 4 or 16 bytes.
        destination: the client's address, of the same family.
        protocol: IANA protocol number.
        number: the far port, or the type of the client's message. One that asks for no answer
            comes back as it is.
        near_port: the client's port, or echo id.
    """
    icmp_type = ICMP_ANSWERS.get(protocol, {}).get(number, number)
    first = _Fields(number, near_port, SYN | ACK, icmp_type, near_port)
    return _packet(source, destination, protocol, first)


class _Fields(NamedTuple):
    """The fields of a transport header that differ, whichever protocol has them."""

    source_port: int
    destination_port: int
    flags: int
    icmp_type: int
    echo_id: int


def _packet(source: bytes, destination: bytes, protocol: int, first: _Fields) -> bytes:
    is_ipv4 = len(source) == IPV4_LENGTH
    transport = _transport(source + destination, protocol, first, is_ipv4=is_ipv4)
    if not is_ipv4:
        size = len(transport)
        return _ipv6(_V6_START, size, protocol, _HOPS, source, destination) + transport
    size = IPV4_HEADER + len(transport)
    header = _ipv4(_V4_START, size, 0, _HOPS, protocol, 0, source, destination)
    checksum = _checksum(header)
    return _ipv4(_V4_START, size, 0, _HOPS, protocol, checksum, source, destination) + transport


def _transport(ends: bytes, protocol: int, first: _Fields, *, is_ipv4: bool) -> bytes:
    # The pseudo-headers of both families are the same sum (RFC 9293, section 3.1; RFC 8200,
    # section 8.1).
    ports = first.source_port, first.destination_port
    if protocol == TCP:
        fields = *ports, 0, 0, _NO_TCP_OPTIONS, first.flags, _WINDOW
        checksum = _checksum(ends + _tcp(*fields, 0, 0), TCP + _TCP_SIZE)
        return _tcp(*fields, checksum, 0)
    if protocol == UDP:
        checksum = _checksum(ends + _udp(*ports, _UDP_SIZE, 0), UDP + _UDP_SIZE)
        # A computed 0 goes as 0xffff: 0 says that there is no checksum (RFC 768).
        return _udp(*ports, _UDP_SIZE, checksum or _MODULUS)
    if protocol == (ICMPV4 if is_ipv4 else ICMPV6):
        # ICMPv4 has no pseudo-header (RFC 792); that of ICMPv6 is the same again (RFC 4443).
        covered, more = (b"", 0) if is_ipv4 else (ends, ICMPV6 + ICMP_HEADER)
        message = _icmp(first.icmp_type, 0, 0, first.echo_id, 1)
        return _icmp(first.icmp_type, 0, _checksum(covered + message, more), first.echo_id, 1)
    return b""


def _checksum(words: bytes, more: int = 0) -> int:
    """Return the checksum of an even number of bytes, and of a number besides."""
    return -(int.from_bytes(words) + more) % _MODULUS
