"""`FlowMemory` by itself: what is remembered, how much, and what forgets it."""

from struct import pack

import pytest

from firezone_filter import Direction, Forward
from firezone_filter.gateway.flow_cache import (
    MAX_FLOWS,
    FlowMemory,
    FlowTables,
    echo_flow,
    flow_of,
)
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.packet.numbers import TCP, UDP
from tests.builders import (
    ESP,
    GRE,
    Layout,
    fragment,
    hop_by_hop,
    icmp,
    icmp_echo,
    icmp_error,
    ip,
    tcp,
    udp,
)
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, both_families
from tests.translations import every_kind

PASSED = Forward("alice", "db")
OTHER = Forward("bob", "db")

both_protocols = pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
both_ways = pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])


class Prepared:
    """What may be prepared for a flow."""

    client_id = "alice"

    def decide(self, packet: bytes, now: float) -> None:
        """Decide nothing."""


def read(packet: bytes) -> Headers:
    headers = read_headers(packet)
    assert headers is not None
    return headers


def remember(
    memory: FlowMemory, packet: bytes, *, outbound: bool = True, decision: Forward = PASSED
) -> None:
    """Remember the decision about a packet that has a flow."""
    rings = memory.outbound if outbound else memory.inbound
    rings[read(packet).protocol].remember(key(packet), decision)


def numbered(protocol: int, number: int) -> bytes:
    flow = f"100.64.0.2:{number} > 10.0.0.5:443"
    return tcp(flow) if protocol == TCP else udp(flow)


def key(packet: bytes) -> bytes:
    """Return addresses and ports as they stand in a plain packet."""
    return packet[12:24] if packet[0] >> 4 == 4 else packet[8:44]


def sizes(tables: FlowTables) -> tuple[int, int, int, int]:
    """Count TCP and UDP flows, first outbound, then inbound."""
    return (
        len(tables.outbound[TCP]),
        len(tables.outbound[UDP]),
        len(tables.inbound[TCP]),
        len(tables.inbound[UDP]),
    )


def test_the_bound_is_half_of_that_of_the_design_for_each_protocol() -> None:
    assert 2 * MAX_FLOWS == 4_096


def test_every_protocol_number_has_a_table_and_those_of_tcp_and_udp_are_their_own() -> None:
    tables = FlowTables()
    assert (len(tables.outbound), len(tables.inbound)) == (256, 256)
    assert tables.outbound[TCP] is not tables.outbound[UDP]
    assert tables.outbound[TCP] is not tables.inbound[TCP]
    assert tables.outbound[UDP] is not tables.inbound[UDP]


@both_families
def test_a_flow_is_remembered_under_its_addresses_and_ports(family: Family) -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    packets = (family.tcp(OUTBOUND), family.udp(OUTBOUND))
    for packet in packets:
        remember(memory, packet)
    assert tables.outbound[TCP] == {key(packets[0]): PASSED}
    assert tables.outbound[UDP] == {key(packets[1]): PASSED}
    remember(memory, family.tcp(INBOUND), outbound=False)
    assert tables.inbound[TCP] == {key(family.tcp(INBOUND)): PASSED}
    assert sizes(tables) == (1, 1, 1, 0)


# --- Which packets are of a flow -----------------------------------------------------------


@both_directions
@both_families
def test_the_flow_of_a_plain_packet_is_its_addresses_and_ports(
    family: Family, direction: Direction
) -> None:
    for packet in (family.tcp(direction), family.udp(direction)):
        assert flow_of(read(packet), packet) == key(packet)


# What does not tell flows of echo apart: code, checksum, sequence number and payload.
ECHOES = [(0, 1, b""), (1, 1, b"odd"), (0, 2, b"even"), (255, 0xFFFF, bytes(100))]


@pytest.mark.parametrize("kind", [0, 8, 128, 129])
def test_the_flow_of_an_echo_is_its_addresses_type_and_id(kind: int) -> None:
    family = V4 if kind < 128 else V6
    at, size = (12, 4) if kind < 128 else (8, 16)
    for code, sequence, payload in ECHOES:
        rest = pack("!HH", 5401, sequence)
        packet = icmp(family.flow(OUTBOUND), kind, code, rest=rest, body=payload)
        expected = packet[at : at + 2 * size] + bytes([kind]) + pack("!H", 5401)
        assert flow_of(read(packet), packet) == echo_flow(packet) == expected


@both_families
def test_an_echo_is_never_of_the_flow_of_a_packet_with_ports(family: Family) -> None:
    # Where ports are, an echo has type, code and checksum.
    echo = icmp_echo(family.flow(OUTBOUND), identifier=0x0800)
    assert len(echo_flow(echo)) == len(key(family.tcp(OUTBOUND))) - 1


