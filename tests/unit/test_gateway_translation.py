"""Section 6, translation: what goes out, what comes back, ports, ids and checksums.

What a packet becomes is built anew with the other ends, its checksums from scratch.
"""

from collections.abc import Callable
from struct import pack, unpack_from

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Drop,
    Filter,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    Reason,
    Tcp,
    Translate,
    Udp,
)
from tests.builders import (
    ESP,
    GRE,
    authentication,
    checksums_hold,
    destination_options,
    fragment,
    hop_by_hop,
    icmp,
    icmp_echo,
    ip,
    patched,
    routing,
    udp,
)
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    V4,
    both_directions,
    gateway_for_alice,
    refusal,
    rejection,
)
from tests.translations import (
    EXHAUSTED,
    GONE,
    N4,
    N6,
    TICK,
    Names,
    Shape,
    app,
    both_names,
    every_kind,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
    without_checksum,
)

FILTERS: dict[str, Filter] = {"tcp": Tcp(443), "udp": Udp(443), "echo": Icmp()}
SHAPES_V4: list[Shape] = [{}, {"options": b"\x01"}, {"options": b"\x94\x04\x00\x00" * 10}]
SHAPES_V6: list[Shape] = [
    {},
    {"extensions": (hop_by_hop(),)},
    {"extensions": (hop_by_hop(1), routing(), destination_options(2), authentication())},
]
shapes = pytest.mark.parametrize(
    ("names", "shape"), [(N4, one) for one in SHAPES_V4] + [(N6, one) for one in SHAPES_V6]
)


# --- Out and back --------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"o", b"odd", b"even", bytes(range(256)) * 5])
@every_kind
@shapes
def test_a_packet_goes_out_and_its_answer_comes_back(
    names: Names, shape: Shape, kind: str, payload: bytes
) -> None:
    gateway = gateway_with(names, FILTERS[kind])
    sent = names.sent(kind, payload=payload, **shape)
    gone_on = names.sent(kind, far=names.real[0], payload=payload, **shape)
    assert gateway.handle_packet(OUTBOUND, sent) == through(gone_on)
    came = names.came(kind, payload=payload, **shape)
    delivered = names.came(kind, far=names.proxies[0], payload=payload, **shape)
    assert gateway.handle_packet(INBOUND, came) == through(delivered)


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
@every_kind
@shapes
def test_a_number_that_is_taken_is_changed_on_the_way_out_and_back(
    names: Names, shape: Shape, kind: str, payload: bytes
) -> None:
    gateway = gateway_in_use(names, kind)
    resolve(gateway, names, proxies=names.proxies[1:2])
    second = names.proxies[1]
    sent = names.sent(kind, 5401, far=second, payload=payload, **shape)
    gone_on = names.sent(kind, 5402, far=names.real[0], payload=payload, **shape)
    assert gateway.handle_packet(OUTBOUND, sent) == through(gone_on)
    came = names.came(kind, 5402, payload=payload, **shape)
    delivered = names.came(kind, 5401, far=second, payload=payload, **shape)
    assert gateway.handle_packet(INBOUND, came) == through(delivered)


@every_kind
@both_names
def test_the_checksums_of_translated_packets_hold(names: Names, kind: str) -> None:
    gateway = gateway_with(names)
    for number in (1, 255, 256, 5401, 65_534, 65_535):
        for direction, packet in (
            (OUTBOUND, names.sent(kind, number, payload=b"odd")),
            (INBOUND, names.came(kind, number, payload=b"odd")),
        ):
            decision = gateway.handle_packet(direction, packet)
            assert isinstance(decision, Translate)
            assert checksums_hold(decision.packet)


