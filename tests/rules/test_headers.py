"""Section 4, the headers: a packet that breaks a rule is malformed, its neighbour is not.

`tests/unit` reads the headers field by field, and cuts packets everywhere.
"""

import pytest

from firezone_filter import CidrResource, Direction, Drop, Forward, Reason
from firezone_filter.testing import (
    Extension,
    authentication,
    destination_options,
    fragment_header,
    hop_by_hop,
    ip,
    ip_fragment,
    patched,
    resized,
    routing,
    udp,
)
from tests.numbers import DESTINATION_OPTIONS, GRE, ICMPV4, ICMPV6, TCP, UDP
from tests.scenes import V4, V6, Family, both_directions, gateway_for_alice

FLOWS = {family: {way: family.flow(way) for way in Direction} for family in (V4, V6)}


def options(*kinds: int) -> dict[Direction, bytes]:
    return {way: udp(V4.flow(way, 53), options=bytes(kinds)) for way in Direction}


def chain(*extensions: Extension) -> dict[Direction, bytes]:
    return {way: udp(V6.flow(way, 53), extensions=extensions) for way in Direction}


def of(family: Family, protocol: int, size: int) -> dict[Direction, bytes]:
    """Build packets whose transport header is cut, or that have nothing but it."""
    return {way: ip(flow, protocol, bytes(size)) for way, flow in FLOWS[family].items()}


def lying(family: Family, by: int) -> dict[Direction, bytes]:
    return {way: resized(family.udp(way), by) for way in Direction}


def first(family: Family, protocol: int, size: int) -> dict[Direction, bytes]:
    return {
        way: ip_fragment(flow, protocol, bytes(size), more=True)
        for way, flow in FLOWS[family].items()
    }


def first_bytes(family: Family, value: int) -> dict[Direction, bytes]:
    return {way: patched(family.udp(way), 0, bytes([value])) for way in Direction}


def ending(family: Family, size: int) -> dict[Direction, bytes]:
    """Build a last fragment that ends where a packet of the greatest size does, or beyond."""
    start = 65_512 if family is V6 else 65_496
    return {
        way: ip_fragment(flow, UDP, bytes(size), start=start)
        for way, flow in FLOWS[family].items()
    }


RULES = {
    "nothing": (lying(V4, 0), dict.fromkeys(Direction, b"")),
    "version": (first_bytes(V4, 0x45), first_bytes(V4, 0x55)),
    "ipv4-header-length": (first_bytes(V4, 0x45), first_bytes(V4, 0x44)),
    "ipv4-too-long": (lying(V4, 0), lying(V4, 1)),
    "ipv4-too-short": (lying(V4, 0), lying(V4, -1)),
    "ipv6-too-long": (lying(V6, 0), lying(V6, 1)),
    "ipv6-too-short": (lying(V6, 0), lying(V6, -1)),
    "options": (options(148, 4, 0, 0), options(148, 5, 0, 0)),
    "loose-source-route": (options(130, 3, 4), options(131, 3, 4)),
    "strict-source-route": (options(136, 3, 4), options(137, 3, 4)),
    "hop-by-hop-first": (
        chain(hop_by_hop(), destination_options()),
        chain(destination_options(), hop_by_hop()),
    ),
    "one-fragment-header": (
        chain(fragment_header()),
        chain(fragment_header(), fragment_header()),
    ),
    "8-extensions": (chain(*[destination_options()] * 8), chain(*[destination_options()] * 9)),
    "routing-type-0": (chain(routing(2)), chain(routing(0))),
    "segments-left": (chain(routing(4, 0)), chain(routing(4, 1))),
    "complete-extension": (
        chain(authentication(2)),
        {
            way: ip(FLOWS[V6][way], DESTINATION_OPTIONS, b"\x11\x01" + bytes(6))
            for way in Direction
        },
    ),
    "icmp-of-the-family": (of(V4, ICMPV4, 8), of(V4, ICMPV6, 8)),
    "icmpv6-of-the-family": (of(V6, ICMPV6, 8), of(V6, ICMPV4, 8)),
    "icmp-fragment": (first(V4, ICMPV4, 8), first(V4, ICMPV6, 8)),
    "icmpv6-fragment": (first(V6, ICMPV6, 8), first(V6, ICMPV4, 8)),
    "multiple-of-8": (first(V4, GRE, 16), first(V4, GRE, 15)),
    "multiple-of-8-ipv6": (first(V6, GRE, 16), first(V6, GRE, 15)),
    "65535-bytes": (ending(V4, 19), ending(V4, 20)),
    "65535-bytes-ipv6": (ending(V6, 23), ending(V6, 24)),
    "tcp-of-20-bytes": (of(V4, TCP, 20), of(V4, TCP, 19)),
    "tcp-of-20-bytes-ipv6": (of(V6, TCP, 20), of(V6, TCP, 19)),
    "udp-of-8-bytes": (of(V4, UDP, 8), of(V4, UDP, 7)),
    "udp-of-8-bytes-ipv6": (of(V6, UDP, 8), of(V6, UDP, 7)),
    "icmp-of-8-bytes": (of(V4, ICMPV4, 8), of(V4, ICMPV4, 7)),
    "icmp-of-8-bytes-ipv6": (of(V6, ICMPV6, 8), of(V6, ICMPV6, 7)),
    "first-fragment": (first(V4, TCP, 24), first(V4, TCP, 16)),
    "first-fragment-ipv6": (first(V6, TCP, 24), first(V6, TCP, 16)),
}


@pytest.mark.parametrize("rule", RULES)
@both_directions
def test_a_packet_that_breaks_a_rule_is_malformed_and_its_neighbour_is_not(
    direction: Direction, rule: str
) -> None:
    right, wrong = (packets[direction] for packets in RULES[rule])
    gateway = gateway_for_alice(V4.db(), CidrResource("db6", V6.network))
    assert gateway.handle_packet(direction, right) != Drop(Reason.MALFORMED, None)
    assert gateway.handle_packet(direction, wrong) == Drop(Reason.MALFORMED, None)


@pytest.mark.parametrize("number", [50, 59, 135, 255])
@both_directions
def test_a_number_that_is_no_extension_header_ends_the_walk_and_is_the_protocol(
    direction: Direction, number: int
) -> None:
    gateway = gateway_for_alice(V6.db())
    packet = ip(V6.flow(direction), number, extensions=[destination_options()])
    assert gateway.handle_packet(direction, packet) == Forward("alice", "db")
