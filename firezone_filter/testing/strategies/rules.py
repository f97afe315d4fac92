"""Filters and resources."""

from collections.abc import Collection, Iterable
from ipaddress import ip_network
from typing import Final, Literal

from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    DnsResource,
    Filter,
    Icmp,
    InternetResource,
    PortRange,
    Protocol,
    Resource,
    Tcp,
    Udp,
)
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, MAX_BYTE, MAX_PORT, TCP, UDP
from firezone_filter.testing.strategies.ends import Network
from firezone_filter.testing.strategies.named import named

ResourceKind = Literal["cidr", "dns", "internet"]

NETWORKS: Final = ("10.0.0.0/16", "fd10::/48")
PATTERNS: Final = ("*.example.com", "git.example.com", "**.example.com", "db?.example.com")

_IDS: Final = ("db", "web", "git", "files", "all")
_PUBLIC: Final = ("8.8.8.0/24", "2600::/32")
_KINDS: Final[tuple[ResourceKind, ...]] = ("cidr", "dns", "internet")
_LONGER: Final = 16
"""How many bits a drawn network is longer than that around it, at most: so that they meet."""

_ports = st.sampled_from((443, 53, 22, 80)) | st.integers(0, MAX_PORT)
_ranges = st.builds(lambda one, other: PortRange(*sorted((one, other))), _ports, _ports)
_some_ports = (
    st.just(PortRange(0, MAX_PORT))
    | _ports
    | _ranges
    | st.lists(_ports | _ranges, min_size=1, max_size=3)
)
_types = st.lists(
    st.sampled_from((0, 8, 13, 128, 129)) | st.integers(0, MAX_BYTE), min_size=1, max_size=3
)
_protocols = st.sampled_from((47, 50, 132)) | st.integers(0, MAX_BYTE).filter(
    lambda number: number not in (ICMPV4, TCP, UDP, ICMPV6)
)
_one_filter: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Tcp, _some_ports),
    st.builds(Udp, _some_ports),
    st.sampled_from((Icmp(), Icmp.echo())),
    st.builds(Icmp, _types),
    st.builds(Icmp, types_v6=_types),
    st.builds(Protocol, _protocols),
)


def filters(*, min_size: int = 0, max_size: int = 4) -> st.SearchStrategy[tuple[Filter, ...]]:
    """Draw the filters of a resource: of every kind, with single ports, ranges and lists.

    Args:
        min_size: how many there are at least. **Without any, a resource permits everything**;
            this is also what it shrinks to.
        max_size: how many there are at most.
    """
    drawn = st.lists(_one_filter, min_size=min_size, max_size=max_size)
    return named("filters", drawn.map(tuple))


def resources(
    *,
    kinds: Collection[ResourceKind] = _KINDS,
    networks: Iterable[str | Network] = NETWORKS,
    patterns: Collection[str] = PATTERNS,
    ids: Collection[str] = _IDS,
) -> st.SearchStrategy[Resource]:
    """Draw a resource; with networks, patterns and ids from few, so that resources overlap.

    It shrinks towards a CIDR resource of all of the first network, which permits everything.

    Args:
        kinds: of which kinds: `"cidr"`, `"dns"` and `"internet"`.
        networks: CIDR resources have one of them, or one inside, at most 16 bits longer; some
            exclude a part of theirs.
        patterns: DNS resources have one of them; `firezone_filter.DnsResource` tells what a
            pattern is.
        ids: resources have one of them. Two of one id may differ in everything.

    Raises:
        ValueError: a kind has another name, or nothing is left to draw.
    """
    wanted = tuple(kinds)
    if unknown := set(wanted) - set(_KINDS):
        raise ValueError(f"no kinds of resources: {', '.join(sorted(unknown))}")
    id_, around = st.sampled_from(tuple(ids)), [ip_network(one) for one in networks]
    drawn: dict[ResourceKind, st.SearchStrategy[Resource]] = {
        "cidr": _cidr(id_, st.sampled_from(around)),
        "dns": st.builds(DnsResource, id_, st.sampled_from(tuple(patterns)), filters()),
        "internet": st.builds(
            InternetResource,
            id_,
            exclude=st.lists(st.sampled_from(_PUBLIC), max_size=2, unique=True),
        ),
    }
    return named("resources", st.one_of([drawn[kind] for kind in _KINDS if kind in wanted]))


@st.composite
def _cidr(
    draw: st.DrawFn, id_: st.SearchStrategy[str], around: st.SearchStrategy[Network]
) -> CidrResource:
    network = draw(_inside(draw(around), 0))
    exclude = []
    if network.prefixlen < network.max_prefixlen:
        exclude = draw(st.lists(_inside(network, 1), max_size=2))
    return CidrResource(draw(id_), network, draw(filters()), exclude=exclude)


@st.composite
def _inside(draw: st.DrawFn, network: Network, least: int) -> Network:
    """Draw a network inside another one, at least some bits longer."""
    most = min(_LONGER, network.max_prefixlen - network.prefixlen)
    longer = draw(st.integers(least, most))
    number = draw(st.integers(0, 2**longer - 1))
    size = network.num_addresses >> longer
    first = network[number * size]
    return ip_network((first, network.prefixlen + longer))
