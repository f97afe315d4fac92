"""Random packets: built right, of few flows, and then sometimes made *almost* right."""

import random
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import pairwise
from struct import pack
from typing import TypeVar

from firezone_filter import Direction
from firezone_filter.testing import (
    ACK,
    FIN,
    RST,
    SYN,
    Extension,
    Layout,
    fragment,
    fragment_header,
    hop_by_hop,
    icmp,
    icmp_error,
    ip,
    ip_fragment,
    patched,
    resized,
    tcp,
    udp,
)
from tests.model import packets
from tests.model.nat import updated
from tests.numbers import AUTHENTICATION, DESTINATION_OPTIONS, ESP, GRE, ICMPV4, ICMPV6, TCP, UDP
from tests.property.pools import FAR, INBOUND, ODD, OUTBOUND, OWN_TEXT, PORTS, PROXIES, TUNNEL
from tests.scenes import at

T = TypeVar("T")

FLAGS = (
    *(SYN, ACK, ACK, ACK | 0x08, FIN | ACK, FIN),
    *(RST, RST | ACK, SYN | ACK, SYN | RST, SYN | FIN),
)
ICMP_TYPES = {
    4: (8,) * 9 + (0, 0, 0, 3, 4, 5, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 18, 40, 42, 43),
    6: (128,) * 9
    + (129, 129, 129, 0, 1, 2, 3, 4, 5, 127, 133, 136, 137, 138, 139, 139, 140, 160, 161, 200),
}
ANSWERS = {
    4: {8: 0, 13: 14, 15: 16, 17: 18, 42: 43},
    6: {128: 129, 139: 140, 160: 161},
}
"""By request."""

OTHERS = (ESP, GRE, 132, ICMPV6, ICMPV4, 255)
"""Protocols without ports, and the ICMP of the other family."""

ICMP = {4: ICMPV4, 6: ICMPV6}
ICMP_ERRORS = {4: (3, 11, 12) * 5 + (4, 5), 6: (1, 2, 3, 4) * 5 + (0, 5, 137)}

NO_OPTIONS = b""
OPTIONS = (
    b"\1" * 8,
    b"\x07\x07\4" + bytes(5),  # record route
    b"\1\1\1\0",
    b"\x07\x04\0\0",
    b"\x83\x04\4\0",  # loose source route
    b"\x07\5\0\0",  # runs past the header
    b"\x07\1\0\0",  # shorter than itself
)
PIECES = ((1, 0), (1, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 3), (0, 5))
"""Whether more is to come, and the offset in units of 8 bytes."""


def opposite(direction: Direction) -> Direction:
    return INBOUND if direction is OUTBOUND else OUTBOUND


def version_of(packet: bytes) -> int:
    return packet[0] >> 4


def ends_of(packet: bytes) -> tuple[bytes, bytes]:
    """Return source and destination of a packet that has its header."""
    at, size = (12, 4) if version_of(packet) == 4 else (8, 16)
    return packet[at : at + size], packet[at + size : at + 2 * size]


def flow_of(source: bytes, destination: bytes) -> str:
    return f"{ip_address(source)} > {ip_address(destination)}"


def turned(packet: bytes, flags: int | None = None) -> bytes:
    """Answer a packet: swap its ends; a request becomes its answer, and the reverse.

    Everything else stays, checksums included: they do not mind the order of their words.

    Args:
        packet: one that is not malformed, and no later fragment.
        flags: of TCP, if others than those of the packet.
    """
    read = packets.parse(packet)
    assert read is not None
    source, destination = ends_of(packet)
    at = 12 if read.version == 4 else 8
    packet = patched(packet, at, destination + source)
    transport = read.transport_at
    assert not read.is_later_fragment
    if read.protocol in (TCP, UDP):
        ports = packet[transport : transport + 4]
        packet = patched(packet, transport, ports[2:] + ports[:2])
    elif read.is_icmp:
        kind = packet[transport]
        pairs = ANSWERS[read.version]
        other = (pairs | {answer: request for request, answer in pairs.items()}).get(kind, kind)
        packet = with_word(packet, transport, 2, bytes([other, packet[transport + 1]]))
    return packet if flags is None else flagged(packet, flags)


