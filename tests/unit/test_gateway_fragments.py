"""Section 4, fragments: later ones follow the decision of their first."""

from collections.abc import Callable

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    Reason,
    Tcp,
    TunnelAddresses,
    Udp,
)
from tests.builders import (
    ESP,
    GRE,
    ICMPV4,
    ICMPV6,
    TCP,
    UDP,
    destination_options,
    fragment,
    hop_by_hop,
    ip,
    ip_fragment,
    routing,
    tcp,
    udp,
)
from tests.scenes import (
    ALICE,
    GATEWAY,
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

PASSED = Forward("alice", "db")
REFUSED = Drop(Reason.FRAGMENT, "alice")

Change = Callable[[Gateway, Family], None]


def datagram(family: Family, direction: Direction, *, port: int = 53) -> bytes:
    """Build a UDP packet of 48 bytes behind the IP header: six units of 8."""
    return family.udp(direction, port, size=40)


def first_of(
    family: Family, direction: Direction, *, port: int = 53, identification: int = 7
) -> bytes:
    whole = datagram(family, direction, port=port)
    return fragment(whole, 0, 16, identification=identification)


def later_of(
    family: Family,
    direction: Direction,
    start: int = 16,
    stop: int | None = None,
    *,
    identification: int = 7,
) -> bytes:
    return fragment(datagram(family, direction), start, stop, identification=identification)


# --- The first decides, the later follow ---------------------------------------------------


@both_directions
@both_families
def test_later_fragments_follow_an_allowed_first(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    packets = (
        first_of(family, direction),
        later_of(family, direction, 16, 32),
        later_of(family, direction, 32),
    )
    assert gateway.handle_packets(direction, packets) == [PASSED] * 3


@both_directions
@both_families
def test_a_later_fragment_goes_on_as_it_was_handed_in(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    first, later = first_of(family, direction), later_of(family, direction)
    assert gateway.handle_packet(direction, first).to_send(first) is first
    assert gateway.handle_packet(direction, later).to_send(later) is later


@both_directions
@both_families
def test_a_later_fragment_without_a_first_is_refused(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    assert gateway.handle_packet(direction, later_of(family, direction)) == REFUSED


@both_directions
@both_families
def test_a_later_fragment_does_not_follow_a_refused_first(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    first = gateway.handle_packet(direction, first_of(family, direction, port=54))
    assert refusal(first) == Reason.UDP_PORT
    assert gateway.handle_packet(direction, later_of(family, direction)) == REFUSED


@both_directions
@both_families
def test_a_whole_packet_is_not_followed(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    assert gateway.handle_packet(direction, datagram(family, direction)) == PASSED
    later = later_of(family, direction, identification=0)
    assert gateway.handle_packet(direction, later) == REFUSED


@both_directions
@both_families
def test_later_fragments_come_in_any_order_and_again(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    packets = [first_of(family, direction)] + [
        later_of(family, direction, start, start + 8) for start in (40, 16, 32, 16, 24)
    ]
    assert gateway.handle_packets(direction, packets) == [PASSED] * 6


@both_directions
@both_families
def test_a_later_fragment_reveals_no_ports_that_could_be_judged(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    disguised = ip_fragment(
        family.flow(direction), UDP, datagram(family, direction)[-48:], start=8
    )
    assert gateway.handle_packet(direction, disguised) == REFUSED


@both_families
def test_fragments_to_the_gateway_follow_its_own_filters(family: Family) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Udp(53)]))
    whole = family.udp(OUTBOUND, 53, far=family.gateway, size=40)
    packets = (fragment(whole, 0, 16), fragment(whole, 16))
    assert gateway.handle_packets(OUTBOUND, packets) == [Forward("alice", None)] * 2


@both_directions
@both_families
def test_fragments_of_a_ping_follow_the_icmp_filter(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    number = ICMPV4 if family is V4 else ICMPV6
    kind = b"\x08" if family is V4 else b"\x80"
    first = ip_fragment(family.flow(direction), number, kind + bytes(15), more=True)
    later = ip_fragment(family.flow(direction), number, bytes(9), start=16)
    assert gateway.handle_packets(direction, [first, later]) == [PASSED] * 2


@both_families
def test_a_client_does_not_follow_the_fragments_of_another(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.authorize("bob", CidrResource("db", family.network))
    assert gateway.handle_packet(OUTBOUND, first_of(family, OUTBOUND)) == PASSED
    foreign = udp(family.flow(OUTBOUND, 53, near=family.neighbour), bytes(40))
    later = gateway.handle_packet(OUTBOUND, fragment(foreign, 16), client_id="bob")
    assert later == Drop(Reason.FRAGMENT, "bob")


def test_an_atomic_fragment_is_an_ordinary_packet() -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    for port, expected in ((53, None), (54, Reason.UDP_PORT)):
        atomic = fragment(V6.udp(OUTBOUND, port), 0, more=False)
        assert refusal(gateway.handle_packet(OUTBOUND, atomic)) == expected
    assert gateway.handle_packet(OUTBOUND, later_of(V6, OUTBOUND)) == REFUSED


def test_an_atomic_fragment_leaves_the_kept_decision_alone() -> None:
    gateway = gateway_for_alice(V6.db(Udp("53-54")))
    assert gateway.handle_packet(OUTBOUND, first_of(V6, OUTBOUND)) == PASSED
    atomic = fragment(V6.udp(OUTBOUND, 54), 0, more=False)
    assert gateway.handle_packet(OUTBOUND, atomic) == PASSED
    assert gateway.handle_packet(OUTBOUND, later_of(V6, OUTBOUND)) == PASSED


# --- Before or after which rows ------------------------------------------------------------


@both_families
def test_outbound_a_later_fragment_is_refused_before_its_destination_is_looked_at(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db())
    for far in (family.neighbour, family.stranger, family.gateway, family.proxy):
        later = ip_fragment(family.flow(OUTBOUND, far=far), UDP, bytes(8), start=16)
        assert gateway.handle_packet(OUTBOUND, later) == REFUSED


@both_families
def test_inbound_a_later_fragment_is_refused_before_its_source_is_looked_at(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db())
    for far in (family.neighbour, family.stranger, family.gateway, family.proxy):
        later = ip_fragment(family.flow(INBOUND, far=far), UDP, bytes(8), start=16)
        assert gateway.handle_packet(INBOUND, later) == REFUSED


@both_families
def test_a_fragment_is_looked_at_after_the_client_was_found(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    multicast = ip_fragment(family.flow(OUTBOUND, far=family.multicast), UDP, b"", start=8)
    spare = ip_fragment(family.flow(OUTBOUND, near=family.spare), UDP, b"", start=8)
    outside = ip_fragment(family.flow(INBOUND, near=family.stranger), UDP, b"", start=8)
    unknown = ip_fragment(family.flow(INBOUND, near=family.spare), UDP, b"", start=8)
    assert [
        gateway.handle_packet(OUTBOUND, multicast),
        gateway.handle_packet(OUTBOUND, spare),
        gateway.handle_packet(OUTBOUND, spare, client_id="alice"),
        gateway.handle_packet(INBOUND, outside),
        gateway.handle_packet(INBOUND, unknown),
    ] == [
        Drop(Reason.MULTICAST, None),
        Drop(Reason.UNKNOWN_CLIENT, None),
        Drop(Reason.SOURCE_NOT_ALLOWED, "alice"),
        Drop(Reason.NOT_A_PEER, None),
        Drop(Reason.UNKNOWN_CLIENT, None),
    ]


@both_families
def test_first_fragments_are_judged_by_all_rows(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    whole = family.udp(OUTBOUND, far=family.neighbour, size=40)
    assert refusal(gateway.handle_packet(OUTBOUND, fragment(whole, 0, 16))) == (
        Reason.PEER_ADDRESS
    )
    whole = family.udp(OUTBOUND, far=family.stranger, size=40)
    assert refusal(gateway.handle_packet(OUTBOUND, fragment(whole, 0, 16))) == (Reason.NO_RESOURCE)


# --- The key -------------------------------------------------------------------------------


@both_directions
@both_families
def test_the_identification_is_part_of_the_key(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packet(direction, first_of(family, direction, identification=7))
    for identification, expected in ((6, REFUSED), (7, PASSED), (8, REFUSED)):
        later = later_of(family, direction, identification=identification)
        assert gateway.handle_packet(direction, later) == expected


def test_the_ipv6_identification_counts_in_all_its_32_bits() -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    gateway.handle_packet(OUTBOUND, first_of(V6, OUTBOUND, identification=0x1_0007))
    other = later_of(V6, OUTBOUND, identification=7)
    assert gateway.handle_packet(OUTBOUND, other) == REFUSED
    same = later_of(V6, OUTBOUND, identification=0x1_0007)
    assert gateway.handle_packet(OUTBOUND, same) == PASSED


@both_directions
@both_families
def test_the_far_address_is_part_of_the_key(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packet(direction, first_of(family, direction))
    other = "10.0.0.6" if family is V4 else "fd00:5::6"
    later = ip_fragment(family.flow(direction, far=other), UDP, bytes(8), start=16)
    assert gateway.handle_packet(direction, later) == REFUSED


@both_families
def test_the_near_address_is_part_of_the_key(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packet(INBOUND, first_of(family, INBOUND))
    later = ip_fragment(family.flow(INBOUND, near=family.neighbour), UDP, bytes(8), start=16)
    assert gateway.handle_packet(INBOUND, later) == Drop(Reason.FRAGMENT, "bob")


@both_families
def test_the_direction_is_part_of_the_key(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packet(OUTBOUND, first_of(family, OUTBOUND))
    assert gateway.handle_packet(INBOUND, later_of(family, INBOUND)) == REFUSED
    assert gateway.handle_packet(OUTBOUND, later_of(family, OUTBOUND)) == PASSED


@both_directions
def test_in_ipv4_the_protocol_is_part_of_the_key(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.handle_packet(direction, first_of(V4, direction))
    other = ip_fragment(V4.flow(direction), TCP, bytes(8), start=16)
    assert gateway.handle_packet(direction, other) == REFUSED
    assert gateway.handle_packet(direction, later_of(V4, direction)) == PASSED


@both_directions
def test_in_ipv4_packets_of_two_protocols_share_an_identification(
    direction: Direction,
) -> None:
    gateway = gateway_for_alice(V4.db())
    packets = (
        first_of(V4, direction),
        ip_fragment(V4.flow(direction), GRE, bytes(8), more=True),
        ip_fragment(V4.flow(direction), GRE, bytes(8), start=8),
        later_of(V4, direction),
    )
    assert gateway.handle_packets(direction, packets) == [PASSED] * 4


@both_directions
def test_in_ipv6_the_protocol_of_a_later_fragment_does_not_count(direction: Direction) -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    gateway.handle_packet(direction, first_of(V6, direction))
    other = ip_fragment(V6.flow(direction), 60, bytes(8), start=16)
    assert gateway.handle_packet(direction, other) == PASSED


# --- 30 seconds ----------------------------------------------------------------------------


@both_directions
@both_families
def test_a_decision_is_kept_for_30_seconds(family: Family, direction: Direction) -> None:
    for later_at, expected in ((1_029.999, PASSED), (1_030.0, REFUSED), (1_030.001, REFUSED)):
        gateway = gateway_for_alice(family.db(Udp(53)), now=1_000.0)
        gateway.handle_packet(direction, first_of(family, direction))
        later = gateway.handle_packet(direction, later_of(family, direction), later_at)
        assert later == expected


@both_directions
@both_families
def test_a_later_fragment_does_not_prolong_the_30_seconds(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packet(direction, first_of(family, direction), 0.0)
    assert gateway.handle_packet(direction, later_of(family, direction), 29.0) == PASSED
    assert gateway.handle_packet(direction, later_of(family, direction), 30.0) == REFUSED


@both_directions
@both_families
def test_handle_timeout_forgets_what_was_kept_for_its_time(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packet(direction, first_of(family, direction), 0.0)
    gateway.handle_timeout(29.0)
    assert gateway.handle_packet(direction, later_of(family, direction)) == PASSED
    gateway.handle_timeout(30.0)
    gateway.handle_timeout(31.0)
    assert gateway.handle_packet(direction, later_of(family, direction)) == REFUSED


def test_fragments_alone_ask_for_no_timeout() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND), 0.0)
    assert gateway.poll_timeout() is None


@pytest.mark.parametrize("first_now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_what_was_kept_before_the_first_now_counts_from_there(first_now: float) -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)), now=None)
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND))
    later = later_of(V4, OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, later) == PASSED
    assert gateway.handle_packet(OUTBOUND, later, first_now) == PASSED
    assert gateway.handle_packet(OUTBOUND, later, first_now + 29.0) == PASSED
    assert gateway.handle_packet(OUTBOUND, later, first_now + 30.0) == REFUSED


# --- 1,024 a client ------------------------------------------------------------------------


def many(family: Family, direction: Direction, count: int) -> list[bytes]:
    return [first_of(family, direction, identification=number) for number in range(count)]


@both_directions
@both_families
def test_1024_decisions_are_kept(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packets(direction, many(family, direction, 1_024))
    oldest = later_of(family, direction, identification=0)
    assert gateway.handle_packet(direction, oldest) == PASSED


@both_directions
@both_families
def test_one_more_pushes_the_oldest_out(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packets(direction, many(family, direction, 1_025))
    oldest = later_of(family, direction, identification=0)
    second = later_of(family, direction, identification=1)
    assert gateway.handle_packet(direction, oldest) == REFUSED
    assert gateway.handle_packet(direction, second) == PASSED


def test_both_directions_and_families_share_the_1024() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)), CidrResource("db6", V6.network))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND))
    gateway.handle_packets(INBOUND, many(V6, INBOUND, 1_023))
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND)) == PASSED
    gateway.handle_packet(INBOUND, first_of(V6, INBOUND, identification=1_023))
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND)) == REFUSED


def test_the_oldest_is_the_one_that_was_started_first_and_not_used_first() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.handle_packets(OUTBOUND, many(V4, OUTBOUND, 1_024))
    gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND, identification=0))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, identification=2_000))
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND, identification=0)) == REFUSED


