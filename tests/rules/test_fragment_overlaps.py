"""Section 4, fragments: nothing replaces what was judged of a packet.

Later fragments that begin inside it are refused (RFC 1858, RFC 5722), and so are first ones
that say something else.
"""

from functools import partial
from struct import pack

import pytest

from firezone_filter import Direction, Drop, Reason, Udp
from firezone_filter.testing import destination_options, fragment, hop_by_hop, ip_fragment, routing
from tests.numbers import ESP, GRE, TCP
from tests.rules.ways import (
    FOLLOWED_BY_NONE,
    WAYS,
    Way,
    both_ways,
    direct_ways,
    fragments,
    later,
    of,
    ways_of_ipv4,
    ways_of_ipv6,
)
from tests.scenes import V4, both_directions, reasons

# --- What was judged cannot be replaced ----------------------------------------------------


@pytest.mark.parametrize("start", [8, 16])
@both_directions
@both_ways
def test_a_later_fragment_over_what_was_judged_is_refused_and_forgets(
    way: Way, direction: Direction, start: int
) -> None:
    gateway = way.gateway(kind="tcp")
    whole = way.packet(direction, "tcp", payload=bytes(28))
    handed_in = [fragment(whole, 0, 24), fragment(whole, 24), fragment(whole, start, 24)]
    found = reasons(gateway, direction, [*handed_in, handed_in[1]])
    assert found == [None, None, Reason.FRAGMENT, Reason.FRAGMENT]


@both_directions
@both_ways
def test_a_later_fragment_may_overlap_what_was_not_judged(way: Way, direction: Direction) -> None:
    whole = way.packet(direction, payload=bytes(40))
    packets = [fragment(whole, 0, 40), fragment(whole, 8, 16), fragment(whole, 40)]
    assert reasons(way.gateway(), direction, packets) == [None] * 3


@pytest.mark.parametrize("size", [0, 16])
@both_directions
@direct_ways
def test_of_other_protocols_nothing_is_judged_that_could_be_replaced(
    way: Way, direction: Direction, size: int
) -> None:
    flow = way.family.flow(direction, far=way.arrives(direction))
    first = ip_fragment(flow, ESP, bytes(size), more=True)
    packets = [first, later(way, direction, ESP, start=8)]
    assert reasons(way.gateway(), direction, packets) == [None, None]


@both_directions
@both_ways
def test_a_first_fragment_without_the_fixed_part_is_malformed_and_not_followed(
    way: Way, direction: Direction
) -> None:
    whole = way.packet(direction, "tcp", payload=bytes(28))
    packets = [fragment(whole, 0, 16), fragment(whole, 16)]
    expected = [Drop(Reason.MALFORMED, None), FOLLOWED_BY_NONE]
    assert way.gateway(kind="tcp").handle_packets(direction, packets) == expected


@both_directions
@ways_of_ipv4
def test_offsets_count_from_the_end_of_the_ipv4_options(way: Way, direction: Direction) -> None:
    gateway = way.gateway(kind="tcp")

    def cut(start: int, stop: int | None, far: str) -> bytes:
        whole = way.packet(direction, "tcp", far=far, payload=bytes(28), options=bytes(40))
        return fragment(whole, start, stop)

    for start, stop in ((0, 24), (24, None)):
        decision = gateway.handle_packet(direction, cut(start, stop, way.arrives(direction)))
        assert decision == way.passed(direction, partial(cut, start, stop))
    over = cut(16, 24, way.arrives(direction))
    assert gateway.handle_packet(direction, over) == FOLLOWED_BY_NONE


