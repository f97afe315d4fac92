"""Section 6, translation: the order of the checks, room for sessions, and direct flows."""

from collections.abc import Callable, Iterable
from typing import Final

import pytest

from firezone_filter import (
    CidrResource,
    DnsResource,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Reject,
    Tcp,
    Udp,
)
from firezone_filter.testing import icmp, ip, udp
from tests.numbers import ESP
from tests.scenes import ALICE, INBOUND, OUTBOUND, V4, reasons, rejection
from tests.translations import (
    EXHAUSTED,
    N4,
    N6,
    NAME,
    TICK,
    Names,
    app,
    both_names,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)


def to_proxy(names: Names) -> str:
    return f"{names.family.client} > {names.proxies[0]}"


# --- The order of the checks ---------------------------------------------------------------


@both_names
def test_filters_come_first_then_the_protocol_the_translation_and_the_room(
    names: Names,
) -> None:
    gateway = gateway_with(names, Tcp(443), options=GatewayOptions(max_sessions=0))
    timestamp = icmp(to_proxy(names), 13 if names is N4 else 144)
    other = ip(to_proxy(names), ESP)
    packets = [names.sent("tcp", port=444), timestamp, other, names.sent("tcp")]
    assert reasons(gateway, OUTBOUND, packets) == [
        Reason.TCP_PORT,
        Reason.ICMP,
        Reason.PROTOCOL,
        Reason.NAT_EXHAUSTED,
    ]
    gateway.update_resource(app())
    resolve(gateway, names, real=[])
    packets = [timestamp, other, names.sent("tcp"), names.sent("echo")]
    decisions = gateway.handle_packets(OUTBOUND, packets)
    assert [rejection(decision) for decision in decisions] == [
        Reason.PROTOCOL,
        Reason.PROTOCOL,
        Reason.NO_TRANSLATION,
        Reason.NO_TRANSLATION,
    ]


@both_names
def test_a_live_session_needs_neither_translation_nor_room_but_the_filters_permission(
    names: Names,
) -> None:
    options = GatewayOptions(max_sessions=1, max_sessions_per_client=1)
    gateway = gateway_with(names, options=options)
    gone_on, delivered = names.sent(far=names.real[0]), names.came(far=names.proxies[0])
    assert gateway.handle_packet(OUTBOUND, names.sent()) == through(gone_on)
    resolve(gateway, names, real=[])
    assert gateway.handle_packet(OUTBOUND, names.sent()) == through(gone_on)
    gateway.update_resource(app(Udp(444)))
    assert rejection(gateway.handle_packet(OUTBOUND, names.sent())) == Reason.UDP_PORT
    refused = Drop(Reason.UDP_PORT, "alice")
    assert gateway.handle_packet(INBOUND, names.came()) == refused
    gateway.update_resource(app(Udp(443)))
    assert gateway.handle_packet(INBOUND, names.came()) == through(delivered)


# --- Room ----------------------------------------------------------------------------------


def bob_sends(number: int) -> bytes:
    return udp(f"{V4.neighbour}:{number} > {N4.proxies[0]}:443")


def answer_bob(number: int) -> bytes:
    return udp(f"{N4.real[0]}:443 > {V4.neighbour}:{number}")


def established(gateway: Gateway, sent: Iterable[bytes], came: Iterable[bytes]) -> None:
    """Open sessions that are answered, and therefore give way to none."""
    for direction, packets in ((OUTBOUND, sent), (INBOUND, came)):
        assert all(one.allowed for one in gateway.handle_packets(direction, packets))


def gateway_for_two(options: GatewayOptions) -> Gateway:
    """Resolve the name for Bob too, in IPv4."""
    gateway = gateway_with(N4, options=options)
    resolve(gateway, N6)
    gateway.authorize("bob", DnsResource("app", NAME))
    gateway.domain_resolved(
        "bob",
        "app",
        NAME,
        proxy_addresses=N4.proxies[:1],
        resolved_addresses=N4.real[:1],
    )
    return gateway


