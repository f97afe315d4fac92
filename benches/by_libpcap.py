"""What BPF decides, through pcapy-ng: filter expressions that libpcap compiles, and runs in C.

It is what a Python user would take for a stateless match. A filter says yes or no and not
which resource, so that there is one for each network of a client; they are asked in turn.
"""

from ipaddress import ip_address
from typing import Any, Final

import pcapy

from benches.baselines import Judge, PortRule
from firezone_filter import Direction

_DLT_RAW: Final = 12
"""Packets begin with their IP header; pcapy's own constant is that of OpenBSD, 14."""

_WHOLE: Final = 65_535
_OPTIMIZED: Final = 1
_NO_NETMASK: Final = 0xFFFF_FFFF

_NAMES: Final = {6: "tcp", 17: "udp"}
_WITHOUT_PORTS: Final = {1: "icmp", 58: "icmp6"}


class Filter:
    """Compiled expressions for each direction, by IP version."""

    def __init__(self) -> None:
        self._programs: dict[Direction, dict[int, list[tuple[Any, str]]]] = {
            direction: {4: [], 6: []} for direction in Direction
        }

    def allow(self, client: bytes, network: str, resource_id: str, rules: list[PortRule]) -> None:
        version = 4 if len(client) == 4 else 6
        address = str(ip_address(client))
        for direction, near, far in (
            (Direction.OUTBOUND, "src", "dst"),
            (Direction.INBOUND, "dst", "src"),
        ):
            ports = " or ".join(_expression(rule, far) for rule in rules)
            wanted = f"{near} host {address} and {far} net {network} and ({ports})"
            program = pcapy.compile(_DLT_RAW, _WHOLE, wanted, _OPTIMIZED, _NO_NETMASK)
            # The program goes with the object: its bound method keeps it.
            self._programs[direction][version].append((program.filter, resource_id))

    def judge(self, direction: Direction) -> Judge:
        programs = self._programs[direction]

        def ask(packet: bytes) -> str | None:
            for permits, resource_id in programs[packet[0] >> 4]:
                if permits(packet):
                    return resource_id
            return None

        return ask


def _expression(rule: PortRule, far: str) -> str:
    protocol, first, last = rule
    if protocol in _WITHOUT_PORTS:
        return _WITHOUT_PORTS[protocol]
    return f"{_NAMES[protocol]} {far} portrange {first}-{last}"
