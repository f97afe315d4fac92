"""Words for what `explain` compares: protocols and numbers, filters, networks."""

from collections.abc import Iterable, Sequence
from typing import Final

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import Network
from firezone_filter.values.explanations import protocol_name
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp

_MOST: Final = 8
"""So many ranges, types or protocols are named one by one."""


def in_words(protocol: int, number: int, *, outbound: bool) -> str:
    """Return a protocol with its number: `tcp to port 443`, `icmp type 8`, `gre`.

    Args:
        protocol: IANA protocol number.
        number: the resource's port for TCP and UDP, the type for ICMP; else ignored.
        outbound: whether the port is that of the destination.
    """
    if protocol in {TCP, UDP}:
        return f"{protocol_name(protocol)} {'to' if outbound else 'from'} port {number}"
    return message_in_words(protocol, number)


def message_in_words(protocol: int, icmp_type: int) -> str:
    """Return a protocol, with the type of an ICMP message."""
    name = protocol_name(protocol)
    return f"{name} type {icmp_type}" if protocol in {ICMPV4, ICMPV6} else name


def networks_in_words(networks: Iterable[Network]) -> str:
    """Return networks as a list."""
    return " and ".join(map(str, networks))


def permitted_in_words(filters: Sequence[Filter], protocol: int) -> str:
    """Return what filters permit of a packet's protocol: `tcp 443, 8000-8100`, `no tcp`.

    Of a protocol that has no numbers, and is refused, they name those that are permitted.
    """
    name = protocol_name(protocol)
    if not filters:
        return "every protocol"
    if protocol in {TCP, UDP}:
        kind = Tcp if protocol == TCP else Udp
        ports = [str(ports) for one in filters if isinstance(one, kind) for ports in one.ranges]
        return f"{name} {_listed(ports)}" if ports else f"no {name}"
    if protocol in {ICMPV4, ICMPV6}:
        return _types(filters, protocol)
    numbers = [one.number for one in filters if isinstance(one, Protocol)]
    if protocol in numbers:
        return name
    return f"no {name}"


def _types(filters: Sequence[Filter], protocol: int) -> str:
    name, types = protocol_name(protocol), set[int]()
    for one in filters:
        if isinstance(one, Icmp):
            of_family = one.types if protocol == ICMPV4 else one.types_v6
            if of_family is None:
                return f"{name} of every type"
            types.update(of_family)
    return f"{name} types {_listed(list(map(str, sorted(types))))}" if types else f"no {name}"


def _listed(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _MOST} more" if len(parts) > _MOST else ""
    return ", ".join(parts[:_MOST]) + more