@both_directions
@both_names
def test_what_goes_on_is_the_translated_packet_as_fresh_bytes(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    packet = bytearray(names.sent() if direction is OUTBOUND else names.came())
    before = bytes(packet)
    decision = gateway.handle_packet(direction, packet)
    assert isinstance(decision, Translate)
    assert decision.allowed
    assert type(decision.packet) is bytes
    assert decision.to_send(packet) is decision.packet
    assert decision.to_send(packet) != before
    assert packet == before
    again = gateway.handle_packet(direction, memoryview(before))
    assert again == decision


@both_directions
@both_names
def test_translated_packets_in_one_batch_equal_single_ones(
    names: Names, direction: Direction
) -> None:
    packets = [
        names.sent(number=1) if direction is OUTBOUND else names.came(),
        names.sent("tcp") if direction is OUTBOUND else names.came(number=2),
        b"",
    ]
    one, other = gateway_in_use(names), gateway_in_use(names)
    together = one.handle_packets(direction, packets)
    assert together == [other.handle_packet(direction, packet) for packet in packets]


# --- Checksums -----------------------------------------------------------------------------


@both_names
def test_a_udp_checksum_of_zero_stays_zero_both_ways(names: Names) -> None:
    gateway = gateway_with(names)
    sent, came = without_checksum(names.sent()), without_checksum(names.came())
    gone_on = without_checksum(names.sent(far=names.real[0]))
    delivered = without_checksum(names.came(far=names.proxies[0]))
    assert gateway.handle_packet(OUTBOUND, sent) == through(gone_on)
    assert gateway.handle_packet(INBOUND, came) == through(delivered)


@both_names
def test_a_udp_checksum_that_would_become_zero_goes_out_as_ones(names: Names) -> None:
    place = (20 if names is N4 else 40) + 6
    # The two bytes that make up for all the rest are its checksum.
    payload = names.sent(far=names.real[0], payload=bytes(2))[place : place + 2]
    gateway = gateway_with(names)
    decision = gateway.handle_packet(OUTBOUND, names.sent(payload=payload))
    assert isinstance(decision, Translate)
    assert decision.packet[place : place + 2] == b"\xff\xff"
    assert decision == through(names.sent(far=names.real[0], payload=payload))


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
@every_kind
@both_names
def test_a_wrong_checksum_goes_on_as_wrong_as_it_was(
    names: Names, kind: str, wrong_by: int
) -> None:
    place = (20 if names is N4 else 40) + {"tcp": 16, "udp": 6, "echo": 2}[kind]
    sent, gone_on = names.sent(kind), names.sent(kind, far=names.real[0])
    (before,), (right,) = unpack_from("!H", sent, place), unpack_from("!H", gone_on, place)
    damaged = patched(sent, place, pack("!H", before ^ wrong_by))
    decision = gateway_with(names).handle_packet(OUTBOUND, damaged)
    assert isinstance(decision, Translate)
    (after,) = unpack_from("!H", decision.packet, place)
    assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF
    assert not checksums_hold(decision.packet)


# --- Endpoint independence -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_names
def test_one_session_serves_every_port_of_the_resource(names: Names, kind: str) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions_per_client=1))
    for port in (443, 53, 65_535):
        gone_on = names.sent(kind, port=port, far=names.real[0])
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, port=port)) == through(gone_on)
        delivered = names.came(kind, port=port, far=names.proxies[0])
        assert gateway.handle_packet(INBOUND, names.came(kind, port=port)) == through(delivered)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_names
def test_a_port_that_nothing_was_sent_to_may_answer_if_the_filters_permit(
    names: Names, kind: str
) -> None:
    gateway = gateway_with(names, Tcp("443-444"), Udp("443-444"))
    gateway.handle_packet(OUTBOUND, names.sent(kind))
    delivered = names.came(kind, port=444, far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came(kind, port=444)) == through(delivered)
    refused = gateway.handle_packet(INBOUND, names.came(kind, port=445))
    assert refusal(refused) == (Reason.TCP_PORT if kind == "tcp" else Reason.UDP_PORT)


@every_kind
@both_names
def test_two_proxies_of_one_address_are_two_sessions(names: Names, kind: str) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:3])
    for number, proxy in enumerate(names.proxies[:3], 5401):
        gone_on = names.sent(kind, number, far=names.real[0])
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, far=proxy)) == through(gone_on)
    for number, proxy in enumerate(names.proxies[:3], 5401):
        delivered = names.came(kind, far=proxy)
        assert gateway.handle_packet(INBOUND, names.came(kind, number)) == through(delivered)


