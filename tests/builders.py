"""Packets in one line each, with the lengths and checksums that the standards ask for.

A flow is written `"100.64.0.2:5401 > 10.0.0.5:443"`, `"[fd00::2]:5401 > [fd00:5::5]:443"`,
or without ports. Shares no code with the library, so that the two can disagree.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack, unpack
from typing import Final, NamedTuple, TypedDict, Unpack

ICMPV4: Final = 1
TCP: Final = 6
UDP: Final = 17
ROUTING: Final = 43
FRAGMENT: Final = 44
ESP: Final = 50
AUTHENTICATION: Final = 51
ICMPV6: Final = 58
NO_NEXT_HEADER: Final = 59
DESTINATION_OPTIONS: Final = 60
GRE: Final = 47
MOBILITY: Final = 135

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

Address = IPv4Address | IPv6Address


class Extension(NamedTuple):
    """An IPv6 extension header."""

    number: int
    """By which the header before it names it."""

    body: bytes
    """All but its first byte, which names what follows."""


class Shape(TypedDict, total=False):
    """What every builder takes to shape the IP header."""

    options: bytes
    """IPv4 options; filled up with zeros to a multiple of 4."""

    extensions: Sequence[Extension]
    """IPv6 extension headers, in their order."""

    hops: int
    """TTL or hop limit."""


class Layout(Shape, total=False):
    """What builders of whole packets take besides."""

    identification: int
    """Of the IPv4 header."""


# --- Whole packets -----------------------------------------------------------------------


def ip(flow: str, protocol: int, payload: bytes = b"", **layout: Unpack[Layout]) -> bytes:
    """Build a packet of either family around any transport."""
    source, _, destination, _ = _ends(flow)
    hops = layout.get("hops", 64)
    if source.version == 4:
        position = pack("!HH", layout.get("identification", 0), 0)
        ends, options = source.packed + destination.packed, layout.get("options", b"")
        return _ipv4(ends, protocol, payload, position=position, options=options, hops=hops)
    extensions = layout.get("extensions", ())
    first, chain = chained(extensions, protocol)
    body = chain + payload
    return (
        pack("!IHBB", 6 << 28, len(body), first, hops) + source.packed + destination.packed + body
    )


def tcp(flow: str, payload: bytes = b"", *, flags: int = ACK, **layout: Unpack[Layout]) -> bytes:
    source, source_port, destination, destination_port = _ends(flow)
    ports = pack("!HH", source_port, destination_port)
    segment = ports + pack("!IIBBHHH", 1, 1, 5 << 4, flags, 65_535, 0, 0) + payload
    return ip(flow, TCP, _sealed(segment, 16, source, destination, TCP), **layout)


def udp(flow: str, payload: bytes = b"", **layout: Unpack[Layout]) -> bytes:
    source, source_port, destination, destination_port = _ends(flow)
    datagram = pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    sealed = _sealed(datagram, 6, source, destination, UDP)
    # A computed 0 goes as 0xffff: 0 says that there is no checksum (RFC 768).
    if sealed[6:8] == bytes(2):
        sealed = patched(sealed, 6, b"\xff\xff")
    return ip(flow, UDP, sealed, **layout)


def icmp(
    flow: str,
    kind: int,
    code: int = 0,
    *,
    rest: bytes = bytes(4),
    body: bytes = b"",
    **layout: Unpack[Layout],
) -> bytes:
    """Build a message of the flow's own ICMP: ICMPv4 over IPv4, ICMPv6 over IPv6."""
    source, _, destination, _ = _ends(flow)
    message = pack("!BBH", kind, code, 0) + rest + body
    if source.version == 4:
        return ip(flow, ICMPV4, _with_sum(message, 2, b""), **layout)
    return ip(flow, ICMPV6, _sealed(message, 2, source, destination, ICMPV6), **layout)


def icmp_echo(
    flow: str,
    *,
    reply: bool = False,
    identifier: int = 1,
    sequence: int = 1,
    payload: bytes = b"",
    **layout: Unpack[Layout],
) -> bytes:
    source, _, _, _ = _ends(flow)
    kind = (0 if reply else 8) if source.version == 4 else 128 + reply
    return icmp(flow, kind, rest=pack("!HH", identifier, sequence), body=payload, **layout)


def icmp_error(
    flow: str,
    kind: int,
    code: int = 0,
    *,
    quoting: bytes,
    rest: bytes = bytes(4),
    **layout: Unpack[Layout],
) -> bytes:
    """Build an ICMP error about a packet, or about as much of it as `quoting` has."""
    return icmp(flow, kind, code, rest=rest, body=quoting, **layout)


# --- Extension headers -------------------------------------------------------------------


def hop_by_hop(units: int = 0) -> Extension:
    """Options that say nothing, in 8 bytes and *units* times 8 more."""
    return Extension(0, bytes([units]) + bytes(6 + 8 * units))


def destination_options(units: int = 0) -> Extension:
    return Extension(DESTINATION_OPTIONS, hop_by_hop(units).body)


def routing(kind: int = 4, left: int = 0, units: int = 0) -> Extension:
    return Extension(ROUTING, bytes([units, kind, left]) + bytes(4 + 8 * units))


def authentication(units: int = 1) -> Extension:
    """An AH whose length field says *units*: it counts in 4 bytes, less two."""
    return Extension(AUTHENTICATION, bytes([units]) + bytes(4 * (units + 2) - 2))


def fragment_header(start: int = 0, *, more: bool = False, identification: int = 7) -> Extension:
    return Extension(FRAGMENT, pack("!BHI", 0, start | more, identification))


