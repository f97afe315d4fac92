"""Changing bytes of a packet, to make it say what is not so, or to make it right again."""

from struct import pack
from typing import Final

from firezone_filter.packet.numbers import IPV4, IPV6_HEADER

_MAX_LENGTH: Final = 0xFFFF


def patched(packet: bytes, place: int, new: bytes) -> bytes:
    """Put *new* over the bytes at *place*, and leave all else as it is, checksums included."""
    return packet[:place] + new + packet[place + len(new) :]


def resized(packet: bytes, by: int = 0) -> bytes:
    """Set the length field of the IP header to the packet's length and *by* more.

    The header checksum of IPv4 stays as it is.
    """
    if packet[0] >> 4 == IPV4:
        return patched(packet, 2, pack("!H", len(packet) + by & _MAX_LENGTH))
    return patched(packet, 4, pack("!H", len(packet) - IPV6_HEADER + by & _MAX_LENGTH))