def test_a_decision_that_was_started_anew_is_no_longer_the_oldest() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.handle_packets(OUTBOUND, many(V4, OUTBOUND, 1_024))
    again = first_of(V4, OUTBOUND, identification=0)
    new = first_of(V4, OUTBOUND, identification=2_000)
    gateway.handle_packets(OUTBOUND, [again, new])
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND, identification=0)) == PASSED
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND, identification=1)) == REFUSED


def test_a_second_first_fragment_at_the_limit_pushes_nothing_out() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.handle_packets(OUTBOUND, many(V4, OUTBOUND, 1_024))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, identification=500))
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND, identification=0)) == PASSED


def test_refused_first_fragments_push_nothing_out() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, identification=0))
    refused = [
        first_of(V4, OUTBOUND, port=54, identification=number) for number in range(1, 1_100)
    ]
    gateway.handle_packets(OUTBOUND, refused)
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND, identification=0)) == PASSED


def test_nobody_pushes_out_what_another_client_has() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.authorize("bob", V4.db())
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND))
    foreign = udp(V4.flow(OUTBOUND, 53, near=V4.neighbour), bytes(40))
    flood = [fragment(foreign, 0, 16, identification=number) for number in range(1_100)]
    gateway.handle_packets(OUTBOUND, flood)
    assert gateway.handle_packet(OUTBOUND, later_of(V4, OUTBOUND)) == PASSED


