"""Section 4, what may be remembered: a cache must be invisible.

Each test lets a flow through first, so that it may be remembered, and then asks something
that must not be answered from memory.
"""

import math
from typing import Any

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InvalidTime,
    Reason,
    Tcp,
    TunnelAddresses,
    Udp,
)
from tests.builders import (
    destination_options,
    fragment,
    icmp,
    patched,
    resized,
    routing,
    tcp,
    udp,
)
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
    refusal,
)

PASSED = Forward("alice", "db")
MALFORMED = Drop(Reason.MALFORMED, None)


def warm(family: Family, direction: Direction) -> Gateway:
    """Let a TCP and a UDP flow through, twice each."""
    gateway = gateway_for_alice(family.db(Tcp(443), Udp(53)))
    packets = [family.tcp(direction), family.udp(direction)] * 2
    assert [gateway.handle_packet(direction, packet) for packet in packets] == [PASSED] * 4
    return gateway


@both_directions
@both_families
def test_every_truncation_of_a_remembered_flow_is_malformed(
    family: Family, direction: Direction
) -> None:
    gateway = warm(family, direction)
    for packet in (family.tcp(direction), family.udp(direction)):
        for size in range(len(packet)):
            assert gateway.handle_packet(direction, packet[:size]) == MALFORMED


@both_directions
@both_families
def test_a_remembered_flow_must_still_have_the_fixed_part(
    family: Family, direction: Direction
) -> None:
    gateway = warm(family, direction)
    header = 20 if family is V4 else 40
    for packet, part in ((family.tcp(direction), 20), (family.udp(direction), 8)):
        short = resized(packet[: header + part - 1])
        assert gateway.handle_packet(direction, resized(packet[: header + part])) == PASSED
        assert gateway.handle_packet(direction, short) == MALFORMED


@pytest.mark.parametrize("by", [-1, 1])
@both_directions
@both_families
def test_the_length_field_of_a_remembered_flow_may_not_lie(
    family: Family, direction: Direction, by: int
) -> None:
    gateway = warm(family, direction)
    for packet in (family.tcp(direction), family.udp(direction)):
        assert gateway.handle_packet(direction, resized(packet, by)) == MALFORMED


@pytest.mark.parametrize("first_byte", [0x35, 0x44, 0x46, 0x4F, 0x55, 0x65])
@both_directions
def test_version_and_header_length_of_a_remembered_flow_are_checked(
    direction: Direction, first_byte: int
) -> None:
    gateway = warm(V4, direction)
    changed = patched(V4.udp(direction), 0, bytes([first_byte]))
    assert gateway.handle_packet(direction, changed) == MALFORMED


@both_directions
@both_families
def test_fragments_of_a_remembered_flow_are_fragments(
    family: Family, direction: Direction
) -> None:
    gateway = warm(family, direction)
    whole = family.udp(direction, size=40)
    later, first = fragment(whole, 16), fragment(whole, 0, 16)
    decisions = [gateway.handle_packet(direction, packet) for packet in (later, first, later)]
    assert decisions == [Drop(Reason.FRAGMENT, "alice"), PASSED, PASSED]


@both_directions
def test_every_fragment_bit_of_ipv4_keeps_a_packet_from_its_flow(direction: Direction) -> None:
    gateway = warm(V4, direction)
    for bit in range(13):
        later = patched(V4.udp(direction), 6, (1 << bit).to_bytes(2))
        decision = gateway.handle_packet(direction, later)
        assert decision == Drop(Reason.FRAGMENT, "alice")
    for flags in (b"\x40\x00", b"\x80\x00"):
        whole = patched(V4.udp(direction), 6, flags)
        assert gateway.handle_packet(direction, whole) == PASSED


@both_directions
def test_options_and_extension_headers_keep_a_packet_from_its_flow(
    direction: Direction,
) -> None:
    gateway = warm(V4, direction)
    routed = udp(V4.flow(direction, 53), options=b"\x83\x07\x04\x0a\x00\x00\x05")
    assert gateway.handle_packet(direction, routed) == MALFORMED
    gateway = warm(V6, direction)
    routed = udp(V6.flow(direction, 53), extensions=[routing(0)])
    assert gateway.handle_packet(direction, routed) == MALFORMED
    plain = udp(V6.flow(direction, 53), extensions=[destination_options()])
    assert gateway.handle_packet(direction, plain) == PASSED


@both_directions
@both_families
def test_ports_addresses_and_protocol_are_all_part_of_a_flow(
    family: Family, direction: Direction
) -> None:
    gateway = warm(family, direction)
    for packet, expected in (
        (family.tcp(direction, 444), Reason.TCP_PORT),
        (family.udp(direction, 443), Reason.UDP_PORT),
        (family.tcp(direction, 53), Reason.TCP_PORT),
        (family.tcp(direction, far=family.stranger), Reason.NO_RESOURCE),
        (family.tcp(direction, far=family.neighbour), Reason.PEER_ADDRESS),
        (tcp(family.flow(direction, 443, near=family.neighbour)), Reason.NO_RESOURCE),
    ):
        assert refusal(gateway.handle_packet(direction, packet)) == expected


