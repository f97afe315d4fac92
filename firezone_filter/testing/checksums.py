"""The checksums of packets, computed from scratch (RFC 1071).

The filter itself only adjusts checksums; nothing is shared with it, so that the two can disagree.
"""

from struct import pack, unpack
from typing import Final

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, TCP, UDP
from firezone_filter.testing.changes import patched
from firezone_filter.testing.extensions import FRAGMENT, transport_of

CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMPV4: 2, ICMPV6: 2}
"""Index of the checksum in the transport header, by protocol."""

_WORD: Final = 0xFFFF
_MORE_OR_LATER: Final = 0x3FFF  # of IPv4's flags and fragment offset


def internet_checksum(data: bytes) -> int:
    """Compute the checksum of RFC 1071; 0 over data that contain their own."""
    even = data + bytes(len(data) % 2)
    total: int = sum(unpack(f"!{len(even) // 2}H", even))
    while total > _WORD:
        total = (total & _WORD) + (total >> 16)
    return total ^ _WORD


def sealed(transport: bytes, ends: bytes, protocol: int) -> bytes:
    """Put the checksum into a TCP segment, UDP datagram or ICMP message that has 0 there.

    Args:
        transport: the transport header and what follows it.
        ends: source and destination address, packed.
        protocol: TCP, UDP, ICMPv4 or ICMPv6.
    """
    checksum = internet_checksum(_covered(transport, ends, protocol))
    if protocol == UDP and not checksum:
        # A computed 0 goes as 0xffff: 0 says that there is no checksum (RFC 768).
        checksum = _WORD
    return patched(transport, CHECKSUM_AT[protocol], pack("!H", checksum))


def checksums_hold(packet: bytes) -> bool:
    """Tell whether a well-formed IP packet has its checksums right.

    That is the header checksum of IPv4, and that of TCP, UDP or ICMP, whatever IPv6 extension
    headers stand before it. Over IPv4 a UDP checksum of 0 says that there is none (RFC 768).
    Other protocols have none that is looked at, and of a fragment only the IPv4 header has one.
    """
    protocol, start = transport_of(packet)
    if is_ipv4 := packet[0] >> 4 == IPV4:
        if internet_checksum(packet[:start]):
            return False
        if int.from_bytes(packet[6:8]) & _MORE_OR_LATER:
            protocol = FRAGMENT
    if protocol not in CHECKSUM_AT:
        return True
    transport = packet[start:]
    if protocol == UDP and transport[6:8] == bytes(2):
        return is_ipv4
    ends = packet[12:20] if is_ipv4 else packet[8:40]
    return internet_checksum(_covered(transport, ends, protocol)) == 0


def _covered(transport: bytes, ends: bytes, protocol: int) -> bytes:
    if protocol == ICMPV4:
        return transport
    # One layout serves both families: the sum is the same wherever the words stand.
    return ends + pack("!II", len(transport), protocol) + transport
