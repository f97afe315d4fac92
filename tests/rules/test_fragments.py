"""Sections 4 and 6, fragments: the first is judged, and the later ones follow it.

`test_fragment_memory` says for how long, and what forgets.
"""

from firezone_filter import (
    CidrResource,
    Direction,
    Forward,
    GatewayOptions,
    Reason,
    Udp,
)
from firezone_filter.testing import fragment, ip_fragment
from tests.numbers import GRE, TCP, UDP
from tests.rules.ways import (
    FOLLOWED_BY_NONE,
    PERMITTING,
    Way,
    both_ways,
    fragments,
    later,
    passed,
    pieces,
    ways_of_ipv4,
    ways_of_ipv6,
)
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    opposite,
    reasons,
)
from tests.translations import (
    EXHAUSTED,
    EXPIRED,
    Names,
    app,
    both_names,
    every_kind,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)

# --- The first decides, the later follow ---------------------------------------------------


@every_kind
@both_directions
@both_ways
def test_later_fragments_follow_an_allowed_first_in_any_order_and_again(
    way: Way, direction: Direction, kind: str
) -> None:
    gateway = way.gateway(PERMITTING[kind], kind=kind)
    handed_in = fragments(way, direction, kind)
    order = (0, 2, 1, 2, 1)
    decisions = gateway.handle_packets(direction, [handed_in[n] for n in order])
    assert decisions == passed(way, direction, kind, order)


@both_directions
@both_ways
def test_a_later_fragment_follows_neither_nothing_nor_a_whole_packet_nor_a_refused_first(
    way: Way, direction: Direction
) -> None:
    gateway = way.gateway(Udp(443))
    first, second, _ = fragments(way, direction, port=444)
    disguised = ip_fragment(
        way.family.flow(direction, far=way.arrives(direction)),
        UDP,
        way.packet(direction)[way.family.header :],
        start=8,
    )
    rows = {
        second: Reason.FRAGMENT,
        # What looks like a header in it is none.
        disguised: Reason.FRAGMENT,
        way.packet(direction): None,
        fragments(way, direction, identification=0)[1]: Reason.FRAGMENT,
        first: Reason.UDP_PORT,
        fragments(way, direction)[2]: Reason.FRAGMENT,
    }
    assert reasons(gateway, direction, rows) == list(rows.values())


@both_directions
@both_families
def test_fragments_to_and_from_the_gateway_follow_its_own_filters(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Udp(53)]))
    handed_in = pieces(family.udp(direction, 53, far=family.gateway, size=40))
    assert gateway.handle_packets(direction, handed_in) == [Forward("alice", None)] * 3


