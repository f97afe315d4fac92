"""Super-packets, and what a network card makes of them.

Written from <linux/virtio_net.h> and the RFCs. It shares no code with the package but the builders
and checksums of `firezone_filter.testing`, which are a second opinion themselves.
"""

from collections.abc import Iterator
from struct import pack, unpack
from typing import Final

from attrs import frozen
from hypothesis import strategies as st

from firezone_filter.testing import destination_options, internet_checksum, patched, tcp, udp

TCP: Final = 6
UDP: Final = 17
CHECKSUM_AT: Final = {TCP: 16, UDP: 6}

TCPV4, TCPV6, UDP_L4, ECN = 1, 4, 5, 0x80
FIN_AND_PSH: Final = 0x09
CWR: Final = 0x80


def fold(total: int) -> int:
    """Add carries until a word is left."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@frozen
class Undone:
    """A packet as a network card gets it: with a partial checksum, perhaps to be segmented."""

    packet: bytes
    kind: int = 0
    size: int = 0
    start: int = 20
    place: int = 16
    flags: int = 1

    @property
    def header(self) -> bytes:
        """The header before it."""
        hint = self.start + self.place + 4
        return pack("=BBHHHH", self.flags, self.kind, hint, self.size, self.start, self.place)

    @property
    def protocol(self) -> int:
        return TCP if self.place == CHECKSUM_AT[TCP] else UDP

    @property
    def is_ipv4(self) -> bool:
        return self.packet[0] >> 4 == 4

    def with_packet(self, packet: bytes) -> "Undone":
        """Return the same about another packet."""
        return Undone(packet, self.kind, self.size, self.start, self.place, self.flags)

    def segments(self) -> Iterator[bytes]:
        """Yield what a network card sends: segments with whole checksums, or one packet."""
        data_at = self.start + 8
        if self.protocol == TCP:
            data_at = self.start + (self.packet[self.start + 12] >> 4) * 4
        headers, data = self.packet[:data_at], self.packet[data_at:]
        size = self.size if self.kind else max(1, len(data))
        offsets = range(0, max(1, len(data)), size)
        for number, offset in enumerate(offsets):
            piece = data[offset : offset + size]
            segment = self._renumbered(headers, number, offset, last=offset == offsets[-1])
            whole = self._resized(segment, len(piece)) + piece
            yield completed(whole, self.start, self.place)

    def _renumbered(self, headers: bytes, number: int, offset: int, *, last: bool) -> bytes:
        if self.is_ipv4:
            (identification,) = unpack("!H", headers[4:6])
            headers = patched(headers, 4, pack("!H", (identification + number) % 0x10000))
        if self.protocol == TCP:
            (sequence,) = unpack("!I", headers[self.start + 4 : self.start + 8])
            moved = pack("!I", (sequence + offset) % 2**32)
            flags = headers[self.start + 13]
            flags &= 0xFF if last else ~FIN_AND_PSH
            flags &= 0xFF if number == 0 else ~CWR
            headers = patched(headers, self.start + 4, moved)
            headers = patched(headers, self.start + 13, bytes([flags]))
        return headers

    def _resized(self, headers: bytes, size: int) -> bytes:
        """Return the headers with right lengths, also in the partial checksum."""
        total = len(headers) + size
        if self.is_ipv4:
            headers = patched(headers, 2, pack("!H", total))
            headers = patched(headers, 10, bytes(2))
            checksum = internet_checksum(headers[: (headers[0] & 15) * 4])
            headers = patched(headers, 10, pack("!H", checksum))
        else:
            headers = patched(headers, 4, pack("!H", total - 40))
        if self.protocol == UDP:
            headers = patched(headers, self.start + 4, pack("!H", total - self.start))
        at = self.start + self.place
        (partial,) = unpack("!H", headers[at : at + 2])
        less = len(self.packet) - total
        return patched(headers, at, pack("!H", fold(partial + 0xFFFF - less)))


def completed(packet: bytes, start: int, place: int) -> bytes:
    """Return a packet with its partial checksum made whole."""
    checksum = internet_checksum(packet[start:]) or 0xFFFF
    return patched(packet, start + place, pack("!H", checksum))


def undone(packet: bytes, protocol: int, start: int, *, kind: int = 0, size: int = 0) -> Undone:
    """Return a packet as a kernel leaves it undone: with the sum of its pseudo-header alone."""
    ends = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    partial = internet_checksum(ends + pack("!II", len(packet) - start, protocol)) ^ 0xFFFF
    place = CHECKSUM_AT[protocol]
    return Undone(patched(packet, start + place, pack("!H", partial)), kind, size, start, place)


def kinds_of(*, is_ipv4: bool, protocol: int) -> list[int]:
    """Return the kinds of super-packet that a protocol has."""
    if protocol == UDP:
        return [UDP_L4]
    return [TCPV4, TCPV4 | ECN] if is_ipv4 else [TCPV6, TCPV6 | ECN]


@st.composite
def undone_packets(draw: st.DrawFn, flow: str, *, plain: bool = False) -> Undone:
    """Draw what a kernel leaves undone: a flow's super-packet, or a packet of any size.

    Args:
        draw: Hypothesis.
        flow: as `firezone_filter.testing` writes it.
        plain: whether no packet has IPv4 options or IPv6 extension headers.
    """
    is_ipv4 = "[" not in flow
    protocol = draw(st.sampled_from([TCP, UDP]))
    more = 0 if plain else draw(st.sampled_from([0, 8]))
    layout = {"options": b"\1" * more, "identification": draw(st.integers(0, 0xFFFF))}
    extensions = [] if is_ipv4 or not more else [destination_options()]
    # A pattern that repeats nowhere, so that no piece can stand for another.
    length = draw(st.integers(0, 4_000) | st.integers(60_000, 65_000))
    seed = draw(st.binary(min_size=1, max_size=7))
    data = (seed * (length // len(seed) + 1))[:length]
    build = tcp if protocol == TCP else udp
    packet = build(flow, data, extensions=extensions, **layout)  # type: ignore[arg-type]
    start = (20 if is_ipv4 else 40) + more
    if protocol == TCP:
        flags = draw(st.sampled_from([0x10, 0x18, 0x19, 0x90]))
        packet = patched(packet, start + 13, bytes([flags]))
    if length and draw(st.booleans()):
        kind = draw(st.sampled_from(kinds_of(is_ipv4=is_ipv4, protocol=protocol)))
        size = draw(st.integers(max(1, length // 64), 1_400) | st.just(max(1, length - 1)))
        return undone(packet, protocol, start, kind=kind, size=size)
    return undone(packet, protocol, start)