def flagged(packet: bytes, flags: int) -> bytes:
    """Give a TCP segment other flags, and its checksum; other packets stay as they are."""
    read = packets.parse(packet)
    assert read is not None
    if read.protocol != TCP or read.is_later_fragment:
        return packet
    place = read.transport_at + 12
    return with_word(packet, place, 4, bytes([packet[place], flags]))


def with_word(packet: bytes, place: int, checksum: int, new: bytes) -> bytes:
    """Replace 2 bytes that a checksum covers, *checksum* bytes behind them."""
    old, total_at = packet[place : place + 2], place + checksum
    total = updated(int.from_bytes(packet[total_at : total_at + 2]), old, new)
    return patched(patched(packet, place, new), total_at, total.to_bytes(2))


def error_about(quote: bytes, cut: int | None) -> bytes:
    """Build "fragmentation needed" or "packet too big", from the quote's destination."""
    source, destination = ends_of(quote)
    kind, code = (3, 4) if version_of(quote) == 4 else (2, 0)
    return icmp_error(flow_of(destination, source), kind, code, quoting=quote[:cut])


class Wire:
    """Draws packets from a source of randomness."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def pick(self, pool: Sequence[T]) -> T:
        return self.draw.choice(pool)

    def sometimes(self, probability: float) -> bool:
        return self.draw.random() < probability

    # --- Fresh ones --------------------------------------------------------------------------

    def fresh(self, direction: Direction) -> bytes:
        """Build a packet between some client and some far address."""
        version = 4 if self.sometimes(0.6) else 6
        near, far = self.pick(TUNNEL[version]), self.far(version, direction)
        ends = (near, far) if direction is OUTBOUND else (far, near)
        packet = self.between(version, *ends)
        read = packets.parse(packet)
        if read is not None and read.protocol == UDP and self.sometimes(0.3):
            # A datagram may go without a checksum.
            return patched(packet, min(read.transport_at + 6, len(packet) - 2), b"\0\0")
        return packet

    def far(self, version: int, direction: Direction) -> str:
        real, odd = FAR[version], (*ODD[version], *OWN_TEXT[version], *TUNNEL[version])
        # Proxy addresses are real to the client alone.
        usual = PROXIES[version] if direction is OUTBOUND else real
        pools = (real,) * 6 + (usual,) * 8 + (odd,) * 2 + (PROXIES[version],)
        return self.pick(self.pick(pools))

    def between(self, version: int, source: str, destination: str) -> bytes:
        protocol, body = self.transport(version, source, destination)
        layout = self.layout(version)
        more, units = self.pick(PIECES) if self.sometimes(0.12) else (0, 0)
        if more:
            body = body[: len(body) // 8 * 8] or body
        flow = f"{source} > {destination}"
        if version == 4 and (more or units):
            return ip_fragment(
                flow,
                protocol,
                body,
                start=8 * units,
                more=bool(more),
                identification=self.draw.randrange(3),
                options=layout.get("options", b""),
            )
        if version == 6 and (more or units or self.sometimes(0.08)):
            piece = fragment_header(
                8 * units, more=bool(more), identification=self.draw.randrange(3)
            )
            chain = list(layout.get("extensions", ()))
            chain.insert(self.draw.randrange(len(chain) + 1), piece)
            layout["extensions"] = chain
        return ip(flow, protocol, body, **layout)

    def layout(self, version: int) -> Layout:
        if version == 4:
            options = self.pick(OPTIONS) if self.sometimes(0.12) else NO_OPTIONS
            return {"options": options, "identification": self.draw.randrange(3)}
        chain = [self.extension() for _ in range(self.pick((0,) * 30 + (1, 1, 1, 2, 3, 7, 8, 9)))]
        if self.sometimes(0.05):
            chain.insert(0, hop_by_hop())
        return {"extensions": chain}

    def extension(self) -> Extension:
        kind = self.pick((DESTINATION_OPTIONS,) * 5 + (43, AUTHENTICATION, 0))
        # Type and segments left of a routing header; of the others, it says nothing.
        word = self.pick((b"\4\0", b"\4\0", b"\0\0", b"\4\1")) if kind == 43 else b"\1\4"
        return Extension(kind, b"\0" + word + bytes(4))

    def transport(self, version: int, source: str, destination: str) -> tuple[int, bytes]:
        """Build what stands behind the IP header, with the checksum that it then has."""
        flow = f"{at(source, self.pick(PORTS))} > {at(destination, self.pick(PORTS))}"
        data = self.draw.randbytes(self.pick((0, 0, 1, 4, 8, 16, 40)))
        protocol = self.pick((TCP,) * 6 + (UDP,) * 6 + (ICMP[version],) * 6 + OTHERS)
        if protocol == TCP:
            packet = tcp(flow, data, flags=self.pick(FLAGS))
        elif protocol == UDP:
            packet = udp(flow, data)
        elif protocol == ICMP[version]:
            kind, rest = self.pick(ICMP_TYPES[version]), pack("!HH", self.pick(PORTS), 7)
            packet = icmp(flow, kind, rest=rest, body=data)
        else:
            return protocol, data
        return protocol, packet[20 if version == 4 else 40 :]

    # --- About others ------------------------------------------------------------------------

    def error(self, quote: bytes) -> bytes:
        """Build an ICMP error about a packet, mostly one that may pass."""
        version = version_of(quote)
        far, near = ends_of(quote)[::-1]
        if self.sometimes(0.25):
            far = ip_address(self.pick(FAR[version])).packed
        if self.sometimes(0.05):
            near = ip_address(self.pick(TUNNEL[version])).packed
        if self.sometimes(0.4):
            # About where eight bytes of the transport header end.
            least = 20 if version == 4 else 40
            quote = quote[: self.draw.randrange(least + 7, max(least + 12, len(quote)))]
        layout = self.layout(version) if self.sometimes(0.15) else {}
        kind = self.pick(ICMP_ERRORS[version])
        rest = pack("!I", 1280)
        error = icmp_error(flow_of(far, near), kind, quoting=quote, rest=rest, **layout)
        return fragment(error, 0, more=True) if self.sometimes(0.03) else error

    def pieces(self, packet: bytes) -> list[bytes]:
        """Cut a whole packet into fragments, mostly in their order, some of them twice."""
        header = (packet[0] & 15) * 4 if version_of(packet) == 4 else 40
        length = len(packet) - header
        identification = self.draw.randrange(3)
        # The transport header in one piece, mostly: else the first fragment is malformed.
        places = range(8 if self.sometimes(0.2) else 24, length, 8)
        cuts = sorted(self.draw.sample(places, k=min(2, len(places))))
        bounds = [0, *cuts, length]
        cut = [
            fragment(packet, start, stop, identification=identification)
            for start, stop in pairwise(bounds)
        ]
        if self.sometimes(0.3):
            cut.append(self.pick(cut))
        if self.sometimes(0.1):
            self.draw.shuffle(cut)
        return cut

    def spoiled(self, packet: bytes) -> bytes:
        """Make a packet almost right."""
        draw = self.draw
        match draw.randrange(5):
            case 0:
                return packet[: draw.randrange(len(packet) + 1)]
            case 1:
                return packet + bytes(draw.randrange(1, 9))
            case 2:
                return patched(packet, draw.randrange(len(packet)), draw.randbytes(1))
            case 3:
                at = draw.randrange(min(10, len(packet)))
                return patched(packet, at, bytes([packet[at] ^ 1 << draw.randrange(8)]))
            case _:
                header = 20 if version_of(packet) == 4 else 40
                return resized(packet[: draw.randrange(header, len(packet) + 1)])
