"""Section 4, "What may be remembered": a cache must be invisible.

A packet that is nearly one of an established flow gets the decision of a gateway without a cache.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import (
    Direction,
    Drop,
    GatewayOptions,
    Icmp,
    Reason,
    Tcp,
    Udp,
)
from firezone_filter.testing import (
    ACK,
    FIN,
    RST,
    SYN,
    Layout,
    destination_options,
    fragment,
    hop_by_hop,
    icmp,
    icmp_error,
    ip,
    ip_fragment,
    patched,
    resized,
    routing,
    tcp,
    udp,
)
from tests.established import (
    FLOWS,
    QUIET,
    Flow,
    both_options,
    decided,
    established,
    events,
)
from tests.forgetful import forget_everything_remembered, remembers
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    refusal,
)


def near_misses(flow: Flow) -> Iterator[bytes]:
    """Build packets that differ from those of an established flow in one thing."""
    packet = flow.packet
    is_ipv4 = packet[0] >> 4 == 4
    header = 20 if is_ipv4 else 40
    # Ends, lengths and their lies.
    yield from (packet[:size] for size in range(len(packet)))
    yield from (resized(packet[:size]) for size in range(header, len(packet)))
    yield from (resized(packet, by) for by in (-8, -1, 1, 256))
    yield from (packet + b"more", resized(packet + b"more"), resized(packet + b"odd"))
    # Version and header length, fragment bits, protocols.
    yield from (patched(packet, 0, bytes([first])) for first in range(0x35, 0x100, 0x08))
    yield from (patched(packet, 0, bytes([first])) for first in (0x44, 0x46, 0x4F, 0x54, 0x70))
    if is_ipv4:
        yield from (patched(packet, 6, (1 << bit).to_bytes(2)) for bit in range(16))
    numbers = (0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60)
    yield from (patched(packet, 9 if is_ipv4 else 6, bytes([number])) for number in numbers)
    # Addresses, ports, types and ids; flags of TCP, which end a session and begin it anew.
    first_address = 12 if is_ipv4 else 8
    yield from (
        patched(packet, place, bytes([packet[place] ^ bit]))
        for place in range(first_address, header + 6)
        for bit in (1, 2)
    )
    if flow.kind == "tcp":
        flags = (0, FIN, SYN, ACK, RST, ACK, FIN | ACK, SYN | ACK, ACK)
        yield from (patched(packet, header + 13, bytes([one])) for one in flags)
    # Options, extension headers, fragments.
    ends = (
        f"{ip_address(packet[12:16])} > {ip_address(packet[16:20])}"
        if is_ipv4
        else (f"{ip_address(packet[8:24])} > {ip_address(packet[24:40])}")
    )
    protocol, transport = packet[9 if is_ipv4 else 6], packet[header:]
    yield from (ip(ends, protocol, transport, **shape) for shape in SHAPES[is_ipv4])
    whole = resized(packet + bytes(40))
    yield from (fragment(whole, 24), fragment(whole, 0, 24), fragment(whole, 24))
    yield from (fragment(packet, 0, more=False), ip_fragment(ends, protocol, transport, start=8))


SHAPES: Final[dict[bool, list[Layout]]] = {
    True: [{"options": one} for one in (b"\x01", b"\x83\x07\x04\x0a\x00\x00\x05", bytes(40))],
    False: [{"extensions": [one]} for one in (hop_by_hop(), destination_options(1), routing(0))],
}


@pytest.mark.parametrize("flow", FLOWS, ids=str)
@both_options
def test_a_packet_that_is_nearly_of_an_established_flow_is_judged(
    options: GatewayOptions, flow: Flow
) -> None:
    gateway, forgetful = established(options), established(options)
    for packet in near_misses(flow):
        # The flow itself is established all the while.
        for one in (packet, flow.packet):
            expected = []
            for _ in range(2):
                forget_everything_remembered(forgetful)
                expected.append(forgetful.handle_packet(flow.direction, one))
            assert gateway.handle_packet(flow.direction, one) == expected[0]
            assert gateway.handle_packets(flow.direction, [one]) == expected[1:]
    assert evolve(gateway.counters(), cached_flows=0) == evolve(
        forgetful.counters(), cached_flows=0
    )
    assert events(gateway) == events(forgetful)


class Alias(str):
    """Another class of text, which cannot be compared with anything, nor looked up."""

    __slots__ = ()
    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("flow", FLOWS, ids=str)
@both_options
def test_the_passed_client_id_is_part_of_a_flow(options: GatewayOptions, flow: Flow) -> None:
    gateway = established(options)
    mine = gateway.handle_packet(flow.direction, flow.packet)
    nobody = Drop(Reason.UNKNOWN_CLIENT, None)
    bob = Drop(Reason.SOURCE_NOT_ALLOWED, "bob") if flow.direction is OUTBOUND else nobody
    for client_id, expected in (
        ("bob", bob),
        ("nobody", nobody),
        ("", nobody),
        (Alias("bob"), bob),
        *((one, mine) for one in (None, "alice", "ALICE".lower(), Alias("alice"))),
    ):
        assert decided(gateway, flow.direction, flow.packet, client_id) == expected


@both_directions
@both_families
def test_the_ports_of_one_protocol_are_not_those_of_the_other(
    family: Family, direction: Direction
) -> None:
    for filters, passes, refused, reason in (
        (Tcp(443), tcp, udp, Reason.UDP_PORT),
        (Udp(443), udp, tcp, Reason.TCP_PORT),
    ):
        gateway = gateway_for_alice(family.db(filters), options=QUIET)
        flow = family.flow(direction, 443)
        for _ in range(2):
            assert decided(gateway, direction, passes(flow)).allowed
            assert refusal(decided(gateway, direction, refused(flow))) is reason


def test_a_buffer_is_read_anew_with_every_call() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)), options=QUIET)
    buffer = bytearray(V4.tcp(OUTBOUND))
    assert gateway.handle_packet(OUTBOUND, buffer).allowed
    buffer[22:24] = (444).to_bytes(2)
    assert refusal(gateway.handle_packet(OUTBOUND, buffer)) is Reason.TCP_PORT
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed


# --- Which flows are cached ---------------------------------------------------------------------


@pytest.mark.parametrize("flow", FLOWS, ids=str)
@both_options
def test_an_established_flow_is_decided_without_a_judge(
    options: GatewayOptions, flow: Flow
) -> None:
    gateway = established(options)
    # Whichever object the id is: hosts read ids from their own tables.
    for client_id in (None, "alice", "ALICE".lower(), Alias("alice")):
        assert remembers(gateway, flow.direction, flow.packet, client_id)
    forget_everything_remembered(gateway)
    assert not remembers(gateway, flow.direction, flow.packet)


@both_directions
@both_families
@both_options
def test_nothing_else_is_remembered(
    options: GatewayOptions, family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53), Icmp()), options=options)
    datagram, other_way = family.udp(direction, size=40), {OUTBOUND: INBOUND, INBOUND: OUTBOUND}
    shape = SHAPES[family is V4][0]
    for packet, allowed in (
        (udp(family.flow(direction, 53), **shape), True),
        (fragment(datagram, 0, 16), True),
        (fragment(datagram, 16), True),
        (fragment(V6.udp(direction), 0, more=False), family is V6),
        (
            icmp_error(
                family.flow(direction),
                3 if family is V4 else 1,
                quoting=family.udp(other_way[direction]),
            ),
            True,
        ),
        (icmp(family.flow(direction), 13 if family is V4 else 139), True),
        (family.echo(direction), True),
        (family.udp(direction, 54), False),
        (family.tcp(direction), False),
        (family.udp(direction, far=family.stranger), False),
        (family.udp(direction, far=family.neighbour), False),
        (b"", False),
    ):
        assert decided(gateway, direction, packet).allowed is allowed
        assert gateway.counters().cached_flows == 0
