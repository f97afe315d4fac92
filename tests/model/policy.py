"""What is permitted (section 5), and what a DNS pattern names (section 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING

from .values import ICMP, TCP, UDP, Address, Given

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PORT = 65_535

BROADCAST = [ip_network("255.255.255.255/32")]
MULTICAST = [ip_network("224.0.0.0/4"), ip_network("ff00::/8")]
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
UNSPECIFIED = [ip_network("0.0.0.0/8"), ip_network("::/128")]
LINK_LOCAL = [ip_network("169.254.0.0/16"), ip_network("fe80::/10")]
V4_MAPPED = [ip_network("::ffff:0:0/96")]
V4_COMPATIBLE = [ip_network("::/96")]

# Special under every plan, in the order of section 5, rule 1.
SPECIAL = [*LOOPBACK, *UNSPECIFIED, *MULTICAST, *BROADCAST, *V4_MAPPED, *V4_COMPATIBLE]

NAT64 = ip_network("64:ff9b::/96")  # the IPv4 address is the last 32 bits
SIX_TO_FOUR = ip_network("2002::/16")  # the IPv4 address is the 32 bits behind the prefix

LOCAL_SERVICES = [*LINK_LOCAL, ip_network("fd00:ec2::/32"), ip_network("fd20:ce::/32")]

PUBLIC_IPV6 = ip_network("2000::/3")
NOT_INTERNET = [
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
]


def within(address: Address, networks: Iterable[Given]) -> bool:
    return any(address in network for network in networks)


def carried(address: Address) -> IPv4Address | None:
    """Find the IPv4 address that a NAT64 or 6to4 address is a form of."""
    number = int(address)
    if address in NAT64:
        return IPv4Address(number & 0xFFFF_FFFF)
    if address in SIX_TO_FOUR:
        return IPv4Address(number >> 80 & 0xFFFF_FFFF)
    return None


def is_special(address: Address, plan: Given) -> bool:
    """Tell whether no CIDR network covers the address (rule 1)."""
    if within(address, [*SPECIAL, *plan.tunnel, *plan.dns_resources]):
        return True
    ipv4 = carried(address)
    return ipv4 is not None and (is_special(ipv4, plan) or within(ipv4, LINK_LOCAL))


def is_local_service(address: Address) -> bool:
    return within(address, LOCAL_SERVICES)


def lies_inside(network: Given, outer: Given) -> bool:
    return network.version == outer.version and bool(network.subnet_of(outer))


OTHER = -1
"""Any protocol that filters know nothing of."""

ALL_TYPES = frozenset(range(256))

# Naming one type of a pair of request and answer names both (section 3).
PAIRS = {
    4: [(8, 0), (13, 14), (15, 16), (17, 18), (42, 43)],
    6: [(128, 129), (139, 140), (160, 161)],
}


def refusal(filters: Iterable[Given], protocol: int, number: int | None) -> str | None:
    """Name the reason why filters refuse a protocol; `None` if they permit it.

    `number` is the port of TCP and UDP and the type of ICMP; `None` asks for every one.
    """
    filters = list(filters)
    if not filters:
        return None  # no filters: every protocol (section 5, rule 4)
    if protocol in (TCP, UDP):
        kind, reason = ("Tcp", "tcp-port") if protocol == TCP else ("Udp", "udp-port")
        ranges = [
            (one.first, one.last)
            for f in filters
            if type(f).__name__ == kind
            for one in _ranges(f.ports)
        ]
        if number is None:
            return None if _covers_every_port(ranges) else reason
        return None if any(first <= number <= last for first, last in ranges) else reason
    if protocol in ICMP.values():
        types = _icmp_types(filters, 4 if protocol == ICMP[4] else 6)
        return None if (types == ALL_TYPES if number is None else number in types) else "icmp"
    named = {f.number for f in filters if type(f).__name__ == "Protocol"}
    return None if protocol in named else "protocol"


def _ranges(ports: Given) -> Iterable[Given]:
    """Return the ranges of a filter that has one, or several."""
    return ports if isinstance(ports, tuple) else (ports,)


def _icmp_types(filters: Iterable[Given], version: int) -> set[int]:
    """Collect the types that filters permit: several `Icmp` add up."""
    found: set[int] = set()
    for one in filters:
        if type(one).__name__ != "Icmp":
            continue
        if one.types is None and one.types_v6 is None:
            return set(ALL_TYPES)
        # Where one family is given, none of the other is permitted.
        types = set((one.types if version == 4 else one.types_v6) or ())
        found |= types
        found |= {number for pair in PAIRS[version] if types & {*pair} for number in pair}
    return found


def _covers_every_port(ranges: list[tuple[int, int]]) -> bool:
    lowest_open = 0
    for first, last in sorted(ranges):
        if first > lowest_open:
            return False
        lowest_open = max(lowest_open, last + 1)
    return lowest_open > MAX_PORT


@dataclass(frozen=True)
class Candidate:
    """A resource that covers the address in question."""

    resource_id: str | None
    prefix_length: int
    reason: str | None  # why it refuses; `None` if it permits
    name: str = ""
    covers: Given = None  # the network, the proxy address, or `None` for the Internet


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Order by rule 2: permitting, then the longer prefix, then the greater id."""
    return sorted(
        candidates,
        key=lambda c: (c.reason is None, c.prefix_length, c.resource_id or ""),
        reverse=True,
    )


