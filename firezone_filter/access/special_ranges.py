"""Special addresses: the flags that an address has by plan and standards, before any policy.

One look-up in the range map tells the judge which rows can concern a far address, and which
kinds of resource can cover it (rules.md, section 5, rules 1 and 5).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import reduce
from ipaddress import IPv6Address, IPv6Network
from operator import or_
from typing import Final

from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6, IPV6_LENGTH
from firezone_filter.structures.interning import Interned
from firezone_filter.values.addresses import AddressPlan, Network, to_networks

TUNNEL: Final = 1
"""In the plan's tunnel ranges."""

DNS: Final = 2
"""In the plan's ranges of proxy addresses."""

MULTICAST: Final = 4
"""Multicast, or the limited broadcast address."""

NOT_CIDR: Final = 8
"""A special address: covered by no CIDR resource, however wide its network."""

NOT_INTERNET: Final = 16
"""Not public: no Internet resource permits it."""

LOCAL_SERVICE: Final = 32
"""An address of a link, or of a cloud's own services: covered only by a network that is meant
for it, one that lies inside the range."""

PROXY: Final = DNS | NOT_CIDR
"""The flags of a proxy address that permissions depend on."""

NOT_RESOLVED: Final = NOT_CIDR | LOCAL_SERVICE
"""Never the answer of an honest name server for a host behind the gateway."""

_MULTICAST = ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")

# A wide CIDR resource (0.0.0.0/0, say) is meant for the networks behind the gateway, not for
# the gateway's own loopback, nor for addresses that stand for "this host" (RFC 1122, section
# 3.2.1.3) or for an IPv4 address in disguise (RFC 4291, section 2.5.5).
_SPECIAL = ("0.0.0.0/8", "127.0.0.0/8", "::/96", "::1/128", "::ffff:0:0/96", *_MULTICAST)

LOCAL_SERVICES: Final = to_networks(
    (
        "169.254.0.0/16",  # link-local (RFC 3927); AWS, Azure and others have metadata there
        "fe80::/10",  # link-local (RFC 4291, section 2.5.6)
        "fd00:ec2::/32",  # AWS: metadata, name server, time
        "fd20:ce::/32",  # Google Cloud: metadata
    )
)
"""Where hosts of a link and of a cloud offer credentials to whoever asks from there."""

_LOCAL_PREFIXES: Final = tuple(
    (
        local.version,
        local.prefixlen,
        int(local.network_address) >> int(local.hostmask).bit_length(),
    )
    for local in LOCAL_SERVICES
)

# IPv6 addresses that a gateway of NAT64 (RFC 6052, section 2.1) or a 6to4 relay (RFC 3056,
# section 2) turns into the IPv4 address inside them.
_NAT64 = IPv6Address("64:ff9b::")
_6TO4 = IPv6Address("2002::")

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


class RangeMap:
    """A map from every address to its flags, with one bisection per look-up.

    An address has the flags of all networks that cover it. The bounds are compiled once, so a
    look-up costs the same for one network as for fifty.
    """

    __slots__ = ("__weakref__", "ipv4", "ipv6")

    def __init__(self, flagged: Iterable[tuple[Network, int]]) -> None:
        networks = list(flagged)
        self.ipv4: tuple[list[bytes], list[int]] = _compile(networks, IPV4, IPV4_LENGTH)
        """The IPv4 addresses at which flags change, ascending, and the flags from each on."""
        self.ipv6: tuple[list[bytes], list[int]] = _compile(networks, IPV6, IPV6_LENGTH)
        """The same of IPv6."""

    def flags(self, packed: bytes) -> int:
        """Return the flags of an address (4 or 16 bytes, network byte order)."""
        starts, flags = self.ipv4 if len(packed) == IPV4_LENGTH else self.ipv6
        return flags[bisect_right(starts, packed) - 1]


def _compile(
    networks: list[tuple[Network, int]], version: int, size: int
) -> tuple[list[bytes], list[int]]:
    """Return the addresses of one family at which flags change, and the flags from each on."""
    flags = _sweep([(net, flag) for net, flag in networks if net.version == version])
    starts = [start.to_bytes(size) for start in flags if start < 1 << (8 * size)]
    return starts, list(flags.values())


def _sweep(flagged: list[tuple[Network, int]]) -> dict[int, int]:
    """Return flags by the address from which they apply, ascending from 0."""
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


def is_local_service(network: Network) -> bool:
    """Tell whether a network lies inside a range of local services."""
    # `subnet_of` would take 2 µs for each of them, a good part of an `authorize`.
    first, bits = int(network.network_address), network.max_prefixlen
    for version, prefixlen, prefix in _LOCAL_PREFIXES:
        if (
            network.version == version
            and network.prefixlen >= prefixlen
            and first >> (bits - prefixlen) == prefix
        ):
            return True
    return False


def _in_disguise(network: Network) -> tuple[IPv6Network, ...]:
    """Return the IPv6 networks that stand for an IPv4 network, if it is one."""
    if network.version != IPV4:
        return ()
    first = int(network.network_address)
    return (
        IPv6Network((int(_NAT64) | first, 96 + network.prefixlen)),
        IPv6Network((int(_6TO4) | first << 80, 16 + network.prefixlen)),
    )


def _flags_of(plan: AddressPlan) -> RangeMap:
    special = (*to_networks(_SPECIAL), *plan.tunnel, *plan.dns_resources)
    disguised = [
        hidden for network in (*special, *LOCAL_SERVICES) for hidden in _in_disguise(network)
    ]
    return RangeMap(
        (network, flag)
        for networks, flag in (
            (plan.tunnel, TUNNEL),
            (plan.dns_resources, DNS),
            (to_networks(_MULTICAST), MULTICAST),
            ((*special, *disguised), NOT_CIDR),
            (to_networks(_NOT_INTERNET), NOT_INTERNET),
            (LOCAL_SERVICES, LOCAL_SERVICE),
        )
        for network in networks
    )


address_flags: Interned[AddressPlan, RangeMap] = Interned(_flags_of)
"""Compile the range map of an address plan; equal plans share it. A global cache."""
