"""Hypothesis strategies for packets, resources and hooks, over the same small pools."""

from typing import Unpack

from hypothesis import strategies as st

from firezone_filter import CidrResource, Direction, DnsResource, InternetResource, Resource
from firezone_filter.testing import (
    ACK,
    FIN,
    RST,
    SYN,
    Extension,
    Layout,
    authentication,
    destination_options,
    hop_by_hop,
    icmp_echo,
    icmp_error,
    ip,
    routing,
    tcp,
    udp,
)
from tests.numbers import ESP, GRE
from tests.property.pools import (
    EXCLUDES,
    FAR,
    FILTERS,
    NETWORKS,
    ODD,
    OUTBOUND,
    OWN_TEXT,
    PATTERNS,
    PROXIES,
    TUNNEL,
)
from tests.property.wire import ends_of, flow_of, opposite, version_of
from tests.scenes import at

versions = st.sampled_from((4, 6))
ports = st.sampled_from((443, 53, 80, 1, 0, 65_535))
all_ports = st.integers(0, 65_535)
flags = st.sampled_from((ACK, SYN, SYN | ACK, FIN | ACK, RST, FIN))
payloads = st.binary(max_size=24)
filters = st.sampled_from(FILTERS)

kinds = st.sampled_from(("tcp", "udp", "echo"))
"""What the NAT translates."""

MIDDLE = (destination_options(), destination_options(1), routing(), authentication())


@st.composite
def layouts(draw: st.DrawFn, version: int) -> Layout:
    """Draw what may stand between the IP header and the transport, all of it well formed."""
    if version == 4:
        # Nothing; no operation; a router alert (RFC 2113); a record route.
        options = (b"", b"\1\1\1\0", b"\x94\x04\0\0", b"\x07\x07\4" + bytes(5))
        return {"options": draw(st.sampled_from(options))}
    chain: list[Extension] = draw(st.lists(st.sampled_from(MIDDLE), max_size=3))
    if draw(st.booleans()):
        chain.insert(0, hop_by_hop())
    return {"extensions": chain, "hops": draw(st.integers(0, 255))}


def whole(
    kind: str, flow: str, data: bytes = b"", *, flag: int = ACK, **layout: Unpack[Layout]
) -> bytes:
    """Build a packet of one of the kinds; an echo has its identifier for a port."""
    if kind == "tcp":
        return tcp(flow, data, flags=flag, **layout)
    if kind == "udp":
        return udp(flow, data, **layout)
    near, _ = flow.split(" > ")
    identifier = int(near.rpartition(":")[2])
    return icmp_echo(flow, identifier=identifier, payload=data, **layout)


@st.composite
def fars(draw: st.DrawFn, version: int, *, proxies: bool = True) -> str:
    """Draw an address that is not a client's."""
    usual = (*PROXIES[version], *FAR[version]) if proxies else FAR[version]
    return draw(st.sampled_from((*usual, *ODD[version], *OWN_TEXT[version])))


@st.composite
def plain_packets(draw: st.DrawFn, direction: Direction, *, proxies: bool = True) -> bytes:
    """Draw a whole packet, well formed, between a client and anything else."""
    version = draw(versions)
    ends = [draw(st.sampled_from(TUNNEL[version])), draw(fars(version, proxies=proxies))]
    source, destination = ends if direction is OUTBOUND else ends[::-1]
    layout = draw(layouts(version) if draw(st.booleans()) else st.just(Layout()))
    data = draw(payloads)
    kind = draw(st.sampled_from(("tcp", "udp", "echo", "reply", "other")))
    if kind == "other":
        protocol = draw(st.sampled_from((ESP, GRE, 132)))
        return ip(f"{source} > {destination}", protocol, data, **layout)
    if kind == "reply":
        flow = f"{source} > {destination}"
        return icmp_echo(flow, reply=True, identifier=draw(ports), payload=data, **layout)
    flow = f"{at(source, draw(ports))} > {at(destination, draw(ports))}"
    return whole(kind, flow, data, flag=draw(flags), **layout)


@st.composite
def errors(draw: st.DrawFn, direction: Direction, *, proxies: bool = True) -> bytes:
    """Draw an ICMP error, mostly one that is about a packet of its own two ends."""
    quote = draw(plain_packets(opposite(direction), proxies=proxies))
    version = version_of(quote)
    near, far = ends_of(quote)
    kind = draw(st.sampled_from((3, 11, 12, 4) if version == 4 else (1, 2, 3, 4, 5)))
    return icmp_error(flow_of(far, near), kind, quoting=quote)


def whole_packets(direction: Direction, *, proxies: bool = True) -> st.SearchStrategy[bytes]:
    """Draw a packet that is no fragment."""
    return st.one_of(
        plain_packets(direction, proxies=proxies),
        plain_packets(direction, proxies=proxies),
        errors(direction, proxies=proxies),
    )


# --- Resources ------------------------------------------------------------------------------

cidr_resources = st.builds(
    CidrResource,
    st.sampled_from(("cidr-0", "cidr-1", "cidr-2")),
    st.sampled_from((*NETWORKS[4], *NETWORKS[6])),
    filters,
)
internet_resources = st.builds(
    InternetResource, st.sampled_from(("internet", "web")), exclude=st.sampled_from(EXCLUDES)
)
dns_resources = st.builds(
    DnsResource,
    st.sampled_from(("dns-0", "dns-1")),
    st.sampled_from(PATTERNS),
    filters,
)
resources: st.SearchStrategy[Resource] = st.one_of(
    cidr_resources, internet_resources, dns_resources
)


def distinct(pool: st.SearchStrategy[Resource], size: int) -> st.SearchStrategy[list[Resource]]:
    """Draw some resources of different ids."""
    return st.lists(pool, max_size=size, unique_by=lambda resource: resource.id)