# --- What was judged cannot be replaced ----------------------------------------------------


@pytest.mark.parametrize("start", [8, 16])
@both_directions
@both_families
def test_a_later_fragment_over_what_was_judged_is_refused_and_forgets(
    family: Family, direction: Direction, start: int
) -> None:
    gateway = gateway_for_alice(family.db())
    whole = tcp(family.flow(direction, 443), bytes(28))
    first, behind, over = fragment(whole, 0, 24), fragment(whole, 24), fragment(whole, start, 24)
    decisions = gateway.handle_packets(direction, [first, behind, over, behind])
    assert decisions == [PASSED, PASSED, REFUSED, REFUSED]


@both_directions
@both_families
def test_a_later_fragment_may_overlap_what_was_not_judged(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    whole = datagram(family, direction)
    packets = (fragment(whole, 0, 40), fragment(whole, 8, 16), fragment(whole, 40))
    assert gateway.handle_packets(direction, packets) == [PASSED] * 3


@both_directions
@both_families
def test_of_other_protocols_nothing_was_judged_that_could_be_replaced(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    esp = ip(family.flow(direction), ESP, bytes(24))
    packets = (fragment(esp, 0, 16), fragment(esp, 8))
    assert gateway.handle_packets(direction, packets) == [PASSED] * 2


@both_directions
@both_families
def test_an_empty_first_fragment_of_another_protocol_is_followed(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    flow = family.flow(direction)
    first = ip_fragment(flow, GRE, b"", more=True)
    later = ip_fragment(flow, GRE, bytes(8), start=8)
    assert gateway.handle_packets(direction, [first, later]) == [PASSED] * 2


@both_directions
@both_families
def test_a_tiny_first_fragment_without_the_fixed_part_is_malformed(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    whole = tcp(family.flow(direction, 443), bytes(28))
    tiny, rest = fragment(whole, 0, 16), fragment(whole, 16)
    assert gateway.handle_packets(direction, [tiny, rest]) == [
        Drop(Reason.MALFORMED, None),
        REFUSED,
    ]


@both_directions
def test_offsets_count_from_the_end_of_the_ipv4_options(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db())
    whole = tcp(V4.flow(direction, 443), bytes(28), options=bytes(40))
    first, behind, over = fragment(whole, 0, 24), fragment(whole, 24), fragment(whole, 16, 24)
    decisions = gateway.handle_packets(direction, [first, behind, over, behind])
    assert decisions == [PASSED, PASSED, REFUSED, REFUSED]


@both_directions
def test_ipv6_headers_behind_the_fragment_header_are_judged_and_not_replaced(
    direction: Direction,
) -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    # 8 bytes stay in front; 16 + 8 bytes of headers and 8 of UDP stand behind.
    chain = [hop_by_hop(), destination_options(1), routing()]
    whole = udp(V6.flow(direction, 53), bytes(40), extensions=chain)
    first = fragment(whole, 0, 40, before=1)
    behind = fragment(whole, 32, before=1)
    over = fragment(whole, 24, 40, before=1)
    decisions = gateway.handle_packets(direction, [first, behind, over, behind])
    assert decisions == [PASSED, PASSED, REFUSED, REFUSED]


@both_directions
def test_ipv6_headers_behind_the_fragment_header_lead_to_the_ports(
    direction: Direction,
) -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    whole = udp(V6.flow(direction, 54), bytes(40), extensions=[destination_options(1)])
    decision = gateway.handle_packet(direction, fragment(whole, 0, 32))
    assert refusal(decision) == Reason.UDP_PORT


# --- A second first fragment ---------------------------------------------------------------


@both_directions
@both_families
def test_a_second_first_fragment_of_the_same_kind_starts_the_30_seconds_anew(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    first, later = first_of(family, direction), later_of(family, direction)
    gateway.handle_packet(direction, first, 0.0)
    assert gateway.handle_packet(direction, first, 20.0) == PASSED
    assert gateway.handle_packet(direction, later, 49.999) == PASSED
    assert gateway.handle_packet(direction, later, 50.0) == REFUSED


@both_directions
@both_families
def test_a_second_first_fragment_of_another_port_is_refused_and_forgets(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp("53-54")))
    packets = (
        first_of(family, direction),
        first_of(family, direction, port=54),
        later_of(family, direction),
    )
    assert gateway.handle_packets(direction, packets) == [PASSED, REFUSED, REFUSED]


@both_directions
@both_families
def test_a_second_first_fragment_of_another_client_port_is_refused_and_forgets(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    first = first_of(family, direction)
    header = 20 if family is V4 else 48
    place = header if direction is OUTBOUND else header + 2
    other = first[:place] + b"\x11\x11" + first[place + 2 :]
    packets = (first, other, later_of(family, direction))
    assert gateway.handle_packets(direction, packets) == [PASSED, REFUSED, REFUSED]


@both_directions
@both_families
def test_a_second_first_fragment_of_another_icmp_type_is_refused_and_forgets(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    number = ICMPV4 if family is V4 else ICMPV6
    kinds = (b"\x08", b"\x00") if family is V4 else (b"\x80", b"\x81")
    flow = family.flow(direction)
    first, other = (ip_fragment(flow, number, kind + bytes(15), more=True) for kind in kinds)
    later = ip_fragment(flow, number, bytes(8), start=16)
    assert gateway.handle_packets(direction, [first, first, later]) == [PASSED] * 3
    assert gateway.handle_packets(direction, [other, later]) == [REFUSED] * 2


@both_directions
@both_families
def test_icmp_code_and_echo_id_may_differ_in_a_second_first_fragment(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    number = ICMPV4 if family is V4 else ICMPV6
    kind = b"\x08" if family is V4 else b"\x80"
    flow = family.flow(direction)
    one = ip_fragment(flow, number, kind + bytes(15), more=True)
    other = ip_fragment(flow, number, kind + b"\x01" * 15, more=True)
    assert gateway.handle_packets(direction, [one, other]) == [PASSED] * 2


@both_directions
def test_in_ipv6_a_second_first_fragment_of_another_protocol_is_refused_and_forgets(
    direction: Direction,
) -> None:
    gateway = gateway_for_alice(V6.db())
    packets = (
        first_of(V6, direction),
        ip_fragment(V6.flow(direction), GRE, bytes(16), more=True),
        later_of(V6, direction),
    )
    assert gateway.handle_packets(direction, packets) == [PASSED, REFUSED, REFUSED]


@both_families
def test_a_first_fragment_after_a_contradiction_is_a_first_again(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp("53-54")))
    other = first_of(family, OUTBOUND, port=54)
    packets = (first_of(family, OUTBOUND), other, other, later_of(family, OUTBOUND))
    assert gateway.handle_packets(OUTBOUND, packets) == [PASSED, REFUSED, PASSED, PASSED]


@both_families
def test_a_contradicting_first_fragment_is_refused_as_such_whatever_the_filters_say(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    packets = (first_of(family, OUTBOUND), first_of(family, OUTBOUND, port=54))
    assert gateway.handle_packets(OUTBOUND, packets) == [PASSED, REFUSED]


@both_families
def test_a_first_fragment_of_another_kind_passes_when_30_seconds_are_over(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db(Udp("53-54")))
    other = first_of(family, OUTBOUND, port=54)
    gateway.handle_packet(OUTBOUND, first_of(family, OUTBOUND), 0.0)
    assert gateway.handle_packet(OUTBOUND, other, 30.0) == PASSED


def longer_chain(units: int, direction: Direction) -> bytes:
    """Build a first fragment whose judged part is 8 * *units* + 16 bytes long."""
    chain = [destination_options(units)]
    whole = udp(V6.flow(direction, 53), bytes(64), extensions=chain)
    return fragment(whole, 0, 48)


@pytest.mark.parametrize(("one", "other"), [(0, 2), (2, 0)])
@both_directions
def test_the_later_end_of_two_first_fragments_counts_as_judged(
    direction: Direction, one: int, other: int
) -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    firsts = [longer_chain(one, direction), longer_chain(other, direction)]
    flow = V6.flow(direction)
    behind, over = (ip_fragment(flow, 60, bytes(8), start=start) for start in (32, 24))
    decisions = gateway.handle_packets(direction, [*firsts, behind, over, behind])
    assert decisions == [PASSED, PASSED, PASSED, REFUSED, REFUSED]


# --- What forgets --------------------------------------------------------------------------


def started(family: Family, direction: Direction) -> Gateway:
    """Let a first fragment through; what follows would follow it."""
    gateway = gateway_for_alice(family.db(Udp(53)), CidrResource("other", "192.0.2.0/24"))
    assert gateway.handle_packet(direction, first_of(family, direction)) == PASSED
    assert gateway.handle_packet(direction, later_of(family, direction)) == PASSED
    return gateway


def reconnect(gateway: Gateway, family: Family) -> None:
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", family.db())


def disconnect(gateway: Gateway, family: Family) -> None:
    gateway.client_disconnected("alice")
    reconnect(gateway, family)


def revoke(gateway: Gateway, family: Family) -> None:
    gateway.revoke("alice", "db")
    gateway.authorize("alice", family.db())


def revoke_another(gateway: Gateway, _: Family) -> None:
    gateway.revoke("alice", "other")


def authorize_again(gateway: Gateway, family: Family) -> None:
    gateway.authorize("alice", family.db(Udp(53)))


def authorize_another(gateway: Gateway, _: Family) -> None:
    gateway.authorize("alice", CidrResource("third", "198.51.100.0/24"))


def update(gateway: Gateway, family: Family) -> None:
    gateway.update_resource(family.db(Udp(53)))


def expire(gateway: Gateway, _: Family) -> None:
    gateway.update_expiry("alice", "other", 1.0)
    gateway.handle_timeout(1.0)


def expire_in_the_past(gateway: Gateway, _: Family) -> None:
    gateway.update_expiry("alice", "other", 0.0)


def retain(gateway: Gateway, _: Family) -> None:
    gateway.retain_authorizations({"alice": {"db"}})


def change_own_addresses(gateway: Gateway, _: Family) -> None:
    gateway.set_addresses(GATEWAY)


FORGETTING = (
    reconnect,
    disconnect,
    revoke,
    revoke_another,
    authorize_again,
    authorize_another,
    update,
    expire,
    expire_in_the_past,
    retain,
    change_own_addresses,
)


@pytest.mark.parametrize("change", FORGETTING)
@both_directions
@both_families
def test_what_changes_permissions_forgets_the_fragments(
    family: Family, direction: Direction, change: Change
) -> None:
    gateway = started(family, direction)
    change(gateway, family)
    assert gateway.handle_packet(direction, later_of(family, direction)) == REFUSED
    packets = (first_of(family, direction), later_of(family, direction))
    assert gateway.handle_packets(direction, packets) == [PASSED] * 2


def move_the_expiry(gateway: Gateway, _: Family) -> None:
    gateway.update_expiry("alice", "db", 10.0)


def take_the_expiry_away(gateway: Gateway, _: Family) -> None:
    gateway.update_expiry("alice", "db", None)


def touch_what_is_unknown(gateway: Gateway, _: Family) -> None:
    gateway.update_expiry("alice", "unknown", 0.0)
    gateway.revoke("alice", "unknown")
    gateway.update_resource(CidrResource("unknown", "192.0.2.0/24"))


def retain_all(gateway: Gateway, _: Family) -> None:
    gateway.retain_authorizations({"alice": {"db", "other"}})


def change_another_client(gateway: Gateway, family: Family) -> None:
    gateway.authorize("bob", family.db())
    gateway.revoke("bob", "db")
    gateway.client_disconnected("bob")


def wait(gateway: Gateway, _: Family) -> None:
    gateway.handle_timeout(29.0)


KEEPING = (
    move_the_expiry,
    take_the_expiry_away,
    touch_what_is_unknown,
    retain_all,
    change_another_client,
    wait,
)


@pytest.mark.parametrize("change", KEEPING)
@both_directions
@both_families
def test_what_changes_no_permission_forgets_nothing(
    family: Family, direction: Direction, change: Change
) -> None:
    gateway = started(family, direction)
    change(gateway, family)
    assert gateway.handle_packet(direction, later_of(family, direction)) == PASSED


@both_directions
@both_families
def test_a_later_fragment_never_outlives_the_permission_of_its_first(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", family.db(Udp(53)), expires_at=10.0)
    gateway.handle_packet(direction, first_of(family, direction), 5.0)
    later = later_of(family, direction)
    assert gateway.handle_packet(direction, later, 9.999) == PASSED
    assert gateway.handle_packet(direction, later, 10.0) == REFUSED


@both_families
def test_a_hook_that_raises_forgets_no_fragments(family: Family) -> None:
    gateway = started(family, OUTBOUND)
    with pytest.raises(ValueError, match="outside"):
        gateway.client_connected("alice", TunnelAddresses(ipv4="192.0.2.1"))
    with pytest.raises(ValueError, match="cannot become"):
        gateway.authorize("alice", CidrResource("db", "192.0.2.0/24"))
    with pytest.raises(ValueError, match="belongs"):
        gateway.set_addresses(TunnelAddresses(ipv4=V4.client))
    assert gateway.handle_packet(OUTBOUND, later_of(family, OUTBOUND)) == PASSED


@both_families
def test_a_revoked_permission_does_not_let_its_fragments_through(family: Family) -> None:
    gateway = started(family, OUTBOUND)
    gateway.authorize("alice", family.db(Tcp(443)))
    first = gateway.handle_packet(OUTBOUND, first_of(family, OUTBOUND))
    assert refusal(first) == Reason.UDP_PORT
    assert gateway.handle_packet(OUTBOUND, later_of(family, OUTBOUND)) == REFUSED
