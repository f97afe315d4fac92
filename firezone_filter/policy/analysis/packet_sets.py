"""Sets of packets to one address, for comparing what filters permit: as integers, bit by bit.

A packet is a protocol and, of TCP and UDP, the far port, of ICMP the type. Each is one bit, so
that `|`, `&` and `& ~` of Python's integers are exact, and quicker than ranges: the widest set
has 16 KiB. What is in a set is read from the compiled filters that decide, and which packets
there are at all from `shapes`.
"""

from collections.abc import Iterable
from typing import Final, final

from firezone_filter.access.permits import PermitCheck
from firezone_filter.packet.icmp import ICMP_OF
from firezone_filter.packet.numbers import IPV4, IPV6, MAX_BYTE, MAX_PORT, TCP, UDP
from firezone_filter.policy.analysis.shapes import ranges_of, translated_ranges_of

PacketSet = int
"""Packets to one address, one bit each."""

Way = tuple[int, bool]
"""How an address is reached: the IP version, and whether through a proxy address."""

# The first bit of each protocol: first those without ports, so that small sets stay small.
_TYPES_AT: Final = MAX_BYTE + 1
_TCP_AT: Final = 2 * (MAX_BYTE + 1)
_UDP_AT: Final = _TCP_AT + MAX_PORT + 1

MOST_KEPT: Final = 2_048
"""Sets that are kept for the next resource with equal filters: some MiB, all together."""


def _at(version: int, protocol: int) -> int:
    """Return the bit of the number 0 of a protocol."""
    if protocol == TCP:
        return _TCP_AT
    if protocol == UDP:
        return _UDP_AT
    return _TYPES_AT if protocol == ICMP_OF[version] else protocol


def _bits(first: int, after: int) -> PacketSet:
    return (1 << after) - (1 << first)


def _every(way: Way) -> PacketSet:
    version, is_proxy = way
    ranges = translated_ranges_of if is_proxy else ranges_of
    every = 0
    for protocol in range(MAX_BYTE + 1):
        at = _at(version, protocol)
        for first, after in ranges(version, protocol):
            every |= _bits(at + first, at + after)
    return every


EVERY: Final[dict[Way, PacketSet]] = {
    way: _every(way) for version in (IPV4, IPV6) for way in ((version, False), (version, True))
}
"""All packets that there are, by the way in which an address is reached."""


def outside(permitted: PacketSet, others: Iterable[PacketSet]) -> PacketSet:
    """Return what is left of a set without some others."""
    for one in others:
        # (`& ~one` would write the widest of the sets twice.)
        common = permitted & one
        if common:
            permitted ^= common
            if not permitted:
                break
    return permitted


@final
class PacketSets:
    """Makes the sets that filters permit."""

    def __init__(self) -> None:
        self._made: dict[tuple[PermitCheck, Way], PacketSet] = {}

    def of(self, check: PermitCheck, way: Way) -> PacketSet:
        """Return what filters permit to an address that is reached in a way."""
        if check.everything:
            return EVERY[way]
        made = self._made.get((check, way))
        if made is None:
            if len(self._made) >= MOST_KEPT:
                self._made.clear()
            made = self._made[check, way] = _make(check, way)
        return made


def _make(check: PermitCheck, way: Way) -> PacketSet:
    version, _ = way
    permitted = ports = 0
    for protocol, bounds in (check.ipv4 if version == IPV4 else check.ipv6).items():
        at = _at(version, protocol)
        if protocol == at:
            permitted |= 1 << at  # no numbers: any will do
            continue
        numbers = 0
        for first, after in zip(bounds[::2], bounds[1::2], strict=True):
            numbers |= _bits(first, after)
        if protocol in {TCP, UDP}:
            ports |= numbers << at  # every port is a packet that there is
        else:
            permitted |= numbers << at
    return ports | (permitted & EVERY[way])
