"""Filters: what a resource permits, by protocol, port and ICMP type."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import evolve, field, frozen

from firezone_filter.packet.icmp import ICMP_PARTNERS
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, MAX_BYTE, MAX_PORT, TCP, UDP
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.errors import InvalidPolicy, shown

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def to_port(value: int) -> int:
    """Return *value* if it is a TCP or UDP port.

    Raises:
        InvalidPolicy: out of range.
        TypeError: not an `int`.
    """
    # `True` is an int to Python, but as a port it is a slip.
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a port is an int, not {shown(value)}")
    if not 0 <= value <= MAX_PORT:
        raise InvalidPolicy(f"{shown(value)} is not a port (0 to {MAX_PORT})", value)
    return value


def to_byte(name: str, value: int) -> int:
    """Return *value*, called *name*, as an `int` if it is one of 0 to 255.

    Raises:
        InvalidPolicy: out of range.
        TypeError: not an `int`.
    """
    # `True` is an int to Python, but as a type or a protocol it is a slip.
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is an int, not {shown(value)}")
    if not 0 <= value <= MAX_BYTE:
        raise InvalidPolicy(f"{shown(value)} is not {name} (0 to {MAX_BYTE})", value)
    return int(value)


@documented
@frozen(order=True, init=False)
class PortRange:
    """An inclusive range of TCP or UDP ports, 0 to 65,535.

    `443 in ports` tells whether it contains a port; `str(ports)` is `*`, `443` or `8000-8100`.

    Raises:
        InvalidPolicy: a number is not a port, or *first* is greater than *last*.
        TypeError: not an `int`.
    """

    first: int
    """Lowest port."""

    last: int
    """Highest port; by default *first*, which makes a range of one port."""

    def __init__(self, first: int, last: int | None = None) -> None:
        lowest, highest = to_port(first), to_port(first if last is None else last)
        if lowest > highest:
            raise InvalidPolicy(
                f"ports {first}-{last}: the first is behind the last", (first, last)
            )
        self.__attrs_init__(lowest, highest)

    def __contains__(self, port: object) -> bool:
        if isinstance(port, bool) or not isinstance(port, int):
            return False
        return self.first <= port <= self.last

    def __str__(self) -> str:
        if self == ALL_PORTS:
            return "*"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


ALL_PORTS: Final = PortRange(0, MAX_PORT)


class _PortRanges(tuple[PortRange, ...]):
    """Several ranges, of which `in` tells whether one contains a port, as for a single range."""

    __slots__ = ()

    def __contains__(self, port: object) -> bool:
        return any(port == ports or port in ports for ports in self)


_Ports = int | str | PortRange
"""Each form in which ports can be given, alone or among others."""


def _to_ports(value: _Ports | Iterable[_Ports]) -> PortRange | tuple[PortRange, ...]:
    ranges = _PortRanges(_merged(sorted(_to_ranges(value))))
    if not ranges:
        # Without any, a filter would permit nothing; whoever means all of them says nothing.
        raise InvalidPolicy("a filter has at least one port, and by default all", value)
    return ranges if len(ranges) > 1 else ranges[0]


def _to_ranges(value: _Ports | Iterable[_Ports]) -> list[PortRange]:
    if isinstance(value, int | str | PortRange):
        return _to_some_ranges(value)
    # The bytes of a bytes object are ints too, and a mapping is iterable only by accident.
    if isinstance(value, bytes | bytearray | memoryview | Mapping) or not isinstance(
        value, Iterable
    ):
        raise TypeError(
            f"ports are an int, str, PortRange, or several of them, not {shown(value)}"
        )
    return [ports for one in value for ports in _to_some_ranges(one)]


def _to_some_ranges(value: _Ports) -> list[PortRange]:
    if isinstance(value, PortRange):
        return [value]
    if not isinstance(value, str):
        return [PortRange(value)]
    ranges = []
    for part in re.split(", ?", value):
        found = _PORTS.fullmatch(part)
        if found is None:
            raise InvalidPolicy(f"{part!r} is neither a port nor a range of ports", value)
        first, last = found.groups()
        ranges.append(PortRange(int(first), None if last is None else int(last)))
    return ranges


def _merged(ranges: Iterable[PortRange]) -> Iterator[PortRange]:
    """Yield ascending *ranges* with those made one that overlap or touch."""
    before: PortRange | None = None
    for ports in ranges:
        if before is None:
            before = ports
        elif ports.first <= before.last + 1:
            before = PortRange(before.first, max(before.last, ports.last))
        else:
            yield before
            before = ports
    if before is not None:
        yield before


@documented
@frozen
class _PortFilter:
    """What `Tcp` and `Udp` have in common: ports."""

    ports: PortRange | tuple[PortRange, ...] = field(default=ALL_PORTS, converter=_to_ports)
    """The permitted ports of the resource, by default all: destination ports outbound, source
    ports inbound. One range, or a tuple of several, ascending, of which no two overlap or
    touch; `443 in ports` tells of either. To go through them take `ranges`."""

    @property
    def ranges(self) -> tuple[PortRange, ...]:
        """The permitted ports as a tuple of ranges, also if there is only one."""
        return (self.ports,) if isinstance(self.ports, PortRange) else self.ports


@frozen
class Tcp(_PortFilter):
    """A filter that permits TCP on ports of the resource.

    `Tcp(443)` permits one port, `Tcp("8000-8100")` an inclusive range, `Tcp([80, 443])` or
    `Tcp("80,443,8000-8100")` several, `Tcp()` every port.

    Raises:
        InvalidPolicy: not a port, or not a range of ports; or none at all.
        TypeError: neither `int`, `str` nor `PortRange`, nor an iterable of these.
    """


@frozen
class Udp(_PortFilter):
    """A filter that permits UDP on ports of the resource.

    `Udp(53)` permits one port, `Udp("8000-8100")` an inclusive range, `Udp([53, 443])` or
    `Udp("53,443,8000-8100")` several, `Udp()` every port.

    Raises:
        InvalidPolicy: not a port, or not a range of ports; or none at all.
        TypeError: neither `int`, `str` nor `PortRange`, nor an iterable of these.
    """


def _to_types(family: int, values: Iterable[int]) -> tuple[int, ...]:
    # A single number is no iterable, so `Icmp(8, 0)`, meant as type and code, is refused. The
    # bytes of a bytes object are ints too, and a mapping is iterable only by accident.
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(
        values, Iterable
    ):
        raise TypeError(f"ICMP types are an iterable of ints, not {shown(values)}")
    types = {to_byte("an ICMP type", value) for value in values}
    # A request is of no use without its answer, nor is the answer alone.
    partners = ICMP_PARTNERS[family]
    return tuple(sorted(types | {partners[one] for one in types & partners.keys()}))


@documented
@frozen(init=False)
class Icmp:
    """A filter that permits ICMP: ICMPv4 over IPv4, ICMPv6 over IPv6.

    `Icmp()` permits every type, `Icmp.echo()` pings alone, `Icmp([8, 13])` two kinds of request
    with their answers, over IPv4 only. Several such filters of a resource add up.

    ICMP errors need no such filter, and no type permits them: they are judged by the packet
    that they quote.

    Raises:
        InvalidPolicy: a number is not an ICMP type (0 to 255), or there is none of either family.
        TypeError: a wrong type, also a number by itself.
    """

    types: tuple[int, ...] | None
    """The permitted ICMPv4 types, ascending; `()` for none, `None` for every type of both
    families. Of a request and its answer either names both: 0 and 8 (echo), 13 and 14, 15 and
    16, 17 and 18, 42 and 43. By default every type, or none if `types_v6` are given."""

    types_v6: tuple[int, ...] | None
    """The permitted ICMPv6 types, likewise. Pairs are 128 and 129 (echo), 139 and 140, 160 and
    161. By default every type, or none if `types` are given."""

    def __init__(
        self, types: Iterable[int] | None = None, types_v6: Iterable[int] | None = None
    ) -> None:
        if types is None and types_v6 is None:
            self.__attrs_init__(None, None)
            return
        ipv4 = _to_types(ICMPV4, () if types is None else types)
        ipv6 = _to_types(ICMPV6, () if types_v6 is None else types_v6)
        if not ipv4 and not ipv6:
            raise InvalidPolicy(
                "an Icmp filter has at least one type, and by default all", (ipv4, ipv6)
            )
        self.__attrs_init__(ipv4, ipv6)

    @classmethod
    def echo(cls) -> "Icmp":
        """Return the filter that permits pings: echo requests and replies of both families."""
        return cls(types=(0, 8), types_v6=(128, 129))

    def __repr__(self) -> str:
        if self.types is None:
            return "Icmp()"
        given = (("types", self.types), ("types_v6", self.types_v6))
        return f"Icmp({', '.join(f'{name}={types!r}' for name, types in given if types)})"


_OWN_FILTERS: Final = {ICMPV4: "Icmp", TCP: "Tcp", UDP: "Udp", ICMPV6: "Icmp"}


def _to_protocol(value: int) -> int:
    number = to_byte("a protocol number", value)
    if number in _OWN_FILTERS:
        raise InvalidPolicy(
            f"protocol {number} has a filter of its own, {_OWN_FILTERS[number]}", value
        )
    return number


@documented
@frozen
class Protocol:
    """A filter that permits another IP protocol as a whole: `Protocol(47)` is GRE.

    TCP, UDP and ICMP have filters of their own. Through proxy addresses no other protocol
    passes, whatever a filter permits.

    Raises:
        InvalidPolicy: not a protocol number (0 to 255), or 1, 6, 17 or 58.
        TypeError: not an `int`.
    """

    number: int = field(converter=_to_protocol)
    """The IANA protocol number."""


Filter = Tcp | Udp | Icmp | Protocol
"""One protocol that a resource permits; a packet needs only one filter that permits it."""


def to_filters(values: Iterable[Filter]) -> tuple[Filter, ...]:
    """Return the filters of an iterable, which is read once; each has one range of ports.

    A filter of several ranges becomes several, as the portal sends them: so a resource is
    equal to the one that is read back from a policy file.

    An empty iterable permits every protocol: the one place where fewer rules mean more access.
    It must not be reached by accident, so other empty or missing values are refused.

    Raises:
        TypeError: `None`, a single filter, a text, bytes or a mapping, even an empty one; or an
            iterable with anything that is not a filter.
    """
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(
        values, Iterable
    ):
        raise TypeError(f"filters are given as an iterable of them, not {shown(values)}")
    filters = tuple(values)
    for value in filters:
        if not isinstance(value, Filter):
            raise TypeError(f"a filter is a Tcp, Udp, Icmp or Protocol, not {shown(value)}")
    return tuple(one for value in filters for one in _single(value))


def _single(value: Filter) -> Iterable[Filter]:
    if not isinstance(value, Tcp | Udp) or isinstance(value.ports, PortRange):
        return (value,)
    return (evolve(value, ports=ports) for ports in value.ranges)
