"""What must not grow: packets, with more networks in a table and more clients connected.

The pathological case for the tree is a host in each network in turn, so that no node is
warm and nothing remembered; for the clients, a packet of each in turn.
"""

from ipaddress import ip_address
from itertools import cycle, islice

import pytest
from radix import Radix

from benches.baselines import BY_HAND, IPADDRESS, PYTRICIA, Baseline, rules
from benches.conftest import Measure, Scaled
from benches.loops import each, timed
from benches.scenes import (
    FILTERS,
    HOSTS,
    NEW_FLOWS,
    NOW,
    OUTBOUND,
    ROUND,
    V4,
    Flow,
    client_address,
    forget_flows,
    gateway_with_clients,
    gateway_with_networks,
    host,
    network,
    new_flows,
    packet,
)
from firezone_filter import (
    ClientFilterTable,
    Forward,
    Gateway,
    Match,
)

_TCP = 6
_LOOK_UPS = 2_000

_NETWORKS = (10, 1_000, 100_000)
_CLIENTS = (1, 100, 10_000)


# All sizes stand side by side, so that those that are compared run one after the other.
each_number_of_networks = pytest.mark.parametrize("size", _NETWORKS)
each_number_of_clients = pytest.mark.parametrize("size", _CLIENTS)


@pytest.fixture(scope="module")
def wide(scaled: Scaled) -> dict[int, Gateway]:
    """Return gateways by how many networks one client has."""
    return {size: gateway_with_networks(scaled(size)) for size in _NETWORKS}


@pytest.fixture(scope="module")
def busy(scaled: Scaled) -> dict[int, Gateway]:
    """Return gateways by how many clients are connected."""
    return {size: gateway_with_clients(scaled(size)) for size in _CLIENTS}


# --- Networks ----------------------------------------------------------------------------


@each_number_of_networks
def test_a_look_up_in_a_table(size: int, scaled: Scaled, measure: Measure) -> None:
    table = ClientFilterTable()
    for number in range(scaled(size)):
        table.allow(network(number), f"resource-{number}", FILTERS)
    numbers = list(islice(cycle(range(scaled(size))), _LOOK_UPS))
    hosts = [ip_address(host(number)) for number in numbers]

    def run() -> Match | None:
        for address in hosts:
            match = table.match(address, _TCP, 443)
        return match

    match = measure("networks: match", f"{size:,}", run, count=_LOOK_UPS, rounds=60)
    assert match == Match(f"resource-{numbers[-1]}", network(numbers[-1]), None)


@pytest.mark.parametrize("side", ["py-radix", "table"])
def test_a_look_up_of_an_address_object(side: str, scaled: Scaled, measure: Measure) -> None:
    table, radix = ClientFilterTable(), Radix()
    numbers = range(scaled(_NETWORKS[1]))
    for number in numbers:
        table.allow(network(number), f"resource-{number}", FILTERS)
        radix.add(str(network(number)))
    objects = [ip_address(host(number)) for number in islice(cycle(numbers), _LOOK_UPS)]
    packed = [address.packed for address in objects]

    def by_table() -> str | None:
        for address in objects:
            match = table.match(address, _TCP, 443)
        return None if match is None else str(match.network)

    def by_radix() -> str:
        for address in packed:
            node = radix.search_best(packed=address)
        prefix: str = node.prefix
        return prefix

    run = {"py-radix": by_radix, "table": by_table}[side]
    found = measure("match of an object", side, run, count=_LOOK_UPS, rounds=60)
    assert found == str(network(numbers[(_LOOK_UPS - 1) % len(numbers)]))