@both_directions
@ways_of_ipv6
def test_headers_behind_the_fragment_header_are_judged_and_not_replaced(
    way: Way, direction: Direction
) -> None:
    gateway = way.gateway(Udp(443))
    # 8 bytes stay in front; 16 + 8 bytes of headers and 8 of UDP stand behind.
    chain = (hop_by_hop(), destination_options(1), routing())

    def cut(start: int, stop: int | None, far: str, port: int = 443) -> bytes:
        whole = way.packet(direction, far=far, port=port, payload=bytes(40), extensions=chain)
        return fragment(whole, start, stop, before=1)

    far = way.arrives(direction)
    for start, stop in ((0, 40), (32, None)):
        decision = gateway.handle_packet(direction, cut(start, stop, far))
        assert decision == way.passed(direction, partial(cut, start, stop))
    again = reasons(
        gateway, direction, [cut(24, 40, far), cut(32, None, far), cut(0, 40, far, 444)]
    )
    assert again == [Reason.FRAGMENT, Reason.FRAGMENT, Reason.UDP_PORT]


# --- A second first fragment ---------------------------------------------------------------


@both_directions
@both_ways
def test_a_second_first_fragment_with_other_ports_is_refused_and_forgets(
    way: Way, direction: Direction
) -> None:
    for port, number in ((444, 5401), (445, 5401), (443, 5402)):
        gateway = way.gateway(Udp("443-444"))
        first, second, _ = fragments(way, direction)
        other = fragments(way, direction, port=port, number=number)[0]
        # That is why it is refused, whatever the filters say of it.
        found = reasons(gateway, direction, [first, second, other, second])
        assert found == [None, None, Reason.FRAGMENT, Reason.FRAGMENT]


@both_directions
@direct_ways
def test_after_a_contradiction_a_first_fragment_is_a_first_again(
    way: Way, direction: Direction
) -> None:
    other = fragments(way, direction, port=444)
    packets = [fragments(way, direction)[0], other[0], other[0], other[1]]
    found = reasons(way.gateway(), direction, packets)
    assert found == [None, Reason.FRAGMENT, None, None]


@both_directions
@direct_ways
def test_a_second_first_fragment_has_the_icmp_type_of_the_first_but_may_differ_otherwise(
    way: Way, direction: Direction
) -> None:
    gateway, flow = way.gateway(), way.family.flow(direction, far=way.arrives(direction))
    kind, other = (8, 0) if way.family is V4 else (128, 129)

    def first(kind: int, rest: bytes) -> bytes:
        return ip_fragment(flow, way.family.icmp, pack("!B15s", kind, rest), more=True)

    rows = [
        (first(kind, b""), None),
        (first(kind, b"\x01" * 15), None),
        (later(way, direction, way.family.icmp), None),
        (first(other, b""), Reason.FRAGMENT),
        (later(way, direction, way.family.icmp), Reason.FRAGMENT),
    ]
    assert reasons(gateway, direction, [packet for packet, _ in rows]) == [why for _, why in rows]


@both_directions
@of(WAYS[2])
def test_in_ipv6_a_second_first_fragment_has_the_protocol_of_the_first(
    way: Way, direction: Direction
) -> None:
    flow = way.family.flow(direction, far=way.arrives(direction))
    first, second, _ = fragments(way, direction)
    # The ports are there, or seem to be.
    other = ip_fragment(flow, TCP, first[48:], more=True)
    found = reasons(way.gateway(), direction, [first, other, second])
    assert found == [None, Reason.FRAGMENT, Reason.FRAGMENT]
    without_ports = [ip_fragment(flow, number, bytes(16), more=True) for number in (GRE, ESP)]
    assert reasons(way.gateway(), direction, without_ports) == [None, Reason.FRAGMENT]


@pytest.mark.parametrize(("one", "other"), [(0, 2), (2, 0)])
@both_directions
@ways_of_ipv6
def test_the_later_end_of_two_first_fragments_counts_as_judged(
    way: Way, direction: Direction, one: int, other: int
) -> None:
    firsts = [
        # The judged part is 8 * units + 16 bytes long.
        fragment(
            way.packet(direction, payload=bytes(64), extensions=(destination_options(units),)),
            0,
            48,
        )
        for units in (one, other)
    ]
    behind, over = (later(way, direction, 60, start=start) for start in (32, 24))
    found = reasons(way.gateway(), direction, [*firsts, behind, over, behind])
    assert found == [None, None, None, Reason.FRAGMENT, Reason.FRAGMENT]