@both_families
def test_first_fragments_are_judged_by_all_rows(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    rows = {
        family.neighbour: Reason.PEER_ADDRESS,
        family.stranger: Reason.NO_RESOURCE,
        family.host: None,
    }
    firsts = [fragment(family.udp(OUTBOUND, far=far, size=40), 0, 16) for far in rows]
    assert reasons(gateway, OUTBOUND, firsts) == list(rows.values())


@ways_of_ipv6
@both_directions
def test_an_atomic_fragment_is_a_packet_like_others_and_leaves_what_is_kept_alone(
    way: Way, direction: Direction
) -> None:
    gateway = way.gateway(Udp("443-444"))

    def atomic(far: str, port: int = 444) -> bytes:
        return fragment(way.packet(direction, far=far, port=port), 0, more=False)

    far = way.arrives(direction)
    assert gateway.handle_packet(direction, atomic(far)) == way.passed(direction, atomic)
    assert reasons(gateway, direction, [atomic(far, 445)]) == [Reason.UDP_PORT]
    first, second, _ = fragments(way, direction)
    assert gateway.handle_packet(direction, second) == FOLLOWED_BY_NONE
    assert reasons(gateway, direction, [first, atomic(far), second]) == [None] * 3


# --- Whose decision ------------------------------------------------------------------------


@both_directions
@both_ways
def test_identification_far_address_and_direction_tell_packets_apart(
    way: Way, direction: Direction
) -> None:
    gateway = way.gateway()
    widest = 0xFFFF if way.family is V4 else 0xFFFF_0007
    back = opposite(direction)
    first, second, _ = fragments(way, direction, identification=widest)
    assert reasons(gateway, direction, [first]) == [None]
    others = [
        fragments(way, direction, identification=other)[1]
        for other in (widest - 1, widest & 0x7FFF, widest & 0xFFFF_0000, widest ^ 0x100)
    ]
    others += [
        fragments(way, direction, far=far, identification=widest)[1]
        for far in (way.names.real[1], way.names.proxies[1], way.family.spare)
    ]
    assert gateway.handle_packets(direction, others) == [FOLLOWED_BY_NONE] * len(others)
    returning = fragments(way, back, identification=widest)[1]
    assert gateway.handle_packet(back, returning) == FOLLOWED_BY_NONE
    assert reasons(gateway, direction, [second]) == [None]


@both_directions
@both_families
def test_the_client_tells_packets_apart(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.authorize("bob", family.db())
    bobs = ip_fragment(family.flow(direction, near=family.neighbour), UDP, bytes(8), start=24)
    first, second, _ = pieces(family.udp(direction, size=40))
    assert reasons(gateway, direction, [first, bobs, second]) == [None, Reason.FRAGMENT, None]


@both_directions
@ways_of_ipv4
def test_in_ipv4_the_protocol_tells_packets_apart(way: Way, direction: Direction) -> None:
    gateway = way.gateway()
    rows = [(fragments(way, direction)[0], None), (later(way, direction, TCP), Reason.FRAGMENT)]
    if not way.translated:
        flow = way.family.flow(direction, far=way.arrives(direction))
        rows += [(ip_fragment(flow, GRE, bytes(24), more=True), None)]
        rows += [(later(way, direction, GRE), None)]
    rows += [(later(way, direction), None)]
    assert reasons(gateway, direction, [packet for packet, _ in rows]) == [why for _, why in rows]


@both_directions
@ways_of_ipv6
def test_in_ipv6_the_protocol_of_a_later_fragment_does_not_count(
    way: Way, direction: Direction
) -> None:
    packets = [fragments(way, direction)[0], later(way, direction, 60)]
    assert reasons(way.gateway(), direction, packets) == [None, None]


# --- Through the NAT alone -----------------------------------------------------------------


@every_kind
@both_names
def test_a_number_that_was_changed_stands_in_the_first_fragment_alone(
    names: Names, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    resolve(gateway, names, proxies=names.proxies[1:2])
    second, data = names.proxies[1], bytes(range(48))
    for direction, handed_in, gone_on in (
        (
            OUTBOUND,
            names.sent(kind, 5401, far=second, payload=data),
            names.sent(kind, 5402, far=names.real[0], payload=data),
        ),
        (
            INBOUND,
            names.came(kind, 5402, payload=data),
            names.came(kind, 5401, far=second, payload=data),
        ),
    ):
        decisions = gateway.handle_packets(direction, pieces(handed_in))
        assert decisions == [through(piece) for piece in pieces(gone_on)]


@both_names
def test_two_packets_under_way_go_each_to_its_own_address(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2], real=names.real[:2])
    handed_in, gone_on = (
        [pieces(names.sent(far=far, payload=bytes(48))) for far in fars[:2]]
        for fars in (names.proxies, names.real)
    )
    for piece in range(3):
        for packet in range(2):
            decision = gateway.handle_packet(OUTBOUND, handed_in[packet][piece])
            assert decision == through(gone_on[packet][piece])


@both_names
def test_a_direct_packet_beside_a_session_goes_on_unchanged(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    handed_in = pieces(names.came(number=5402, payload=bytes(48)))
    assert gateway.handle_packets(INBOUND, handed_in) == [Forward("alice", "direct")] * 3


@both_names
def test_a_first_fragment_without_session_translation_or_room_is_not_followed(
    names: Names,
) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions=0))
    first, second, _ = pieces(names.sent(payload=bytes(48)))
    assert gateway.handle_packets(OUTBOUND, [first, second]) == [EXHAUSTED, FOLLOWED_BY_NONE]
    resolve(gateway, names, real=[])
    found = reasons(gateway, OUTBOUND, [first, second])
    assert found == [Reason.NO_TRANSLATION, Reason.FRAGMENT]
    gateway = gateway_in_use(names)
    first, second, _ = pieces(names.came(payload=bytes(48)))
    assert gateway.handle_packet(INBOUND, first, 60.0) == EXPIRED
    assert gateway.handle_packet(INBOUND, second) == FOLLOWED_BY_NONE


@both_names
def test_a_second_first_fragment_that_is_refused_forgets(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions=1))
    first, second, _ = pieces(names.sent("tcp", payload=bytes(48)))
    reset = names.sent("tcp", flags=4)
    elsewhere = names.sent("tcp", 9)
    # The reset makes room; another session takes it, and being answered does not give way.
    found = reasons(gateway, OUTBOUND, [first, second, reset, elsewhere])
    assert found == [None] * 4
    assert gateway.handle_packet(INBOUND, names.came("tcp", 9)).allowed
    found = reasons(gateway, OUTBOUND, [second, first, second])
    assert found == [None, Reason.NAT_EXHAUSTED, Reason.FRAGMENT]


@both_names
def test_later_fragments_follow_their_first_whatever_became_of_its_session(names: Names) -> None:
    gateway = gateway_in_use(names, "tcp")
    reset = pieces(names.sent("tcp", flags=4, payload=bytes(48)))
    gone_on = pieces(names.sent("tcp", flags=4, payload=bytes(48), far=names.real[0]))
    assert gateway.handle_packets(OUTBOUND, reset) == [through(piece) for piece in gone_on]
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == EXPIRED
