"""The floor, and the hand-written loops with dpkt and py-radix.

The floor is what any decision in Python costs; the loops use dpkt and py-radix as their
documentation does, with packed addresses.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any

import dpkt
from dpkt.icmp import ICMP
from dpkt.icmp6 import ICMP6
from dpkt.ip import IP
from dpkt.ip6 import IP6
from dpkt.tcp import TCP
from dpkt.udp import UDP
from radix import Radix

from benches.baselines import Judge, PortRule
from firezone_filter import Direction

# Both addresses and both ports.
_FLOW: dict[int, Struct] = {4: Struct("!12x12s"), 6: Struct("!8x36s")}

# Tuples: `TCP | UDP` would be built anew for every packet.
_WITH_PORTS = (TCP, UDP)
_WITH_ID = (ICMP, ICMP6)


def floor(version: int, packet: bytes) -> Callable[[bytes], str | None]:
    """Return a function that knows one flow: one `unpack_from`, one `dict.get`."""
    unpack = _FLOW[version].unpack_from
    get = {unpack(packet)[0]: "permitted"}.get

    def look_up(packet: bytes) -> str | None:
        return get(unpack(packet)[0])

    return look_up


class Filter:
    """A table of networks for each client, and a port check."""

    def __init__(self) -> None:
        self._tables: dict[bytes, Any] = {}

    def allow(self, client: bytes, network: str, resource_id: str, rules: list[PortRule]) -> None:
        table = self._tables.setdefault(client, Radix())
        node = table.add(network)
        node.data["resource"] = resource_id
        node.data["filters"] = rules

    def outbound(self, packet: bytes) -> str | None:
        """Return the resource that permits a packet from a client."""
        try:
            ip = IP(packet) if packet[0] >> 4 == 4 else IP6(packet)
        except (dpkt.UnpackError, IndexError):
            return None
        table = self._tables.get(ip.src)
        if table is None:
            return None
        node = table.search_best(packed=ip.dst)
        if node is None:
            return None
        transport = ip.data
        port = transport.dport if isinstance(transport, _WITH_PORTS) else 0
        protocol = ip.p
        data = node.data
        for allowed, first, last in data["filters"]:
            if allowed == protocol and first <= port <= last:
                resource: str = data["resource"]
                return resource
        return None

    def inbound(self, packet: bytes) -> str | None:
        """Return the resource that permits a packet to a client."""
        try:
            ip = IP(packet) if packet[0] >> 4 == 4 else IP6(packet)
        except (dpkt.UnpackError, IndexError):
            return None
        table = self._tables.get(ip.dst)
        if table is None:
            return None
        node = table.search_best(packed=ip.src)
        if node is None:
            return None
        transport = ip.data
        port = transport.sport if isinstance(transport, _WITH_PORTS) else 0
        protocol = ip.p
        data = node.data
        for allowed, first, last in data["filters"]:
            if allowed == protocol and first <= port <= last:
                resource: str = data["resource"]
                return resource
        return None

    def judge(self, direction: Direction) -> Judge:
        return self.outbound if direction is Direction.OUTBOUND else self.inbound


class Nat:
    """Translates established flows: a dict for each direction; dpkt does the checksums."""

    def __init__(self) -> None:
        self._outbound: dict[tuple[int, int, bytes], tuple[bytes, int]] = {}
        self._inbound: dict[tuple[int, int, bytes], tuple[bytes, int]] = {}

    def add(self, protocol: int, port: int, proxy: bytes, resolved: bytes) -> None:
        self._outbound[protocol, port, proxy] = resolved, port
        self._inbound[protocol, port, resolved] = proxy, port

    def outbound(self, packet: bytes) -> bytes | None:
        """Return a packet to a proxy address as it goes on."""
        ip = IP(packet) if packet[0] >> 4 == 4 else IP6(packet)
        transport = ip.data
        if isinstance(transport, _WITH_PORTS):
            session = self._outbound.get((ip.p, transport.sport, ip.dst))
            if session is None:
                return None
            ip.dst, transport.sport = session
        elif isinstance(transport, _WITH_ID):
            session = self._outbound.get((ip.p, transport.data.id, ip.dst))
            if session is None:
                return None
            ip.dst, transport.data.id = session
        else:
            return None
        # What is 0 is computed by dpkt, over the whole packet.
        ip.sum = transport.sum = 0
        return bytes(ip)

    def inbound(self, packet: bytes) -> bytes | None:
        """Return a packet from a resolved address as it goes on."""
        ip = IP(packet) if packet[0] >> 4 == 4 else IP6(packet)
        transport = ip.data
        if isinstance(transport, _WITH_PORTS):
            session = self._inbound.get((ip.p, transport.dport, ip.src))
            if session is None:
                return None
            ip.src, transport.dport = session
        elif isinstance(transport, _WITH_ID):
            session = self._inbound.get((ip.p, transport.data.id, ip.src))
            if session is None:
                return None
            ip.src, transport.data.id = session
        else:
            return None
        ip.sum = transport.sum = 0
        return bytes(ip)

    def translate(self, direction: Direction) -> Callable[[bytes], bytes | None]:
        return self.outbound if direction is Direction.OUTBOUND else self.inbound
