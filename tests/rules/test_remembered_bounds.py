"""Section 4, "What may be remembered": the bounds of the flow cache, and eviction (FIFO)."""

from collections.abc import Iterable
from itertools import product
from typing import Final

from attrs import evolve

from firezone_filter import (
    CidrResource,
    Direction,
    Forward,
    Gateway,
    GatewayOptions,
    Udp,
)
from firezone_filter.testing import tcp, udp
from tests.established import QUIET, both_options, tcp_and_udp
from tests.forgetful import remembers
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    both_directions,
    gateway_for_alice,
)
from tests.translations import (
    N4,
    gateway_with,
    through,
)

MOST: Final = 2_048
"""Flows remembered of one client, for each direction and protocol."""


def numbered(direction: Direction, kind: str, numbers: Iterable[int]) -> list[bytes]:
    """Build packets that differ in the port of the resource."""
    build = tcp if kind == "tcp" else udp
    return [build(V4.flow(direction, number)) for number in numbers]


def places(gateway: Gateway) -> int:
    return gateway.counters().cached_flows


@tcp_and_udp
@both_directions
@both_options
def test_at_the_limit_the_oldest_flow_is_evicted_first(
    options: GatewayOptions, direction: Direction, kind: str
) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    packets = numbered(direction, kind, range(MOST + 2))
    allowed = [Forward("alice", "db")]
    assert gateway.handle_packets(direction, packets[:MOST]) == allowed * MOST
    # A flow that is cached already takes no second place.
    assert gateway.handle_packets(direction, packets[:MOST]) == allowed * MOST
    assert remembers(gateway, direction, packets[0])
    assert gateway.handle_packets(direction, packets[MOST:]) == allowed * 2
    assert places(gateway) == MOST
    found = [remembers(gateway, direction, packets[place]) for place in (0, 1, 2, MOST + 1)]
    assert found == [False, False, True, True]
    # An evicted flow that comes again is the youngest.
    assert gateway.handle_packets(direction, packets[:2]) == allowed * 2
    found = [remembers(gateway, direction, packets[place]) for place in (0, 1, 2, 3, 4)]
    assert found == [True, True, False, False, True]
    assert gateway.handle_packets(direction, packets) == allowed * (MOST + 2)
    assert places(gateway) == MOST
    gateway.revoke("alice", "db")
    assert places(gateway) == 0


def test_each_direction_and_protocol_has_places_of_its_own_for_both_families() -> None:
    gateway = gateway_for_alice(V4.db(), CidrResource("db6", V6.network), options=QUIET)
    six = V6.udp(OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, six).allowed
    for direction, kind in product((OUTBOUND, INBOUND), ("tcp", "udp")):
        gateway.handle_packets(direction, numbered(direction, kind, range(MOST + 1)))
    assert places(gateway) == 4 * MOST
    assert not remembers(gateway, OUTBOUND, six)


@tcp_and_udp
@both_directions
def test_one_flow_of_a_session_is_prepared_at_a_time_and_counts_for_no_limit(
    direction: Direction, kind: str
) -> None:
    gateway = gateway_with(N4, options=evolve(QUIET, max_remembered=1))
    gateway.authorize("alice", V4.db())
    assert gateway.handle_packet(OUTBOUND, N4.sent(kind, port=0)).allowed
    assert gateway.handle_packet(direction, V4.tcp(direction)).allowed
    build, far = (N4.sent, N4.real) if direction is OUTBOUND else (N4.came, N4.proxies)
    for _ in range(2):
        for port in range(10):
            expected = through(build(kind, port=port, far=far[0]))
            assert gateway.handle_packet(direction, build(kind, port=port)) == expected
    assert places(gateway) == 1 + 1 + (direction is INBOUND)


@both_directions
def test_a_client_evicts_no_flows_of_another(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(), options=QUIET)
    gateway.authorize("bob", V4.db())
    of_bob = tcp(V4.flow(direction, 443, near=V4.neighbour))
    assert gateway.handle_packet(direction, of_bob).allowed
    gateway.handle_packets(direction, numbered(direction, "tcp", range(2 * MOST)))
    assert places(gateway) == MOST + 1
    assert remembers(gateway, direction, of_bob)


@both_directions
def test_refused_packets_evict_nothing(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Udp(f"0-{MOST - 1}")), options=QUIET)
    permitted = numbered(direction, "udp", range(MOST))
    refused = numbered(direction, "udp", range(MOST, 3 * MOST))
    for packets, allowed in ((permitted, True), (refused, False)):
        for decision in gateway.handle_packets(direction, packets):
            assert decision.allowed is allowed
        assert places(gateway) == MOST
    assert remembers(gateway, direction, permitted[0])
