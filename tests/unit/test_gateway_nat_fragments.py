"""Sections 4 and 6, fragments through the NAT: the first is translated, the later follow."""

from collections.abc import Callable

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Translate,
    Udp,
)
from tests.builders import (
    TCP,
    UDP,
    destination_options,
    fragment,
    hop_by_hop,
    internet_checksum,
    ip_fragment,
)
from tests.scenes import ALICE, INBOUND, OUTBOUND, both_directions, gateway_for_alice, refusal
from tests.translations import (
    EXHAUSTED,
    EXPIRED,
    N4,
    N6,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)

REFUSED = Drop(Reason.FRAGMENT, "alice")
DATA = bytes(range(48))


def whole(
    names: Names, direction: Direction, kind: str = "udp", *, far: str | None = None
) -> bytes:
    """Build the packet that is cut: as it arrives, if no far address is given."""
    build = names.sent if direction is OUTBOUND else names.came
    return build(kind, far=far, payload=DATA)


def beyond(names: Names, direction: Direction) -> str:
    """Return the address that takes the place of the far one."""
    return names.real[0] if direction is OUTBOUND else names.proxies[0]


def pieces(packet: bytes, *, identification: int = 7) -> list[bytes]:
    return [
        fragment(packet, start, stop, identification=identification)
        for start, stop in ((0, 24), (24, 40), (40, None))
    ]


# --- The first is translated, the later follow ---------------------------------------------


@every_kind
@both_directions
@both_names
def test_all_fragments_of_a_packet_are_translated(
    names: Names, direction: Direction, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    before = pieces(whole(names, direction, kind))
    after = pieces(whole(names, direction, kind, far=beyond(names, direction)))
    decisions = gateway.handle_packets(direction, before)
    assert decisions == [through(packet) for packet in after]


@both_directions
@both_names
def test_of_a_later_fragment_nothing_but_the_address_and_the_header_checksum_changes(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, direction))
    gateway.handle_packet(direction, first)
    decision = gateway.handle_packet(direction, later)
    assert isinstance(decision, Translate)
    header = 20 if names is N4 else 40
    assert decision.packet[header:] == later[header:]
    assert names is N6 or internet_checksum(decision.packet[:20]) == 0
    assert type(decision.packet) is bytes


@every_kind
@both_names
def test_a_number_that_was_changed_stands_in_the_first_fragment_alone(
    names: Names, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    resolve(gateway, names, proxies=names.proxies[1:2])
    before = names.sent(kind, 5401, far=names.proxies[1], payload=DATA)
    after = names.sent(kind, 5402, far=names.real[0], payload=DATA)
    decisions = gateway.handle_packets(OUTBOUND, pieces(before))
    assert decisions == [through(packet) for packet in pieces(after)]
    came = names.came(kind, 5402, payload=DATA)
    delivered = names.came(kind, 5401, far=names.proxies[1], payload=DATA)
    decisions = gateway.handle_packets(INBOUND, pieces(came))
    assert decisions == [through(packet) for packet in pieces(delivered)]


@both_directions
def test_fragments_with_ipv4_options_are_translated(direction: Direction) -> None:
    gateway = gateway_in_use(N4)
    build = N4.sent if direction is OUTBOUND else N4.came
    before = build(payload=DATA, options=b"\x94\x04\x00\x00")
    after = build(payload=DATA, options=b"\x94\x04\x00\x00", far=beyond(N4, direction))
    decisions = gateway.handle_packets(direction, pieces(before))
    assert decisions == [through(packet) for packet in pieces(after)]


@both_directions
def test_fragments_with_headers_in_front_and_behind_are_translated(direction: Direction) -> None:
    gateway = gateway_in_use(N6)
    build = N6.sent if direction is OUTBOUND else N6.came
    extensions = (hop_by_hop(), destination_options())
    before = build(payload=DATA, extensions=extensions)
    after = build(payload=DATA, extensions=extensions, far=beyond(N6, direction))
    for start, stop in ((0, 32), (32, None)):
        piece = fragment(before, start, stop, before=1)
        expected = fragment(after, start, stop, before=1)
        assert gateway.handle_packet(direction, piece) == through(expected)


@both_directions
@both_names
def test_later_fragments_come_in_any_order_and_again(names: Names, direction: Direction) -> None:
    gateway = gateway_in_use(names)
    before = pieces(whole(names, direction))
    after = pieces(whole(names, direction, far=beyond(names, direction)))
    order = (0, 2, 1, 2, 1)
    decisions = gateway.handle_packets(direction, [before[number] for number in order])
    assert decisions == [through(after[number]) for number in order]


# --- Without a first -----------------------------------------------------------------------


@both_directions
@both_names
def test_a_later_fragment_without_a_first_is_refused(names: Names, direction: Direction) -> None:
    gateway = gateway_in_use(names)
    assert gateway.handle_packet(direction, whole(names, direction)).allowed
    _, later, last = pieces(whole(names, direction))
    assert gateway.handle_packets(direction, [later, last]) == [REFUSED] * 2


@both_names
def test_a_later_fragment_does_not_follow_a_refused_first(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.update_resource(app(Udp(444)))
    for direction in (OUTBOUND, INBOUND):
        first, later, _ = pieces(whole(names, direction))
        assert refusal(gateway.handle_packet(direction, first)) == Reason.UDP_PORT
        assert gateway.handle_packet(direction, later) == REFUSED


@both_names
def test_a_first_fragment_without_translation_or_room_has_none_that_follow(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions=0))
    first, later, _ = pieces(whole(names, OUTBOUND))
    assert gateway.handle_packets(OUTBOUND, [first, later]) == [EXHAUSTED, REFUSED]
    resolve(gateway, names, real=[])
    assert refusal(gateway.handle_packet(OUTBOUND, first)) == Reason.NO_TRANSLATION
    assert gateway.handle_packet(OUTBOUND, later) == REFUSED


@both_names
def test_inbound_without_a_session_no_fragment_passes(names: Names) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, INBOUND))
    assert gateway.handle_packet(INBOUND, first, 60.0) == EXPIRED
    assert gateway.handle_packet(INBOUND, later) == REFUSED


