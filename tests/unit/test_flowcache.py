"""`FlowMemory` by itself: what is remembered, how much, and what forgets it."""

import pytest

from firezone_filter import Forward
from firezone_filter.flowcache import MAX_FLOWS, FlowMemory, FlowTables
from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.numbers import TCP, UDP
from tests.builders import ESP, GRE, fragment, hop_by_hop, icmp_echo, ip, tcp, udp
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_families

PASSED = Forward("alice", "db")
OTHER = Forward("bob", "db")

both_protocols = pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
both_ways = pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])


def remember(
    memory: FlowMemory, packet: bytes, *, outbound: bool = True, decision: Forward = PASSED
) -> None:
    headers = read_headers(packet)
    assert headers is not None
    if outbound:
        memory.remember_outbound(headers, packet, decision)
    else:
        memory.remember_inbound(headers, packet, decision)


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


@pytest.mark.parametrize(
    "packet",
    [
        icmp_echo(V4.flow(OUTBOUND)),
        icmp_echo(V6.flow(OUTBOUND)),
        ip(V4.flow(OUTBOUND), ESP, bytes(24)),
        ip(V6.flow(OUTBOUND), GRE, bytes(24)),
        # Options and extension headers; 20 bytes of options put the ports of IPv4 where
        # those of plain IPv6 are.
        udp(V4.flow(OUTBOUND, 53), options=b"\x01"),
        udp(V4.flow(OUTBOUND, 53), options=b"\x01" * 20),
        udp(V6.flow(OUTBOUND, 53), extensions=[hop_by_hop()]),
        # A whole packet with a fragment header.
        fragment(udp(V6.flow(OUTBOUND, 53)), 0, more=False),
    ],
    ids=[
        "echo",
        "echo6",
        "esp",
        "gre6",
        "options",
        "many-options",
        "extension",
        "atomic",
    ],
)
@both_ways
def test_nothing_but_plain_tcp_and_udp_is_remembered(packet: bytes, *, outbound: bool) -> None:
    tables = FlowTables()
    remember(FlowMemory(tables), packet, outbound=outbound)
    assert not any(tables.outbound)
    assert not any(tables.inbound)


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


def test_an_idle_client_costs_no_rings() -> None:
    memory = FlowMemory(FlowTables())
    memory.forget()
    memory.forget_inbound()
    assert not memory._rings
