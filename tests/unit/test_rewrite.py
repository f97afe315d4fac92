"""Rewriting: every changed packet equals one that was built with the new ends."""

from collections.abc import Callable
from ipaddress import ip_address
from struct import pack, unpack_from

import pytest

from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.rewrite import (
    FlowRewriting,
    Rewriting,
    _structs,
    far_address,
    prepare,
    rewrite,
    rewrite_address,
)
from tests.builders import (
    AUTHENTICATION,
    ICMPV4,
    ICMPV6,
    TCP,
    UDP,
    authentication,
    destination_options,
    fragment,
    hop_by_hop,
    internet_checksum,
    patched,
    routing,
)
from tests.translations import N4, N6, Names, Shape, both_names, every_kind, without_checksum

SHAPES_V4: list[Shape] = [{}, {"options": b"\x01"}, {"options": b"\x94\x04\x00\x00" * 10}]
SHAPES_V6: list[Shape] = [
    {},
    {"extensions": (hop_by_hop(),)},
    {"extensions": (hop_by_hop(1), routing(), destination_options(2), authentication())},
]
shapes = pytest.mark.parametrize(
    ("names", "shape"), [(N4, one) for one in SHAPES_V4] + [(N6, one) for one in SHAPES_V6]
)


def protocol_of(names: Names, kind: str) -> int:
    echo = ICMPV4 if names is N4 else ICMPV6
    return {"tcp": TCP, "udp": UDP, "echo": echo}[kind]


def outward(
    names: Names, kind: str, *, ports: tuple[int, int], to: str | None = None
) -> Rewriting:
    ends = (packed(names.proxies[0]), packed(to or names.real[0]))
    protocol = protocol_of(names, kind)
    return prepare(protocol, ends, ports, source_address=False, source_port=True)


def inward(names: Names, kind: str, *, ports: tuple[int, int]) -> Rewriting:
    ends = (packed(names.real[0]), packed(names.proxies[0]))
    protocol = protocol_of(names, kind)
    return prepare(protocol, ends, ports, source_address=True, source_port=False)


def packed(address: str) -> bytes:
    return ip_address(address).packed


def transport_of(packet: bytes) -> int:
    headers = read_headers(packet)
    assert headers is not None
    return headers.transport


def rewritten(packet: bytes, rewriting: Rewriting) -> bytes:
    return rewrite(packet, transport_of(packet), rewriting)


def transport_checksum(packet: bytes, kind: str) -> tuple[int, int]:
    """Return where the transport checksum of a packet is, and the checksum."""
    place = transport_of(packet) + {"tcp": 16, "udp": 6, "echo": 2}[kind]
    return place, unpack_from("!H", packet, place)[0]


# --- Packets -------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"o", b"ev", b"odd", bytes(range(256)) * 5])
@every_kind
@shapes
def test_outward_the_destination_and_the_clients_number_change(
    names: Names, shape: Shape, kind: str, payload: bytes
) -> None:
    sent = names.sent(kind, 5401, payload=payload, **shape)
    expected = names.sent(kind, 61_000, far=names.real[0], payload=payload, **shape)
    assert rewritten(sent, outward(names, kind, ports=(5401, 61_000))) == expected


@pytest.mark.parametrize("payload", [b"", b"o", b"ev", b"odd", bytes(range(256)) * 5])
@every_kind
@shapes
def test_inward_the_source_and_the_clients_number_change(
    names: Names, shape: Shape, kind: str, payload: bytes
) -> None:
    came = names.came(kind, 61_000, payload=payload, **shape)
    expected = names.came(kind, 5401, far=names.proxies[0], payload=payload, **shape)
    assert rewritten(came, inward(names, kind, ports=(61_000, 5401))) == expected


@every_kind
@both_names
def test_a_number_that_is_kept_changes_nothing_but_the_address(names: Names, kind: str) -> None:
    sent = names.sent(kind)
    expected = names.sent(kind, far=names.real[0])
    assert rewritten(sent, outward(names, kind, ports=(5401, 5401))) == expected


@every_kind
@both_names
def test_out_and_back_again_leaves_the_packet_as_it_was(names: Names, kind: str) -> None:
    there = rewritten(names.sent(kind), outward(names, kind, ports=(5401, 9)))
    ends = (packed(names.real[0]), packed(names.proxies[0]))
    back = prepare(
        protocol_of(names, kind), ends, (9, 5401), source_address=False, source_port=True
    )
    assert rewritten(there, back) == names.sent(kind)


@every_kind
@both_names
def test_the_packet_handed_in_is_left_alone(names: Names, kind: str) -> None:
    sent = names.sent(kind)
    copy = bytes(bytearray(sent))
    changed = rewritten(sent, outward(names, kind, ports=(5401, 9)))
    assert type(changed) is bytes
    assert sent == copy


