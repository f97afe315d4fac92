"""Rewriting addresses and ports of packets, with the checksums that cover them.

This module knows bytes alone; the NAT knows which address replaces which. Checksums are updated
for the difference (RFC 1624), never computed anew, so a wrong one stays wrong. The one's
complement sum of 16-bit words equals, modulo 0xffff, the big-endian number that the same bytes
make (RFC 1071; 0x10000 is 1 modulo 0xffff): one Python integer sums any number of words at once.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from firezone_filter.compiled.twins import compiled
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import ECHO_ID_AT, ICMP_HEADER
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV4_LENGTH,
    IPV6_LENGTH,
    TCP,
    UDP,
)

_WORD = Struct("!H")
_number = int.from_bytes

# Checksums are sums modulo this number.
_MODULUS: Final = 0xFFFF

# Indexes in the IP header, by the length of an address.
_SOURCE_AT: Final = {4: 12, 16: 8}
_DESTINATION_AT: Final = {4: 16, 16: 24}
_IPV4_CHECKSUM_AT: Final = 10

# Indexes in the transport header.
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMPV4: 2, ICMPV6: 2}
_SOURCE_PORT_AT: Final = 0
_DESTINATION_PORT_AT: Final = 2
_ICMP_CHECKSUM_AT: Final = 2


def difference(old: bytes, new: bytes) -> int:
    """Return the change of a sum of words when *new* replaces *old*.

    Both are equally long, and start at an even offset of the bytes that the checksum covers.
    """
    pad = b"\x00" * (len(old) % 2)
    return (int.from_bytes(new + pad) - int.from_bytes(old + pad)) % _MODULUS


def adjust(checksum: int, change: int) -> int:
    """Return *checksum* updated for a change of its sum of words (RFC 1624, eqn. 3).

    A wrong checksum stays as wrong as it was: the receiver must be able to see that the packet
    did not arrive intact.
    """
    # The checksum is the complement of the sum, so it falls as the sum grows.
    changed = checksum - change
    return changed if changed >= 0 else changed + _MODULUS


def adjust_udp(checksum: int, change: int) -> int:
    """Return a UDP *checksum* updated like `adjust`; 0 means no checksum, and stays 0 (RFC 768).

    A result of 0 is sent as 0xffff.
    """
    if checksum == 0:
        return 0
    return adjust(checksum, change) or _MODULUS


class Rewriting(NamedTuple):
    """The changes to the packets of one flow in one direction, prepared once for all of them."""

    address: bytes
    """The new source or destination address."""

    address_at: int
    """Index of that address in the packet."""

    port: bytes
    """The new port or echo id, in network byte order."""

    port_at: int
    """Index of that port or id in the transport header."""

    checksum_at: int
    """Index of the checksum in the transport header."""

    header_change: int
    """Change of the sum behind the IPv4 header checksum."""

    transport_change: int
    """Change of the sum behind the transport checksum."""

    is_udp: bool
    """Whether a checksum of 0 means that there is none."""


def prepare(
    protocol: int,
    addresses: tuple[bytes, bytes],
    ports: tuple[int, int],
    *,
    source_address: bool,
) -> Rewriting:
    """Prepare the rewriting of a flow in one direction.

    One address changes, and at the other end the port, where it is the client's.

    Args:
        protocol: TCP, UDP, ICMP or ICMPv6 (echo).
        addresses: the old and the new address.
        ports: the old and the new port or echo id.
        source_address: whether source address and destination port change, else destination
            address and source port.
    """
    old, new = addresses
    address_change = difference(old, new)
    old_port, new_port = ports
    # All transport checksums but that of ICMPv4 cover the addresses, in a pseudo-header
    # (RFC 792; RFC 4443, section 2.3).
    covered = 0 if protocol == ICMPV4 else address_change
    if protocol in (TCP, UDP):
        port_at = _DESTINATION_PORT_AT if source_address else _SOURCE_PORT_AT
    else:
        port_at = ECHO_ID_AT
    return Rewriting(
        address=new,
        address_at=(_SOURCE_AT if source_address else _DESTINATION_AT)[len(new)],
        port=_WORD.pack(new_port),
        port_at=port_at,
        checksum_at=_CHECKSUM_AT[protocol],
        header_change=address_change,
        transport_change=(covered + new_port - old_port) % _MODULUS,
        is_udp=protocol == UDP,
    )


def rewrite(packet: bytes, transport: int, rewriting: Rewriting) -> bytes:
    """Return *packet* rewritten; *transport* is the index of its transport header.

    A quote may be cut off before the checksum, which is then left out.
    """
    changed = bytearray(packet)
    _rewrite_address(changed, rewriting.address, rewriting.address_at, rewriting.header_change)
    at = transport + rewriting.port_at
    changed[at : at + 2] = rewriting.port
    at = transport + rewriting.checksum_at
    if at + 2 <= len(changed):
        (checksum,) = _WORD.unpack_from(changed, at)
        adjusted = adjust_udp if rewriting.is_udp else adjust
        _WORD.pack_into(changed, at, adjusted(checksum, rewriting.transport_change))
    return bytes(changed)


def _structs(
    size: int, protocol: int
) -> tuple[Callable[[bytes], tuple[Any, ...]], Callable[..., bytes], int]:
    """Return functions that unpack and pack packets up to what changes last, and where that ends.

    Args:
        size: bytes of an address.
        protocol: TCP, UDP, ICMP or ICMPv6 (echo).
    """
    # The bytes in front of the ends, the last two of them as a number: the IPv4 header checksum,
    # or next header and hop limit of IPv6.
    head = f"!{_SOURCE_AT[size] - 2}sH" if size == IPV6_LENGTH else f"!{_IPV4_CHECKSUM_AT}sH"
    has_ports = protocol in (TCP, UDP)
    ends = 2 * size + (4 if has_ports else 0)
    between = _CHECKSUM_AT[protocol] - (4 if has_ports else 0)
    echo_id = 0 if has_ports else 2
    unpack = Struct(f"{head}{ends}x{between}sH{echo_id}x")
    return unpack.unpack_from, Struct(f"{head}{ends}s{between}sH").pack, unpack.size


# By the arguments of `_structs`. Made anew for each flow, they would cost 2 µs.
_STRUCTS: Final = {
    (size, protocol): _structs(size, protocol)
    for size, protocol in (
        (IPV4_LENGTH, TCP),
        (IPV6_LENGTH, TCP),
        (IPV4_LENGTH, UDP),
        (IPV6_LENGTH, UDP),
        (IPV4_LENGTH, ICMPV4),
        (IPV6_LENGTH, ICMPV6),
    )
}


@compiled
class FlowRewriting:
    """The rewriting of a flow whose packets have no IPv4 options or IPv6 extension headers.

    Addresses and ports are the same in all its packets, so they are put in as one piece: one
    unpacking and one packing take 310 ns, where `rewrite` takes 900 ns.
    """

    __slots__ = (
        "_change",
        "_ends",
        "_header_change",
        "_id",
        "_least",
        "_read",
        "_rest_at",
        "_write",
    )

    def __init__(
        self,
        key: bytes,
        protocol: int,
        address: bytes,
        port: int,
        outbound: bool,  # noqa: FBT001
    ) -> None:
        """Prepare the rewriting.

        Args:
            key: the flow key of its packets.
            protocol: TCP, UDP, ICMP or ICMPv6 (echo).
            address: the new far address.
            port: the new port or echo id at the client's end.
            outbound: whether the client sends the packets.
        """
        size = len(address)
        near, far, new = key[:size], key[size : 2 * size], _WORD.pack(port)
        address_change = _number(address) - _number(far if outbound else near)
        ends = near + address if outbound else address + far
        self._id = b""
        # The transport checksums cover the addresses, in a pseudo-header, but that of ICMPv4
        # (RFC 792; RFC 4443, section 2.3).
        if protocol in (TCP, UDP):
            ends += new + key[-2:] if outbound else key[2 * size : -2] + new
            change = _number(ends) - _number(key)
        else:
            self._id = new
            change = port - _number(key[-2:]) + (address_change if protocol == ICMPV6 else 0)
        self._ends, self._change = ends, change % _MODULUS
        # IPv6 has no header checksum.
        self._header_change = address_change % _MODULUS if size == IPV4_LENGTH else 0
        # The least checksum: in UDP 0 means that there is none, and is never a result (RFC 768).
        self._least = 1 if protocol == UDP else 0
        self._read, self._write, self._rest_at = _STRUCTS[size, protocol]

    def apply(self, packet: bytes) -> bytes:
        """Return a packet of the flow rewritten.

        Raises:
            struct.error: the packet is too short to be one.
        """
        # As `adjust` and `adjust_udp` do it; calling them would take 100 ns.
        head, header, between, checksum = self._read(packet)
        header -= self._header_change
        if header < 0:
            header += _MODULUS
        least = self._least
        if checksum >= least:
            checksum -= self._change
            if checksum < least:
                checksum += _MODULUS
        changed = self._write(head, header, self._ends, between, checksum)
        return changed + self._id + packet[self._rest_at :]


def rewrite_address(packet: bytes, address: bytes, *, source: bool) -> bytes:
    """Return *packet* with another source or destination address, and no other change.

    The IPv4 header checksum is updated; a transport checksum is not. That is right for later
    fragments, which have no transport header, and for the outer header of an ICMP error.
    """
    at = (_SOURCE_AT if source else _DESTINATION_AT)[len(address)]
    changed = bytearray(packet)
    old = packet[at : at + len(address)]
    _rewrite_address(changed, address, at, difference(old, address))
    return bytes(changed)


def far_address(packet: bytes, *, outbound: bool) -> bytes:
    """Return the far address of *packet*: outbound its destination, inbound its source."""
    size = IPV4_LENGTH if packet[0] >> 4 == IPV4 else IPV6_LENGTH
    at = (_DESTINATION_AT if outbound else _SOURCE_AT)[size]
    return packet[at : at + size]


def rewrite_error(
    packet: bytes, error: Headers, quoted: Headers, rewriting: Rewriting, *, source: bool
) -> bytes:
    """Return an ICMP error rewritten together with the packet that it quotes.

    Args:
        packet: the error.
        error: its headers.
        quoted: the headers of the quote.
        rewriting: how the quoted packet changes.
        source: whether the new address replaces the error's source, else its destination.
    """
    quote_at = error.transport + ICMP_HEADER
    quote = packet[quote_at:]
    new_quote = rewrite(quote, quoted.transport, rewriting)
    outer = bytearray(rewrite_address(packet[:quote_at], rewriting.address, source=source))
    change = difference(quote, new_quote)
    if error.protocol == ICMPV6:
        change += difference(error.source if source else error.destination, rewriting.address)
    at = error.transport + _ICMP_CHECKSUM_AT
    (checksum,) = _WORD.unpack_from(outer, at)
    _WORD.pack_into(outer, at, adjust(checksum, change % _MODULUS))
    return bytes(outer) + new_quote


def _rewrite_address(packet: bytearray, address: bytes, at: int, change: int) -> None:
    packet[at : at + len(address)] = address
    if len(address) == IPV4_LENGTH:
        (checksum,) = _WORD.unpack_from(packet, _IPV4_CHECKSUM_AT)
        _WORD.pack_into(packet, _IPV4_CHECKSUM_AT, adjust(checksum, change))
