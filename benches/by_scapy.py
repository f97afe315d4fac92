"""The hand-written loop with scapy, and py-radix for the networks.

scapy gives addresses as text, and py-radix takes them so. It dissects only the layers that
are asked for, as its documentation advises for speed; without that it would read DNS too.
"""

from ipaddress import ip_address
from struct import error as StructError  # noqa: N812 - `error` says nothing
from typing import Any

from radix import Radix
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from benches.baselines import Judge, PortRule
from firezone_filter import Direction

conf.layers.filter([IP, IPv6, TCP, UDP, ICMP])

_WITH_PORTS = (TCP, UDP)


class Filter:
    """A table of networks for each client, and a port check."""

    def __init__(self) -> None:
        self._tables: dict[str, Any] = {}

    def allow(self, client: bytes, network: str, resource_id: str, rules: list[PortRule]) -> None:
        table = self._tables.setdefault(str(ip_address(client)), Radix())
        table.add(network).data["answer"] = resource_id, rules

    def outbound(self, packet: bytes) -> str | None:
        try:
            ip = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
        except (StructError, IndexError):
            return None
        transport = ip.payload
        port = transport.dport if isinstance(transport, _WITH_PORTS) else 0
        return self._answer(ip, ip.src, ip.dst, port)

    def inbound(self, packet: bytes) -> str | None:
        try:
            ip = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
        except (StructError, IndexError):
            return None
        transport = ip.payload
        port = transport.sport if isinstance(transport, _WITH_PORTS) else 0
        return self._answer(ip, ip.dst, ip.src, port)

    def _answer(self, ip: IP | IPv6, near: str, far: str, port: int) -> str | None:
        table = self._tables.get(near)
        node = None if table is None else table.search_best(far)
        if node is None:
            return None
        protocol = ip.proto if ip.version == 4 else ip.nh
        resource_id: str
        resource_id, rules = node.data["answer"]
        for allowed, first, last in rules:
            if allowed == protocol and first <= port <= last:
                return resource_id
        return None

    def judge(self, direction: Direction) -> Judge:
        return self.outbound if direction is Direction.OUTBOUND else self.inbound