def test_the_hops_and_the_identification_stay_as_they_are() -> None:
    sent = N4.sent(hops=3, identification=0xBEEF)
    expected = N4.sent(hops=3, identification=0xBEEF, far=N4.real[0])
    assert rewritten(sent, outward(N4, "udp", ports=(5401, 5401))) == expected


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
@every_kind
@both_names
def test_a_wrong_transport_checksum_stays_as_wrong_as_it_was(
    names: Names, kind: str, wrong_by: int
) -> None:
    sent, expected = names.sent(kind), names.sent(kind, 9, far=names.real[0])
    place, before = transport_checksum(sent, kind)
    damaged = patched(sent, place, pack("!H", before ^ wrong_by))
    changed = rewritten(damaged, outward(names, kind, ports=(5401, 9)))
    _, after = transport_checksum(changed, kind)
    _, right = transport_checksum(expected, kind)
    assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF
    assert after != right


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
def test_a_wrong_ipv4_header_checksum_stays_as_wrong_as_it_was(wrong_by: int) -> None:
    sent, expected = N4.sent(), N4.sent(far=N4.real[0])
    (before,) = unpack_from("!H", sent, 10)
    (right,) = unpack_from("!H", expected, 10)
    damaged = patched(sent, 10, pack("!H", before ^ wrong_by))
    (after,) = unpack_from("!H", rewritten(damaged, outward(N4, "udp", ports=(1, 1))), 10)
    assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF
    assert after != right


@both_names
def test_a_udp_checksum_of_zero_stays_zero(names: Names) -> None:
    sent = without_checksum(names.sent())
    expected = without_checksum(names.sent(number=9, far=names.real[0]))
    assert rewritten(sent, outward(names, "udp", ports=(5401, 9))) == expected


def payload_for_zero(names: Names) -> bytes:
    """Find the two bytes with which the translated packet's checksum computes to zero."""
    _, checksum = transport_checksum(names.sent(far=names.real[0], payload=bytes(2)), "udp")
    return pack("!H", checksum)


@both_names
def test_a_udp_checksum_that_would_become_zero_is_sent_as_ones(names: Names) -> None:
    payload = payload_for_zero(names)
    sent = names.sent(payload=payload)
    changed = rewritten(sent, outward(names, "udp", ports=(5401, 5401)))
    assert transport_checksum(sent, "udp")[1] not in {0, 0xFFFF}
    assert transport_checksum(changed, "udp")[1] == 0xFFFF
    assert changed == names.sent(far=names.real[0], payload=payload)


@both_names
def test_a_udp_checksum_of_ones_changes_like_any_other(names: Names) -> None:
    payload = payload_for_zero(names)
    sent = names.sent(far=names.real[0], payload=payload)
    back = prepare(
        UDP,
        (packed(names.real[0]), packed(names.proxies[0])),
        (5401, 5401),
        source_address=False,
        source_port=True,
    )
    assert rewritten(sent, back) == names.sent(payload=payload)


@pytest.mark.parametrize("kind", ["tcp", "echo"])
@both_names
def test_elsewhere_a_checksum_that_becomes_zero_is_sent_as_zero(names: Names, kind: str) -> None:
    _, checksum = transport_checksum(names.sent(kind, far=names.real[0], payload=bytes(2)), kind)
    payload = pack("!H", checksum)
    changed = rewritten(
        names.sent(kind, payload=payload), outward(names, kind, ports=(5401, 5401))
    )
    assert transport_checksum(changed, kind)[1] == 0
    assert changed == names.sent(kind, far=names.real[0], payload=payload)


@every_kind
@both_names
def test_every_number_gets_the_checksum_from_scratch(names: Names, kind: str) -> None:
    for number in (0, 1, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF):
        changed = rewritten(names.sent(kind), outward(names, kind, ports=(5401, number)))
        assert changed == names.sent(kind, number, far=names.real[0])


def test_an_authentication_header_in_front_is_left_as_it_is() -> None:
    sent = N6.sent("tcp", extensions=(authentication(4),))
    changed = rewritten(sent, outward(N6, "tcp", ports=(5401, 9)))
    assert sent[6] == AUTHENTICATION
    assert changed[40:64] == sent[40:64]


# --- Flows whose ends are put in as one piece ----------------------------------------------


def quick(rewriting: Rewriting, expected: bytes, kind: str) -> Callable[[bytes], bytes]:
    """Prepare for packets of the flow of which *expected* is one that was rewritten."""
    ends = expected[12:24] if expected[0] >> 4 == 4 else expected[8:44]
    identifier = b"" if kind != "echo" else rewriting.port
    flow = FlowRewriting(ends[:-4] if identifier else ends, identifier, rewriting)
    return flow.ipv4 if expected[0] >> 4 == 4 else flow.ipv6


PAYLOADS = pytest.mark.parametrize("payload", [b"", b"o", b"ev", b"odd", bytes(range(256)) * 5])


@PAYLOADS
@every_kind
@both_names
def test_a_flow_out_gets_its_other_ends_in_one_piece(
    names: Names, kind: str, payload: bytes
) -> None:
    sent = names.sent(kind, 5401, payload=payload)
    expected = names.sent(kind, 61_000, far=names.real[0], payload=payload)
    changed = quick(outward(names, kind, ports=(5401, 61_000)), expected, kind)(sent)
    assert type(changed) is bytes
    assert changed == expected


