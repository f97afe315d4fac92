"""Resources, which a client can be authorized to reach, and their filters."""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from attrs import evolve, field, frozen

from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.values.addresses import Network, to_network, to_networks
from firezone_filter.values.domains import DomainPattern, to_domain_pattern
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


@frozen
class Icmp:
    """A filter that permits ICMP of every type: ICMPv4 over IPv4, ICMPv6 over IPv6.

    ICMP errors need no such filter: they are judged by the packet that they quote.
    """


Filter = Tcp | Udp | Icmp
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
        if not isinstance(value, Tcp | Udp | Icmp):
            raise TypeError(f"a filter is a Tcp, Udp or Icmp, not {shown(value)}")
    return tuple(one for value in filters for one in _single(value))


def _single(value: Filter) -> Iterable[Filter]:
    if isinstance(value, Icmp) or isinstance(value.ports, PortRange):
        return (value,)
    return (evolve(value, ports=ports) for ports in value.ranges)


def to_id(value: str) -> str:
    """Return *value* if it can be the id of a client or a resource.

    Raises:
        InvalidPolicy: it is empty.
        TypeError: not a `str`.
    """
    if not isinstance(value, str):
        raise TypeError(f"an id is a str, not {shown(value)}")
    if not value:
        raise InvalidPolicy("an id is not empty", value)
    # A plain `str`, since a subclass may compare and hash in any way, or not at all.
    return str.__str__(value)


def _to_name(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is a str, not {shown(value)}")
    return str.__str__(value)


def _to_address(value: str) -> str:
    return str.__str__(to_domain_pattern(value))


# `cache_hash`, because each `authorize` looks its resource up by hash: 7 µs with four filters.


@frozen(cache_hash=True)
class CidrResource:
    """A network, or a single address, that a client can be authorized to reach.

    Raises:
        InvalidAddress: `network` is not a network, or has host bits set.
        InvalidPolicy: `id` is empty.
        TypeError: a wrong type, also `None` or a single filter for `filters`.
    """

    id: str = field(converter=to_id)
    """The id by which authorizations name the resource; not empty."""

    network: IPv4Network | IPv6Network = field(converter=to_network)
    """The addresses that it covers. A `Gateway` never lets it cover special addresses, such as
    the tunnel and DNS ranges, loopback and multicast, however wide it is."""

    filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """The permitted protocols and ports. **Without any, every protocol is permitted.** A filter
    of several port ranges is kept as one filter for each."""

    name: str = field(default="", converter=_to_name)
    """A name for people, which affects no decision."""


@frozen(cache_hash=True)
class DnsResource:
    """A domain name, or a pattern of names, that a client can be authorized to reach.

    It covers no address but the proxy addresses given to `Gateway.domain_resolved`.

    Raises:
        InvalidPolicy: `id` is empty, or `address` is neither a name nor a pattern.
        TypeError: a wrong type, also `None` or a single filter for `filters`.
    """

    id: str = field(converter=to_id)
    """The id by which authorizations name the resource; not empty."""

    address: str = field(converter=_to_address)
    """A name (`gitlab.example.com`), or a pattern. In a pattern `?` stands for one character of
    a label, `*` for any characters of a label or none, and `**` for any number of labels or
    none; a leading `*.` also matches no label (`*.example.com` matches `example.com`)."""

    filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """The permitted protocols and ports. **Without any, every protocol that can be translated is
    permitted:** TCP, UDP and ICMP echo. A filter of several port ranges is kept as one filter for
    each."""

    name: str = field(default="", converter=_to_name)
    """A name for people, which affects no decision."""

    def pattern(self) -> DomainPattern:
        """Return the compiled pattern of `address`."""
        return DomainPattern.parse(self.address)


@frozen(cache_hash=True)
class InternetResource:
    """The public Internet, with every protocol.

    Private, shared and special addresses do not belong to it (docs/rules.md, section 5, rule 5).

    Raises:
        InvalidAddress: an entry of `exclude` is not a network, or has host bits set.
        InvalidPolicy: `id` is empty.
        TypeError: a wrong type.
    """

    id: str = field(converter=to_id)
    """The id by which authorizations name the resource; not empty."""

    name: str = field(default="", converter=_to_name)
    """A name for people, which affects no decision."""

    exclude: tuple[Network, ...] = field(default=(), converter=to_networks)
    """Public networks that it does not permit, such as an organization's own."""


Resource = CidrResource | DnsResource | InternetResource
"""A resource of any kind, which a client can be authorized to reach."""


def same_place(one: Resource, other: Resource) -> bool:
    """Tell whether two resources are of the same kind, with the same network or pattern.

    These never change under one id: a client that is authorized for "db" must not end up with
    access to another network under that id.
    """
    match one, other:
        case (CidrResource(), CidrResource()):
            return one.network == other.network
        case (DnsResource(), DnsResource()):
            return one.pattern() == other.pattern()
        case (InternetResource(), InternetResource()):
            return True
    return False
