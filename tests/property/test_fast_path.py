"""The fast path of new TCP and UDP flows, and the full table of checks: two ways, one answer."""

from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import product
from typing import Any, Final, NamedTuple

from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from firezone_filter import (
    AddressPlan,
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Forward,
    Gateway,
    GatewayOptions,
    InvalidAddress,
    Resource,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.access.special_ranges import DNS, MULTICAST, NOT_CIDR, TUNNEL, address_flags
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.first_packets import FirstPackets
from firezone_filter.gateway.judge import Judge
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.testing import udp
from firezone_filter.tracking.lifetimes import TrackedSession
from firezone_filter.values.addresses import Network
from tests.property.pools import (
    CLIENTS,
    DOMAINS,
    INBOUND,
    OUTBOUND,
    OWN,
    PROXIES,
    RESOLVED,
)
from tests.property.pools import (
    TUNNEL as NEAR,
)
from tests.property.strategies import fars, flags, ports, resources, versions, whole
from tests.property.twins import outcome
from tests.property.wire import opposite, turned
from tests.scenes import at

# --- Two gateways ------------------------------------------------------------------------------


class Packet(NamedTuple):
    direction: Direction
    data: bytes
    client_id: str | None


class Counting(Judge):
    """A judge that counts how often it is asked for a ruling by its tables."""

    asked = 0

    def judge(self, *facts: Any) -> Ruling:  # noqa: ANN401 - as the judge takes them
        self.asked += 1
        return super().judge(*facts)


def gateway(options: GatewayOptions) -> tuple[Gateway, Counting]:
    made = Gateway(OWN[0], options=options)
    made._judge = judge = Counting(made._context, made._clients)
    return made, judge


def without_first_packets(made: Gateway) -> None:
    """Let a gateway without clients leave all first packets to the tables.

    The near ends that they are looked up among are others than the clients, and stay none.
    """
    FirstPackets.__init__(
        made, {}, made._context.ranges, made._refusals, replies=made._context.options.reject
    )


class Both:
    """Two gateways that are told the same; one leaves all first packets to the tables."""

    def __init__(self, options: GatewayOptions) -> None:
        self.gateways = [gateway(options) for _ in range(2)]
        without_first_packets(self.gateways[1][0])
        self.kinds: Counter[str] = Counter()
        """What has been decided without the tables."""

    def call(self, name: str, *arguments: object, **named: object) -> None:
        """Call a hook of both."""
        told = [
            outcome(lambda: getattr(one, name)(*arguments, **named))  # noqa: B023
            for one, _ in self.gateways
        ]
        assert told[0] == told[1]
        self.compare()

    def packet(self, packet: Packet, now: float) -> Decision:
        """Let both decide about a packet."""
        asked = [judge.asked for _, judge in self.gateways]
        fast, full = [
            one.handle_packet(packet.direction, packet.data, now, packet.client_id)
            for one, _ in self.gateways
        ]
        assert fast == full
        self.compare()
        more = [judge.asked - n for (_, judge), n in zip(self.gateways, asked, strict=True)]
        assert more[0] <= more[1]
        if more == [0, 1]:
            self.kinds[type(fast).__name__] += 1
        return fast

    def compare(self) -> None:
        fast, full = [seen(one) for one, _ in self.gateways]
        for part, other in zip(fast, full, strict=True):
            assert part == other


def seen(one: Gateway) -> list[object]:
    """Return all that may follow from a packet."""
    events = list(iter(one.poll_event, None))
    cache = one._flow_cache
    return [
        events,
        one.counters(),
        one.poll_timeout(),
        cache.count,
        {
            (table, key): entry if isinstance(entry, Forward) else type(entry)
            for table, shards in cache.tables.items()
            for flows in shards
            for key, entry in flows.items()
        },
        [held(client) for client in one._clients.by_id.values()],
    ]


def held(client: Client) -> list[object]:
    """Return the state of a client that packets change."""
    cache, nat, flows = client.flow_cache, client.nat, client.flows
    sessions = (
        []
        if nat is None
        else [
            (real, session.key, session.outside, lifetime(session))
            for real, by_end in nat._sessions._reverse.items()
            for session in by_end.values()
        ]
    )
    return [
        [(table, list(queue.keys)) for table, queue in cache._queues.items()],
        [(table, list(keys)) for table, (keys, _, _) in cache._prepared.items()],
        (client.reply_tokens._tokens, client.reply_tokens._filled),
        sessions,
        [] if flows is None else [(n, lifetime(one)) for n, one in flows._by_identity.items()],
    ]


def lifetime(session: TrackedSession) -> tuple[object, ...]:
    return (
        session.last,
        session.last_outbound,
        session.seen,
        session.is_open,
        session.resource_port,
        session.outbound_key,
        session.inbound_key,
    )


# --- Stories -----------------------------------------------------------------------------------


ANSWERED: Final = -1
"""In the place of a packet: the answer to the one before."""


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Draw a whole packet of TCP or UDP between a client and anything else."""
    version, direction = draw(versions), draw(st.sampled_from(Direction))
    near = draw(st.sampled_from(NEAR[version][:2]))
    # Mostly what a client may reach.
    usual = RESOLVED[version][:2] + PROXIES[version][:2] * (direction is OUTBOUND)
    far = draw(st.sampled_from(usual))
    client_id = draw(st.sampled_from((None, CLIENTS[NEAR[version].index(near)])))
    if draw(st.sampled_from((False, False, False, True))):
        near = draw(st.sampled_from(NEAR[version]))
        far = draw(st.one_of(fars(version), st.sampled_from(NEAR[version])))
        client_id = draw(st.sampled_from((None, "alice", "bob", "nobody")))
    ends = (at(near, draw(ports)), at(far, draw(ports)))
    flow = " > ".join(ends if direction is OUTBOUND else ends[::-1])
    packet = whole(draw(st.sampled_from(("tcp", "udp"))), flow, flag=draw(flags))
    return Packet(direction, packet, client_id)


few = st.sampled_from((1, 2, 100, 100))
options = st.builds(
    GatewayOptions,
    reject=st.booleans(),
    reject_rate=st.just(0.125),
    reject_burst=few,
    stateful=st.booleans(),
    flow_records=st.booleans(),
    max_remembered=st.sampled_from((0, 1, 2, 100, 100)),
    max_sessions_per_client=few,
    max_sessions=few,
    max_flows_per_client=few,
    max_flows=few,
)
steps = st.sampled_from((0.0, 0.0, 0.25, 5.0, 60.0, 150.0, 7441.0))


Grant = tuple[str, Resource, float | None]
"""A client, what it may reach, and for how long."""


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    client_id = draw(st.sampled_from(CLIENTS[:2]))
    expires_in = draw(st.sampled_from((None, None, None, 5.0, 90.0)))
    usual: st.SearchStrategy[Resource] = st.sampled_from((WIDE, NAMED))
    return client_id, draw(st.one_of(usual, usual, resources)), expires_in


WIDE: Final = CidrResource("wide", "10.0.0.0/8")
NAMED: Final = DnsResource("dns-0", "*.example.com")


def authorize(both: Both, grant: Grant, now: float) -> None:
    client_id, resource, expires_in = grant
    both.call("authorize", client_id, resource, expires_at=expires_in and now + expires_in)
    if isinstance(resource, DnsResource):
        both.call(
            "domain_resolved",
            client_id,
            resource.id,
            DOMAINS[0],
            proxy_addresses=[*PROXIES[4][:2], *PROXIES[6][:2]],
            resolved_addresses=[RESOLVED[4][0], RESOLVED[6][0]],
        )


def answer(before: Packet, decision: Decision) -> Packet:
    """Return the answer to a packet, as it comes from where the packet went."""
    sent = decision.to_send(before.data) if decision.allowed else None
    return Packet(opposite(before.direction), turned(sent or before.data), None)


Told = tuple[float, Packet | int | Grant]
stories = st.lists(
    st.tuples(steps, st.one_of(*[packets()] * 4, *[st.just(ANSWERED)] * 2, grants())),
    min_size=6,
    max_size=20,
)


def tell(chosen: GatewayOptions, first: list[Grant], story: list[Told]) -> Counter[str]:
    """Tell both gateways a story; return what one has decided without the tables."""
    both, now = Both(chosen), 1.0
    for client_id, four, six in zip(CLIENTS[:2], NEAR[4], NEAR[6], strict=False):
        both.call("client_connected", client_id, TunnelAddresses(four, six), now)
    for grant in first:
        authorize(both, grant, now)
    before: tuple[Packet, Decision] | None = None
    for seconds, what in story:
        now += seconds
        if isinstance(what, Packet):
            before = what, both.packet(what, now)
        elif not isinstance(what, int):
            authorize(both, what, now)
        elif before is not None:
            answered = answer(*before)
            before = answered, both.packet(answered, now)
        if seconds > 100.0:
            both.call("handle_timeout", now)
    return both.kinds


def test_first_packets_and_the_full_tables_agree_in_all_that_follows() -> None:
    kinds: Counter[str] = Counter()

    @settings(max_examples=max(50, settings().max_examples))
    @example(GatewayOptions(reject_burst=1), GRANTS, ALL_KINDS)
    @example(GatewayOptions(stateful=True, flow_records=True), GRANTS, ALL_KINDS)
    @given(options, st.lists(grants(), min_size=1, max_size=5), stories)
    def play(chosen: GatewayOptions, first: list[Grant], story: list[Told]) -> None:
        kinds.update(tell(chosen, first, story))

    play()
    # The fast way decides, and not the tables alone.
    assert set(kinds) == {"Forward", "Translate", "Reject", "Drop"}


def sent(far: str, port: int) -> Told:
    return 0.25, Packet(OUTBOUND, udp(f"{NEAR[4][0]}:{port} > {far}:53"), None)


GRANTS: Final[list[Grant]] = [
    ("alice", WIDE, None),
    ("alice", NAMED, None),
    # A local service that no wider network covers, and a host of which the network permits more.
    ("alice", CidrResource("link", "169.0.0.0/8"), None),
    ("alice", CidrResource("host", "10.0.0.5/32", [Tcp(443)]), None),
]
ALL_KINDS: Final[list[Told]] = [
    sent("10.0.0.1", 1),
    (0.0, ANSWERED),
    sent(PROXIES[4][0], 2),
    (0.0, ANSWERED),
    sent("9.9.9.9", 3),
    sent("9.9.9.9", 4),
    sent("169.254.1.1", 5),
    sent("10.0.0.5", 6),
    (0.25, Packet(INBOUND, udp(f"{PROXIES[4][0]}:53 > {NEAR[4][0]}:7"), None)),
]


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
