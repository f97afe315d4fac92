"""Flow records of what goes through the NAT: they say what the resource sees."""

from ipaddress import ip_address

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    FlowEnd,
    FlowStarted,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Translate,
    Udp,
)
from firezone_filter.testing import SYN, fragment, hop_by_hop, icmp_error
from tests.records import RECORDING, closed, ends, fetched, sums, the_record, told
from tests.rules.stories import tell
from tests.scenes import ALICE, INBOUND, OUTBOUND, both_directions, refusal
from tests.translations import N4, NAME, Names, app, both_names, every_kind, gateway_with, resolve

OTHER_NAME = "other.example.com"


def recording(names: Names, *filters: Udp, proxies: int = 1) -> Gateway:
    """Record flows; the proxies after the first stand for the same host."""
    gateway = gateway_with(names, *filters, options=RECORDING)
    resolve(gateway, names, proxies=names.proxies[:proxies])
    return gateway


def send(gateway: Gateway, packet: bytes, now: float | None = None) -> None:
    assert isinstance(gateway.handle_packet(OUTBOUND, packet, now), Translate)


def receive(gateway: Gateway, packet: bytes, now: float | None = None) -> None:
    assert isinstance(gateway.handle_packet(INBOUND, packet, now), Translate)


# --- What a record says --------------------------------------------------------------------


@every_kind
@both_names
def test_a_record_has_the_real_address_and_the_name_and_all_that_went_through(
    names: Names, kind: str
) -> None:
    gateway = recording(names)
    send(gateway, names.sent(kind, flags=SYN), 1.0)
    assert fetched(gateway) == [
        FlowStarted(
            client_id="alice",
            resource_id="app",
            protocol={"tcp": 6, "udp": 17, "echo": names.family.icmp}[kind],
            inner_src_ip=ip_address(names.family.client),
            inner_src_port=5401,
            inner_dst_ip=ip_address(names.real[0]),
            inner_dst_port=None if kind == "echo" else 443,
            domain=NAME,
            flow_start=1.0,
        )
    ]
    for now in (2.0, 3.0):
        send(gateway, names.sent(kind, payload=b"12"), now)
        receive(gateway, names.came(kind, payload=b"12345"), now)
    record = the_record(gateway)
    assert (record.domain, record.inner_dst_ip) == (NAME, ip_address(names.real[0]))
    assert (record.flow_start, record.last_packet, record.flow_end) == (1.0, 3.0, 3.0)
    assert sums(record) == (3, 4, 2, 10)


@pytest.mark.parametrize(("number", "given"), [(5401, 5402), (65_535, 1)])
@every_kind
@both_names
def test_a_number_that_is_taken_is_recorded_as_the_one_that_took_its_place(
    names: Names, kind: str, number: int, given: int
) -> None:
    gateway = recording(names, proxies=2)
    for proxy in names.proxies[:2]:
        send(gateway, names.sent(kind, number, far=proxy, flags=SYN))
        send(gateway, names.sent(kind, number, far=proxy, payload=b"1"))
    receive(gateway, names.came(kind, given, payload=b"123"))
    found = [(record.inner_src_port, *sums(record)) for record in closed(gateway)]
    assert found == [(number, 2, 1, 0, 0), (given, 2, 1, 1, 3)]


@both_names
def test_two_names_of_one_host_have_a_record_each(names: Names) -> None:
    gateway = recording(names)
    resolve(gateway, names, proxies=names.proxies[1:2], domain=OTHER_NAME)
    for proxy in names.proxies[:2]:
        send(gateway, names.sent(far=proxy))
    assert [record.domain for record in closed(gateway)] == [NAME, OTHER_NAME]


@both_names
def test_a_session_has_a_record_for_each_port_that_the_client_sent_to(names: Names) -> None:
    gateway = recording(names)
    for port in (80, 443, 80):
        send(gateway, names.sent(port=port))
    # Nothing was sent to port 22.
    for port in (443, 22, 22):
        receive(gateway, names.came(port=port))
    found = [(record.inner_dst_port, *sums(record)) for record in closed(gateway)]
    assert found == [(80, 2, 0, 0, 0), (443, 1, 0, 1, 0)]


@every_kind
@both_names
def test_options_and_extension_headers_make_no_difference(names: Names, kind: str) -> None:
    gateway = recording(names)
    send(gateway, names.sent(kind, flags=SYN))
    shaped = (
        names.sent(kind, payload=b"1", options=b"\x01" * 8)
        if names is N4
        else names.sent(kind, payload=b"1", extensions=(hop_by_hop(),))
    )
    for _ in range(2):
        send(gateway, shaped)
    assert sums(the_record(gateway)) == (3, 2, 0, 0)


# --- What begins and ends records ----------------------------------------------------------


