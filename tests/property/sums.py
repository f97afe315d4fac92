"""Checksums of whole packets, from scratch: once by hand, once by dpkt."""

from struct import pack

import dpkt

from firezone_filter.testing import internet_checksum
from tests.model.packets import Packet, parse, parse_quote
from tests.numbers import FRAGMENT, ICMPV4, ICMPV6, TCP, UDP

CHECKSUM_AT = {TCP: 16, UDP: 6, ICMPV4: 2, ICMPV6: 2}


def all_sums_hold(packet: bytes) -> bool:
    """Tell whether the checksums of a packet hold, and those of what an ICMP error quotes."""
    read = parse(packet)
    assert read is not None
    own = header_holds(read) and transport_holds(read) and dpkt_agrees(read)
    if not read.is_icmp_error:
        return own
    quote = parse_quote(packet[read.transport_at + 8 :])
    assert quote is not None
    # The transport's sum of one that was cut short is over bytes that nobody has.
    return own and header_holds(quote) and (is_cut(quote) or transport_holds(quote))


def header_holds(read: Packet) -> bool:
    if read.version == 6:
        return True
    return internet_checksum(read.data[: (read.data[0] & 15) * 4]) == 0


def transport_holds(read: Packet) -> bool:
    """Tell whether the transport's checksum holds, or is one that says nothing."""
    at = CHECKSUM_AT.get(read.protocol)
    if at is None or read.fragment is not None:
        return True
    transport = read.data[read.transport_at :]
    if read.protocol == UDP and transport[at : at + 2] == b"\0\0":
        return True
    ends = read.source.packed + read.destination.packed
    pseudo = ends + pack("!II", len(transport), read.protocol)
    return internet_checksum((b"" if read.protocol == ICMPV4 else pseudo) + transport) == 0


def is_cut(quote: Packet) -> bool:
    """Tell whether a quote is shorter than the packet was, by its length field."""
    at, more = (2, 0) if quote.version == 4 else (4, 40)
    return len(quote.data) < int.from_bytes(quote.data[at : at + 2]) + more


def dpkt_agrees(read: Packet) -> bool:
    """Tell whether dpkt fills in the same checksums, of header and transport."""
    if read.version == 6 and read.data[6] == FRAGMENT:
        # Behind a fragment header, dpkt looks for one more.
        return True
    whole = dpkt.ip.IP(read.data) if read.version == 4 else dpkt.ip6.IP6(read.data)
    parts = [whole]
    # It takes fragments for wholes, and a zero of UDP for one to be filled in.
    if read.fragment is None and getattr(whole.data, "sum", None):
        parts.append(whole.data)
        if read.is_icmp_error:
            # It would write the quote anew, an authentication header with all behind it twice.
            whole.data.data = read.data[read.transport_at + 4 :]
    summed = [part for part in parts if hasattr(part, "sum")]
    before = [part.sum for part in summed]
    for part in summed:
        part.sum = 0
    bytes(whole)
    # 0 and 0xffff are the same number, in one's complement.
    return [part.sum % 0xFFFF for part in summed] == [was % 0xFFFF for was in before]
