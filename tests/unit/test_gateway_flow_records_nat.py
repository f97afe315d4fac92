"""Flow records of what goes through the NAT: they say what the resource sees."""

from ipaddress import ip_address

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    FlowEnd,
    FlowEnded,
    FlowStarted,
    Gateway,
    GatewayOptions,
    Reason,
    Reject,
    Translate,
    Udp,
)
from tests.builders import ACK, FIN, RST, SYN, fragment, hop_by_hop, icmp_error
from tests.records import RECORDING, closed, ends, fetched, only, sums, the_record
from tests.scenes import ALICE, INBOUND, OUTBOUND, both_directions, refusal
from tests.translations import (
    N4,
    N6,
    NAME,
    Names,
    app,
    both_names,
    every_kind,
    gateway_with,
    resolve,
)

OTHER_NAME = "other.example.com"


def recording(names: Names, *filters: Udp, now: float | None = 0.0) -> Gateway:
    return gateway_with(names, *filters, options=RECORDING, now=now)


def send(gateway: Gateway, packet: bytes, now: float | None = None) -> None:
    assert isinstance(gateway.handle_packet(OUTBOUND, packet, now), Translate)


def receive(gateway: Gateway, packet: bytes, now: float | None = None) -> None:
    assert isinstance(gateway.handle_packet(INBOUND, packet, now), Translate)


PORTS = {"tcp": 443, "udp": 443, "echo": None}


def protocol(names: Names, kind: str) -> int:
    echo = 1 if names is N4 else 58
    return {"tcp": 6, "udp": 17, "echo": echo}[kind]


# --- What a record says -----------------------------------------------------------------------


@every_kind
@both_names
def test_a_record_has_the_real_address_and_the_name(names: Names, kind: str) -> None:
    gateway = recording(names)
    send(gateway, names.sent(kind, flags=SYN), 7.0)
    assert fetched(gateway) == [
        FlowStarted(
            client_id="alice",
            resource_id="app",
            protocol=protocol(names, kind),
            inner_src_ip=ip_address(names.family.client),
            inner_src_port=5401,
            inner_dst_ip=ip_address(names.real[0]),
            inner_dst_port=PORTS[kind],
            domain=NAME,
            flow_start=7.0,
        )
    ]


@every_kind
@both_names
def test_an_end_has_all_that_went_through_both_ways(names: Names, kind: str) -> None:
    gateway = recording(names)
    send(gateway, names.sent(kind, flags=SYN), 1.0)
    for now in (2.0, 3.0):
        send(gateway, names.sent(kind, payload=b"12"), now)
        receive(gateway, names.came(kind, payload=b"12345"), now)
    record = the_record(gateway)
    assert (record.domain, record.inner_dst_ip) == (NAME, ip_address(names.real[0]))
    assert (record.flow_start, record.last_packet, record.flow_end) == (1.0, 3.0, 3.0)
    assert sums(record) == (3, 4, 2, 10)


@every_kind
@both_names
def test_a_port_that_is_taken_is_recorded_as_the_one_that_took_its_place(
    names: Names, kind: str
) -> None:
    gateway = recording(names)
    # Two proxy addresses of one host: the client's port can be kept for one of them only.
    resolve(gateway, names, proxies=names.proxies[:2])
    for proxy in names.proxies[:2]:
        send(gateway, names.sent(kind, far=proxy, flags=SYN))
        send(gateway, names.sent(kind, far=proxy, payload=b"1"))
    receive(gateway, names.came(kind, 5402, payload=b"123"))
    found = [(record.inner_src_port, *sums(record)) for record in closed(gateway)]
    assert found == [(5401, 2, 1, 0, 0), (5402, 2, 1, 1, 3)]


@both_names
def test_two_names_of_one_host_have_a_record_each(names: Names) -> None:
    gateway = recording(names)
    resolve(gateway, names, proxies=names.proxies[1:2], domain=OTHER_NAME)
    for proxy in names.proxies[:2]:
        send(gateway, names.sent(far=proxy))
    assert [record.domain for record in closed(gateway)] == [NAME, OTHER_NAME]


@both_names
def test_a_session_to_several_ports_has_a_record_for_each(names: Names) -> None:
    gateway = recording(names)
    for port in (80, 443, 80):
        send(gateway, names.sent(port=port))
    receive(gateway, names.came(port=443))
    found = [(record.inner_dst_port, *sums(record)) for record in closed(gateway)]
    assert found == [(80, 2, 0, 0, 0), (443, 1, 0, 1, 0)]


@both_names
def test_what_comes_from_a_port_that_nobody_asked_is_in_no_record(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(port=443))
    for _ in range(2):
        receive(gateway, names.came(port=80))
    assert sums(the_record(gateway)) == (1, 0, 0, 0)