@both_families
def test_a_remembered_flow_is_remembered_for_its_direction_alone(family: Family) -> None:
    gateway = warm(family, OUTBOUND)
    inbound = gateway.handle_packet(INBOUND, family.tcp(OUTBOUND))
    assert inbound == Drop(Reason.NOT_A_PEER, None)
    answer = f"{at(family.host, 5401)} > {at(family.client, 443)}"
    assert gateway.handle_packet(INBOUND, tcp(answer)) == Drop(Reason.TCP_PORT, "alice")


@both_families
def test_outbound_the_passed_client_id_is_part_of_a_flow(family: Family) -> None:
    gateway = warm(family, OUTBOUND)
    for client_id, expected in (
        (None, PASSED),
        ("alice", PASSED),
        ("bob", Drop(Reason.SOURCE_NOT_ALLOWED, "bob")),
        ("nobody", Drop(Reason.UNKNOWN_CLIENT, None)),
        ("", Drop(Reason.UNKNOWN_CLIENT, None)),
    ):
        packet = family.tcp(OUTBOUND)
        assert gateway.handle_packet(OUTBOUND, packet, client_id=client_id) == expected


@both_families
def test_inbound_the_passed_client_id_is_part_of_a_flow(family: Family) -> None:
    gateway = warm(family, INBOUND)
    for client_id, expected in (
        ("alice", PASSED),
        ("bob", Drop(Reason.UNKNOWN_CLIENT, None)),
        ("", Drop(Reason.UNKNOWN_CLIENT, None)),
    ):
        packet = family.tcp(INBOUND)
        assert gateway.handle_packet(INBOUND, packet, client_id=client_id) == expected


@both_directions
def test_arguments_are_checked_also_for_a_remembered_flow(direction: Direction) -> None:
    gateway = warm(V4, direction)
    packet = V4.tcp(direction)
    anything: Any
    for anything in (7, b"alice"):
        with pytest.raises(TypeError):
            gateway.handle_packet(direction, packet, client_id=anything)
    for anything in ("outbound", None, True):
        with pytest.raises(TypeError):
            gateway.handle_packet(anything, packet)
    for anything in (True, "0"):
        with pytest.raises(TypeError):
            gateway.handle_packet(direction, packet, anything)
    for now in (math.nan, math.inf, -math.inf):
        with pytest.raises(InvalidTime):
            gateway.handle_packet(direction, packet, now)
    assert gateway.handle_packet(direction, packet) == PASSED


@pytest.mark.parametrize("kind", [float, int])
@both_directions
def test_a_remembered_flow_brings_time_along(direction: Direction, kind: type[float]) -> None:
    gateway = warm(V4, direction)
    gateway.authorize("alice", CidrResource("other", "10.0.1.0/24"), expires_at=10.0)
    packet = V4.tcp(direction)
    for now in (1, 9, 5):
        assert gateway.handle_packet(direction, packet, kind(now)) == PASSED
    gateway.authorize("bob", V4.db(), expires_at=9.0)
    assert gateway.authorizations("bob") == {}
    assert gateway.handle_packet(direction, packet, kind(10)) == PASSED
    assert gateway.authorizations("alice") == {"db": None}


@both_directions
@both_families
def test_a_remembered_flow_ends_at_the_expiry_and_not_before(
    family: Family, direction: Direction
) -> None:
    gateway = warm(family, direction)
    gateway.update_expiry("alice", "db", 10.0)
    packet = family.tcp(direction)
    just_before = math.nextafter(10.0, 0.0)
    assert gateway.handle_packet(direction, packet, just_before) == PASSED
    decision = gateway.handle_packet(direction, packet, 10.0)
    assert refusal(decision) == Reason.NO_RESOURCE


@both_families
def test_a_remembered_flow_does_not_outlive_the_client(family: Family) -> None:
    gateway = warm(family, INBOUND)
    gateway.client_disconnected("alice")
    packet = family.tcp(INBOUND)
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.UNKNOWN_CLIENT, None)
    gateway.client_connected("carol", ALICE)
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.NO_RESOURCE, "carol")


@both_directions
@both_families
def test_a_remembered_flow_with_the_gateway_ends_with_its_address(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    packet = family.tcp(direction, far=family.gateway)
    assert gateway.handle_packet(direction, packet) == Forward("alice", None)
    gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare))
    assert refusal(gateway.handle_packet(direction, packet)) == Reason.PEER_ADDRESS


@both_directions
@both_families
def test_the_icmp_type_is_looked_at_every_time(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    link_only = icmp(family.flow(direction), 9 if family is V4 else 133)
    error = icmp(family.flow(direction), 3 if family is V4 else 1)
    for _ in range(2):
        assert gateway.handle_packet(direction, family.echo(direction)) == PASSED
        assert gateway.handle_packet(direction, link_only) == Drop(Reason.ICMP, "alice")
        assert gateway.handle_packet(direction, error) == Drop(Reason.ICMP_ERROR, "alice")


@both_directions
@both_families
def test_more_flows_than_are_remembered_are_all_judged_alike(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp("0-5000")), options=GatewayOptions(reject=False))
    packets = [family.udp(direction, port) for port in range(5_010)]
    for _ in range(2):
        decisions = [gateway.handle_packet(direction, packet) for packet in packets]
        assert decisions[:5_001] == [PASSED] * 5_001
        assert decisions[5_001:] == [Drop(Reason.UDP_PORT, "alice")] * 9
    gateway.revoke("alice", "db")
    decisions = gateway.handle_packets(direction, packets)
    assert decisions == [Drop(Reason.NO_RESOURCE, "alice")] * 5_010
