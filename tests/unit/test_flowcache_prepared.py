"""`FlowMemory` by itself: flows of which each packet has an effect."""

import pytest

from firezone_filter.gateway.flow_cache import (
    MAX_FLOWS,
    FlowMemory,
    Flows,
    FlowTables,
    PreparedFlow,
)
from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.decisions import Direction, Forward
from tests.builders import ESP, fragment, hop_by_hop, icmp, icmp_echo, ip, tcp, udp
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, both_families

PASSED = Forward("alice", "db")


class Prepared:
    """Something that was prepared for a flow."""

    client_id = "alice"

    def decide(self, packet: bytes, now: float) -> Forward:
        assert packet
        assert now
        return PASSED


def remember(
    memory: FlowMemory, direction: Direction, packet: bytes, flow: PreparedFlow | None = None
) -> None:
    headers = read_headers(packet)
    assert headers is not None
    outbound = direction is OUTBOUND
    memory.remember_prepared(headers, packet, flow or Prepared(), outbound=outbound)


def table(tables: FlowTables, direction: Direction, protocol: int) -> Flows[PreparedFlow]:
    both = {OUTBOUND: tables.prepared_outbound, INBOUND: tables.prepared_inbound}
    return both[direction][protocol]


def numbered(protocol: int, number: int) -> bytes:
    flow = f"100.64.0.2:{number} > 10.0.0.5:443"
    builders = {TCP: tcp, UDP: udp}
    return builders[protocol](flow)


@both_families
@both_directions
@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
def test_a_prepared_flow_is_found_by_its_addresses_and_ports(
    family: Family, direction: Direction, protocol: int
) -> None:
    tables, flow = FlowTables(), Prepared()
    packet = {TCP: family.tcp(direction), UDP: family.udp(direction)}[protocol]
    remember(FlowMemory(tables), direction, packet, flow)
    ends = packet[12:24] if family is V4 else packet[8:44]
    assert table(tables, direction, protocol) == {ends: flow}
    assert table(tables, direction, protocol)[ends].decide(packet, 1.0) == PASSED
    assert len(tables) == 1


@both_directions
@pytest.mark.parametrize(("family", "protocol"), [(V4, ICMPV4), (V6, ICMPV6)], ids=["v4", "v6"])
def test_pings_are_told_apart_by_their_ids_and_by_nothing_else(
    family: Family, protocol: int, direction: Direction
) -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    for identifier, sequence in ((1, 1), (1, 2), (2, 1)):
        flow = family.flow(direction)
        ping = icmp_echo(flow, identifier=identifier, sequence=sequence, payload=bytes(sequence))
        remember(memory, direction, ping)
    assert len(table(tables, direction, protocol)) == 2


@pytest.mark.parametrize(
    "packet",
    [
        ip(V4.flow(OUTBOUND), ESP, bytes(24)),
        icmp(V4.flow(OUTBOUND), 13, body=bytes(20)),
        udp(V4.flow(OUTBOUND, 53), options=b"\x01"),
        udp(V4.flow(OUTBOUND, 53), options=b"\x01" * 20),
        udp(V6.flow(OUTBOUND, 53), extensions=[hop_by_hop()]),
        icmp_echo(V4.flow(OUTBOUND), options=b"\x01"),
        icmp_echo(V6.flow(OUTBOUND), extensions=[hop_by_hop()]),
        fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 0, 24),
        fragment(icmp_echo(V6.flow(OUTBOUND), payload=bytes(64)), 0, 24),
        fragment(udp(V6.flow(OUTBOUND, 53)), 0, more=False),
    ],
    ids=[
        "esp",
        "timestamp",
        "options",
        "many-options",
        "extension",
        "echo-options",
        "echo-extension",
        "fragment",
        "echo-fragment",
        "atomic",
    ],
)
@both_directions
def test_nothing_else_is_remembered(packet: bytes, direction: Direction) -> None:
    tables = FlowTables()
    remember(FlowMemory(tables), direction, packet)
    assert not any(tables.prepared_outbound)
    assert not any(tables.prepared_inbound)


def test_what_is_prepared_anew_takes_the_place_of_what_was() -> None:
    tables, new = FlowTables(), Prepared()
    memory = FlowMemory(tables)
    for flow in (Prepared(), new):
        remember(memory, OUTBOUND, numbered(UDP, 1), flow)
    assert list(table(tables, OUTBOUND, UDP).values()) == [new]


@both_directions
@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
def test_at_the_limit_the_oldest_goes_first(direction: Direction, protocol: int) -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    for number in range(MAX_FLOWS + 2):
        remember(memory, direction, numbered(protocol, number))
    held = table(tables, direction, protocol)
    assert len(held) == MAX_FLOWS
    assert numbered(protocol, 1)[12:24] not in held
    assert numbered(protocol, 2)[12:24] in held


def test_no_direction_and_protocol_pushes_out_another() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    remember(memory, OUTBOUND, numbered(TCP, 0))
    remember(memory, INBOUND, numbered(UDP, 0))
    for number in range(MAX_FLOWS + 1):
        remember(memory, OUTBOUND, numbered(UDP, number))
    assert len(tables) == MAX_FLOWS + 2


def test_forgetting_leaves_nothing_of_a_client_and_all_of_the_others() -> None:
    tables = FlowTables()
    alice, bob = FlowMemory(tables), FlowMemory(tables)
    for packet in (numbered(TCP, 1), numbered(UDP, 1)):
        remember(alice, OUTBOUND, packet)
        remember(alice, INBOUND, packet)
    remember(bob, OUTBOUND, udp("100.64.0.3:1 > 10.0.0.5:443"))
    alice.forget()
    assert len(tables) == 1
    alice.forget()
    remember(alice, OUTBOUND, numbered(UDP, 1))
    assert len(tables) == 2


def test_forgetting_what_comes_in_leaves_what_is_prepared_and_makes_it_old() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    remember(memory, OUTBOUND, numbered(UDP, 1))
    remember(memory, INBOUND, numbered(UDP, 1))
    before = memory.inbound_age.number
    memory.forget_inbound()
    assert (len(tables), memory.inbound_age.number) == (2, before + 1)
