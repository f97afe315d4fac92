"""IPv6 extension headers (RFC 8200, section 4; AH: RFC 4302)."""

from collections.abc import Sequence
from struct import pack
from typing import Final

from attrs import frozen

from firezone_filter.packet.numbers import IPV4, IPV6_HEADER
from firezone_filter.structures.attribute_docs import documented

HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
AUTHENTICATION: Final = 51
DESTINATION_OPTIONS: Final = 60
DEFAULT_IDENTIFICATION: Final = 7
"""Of fragments of which nothing else is said: another than that of whole packets."""

_UNITS_OF_8: Final = frozenset({HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS})


@documented
@frozen
class Extension:
    """An IPv6 extension header: one of those that the functions here build, or any other."""

    number: int
    """By which the header before it names it."""

    body: bytes
    """All but its first byte, which names what follows."""


def hop_by_hop(units: int = 0) -> Extension:
    """Build hop-by-hop options that say nothing, in 8 bytes and *units* times 8 more."""
    return Extension(HOP_BY_HOP, bytes([units]) + bytes(6 + 8 * units))


def destination_options(units: int = 0) -> Extension:
    """Build destination options that say nothing, in 8 bytes and *units* times 8 more."""
    return Extension(DESTINATION_OPTIONS, hop_by_hop(units).body)


def routing(kind: int = 4, left: int = 0, units: int = 0) -> Extension:
    """Build a routing header of 8 bytes and *units* times 8 more.

    Args:
        kind: the routing type: 4 is the segment routing of RFC 8754, 0 is the source route that
            RFC 5095 forbids.
        left: how many segments are left to visit.
        units: how many times 8 bytes there are after the first 8, all zeros.
    """
    return Extension(ROUTING, bytes([units, kind, left]) + bytes(4 + 8 * units))


def authentication(units: int = 1) -> Extension:
    """Build an AH whose length field says *units*: it counts in 4 bytes, less two."""
    return Extension(AUTHENTICATION, bytes([units]) + bytes(4 * (units + 2) - 2))


def fragment_header(
    start: int = 0, *, more: bool = False, identification: int = DEFAULT_IDENTIFICATION
) -> Extension:
    """Build a fragment header.

    Args:
        start: the offset of the fragment's data, in bytes, a multiple of 8.
        more: whether more fragments follow.
        identification: shared by the fragments of one packet.
    """
    return Extension(FRAGMENT, pack("!BHI", 0, start | more, identification))


def chained(extensions: Sequence[Extension], protocol: int) -> tuple[int, bytes]:
    """Return the number of the first extension header, and all of them chained."""
    chain = b""
    for extension in reversed(extensions):
        chain = bytes([protocol]) + extension.body + chain
        protocol = extension.number
    return protocol, chain


def transport_of(packet: bytes) -> tuple[int, int]:
    """Return the number of what follows the last header that is walked, and where it begins.

    A fragment header is not walked: what follows is a part of something.
    """
    if packet[0] >> 4 == IPV4:
        return packet[9], (packet[0] & 0x0F) * 4
    number, place = packet[6], IPV6_HEADER
    while number in _UNITS_OF_8 or number == AUTHENTICATION:
        units = packet[place + 1]
        size = 8 * (units + 1) if number in _UNITS_OF_8 else 4 * (units + 2)
        number, place = packet[place], place + size
    return number, place
