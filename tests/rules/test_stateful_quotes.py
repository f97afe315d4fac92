"""Section 4, ICMP errors: with `stateful`, what they quote belongs to a live flow."""

import pytest

from firezone_filter import Direction, Forward, GatewayOptions, Icmp, Udp
from firezone_filter.testing import RST, icmp, icmp_echo, icmp_error, ip, tcp, udp
from tests.rules.solicited import QUERIES, STATEFUL, solicited, talks
from tests.rules.ways import NOT_PASSED, PASS, Way, both_ways, quoting
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
    opposite,
)
from tests.translations import TICK, every_kind

each_talk = pytest.mark.parametrize(
    ("family", "sent", "came"),
    [
        pytest.param(family, sent, came, id=f"{name}-{family}")
        for family in (V4, V6)
        for name, sent, came in talks(family)
    ],
)


def about(
    family: Family, direction: Direction, quote: bytes, *, far: str | None = None, kind: int = 0
) -> bytes:
    """Report about a packet to whoever sent it; from a router if one is given."""
    flow = family.flow(direction, far=far)
    return icmp_error(flow, kind or family.unreachable, quoting=quote)


@each_talk
def test_errors_pass_about_packets_of_live_flows_alone(
    family: Family, sent: bytes, came: bytes
) -> None:
    quotes = {INBOUND: sent, OUTBOUND: came}
    for direction, quote in quotes.items():
        errors = [about(family, direction, quote, kind=kind) for kind in PASS[family.version]]
        stateless = gateway_for_alice(family.db())
        passes = [Forward("alice", "db")] * len(errors)
        refused = [NOT_PASSED] * len(errors)
        assert stateless.handle_packets(direction, errors) == passes
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        assert gateway.handle_packets(direction, errors) == refused
        # What was refused has begun nothing.
        assert gateway.handle_packets(direction, errors) == refused
        assert gateway.handle_packet(OUTBOUND, sent, 0.0).allowed
        for _ in range(2):
            assert gateway.handle_packets(direction, errors, 60.0 - TICK) == passes
        assert gateway.handle_packets(direction, errors, 60.0) == refused


@each_talk
def test_only_the_flow_that_is_quoted_counts(family: Family, sent: bytes, came: bytes) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, sent).allowed
    for _, other, other_came in talks(family):
        expected = Forward("alice", "db") if other == sent else NOT_PASSED
        assert gateway.handle_packet(INBOUND, about(family, INBOUND, other)) == expected
        assert gateway.handle_packet(OUTBOUND, about(family, OUTBOUND, other_came)) == expected
    assert came != sent


@pytest.mark.parametrize("make", [tcp, udp], ids=["tcp", "udp"])
@both_families
def test_the_ports_of_a_quote_are_those_of_the_flow(family: Family, make: object) -> None:
    build = tcp if make is tcp else udp
    client, host = family.client, family.host
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, build(f"{at(client, 5401)} > {at(host, 443)}")).allowed
    for near, far, expected in (
        (5401, 443, Forward("alice", "db")),
        (5402, 443, NOT_PASSED),
        (5401, 444, NOT_PASSED),
        (443, 5401, NOT_PASSED),
    ):
        inward = build(f"{at(client, near)} > {at(host, far)}")
        assert gateway.handle_packet(INBOUND, about(family, INBOUND, inward)) == expected
        outward = build(f"{at(host, far)} > {at(client, near)}")
        assert gateway.handle_packet(OUTBOUND, about(family, OUTBOUND, outward)) == expected


@both_families
def test_a_quoted_packet_of_icmp_that_belongs_to_no_flow_is_none_of_one(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    out, back = family.flow(OUTBOUND), family.flow(INBOUND)
    pairs = QUERIES[family.version]
    for _, sent, _ in talks(family):
        assert gateway.handle_packet(OUTBOUND, sent).allowed
    inward = [
        icmp_echo(out, reply=True),
        icmp_echo(out, identifier=2),
        *(icmp(out, answer) for _, answer in pairs),
        icmp(out, 200),
    ]
    outward = [
        icmp_echo(back),
        icmp_echo(back, reply=True, identifier=2),
        *(icmp(back, request) for request, _ in pairs),
        icmp(back, 200),
    ]
    for direction, quotes in ((INBOUND, inward), (OUTBOUND, outward)):
        errors = [about(family, direction, quote) for quote in quotes]
        assert gateway.handle_packets(direction, errors) == [NOT_PASSED] * len(errors)


@both_directions
@both_families
def test_errors_about_the_gateways_own_packets_are_exempt(
    family: Family, direction: Direction
) -> None:
    options = GatewayOptions(stateful=True, own_filters=(Udp(53535), Icmp()))
    gateway = gateway_for_alice(options=options)
    far = family.gateway
    leaves = opposite(direction)
    for quote in (
        family.udp(leaves, 53535, far=far),
        icmp_echo(family.flow(leaves, far=far)),
        icmp_echo(family.flow(leaves, far=far), reply=True),
    ):
        error = about(family, direction, quote, far=far)
        assert gateway.handle_packet(direction, error) == Forward("alice", None)
    error = about(family, direction, family.udp(leaves, 53, far=far), far=far)
    assert gateway.handle_packet(direction, error) == NOT_PASSED


@both_directions
@both_families
def test_a_live_flow_permits_no_error_about_what_the_filters_refuse(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND)).allowed
    error = about(family, direction, family.udp(opposite(direction)))
    gateway.update_resource(family.db(Udp(54), Icmp()))
    assert gateway.handle_packet(direction, error) == NOT_PASSED
    gateway.update_resource(family.db(Udp(53)))
    assert gateway.handle_packet(direction, error) == Forward("alice", "db")


@both_directions
@both_families
def test_after_the_flow_has_ended_errors_about_it_do_not_pass(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND)).allowed
    error = about(family, direction, family.tcp(opposite(direction)))
    assert gateway.handle_packet(direction, error) == Forward("alice", "db")
    reset = tcp(family.flow(OUTBOUND, 443), flags=RST)
    assert gateway.handle_packet(OUTBOUND, reset).allowed
    assert gateway.handle_packet(direction, error) == NOT_PASSED


@every_kind
@both_directions
@both_ways
def test_errors_pass_through_the_nat_as_directly(
    way: Way, direction: Direction, kind: str
) -> None:
    gateway = solicited(way)
    error = quoting(way, direction, way.arrives(direction), kind)
    assert gateway.handle_packet(direction, error) == NOT_PASSED
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, kind)).allowed
    passed = way.passed(direction, lambda far: quoting(way, direction, far, kind))
    assert gateway.handle_packet(direction, error) == passed
    if kind != "echo":
        # The session is of all ports of the resource, the flow of one.
        other = quoting(way, direction, way.arrives(direction), kind, port=444)
        assert gateway.handle_packet(direction, other) == NOT_PASSED
        assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, kind, port=444)).allowed
        passed = way.passed(direction, lambda far: quoting(way, direction, far, kind, port=444))
        assert gateway.handle_packet(direction, other) == passed


@both_families
def test_quotes_of_other_protocols_need_no_transport(family: Family) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    assert gateway.handle_packet(OUTBOUND, ip(family.flow(OUTBOUND), 50, bytes(8))).allowed
    quote = ip(family.flow(OUTBOUND), 50)
    assert gateway.handle_packet(INBOUND, about(family, INBOUND, quote)).allowed
