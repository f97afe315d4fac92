"""The hand-written loop with the standard library alone: `ipaddress`, and a linear scan.

The headers are read as the library does it, with `struct`; then each network of the client
is asked in turn, the longest first.
"""

from bisect import insort
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from struct import Struct
from struct import error as StructError  # noqa: N812 - `error` says nothing

from benches.baselines import Judge, PortRule
from firezone_filter import Direction

_IPV4 = Struct("!B8xB2x4s4s").unpack_from
_IPV6 = Struct("!6xBx16s16s").unpack_from
_PORTS = Struct("!HH").unpack_from
_WITH_PORTS = (6, 17)

_Entry = tuple[IPv4Network | IPv6Network, str, list[PortRule]]


class Filter:
    """A list of networks for each client, and a port check."""

    def __init__(self) -> None:
        self._entries: dict[bytes, list[_Entry]] = {}

    def allow(self, client: bytes, network: str, resource_id: str, rules: list[PortRule]) -> None:
        entry = ip_network(network), resource_id, rules
        insort(self._entries.setdefault(client, []), entry, key=lambda one: -one[0].prefixlen)

    def outbound(self, packet: bytes) -> str | None:
        try:
            protocol, near, far, ports = _read(packet)
        except (StructError, IndexError):
            return None
        return self._answer(protocol, near, far, ports[1])

    def inbound(self, packet: bytes) -> str | None:
        try:
            protocol, far, near, ports = _read(packet)
        except (StructError, IndexError):
            return None
        return self._answer(protocol, near, far, ports[0])

    def _answer(self, protocol: int, near: bytes, far: bytes, port: int) -> str | None:
        address = IPv4Address(far) if len(far) == 4 else IPv6Address(far)
        for network, resource_id, rules in self._entries.get(near, ()):
            if address in network:
                for allowed, first, last in rules:
                    if allowed == protocol and first <= port <= last:
                        return resource_id
                return None
        return None

    def judge(self, direction: Direction) -> Judge:
        return self.outbound if direction is Direction.OUTBOUND else self.inbound


def _read(packet: bytes) -> tuple[int, bytes, bytes, tuple[int, int]]:
    """Return protocol, source, destination and ports."""
    if packet[0] >> 4 == 4:
        first, protocol, source, destination = _IPV4(packet)
        start = (first & 15) * 4
    else:
        protocol, source, destination = _IPV6(packet)
        start = 40
    ports = _PORTS(packet, start) if protocol in _WITH_PORTS else (0, 0)
    return protocol, source, destination, ports