def best(candidates: Iterable[Candidate]) -> Candidate:
    """Choose the first of them."""
    return next(iter(ranked(candidates)), Candidate(None, 0, "no-resource"))


def cidr_covers(resource: Given, address: Address, plan: Given) -> bool:
    # What is excluded is as if the network were not there.
    return network_covers(resource, address, plan) and not within(address, resource.exclude)


def excludes(resource: Given, address: Address, plan: Given) -> bool:
    """Tell whether a CIDR resource would cover the address, if it did not leave it out.

    reading: what a network never covers, because it is special, it need not exclude.
    """
    if type(resource).__name__ != "CidrResource" or not within(address, resource.exclude):
        return False
    return network_covers(resource, address, plan)


def network_covers(resource: Given, address: Address, plan: Given) -> bool:
    """Tell whether the network of a CIDR resource has an address that it may cover (rule 1)."""
    if address not in resource.network or is_special(address, plan):
        return False
    if is_local_service(address):
        return any(lies_inside(resource.network, one) for one in LOCAL_SERVICES)
    return True


def is_internet(resource: Given, address: Address) -> bool:
    if address.version == 6 and address not in PUBLIC_IPV6:
        return False
    return not within(address, NOT_INTERNET) and not within(address, resource.exclude)


def proxied(resource: Given, address: Address, wanted: tuple[int, int | None]) -> Candidate:
    """Say what a DNS resource makes of a proxy address that was given for it."""
    reason = refusal(resource.filters, *wanted)
    return Candidate(resource.id, address.max_prefixlen, reason, resource.name, address)


def candidate(
    resource: Given, plan: Given, address: Address, wanted: tuple[int, int | None]
) -> Candidate | None:
    """Say what one resource makes of an address outside the DNS ranges; `None`: not its own."""
    kind = type(resource).__name__
    if kind == "CidrResource" and cidr_covers(resource, address, plan):
        reason = refusal(resource.filters, *wanted)
        network = resource.network
        return Candidate(resource.id, network.prefixlen, reason, resource.name, network)
    if kind == "InternetResource":
        reason = None if is_internet(resource, address) else "not-internet"
        return Candidate(resource.id, 0, reason, resource.name)
    return None


class FilterTable:
    """`ClientFilterTable` by itself: rules 2 to 4, no plan, no special addresses."""

    def __init__(self) -> None:
        self.entries: dict[tuple[Given, str], tuple[list[Given], list[Given]]] = {}

    def allow(
        self,
        network: Given,
        resource_id: str,
        filters: Iterable[Given] = (),
        exclude: Iterable[Given] = (),
    ) -> None:
        self.entries[network, resource_id] = list(filters), list(exclude)

    def revoke(self, resource_id: str) -> bool:
        before = len(self.entries)
        self.entries = {key: one for key, one in self.entries.items() if key[1] != resource_id}
        return len(self.entries) < before

    def match(
        self,
        address: Address,
        protocol: int,
        port: int | None = None,
        *,
        icmp_type: int | None = None,
    ) -> tuple[str, Given, str | None] | None:
        """Choose an entry: its resource id, its network, why it refuses."""
        foreign = ICMP[6 if address.version == 4 else 4]
        asked = OTHER if protocol == foreign else protocol
        number = port if protocol in (TCP, UDP) else icmp_type
        covering = [
            (resource_id, network, refusal(filters, asked, number))
            for (network, resource_id), (filters, exclude) in self.entries.items()
            if address in network and not within(address, exclude)
        ]
        return max(
            covering, key=lambda one: (one[2] is None, one[1].prefixlen, one[0]), default=None
        )

    def permits(
        self,
        address: Address,
        protocol: int,
        port: int | None = None,
        *,
        icmp_type: int | None = None,
    ) -> bool:
        match = self.match(address, protocol, port, icmp_type=icmp_type)
        return match is not None and match[2] is None


# Patterns ----------------------------------------------------------------------------

LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
MAX_NAME = 253


def without_final_dot(name: str) -> str:
    return name.removesuffix(".")


def normal(name: str) -> str:
    """Write a name or pattern the one way: case and a final dot do not matter."""
    return without_final_dot(name).lower()


def is_name(name: str) -> bool:
    name = without_final_dot(name)
    return len(name) <= MAX_NAME and all(LABEL.fullmatch(part) for part in name.split("."))


def names(pattern: str, domain: str) -> bool:
    """Tell whether `pattern` matches the name `domain`."""
    if not is_name(domain):
        return False
    wanted, given = normal(pattern).split("."), normal(domain).split(".")
    if _labels_match(wanted, given):
        return True
    # A leading `*.` also matches the bare name.
    return wanted[0] == "*" and len(wanted) > 1 and _labels_match(wanted[1:], given)


def _labels_match(wanted: list[str], given: list[str]) -> bool:
    if not wanted:
        return not given
    if wanted[0] == "**":
        return any(_labels_match(wanted[1:], given[skip:]) for skip in range(len(given) + 1))
    return (
        bool(given)
        and _label_matches(wanted[0], given[0])
        and _labels_match(wanted[1:], given[1:])
    )


def _label_matches(wanted: str, given: str) -> bool:
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(letter, re.escape(letter)) for letter in wanted)
    return re.fullmatch(expression, given) is not None
