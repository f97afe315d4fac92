"""An IP packet as a capture has it, and as a host would have handed it to the gateway.

A gateway takes whole packets only, and a capture has others: with padding behind them, cut by
the snap length, or larger than any packet because the network card was to cut them up later.
Rebuilding a whole packet never invents anything that a decision depends on: the headers are
all captured, or the packet stays as it is and is malformed; missing bytes of payload become
zeros; and of an ICMP error, whose payload decides, only what was captured is judged.
"""

from typing import Final

from attrs import frozen

from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.packet.icmp import is_icmp_error
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV4_HEADER,
    IPV6,
    IPV6_HEADER,
    TCP,
    UDP,
)
from firezone_filter.structures.attribute_docs import documented

_MAX_LENGTH_FIELD: Final = 0xFFFF
_HOP_BY_HOP: Final = 0

# Bytes of the transport header that a decision may depend on: its fixed part.
_FIXED_PART: Final = {TCP: 20, UDP: 8, ICMPV4: 8, ICMPV6: 8}

# By version: where the length field is, and how many bytes it does not count.
_LENGTH_AT: Final = {IPV4: 2, IPV6: 4}
_NOT_COUNTED: Final = {IPV4: 0, IPV6: IPV6_HEADER}


@documented
@frozen
class CapturedPacket:
    """A packet, without the headers before it and the bytes behind it."""

    captured: bytes
    """Its captured bytes."""

    whole: bytes
    """The packet to judge; *captured* itself, if that is whole or cannot be made whole."""

    length: int
    """Its length on the wire."""

    @property
    def is_cut(self) -> bool:
        """Whether the snap length cut it."""
        return self.length > len(self.captured)

    def as_captured(self, sent: bytes) -> bytes:
        """Return *sent*, which goes on in the place of `whole`, as the capture would have it.

        It is cut at the same place, and has the length field of the captured packet, which its
        header checksum still covers.
        """
        if self.whole is self.captured:
            return sent
        at = _LENGTH_AT[self.captured[0] >> 4]
        # Beyond the longest packet that can be judged, nothing was changed.
        out = sent[: len(self.captured)] + self.captured[len(sent) :]
        return out[:at] + self.captured[at : at + 2] + out[at + 2 :]


def read_packet(data: bytes, wire_length: int) -> CapturedPacket:
    """Return the packet at the start of *data*.

    A length field that contradicts the header or the frame is not trusted: such a packet stays
    as it is, and the gateway judges it as malformed.

    Args:
        data: the captured bytes from the IP header on.
        wire_length: how many these were on the wire.
    """
    wire_length = max(wire_length, len(data))
    claimed = _claimed_length(data)
    if claimed is None or claimed > wire_length:
        return CapturedPacket(data, data, wire_length)
    length = claimed or wire_length
    captured = data[:length]
    if claimed and len(captured) == length:
        return CapturedPacket(captured, captured, length)
    return CapturedPacket(captured, _whole(captured, length), length)


def _claimed_length(data: bytes) -> int | None:
    """Return the length that the header claims, 0 if it leaves it to the network card.

    Returns:
        `None` if there is no whole header, or none that can be trusted.
    """
    version = data[0] >> 4 if data else None
    if version == IPV4 and len(data) >= IPV4_HEADER:
        length = int.from_bytes(data[2:4])
        header = (data[0] & 0x0F) * 4
        trusted = header >= IPV4_HEADER and (length == 0 or length >= header)
        return length if trusted else None
    if version == IPV6 and len(data) >= IPV6_HEADER:
        length = int.from_bytes(data[4:6])
        if length:
            return IPV6_HEADER + length
        # Before hop-by-hop options it marks a jumbogram (RFC 2675, section 2), whose length is
        # inside the options. Only TCP and UDP are left to the network card to cut up.
        if data[6] == _HOP_BY_HOP:
            return None
        return 0 if data[6] in {TCP, UDP} else IPV6_HEADER
    return None


def _whole(captured: bytes, length: int) -> bytes:
    """Return a packet of *length* bytes that is judged by the headers that were captured."""
    version = captured[0] >> 4
    size = min(length, _MAX_LENGTH_FIELD + _NOT_COUNTED[version])
    padded = _with_length(captured[:size].ljust(size, b"\0"), version)
    headers = read_headers(padded)
    if headers is None or _headers_end(headers) > len(captured):
        return captured
    # Zeros in the place of its quote would be judged. (A fragment is refused without a look at
    # the quote, and could not end anywhere.)
    if headers.fragment is None and is_icmp_error(headers.protocol, headers.icmp_type):
        return _with_length(captured[:size], version)
    return padded


def _headers_end(headers: Headers) -> int:
    fixed = 0 if headers.is_later_fragment else _FIXED_PART.get(headers.protocol, 0)
    return headers.transport + fixed


def _with_length(packet: bytes, version: int) -> bytes:
    at, field = _LENGTH_AT[version], len(packet) - _NOT_COUNTED[version]
    return packet[:at] + field.to_bytes(2) + packet[at + 2 :]