@every_kind
@both_names
def test_options_and_extension_headers_make_no_difference(names: Names, kind: str) -> None:
    gateway = recording(names)
    send(gateway, names.sent(kind, flags=SYN))
    shapes = {N4: names.sent(kind, payload=b"1", options=b"\x01" * 8)}
    shaped = shapes.get(names) or names.sent(kind, payload=b"1", extensions=(hop_by_hop(),))
    for _ in range(2):
        send(gateway, shaped)
    assert sums(the_record(gateway)) == (3, 2, 0, 0)


# --- What begins and ends records -----------------------------------------------------------


@both_names
def test_a_bare_ack_begins_no_record_and_the_next_packet_does(names: Names) -> None:
    gateway = recording(names)
    for _ in range(2):
        send(gateway, names.sent("tcp", flags=ACK))
    assert fetched(gateway) == []
    send(gateway, names.sent("tcp", payload=b"data"))
    assert sums(the_record(gateway)) == (1, 4, 0, 0)


@pytest.mark.parametrize("reason", [Reason.NO_TRANSLATION, Reason.UDP_PORT])
@both_names
def test_what_is_refused_behind_a_proxy_address_has_no_record(
    names: Names, reason: Reason
) -> None:
    gateway = recording(names, Udp(443))
    nowhere = names.proxies[1]
    resolve(gateway, names, proxies=[nowhere], real=[])
    refused = {
        Reason.NO_TRANSLATION: names.sent(far=nowhere),
        Reason.UDP_PORT: names.sent(port=80),
    }[reason]
    decision = gateway.handle_packet(OUTBOUND, refused)
    assert isinstance(decision, Reject)
    assert (decision.reason, closed(gateway)) == (reason, [])


def test_what_finds_no_room_in_the_nat_has_no_record() -> None:
    gateway = gateway_with(N4, options=GatewayOptions(flow_records=True, max_sessions=1))
    send(gateway, N4.sent(number=1))
    exhausted = gateway.handle_packet(OUTBOUND, N4.sent(number=2))
    assert refusal(exhausted) is Reason.NAT_EXHAUSTED
    assert sums(the_record(gateway)) == (1, 0, 0, 0)


@both_directions
@both_names
def test_a_reset_ends_session_and_record_at_once(names: Names, direction: Direction) -> None:
    gateway = recording(names)
    send(gateway, names.sent("tcp", flags=SYN), 1.0)
    receive(gateway, names.came("tcp", flags=SYN | ACK), 2.0)
    packets = {
        OUTBOUND: names.sent("tcp", flags=RST),
        INBOUND: names.came("tcp", flags=RST),
    }
    assert gateway.handle_packet(direction, packets[direction], 3.0).allowed
    assert ends(gateway) == [(FlowEnd.RST, 3.0)]
    assert refusal(gateway.handle_packet(INBOUND, names.came("tcp"))) is Reason.EXPIRED_NAT_SESSION


@both_names
def test_fins_both_ways_end_a_record_and_a_syn_begins_another(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent("tcp", flags=SYN), 1.0)
    send(gateway, names.sent("tcp", flags=FIN | ACK), 2.0)
    receive(gateway, names.came("tcp", flags=FIN | ACK), 3.0)
    send(gateway, names.sent("tcp", flags=SYN), 4.0)
    assert ends(gateway) == [(FlowEnd.FIN, 3.0)]
    assert sums(the_record(gateway)) == (1, 0, 0, 0)


@both_names
def test_revocation_ends_the_records_of_a_name(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(), 1.0)
    gateway.revoke("alice", "app")
    assert ends(gateway) == [(FlowEnd.REVOKED, 1.0)]


@both_names
def test_resolving_a_name_anew_keeps_records(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(payload=b"1"), 1.0)
    resolve(gateway, names, real=names.real[1:2])
    send(gateway, names.sent(payload=b"12"), 2.0)
    receive(gateway, names.came(payload=b"123"), 3.0)
    # The session keeps its address, so the record goes on.
    assert sums(the_record(gateway)) == (2, 3, 1, 3)


@both_names
def test_a_renumbered_client_has_new_records(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(payload=b"1"), 1.0)
    resolve(gateway, names, domain=OTHER_NAME, real=names.real[1:2])
    send(gateway, names.sent(payload=b"12"), 2.0)
    found = [(record.domain, str(record.inner_dst_ip)) for record in closed(gateway)]
    assert found == [(NAME, names.real[0]), (OTHER_NAME, names.real[1])]


@both_names
def test_a_session_that_has_ended_takes_no_record_along(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(payload=b"1"), 1.0)
    # Unanswered, it was forgotten after 60 seconds; the flow is not idle yet.
    send(gateway, names.sent(payload=b"12"), 100.0)
    assert sums(the_record(gateway)) == (2, 3, 0, 0)


