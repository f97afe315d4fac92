"""The fast path of new TCP and UDP flows, and the full table of checks: two ways, one answer."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import product
from typing import NamedTuple

from hypothesis import example, given, reject
from hypothesis import strategies as st

from firezone_filter import (
    AddressPlan,
    Decision,
    Direction,
    DnsResource,
    Gateway,
    GatewayOptions,
    InvalidAddress,
    Resource,
    TunnelAddresses,
)
from firezone_filter.access.special_ranges import DNS, MULTICAST, NOT_CIDR, TUNNEL, address_flags
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.values.addresses import Network
from tests.property.pools import (
    CLIENTS,
    DOMAINS,
    OUTBOUND,
    OWN,
    PROXIES,
    RESOLVED,
)
from tests.property.pools import (
    TUNNEL as NEAR,
)
from tests.property.strategies import distinct, fars, flags, ports, resources, versions, whole
from tests.scenes import at


class Judged(NamedTuple):
    """Two decisions about one packet."""

    fast: Decision
    full: Decision


def judge_both(
    gateway: Gateway, direction: Direction, packet: bytes, now: float, client_id: str | None
) -> Judged:
    """Judge a whole TCP or UDP packet without options, the fast way and by the full table."""
    is_ipv4 = packet[0] >> 4 == 4
    protocol, flow = (packet[9], packet[12:24]) if is_ipv4 else (packet[6], packet[8:44])
    judge = gateway._judge
    fast = judge.judge_new_tcp_or_udp(direction, protocol, flow, packet, now, client_id)
    return Judged(
        fast=fast.decision if isinstance(fast, Ruling) else fast,
        full=judge.judge(direction, packet, now, client_id).decision,
    )


class Packet(NamedTuple):
    direction: Direction
    data: bytes
    client_id: str | None


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Draw a whole packet of TCP or UDP between a client and anything else."""
    version = draw(versions)
    near = at(draw(st.sampled_from(NEAR[version])), draw(ports))
    far = at(draw(st.one_of(fars(version), st.sampled_from(NEAR[version]))), draw(ports))
    direction = draw(st.sampled_from(Direction))
    flow = f"{near} > {far}" if direction is OUTBOUND else f"{far} > {near}"
    packet = whole(draw(st.sampled_from(("tcp", "udp"))), flow, flag=draw(flags))
    client_id = draw(st.sampled_from((None, None, "alice", "bob", "nobody")))
    return Packet(direction, packet, client_id)


@st.composite
def gateways(draw: st.DrawFn) -> Gateway:
    """Draw a gateway whose clients may reach something, by networks and by names."""
    # Replies must not run out between the one way and the other.
    options = GatewayOptions(
        reject=draw(st.booleans()), reject_burst=10_000, flow_records=draw(st.booleans())
    )
    gateway = Gateway(OWN[0], options=options)
    for client_id, four, six in zip(CLIENTS[:2], NEAR[4], NEAR[6], strict=False):
        gateway.client_connected(client_id, TunnelAddresses(four, six), 0.0)
        for resource in draw(distinct(resources, 5)):
            gateway.authorize(client_id, resource)
            give_name(gateway, client_id, resource)
    return gateway


def give_name(gateway: Gateway, client_id: str, resource: Resource) -> None:
    if isinstance(resource, DnsResource):
        gateway.domain_resolved(
            client_id,
            resource.id,
            DOMAINS[0],
            proxy_addresses=[*PROXIES[4][:2], *PROXIES[6][:2]],
            resolved_addresses=[RESOLVED[4][0], RESOLVED[6][0]],
        )


@given(gateways(), st.lists(packets(), min_size=1, max_size=12))
def test_the_fast_path_and_the_full_table_agree(gateway: Gateway, several: list[Packet]) -> None:
    for seconds, one in enumerate(several):
        now = 20.0 * seconds
        gateway.handle_timeout(now)
        fast, full = judge_both(gateway, one.direction, one.data, now, one.client_id)
        assert fast == full
        # Sessions begin, so that the next packets may belong to one.
        gateway.handle_packet(one.direction, one.data, now, one.client_id)


# --- Why they agree ---------------------------------------------------------------------------

networks = st.one_of(
    st.builds(
        lambda bits, length: IPv4Network((bits >> 32 - length << 32 - length, length)),
        st.integers(0, 2**32 - 1),
        st.integers(4, 32),
    ),
    st.builds(
        lambda bits, length: IPv6Network((bits >> 128 - length << 128 - length, length)),
        st.integers(0, 2**128 - 1),
        st.integers(4, 128),
    ),
)


@given(st.lists(networks, max_size=4), st.lists(networks, max_size=4))
@example(AddressPlan().tunnel, AddressPlan().dns_resources)
@example([ip_network("0.0.0.0/0")], [ip_network("::/0")])
def test_no_network_covers_an_address_that_an_earlier_row_treats_apart(
    tunnel: Sequence[Network], dns: Sequence[Network]
) -> None:
    try:
        plan = AddressPlan(tunnel, dns)
    except InvalidAddress:
        reject()
    ranges = address_flags(plan)
    for flag in (*ranges.ipv4[1], *ranges.ipv6[1]):
        assert flag & NOT_CIDR or not flag & (TUNNEL | DNS | MULTICAST)
    for network, flag in [*product(plan.tunnel, [TUNNEL]), *product(plan.dns_resources, [DNS])]:
        for address in (network[0], network[-1]):
            assert ranges.flags(address.packed) & (flag | NOT_CIDR) == flag | NOT_CIDR