@each_number_of_networks
def test_an_established_flow_among_networks(
    size: int, wide: dict[int, Gateway], measure: Measure
) -> None:
    run = timed(wide[size], OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure("networks: established flow", f"{size:,}", run, count=ROUND)
    assert decision == Forward("alice", V4.resource_id)


@each_number_of_networks
def test_first_packets_to_one_host(size: int, wide: dict[int, Gateway], measure: Measure) -> None:
    packets = new_flows(Flow(V4, OUTBOUND))
    decision = measure(
        "networks: one host",
        f"{size:,}",
        timed(wide[size], OUTBOUND, packets, NOW),
        count=len(packets),
        setup=lambda: forget_flows(wide[size]),
        rounds=60,
    )
    assert decision == Forward("alice", V4.resource_id)


def scattered(size: int, count: int) -> tuple[list[bytes], str]:
    """Build packets to a host and port each, all over the networks; return the last resource."""
    # 7,919 is prime: every network comes before any comes again, and then at another host
    # or port.
    numbers = [place * 7_919 % size for place in range(count)]
    packets = [
        packet(
            V4,
            OUTBOUND,
            far=str(network(number)[1 + place // 10 % 14]),
            port=8_000 + place // 140,
        )
        for place, number in enumerate(numbers)
    ]
    return packets, f"resource-{numbers[-1]}"


@each_number_of_networks
def test_first_packets_to_many_hosts(
    size: int, scaled: Scaled, wide: dict[int, Gateway], measure: Measure
) -> None:
    packets, resource_id = scattered(scaled(size), NEW_FLOWS)
    decision = measure(
        "networks: many hosts",
        f"{size:,}",
        timed(wide[size], OUTBOUND, packets, NOW),
        count=len(packets),
        setup=lambda: forget_flows(wide[size]),
        rounds=60,
    )
    assert decision == Forward("alice", resource_id)


@each_number_of_networks
class TestAmongNetworks:
    """Many hosts again, next to the hand-written loops."""

    @pytest.fixture
    def group(self, size: int) -> str:
        return f"among networks: {size:,}"

    @pytest.mark.parametrize("baseline", [BY_HAND, PYTRICIA, IPADDRESS], ids=str)
    def test_by_hand(
        self, baseline: Baseline, size: int, group: str, scaled: Scaled, measure: Measure
    ) -> None:
        filters = baseline.for_alice()
        client = ip_address(V4.client).packed
        for number in range(scaled(size)):
            filters.allow(client, str(network(number)), f"resource-{number}", rules(4))
        # A linear scan takes milliseconds for each.
        count, rounds = (20, 3) if baseline is IPADDRESS else (HOSTS, 30)
        packets, resource_id = scattered(scaled(size), count)
        run = each(filters.judge(OUTBOUND), packets)
        assert measure(group, baseline.side, run, count=count, rounds=rounds) == resource_id

    def test_by_the_gateway(
        self,
        size: int,
        group: str,
        scaled: Scaled,
        wide: dict[int, Gateway],
        measure: Measure,
    ) -> None:
        packets, resource_id = scattered(scaled(size), HOSTS)
        decision = measure(
            group,
            "gateway",
            timed(wide[size], OUTBOUND, packets, NOW),
            count=len(packets),
            setup=lambda: forget_flows(wide[size]),
            rounds=30,
        )
        assert decision == Forward("alice", resource_id)


# --- Clients -----------------------------------------------------------------------------


@each_number_of_clients
def test_an_established_flow_among_clients(
    size: int, busy: dict[int, Gateway], measure: Measure
) -> None:
    run = timed(busy[size], OUTBOUND, [packet(V4, OUTBOUND)] * ROUND, NOW)
    decision = measure("clients: established flow", f"{size:,}", run, count=ROUND)
    assert decision == Forward("alice", V4.resource_id)


@each_number_of_clients
def test_first_packets_among_clients(
    size: int, busy: dict[int, Gateway], measure: Measure
) -> None:
    packets = new_flows(Flow(V4, OUTBOUND))
    decision = measure(
        "clients: one host",
        f"{size:,}",
        timed(busy[size], OUTBOUND, packets, NOW),
        count=len(packets),
        setup=lambda: forget_flows(busy[size]),
        rounds=60,
    )
    assert decision == Forward("alice", V4.resource_id)


@each_number_of_clients
def test_an_established_flow_of_each_client_in_turn(
    size: int, scaled: Scaled, busy: dict[int, Gateway], measure: Measure
) -> None:
    addresses = [V4.client, *map(client_address, range(scaled(size) - 1))]
    flows = [packet(V4, OUTBOUND, client=address) for address in addresses]
    packets = list(islice(cycle(flows), max(ROUND, len(flows))))
    run = timed(busy[size], OUTBOUND, packets, NOW)
    group = "clients: flows of all"
    decision = measure(group, f"{size:,}", run, count=len(packets), rounds=100)
    assert decision.allowed