@PAYLOADS
@every_kind
@both_names
def test_a_flow_in_gets_its_other_ends_in_one_piece(
    names: Names, kind: str, payload: bytes
) -> None:
    came = names.came(kind, 61_000, payload=payload)
    expected = names.came(kind, 5401, far=names.proxies[0], payload=payload)
    changed = quick(inward(names, kind, ports=(61_000, 5401)), expected, kind)(came)
    assert changed == expected


@pytest.mark.parametrize("checksum", [0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF])
@every_kind
@both_names
def test_every_transport_checksum_changes_as_it_does_the_long_way(
    names: Names, kind: str, checksum: int
) -> None:
    rewriting = outward(names, kind, ports=(5401, 61_000))
    sent = names.sent(kind, payload=b"odd")
    expected = names.sent(kind, 61_000, far=names.real[0], payload=b"odd")
    place, _ = transport_checksum(sent, kind)
    damaged = patched(sent, place, pack("!H", checksum))
    changed = quick(rewriting, expected, kind)(damaged)
    assert changed == rewritten(damaged, rewriting)


def test_every_ipv4_header_checksum_changes_as_it_does_the_long_way() -> None:
    rewriting = outward(N4, "udp", ports=(5401, 5401))
    sent, expected = N4.sent(), N4.sent(far=N4.real[0])
    one_piece = quick(rewriting, expected, "udp")
    for checksum in range(0x10000):
        damaged = patched(sent, 10, pack("!H", checksum))
        assert one_piece(damaged) == rewrite(damaged, 20, rewriting)


@every_kind
@both_names
def test_what_is_not_rewritten_stays_as_it_is(names: Names, kind: str) -> None:
    shape: Shape = {"hops": 3, "identification": 0xBEEF} if names is N4 else {"hops": 3}
    sent = names.sent(kind, payload=b"odd", **shape)
    expected = names.sent(kind, far=names.real[0], payload=b"odd", **shape)
    # Traffic class and flow label, or type of service: no checksum but IPv4's covers them.
    labels = bytes([sent[0] | (names is N6), 0xA5])
    marked = patched(sent, 0, labels)
    changed = quick(outward(names, kind, ports=(5401, 5401)), expected, kind)(marked)
    assert changed == patched(expected, 0, labels)


def test_there_are_six_ways_to_read_and_write_a_packet_and_no_more() -> None:
    _structs.cache_clear()
    for names in (N4, N6):
        for kind in ("tcp", "udp", "echo"):
            for number in (1, 2):
                expected = names.sent(kind, number, far=names.real[0])
                quick(outward(names, kind, ports=(5401, number)), expected, kind)
                quick(inward(names, kind, ports=(number, 5401)), names.came(kind), kind)
    assert _structs.cache_info().currsize == 6


# --- Quotes that were cut short ------------------------------------------------------------


@every_kind
@shapes
def test_a_quote_cut_anywhere_stays_as_long_as_it_was(
    names: Names, shape: Shape, kind: str
) -> None:
    sent = names.sent(kind, payload=b"payload", **shape)
    whole = names.sent(kind, 9, far=names.real[0], payload=b"payload", **shape)
    transport = transport_of(sent)
    place, _ = transport_checksum(sent, kind)
    for size in range(transport + 8, len(sent)):
        cut = rewrite(sent[:size], transport, outward(names, kind, ports=(5401, 9)))
        # A checksum of which a byte is missing cannot be changed.
        expected = whole if size >= place + 2 else patched(whole, place, sent[place : place + 2])
        assert cut == expected[:size]


# --- Addresses alone -----------------------------------------------------------------------


@pytest.mark.parametrize("source", [False, True])
@both_names
def test_of_a_later_fragment_only_the_ip_header_changes(names: Names, source: bool) -> None:  # noqa: FBT001
    build = names.came if source else names.sent
    old, new = names.proxies[0], names.real[0]
    before = fragment(build(far=old, payload=bytes(range(64))), 16)
    changed = rewrite_address(before, packed(new), source=source)
    header = 20 if names is N4 else 40
    assert type(changed) is bytes
    assert changed[header:] == before[header:]
    assert changed[:header] == fragment(build(far=new, payload=bytes(64)), 16)[:header]


def test_the_ipv4_header_checksum_follows_an_address_also_behind_options() -> None:
    sent = N4.sent(options=b"\x01\x01\x01")
    changed = rewrite_address(sent, packed(N4.real[0]), source=False)
    assert internet_checksum(changed[:24]) == 0


@both_names
def test_the_far_address_is_the_one_that_is_not_the_clients(names: Names) -> None:
    assert far_address(names.sent(), outbound=True) == packed(names.proxies[0])
    assert far_address(names.came(), outbound=False) == packed(names.real[0])
