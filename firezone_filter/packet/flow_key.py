"""Flow keys: the bytes that all packets of one flow have in common, as they stand in them.

For TCP and UDP these are the 5-tuple's addresses and ports; the protocol is known from
elsewhere. A key is cut out of the packet in one piece, since one slice costs 40 ns and the
four parts of it, put together again, ten times that.
"""

from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import is_echo
from firezone_filter.packet.numbers import IPV4, IPV4_HEADER, IPV4_LENGTH, IPV6_HEADER, TCP, UDP


def flow_key(headers: Headers, packet: bytes) -> bytes | None:
    """Return the flow key of a packet: addresses and ports, or for ICMP echo type and id.

    `None` for packets that are never remembered: fragments, IPv4 options, IPv6 extension
    headers, and every other protocol.
    """
    # By the family too: IPv4 options may fill the header up to the length of IPv6's.
    is_ipv4 = len(headers.source) == IPV4_LENGTH
    if headers.fragment is not None or headers.transport != (
        IPV4_HEADER if is_ipv4 else IPV6_HEADER
    ):
        return None
    if headers.protocol in (TCP, UDP):
        return packet[12:24] if is_ipv4 else packet[8:44]
    return echo_flow_key(packet) if is_echo(headers.protocol, headers.icmp_type) else None


def echo_flow_key(packet: bytes) -> bytes:
    """Return the flow key of an ICMP echo packet without options or extension headers."""
    # Code and checksum stand between type and id. The key is a byte shorter than one with
    # ports, so that it never equals the beginning of another packet.
    if packet[0] >> 4 == IPV4:
        return packet[12:21] + packet[24:26]
    return packet[8:41] + packet[44:46]
