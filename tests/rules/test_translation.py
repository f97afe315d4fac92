"""Section 6, translation: sessions, their ports and ids, protocols, and the order of checks.

`test_rewriting` says how packets change, `test_sessions` how long sessions live.
"""

from struct import pack, unpack_from

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Tcp,
    Translate,
    Udp,
)
from firezone_filter.testing import fragment, icmp, icmp_echo, ip, patched, udp
from tests.numbers import ESP, GRE
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    at,
    both_directions,
    gateway_for_alice,
    reasons,
    rejection,
)
from tests.translations import (
    EXHAUSTED,
    GONE,
    N4,
    N6,
    NAME,
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


def to_proxy(names: Names) -> str:
    return f"{names.family.client} > {names.proxies[0]}"


# --- Which session -------------------------------------------------------------------------


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
    refused = Reason.TCP_PORT if kind == "tcp" else Reason.UDP_PORT
    assert reasons(gateway, INBOUND, [names.came(kind, port=445)]) == [refused]


@both_names
def test_protocols_and_addresses_do_not_take_each_others_ports(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2], real=names.real[:2])
    for kind in ("tcp", "udp", "echo"):
        for proxy, real in zip(names.proxies[:2], names.real[:2], strict=True):
            decision = gateway.handle_packet(OUTBOUND, names.sent(kind, far=proxy))
            assert decision == through(names.sent(kind, far=real))


@both_names
def test_two_clients_may_have_the_same_port_towards_the_same_address(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("bob", app())
    gateway.domain_resolved(
        "bob",
        "app",
        NAME,
        proxy_addresses=names.proxies[:1],
        resolved_addresses=names.real[:1],
    )
    near, there = at(names.family.neighbour, 5401), at(names.real[0], 443)
    decision = gateway.handle_packet(OUTBOUND, udp(f"{near} > {at(names.proxies[0], 443)}"))
    assert decision == Translate(udp(f"{near} > {there}"), "bob", "app")


@both_directions
@both_names
def test_an_echo_is_known_by_its_id_and_by_nothing_that_looks_like_it(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names, "echo")
    gateway.handle_packet(OUTBOUND, names.sent("echo", 7))
    gateway.handle_packet(INBOUND, names.came("echo"))

    build = names.sent if direction is OUTBOUND else names.came
    leaves = names.real[0] if direction is OUTBOUND else names.proxies[0]
    # Its checksum, which stands before the id, is the id of the other.
    place = names.family.header + 2
    (checksum,) = unpack_from("!H", build("echo", 7, payload=bytes(2)), place)
    payload = pack("!H", (checksum - 5401) % 0xFFFF)
    packet = build("echo", 7, payload=payload)
    assert unpack_from("!H", packet, place) == (5401,)
    for _ in range(2):
        decision = gateway.handle_packet(direction, packet)
        assert decision == through(build("echo", 7, far=leaves, payload=payload))


# --- Ports and ids -------------------------------------------------------------------------


def proxies_of(names: Names, count: int) -> list[str]:
    if names is N4:
        return [f"100.97.{number >> 8}.{number & 255}" for number in range(count)]
    return [f"fd00:2021:1111:8000::a:{number:x}" for number in range(count)]


def translated_number(gateway: Gateway, names: Names, kind: str, number: int, far: str) -> int:
    decision = gateway.handle_packet(OUTBOUND, names.sent(kind, number, far=far))
    assert isinstance(decision, Translate)
    place = names.family.header + (4 if kind == "echo" else 0)
    found: int = unpack_from("!H", decision.packet, place)[0]
    assert decision == through(names.sent(kind, found, far=names.real[0]))
    return found


@pytest.mark.parametrize("number", [1, 255, 256, 5401, 65_534, 65_535])
@every_kind
@both_names
def test_a_free_number_is_kept(names: Names, kind: str, number: int) -> None:
    gateway = gateway_with(names)
    assert translated_number(gateway, names, kind, number, names.proxies[0]) == number


@pytest.mark.parametrize(
    ("number", "given"), [(65_534, [65_534, 65_535, 1, 2]), (0, [1, 2, 3, 4])]
)
@every_kind
@both_names
def test_after_65535_comes_1_and_0_is_never_given(
    names: Names, kind: str, number: int, given: list[int]
) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies)
    found = [translated_number(gateway, names, kind, number, one) for one in names.proxies]
    assert found == given
    for back, proxy in zip(given, names.proxies, strict=True):
        delivered = names.came(kind, number, far=proxy)
        assert gateway.handle_packet(INBOUND, names.came(kind, back)) == through(delivered)


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
    last, beyond = (names.sent(kind, one, far=proxies[257]) for one in (number, number + 1))
    assert gateway.handle_packet(OUTBOUND, last) == EXHAUSTED
    assert gateway.handle_packet(OUTBOUND, beyond).allowed


