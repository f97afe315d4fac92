"""Boxes: addresses by protocol by ports or types, as answers about policies show them."""

from collections.abc import Hashable, Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv6Address,
    summarize_address_range,
)
from itertools import groupby
from typing import Final, NamedTuple, TypeVar, cast, final

from firezone_filter.packet.icmp import ICMP_OF
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, IPV6, TCP, UDP
from firezone_filter.policy.analysis.shapes import ICMP_TYPES, Range
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.filters import ALL_PORTS, PortRange

_NAMES: Final = {TCP: "tcp", UDP: "udp", ICMPV4: "icmp", ICMPV6: "icmp"}

K = TypeVar("K", bound=Hashable)


@final
class Facet(NamedTuple):
    """What a box is besides its addresses."""

    protocol: int | None
    ports: Range | None = None
    types: tuple[int, ...] | None = None
    others: tuple[int, ...] = ()
    """For a `protocol` of `None` the protocols that are named. It stands for all but these, so
    it is another one where others are named."""

    def sorts_as(self) -> tuple[object, ...]:
        """Return a key by which the boxes of one address are in order, `None` last."""
        is_rest = self.protocol is None
        return is_rest, self.protocol or 0, self.ports or (), self.types or ()

    def port_range(self) -> PortRange | None:
        """Return the ports in their public form."""
        return None if self.ports is None else PortRange(self.ports[0], self.ports[1] - 1)


def to_facets(
    version: int, parts: Iterable[tuple[int | None, int, int, K]], named: Iterable[int]
) -> list[tuple[Facet, K]]:
    """Return the facets of parts (protocol, first, after, key); types of one key are one facet.

    Args:
        version: the IP version of the addresses.
        parts: the parts, as of a `Shape`, with anything that tells them apart.
        named: the protocols that a part of `None` leaves out.
    """
    facets: list[tuple[Facet, K]] = []
    types: dict[K, list[int]] = {}
    for protocol, first, after, key in parts:
        if protocol == ICMP_OF[version]:
            types.setdefault(key, []).extend(range(first, after))
        elif protocol in (TCP, UDP):
            facets.append((Facet(protocol, ports=(first, after)), key))
        elif protocol is None:
            facets.append((Facet(None, others=tuple(sorted(named))), key))
        else:
            facets.append((Facet(protocol), key))
    for key, several in types.items():
        given = tuple(several)
        all_types = None if given == ICMP_TYPES[version] else given
        facets.append((Facet(ICMP_OF[version], types=all_types), key))
    return facets


def merged(cells: Iterable[tuple[int, int, Iterable[K]]]) -> Iterator[tuple[int, int, K]]:
    """Yield (first, last, key) for each run of adjacent cells that have a key.

    Args:
        cells: (first, last, keys), ascending and disjoint. The keys of one cell are distinct.
    """
    begun: dict[K, int] = {}
    last = -1
    for first, cell_last, keys in cells:
        is_adjacent = first == last + 1
        before = begun if is_adjacent else {}
        now = {key: before.get(key, first) for key in keys}
        for key, start in begun.items():
            if key not in now or not is_adjacent:
                yield start, last, key
        begun, last = now, cell_last
    for key, start in begun.items():
        yield start, last, key


def to_address_of(version: int, number: int) -> Address:
    """Return an address from its number."""
    return IPv4Address(number) if version == IPV4 else IPv6Address(number)


def networks_of(first: Address, last: Address) -> tuple[Network, ...]:
    """Return the addresses of one family from *first* to *last* as networks."""
    if isinstance(first, IPv4Address):
        return tuple(summarize_address_range(first, cast("IPv4Address", last)))
    return tuple(summarize_address_range(first, cast("IPv6Address", last)))


def describe(
    first: Address,
    last: Address,
    protocol: int | None,
    ports: PortRange | None,
    icmp_types: tuple[int, ...] | None,
) -> str:
    """Return a box in one line: `tcp 10.0.0.0/24:5432`, `icmp/8,13-18 10.0.0.5`, `* ::/0`.

    Addresses that are no network are written `10.0.0.1-10.0.0.6`. `*` stands for every protocol
    that no other box names.
    """
    name = "*" if protocol is None else _NAMES.get(protocol, str(protocol))
    if icmp_types is not None:
        name += "/" + ",".join(_runs(icmp_types))
    networks = networks_of(first, last)
    if first == last:
        place = str(first)
    elif len(networks) == 1:
        place = str(networks[0])
    else:
        place = f"{first}-{last}"
    if ports is None or ports == ALL_PORTS:
        return f"{name} {place}"
    return f"{name} [{place}]:{ports}" if first.version == IPV6 else f"{name} {place}:{ports}"


def _runs(numbers: Iterable[int]) -> Iterator[str]:
    """Yield ascending numbers as text, three and more in a row as one: `0`, `8`, `13-255`."""
    # What a number exceeds its place by is the same all along a row.
    for _, row in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        several = [number for _, number in row]
        if len(several) > 2:  # noqa: PLR2004 - "0,1" is no longer than "0-1"
            yield f"{several[0]}-{several[-1]}"
        else:
            yield from map(str, several)
