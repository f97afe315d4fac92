"""Filters, compiled for checking one packet after another (rules.md, section 5, rule 4).

Each protocol has a number that filters may look at: TCP and UDP the resource's port, ICMP and
ICMPv6 the type. Other protocols have none, and any number will do for them.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, assert_never

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, MAX_PORT, TCP, UDP
from firezone_filter.structures.interning import Interned
from firezone_filter.values.decisions import Reason
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp

Bounds = tuple[int, ...]
"""Permitted numbers, as ascending (first, after, first, after, …): an odd number of these bounds
is at or below a permitted number, an even number at or below any other."""

_EVERY_PORT: Final = (0, MAX_PORT + 1)
_EVERY_TYPE: Final = (0, 256)
_EVERY: Final[dict[int, Bounds]] = {
    TCP: _EVERY_PORT,
    UDP: _EVERY_PORT,
    ICMPV4: _EVERY_TYPE,
    ICMPV6: _EVERY_TYPE,
}
# Of another protocol, whatever stands for the number that it has not, -1 included.
_ANY: Final = (-1, MAX_PORT + 1)

REASON_OF: Final = {
    TCP: Reason.TCP_PORT,
    UDP: Reason.UDP_PORT,
    ICMPV4: Reason.ICMP,
    ICMPV6: Reason.ICMP,
}
"""Why a number is refused, by protocol."""


class PermitCheck:
    """A set of filters, compiled.

    `compile_filters` makes and shares these: a thousand clients with equal filters have one
    check between them.
    """

    __slots__ = ("__weakref__", "everything", "ipv4", "ipv6", "nodes", "others")

    def __init__(self, filters: tuple[Filter, ...]) -> None:
        # No filters permit every protocol: the one place where fewer rules mean more access.
        self.everything: bool = not filters
        """Whether they permit every protocol."""
        self.others: tuple[int, ...] = ()
        """The protocols without numbers that they name."""
        ranges: dict[int, list[tuple[int, int]]] = {TCP: [], UDP: [], ICMPV4: [], ICMPV6: []}
        for permitted in filters:
            match permitted:
                case Tcp() | Udp():
                    of_ports = ranges[TCP if isinstance(permitted, Tcp) else UDP]
                    for ports in permitted.ranges:
                        of_ports.append((ports.first, ports.last + 1))
                case Icmp():
                    ranges[ICMPV4] += _ranges_of(permitted.types)
                    ranges[ICMPV6] += _ranges_of(permitted.types_v6)
                case Protocol():
                    if permitted.number not in self.others:
                        self.others += (permitted.number,)
                case _:
                    assert_never(permitted)
        bounds = _EVERY.copy()
        if filters:
            for protocol, given in ranges.items():
                bounds[protocol] = _merge(given) if given else ()
            for protocol in self.others:
                bounds[protocol] = _ANY
        self.ipv4: dict[int, Bounds] = bounds
        """Permitted numbers by protocol, at IPv4 addresses. If `everything` is permitted, only
        protocols with numbers are here."""
        self.ipv6: dict[int, Bounds] = bounds.copy()
        """The same at IPv6 addresses."""
        del self.ipv4[ICMPV6], self.ipv6[ICMPV4]
        self.nodes: dict[int, tuple[int, ...]] | None = None
        """The same numbers as a `PermitIndex` has them, if one has asked for them."""

    def refusal(self, protocol: int, number: int | None, icmp: int) -> Reason | None:
        """Return why the filters refuse a packet, or `None` if they permit it.

        Args:
            protocol: IANA protocol number.
            number: the resource's port for TCP and UDP, the type for ICMP. With `None` these are
                permitted only if every number is.
            icmp: the number of ICMP in the packet's IP version; the other number is refused
                with `PROTOCOL`.
        """
        if self.everything:
            return None
        bounds = (self.ipv4 if icmp == ICMPV4 else self.ipv6).get(protocol)
        if bounds is None:
            return Reason.PROTOCOL
        # One bisection costs the same for one range as for eight (90 ns; a loop 450 ns).
        if (
            bounds == _EVERY.get(protocol, _ANY)
            if number is None
            else bisect_right(bounds, number) & 1
        ):
            return None
        return REASON_OF[protocol]


compile_filters: Interned[tuple[Filter, ...], PermitCheck] = Interned(PermitCheck)
"""Compile filters; equal ones share the result. A global cache, of filters in use."""


def _ranges_of(types: tuple[int, ...] | None) -> list[tuple[int, int]]:
    """Return the ranges (first, after) of some ICMP types; `None` are all."""
    return [_EVERY_TYPE] if types is None else [(one, one + 1) for one in types]


def _merge(ranges: Iterable[tuple[int, int]]) -> Bounds:
    """Merge ranges (first, after) into ascending bounds that lie apart."""
    bounds: list[int] = []
    for first, after in sorted(ranges):
        if bounds and first <= bounds[-1]:
            bounds[-1] = max(bounds[-1], after)
        else:
            bounds += (first, after)
    return tuple(bounds)