SHAPES: list[tuple[Family, Layout]] = [
    # 20 bytes of options put the ports of IPv4 where those of plain IPv6 are.
    (V4, {"options": b"\x01"}),
    (V4, {"options": b"\x01" * 20}),
    (V6, {"extensions": [hop_by_hop()]}),
]


@every_kind
@pytest.mark.parametrize(("family", "layout"), SHAPES)
def test_behind_options_and_extension_headers_there_is_no_flow(
    family: Family, layout: Layout, kind: str
) -> None:
    packet = {
        "tcp": tcp(family.flow(OUTBOUND, 443), **layout),
        "udp": udp(family.flow(OUTBOUND, 53), **layout),
        "echo": icmp_echo(family.flow(OUTBOUND), **layout),
    }[kind]
    assert flow_of(read(packet), packet) is None


@pytest.mark.parametrize(
    "packet",
    [
        ip(V4.flow(OUTBOUND), ESP, bytes(24)),
        ip(V6.flow(OUTBOUND), GRE, bytes(24)),
        icmp(V4.flow(OUTBOUND), 13),
        icmp(V6.flow(OUTBOUND), 138),
        # The numbers of the other family's echo.
        icmp(V4.flow(OUTBOUND), 128),
        icmp(V4.flow(OUTBOUND), 129),
        icmp(V6.flow(OUTBOUND), 8),
        icmp(V6.flow(OUTBOUND), 0),
        icmp_error(V4.flow(OUTBOUND), 3, quoting=V4.udp(INBOUND)),
        icmp_error(V6.flow(OUTBOUND), 1, quoting=V6.udp(INBOUND)),
        fragment(V4.udp(OUTBOUND, size=40), 0, 16),
        fragment(V6.udp(OUTBOUND, size=40), 0, 16),
        fragment(V4.udp(OUTBOUND, size=40), 16),
        fragment(icmp_echo(V4.flow(OUTBOUND), payload=bytes(40)), 0, 16),
        # A whole packet with a fragment header.
        fragment(V6.udp(OUTBOUND), 0, more=False),
    ],
    ids=[
        "esp",
        "gre6",
        "timestamp",
        "node-information",
        "128-over-ipv4",
        "129-over-ipv4",
        "8-over-ipv6",
        "0-over-ipv6",
        "error",
        "error6",
        "first-fragment",
        "first-fragment6",
        "later-fragment",
        "first-fragment-of-echo",
        "atomic",
    ],
)
@both_ways
def test_nothing_else_has_a_flow_that_could_be_prepared(packet: bytes, *, outbound: bool) -> None:
    assert flow_of(read(packet), packet) is None
    tables = FlowTables()
    memory = FlowMemory(tables)
    memory.remember_prepared(read(packet), packet, Prepared(), outbound=outbound)
    assert not any(tables.prepared_outbound)
    assert not any(tables.prepared_inbound)


@every_kind
@both_ways
@both_families
def test_a_prepared_flow_is_remembered_for_its_direction_and_protocol(
    family: Family, kind: str, *, outbound: bool
) -> None:
    tables = FlowTables()
    memory, prepared = FlowMemory(tables), Prepared()
    packet = {
        "tcp": family.tcp(OUTBOUND),
        "udp": family.udp(OUTBOUND),
        "echo": family.echo(OUTBOUND),
    }[kind]
    headers = read(packet)
    memory.remember_prepared(headers, packet, prepared, outbound=outbound)
    mine = tables.prepared_outbound if outbound else tables.prepared_inbound
    others = tables.prepared_inbound if outbound else tables.prepared_outbound
    assert mine[headers.protocol] == {flow_of(headers, packet): prepared}
    assert sum(map(len, mine)) == 1
    assert not any(others)
    assert len(tables) == 1
    memory.forget()
    assert not any(mine)


# --- How many flows ------------------------------------------------------------------------


def test_a_flow_that_is_remembered_already_takes_no_second_place() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    remember(memory, numbered(TCP, 0))
    for number in (0, *range(1, MAX_FLOWS)):
        remember(memory, numbered(TCP, number))
    assert key(numbered(TCP, 0)) in tables.outbound[TCP]


@both_ways
@both_protocols
def test_at_the_limit_the_oldest_goes_first(protocol: int, *, outbound: bool) -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    flows = (tables.outbound if outbound else tables.inbound)[protocol]
    for number in range(MAX_FLOWS):
        remember(memory, numbered(protocol, number), outbound=outbound)
    assert key(numbered(protocol, 0)) in flows
    for number in range(MAX_FLOWS, MAX_FLOWS + 3):
        remember(memory, numbered(protocol, number), outbound=outbound)
        assert len(flows) == MAX_FLOWS
        assert key(numbered(protocol, number - MAX_FLOWS)) not in flows
        assert key(numbered(protocol, number - MAX_FLOWS + 1)) in flows
        assert key(numbered(protocol, number)) in flows


