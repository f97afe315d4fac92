"""Sections 4 and 6, ICMP errors: what of the quoted packet must be there, and what spoils it."""

from functools import partial

import pytest

from firezone_filter import Direction, Forward, Icmp, Reason, Tcp, Udp
from firezone_filter.testing import (
    Extension,
    authentication,
    destination_options,
    fragment,
    fragment_header,
    hop_by_hop,
    icmp,
    ip,
    ip_fragment,
    patched,
    resized,
    routing,
)
from tests.numbers import ESP, GRE
from tests.rules.ways import (
    NEVER_PASS,
    NOT_PASSED,
    PASS,
    Way,
    about,
    both_ways,
    direct_ways,
    quoting,
    ways_of_ipv6,
)
from tests.scenes import V4, V6, both_directions, opposite, reasons
from tests.translations import Shape, every_kind, without_checksum

SHAPES: dict[int, list[Shape]] = {
    4: [{"options": b"\x01"}, {"options": b"\x94\x04\x00\x00" * 10}],
    6: [
        {"extensions": (hop_by_hop(),)},
        {"extensions": (destination_options(2), authentication(2))},
        {"extensions": (routing(), fragment_header())},
        {"extensions": (destination_options(),) * 8},
    ],
}


@every_kind
@both_directions
@both_ways
def test_a_quote_may_be_cut_behind_8_bytes_of_its_transport(
    way: Way, direction: Direction, kind: str
) -> None:
    gateway, least = way.gateway(kind=kind), way.family.header + 8
    checksum = way.family.header + {"tcp": 16, "udp": 6, "echo": 2}[kind]
    arriving = way.packet(opposite(direction), kind, far=way.arrives(direction), payload=b"odd")

    def build(far: str, size: int) -> bytes:
        quote = way.packet(opposite(direction), kind, far=far, payload=b"odd")
        if size < checksum + 2:
            # Of a checksum that is cut nothing changes.
            quote = patched(quote, checksum, arriving[checksum : checksum + 2])
        return about(way, direction, far, quote[:size])

    for size in range(len(arriving) + 1):
        decision = gateway.handle_packet(direction, build(way.arrives(direction), size))
        passed = way.passed(direction, partial(build, size=size))
        assert decision == (passed if size >= least else NOT_PASSED)


@both_directions
@both_ways
def test_quotes_with_options_or_extension_headers_are_walked(
    way: Way, direction: Direction
) -> None:
    gateway = way.gateway(Udp(443))
    far = way.arrives(direction)
    for shape in SHAPES[way.family.version]:
        build = partial(quoting, way, direction, payload=b"odd", **shape)
        assert gateway.handle_packet(direction, build(far)) == way.passed(direction, build)
        refused = quoting(way, direction, far, port=444, **shape)
        short = way.packet(opposite(direction), far=far, **shape)[:-1]
        errors = [refused, about(way, direction, far, short)]
        assert gateway.handle_packets(direction, errors) == [NOT_PASSED] * 2


@both_directions
@both_ways
def test_errors_with_options_or_extension_headers_pass(way: Way, direction: Direction) -> None:
    gateway = way.gateway()
    for shape in SHAPES[way.family.version]:

        def build(far: str, shape: Shape = shape) -> bytes:
            return about(way, direction, far, way.packet(opposite(direction), far=far), **shape)

        decision = gateway.handle_packet(direction, build(way.arrives(direction)))
        assert decision == way.passed(direction, build)


@pytest.mark.parametrize(
    "chain",
    [
        [destination_options()] * 9,
        [routing(0)],
        [routing(2, 1)],
        [destination_options(), hop_by_hop()],
    ],
    ids=["nine", "type-0", "segments-left", "hop-by-hop"],
)
@both_directions
@ways_of_ipv6
def test_extension_headers_that_break_the_rules_spoil_the_quote(
    way: Way, direction: Direction, chain: list[Extension]
) -> None:
    error = quoting(way, direction, way.arrives(direction), extensions=tuple(chain))
    assert way.gateway().handle_packet(direction, error) == NOT_PASSED


