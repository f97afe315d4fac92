"""Resources and their filters: what a client may be allowed to reach."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from attrs import field, frozen

from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.values.addresses import Network, to_network, to_networks
from firezone_filter.values.domains import DomainPattern, to_domain_pattern
from firezone_filter.values.errors import InvalidPolicy, shown

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def _to_port(value: int) -> int:
    # `True` is an int to Python, but as a port it is a slip.
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a port is an int, not {shown(value)}")
    if not 0 <= value <= MAX_PORT:
        raise InvalidPolicy(f"{shown(value)} is not a port (0 to {MAX_PORT})", value)
    return value


@frozen(order=True, init=False)
class PortRange:
    """An inclusive range of TCP or UDP ports; `443 in ports` tells whether it has one.

    Raises:
        InvalidPolicy: not a port, or the first is behind the last.
        TypeError: not an `int`.
    """

    first: int
    """Lowest port."""

    last: int
    """Highest port; equal to *first* where none is given."""

    def __init__(self, first: int, last: int | None = None) -> None:
        lowest, highest = _to_port(first), _to_port(first if last is None else last)
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


def _to_ports(value: int | str | PortRange) -> PortRange:
    if isinstance(value, PortRange):
        return value
    if not isinstance(value, str):
        return PortRange(value)
    found = _PORTS.fullmatch(value)
    if found is None:
        raise InvalidPolicy(f"{value!r} is neither a port nor a range of ports", value)
    first, last = found.groups()
    return PortRange(int(first), None if last is None else int(last))


@frozen
class Tcp:
    """Permits TCP on some ports of the resource: `Tcp(443)`, `Tcp("8000-8100")`, `Tcp()`.

    Raises:
        InvalidPolicy: not a port, or not a range of ports.
        TypeError: neither `int`, `str` nor `PortRange`.
    """

    ports: PortRange = field(default=ALL_PORTS, converter=_to_ports)
    """The permitted ports; all where none are given."""


@frozen
class Udp:
    """Permits UDP on some ports of the resource: `Udp(53)`, `Udp("8000-8100")`, `Udp()`.

    Raises:
        InvalidPolicy: not a port, or not a range of ports.
        TypeError: neither `int`, `str` nor `PortRange`.
    """

    ports: PortRange = field(default=ALL_PORTS, converter=_to_ports)
    """The permitted ports; all where none are given."""


@frozen
class Icmp:
    """Permits ICMP, every type: ICMPv4 over IPv4, ICMPv6 over IPv6."""


Filter = Tcp | Udp | Icmp
"""One permitted protocol of a resource."""


def to_filters(values: Iterable[Filter]) -> tuple[Filter, ...]:
    """Return the filters of an iterable, which is read once.

    Raises:
        TypeError: `None`, a filter by itself, or anything in it that is no filter. No
            filters means every protocol, the one place where less rule means more access,
            so nothing may get there by a slip: an empty text or mapping does not either.
    """
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(
        values, Iterable
    ):
        raise TypeError(f"filters are given as an iterable of them, not {shown(values)}")
    filters = tuple(values)
    for value in filters:
        if not isinstance(value, Tcp | Udp | Icmp):
            raise TypeError(f"a filter is a Tcp, Udp or Icmp, not {shown(value)}")
    return filters


def to_id(value: str) -> str:
    """Return *value* if it can name a client or a resource.

    Raises:
        InvalidPolicy: empty.
        TypeError: not a `str`.
    """
    if not isinstance(value, str):
        raise TypeError(f"an id is a str, not {shown(value)}")
    if not value:
        raise InvalidPolicy("an id is not empty", value)
    # A plain one: a subclass may compare and hash as it likes, or not at all.
    return str.__str__(value)


def _to_name(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is a str, not {shown(value)}")
    return str.__str__(value)


def _to_address(value: str) -> str:
    return str.__str__(to_domain_pattern(value))


# Each authorization asks for the hash of its resource: with four filters it takes 7 µs.


@frozen(cache_hash=True)
class CidrResource:
    """A network that a client may be allowed to reach.

    Raises:
        InvalidAddress: not a network, or host bits are set.
        InvalidPolicy: an empty id.
        TypeError: a wrong type; `filters` that are `None` or a filter by itself.
    """

    id: str = field(converter=to_id)
    """Names the resource; authorizations refer to it."""

    network: IPv4Network | IPv6Network = field(converter=to_network)
    """The addresses that it covers."""

    filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """What is permitted. **None at all permit every protocol.**"""

    name: str = field(default="", converter=_to_name)
    """For people; decides nothing."""


@frozen(cache_hash=True)
class DnsResource:
    """A name, or a pattern of names, that a client may be allowed to reach.

    Raises:
        InvalidPolicy: an empty id, or not a pattern.
        TypeError: a wrong type; `filters` that are `None` or a filter by itself.
    """

    id: str = field(converter=to_id)
    """Names the resource; authorizations refer to it."""

    address: str = field(converter=_to_address)
    """A name (`gitlab.example.com`) or a pattern: `*.example.com`, `**.example.com`,
    `host-?.example.com`."""

    filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """What is permitted. **None at all permit every protocol that can be translated.**"""

    name: str = field(default="", converter=_to_name)
    """For people; decides nothing."""

    def pattern(self) -> DomainPattern:
        """Return the names that it stands for."""
        return DomainPattern.parse(self.address)


@frozen(cache_hash=True)
class InternetResource:
    """The public Internet, every protocol.

    Raises:
        InvalidAddress: not a network, or host bits are set.
        InvalidPolicy: an empty id.
        TypeError: a wrong type.
    """

    id: str = field(converter=to_id)
    """Names the resource; authorizations refer to it."""

    name: str = field(default="", converter=_to_name)
    """For people; decides nothing."""

    exclude: tuple[Network, ...] = field(default=(), converter=to_networks)
    """Networks that are not the Internet here: an organization's own public ones, say."""


Resource = CidrResource | DnsResource | InternetResource
"""What a client may be allowed to reach."""


def same_place(one: Resource, other: Resource) -> bool:
    """Tell whether two resources are of one kind and have one network or pattern.

    A resource never changes these under the same id: whoever may reach "db" must not find
    that "db" has become something else.
    """
    match one, other:
        case (CidrResource(), CidrResource()):
            return one.network == other.network
        case (DnsResource(), DnsResource()):
            return one.pattern() == other.pattern()
        case (InternetResource(), InternetResource()):
            return True
    return False
