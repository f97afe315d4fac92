"""Replies: building the ICMP error that a `Reject` carries (docs/rules.md, section 4, "Replies").

This is the one module of the core that knows dpkt, which fills in lengths and checksums. It
takes 20 µs, which is affordable since the token bucket limits replies.
"""

from typing import Final

import dpkt

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH

_V4_SIZE: Final = 576
"""Maximum size of a reply: every IPv4 host accepts a datagram of this size (RFC 1122, section
3.3.2), and replies quote no more than fits (RFC 1812, section 4.3.2.3)."""

_V6_SIZE: Final = 1280
"""Maximum size of a reply: the IPv6 minimum MTU (RFC 4443, section 2.4)."""

_V4_HEADERS: Final = 20 + 8
_V6_HEADERS: Final = 40 + 8
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
    message = dpkt.icmp.ICMP(type=kind, code=code, data=dpkt.icmp.ICMP.Unreach(data=quote))
    return bytes(dpkt.ip.IP(src=source, dst=destination, p=ICMPV4, ttl=_HOPS, data=message))


def _reply_ipv6(quote: bytes, source: bytes, destination: bytes, *, prohibited: bool) -> bytes:
    kind, code = _V6_PROHIBITED if prohibited else _V6_ADDRESS
    message = dpkt.icmp6.ICMP6(type=kind, code=code, data=dpkt.icmp6.ICMP6.Unreach(data=quote))
    # dpkt fills in the payload length only of packets that it has parsed.
    length = len(message)
    return bytes(
        dpkt.ip6.IP6(
            src=source, dst=destination, nxt=ICMPV6, hlim=_HOPS, plen=length, data=message
        )
    )