@both_names
def test_protocols_and_addresses_do_not_take_each_others_ports(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2], real=names.real[:2])
    for kind in ("tcp", "udp", "echo"):
        for proxy, real in zip(names.proxies[:2], names.real[:2], strict=True):
            gone_on = names.sent(kind, far=real)
            assert gateway.handle_packet(OUTBOUND, names.sent(kind, far=proxy)) == (
                through(gone_on)
            )


@both_names
def test_two_clients_may_have_the_same_port_towards_the_same_address(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("bob", app())
    gateway.domain_resolved(
        "bob",
        "app",
        "app.example.com",
        proxy_addresses=names.proxies[:1],
        resolved_addresses=names.real[:1],
    )
    family = names.family
    near = f"[{family.neighbour}]" if names is N6 else family.neighbour
    there = f"[{names.real[0]}]" if names is N6 else names.real[0]
    proxy = f"[{names.proxies[0]}]" if names is N6 else names.proxies[0]
    decision = gateway.handle_packet(OUTBOUND, udp(f"{near}:5401 > {proxy}:443"))
    assert decision == Translate(udp(f"{near}:5401 > {there}:443"), "bob", "app")


# --- Ports and ids -------------------------------------------------------------------------


def proxies_of(names: Names, count: int) -> list[str]:
    if names is N4:
        return [f"100.97.{number >> 8}.{number & 255}" for number in range(count)]
    return [f"fd00:2021:1111:8000::a:{number:x}" for number in range(count)]


def translated_number(gateway: Gateway, names: Names, kind: str, number: int, far: str) -> int:
    decision = gateway.handle_packet(OUTBOUND, names.sent(kind, number, far=far))
    assert isinstance(decision, Translate)
    place = (20 if names is N4 else 40) + (4 if kind == "echo" else 0)
    found: int = unpack_from("!H", decision.packet, place)[0]
    assert decision == through(names.sent(kind, found, far=names.real[0]))
    return found


@pytest.mark.parametrize("number", [1, 5401, 65_535])
@every_kind
@both_names
def test_a_free_number_is_kept(names: Names, kind: str, number: int) -> None:
    gateway = gateway_with(names)
    assert translated_number(gateway, names, kind, number, names.proxies[0]) == number


@every_kind
@both_names
def test_after_65535_comes_1_and_0_is_never_given(names: Names, kind: str) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies)
    found = [translated_number(gateway, names, kind, 65_534, proxy) for proxy in names.proxies]
    assert found == [65_534, 65_535, 1, 2]


@every_kind
@both_names
def test_a_client_that_uses_0_gets_another(names: Names, kind: str) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2])
    found = [translated_number(gateway, names, kind, 0, one) for one in names.proxies[:2]]
    assert found == [1, 2]
    delivered = names.came(kind, 0, far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came(kind, 1)) == through(delivered)


@pytest.mark.parametrize("number", [5401, 65_400])
@every_kind
@both_names
def test_256_further_numbers_are_tried_and_then_it_is_exhausted(
    names: Names, kind: str, number: int
) -> None:
    gateway = gateway_for_alice(app())
    proxies = proxies_of(names, 258)
    resolve(gateway, names, proxies=proxies)
    found = [translated_number(gateway, names, kind, number, one) for one in proxies[:257]]
    wanted = [one if one <= 65_535 else one - 65_535 for one in range(number, number + 257)]
    assert found == wanted
    last = names.sent(kind, number, far=proxies[257])
    assert gateway.handle_packet(OUTBOUND, last) == EXHAUSTED
    beyond = names.sent(kind, number + 1, far=proxies[257])
    assert refusal(gateway.handle_packet(OUTBOUND, beyond)) is None


