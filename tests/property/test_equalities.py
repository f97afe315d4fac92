"""What must make no difference, and what must make all of it."""

import random
from collections.abc import Iterable
from itertools import product

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Decision,
    Direction,
    DnsResource,
    Event,
    Forward,
    GatewayOptions,
    Resource,
    TunnelAddresses,
)
from firezone_filter.testing import RST
from tests.model.packets import parse
from tests.numbers import TCP
from tests.property.policies import STATEFUL, UNLIMITED, connected, resolve
from tests.property.pools import (
    CLIENTS,
    FAR,
    INBOUND,
    JUST_BEFORE,
    OUTBOUND,
    OWN,
    PROXIES,
    TUNNEL,
)
from tests.property.story import Story
from tests.property.strategies import (
    cidr_resources,
    distinct,
    internet_resources,
    resources,
    whole,
    whole_packets,
)
from tests.property.twins import Twins
from tests.property.wire import ends_of, opposite, turned
from tests.scenes import at

Aimed = tuple[Direction, bytes]

stateless = st.one_of(cidr_resources, internet_resources)
aimed: st.SearchStrategy[Aimed] = st.one_of(
    whole_packets(OUTBOUND).map(lambda packet: (OUTBOUND, packet)),
    whole_packets(INBOUND).map(lambda packet: (INBOUND, packet)),
)
several = st.lists(aimed, min_size=1, max_size=6)
stories = st.builds(
    lambda seed, stateful: Story(random.Random(seed), stateful=stateful),
    st.integers(0, 2**32),
    st.booleans(),
)


# --- As if it never was ----------------------------------------------------------------------


@given(distinct(resources, 4), resources, several, several)
def test_granting_and_then_revoking_is_as_if_it_never_was(
    policy: list[Resource], resource: Resource, before: list[Aimed], after: list[Aimed]
) -> None:
    # A reset would be remembered as the end of a session, and name a refusal.
    before = [(way, packet) for way, packet in before if not resets(packet)]
    extra = evolve(resource, id="extra")
    never, for_a_while = granted(policy), granted(policy)

    decisions(never, before)
    # Names of its own, and addresses of its own behind them.
    grant(for_a_while, extra, name=1)
    decisions(for_a_while, before)
    for_a_while.call("revoke", "alice", "extra")

    assert decisions(for_a_while, after) == decisions(never, after)
    assert for_a_while.call("authorizations", "alice") == never.call("authorizations", "alice")


moments_before = st.lists(st.sampled_from((0.0, 10.0, 30.0 - JUST_BEFORE)), max_size=3).map(sorted)
moments_after = st.lists(
    st.sampled_from((30.0, 30.0 + JUST_BEFORE, 35.0, 89.0, 90.0, 150.0, 270.0)), max_size=3
).map(sorted)


@given(distinct(resources, 4), resources, moments_before, moments_after, st.data())
def test_expiry_at_a_moment_equals_revocation_at_that_moment(
    policy: list[Resource],
    resource: Resource,
    before: list[float],
    after: list[float],
    data: st.DataObject,
) -> None:
    extra = evolve(resource, id="extra")
    options = data.draw(st.sampled_from((UNLIMITED, STATEFUL)))
    expiring, revoked = granted(policy, options), granted(policy, options)
    grant(expiring, extra, expires_at=30.0, name=1)
    grant(revoked, extra, name=1)

    for now in before:
        packets = data.draw(several)
        assert decisions(expiring, packets, now) == decisions(revoked, packets, now)
    revoked.call("handle_timeout", 30.0)
    revoked.call("revoke", "alice", "extra")
    for now in [30.0, *after]:
        packets = data.draw(several)
        assert decisions(expiring, packets, now) == decisions(revoked, packets, now)

    told_expiry, *rest = events(expiring)
    assert told_expiry == AuthorizationExpired("alice", "extra", 30.0)
    assert rest == events(revoked) == ([] if policy else [AccessExhausted("alice")])


@given(
    distinct(resources, 6).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some)))
)
def test_the_order_of_grants_does_not_matter(
    orders: tuple[list[Resource], list[Resource]],
) -> None:
    one, other = (granted(order) for order in orders)
    packets = every_flow()

    assert decisions(one, packets) == decisions(other, packets)


# --- All of the difference -------------------------------------------------------------------


@given(stories, st.sampled_from(CLIENTS))
def test_a_client_that_disconnected_gets_nothing_either_way(story: Story, client_id: str) -> None:
    story.tell(100)
    passed = about(story, client_id)

    story.twins.call("client_disconnected", client_id)

    for direction, packet in passed:
        assert not story.twins.packet(direction, packet).allowed


@given(stories, st.sampled_from(CLIENTS))
def test_a_client_that_comes_back_gets_nothing_but_the_gateway_itself(
    story: Story, client_id: str
) -> None:
    story.tell(100)
    passed = about(story, client_id)

    # Nobody else may have one of its addresses by now.
    for other in {*CLIENTS} - {client_id}:
        story.twins.call("client_disconnected", other)
    story.twins.call("set_addresses", OWN[0])
    place = CLIENTS.index(client_id)
    addresses = TunnelAddresses(TUNNEL[4][place], TUNNEL[6][place])
    story.twins.call("client_connected", client_id, addresses)

    assert story.twins.call("authorizations", client_id) == {}
    for direction, packet in passed:
        decision = story.twins.packet(direction, packet)
        assert not decision.allowed or decision == Forward(client_id, None)


# --- Below -----------------------------------------------------------------------------------


def granted(policy: Iterable[Resource], options: GatewayOptions = UNLIMITED) -> Twins:
    """Let Alice have some resources, and names resolve where she may resolve them."""
    twins = connected(options)
    for resource in policy:
        grant(twins, resource)
    return twins


def grant(
    twins: Twins, resource: Resource, expires_at: float | None = None, name: int = 0
) -> None:
    twins.call("authorize", "alice", resource, expires_at=expires_at)
    if isinstance(resource, DnsResource):
        resolve(twins, "alice", resource.id, name, resolved=name)


def decisions(twins: Twins, packets: Iterable[Aimed], now: float | None = None) -> list[Decision]:
    return [twins.packet(direction, packet, now) for direction, packet in packets]


def events(twins: Twins) -> list[Event]:
    return list(iter(twins.gateway.poll_event, None))


def resets(packet: bytes) -> bool:
    read = parse(packet)
    assert read is not None
    return read.protocol == TCP and bool(read.tcp_flags & RST)


def every_flow() -> list[Aimed]:
    """Build a packet of each kind between Alice and each address, both ways."""
    packets: list[Aimed] = []
    for version, kind in product((4, 6), ("tcp", "udp", "echo")):
        for far in (*PROXIES[version][:2], *FAR[version][:5]):
            packet = whole(kind, f"{at(TUNNEL[version][0], 443)} > {at(far, 443)}")
            packets += [(OUTBOUND, packet), (INBOUND, turned(packet))]
    return packets


def about(story: Story, client_id: str) -> list[Aimed]:
    """Return what passed for a client in a story, and what could come next."""
    client = story.twins.model._clients.get(client_id)
    owned = set() if client is None else {address.packed for address in client.addresses}
    packets = [*story.seen]
    for inner, outer in story.flows.values():
        packets += [(OUTBOUND, inner), (INBOUND, turned(outer))]
    packets += [(opposite(direction), turned(packet)) for direction, packet in packets]
    return [
        (direction, packet)
        for direction, packet in packets
        if ends_of(packet)[direction is INBOUND] in owned
    ]