def chained(extensions: Sequence[Extension], protocol: int) -> tuple[int, bytes]:
    """Return the number of the first extension header, and all of them chained."""
    chain = b""
    for extension in reversed(extensions):
        chain = bytes([protocol]) + extension.body + chain
        protocol = extension.number
    return protocol, chain


# --- Fragments ---------------------------------------------------------------------------


def ip_fragment(  # noqa: PLR0913 - as many fields as it has
    flow: str,
    protocol: int,
    data: bytes,
    *,
    start: int = 0,
    more: bool = False,
    identification: int = 7,
    **shape: Unpack[Shape],
) -> bytes:
    """Build a fragment that carries *data*, whatever packet that may be from."""
    source, _, destination, _ = _ends(flow)
    if source.version == 4:
        position = pack("!HH", identification, more << 13 | start // 8)
        options, hops = shape.get("options", b""), shape.get("hops", 64)
        ends = source.packed + destination.packed
        return _ipv4(ends, protocol, data, position=position, options=options, hops=hops)
    header = fragment_header(start, more=more, identification=identification)
    shape["extensions"] = (*shape.get("extensions", ()), header)
    return ip(flow, protocol, data, **shape)


def fragment(  # noqa: PLR0913 - as many fields as it has
    packet: bytes,
    start: int,
    stop: int | None = None,
    *,
    more: bool | None = None,
    identification: int = 7,
    before: int = 0,
) -> bytes:
    """Cut a fragment out of a whole packet.

    Args:
        packet: the packet.
        start: where the fragment starts, in the part that is fragmented.
        stop: where it ends; at the packet's end if not given.
        more: whether it says that more follow; by default, if it does not reach the end.
        identification: shared by the fragments of one packet.
        before: how many IPv6 extension headers stay in front of the fragment header.
    """
    if packet[0] >> 4 == 4:
        header = (packet[0] & 0x0F) * 4
        more = stop is not None and stop < len(packet) - header if more is None else more
        flow = f"{IPv4Address(packet[12:16])} > {IPv4Address(packet[16:20])}"
        return ip_fragment(
            flow,
            packet[9],
            packet[header:][start:stop],
            start=start,
            more=more,
            identification=identification,
            options=packet[20:header],
            hops=packet[8],
        )
    names, header = 6, 40
    for _ in range(before):
        names, header = header, header + 8 * (packet[header + 1] + 1)
    more = stop is not None and stop < len(packet) - header if more is None else more
    kept = patched(packet[:header], names, bytes([FRAGMENT]))
    inserted = (
        bytes([packet[names]])
        + fragment_header(start, more=more, identification=identification).body
    )
    return resized(kept + inserted + packet[header:][start:stop])


# --- Lies and repairs --------------------------------------------------------------------


def patched(packet: bytes, place: int, new: bytes) -> bytes:
    """Put *new* over the bytes at *place*, and leave all else as it is."""
    return packet[:place] + new + packet[place + len(new) :]


def resized(packet: bytes, by: int = 0) -> bytes:
    """Set the length field to the packet's length and *by* more."""
    if packet[0] >> 4 == 4:
        return patched(packet, 2, pack("!H", len(packet) + by))
    return patched(packet, 4, pack("!H", (len(packet) - 40 + by) & 0xFFFF))


# --- Checksums ---------------------------------------------------------------------------


def internet_checksum(data: bytes) -> int:
    """Compute the checksum of RFC 1071; 0 over data that contain their own."""
    even = data + bytes(len(data) % 2)
    total: int = sum(unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def checksums_hold(packet: bytes) -> bool:
    """Tell whether a whole packet without extension headers has its checksums right."""
    if packet[0] >> 4 == 4:
        header = (packet[0] & 0x0F) * 4
        protocol, ends = packet[9], packet[12:20]
        right = internet_checksum(packet[:header]) == 0
    else:
        header, protocol, ends, right = 40, packet[6], packet[8:40], True
    transport = packet[header:]
    pseudo = b"" if protocol == ICMPV4 else ends + pack("!II", len(transport), protocol)
    return right and internet_checksum(pseudo + transport) == 0


def _sealed(
    transport: bytes, place: int, source: Address, destination: Address, protocol: int
) -> bytes:
    # One layout serves both families: the sum is the same wherever the words stand.
    ends = source.packed + destination.packed
    return _with_sum(transport, place, ends + pack("!II", len(transport), protocol))


def _with_sum(data: bytes, place: int, pseudo: bytes) -> bytes:
    return patched(data, place, pack("!H", internet_checksum(pseudo + data)))


def _ipv4(  # noqa: PLR0913 - as many fields as it has
    ends: bytes,
    protocol: int,
    payload: bytes,
    *,
    position: bytes,
    options: bytes,
    hops: int,
) -> bytes:
    filled = options + bytes(-len(options) % 4)
    words = 5 + len(filled) // 4
    header = (
        pack("!BBH", 4 << 4 | words, 0, 4 * words + len(payload))
        + position
        + pack("!BBH", hops, protocol, 0)
        + ends
        + filled
    )
    return _with_sum(header, 10, b"") + payload


def _ends(flow: str) -> tuple[Address, int, Address, int]:
    source, destination = flow.split(" > ")
    return (*_end(source), *_end(destination))


def _end(text: str) -> tuple[Address, int]:
    host, colon, port = text.removeprefix("[").rpartition("]:" if text[0] == "[" else ":")
    if not colon or (":" in host and text[0] != "["):
        host, port = text, "0"
    return ip_address(host), int(port)