@both_names
def test_a_number_is_free_again_from_the_moment_that_its_session_is_over(names: Names) -> None:
    for now, expected in ((60.0 - TICK, 5402), (60.0, 5401)):
        gateway = gateway_in_use(names)
        resolve(gateway, names, proxies=names.proxies[1:2])
        gateway.handle_timeout(0.0)
        sent = names.sent(far=names.proxies[1])
        gone_on = names.sent(number=expected, far=names.real[0])
        assert gateway.handle_packet(OUTBOUND, sent, now) == through(gone_on)


# --- Protocols -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 2, ESP, GRE, 51, 132, 255])
def test_ipv4_protocols_that_are_not_translated_are_rejected(number: int) -> None:
    flow = f"{V4.client} > {N4.proxies[0]}"
    decision = gateway_with(N4).handle_packet(OUTBOUND, ip(flow, number, bytes(40)))
    assert rejection(decision) == Reason.PROTOCOL


@pytest.mark.parametrize("number", [ESP, GRE, 59, 132, 135, 255])
def test_ipv6_protocols_that_are_not_translated_are_rejected(number: int) -> None:
    flow = f"{N6.family.client} > {N6.proxies[0]}"
    decision = gateway_with(N6).handle_packet(OUTBOUND, ip(flow, number, bytes(40)))
    assert rejection(decision) == Reason.PROTOCOL


@pytest.mark.parametrize(
    ("names", "kind", "expected"),
    [
        (N4, 7, Reason.PROTOCOL),
        (N4, 8, None),
        (N4, 13, Reason.PROTOCOL),
        (N4, 0, Reason.PROTOCOL),
        (N4, 17, Reason.PROTOCOL),
        (N4, 9, Reason.ICMP),
        (N6, 128, None),
        (N6, 129, Reason.PROTOCOL),
        (N6, 130, Reason.PROTOCOL),
        (N6, 144, Reason.PROTOCOL),
        (N6, 133, Reason.ICMP),
    ],
)
def test_of_icmp_only_echo_requests_go_out(
    names: Names, kind: int, expected: Reason | None
) -> None:
    packet = icmp(f"{names.family.client} > {names.proxies[0]}", kind, rest=b"\x12\x34\0\1")
    assert refusal(gateway_with(names).handle_packet(OUTBOUND, packet)) == expected


@pytest.mark.parametrize(
    ("names", "kinds"), [(N4, (8, 13, 14, 17, 7, 1)), (N6, (128, 130, 144, 255))]
)
def test_of_icmp_only_echo_replies_come_back(names: Names, kinds: tuple[int, ...]) -> None:
    gateway = gateway_in_use(names, "echo")
    for kind in kinds:
        flow = f"{names.real[0]} > {names.family.client}"
        packet = icmp(flow, kind, rest=pack("!HH", 5401, 1))
        assert gateway.handle_packet(INBOUND, packet) == GONE
    came = names.came("echo", far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came("echo")) == through(came)


@both_names
def test_a_directly_permitted_echo_request_with_the_id_of_a_session_is_not_its(
    names: Names,
) -> None:
    gateway = gateway_in_use(names, "echo")
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    request = icmp_echo(f"{names.real[0]} > {names.family.client}", identifier=5401)
    assert gateway.handle_packet(INBOUND, request) == Forward("alice", "direct")


# --- The order of the checks ---------------------------------------------------------------


@both_names
def test_the_filters_come_before_the_protocol(names: Names) -> None:
    gateway = gateway_with(names, Udp())
    flow = f"{names.family.client} > {names.proxies[0]}"
    timestamp = icmp(flow, 13 if names is N4 else 144)
    assert rejection(gateway.handle_packet(OUTBOUND, timestamp)) == Reason.ICMP
    assert rejection(gateway.handle_packet(OUTBOUND, names.sent("tcp"))) == Reason.TCP_PORT
    gateway.authorize("alice", app(Icmp()))
    assert rejection(gateway.handle_packet(OUTBOUND, timestamp)) == Reason.PROTOCOL