@both_directions
@both_ways
def test_quotes_of_no_use_are_refused(way: Way, direction: Direction) -> None:
    gateway, back, far = way.gateway(), opposite(direction), way.arrives(direction)
    quote, family = way.packet(back, far=far, payload=bytes(32)), way.family
    flow = family.flow(back, far=far)
    other = V6 if family is V4 else V4
    gateway.authorize("alice", other.db())
    useless = {
        "nothing": b"",
        "another IP version": other.udp(back),
        "no IP version": patched(quote, 0, b"\x55"),
        "the other ICMP": ip(flow, other.icmp, bytes(8)),
        "a later fragment": fragment(quote, 16),
        "one without ports": ip_fragment(flow, ESP, bytes(8), start=16),
        "a header cut short": ip(flow, ESP)[:-1],
    }
    if family is V4:
        source_route = b"\x83\x07\x04\x0a\x00\x00\x05"
        useless["a source route"] = way.packet(back, far=far, options=source_route)
    for kind in (*PASS[family.version], *NEVER_PASS[family.version]):
        useless[f"an error of type {kind}"] = icmp(flow, kind, body=way.packet(direction))
    errors = [about(way, direction, far, one) for one in useless.values()]
    assert gateway.handle_packets(direction, errors) == [NOT_PASSED] * len(errors)


@both_directions
@both_ways
def test_quotes_of_a_first_fragment_or_with_a_wrong_length_pass(
    way: Way, direction: Direction
) -> None:
    gateway, back = way.gateway(Udp(443)), opposite(direction)

    def of_fragment(far: str, port: int = 443) -> bytes:
        whole = way.packet(back, far=far, port=port, payload=bytes(32))
        return about(way, direction, far, fragment(whole, 0, 16))

    far = way.arrives(direction)
    decision = gateway.handle_packet(direction, of_fragment(far))
    assert decision == way.passed(direction, of_fragment)
    assert gateway.handle_packet(direction, of_fragment(far, 444)) == NOT_PASSED
    lying = about(way, direction, far, resized(way.packet(back, far=far), 1_000))
    assert gateway.handle_packet(direction, lying).allowed


@both_directions
@both_ways
def test_an_error_is_no_fragment_and_keeps_no_decision_for_any(
    way: Way, direction: Direction
) -> None:
    gateway, far = way.gateway(), way.arrives(direction)
    error = quoting(way, direction, far, payload=bytes(32))
    flow = way.family.flow(direction, far=far)
    rows = {
        fragment(error, 0, 64): Reason.ICMP_ERROR,
        fragment(error, 64): Reason.FRAGMENT,
        error: None,
        ip_fragment(flow, way.family.icmp, bytes(8), start=64, identification=0): Reason.FRAGMENT,
    }
    assert reasons(gateway, direction, rows) == list(rows.values())
    if way.family is V6:
        atomic = fragment(error, 0, more=False)
        assert reasons(gateway, direction, [atomic]) == [None]


@both_directions
@both_ways
def test_a_quoted_udp_checksum_of_zero_stays_zero(way: Way, direction: Direction) -> None:
    def build(far: str) -> bytes:
        quote = without_checksum(way.packet(opposite(direction), far=far))
        return about(way, direction, far, quote)

    decision = way.gateway().handle_packet(direction, build(way.arrives(direction)))
    assert decision == way.passed(direction, build)


@both_directions
@direct_ways
def test_other_protocols_need_no_transport_in_the_quote(way: Way, direction: Direction) -> None:
    gateway, far = way.gateway(), way.arrives(direction)
    error = about(way, direction, far, ip(way.family.flow(opposite(direction), far=far), GRE))
    assert gateway.handle_packet(direction, error) == Forward("alice", "app")
    gateway.update_resource(way.resource(Tcp(), Udp(), Icmp()))
    assert gateway.handle_packet(direction, error) == NOT_PASSED