@both_names
def test_a_number_is_free_again_from_the_moment_that_its_session_is_over(names: Names) -> None:
    for now, expected in ((60.0 - TICK, 5402), (60.0, 5401)):
        gateway = gateway_in_use(names)
        resolve(gateway, names, proxies=names.proxies[1:2])
        sent = names.sent(far=names.proxies[1])
        gone_on = names.sent(number=expected, far=names.real[0])
        assert gateway.handle_packet(OUTBOUND, sent, now) == through(gone_on)


# --- Protocols -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "numbers"),
    [(N4, (0, 2, ESP, GRE, 51, 132, 255)), (N6, (ESP, GRE, 59, 132, 135, 255))],
    ids=["ipv4", "ipv6"],
)
def test_other_protocols_than_tcp_udp_and_icmp_are_rejected(
    names: Names, numbers: tuple[int, ...]
) -> None:
    packets = [ip(to_proxy(names), number, bytes(40)) for number in numbers]
    decisions = gateway_with(names).handle_packets(OUTBOUND, packets)
    assert [rejection(decision) for decision in decisions] == [Reason.PROTOCOL] * len(numbers)


@pytest.mark.parametrize(
    ("names", "requests", "others", "link_only"),
    [(N4, 8, (0, 1, 7, 13, 14, 17), 9), (N6, 128, (129, 130, 138, 140, 144), 133)],
    ids=["ipv4", "ipv6"],
)
def test_of_icmp_only_echo_requests_go_out(
    names: Names, requests: int, others: tuple[int, ...], link_only: int
) -> None:
    gateway = gateway_in_use(names, "echo")
    gateway.handle_packet(INBOUND, names.came("echo"))
    rows = {requests: None, link_only: Reason.ICMP} | dict.fromkeys(others, Reason.PROTOCOL)
    packets = [icmp(to_proxy(names), kind, rest=pack("!HH", 5401, 1)) for kind in rows]
    assert reasons(gateway, OUTBOUND, packets) == list(rows.values())


@pytest.mark.parametrize(
    ("names", "others"),
    [(N4, (1, 7, 8, 13, 14, 17)), (N6, (128, 130, 138, 140, 144, 255))],
    ids=["ipv4", "ipv6"],
)
def test_of_icmp_only_echo_replies_come_back(names: Names, others: tuple[int, ...]) -> None:
    gateway = gateway_in_use(names, "echo")
    flow = f"{names.real[0]} > {names.family.client}"
    for _ in range(2):
        packets = [icmp(flow, kind, rest=pack("!HH", 5401, 1)) for kind in others]
        assert gateway.handle_packets(INBOUND, packets) == [GONE] * len(others)
        came = gateway.handle_packet(INBOUND, names.came("echo"))
        assert came == through(names.came("echo", far=names.proxies[0]))
    # A request that is permitted directly is not the session's.
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    request = icmp_echo(flow, identifier=5401)
    assert gateway.handle_packet(INBOUND, request) == Forward("alice", "direct")


@both_directions
@both_names
def test_beside_an_echo_the_other_icmp_and_fragments_are_judged_as_ever(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names, "echo")
    packet = (names.sent if direction is OUTBOUND else names.came)("echo", payload=bytes(40))
    next_header = 9 if names is N4 else 6
    rows = {
        packet: None,
        patched(packet, next_header, bytes([58 if names is N4 else 1])): Reason.MALFORMED,
        fragment(packet, 16): Reason.FRAGMENT,
        fragment(packet, 0, 16): None,
    }
    assert reasons(gateway, direction, rows) == list(rows.values())


# --- Memory --------------------------------------------------------------------------------


def test_what_is_prepared_for_echoes_is_bounded_by_their_sessions_and_goes_with_them() -> None:
    gateway = gateway_with(N4)
    for _ in range(2):
        for identifier in range(1, 2_052):
            out = gateway.handle_packet(OUTBOUND, N4.sent("echo", identifier))
            assert out == through(N4.sent("echo", identifier, far=N4.real[0]))
            back = gateway.handle_packet(INBOUND, N4.came("echo", identifier))
            assert back == through(N4.came("echo", identifier, far=N4.proxies[0]))
    assert gateway.counters().cached_flows == 2 * 2_051
    while (due := gateway.poll_timeout()) is not None:
        gateway.handle_timeout(due)
    assert gateway.counters().cached_flows == 0