@both_names
def test_the_filters_and_the_protocol_come_before_the_translation(names: Names) -> None:
    gateway = gateway_for_alice(app(Tcp(443), Icmp()))
    resolve(gateway, names, real=[])
    flow = f"{names.family.client} > {names.proxies[0]}"
    for packet, reason in (
        (names.sent("tcp", port=444), Reason.TCP_PORT),
        (icmp(flow, 13 if names is N4 else 144), Reason.PROTOCOL),
        (ip(flow, ESP), Reason.PROTOCOL),
        (names.sent("tcp"), Reason.NO_TRANSLATION),
        (names.sent("echo"), Reason.NO_TRANSLATION),
    ):
        assert rejection(gateway.handle_packet(OUTBOUND, packet)) == reason


@both_names
def test_the_translation_comes_before_the_room(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions=0))
    assert gateway.handle_packet(OUTBOUND, names.sent()) == EXHAUSTED
    resolve(gateway, names, real=[])
    assert rejection(gateway.handle_packet(OUTBOUND, names.sent())) == Reason.NO_TRANSLATION


@both_names
def test_a_live_session_comes_before_the_translation_and_the_room(names: Names) -> None:
    options = GatewayOptions(max_sessions=1, max_sessions_per_client=1)
    gateway = gateway_with(names, options=options)
    gone_on = through(names.sent(far=names.real[0]))
    assert gateway.handle_packet(OUTBOUND, names.sent()) == gone_on
    resolve(gateway, names, real=[])
    assert gateway.handle_packet(OUTBOUND, names.sent()) == gone_on


@both_names
def test_the_filters_come_before_a_live_session(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.update_resource(app(Udp(444)))
    assert rejection(gateway.handle_packet(OUTBOUND, names.sent())) == Reason.UDP_PORT
    refused = Drop(Reason.UDP_PORT, "alice")
    assert gateway.handle_packet(INBOUND, names.came()) == refused
    gateway.update_resource(app(Udp(443)))
    came = names.came(far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came()) == through(came)


# --- Room ----------------------------------------------------------------------------------


@every_kind
@both_names
def test_a_client_has_as_many_sessions_as_it_may(names: Names, kind: str) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions_per_client=3))
    for number in (1, 2, 3):
        assert refusal(gateway.handle_packet(OUTBOUND, names.sent(kind, number))) is None
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, 4)) == EXHAUSTED
    assert refusal(gateway.handle_packet(OUTBOUND, names.sent(kind, 3))) is None


def test_the_families_and_protocols_of_a_client_count_together() -> None:
    gateway = gateway_with(N4, options=GatewayOptions(max_sessions_per_client=3))
    resolve(gateway, N6)
    for packet in (N4.sent("tcp"), N6.sent("udp"), N4.sent("echo")):
        assert refusal(gateway.handle_packet(OUTBOUND, packet)) is None
    assert gateway.handle_packet(OUTBOUND, N6.sent("echo")) == EXHAUSTED


def bob_sends(number: int) -> bytes:
    return udp(f"{V4.neighbour}:{number} > {N4.proxies[0]}:443")


def gateway_for_two(options: GatewayOptions) -> Gateway:
    """Resolve the name for Bob too, in IPv4."""
    gateway = gateway_with(N4, options=options)
    gateway.authorize("bob", DnsResource("app", "app.example.com"))
    gateway.domain_resolved(
        "bob",
        "app",
        "app.example.com",
        proxy_addresses=N4.proxies[:1],
        resolved_addresses=N4.real[:1],
    )
    return gateway


def test_one_client_does_not_fill_the_room_of_another() -> None:
    gateway = gateway_for_two(GatewayOptions(max_sessions_per_client=1))
    for number, expected in ((1, None), (2, Reason.NAT_EXHAUSTED)):
        assert refusal(gateway.handle_packet(OUTBOUND, N4.sent(number=number))) == expected
        assert refusal(gateway.handle_packet(OUTBOUND, bob_sends(number))) == expected