def test_a_client_has_as_many_sessions_as_it_may_of_all_families_and_protocols() -> None:
    gateway = gateway_for_two(GatewayOptions(max_sessions_per_client=3))
    established(
        gateway,
        (N4.sent("tcp"), N6.sent("udp"), N4.sent("echo")),
        (N4.came("tcp"), N6.came("udp"), N4.came("echo")),
    )
    refused = [N6.sent("echo"), N4.sent(), N6.sent("tcp")]
    assert reasons(gateway, OUTBOUND, refused) == [Reason.NAT_EXHAUSTED] * 3
    # Another client has room of its own, and sessions go on.
    ports = (1, 2, 3)
    established(gateway, map(bob_sends, ports), map(answer_bob, ports))
    found = reasons(gateway, OUTBOUND, [bob_sends(4), N4.sent("tcp")])
    assert found == [Reason.NAT_EXHAUSTED, None]


def test_all_clients_together_have_as_many_as_they_may() -> None:
    gateway = gateway_for_two(GatewayOptions(max_sessions=3))
    established(
        gateway,
        (N4.sent(number=1), N4.sent(number=2), bob_sends(1)),
        (N4.came(number=1), N4.came(number=2), answer_bob(1)),
    )
    decisions = gateway.handle_packets(OUTBOUND, [N4.sent(number=3), bob_sends(2)])
    assert decisions == [EXHAUSTED, Drop(Reason.NAT_EXHAUSTED, "bob")]


LEAVING: Final[dict[str, Callable[[Gateway], object]]] = {
    "disconnect": lambda gateway: gateway.client_disconnected("alice"),
    "reconnect": lambda gateway: gateway.client_connected("alice", ALICE),
    "revoke": lambda gateway: gateway.revoke("alice", "app"),
    "expire": lambda gateway: gateway.update_expiry("alice", "app", 0.0),
    "retain": lambda gateway: gateway.retain_authorizations({"bob": {"app"}}),
}


@pytest.mark.parametrize("leave", LEAVING)
def test_what_a_client_leaves_behind_fills_no_room(leave: str) -> None:
    gateway = gateway_for_two(GatewayOptions(max_sessions=1))
    established(gateway, [N4.sent()], [N4.came()])
    assert reasons(gateway, OUTBOUND, [bob_sends(1)]) == [Reason.NAT_EXHAUSTED]
    LEAVING[leave](gateway)
    assert reasons(gateway, OUTBOUND, [bob_sends(1)]) == [None]


@pytest.mark.parametrize(
    "options",
    [GatewayOptions(max_sessions=1), GatewayOptions(max_sessions_per_client=1)],
    ids=["all", "client"],
)
@both_names
def test_a_session_counts_until_the_moment_that_it_is_over(
    names: Names, options: GatewayOptions
) -> None:
    gateway = gateway_with(names, options=options)
    established(gateway, [names.sent(number=1)], [names.came(number=1)])
    other = names.sent(number=2)
    assert gateway.handle_packet(OUTBOUND, other, 120.0 - TICK) == EXHAUSTED
    gone_on = names.sent(number=2, far=names.real[0])
    assert gateway.handle_packet(OUTBOUND, other, 120.0) == through(gone_on)


@both_names
def test_the_exhausted_get_no_reply_and_spend_no_token(names: Names) -> None:
    options = GatewayOptions(max_sessions=0, reject_rate=0.0, reject_burst=1)
    gateway = gateway_with(names, Udp(443), options=options)
    assert gateway.handle_packets(OUTBOUND, [names.sent()] * 3) == [EXHAUSTED] * 3
    assert isinstance(gateway.handle_packet(OUTBOUND, names.sent(port=444)), Reject)


# --- Direct flows --------------------------------------------------------------------------


@both_names
def test_the_real_address_itself_is_no_way_in_for_the_client(names: Names) -> None:
    gateway = gateway_in_use(names)
    packet = names.sent(far=names.real[0])
    assert rejection(gateway.handle_packet(OUTBOUND, packet)) == Reason.NO_RESOURCE
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", "direct")


@both_names
def test_the_known_limit_answers_to_a_direct_flow_like_a_session_are_the_sessions(
    names: Names,
) -> None:
    gateway = gateway_with(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    direct = [names.came(), names.came(number=5402)]
    assert gateway.handle_packets(INBOUND, direct) == [Forward("alice", "direct")] * 2
    # From the moment on that there is a session.
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    delivered = through(names.came(far=names.proxies[0]))
    assert gateway.handle_packets(INBOUND, direct) == [delivered, Forward("alice", "direct")]


@both_names
def test_nobody_outside_speaks_with_a_proxy_address(names: Names) -> None:
    packet = names.came(far=names.proxies[0])
    decision = gateway_in_use(names).handle_packet(INBOUND, packet)
    assert decision == Drop(Reason.PEER_ADDRESS, "alice")
