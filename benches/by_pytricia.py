"""The hand-written loop with dpkt and pytricia, a longest-prefix match in C like py-radix.

A trie of pytricia is of one family; a client address has one, so the trie of a client's
address is of the right one.
"""

import dpkt
from dpkt.ip import IP
from dpkt.ip6 import IP6
from dpkt.tcp import TCP
from dpkt.udp import UDP
from pytricia import PyTricia

from benches.baselines import Judge, PortRule
from firezone_filter import Direction

_WITH_PORTS = (TCP, UDP)


class Filter:
    """A table of networks for each client, and a port check."""

    def __init__(self) -> None:
        self._tables: dict[bytes, PyTricia] = {}

    def allow(self, client: bytes, network: str, resource_id: str, rules: list[PortRule]) -> None:
        table = self._tables.get(client)
        if table is None:
            bits = 32 if len(client) == 4 else 128
            table = self._tables[client] = PyTricia(bits)
        table[network] = resource_id, rules

    def outbound(self, packet: bytes) -> str | None:
        try:
            ip = IP(packet) if packet[0] >> 4 == 4 else IP6(packet)
        except (dpkt.UnpackError, IndexError):
            return None
        table = self._tables.get(ip.src)
        if table is None:
            return None
        found = table.get(ip.dst)
        if found is None:
            return None
        resource_id: str
        resource_id, rules = found
        transport = ip.data
        port = transport.dport if isinstance(transport, _WITH_PORTS) else 0
        protocol = ip.p
        for allowed, first, last in rules:
            if allowed == protocol and first <= port <= last:
                return resource_id
        return None

    def inbound(self, packet: bytes) -> str | None:
        try:
            ip = IP(packet) if packet[0] >> 4 == 4 else IP6(packet)
        except (dpkt.UnpackError, IndexError):
            return None
        table = self._tables.get(ip.dst)
        if table is None:
            return None
        found = table.get(ip.src)
        if found is None:
            return None
        resource_id: str
        resource_id, rules = found
        transport = ip.data
        port = transport.sport if isinstance(transport, _WITH_PORTS) else 0
        protocol = ip.p
        for allowed, first, last in rules:
            if allowed == protocol and first <= port <= last:
                return resource_id
        return None

    def judge(self, direction: Direction) -> Judge:
        return self.outbound if direction is Direction.OUTBOUND else self.inbound