def test_all_clients_together_have_as_many_as_they_may() -> None:
    gateway = gateway_for_two(GatewayOptions(max_sessions=3))
    for number in (1, 2):
        assert refusal(gateway.handle_packet(OUTBOUND, N4.sent(number=number))) is None
    assert refusal(gateway.handle_packet(OUTBOUND, bob_sends(1))) is None
    assert gateway.handle_packet(OUTBOUND, N4.sent(number=3)) == EXHAUSTED
    exhausted = Drop(Reason.NAT_EXHAUSTED, "bob")
    assert gateway.handle_packet(OUTBOUND, bob_sends(2)) == exhausted


@pytest.mark.parametrize(
    "leave",
    [
        lambda gateway: gateway.client_disconnected("alice"),
        lambda gateway: gateway.client_connected("alice", ALICE),
        lambda gateway: gateway.revoke("alice", "app"),
        lambda gateway: gateway.update_expiry("alice", "app", 0.0),
        lambda gateway: gateway.retain_authorizations({"bob": {"app"}}),
    ],
    ids=["disconnect", "reconnect", "revoke", "expire", "retain"],
)
def test_what_a_client_leaves_behind_fills_no_room(leave: Callable[[Gateway], object]) -> None:
    gateway = gateway_for_two(GatewayOptions(max_sessions=1))
    assert refusal(gateway.handle_packet(OUTBOUND, N4.sent())) is None
    assert refusal(gateway.handle_packet(OUTBOUND, bob_sends(1))) == Reason.NAT_EXHAUSTED
    leave(gateway)
    assert refusal(gateway.handle_packet(OUTBOUND, bob_sends(1))) is None


@pytest.mark.parametrize(
    "options", [GatewayOptions(max_sessions=1), GatewayOptions(max_sessions_per_client=1)]
)
@both_names
def test_a_session_counts_until_the_moment_that_it_is_over(
    names: Names, options: GatewayOptions
) -> None:
    gateway = gateway_with(names, options=options)
    gateway.handle_packet(OUTBOUND, names.sent(number=1), 0.0)
    other = names.sent(number=2)
    assert gateway.handle_packet(OUTBOUND, other, 60.0 - TICK) == EXHAUSTED
    gone_on = names.sent(number=2, far=names.real[0])
    assert gateway.handle_packet(OUTBOUND, other, 60.0) == through(gone_on)


@both_names
def test_the_exhausted_get_no_reply_and_spend_no_token(names: Names) -> None:
    options = GatewayOptions(max_sessions=0, reject_rate=0.0, reject_burst=1)
    gateway = gateway_with(names, Udp(443), options=options)
    for _ in range(3):
        assert gateway.handle_packet(OUTBOUND, names.sent()) == EXHAUSTED
    assert rejection(gateway.handle_packet(OUTBOUND, names.sent(port=444))) == Reason.UDP_PORT


# --- Direct flows --------------------------------------------------------------------------


@both_names
def test_the_real_address_itself_is_no_way_in_for_the_client(names: Names) -> None:
    gateway = gateway_in_use(names)
    packet = names.sent(far=names.real[0])
    assert rejection(gateway.handle_packet(OUTBOUND, packet)) == Reason.NO_RESOURCE
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", "direct")


@both_names
def test_the_known_limit_replies_to_a_direct_flow_like_a_session_are_the_sessions(
    names: Names,
) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    came = names.came(far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came()) == through(came)
    other = names.came(number=5402)
    assert gateway.handle_packet(INBOUND, other) == Forward("alice", "direct")


@both_names
def test_nobody_outside_speaks_with_a_proxy_address(names: Names) -> None:
    gateway = gateway_in_use(names)
    packet = names.came(far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.PEER_ADDRESS, "alice")


def test_an_atomic_fragment_is_translated_like_a_whole_packet() -> None:
    gateway = gateway_with(N6)
    sent = fragment(N6.sent(payload=b"atomic"), 0, more=False)
    gone_on = fragment(N6.sent(far=N6.real[0], payload=b"atomic"), 0, more=False)
    assert gateway.handle_packet(OUTBOUND, sent) == through(gone_on)
