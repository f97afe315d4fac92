"""What the bytes say (section 4: the headers, quotes, replies), and checksums."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from .values import ICMP, OUTBOUND, TCP, UDP, Address

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
EXTENSIONS = {HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION}
MAX_EXTENSIONS = 8
IPV4_END, IPV4_NOP = 0, 1
IPV4_SOURCE_ROUTES = {131, 137}  # loose, strict
MAX_LENGTH = 65_535

# The length of the transport header's fixed part; a quote holds at least 8 bytes of it.
FIXED_PART = {TCP: 20, UDP: 8, 1: 8, 58: 8}
QUOTED_PART = 8

# Quench, redirects and undefined errors count as errors, though they never pass.
ICMP_ERRORS = {4: {3, 4, 5, 11, 12}, 6: {*range(128), 137}}
PASSABLE_ERRORS = {4: {3, 11, 12}, 6: {1, 2, 3, 4}}
LINK_ONLY = {4: {9, 10}, 6: {133, 134, 135, 136}}
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
# Other requests, and what answers them.
ANSWERS = {4: {13: 14, 15: 16, 17: 18, 42: 43}, 6: {139: 140, 160: 161}}


class MalformedError(Exception):
    """The bytes are no packet that the rules of section 4 accept."""


def demand(condition: bool) -> None:  # noqa: FBT001 - reads as a sentence
    """Refuse the packet unless `condition` holds."""
    if not condition:
        raise MalformedError


@dataclass(frozen=True)
class Fragment:
    """What the IPv4 header or the IPv6 fragment header says of a fragment."""

    identification: int
    offset: int  # of its data, in bytes
    more: bool
    data_at: int  # where in the packet its data begin; offsets count from here


@dataclass(frozen=True)
class Packet:
    """A packet whose headers are in order."""

    data: bytes
    version: int
    source: Address
    destination: Address
    protocol: int
    transport_at: int
    fragment: Fragment | None

    @property
    def is_later_fragment(self) -> bool:
        return self.fragment is not None and self.fragment.offset > 0

    @property
    def is_icmp(self) -> bool:
        return self.protocol == ICMP[self.version]

    @property
    def icmp_type(self) -> int | None:
        if not self.is_icmp or self.is_later_fragment:
            return None
        return self.data[self.transport_at]

    @property
    def is_icmp_error(self) -> bool:
        return self.icmp_type in ICMP_ERRORS[self.version]

    @property
    def source_port(self) -> int | None:
        return self._port(0)

    @property
    def destination_port(self) -> int | None:
        return self._port(2)

    def _port(self, at: int) -> int | None:
        if self.protocol not in (TCP, UDP) or self.is_later_fragment:
            return None
        return int.from_bytes(self.data[self.transport_at + at : self.transport_at + at + 2])

    def number(self, direction: str) -> int | None:
        """Return what filters look at beside the protocol: the resource's port, the ICMP type."""
        if self.is_icmp:
            return self.icmp_type
        return self.destination_port if direction == OUTBOUND else self.source_port

    @property
    def echo_id(self) -> int:
        return int.from_bytes(self.data[self.transport_at + 4 : self.transport_at + 6])

    @property
    def tcp_flags(self) -> int:
        return self.data[self.transport_at + 13]

    @property
    def judged_end(self) -> int:
        """How much of a first fragment's data was judged, in bytes from their begin."""
        assert self.fragment is not None
        headers = self.transport_at - self.fragment.data_at
        return headers + FIXED_PART.get(self.protocol, 0)


def parse(data: bytes) -> Packet | None:
    """Read a packet's headers; `None` if it is malformed."""
    return _read(data, quoted=False)


def parse_quote(data: bytes) -> Packet | None:
    """Read the packet that an ICMP error quotes: the same walk, lengths aside."""
    return _read(data, quoted=True)


def _read(data: bytes, *, quoted: bool) -> Packet | None:
    try:
        demand(len(data) > 0)
        version = data[0] >> 4
        demand(version in (4, 6))
        packet = _read_ipv4(data) if version == 4 else _read_ipv6(data)
        if not quoted:
            _check_length_field(packet)
            _check_fragment_length(packet)
        # ICMP belongs to IPv4 and ICMPv6 to IPv6, fragments included (rule 4).
        demand(packet.protocol != ICMP[6 if version == 4 else 4])
        if not packet.is_later_fragment:
            needed = FIXED_PART.get(packet.protocol, 0)
            if quoted:
                needed = min(needed, QUOTED_PART)
            demand(len(data) >= packet.transport_at + needed)
    except MalformedError:
        return None
    return packet


def _read_ipv4(data: bytes) -> Packet:
    demand(len(data) >= 20)
    header = (data[0] & 0x0F) * 4
    demand(header >= 20)
    demand(len(data) >= header)
    _check_options(data[20:header])
    identification, bits = struct.unpack_from("!HH", data, 4)
    offset, more = (bits & 0x1FFF) * 8, bool(bits & 0x2000)
    return Packet(
        data=data,
        version=4,
        source=IPv4Address(data[12:16]),
        destination=IPv4Address(data[16:20]),
        protocol=data[9],
        transport_at=header,
        fragment=Fragment(identification, offset, more, header) if offset or more else None,
    )


