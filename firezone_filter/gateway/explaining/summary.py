"""What was read of a packet, as a value for people and machines."""

from ipaddress import ip_address

from firezone_filter.packet.headers import NO_PORT, Headers, read_quoted_headers
from firezone_filter.packet.icmp import ICMP_CODE_AT, ICMP_HEADER, is_icmp_error
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6
from firezone_filter.values.explanations import PacketSummary


def summarize(headers: Headers, packet: bytes) -> PacketSummary:
    """Return what was read of a packet, and of the packet that it quotes, if it does."""
    quoted = None
    if is_icmp_error(headers.protocol, headers.icmp_type):
        quote = packet[headers.transport + ICMP_HEADER :]
        read = read_quoted_headers(quote)
        quoted = None if read is None else _summary(read, quote)
    return _summary(headers, packet, quoted)


def _summary(
    headers: Headers, packet: bytes, quoted: PacketSummary | None = None
) -> PacketSummary:
    place = None
    if headers.fragment is not None:
        place = "later" if headers.is_later_fragment else "first"
    is_icmp = headers.icmp_type != NO_PORT
    return PacketSummary(
        IPV4 if len(headers.source) == IPV4_LENGTH else IPV6,
        ip_address(headers.source),
        ip_address(headers.destination),
        headers.protocol,
        _or_none(headers.source_port),
        _or_none(headers.destination_port),
        _or_none(headers.icmp_type),
        packet[headers.transport + ICMP_CODE_AT] if is_icmp else None,
        place,
        len(packet),
        quoted,
    )


def _or_none(number: int) -> int | None:
    return None if number == NO_PORT else number
