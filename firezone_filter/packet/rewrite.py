"""Rewriting addresses and ports of packets, with every checksum that covers them.

Bytes only: which address takes the place of which, the NAT knows.
"""

from struct import Struct
from typing import Final, NamedTuple

from firezone_filter.packet.checksums import adjust, adjust_udp, difference
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import ICMP_HEADER
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV4_HEADER,
    IPV4_LENGTH,
    IPV6_LENGTH,
    TCP,
    UDP,
)

_WORD = Struct("!H")

_WRITE_WORD = _WORD.pack_into
_WRITE_ENDS = Struct("!H12s").pack_into  # IPv4: header checksum, addresses, ports

_IPV6_ENDS: Final = slice(8, 44)

# Where things are in an IP header: by the length of an address.
_SOURCE_AT: Final = {4: 12, 16: 8}
_DESTINATION_AT: Final = {4: 16, 16: 24}
_IPV4_CHECKSUM_AT: Final = 10

# Where they are in a transport header.
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMPV4: 2, ICMPV6: 2}
_SOURCE_PORT_AT: Final = 0
_DESTINATION_PORT_AT: Final = 2
ECHO_ID_AT: Final = 4
_ICMP_CHECKSUM_AT: Final = 2


class Rewriting(NamedTuple):
    """How the packets of one flow change in one direction: prepared once, applied often."""

    address: bytes
    """What takes the place of the source or destination address."""

    address_at: int
    """Index of that address in the packet."""

    port: bytes
    """What takes the place of a port or echo id, in network byte order."""

    port_at: int
    """Index of that port or id in the transport header."""

    checksum_at: int
    """Index of the checksum in the transport header."""

    header_change: int
    """What the IPv4 header checksum's sum changes by."""

    transport_change: int
    """What the transport checksum's sum changes by."""

    is_udp: bool
    """Whether a checksum of 0 means that there is none."""


def prepare(
    protocol: int,
    addresses: tuple[bytes, bytes],
    ports: tuple[int, int],
    *,
    source_address: bool,
    source_port: bool,
) -> Rewriting:
    """Prepare the rewriting of a flow in one direction.

    Args:
        protocol: TCP, UDP, ICMP or ICMPv6 (echo).
        addresses: the old and the new address.
        ports: the old and the new port or echo id.
        source_address: whether the source address changes, else the destination.
        source_port: whether the source port changes, else the destination's.
    """
    old, new = addresses
    address_change = difference(old, new)
    old_port, new_port = (_WORD.pack(port) for port in ports)
    # ICMPv4 alone has no pseudo-header that covers the addresses (RFC 792, RFC 4443).
    covered = 0 if protocol == ICMPV4 else address_change
    if protocol in (TCP, UDP):
        port_at = _SOURCE_PORT_AT if source_port else _DESTINATION_PORT_AT
    else:
        port_at = ECHO_ID_AT
    return Rewriting(
        address=new,
        address_at=(_SOURCE_AT if source_address else _DESTINATION_AT)[len(new)],
        port=new_port,
        port_at=port_at,
        checksum_at=_CHECKSUM_AT[protocol],
        header_change=address_change,
        transport_change=(covered + difference(old_port, new_port)) % 0xFFFF,
        is_udp=protocol == UDP,
    )


def rewrite(packet: bytes, transport: int, rewriting: Rewriting) -> bytes:
    """Return *packet* rewritten; *transport* is the index of its transport header.

    What lies behind the end of the packet is left alone: a quote may be cut short.
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


class FlowRewriting:
    """How the packets of one TCP or UDP flow change, without options in front of the ports.

    Both addresses and both ports of a flow never change, so they are put in as one piece:
    an established flow takes 400 ns, where `rewrite` takes 900 ns.
    """

    __slots__ = ("_adjust", "_change", "_checksum_at", "_ends", "_header_change", "_read")

    def __init__(self, ends: bytes, transport: int, rewriting: Rewriting) -> None:
        """Prepare for packets whose addresses and ports become *ends*.

        Args:
            ends: both addresses and both ports, as they stand in a packet.
            transport: the index of the transport header: 20 in IPv4, 40 in IPv6.
            rewriting: the change that it amounts to.
        """
        self._ends = ends
        self._change = rewriting.transport_change
        self._checksum_at = at = transport + rewriting.checksum_at
        self._adjust = adjust_udp if rewriting.is_udp else adjust
        self._header_change: int | None = None
        if transport == IPV4_HEADER:
            self._header_change = rewriting.header_change
            # Both checksums in one unpacking.
            self._read = Struct(f"!10xH{at - 12}xH").unpack_from
        else:
            self._read = Struct(f"!{at}xH").unpack_from

    def apply(self, packet: bytes) -> bytes:
        """Return a packet of the flow rewritten; its fixed headers are there."""
        changed = bytearray(packet)
        if self._header_change is None:
            (checksum,) = self._read(packet)
            changed[_IPV6_ENDS] = self._ends
        else:
            header, checksum = self._read(packet)
            header = adjust(header, self._header_change)
            _WRITE_ENDS(changed, _IPV4_CHECKSUM_AT, header, self._ends)
        _WRITE_WORD(changed, self._checksum_at, self._adjust(checksum, self._change))
        return bytes(changed)


def rewrite_address(packet: bytes, address: bytes, *, source: bool) -> bytes:
    """Return *packet* with another source or destination address, its transport untouched.

    For later fragments, which have no transport header.
    """
    at = (_SOURCE_AT if source else _DESTINATION_AT)[len(address)]
    changed = bytearray(packet)
    old = packet[at : at + len(address)]
    _rewrite_address(changed, address, at, difference(old, address))
    return bytes(changed)


def far_address(packet: bytes, *, outbound: bool) -> bytes:
    """Return the address of *packet* that is not the client's."""
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
        source: whether the error's source takes the new address, else its destination.
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
    _WORD.pack_into(outer, at, adjust(checksum, change % 0xFFFF))
    return bytes(outer) + new_quote


def _rewrite_address(packet: bytearray, address: bytes, at: int, change: int) -> None:
    packet[at : at + len(address)] = address
    if len(address) == IPV4_LENGTH:
        (checksum,) = _WORD.unpack_from(packet, _IPV4_CHECKSUM_AT)
        _WORD.pack_into(packet, _IPV4_CHECKSUM_AT, adjust(checksum, change))
