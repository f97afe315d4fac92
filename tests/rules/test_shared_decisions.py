"""Section 3: `Forward` and `Drop` are shared, so an established flow costs no allocation."""

from firezone_filter import (
    Drop,
    Forward,
    Reason,
    Reject,
    Tcp,
)
from firezone_filter.testing import fragment, icmp_error, tcp
from tests.established import QUIET, decided
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    Family,
    both_families,
    gateway_for_alice,
)


@both_families
def test_all_that_one_resource_permits_gets_the_same_forward(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=QUIET)
    whole = family.udp(OUTBOUND, size=40)
    error = icmp_error(family.flow(INBOUND), 3 if family is V4 else 1, quoting=whole)
    first = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    assert first == Forward("alice", "db")
    for direction, packet in (
        (OUTBOUND, family.tcp(OUTBOUND)),
        (OUTBOUND, family.tcp(OUTBOUND, 1)),
        (INBOUND, family.udp(INBOUND)),
        (INBOUND, family.echo(INBOUND)),
        (OUTBOUND, fragment(whole, 0, 16)),
        (OUTBOUND, fragment(whole, 16)),
        (INBOUND, error),
    ):
        assert decided(gateway, direction, packet) is first
    own = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, 53535, far=family.gateway))
    assert own == Forward("alice", None)
    assert decided(gateway, INBOUND, family.echo(INBOUND, far=family.gateway)) is own


@both_families
def test_the_same_refusal_gets_the_same_drop(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    for direction, packet, refused in (
        (INBOUND, family.tcp(INBOUND, 444), Drop(Reason.TCP_PORT, "alice")),
        (OUTBOUND, family.tcp(OUTBOUND, 444), Drop(Reason.TCP_PORT, "alice")),
        (INBOUND, family.tcp(INBOUND, far=family.stranger), Drop(Reason.NO_RESOURCE, "alice")),
        (INBOUND, family.echo(INBOUND), Drop(Reason.ICMP, "alice")),
        (INBOUND, family.tcp(INBOUND, far=family.spare), Drop(Reason.PEER_ADDRESS, "alice")),
        (INBOUND, fragment(family.udp(INBOUND, size=40), 16), Drop(Reason.FRAGMENT, "alice")),
        (OUTBOUND, b"", Drop(Reason.MALFORMED, None)),
        (OUTBOUND, family.udp(OUTBOUND, far=family.multicast), Drop(Reason.MULTICAST, None)),
        (INBOUND, family.tcp(OUTBOUND), Drop(Reason.NOT_A_PEER, None)),
        (
            OUTBOUND,
            tcp(family.flow(OUTBOUND, 443, near=family.spare)),
            Drop(Reason.UNKNOWN_CLIENT, None),
        ),
    ):
        one, other = (decided(gateway, direction, packet) for _ in range(2))
        assert one == refused
        assert other is one


def test_a_reject_has_a_reply_of_its_own() -> None:
    gateway = gateway_for_alice()
    replies = [gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND, port)) for port in (1, 2)]
    assert [type(one) for one in replies] == [Reject, Reject]
    assert replies[0] != replies[1]
