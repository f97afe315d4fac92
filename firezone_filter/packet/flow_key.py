"""Flow keys: the bytes of a packet that identify its flow within a protocol.

For TCP and UDP these are the addresses and ports of the 5-tuple, for ICMP echo addresses, type
and id, each as it stands in the packet. The protocol is not part of the key, since the flow
cache has a table for each. A key is sliced from the packet in one piece, in 40 ns; joining its
four fields takes ten times that.
"""

from firezone_filter.compiled.twins import compiled
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import is_echo
from firezone_filter.packet.numbers import IPV4, IPV4_HEADER, IPV4_LENGTH, IPV6_HEADER, TCP, UDP


@compiled
def flow_key(headers: Headers, packet: bytes) -> bytes | None:
    """Return the flow key of a packet whose headers are well formed.

    Returns:
        The key; `None` for packets that are never remembered: fragments, packets with IPv4
        options or IPv6 extension headers, and other protocols or ICMP messages.
    """
    # By family: IPv4 options may extend the header to the 40 bytes of IPv6.
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
    # Code and checksum stand between type and id, and are left out. That makes the key a byte
    # shorter than one with ports, so it never equals those bytes of another packet.
    if packet[0] >> 4 == IPV4:
        return packet[12:21] + packet[24:26]
    return packet[8:41] + packet[44:46]
