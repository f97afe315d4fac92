"""Section 3: `Forward` and `Drop` are shared, so an established flow costs no allocation."""

from firezone_filter import (
    Decision,
    Direction,
    Drop,
    Forward,
    Gateway,
    Reason,
    Reject,
    Tcp,
)
from tests.builders import fragment, icmp_error, ip_fragment, tcp
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
)


def decide_twice(
    gateway: Gateway, direction: Direction, packet: bytes
) -> tuple[Decision, Decision]:
    one = gateway.handle_packet(direction, packet)
    (other,) = gateway.handle_packets(direction, [bytearray(packet)])
    return one, other


@both_directions
@both_families
def test_the_same_flow_gets_the_same_forward(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    one, other = decide_twice(gateway, direction, family.tcp(direction))
    assert one is other
    assert isinstance(one, Forward)


@both_families
def test_both_directions_and_all_flows_of_a_resource_get_the_same_forward(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db())
    one = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    assert gateway.handle_packet(INBOUND, family.udp(INBOUND)) is one


@both_families
def test_fragments_and_icmp_errors_get_the_forward_of_their_resource(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    one = gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND))
    whole = family.udp(OUTBOUND, size=40)
    error = icmp_error(family.flow(INBOUND), 3 if family is V4 else 1, quoting=whole)
    assert gateway.handle_packet(OUTBOUND, fragment(whole, 0, 16)) is one
    assert gateway.handle_packet(OUTBOUND, fragment(whole, 16)) is one
    assert gateway.handle_packet(INBOUND, error) is one


@both_directions
@both_families
def test_the_gateways_own_address_gets_the_same_forward(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    one, other = decide_twice(gateway, direction, family.tcp(direction, far=family.gateway))
    assert one is other
    assert one == Forward("alice", None)


@both_families
def test_the_same_refusal_gets_the_same_drop(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    later = ip_fragment(family.flow(INBOUND), 17, bytes(8), start=8)
    for packet, reason in (
        (family.tcp(INBOUND, 444), Reason.TCP_PORT),
        (family.tcp(INBOUND, far=family.stranger), Reason.NO_RESOURCE),
        (family.tcp(INBOUND, far=family.neighbour), Reason.PEER_ADDRESS),
        (later, Reason.FRAGMENT),
    ):
        one, other = decide_twice(gateway, INBOUND, packet)
        assert one is other
        assert one == Drop(reason, "alice")


@both_families
def test_refusals_that_concern_no_client_are_shared_too(family: Family) -> None:
    gateway = gateway_for_alice()
    spare = tcp(family.flow(OUTBOUND, 443, near=family.spare))
    outside = tcp(family.flow(INBOUND, 443, near=family.stranger))
    for direction, packet, reason in (
        (OUTBOUND, b"", Reason.MALFORMED),
        (OUTBOUND, family.udp(OUTBOUND, far=family.multicast), Reason.MULTICAST),
        (OUTBOUND, spare, Reason.UNKNOWN_CLIENT),
        (INBOUND, outside, Reason.NOT_A_PEER),
    ):
        one, other = decide_twice(gateway, direction, packet)
        assert one is other
        assert one == Drop(reason, None)


@both_families
def test_a_reject_is_not_shared_and_its_reply_is_fresh_bytes(family: Family) -> None:
    gateway = gateway_for_alice()
    one, other = decide_twice(gateway, OUTBOUND, family.tcp(OUTBOUND))
    assert isinstance(one, Reject)
    assert isinstance(other, Reject)
    assert type(one.reply) is bytes
    assert one.reply == other.reply


def test_each_resource_has_a_forward_of_its_own() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorize("bob", V6.db())
    first = gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))
    other = gateway.handle_packet(
        OUTBOUND, tcp(V6.flow(OUTBOUND, 443, near=V6.neighbour)), client_id="bob"
    )
    assert (first, other) == (Forward("alice", "db"), Forward("bob", "db"))


def test_a_new_session_starts_with_refusals_of_its_own_client() -> None:
    gateway = gateway_for_alice()
    before = gateway.handle_packet(INBOUND, V4.tcp(INBOUND))
    gateway.client_connected("alice", ALICE)
    assert gateway.handle_packet(INBOUND, V4.tcp(INBOUND)) == before
