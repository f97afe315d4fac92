"""Fragments: built by themselves, or cut out of a whole packet."""

from ipaddress import IPv4Address
from struct import pack
from typing import Final, Unpack

from firezone_filter.packet.numbers import IPV4
from firezone_filter.testing.builders import Layout, ends_of_flow, fitting, ip, ipv4
from firezone_filter.testing.changes import patched, resized
from firezone_filter.testing.extensions import (
    DEFAULT_IDENTIFICATION,
    FRAGMENT,
    fragment_header,
)

UNIT: Final = 8
"""Offsets are multiples of it, in bytes."""

MAX_START: Final = 0x1FFF * UNIT
"""The highest offset that a fragment can have."""


def ip_fragment(
    flow: str,
    protocol: int,
    data: bytes,
    *,
    start: int = 0,
    more: bool = False,
    **layout: Unpack[Layout],
) -> bytes:
    """Build a fragment that carries *data*, whatever packet that may be from.

    Args:
        flow: source and destination; ports are ignored.
        protocol: the protocol number of the packet.
        data: what it carries: its part of the transport header and payload. The checksum in
            it is one over the whole packet, so none is computed here.
        start: the offset of *data*, in bytes, a multiple of 8.
        more: whether more fragments follow.
        layout: the rest of the IP header, as for `ip`; *identification*, which the fragments
            of one packet share, is 7 if not given, in both families. IPv6 extension headers
            stand before the fragment header.

    Raises:
        ValueError: *flow* is not one, *start* is no multiple of 8, or a field does not fit.
        TypeError: *flow* is no text.
    """
    if start % UNIT:
        raise ValueError(f"start is a multiple of {UNIT}, not {start}")
    source, _, destination, _ = ends_of_flow(flow)
    start = fitting("start", start, MAX_START)
    number = layout.get("identification", DEFAULT_IDENTIFICATION)
    if source.version == IPV4:
        position = pack(
            "!HH", fitting("identification", number, 0xFFFF), more << 13 | start // UNIT
        )
        return ipv4(source.packed + destination.packed, protocol, data, position, layout)
    header = fragment_header(start, more=more, identification=number)
    layout["extensions"] = (*layout.get("extensions", ()), header)
    return ip(flow, protocol, data, **layout)


def fragment(  # noqa: PLR0913 - as many choices as there are
    packet: bytes,
    start: int,
    stop: int | None = None,
    *,
    more: bool | None = None,
    identification: int = DEFAULT_IDENTIFICATION,
    before: int = 0,
) -> bytes:
    """Cut a fragment out of a whole packet.

    Args:
        packet: the packet.
        start: where the fragment starts, in the part that is fragmented: what follows the IPv4
            header, or the IPv6 header and *before* extension headers. A multiple of 8.
        stop: where it ends; at the packet's end if not given.
        more: whether it says that more follow; by default, if it does not reach the end.
        identification: shared by the fragments of one packet.
        before: how many IPv6 extension headers stay in front of the fragment header.
    """
    if packet[0] >> 4 == IPV4:
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
