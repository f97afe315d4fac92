"""Addresses: the gateway's plan, tunnel addresses, special ranges, packed bytes.

Inside the library an address is its packed `bytes` (4 or 16, network byte order), since a
dict finds `bytes` three times as fast as an `ipaddress` object. Objects stand at the edges.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from operator import or_
from typing import Final

from attrs import field, frozen

from firezone_filter.errors import InvalidAddress, shown
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6, IPV6_LENGTH
from firezone_filter.sharing import Shared

# After the slash stands anything but a number of bits.
_MASK = re.compile(r"/.*[^0-9]")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def to_address(value: str | Address) -> Address:
    """Return the address that *value* names.

    Raises:
        InvalidAddress: not an address, or one with a scope (`fe80::1%eth0`): a scope is a
            matter of the host's links, and packets do not carry it.
        TypeError: neither `str` nor an `ipaddress` address.
    """
    address = _parse(value)
    if _has_scope(address):
        raise InvalidAddress(f"{value!r} has a scope, which no packet carries", value)
    return address


def _parse(value: str | Address) -> Address:
    _check_kind("an address", value, str, IPv4Address, IPv6Address)
    try:
        return ip_address(value)
    except ValueError:
        raise InvalidAddress(f"{value!r} is not an IP address", value) from None


def _has_scope(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _check_kind(name: str, value: object, *kinds: type) -> None:
    # An interface is an address to Python, but it is a network too: which is meant?
    if isinstance(value, IPv4Interface | IPv6Interface) or not isinstance(value, kinds):
        raise TypeError(f"{name} is a str or an ipaddress object, not {shown(value)}")


def to_network(value: str | Network | Address) -> Network:
    """Return the network that *value* names; a single address is a network of its own.

    Raises:
        InvalidAddress: not a network, one with host bits set, or one with a mask in the
            place of the prefix length. `10.0.0.5/8` is more often a slip than a wish for
            `10.0.0.0/8`, and Python takes `/0.0.0.255` for `/24`, a mask turned round:
            each may open 16 million addresses that nobody meant.
        TypeError: neither `str` nor an `ipaddress` network or address.
    """
    if isinstance(value, IPv4Network | IPv6Network):
        return _without_scope(value, value)
    _check_kind("a network", value, str, IPv4Address, IPv6Address)
    if isinstance(value, str) and _MASK.search(value):
        raise InvalidAddress(f"{value!r} has no number of bits behind the slash", value)
    try:
        network = ip_network(value)
    except ValueError as error:
        raise InvalidAddress(f"{value!r} is not a network: {error}", value) from None
    return _without_scope(network, value)


def _without_scope(network: Network, value: object) -> Network:
    if _has_scope(network.network_address):
        raise InvalidAddress(f"{value!r} has a scope, which no packet carries", value)
    return network


def to_networks(values: Iterable[str | Network]) -> tuple[Network, ...]:
    """Return the networks that *values* name, in their order.

    Raises:
        InvalidAddress: as `to_network`.
        TypeError: not an iterable, or a network by itself.
    """
    _check_several(values)
    return tuple(to_network(value) for value in values)


def to_addresses(values: Iterable[str | Address]) -> tuple[Address, ...]:
    """Return the addresses that *values* name, in their order.

    Raises:
        InvalidAddress: as `to_address`.
        TypeError: not an iterable, or an address by itself.
    """
    _check_several(values)
    return tuple(to_address(value) for value in values)


def to_resolved(values: Iterable[str | Address]) -> tuple[Address, ...]:
    """Return the addresses that a name resolved to; those with a scope are left out.

    Only link-local addresses have one, and a resolver hands them out as it finds them.
    """
    _check_several(values)
    return tuple(address for value in values if not _has_scope(address := _parse(value)))


def _check_several(values: object) -> None:
    """Refuse what is iterable only by accident: texts, single networks, mappings."""
    single = (str, bytes, bytearray, memoryview, Mapping, IPv4Network, IPv6Network)
    if isinstance(values, single) or not isinstance(values, Iterable):
        raise TypeError(f"several addresses or networks are an iterable, not {shown(values)}")


def _to_ipv4(value: str | IPv4Address | None) -> IPv4Address | None:
    if value is None:
        return None
    address = to_address(value)
    if isinstance(address, IPv6Address):
        raise InvalidAddress(f"{value!r} is not an IPv4 address", value)
    return address


def _to_ipv6(value: str | IPv6Address | None) -> IPv6Address | None:
    if value is None:
        return None
    address = to_address(value)
    if isinstance(address, IPv4Address):
        raise InvalidAddress(f"{value!r} is not an IPv6 address", value)
    return address


@frozen
class TunnelAddresses:
    """The addresses of one peer inside the tunnel: at least one, at most one a family.

    Raises:
        InvalidAddress: not an address, of the other family, or none at all.
        TypeError: neither `str` nor an `ipaddress` address.
    """

    ipv4: IPv4Address | None = field(default=None, converter=_to_ipv4)
    """The tunnel IPv4 address, or `None`."""

    ipv6: IPv6Address | None = field(default=None, converter=_to_ipv6)
    """The tunnel IPv6 address, or `None`."""

    def __attrs_post_init__(self) -> None:
        if self.ipv4 is None and self.ipv6 is None:
            raise InvalidAddress("a peer has an IPv4 address, an IPv6 address or both", None)

    def present(self) -> tuple[Address, ...]:
        """Return the addresses that there are, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)

    def packed(self) -> tuple[bytes, ...]:
        """Return the addresses that there are in network byte order, IPv4 first."""
        return tuple(address.packed for address in self.present())