@both_names
def test_a_first_fragment_that_is_refused_forgets_what_was_kept(names: Names) -> None:
    options = GatewayOptions(max_sessions=1)
    gateway = gateway_with(names, options=options)
    first, later, _ = pieces(whole(names, OUTBOUND))
    assert gateway.handle_packet(OUTBOUND, first, 0.0).allowed
    assert gateway.handle_packet(OUTBOUND, names.sent(number=9), 59.0) == EXHAUSTED
    assert gateway.handle_packet(OUTBOUND, first, 59.0).allowed
    gateway.update_resource(app(Udp(444)))
    assert not gateway.handle_packet(OUTBOUND, first).allowed
    gateway.update_resource(app())
    assert gateway.handle_packet(OUTBOUND, later) == REFUSED


# --- What was judged -----------------------------------------------------------------------


@both_directions
@both_names
def test_a_later_fragment_over_what_was_judged_is_refused_and_forgets(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names, "tcp")
    packet = whole(names, direction, "tcp")
    first, behind = fragment(packet, 0, 24), fragment(packet, 24)
    over = fragment(packet, 16, 24)
    decisions = gateway.handle_packets(direction, [first, behind, over, behind])
    assert [decision.allowed for decision in decisions] == [True, True, False, False]
    assert decisions[2:] == [REFUSED] * 2


@both_directions
@both_names
def test_another_first_fragment_with_other_ports_is_refused_and_forgets(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, direction))
    build = names.sent if direction is OUTBOUND else names.came
    other, _, _ = pieces(build(port=444, payload=DATA))
    decisions = gateway.handle_packets(direction, [first, other, later])
    assert decisions[1:] == [REFUSED] * 2


@both_directions
@both_names
def test_the_same_first_fragment_again_is_judged_anew_and_followed(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, direction))
    decisions = gateway.handle_packets(direction, [first, first, later])
    assert all(isinstance(decision, Translate) for decision in decisions)


# --- Whose decision ------------------------------------------------------------------------


@both_names
def test_identification_direction_and_far_address_tell_packets_apart(names: Names) -> None:
    gateway = gateway_in_use(names)
    resolve(gateway, names, proxies=names.proxies[:2])
    first, _, _ = pieces(whole(names, OUTBOUND))
    assert gateway.handle_packet(OUTBOUND, first).allowed
    _, other_number, _ = pieces(whole(names, OUTBOUND), identification=8)
    _, other_proxy, _ = pieces(whole(names, OUTBOUND, far=names.proxies[1]))
    _, real, _ = pieces(whole(names, OUTBOUND, far=names.real[0]))
    _, back, _ = pieces(whole(names, INBOUND))
    for packet in (other_number, other_proxy, real):
        assert gateway.handle_packet(OUTBOUND, packet) == REFUSED
    assert gateway.handle_packet(INBOUND, back) == REFUSED


