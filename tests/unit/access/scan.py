"""Section 5, rules 1 to 4, as a look at each filter and each network: no index, no compilation."""

from collections.abc import Iterable
from typing import NamedTuple

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp

_ALL_PORTS = frozenset(range(65_536))
_ALL_TYPES = frozenset(range(256))


def refusal(
    filters: Iterable[Filter], protocol: int, number: int | None, version: int
) -> str | None:
    """Return why filters refuse a packet; `None` if they permit it, or there are none."""
    filters = tuple(filters)
    if not filters:
        return None
    if protocol in (TCP, UDP):
        kind, reason = (Tcp, "tcp-port") if protocol == TCP else (Udp, "udp-port")
        ports = [one for given in filters if isinstance(given, kind) for one in given.ranges]
        if number is None:
            named = frozenset(port for one in ports for port in range(one.first, one.last + 1))
            return None if named == _ALL_PORTS else reason
        return None if any(number in one for one in ports) else reason
    if protocol == (ICMPV4 if version == 4 else ICMPV6):
        permitted: set[int] = set()
        for given in filters:
            if isinstance(given, Icmp):
                types = given.types if version == 4 else given.types_v6
                permitted |= _ALL_TYPES if types is None else set(types)
        is_permitted = permitted == _ALL_TYPES if number is None else number in permitted
        return None if is_permitted else "icmp"
    numbers = {given.number for given in filters if isinstance(given, Protocol)}
    return None if protocol in numbers else "protocol"


class Covering(NamedTuple):
    """A network of a resource, with what it permits and what it does not cover."""

    network: Network
    resource_id: str
    filters: tuple[Filter, ...]
    exclude: tuple[Network, ...]


def best(
    entries: Iterable[Covering], address: Address, protocol: int, number: int | None
) -> tuple[str, Network, str | None] | None:
    """Return the id, network and refusal of the entry that answers; `None` if none covers."""
    answers = [
        (one.resource_id, one.network, refusal(one.filters, protocol, number, address.version))
        for one in entries
        if address in one.network and not any(address in hole for hole in one.exclude)
    ]
    return max(answers, key=lambda one: (one[2] is None, one[1].prefixlen, one[0]), default=None)
