"""Section 6, rewriting: what of a translated packet changes, and its checksums.

What a packet becomes is built anew with the other ends, its checksums from scratch.
"""

from struct import pack, unpack_from

import pytest

from firezone_filter import Direction, Translate
from firezone_filter.testing import (
    authentication,
    destination_options,
    fragment_header,
    hop_by_hop,
    icmp,
    patched,
    routing,
)
from tests.rules.ways import PERMITTING
from tests.scenes import INBOUND, OUTBOUND, both_directions
from tests.translations import (
    N4,
    N6,
    Names,
    Shape,
    both_names,
    every_kind,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
    without_checksum,
)

SHAPES: dict[str, tuple[Names, Shape]] = {
    "ipv4": (N4, {}),
    "ipv4-fields": (N4, {"hops": 3, "identification": 0xABCD}),
    "ipv4-option": (N4, {"options": b"\x01"}),
    "ipv4-options": (N4, {"options": b"\x94\x04\x00\x00" * 10}),
    "ipv6": (N6, {}),
    "ipv6-hops": (N6, {"hops": 3}),
    "ipv6-extension": (N6, {"extensions": (hop_by_hop(),)}),
    "ipv6-atomic": (N6, {"extensions": (fragment_header(),)}),
    "ipv6-extensions": (
        N6,
        {"extensions": (hop_by_hop(1), routing(), destination_options(2), authentication())},
    ),
}
CHECKSUM_AT = {"tcp": 16, "udp": 6, "echo": 2}


@pytest.mark.parametrize("shape", SHAPES)
@every_kind
def test_packets_go_out_and_their_answers_come_back_with_the_ends_of_the_other_side(
    shape: str, kind: str
) -> None:
    names, fields = SHAPES[shape]
    gateway = gateway_with(names, PERMITTING[kind])
    resolve(gateway, names, proxies=names.proxies[:2])
    # The number of the second is taken by the first.
    for proxy, number in zip(names.proxies, (5401, 5402), strict=False):
        for payload in (b"", b"o", b"odd", b"even", bytes(range(256)) * 5):
            sent = names.sent(kind, far=proxy, payload=payload, **fields)
            gone_on = names.sent(kind, number, far=names.real[0], payload=payload, **fields)
            came = names.came(kind, number, payload=payload, **fields)
            delivered = names.came(kind, 5401, far=proxy, payload=payload, **fields)
            assert gateway.handle_packet(OUTBOUND, sent) == through(gone_on)
            assert gateway.handle_packet(INBOUND, came, client_id="alice") == through(delivered)


@both_directions
@both_names
def test_code_and_sequence_of_an_echo_stay_as_they_are(names: Names, direction: Direction) -> None:
    gateway = gateway_in_use(names, "echo")
    kinds = (8, 0) if names is N4 else (128, 129)

    def echo(far: str, code: int, sequence: int) -> bytes:
        rest = pack("!HH", 5401, sequence)
        flow = names.family.flow(direction, far=far)
        return icmp(flow, kinds[direction is INBOUND], code, rest=rest, body=b"odd")

    ends = (names.proxies[0], names.real[0])
    arrives, leaves = ends if direction is OUTBOUND else ends[::-1]
    for code, sequence in ((0, 2), (1, 0), (255, 0xFFFF), (0, 3)):
        decision = gateway.handle_packet(direction, echo(arrives, code, sequence))
        assert decision == through(echo(leaves, code, sequence))


@both_directions
@both_names
def test_what_goes_on_is_the_translated_packet_as_fresh_bytes(
    names: Names, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    packet = bytearray(names.sent() if direction is OUTBOUND else names.came())
    before = bytes(packet)
    for same in (packet, memoryview(before), before):
        decision = gateway.handle_packet(direction, same)
        assert isinstance(decision, Translate)
        assert type(decision.packet) is bytes
        assert decision.to_send(same) is decision.packet
        assert decision.packet != before
        assert packet == before


# --- Checksums -----------------------------------------------------------------------------


@both_names
def test_a_udp_checksum_of_zero_stays_zero_both_ways(names: Names) -> None:
    gateway = gateway_with(names)
    for payload in (b"", b"odd"):
        sent, came = names.sent(payload=payload), names.came(payload=payload)
        gone_on = names.sent(far=names.real[0], payload=payload)
        delivered = names.came(far=names.proxies[0], payload=payload)
        for direction, packet, expected in (
            (OUTBOUND, sent, gone_on),
            (INBOUND, came, delivered),
        ):
            decision = gateway.handle_packet(direction, without_checksum(packet))
            assert decision == through(without_checksum(expected))


@both_names
def test_a_udp_checksum_that_would_become_zero_goes_out_as_ones(names: Names) -> None:
    place = names.family.header + 6
    # The two bytes that make up for all the rest are its checksum.
    payload = names.sent(far=names.real[0], payload=bytes(2))[place : place + 2]
    gateway = gateway_with(names)
    for _ in range(2):
        decision = gateway.handle_packet(OUTBOUND, names.sent(payload=payload))
        assert decision == through(names.sent(far=names.real[0], payload=payload))
        assert isinstance(decision, Translate)
        assert decision.packet[place : place + 2] == b"\xff\xff"


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
@every_kind
@both_names
def test_a_wrong_checksum_goes_on_as_wrong_as_it_was(
    names: Names, kind: str, wrong_by: int
) -> None:
    place = names.family.header + CHECKSUM_AT[kind]
    gateway = gateway_with(names)
    for direction, packet, expected in (
        (OUTBOUND, names.sent(kind), names.sent(kind, far=names.real[0])),
        (INBOUND, names.came(kind), names.came(kind, far=names.proxies[0])),
    ) * 2:
        (before,), (right,) = unpack_from("!H", packet, place), unpack_from("!H", expected, place)
        damaged = patched(packet, place, pack("!H", before ^ wrong_by))
        decision = gateway.handle_packet(direction, damaged)
        assert isinstance(decision, Translate)
        (after,) = unpack_from("!H", decision.packet, place)
        assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF
        assert patched(decision.packet, place, expected[place : place + 2]) == expected