def test_in_ipv4_the_protocol_tells_packets_apart() -> None:
    gateway = gateway_in_use(N4)
    first, _, _ = pieces(whole(N4, OUTBOUND))
    assert gateway.handle_packet(OUTBOUND, first).allowed
    flow = f"{N4.family.client} > {N4.proxies[0]}"
    other = ip_fragment(flow, TCP, bytes(8), start=24)
    same = ip_fragment(flow, UDP, bytes(8), start=24)
    assert gateway.handle_packet(OUTBOUND, other) == REFUSED
    assert gateway.handle_packet(OUTBOUND, same).allowed


@both_names
def test_two_packets_under_way_go_each_to_its_own_address(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2], real=names.real[:2])
    packets = [whole(names, OUTBOUND, far=proxy) for proxy in names.proxies[:2]]
    expected = [whole(names, OUTBOUND, far=real) for real in names.real[:2]]
    mixed = [piece for pair in zip(*map(pieces, packets), strict=True) for piece in pair]
    wanted = [piece for pair in zip(*map(pieces, expected), strict=True) for piece in pair]
    assert gateway.handle_packets(OUTBOUND, mixed) == [through(packet) for packet in wanted]


@both_names
def test_a_direct_packet_beside_a_session_goes_on_unchanged(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    before = pieces(names.came(number=5402, payload=DATA))
    assert gateway.handle_packets(INBOUND, before) == [Forward("alice", "direct")] * 3


# --- Time and forgetting -------------------------------------------------------------------


@both_directions
@both_names
def test_a_decision_is_followed_for_30_seconds(names: Names, direction: Direction) -> None:
    for later_at, expected in ((30.0 - TICK, None), (30.0, Reason.FRAGMENT)):
        gateway = gateway_in_use(names)
        first, later, _ = pieces(whole(names, direction))
        assert gateway.handle_packet(direction, first, 0.0).allowed
        assert refusal(gateway.handle_packet(direction, later, later_at)) == expected


@both_directions
@both_names
def test_later_fragments_follow_their_first_also_when_the_session_has_ended(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, direction))
    gateway.handle_packet(OUTBOUND, names.sent(), 0.0)
    assert gateway.handle_packet(direction, first, 50.0).allowed
    _, expected, _ = pieces(whole(names, direction, far=beyond(names, direction)))
    assert gateway.handle_packet(direction, later, 79.0) == through(expected)


def test_a_reset_in_a_first_fragment_leaves_its_later_ones_their_way() -> None:
    for names in (N4, N6):
        gateway = gateway_in_use(names, "tcp")
        reset = names.sent("tcp", flags=4, payload=DATA)
        gone_on = names.sent("tcp", flags=4, payload=DATA, far=names.real[0])
        decisions = gateway.handle_packets(OUTBOUND, pieces(reset))
        assert decisions == [through(packet) for packet in pieces(gone_on)]
        assert gateway.handle_packet(INBOUND, names.came("tcp")) == EXPIRED


Mutator = Callable[[Gateway, Names], object]

MUTATORS: dict[str, Mutator] = {
    "client_connected": lambda gateway, _: gateway.client_connected("alice", ALICE),
    "authorize": lambda gateway, _: gateway.authorize("alice", app()),
    "revoke": lambda gateway, _: gateway.revoke("alice", "app"),
    "update_resource": lambda gateway, _: gateway.update_resource(app()),
    "update_expiry": lambda gateway, _: gateway.update_expiry("alice", "app", 0.0),
    "retain": lambda gateway, _: gateway.retain_authorizations({}),
    "domain_resolved": resolve,
    "renumbering": lambda gateway, names: resolve(gateway, names, domain="db.example.com"),
}


@pytest.mark.parametrize("mutator", MUTATORS)
@both_directions
@both_names
def test_whatever_changes_what_a_client_may_do_forgets_the_first_fragments(
    names: Names, direction: Direction, mutator: str
) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, direction))
    assert gateway.handle_packet(direction, first).allowed
    MUTATORS[mutator](gateway, names)
    assert gateway.handle_packet(direction, later) == REFUSED


@both_directions
@both_names
def test_an_expiry_forgets_the_first_fragments(names: Names, direction: Direction) -> None:
    gateway = gateway_in_use(names)
    gateway.update_expiry("alice", "app", 10.0)
    first, later, _ = pieces(whole(names, direction))
    assert gateway.handle_packet(direction, first).allowed
    assert gateway.handle_packet(direction, later, 10.0 - TICK).allowed
    assert gateway.handle_packet(direction, later, 10.0) == REFUSED


@both_directions
@both_names
def test_an_expiry_that_is_put_off_forgets_nothing(names: Names, direction: Direction) -> None:
    gateway = gateway_in_use(names)
    first, later, _ = pieces(whole(names, direction))
    assert gateway.handle_packet(direction, first).allowed
    gateway.update_expiry("alice", "app", 10.0)
    assert gateway.handle_packet(direction, later).allowed