def test_the_oldest_goes_first_also_the_second_time_round() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    for number in range(2 * MAX_FLOWS + 1):
        remember(memory, numbered(UDP, number))
    assert len(tables.outbound[UDP]) == MAX_FLOWS
    assert key(numbered(UDP, MAX_FLOWS)) not in tables.outbound[UDP]
    assert key(numbered(UDP, MAX_FLOWS + 1)) in tables.outbound[UDP]


def test_what_is_pushed_out_and_comes_again_is_the_youngest() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    for number in (*range(MAX_FLOWS + 1), 0):
        remember(memory, numbered(UDP, number))
    assert key(numbered(UDP, 0)) in tables.outbound[UDP]
    assert key(numbered(UDP, 1)) not in tables.outbound[UDP]
    assert key(numbered(UDP, 2)) in tables.outbound[UDP]


def test_no_direction_and_protocol_pushes_out_another() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    remember(memory, numbered(TCP, 0))
    remember(memory, numbered(TCP, 0), outbound=False)
    remember(memory, numbered(UDP, 0), outbound=False)
    for number in range(MAX_FLOWS + 5):
        remember(memory, numbered(UDP, number))
    assert sizes(tables) == (1, MAX_FLOWS, 1, 1)


def test_no_client_pushes_out_or_forgets_another() -> None:
    tables = FlowTables()
    alice, bob = FlowMemory(tables), FlowMemory(tables)
    foreign = udp("100.64.0.3:5401 > 10.0.0.5:443")
    remember(bob, foreign, decision=OTHER)
    for number in range(MAX_FLOWS + 5):
        remember(alice, numbered(UDP, number))
    alice.forget()
    assert tables.outbound[UDP] == {key(foreign): OTHER}


def test_forget_leaves_nothing_and_the_memory_fills_up_again() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    for number in range(MAX_FLOWS + 5):
        remember(memory, numbered(UDP, number))
    remember(memory, numbered(TCP, 0), outbound=False)
    memory.forget()
    assert sizes(tables) == (0, 0, 0, 0)
    for number in range(MAX_FLOWS + 1):
        remember(memory, numbered(UDP, number))
    assert sizes(tables) == (0, MAX_FLOWS, 0, 0)
    assert key(numbered(UDP, 0)) not in tables.outbound[UDP]
    memory.forget()
    memory.forget()
    assert sizes(tables) == (0, 0, 0, 0)


def test_forget_inbound_leaves_what_goes_out() -> None:
    tables = FlowTables()
    memory = FlowMemory(tables)
    for outbound in (True, False):
        for protocol in (TCP, UDP):
            remember(memory, numbered(protocol, 0), outbound=outbound)
    memory.forget_inbound()
    assert sizes(tables) == (1, 1, 0, 0)


def test_forget_inbound_is_a_new_age_for_what_comes_in() -> None:
    memory = FlowMemory(FlowTables())
    before = memory.inbound_age.number
    memory.forget()
    assert memory.inbound_age.number == before
    memory.forget_inbound()
    assert memory.inbound_age.number != before


# --- Rings ---------------------------------------------------------------------------------


def rings_of(memory: FlowMemory) -> list[set[int]]:
    """Return of which protocols there are rings: decisions, then what is prepared."""
    kinds = (memory.outbound, memory.inbound, memory._prepared_outbound, memory._prepared_inbound)
    return [set(rings) for rings in kinds]


def test_an_idle_client_costs_no_rings() -> None:
    memory = FlowMemory(FlowTables())
    memory.forget()
    memory.forget_inbound()
    assert rings_of(memory) == [set()] * 4


@both_ways
@both_protocols
def test_a_ring_is_made_when_it_is_needed_and_stays(protocol: int, *, outbound: bool) -> None:
    memory = FlowMemory(FlowTables())
    remember(memory, numbered(protocol, 0), outbound=outbound)
    expected = [{protocol}, set()] if outbound else [set(), {protocol}]
    assert rings_of(memory) == [*expected, set(), set()]
    rings = memory.outbound if outbound else memory.inbound
    ring = rings[protocol]
    memory.forget()
    assert rings[protocol] is ring


@every_kind
@both_ways
@both_families
def test_what_is_prepared_has_a_ring_of_its_own(
    family: Family, kind: str, *, outbound: bool
) -> None:
    memory = FlowMemory(FlowTables())
    packet = {
        "tcp": family.tcp(OUTBOUND),
        "udp": family.udp(OUTBOUND),
        "echo": family.echo(OUTBOUND),
    }[kind]
    memory.remember_prepared(read(packet), packet, Prepared(), outbound=outbound)
    mine = {read(packet).protocol}
    assert rings_of(memory) == [set(), set(), *([mine, set()] if outbound else [set(), mine])]