def _check_options(options: bytes) -> None:
    """Refuse options that are not well formed, and source routes (rule 2)."""
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == IPV4_END:
            return  # what follows is padding
        if kind == IPV4_NOP:
            at += 1
            continue
        demand(at + 1 < len(options))
        length = options[at + 1]
        demand(length >= 2)
        demand(at + length <= len(options))
        demand(kind not in IPV4_SOURCE_ROUTES)
        at += length


def _read_ipv6(data: bytes) -> Packet:
    demand(len(data) >= 40)
    protocol, at, walked = data[6], 40, 0
    fragment = None
    fragment_seen = False
    while protocol in EXTENSIONS:
        demand(walked < MAX_EXTENSIONS)
        demand(protocol != HOP_BY_HOP or walked == 0)
        demand(protocol != FRAGMENT or not fragment_seen)
        demand(len(data) >= at + 8)  # no extension header is shorter
        length = _extension_length(protocol, data[at + 1])
        demand(len(data) >= at + length)
        if protocol == ROUTING:
            kind, segments_left = data[at + 2], data[at + 3]
            demand(kind != 0)
            demand(segments_left == 0)
        walked += 1
        if protocol == FRAGMENT:
            fragment_seen = True
            bits, identification = struct.unpack_from("!HI", data, at + 2)
            offset, more = bits & 0xFFF8, bool(bits & 1)
            # Offset 0 with nothing to come is a whole packet (RFC 6946).
            if offset or more:
                fragment = Fragment(identification, offset, more, at + 8)
        protocol = data[at]
        at += length
        if fragment is not None and fragment.offset > 0:
            break  # what follows is data from the middle, no header
    return Packet(
        data=data,
        version=6,
        source=IPv6Address(data[8:24]),
        destination=IPv6Address(data[24:40]),
        protocol=protocol,
        transport_at=at,
        fragment=fragment,
    )


def _extension_length(protocol: int, field: int) -> int:
    if protocol == FRAGMENT:
        return 8
    if protocol == AUTHENTICATION:
        return (field + 2) * 4
    return (field + 1) * 8


def _check_length_field(packet: Packet) -> None:
    """Demand that the length field counts exactly the bytes handed in (rule 1)."""
    if packet.version == 4:
        demand(struct.unpack_from("!H", packet.data, 2)[0] == len(packet.data))
    else:
        demand(struct.unpack_from("!H", packet.data, 4)[0] + 40 == len(packet.data))


def _check_fragment_length(packet: Packet) -> None:
    """Demand that a fragment ends in bounds and, with more to come, on 8 bytes (rule 4)."""
    fragment = packet.fragment
    if fragment is None:
        return
    length = len(packet.data) - fragment.data_at
    # The whole would have the IPv4 header, or the extension headers before the fragment
    # header, in front of its data; neither the IPv6 header nor the fragment header counts.
    before = fragment.data_at if packet.version == 4 else fragment.data_at - 8 - 40
    demand(before + fragment.offset + length <= MAX_LENGTH)
    demand(not fragment.more or length % 8 == 0)


# Checksums ---------------------------------------------------------------------------


def fold(total: int) -> int:
    """Add in one's complement: carries go round to the low end."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def words(data: bytes) -> list[int]:
    """Cut into 16-bit words, an odd last byte padded with zero."""
    padded = data + b"\0" * (len(data) % 2)
    return list(struct.unpack(f"!{len(padded) // 2}H", padded))


def checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    return fold(sum(words(data))) ^ 0xFFFF


def pseudo_header(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    """Build what TCP, UDP and ICMPv6 checksums cover of the IP header."""
    if source.version == 4:
        return source.packed + destination.packed + struct.pack("!BBH", 0, protocol, length)
    return source.packed + destination.packed + struct.pack("!II", length, protocol)


# Replies -----------------------------------------------------------------------------

REPLY_LIMIT = {4: 576, 6: 1_280}
NETWORK_UNREACHABLE = {"no-translation", "not-internet"}


def unreachable(refused: Packet, reason: str) -> bytes:
    """Build the destination-unreachable that answers a refused packet."""
    network = reason in NETWORK_UNREACHABLE
    source, destination = refused.destination, refused.source
    if refused.version == 4:
        quote = refused.data[: REPLY_LIMIT[4] - 20 - 8]
        body = _icmp(b"", 3, 0 if network else 13, quote)
        head = struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, 0, 20 + len(body), 0, 0, 64, ICMP[4], 0),
            *(source.packed, destination.packed),
        )
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
    quote = refused.data[: REPLY_LIMIT[6] - 40 - 8]
    pseudo = pseudo_header(source, destination, ICMP[6], 8 + len(quote))
    body = _icmp(pseudo, 1, 3 if network else 1, quote)
    head = struct.pack("!IHBB", 6 << 28, len(body), ICMP[6], 64)
    return head + source.packed + destination.packed + body


def _icmp(pseudo: bytes, kind: int, code: int, quote: bytes) -> bytes:
    blank = struct.pack("!BBHI", kind, code, 0, 0) + quote
    return struct.pack("!BBHI", kind, code, checksum(pseudo + blank), 0) + quote
