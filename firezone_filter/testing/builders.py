"""Whole packets in one line each, with the lengths and checksums that the standards ask for.

A *flow* is written `"100.64.0.2:5401 > 10.0.0.5:443"`, `"[fd00::2]:5401 > [fd00:5::5]:443"`, or
without ports, which are 0 then: `"100.64.0.2 > 10.0.0.5"`. Its addresses are of one family, which
is that of the packet. Nothing is shared with what reads packets, so that the two can disagree.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack
from typing import Final, TypedDict, Unpack

from firezone_filter.packet.numbers import ACK, ICMPV4, ICMPV6, IPV4, MAX_BYTE, MAX_PORT, TCP, UDP
from firezone_filter.testing.changes import patched
from firezone_filter.testing.checksums import internet_checksum, sealed
from firezone_filter.testing.extensions import Extension, chained

_HOPS: Final = 64
_MAX_WORD: Final = 0xFFFF
_MAX_OPTIONS: Final = 40  # an IPv4 header has at most 60 bytes

_Address = IPv4Address | IPv6Address


class Layout(TypedDict, total=False):
    """What every builder takes to shape the IP header. What the family lacks is ignored."""

    options: bytes
    """IPv4 options, at most 40 bytes; filled up with zeros to a multiple of 4."""

    extensions: Sequence[Extension]
    """IPv6 extension headers, in their order."""

    hops: int
    """TTL or hop limit; 64 if not given."""

    identification: int
    """Of the IPv4 header; 0 if not given."""


def ip(flow: str, protocol: int, payload: bytes = b"", **layout: Unpack[Layout]) -> bytes:
    """Build a packet of either family around any transport.

    Args:
        flow: source and destination; ports are ignored.
        protocol: the IANA protocol number.
        payload: what follows the headers, as it stands: no checksum is put into it.
        layout: the rest of the IP header.

    Raises:
        ValueError: *flow* is not one, or a field does not fit.
        TypeError: *flow* is no text.
    """
    source, _, destination, _ = ends_of_flow(flow)
    ends = source.packed + destination.packed
    if source.version == IPV4:
        identification = fitting("identification", layout.get("identification", 0), _MAX_WORD)
        return ipv4(ends, protocol, payload, pack("!HH", identification, 0), layout)
    first, chain = chained(layout.get("extensions", ()), fitting("protocol", protocol, MAX_BYTE))
    body = chain + payload
    length = fitting("payload length", len(body), _MAX_WORD)
    hops = fitting("hops", layout.get("hops", _HOPS), MAX_BYTE)
    return pack("!IHBB", 6 << 28, length, first, hops) + ends + body


def tcp(flow: str, payload: bytes = b"", *, flags: int = ACK, **layout: Unpack[Layout]) -> bytes:
    """Build a TCP segment, with a header of 20 bytes.

    Args:
        flow: source and destination with their ports.
        payload: what follows the TCP header.
        flags: any of `FIN`, `SYN`, `RST` and `ACK`, joined by `|`.
        layout: the rest of the IP header.

    Raises:
        ValueError: *flow* is not one, or a field does not fit.
        TypeError: *flow* is no text.
    """
    source, source_port, destination, destination_port = ends_of_flow(flow)
    ports = pack("!HH", source_port, destination_port)
    flags = fitting("flags", flags, MAX_BYTE)
    segment = ports + pack("!IIBBHHH", 1, 1, 5 << 4, flags, 65_535, 0, 0) + payload
    return ip(flow, TCP, sealed(segment, source.packed + destination.packed, TCP), **layout)


def udp(flow: str, payload: bytes = b"", **layout: Unpack[Layout]) -> bytes:
    """Build a UDP datagram.

    Args:
        flow: source and destination with their ports.
        payload: what follows the UDP header.
        layout: the rest of the IP header.

    Raises:
        ValueError: *flow* is not one, or a field does not fit.
        TypeError: *flow* is no text.
    """
    source, source_port, destination, destination_port = ends_of_flow(flow)
    length = fitting("length", 8 + len(payload), _MAX_WORD)
    datagram = pack("!HHHH", source_port, destination_port, length, 0) + payload
    return ip(flow, UDP, sealed(datagram, source.packed + destination.packed, UDP), **layout)


def icmp(
    flow: str,
    kind: int,
    code: int = 0,
    *,
    rest: bytes = bytes(4),
    body: bytes = b"",
    **layout: Unpack[Layout],
) -> bytes:
    """Build a message of the flow's own ICMP: ICMPv4 over IPv4, ICMPv6 over IPv6.

    Args:
        flow: source and destination; ports are ignored.
        kind: the type.
        code: the code.
        rest: the second four bytes of the header, whose meaning depends on the type.
        body: what follows the header.
        layout: the rest of the IP header.

    Raises:
        ValueError: *flow* is not one, or a field does not fit.
        TypeError: *flow* is no text.
    """
    source, _, destination, _ = ends_of_flow(flow)
    protocol = ICMPV4 if source.version == IPV4 else ICMPV6
    kind, code = fitting("kind", kind, MAX_BYTE), fitting("code", code, MAX_BYTE)
    message = pack("!BBH", kind, code, 0) + rest + body
    return ip(
        flow, protocol, sealed(message, source.packed + destination.packed, protocol), **layout
    )


def icmp_echo(
    flow: str,
    *,
    reply: bool = False,
    identifier: int = 1,
    sequence: int = 1,
    payload: bytes = b"",
    **layout: Unpack[Layout],
) -> bytes:
    """Build an ICMP echo request, or a reply to one.

    Args:
        flow: source and destination; ports are ignored.
        reply: whether it is a reply.
        identifier: what tells one ping from another: the same in a request and its reply.
        sequence: the number of the request, and of its reply.
        payload: what follows the header.
        layout: the rest of the IP header.

    Raises:
        ValueError: *flow* is not one, or a field does not fit.
        TypeError: *flow* is no text.
    """
    source, _, _, _ = ends_of_flow(flow)
    kind = (0 if reply else 8) if source.version == IPV4 else 128 + reply
    numbers = (
        fitting("identifier", identifier, _MAX_WORD),
        fitting("sequence", sequence, _MAX_WORD),
    )
    return icmp(flow, kind, rest=pack("!HH", *numbers), body=payload, **layout)


def icmp_error(
    flow: str,
    kind: int,
    code: int = 0,
    *,
    quoting: bytes,
    rest: bytes = bytes(4),
    **layout: Unpack[Layout],
) -> bytes:
    """Build an ICMP error about a packet, or about as much of it as *quoting* has.

    Args:
        flow: from who sends the error to the source of the packet that it is about.
        kind: the type: of ICMPv4 3, 4, 5, 11 or 12, of ICMPv6 below 128.
        code: the code.
        quoting: the packet that the error is about, from its IP header on.
        rest: the second four bytes of the header, such as the MTU of "packet too big".
        layout: the rest of the IP header.

    Raises:
        ValueError: *flow* is not one, or a field does not fit.
        TypeError: *flow* is no text.
    """
    return icmp(flow, kind, code, rest=rest, body=quoting, **layout)


def ipv4(ends: bytes, protocol: int, payload: bytes, position: bytes, layout: Layout) -> bytes:
    """Build an IPv4 packet of its packed parts.

    Args:
        ends: source and destination address.
        protocol: the protocol number.
        payload: what follows the header.
        position: identification, flags and fragment offset.
        layout: options and TTL.
    """
    options = layout.get("options", b"")
    fitting("length of the options", len(options), _MAX_OPTIONS)
    filled = options + bytes(-len(options) % 4)
    words = 5 + len(filled) // 4
    length = fitting("total length", 4 * words + len(payload), _MAX_WORD)
    hops = fitting("hops", layout.get("hops", _HOPS), MAX_BYTE)
    header = (
        pack("!BBH", 4 << 4 | words, 0, length)
        + position
        + pack("!BBH", hops, fitting("protocol", protocol, MAX_BYTE), 0)
        + ends
        + filled
    )
    return patched(header, 10, pack("!H", internet_checksum(header))) + payload


def fitting(name: str, value: int, most: int) -> int:
    """Return a value that fits into its field; `ValueError` if it does not."""
    if not 0 <= value <= most:
        raise ValueError(f"{name} is 0 to {most}, not {value}")
    return value


def ends_of_flow(flow: str) -> tuple[_Address, int, _Address, int]:
    """Return source, its port, destination and its port; a port that is not given is 0.

    Raises:
        ValueError: an address or a port is malformed, or the addresses are of two families.
        TypeError: it is no text.
    """
    if not isinstance(flow, str):
        raise TypeError(f"a flow is a text, not {flow!r}")
    source, arrow, destination = flow.partition(" > ")
    if not arrow:
        raise ValueError(f"a flow is 'source > destination', not {flow!r}")
    ends = (*_end(source), *_end(destination))
    if ends[0].version != ends[2].version:
        raise ValueError(f"the addresses of a flow are of one family, not {flow!r}")
    return ends


def _end(text: str) -> tuple[_Address, int]:
    host, colon, port = text.removeprefix("[").rpartition("]:" if text[:1] == "[" else ":")
    if not colon or (":" in host and text[0] != "["):
        host, port = text, "0"
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError(f"a port is 0 to {MAX_PORT}, not {port!r}")
    return ip_address(host), int(port)