@frozen
class AddressPlan:
    """Which addresses mean clients, and which stand for DNS resources.

    The defaults are Firezone's own: the two halves of 100.64.0.0/10 (RFC 6598), and the
    like of them in a unique local IPv6 prefix (RFC 4193).

    Raises:
        InvalidAddress: not a network, host bits set, or the two kinds overlap.
        TypeError: not an iterable of networks.
    """

    tunnel: tuple[Network, ...] = field(
        default=("100.64.0.0/11", "fd00:2021:1111::/107"), converter=to_networks
    )
    """Where tunnel addresses are: those of clients, and the gateway's own."""

    dns_resources: tuple[Network, ...] = field(
        default=("100.96.0.0/11", "fd00:2021:1111:8000::/107"), converter=to_networks
    )
    """Where proxy addresses are, which stand for DNS resources inside the tunnel."""

    def __attrs_post_init__(self) -> None:
        for tunnel in self.tunnel:
            for dns in self.dns_resources:
                # An address that were both a peer and a proxy would be judged by
                # whichever check came first.
                if tunnel.version == dns.version and tunnel.overlaps(dns):
                    raise InvalidAddress(
                        f"tunnel range {tunnel} and DNS range {dns} overlap", (tunnel, dns)
                    )


# --- What is known of an address before any policy is asked ------------------------------

TUNNEL: Final = 1
"""In the plan's tunnel ranges."""

DNS: Final = 2
"""In the plan's ranges of proxy addresses."""

MULTICAST: Final = 4
"""Multicast, or the limited broadcast address: never unicast to a resource."""

NOT_CIDR: Final = 8
"""Covered by no CIDR resource, however wide its network."""

NOT_INTERNET: Final = 16
"""Not the public Internet."""

NOT_RESOLVED: Final = 32
"""Never the answer of an honest name server for a host behind the gateway."""

_MULTICAST = ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")

# A wide CIDR resource (0.0.0.0/0, say) is meant for the networks behind the gateway, not
# for the gateway's own loopback, nor for addresses that stand for "this host" (RFC 1122,
# section 3.2.1.3) or for an IPv4 address in disguise (RFC 4291, section 2.5.5.2).
_NOT_CIDR = ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128", "::ffff:0:0/96", *_MULTICAST)