@every_kind
@both_names
def test_another_tunnel_session_counts_anew(names: Names, kind: str) -> None:
    gateway = recording(names)
    send(gateway, names.sent(kind, flags=SYN), 1.0)
    gateway.client_connected("alice", ALICE, 2.0)
    gateway.authorize("alice", app())
    resolve(gateway, names)
    send(gateway, names.sent(kind, flags=SYN, payload=b"1"), 3.0)
    first, second = closed(gateway)
    assert (first.cause, sums(second)) == (FlowEnd.DISCONNECTED, (1, 1, 0, 0))


# --- Beside the NAT ----------------------------------------------------------------------------


def beside(names: Names) -> Gateway:
    """Let Alice reach the host of the name also by its address."""
    gateway = recording(names)
    gateway.authorize("alice", CidrResource("direct", f"{names.real[0]}"))
    return gateway


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_names
def test_a_new_session_takes_over_what_came_in_around_the_nat(names: Names, kind: str) -> None:
    gateway = beside(names)
    direct = names.sent(kind, far=names.real[0], flags=SYN)
    assert gateway.handle_packet(OUTBOUND, direct).allowed
    for _ in range(2):
        assert not isinstance(gateway.handle_packet(INBOUND, names.came(kind)), Translate)
    send(gateway, names.sent(kind, flags=SYN))
    for _ in range(2):
        receive(gateway, names.came(kind, payload=b"1"))
    found = {record.resource_id: sums(record) for record in closed(gateway)}
    assert found == {"direct": (1, 0, 2, 0), "app": (1, 0, 2, 2)}


@both_names
def test_what_came_in_around_the_nat_does_so_again_when_the_session_has_ended(
    names: Names,
) -> None:
    gateway = beside(names)
    assert gateway.handle_packet(OUTBOUND, names.sent("udp", far=names.real[0]), 0.0).allowed
    send(gateway, names.sent("udp"), 0.0)
    receive(gateway, names.came("udp", payload=b"1"), 0.0)
    for _ in range(2):
        later = gateway.handle_packet(INBOUND, names.came("udp", payload=b"12"), 120.0)
        assert later.allowed
        assert not isinstance(later, Translate)
    found = {record.resource_id: sums(record) for record in closed(gateway)}
    assert found == {"direct": (1, 0, 2, 4), "app": (1, 0, 1, 1)}


# --- Fragments and errors ---------------------------------------------------------------------


@every_kind
@both_directions
@both_names
def test_fragments_count_together_what_the_whole_packet_would(
    names: Names, direction: Direction, kind: str
) -> None:
    gateway = recording(names)
    # The port is taken: what goes out has another.
    resolve(gateway, names, proxies=names.proxies[:2])
    for proxy in names.proxies[:2]:
        send(gateway, names.sent(kind, far=proxy, flags=SYN))
    whole = {
        OUTBOUND: names.sent(kind, far=names.proxies[1], payload=bytes(64)),
        INBOUND: names.came(kind, 5402, payload=bytes(64)),
    }[direction]
    for one in (fragment(whole, 0, 24), fragment(whole, 24)):
        assert isinstance(gateway.handle_packet(direction, one), Translate)
    record = closed(gateway)[1]
    counted = {OUTBOUND: (3, 64, 0, 0), INBOUND: (1, 0, 2, 64)}
    assert (record.inner_src_port, sums(record)) == (5402, counted[direction])


@every_kind
@both_names
def test_a_first_fragment_begins_a_record_as_a_whole_packet_does(names: Names, kind: str) -> None:
    gateway = recording(names)
    whole = names.sent(kind, flags=SYN, payload=bytes(64))
    for one in (fragment(whole, 0, 24), fragment(whole, 24)):
        send(gateway, one)
    record = the_record(gateway)
    assert (record.domain, sums(record)) == (NAME, (2, 64, 0, 0))


@both_names
def test_errors_about_a_translated_flow_are_in_no_record(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent())
    family, kind = names.family, 3 if names is N4 else 1
    seen = names.sent(far=names.real[0])
    told = icmp_error(f"{names.real[0]} > {family.client}", kind, quoting=seen)
    for _ in range(2):
        receive(gateway, told)
    came = names.came(far=names.proxies[0])
    telling = icmp_error(f"{family.client} > {names.proxies[0]}", kind, quoting=came)
    send(gateway, telling)
    assert sums(the_record(gateway)) == (1, 0, 0, 0)


def test_a_ping_with_an_id_that_is_taken_is_recorded_under_the_one_that_took_its_place() -> None:
    gateway = recording(N6)
    resolve(gateway, N6, proxies=N6.proxies[:2])
    for proxy in N6.proxies[:2]:
        send(gateway, N6.sent("echo", 65_535, far=proxy))
    records = only(FlowEnded, [*closed(gateway)])
    # After 65,535 comes 1.
    assert [record.inner_src_port for record in records] == [65_535, 1]
