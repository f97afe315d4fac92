"""The 5-tuple of a packet, for reports: addresses, protocol and ports, or ICMP type and code.

It reads as much as it can of any bytes and refuses nothing, so it must never decide about a
packet; the gateway decides by `packet.headers`, which is strict.
"""

from ipaddress import ip_address
from typing import Final

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented

_IPV4_HEADER: Final = 20
_IPV6_HEADER: Final = 40

_TCP: Final = 6
_UDP: Final = 17
_AUTHENTICATION: Final = 51
_FRAGMENT: Final = 44
_OPTIONS: Final = frozenset({0, 43, 60})
"""Hop-by-hop options, routing, destination options: all with the same layout."""

_EXTENSIONS: Final = _OPTIONS | {_AUTHENTICATION, _FRAGMENT}
_MAX_EXTENSIONS: Final = 8
"""As many as the gateway walks; a packet full of them must not take a second."""

_WITH_PORTS: Final = frozenset({_TCP, _UDP, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite: both ports are their first four bytes."""

_ICMP: Final = frozenset({1, 58})
"""ICMP and ICMPv6: type and code are their first two bytes."""

_NAMES: Final = {1: "icmp", 2: "igmp", _TCP: "tcp", _UDP: "udp", 41: "ipv6", 47: "gre"} | {
    50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp"
}  # fmt: skip


@documented
@frozen
class FiveTuple:
    """The addresses, protocol and ports that all packets of one direction of a flow share."""

    source: bytes
    """Source address, packed."""

    destination: bytes
    """Destination address, packed."""

    protocol: int
    """IANA protocol number; that of the last extension header read if they do not end."""

    source_port: int | None = None
    """`None` for a protocol without ports, a later fragment, or a packet cut short."""

    destination_port: int | None = None
    """As `source_port`."""

    icmp_type: int | None = None
    """`None` for any protocol but ICMP and ICMPv6, a later fragment, or a packet cut short."""

    icmp_code: int | None = None
    """As `icmp_type`."""

    def ends(self) -> tuple[str, str]:
        """Return source and destination as text, with their ports."""
        return (
            _end(self.source, self.source_port),
            _end(self.destination, self.destination_port),
        )

    @property
    def protocol_name(self) -> str:
        """The usual name of the protocol, with type and code of ICMP."""
        name = _NAMES.get(self.protocol, f"protocol {self.protocol}")
        if self.icmp_type is None:
            return name
        return f"{name} type {self.icmp_type} code {self.icmp_code}"


def _end(address: bytes, port: int | None) -> str:
    text = str(ip_address(address))
    if port is None:
        return text
    return f"{text}:{port}" if len(address) == 4 else f"[{text}]:{port}"  # noqa: PLR2004 - bytes


def read_addresses(packet: bytes) -> tuple[bytes, bytes] | None:
    """Return source and destination, packed, even of a packet that is otherwise broken.

    Returns:
        `None` if it is neither IPv4 nor IPv6, or shorter than a header.
    """
    version = packet[0] >> 4 if packet else None
    if version == 4 and len(packet) >= _IPV4_HEADER:  # noqa: PLR2004 - IP version
        return packet[12:16], packet[16:20]
    if version == 6 and len(packet) >= _IPV6_HEADER:  # noqa: PLR2004 - IP version
        return packet[8:24], packet[24:40]
    return None


def read_five_tuple(packet: bytes) -> FiveTuple:
    """Return the 5-tuple of *packet*, for which `read_addresses` must have found addresses."""
    if packet[0] >> 4 == 4:  # noqa: PLR2004 - IP version
        protocol, transport_at = _ipv4_transport(packet)
        source, destination = packet[12:16], packet[16:20]
    else:
        protocol, transport_at = _ipv6_transport(packet)
        source, destination = packet[8:24], packet[24:40]
    start = b"" if transport_at is None else packet[transport_at : transport_at + 4]
    if protocol in _WITH_PORTS and len(start) == 4:  # noqa: PLR2004 - two ports
        ports = int.from_bytes(start[:2], "big"), int.from_bytes(start[2:], "big")
        return FiveTuple(source, destination, protocol, *ports)
    if protocol in _ICMP and len(start) >= 2:  # noqa: PLR2004 - type and code
        return FiveTuple(source, destination, protocol, icmp_type=start[0], icmp_code=start[1])
    return FiveTuple(source, destination, protocol)


def _ipv4_transport(packet: bytes) -> tuple[int, int | None]:
    header = (packet[0] & 0x0F) * 4
    later_fragment = int.from_bytes(packet[6:8], "big") & 0x1FFF
    return packet[9], None if later_fragment or header < _IPV4_HEADER else header


def _ipv6_transport(packet: bytes) -> tuple[int, int | None]:
    protocol, at = packet[6], _IPV6_HEADER
    for _ in range(_MAX_EXTENSIONS):
        if protocol not in _EXTENSIONS:
            return protocol, at
        if len(packet) < at + 8:
            return protocol, None
        kind, protocol = protocol, packet[at]
        if kind == _FRAGMENT and int.from_bytes(packet[at + 2 : at + 4], "big") >> 3:
            return protocol, None
        at += _extension_size(kind, packet[at + 1])
    return protocol, None if protocol in _EXTENSIONS else at


def _extension_size(kind: int, length: int) -> int:
    if kind == _FRAGMENT:
        return 8
    return (length + 2) * 4 if kind == _AUTHENTICATION else (length + 1) * 8