@both_names
def test_what_is_refused_behind_a_proxy_address_has_no_record(names: Names) -> None:
    options = GatewayOptions(flow_records=True, max_sessions=1)
    gateway = gateway_with(names, Udp(443), options=options)
    nowhere = names.proxies[1]
    resolve(gateway, names, proxies=[nowhere], real=[])
    send(gateway, names.sent())
    # An answered session gives way to none.
    receive(gateway, names.came())
    for packet, reason in {
        names.sent(far=nowhere): Reason.NO_TRANSLATION,
        names.sent(port=80): Reason.UDP_PORT,
        names.sent(number=2): Reason.NAT_EXHAUSTED,
    }.items():
        assert refusal(gateway.handle_packet(OUTBOUND, packet)) == reason
    assert sums(the_record(gateway)) == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("1> 2>", []),
        ("1> 2>+4", ["started"]),
        ("1>S 2<SA 3>R", ["started", "rst 1003"]),
        ("1>S 2<SA 3<R", ["started", "rst 1003"]),
        ("1>S 2>FA 3<FA 4>S", ["started", "fin 1003", "started"]),
    ],
)
@both_names
def test_flags_of_tcp_begin_and_end_records(names: Names, story: str, expected: list[str]) -> None:
    gateway = recording(names)
    tell(gateway, names, story)
    assert told(gateway) == expected


@both_names
def test_revocation_ends_the_records_of_a_name(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(), 1.0)
    gateway.revoke("alice", "app")
    assert ends(gateway) == [(FlowEnd.REVOKED, 1.0)]


@both_names
def test_a_record_outlives_the_resolution_and_the_session_that_it_began_with(
    names: Names,
) -> None:
    gateway = recording(names)
    send(gateway, names.sent(payload=b"1"), 1.0)
    # The session keeps its address.
    resolve(gateway, names, real=names.real[1:2])
    send(gateway, names.sent(payload=b"12"), 2.0)
    receive(gateway, names.came(payload=b"123"), 3.0)
    assert sums(the_record(gateway)) == (2, 3, 1, 3)
    gateway = recording(names)
    send(gateway, names.sent(payload=b"1"), 1.0)
    # Unanswered, it was forgotten after 60 seconds; the flow is not idle yet.
    send(gateway, names.sent(payload=b"12"), 100.0)
    assert sums(the_record(gateway)) == (2, 3, 0, 0)


@both_names
def test_a_renumbered_client_has_new_records(names: Names) -> None:
    gateway = recording(names)
    send(gateway, names.sent(payload=b"1"), 1.0)
    resolve(gateway, names, domain=OTHER_NAME, real=names.real[1:2])
    send(gateway, names.sent(payload=b"12"), 2.0)
    # Also where the other name leads to the same host.
    resolve(gateway, names, domain=NAME, real=names.real[1:2])
    send(gateway, names.sent(payload=b"12"), 2.0)
    found = [(record.domain, str(record.inner_dst_ip)) for record in closed(gateway)]
    assert found == [(OTHER_NAME, names.real[1]), (NAME, names.real[0]), (NAME, names.real[1])]


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


# --- Beside the NAT ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_names
def test_a_session_takes_over_what_came_in_around_the_nat_until_it_has_ended(
    names: Names, kind: str
) -> None:
    gateway = recording(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    around = Forward("alice", "direct")

    def came(size: int, now: float) -> list[object]:
        return [
            gateway.handle_packet(INBOUND, names.came(kind, payload=bytes(size)), now)
            for _ in range(2)
        ]

    direct = names.sent(kind, far=names.real[0], flags=SYN)
    assert gateway.handle_packet(OUTBOUND, direct, 0.0) == around
    assert came(0, 0.0) == [around] * 2
    send(gateway, names.sent(kind, flags=SYN))
    assert all(isinstance(decision, Translate) for decision in came(1, 0.0))
    assert came(4, 120.0 if kind == "udp" else 7_440.0) == [around] * 2
    found = {record.resource_id: sums(record) for record in closed(gateway)}
    assert found == {"direct": (1, 0, 4, 8), "app": (1, 0, 2, 2)}


# --- Fragments and errors ------------------------------------------------------------------


@every_kind
@both_directions
@both_names
def test_fragments_count_together_what_the_whole_packet_would(
    names: Names, direction: Direction, kind: str
) -> None:
    gateway = recording(names, proxies=2)
    # The number is taken: what goes out has another.
    for proxy in names.proxies[:2]:
        send(gateway, names.sent(kind, far=proxy, flags=SYN))
    whole = (
        names.sent(kind, far=names.proxies[1], payload=bytes(64))
        if direction is OUTBOUND
        else names.came(kind, 5402, payload=bytes(64))
    )
    for one in (fragment(whole, 0, 24), fragment(whole, 24)):
        assert isinstance(gateway.handle_packet(direction, one), Translate)
    record = closed(gateway)[1]
    counted = (3, 64, 0, 0) if direction is OUTBOUND else (1, 0, 2, 64)
    assert (record.inner_src_port, sums(record)) == (5402, counted)


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
    gateway, family = recording(names), names.family
    send(gateway, names.sent())
    quote = names.sent(far=names.real[0])
    error = icmp_error(f"{names.real[0]} > {family.client}", family.unreachable, quoting=quote)
    quote = names.came(far=names.proxies[0])
    flow = f"{family.client} > {names.proxies[0]}"
    for _ in range(2):
        receive(gateway, error)
        send(gateway, icmp_error(flow, family.unreachable, quoting=quote))
    assert sums(the_record(gateway)) == (1, 0, 0, 0)