# Constants, not `ipaddress` predicates: those call NAT64 and 6to4 forms of private
# addresses global, and they change between patch releases of Python.
_NOT_INTERNET = (
    "0.0.0.0/8",  # this network (RFC 1122)
    "10.0.0.0/8",  # private (RFC 1918)
    "100.64.0.0/10",  # shared address space of carriers (RFC 6598)
    "127.0.0.0/8",  # loopback (RFC 1122)
    "169.254.0.0/16",  # link-local, cloud metadata services among them (RFC 3927)
    "172.16.0.0/12",  # private (RFC 1918)
    "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
    "192.0.2.0/24",  # documentation (RFC 5737)
    "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
    "192.168.0.0/16",  # private (RFC 1918)
    "198.18.0.0/15",  # benchmarks (RFC 2544)
    "198.51.100.0/24",  # documentation (RFC 5737)
    "203.0.113.0/24",  # documentation (RFC 5737)
    "224.0.0.0/3",  # multicast, reserved (RFC 1112) and broadcast (RFC 919)
    # All of IPv6 but 2000::/3, the one block of it that global unicast addresses have
    # been allocated from (RFC 3587, section 3).
    "::/3",
    "4000::/2",
    "8000::/1",
    "2001::/23",  # IETF protocol assignments, Teredo among them (RFC 2928)
    "2001:db8::/32",  # documentation (RFC 3849)
    "2002::/16",  # 6to4: carries any IPv4 address (RFC 3056)
    "3fff::/20",  # documentation (RFC 9637)
)

# What a name server must not be able to point a client at (DNS rebinding).
_NOT_RESOLVED = ("169.254.0.0/16", "fe80::/10", *_NOT_CIDR)


class RangeMap:
    """A set of flags for every address, found with one bisection.

    Flags of networks that overlap add up. The bounds are compiled once, so that a look-up
    costs the same for one network as for fifty.
    """

    __slots__ = ("__weakref__", "ipv4", "ipv6")

    def __init__(self, flagged: Iterable[tuple[Network, int]]) -> None:
        networks = list(flagged)
        self.ipv4 = _compile(networks, IPV4, IPV4_LENGTH)
        """Addresses of IPv4 at which flags change, ascending; and the flags from each on."""
        self.ipv6 = _compile(networks, IPV6, IPV6_LENGTH)
        """The same for IPv6."""

    def flags(self, packed: bytes) -> int:
        """Return the flags of an address (4 or 16 bytes, network byte order)."""
        starts, flags = self.ipv4 if len(packed) == IPV4_LENGTH else self.ipv6
        return flags[bisect_right(starts, packed) - 1]


def _compile(
    networks: list[tuple[Network, int]], version: int, size: int
) -> tuple[list[bytes], list[int]]:
    """Return the addresses of a family from which on flags change, and the flags from there."""
    flags = _sweep([(net, flag) for net, flag in networks if net.version == version])
    starts = [start.to_bytes(size) for start in flags if start < 1 << (8 * size)]
    return starts, list(flags.values())


def _sweep(flagged: list[tuple[Network, int]]) -> dict[int, int]:
    """Return the flags from each address on at which they change, ascending from 0."""
    changes: dict[int, list[tuple[int, int]]] = {0: []}
    for network, flag in flagged:
        first = int(network.network_address)
        changes.setdefault(first, []).append((flag, 1))
        changes.setdefault(first + network.num_addresses, []).append((flag, -1))
    counts: Counter[int] = Counter()
    flags = {}
    for address in sorted(changes):
        for flag, change in changes[address]:
            counts[flag] += change
        flags[address] = reduce(or_, (flag for flag, count in counts.items() if count), 0)
    return flags


def _flags_of(plan: AddressPlan) -> RangeMap:
    return RangeMap(
        (network, flag)
        for networks, flag in (
            (plan.tunnel, TUNNEL | NOT_CIDR | NOT_RESOLVED),
            (plan.dns_resources, DNS | NOT_CIDR | NOT_RESOLVED),
            (to_networks(_MULTICAST), MULTICAST),
            (to_networks(_NOT_CIDR), NOT_CIDR),
            (to_networks(_NOT_INTERNET), NOT_INTERNET),
            (to_networks(_NOT_RESOLVED), NOT_RESOLVED),
        )
        for network in networks
    )


address_flags: Shared[AddressPlan, RangeMap] = Shared(_flags_of)
"""Compile what an address plan and the standards say of every address."""
