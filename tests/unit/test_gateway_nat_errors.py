"""Section 6, ICMP errors through the NAT: translated with the packet that they quote."""

from struct import pack, unpack_from

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Icmp,
    Reason,
    Tcp,
    Translate,
    Udp,
)
from tests.builders import (
    ESP,
    authentication,
    checksums_hold,
    destination_options,
    fragment,
    hop_by_hop,
    icmp_echo,
    icmp_error,
    ip,
    patched,
)
from tests.scenes import INBOUND, OUTBOUND, V4, V6, both_directions, gateway_for_alice, refusal
from tests.translations import (
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

REFUSED = Drop(Reason.ICMP_ERROR, "alice")

KINDS = [(N4, 3), (N4, 11), (N4, 12), (N6, 1), (N6, 2), (N6, 3), (N6, 4)]
SHAPES: list[tuple[Names, Shape]] = [
    (N4, {}),
    (N4, {"options": b"\x01\x01\x01"}),
    (N4, {"options": b"\x94\x04\x00\x00" * 10}),
    (N6, {}),
    (N6, {"extensions": (hop_by_hop(),)}),
    (N6, {"extensions": (hop_by_hop(1), destination_options(), authentication())}),
]


def unreachable(names: Names) -> int:
    return 3 if names is N4 else 1


def error(
    names: Names,
    direction: Direction,
    far: str,
    quote: bytes,
    kind: int | None = None,
) -> bytes:
    """Build an ICMP error between a far address and Alice."""
    ends = (names.family.client, far)
    flow = " > ".join(ends if direction is OUTBOUND else ends[::-1])
    number = unreachable(names) if kind is None else kind
    return icmp_error(flow, number, quoting=quote)


# --- Inbound -------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "number"), KINDS)
@every_kind
def test_inbound_the_client_sees_the_proxy_and_what_it_sent(
    names: Names, number: int, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    quote = names.sent(kind, far=names.real[0])
    came = error(names, INBOUND, names.real[0], quote, number)
    seen = error(names, INBOUND, names.proxies[0], names.sent(kind), number)
    assert gateway.handle_packet(INBOUND, came) == through(seen)


@every_kind
@both_names
def test_inbound_the_proxy_appears_as_the_source_whoever_sent_it(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    quote = names.sent(kind, far=names.real[0])
    seen = error(names, INBOUND, names.proxies[0], names.sent(kind))
    family = names.family
    for router in (names.real[0], names.real[2], family.stranger, family.public, family.gateway):
        came = error(names, INBOUND, router, quote)
        assert gateway.handle_packet(INBOUND, came) == through(seen)


@both_names
def test_inbound_no_peer_and_no_proxy_reports_anything(names: Names) -> None:
    gateway = gateway_in_use(names)
    quote = names.sent(far=names.real[0])
    for far in (names.family.neighbour, names.family.spare, names.proxies[0]):
        came = error(names, INBOUND, far, quote)
        assert gateway.handle_packet(INBOUND, came) == Drop(Reason.PEER_ADDRESS, "alice")


@every_kind
@both_names
def test_inbound_the_clients_number_stands_in_the_quote_again(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    resolve(gateway, names, proxies=names.proxies[1:2])
    second = names.proxies[1]
    gateway.handle_packet(OUTBOUND, names.sent(kind, 5401, far=second))
    came = error(names, INBOUND, names.real[0], names.sent(kind, 5402, far=names.real[0]))
    seen = error(names, INBOUND, second, names.sent(kind, 5401, far=second))
    assert gateway.handle_packet(INBOUND, came) == through(seen)


# --- Outbound ------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "number"), KINDS)
@every_kind
def test_outbound_the_resource_sees_itself_and_what_it_sent(
    names: Names, number: int, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    quote = names.came(kind, far=names.proxies[0])
    sent = error(names, OUTBOUND, names.proxies[0], quote, number)
    seen = error(names, OUTBOUND, names.real[0], names.came(kind), number)
    assert gateway.handle_packet(OUTBOUND, sent) == through(seen)


@every_kind
@both_names
def test_outbound_the_translated_number_stands_in_the_quote_again(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    resolve(gateway, names, proxies=names.proxies[1:2])
    second = names.proxies[1]
    gateway.handle_packet(OUTBOUND, names.sent(kind, 5401, far=second))
    sent = error(names, OUTBOUND, second, names.came(kind, 5401, far=second))
    seen = error(names, OUTBOUND, names.real[0], names.came(kind, 5402))
    assert gateway.handle_packet(OUTBOUND, sent) == through(seen)


@every_kind
@both_names
def test_outbound_without_a_session_an_error_is_refused(names: Names, kind: str) -> None:
    gateway = gateway_with(names)
    quote = names.came(kind, far=names.proxies[0])
    sent = error(names, OUTBOUND, names.proxies[0], quote)
    assert gateway.handle_packet(OUTBOUND, sent) == REFUSED
    gateway.handle_packet(OUTBOUND, names.sent(kind, 9))
    assert gateway.handle_packet(OUTBOUND, sent) == REFUSED


@both_names
def test_outbound_the_quoted_destination_is_the_errors_source(names: Names) -> None:
    gateway = gateway_in_use(names)
    resolve(gateway, names, proxies=names.proxies[1:2])
    quote = names.came(far=names.proxies[0])
    for far in (names.proxies[1], names.real[0], names.family.public):
        assert gateway.handle_packet(OUTBOUND, error(names, OUTBOUND, far, quote)) == REFUSED


@both_names
def test_outbound_a_quote_of_the_real_address_is_of_no_session(names: Names) -> None:
    gateway = gateway_in_use(names)
    sent = error(names, OUTBOUND, names.real[0], names.came())
    assert gateway.handle_packet(OUTBOUND, sent) == REFUSED


@both_names
def test_udp_port_unreachable_goes_both_ways(names: Names) -> None:
    code = 3 if names is N4 else 4
    gateway = gateway_in_use(names)
    kind = unreachable(names)
    client, proxy, real = names.family.client, names.proxies[0], names.real[0]
    inbound = icmp_error(f"{real} > {client}", kind, code, quoting=names.sent(far=real))
    told = icmp_error(f"{proxy} > {client}", kind, code, quoting=names.sent())
    assert gateway.handle_packet(INBOUND, inbound) == through(told)
    outbound = icmp_error(f"{client} > {proxy}", kind, code, quoting=names.came(far=proxy))
    tells = icmp_error(f"{client} > {real}", kind, code, quoting=names.came())
    assert gateway.handle_packet(OUTBOUND, outbound) == through(tells)


# --- Path-MTU discovery --------------------------------------------------------------------


def test_fragmentation_needed_reaches_the_client_with_its_mtu() -> None:
    gateway = gateway_in_use(N4, "tcp")
    rest = b"\x00\x00\x05\x14"
    quote = N4.sent("tcp", far=N4.real[0], payload=bytes(1_400))[:28]
    came = icmp_error(f"{V4.public} > {V4.client}", 3, 4, quoting=quote, rest=rest)
    seen = gateway.handle_packet(INBOUND, came)
    original = N4.sent("tcp", payload=bytes(1_400))[:28]
    told = icmp_error(f"{N4.proxies[0]} > {V4.client}", 3, 4, quoting=original, rest=rest)
    assert seen == through(told)


def test_packet_too_big_reaches_the_client_with_its_mtu() -> None:
    gateway = gateway_in_use(N6, "tcp")
    rest = b"\x00\x00\x05\x00"
    quote = N6.sent("tcp", far=N6.real[0], payload=bytes(1_400))[:1_232]
    came = icmp_error(f"{V6.public} > {V6.client}", 2, quoting=quote, rest=rest)
    original = N6.sent("tcp", payload=bytes(1_400))[:1_232]
    told = icmp_error(f"{N6.proxies[0]} > {V6.client}", 2, quoting=original, rest=rest)
    assert gateway.handle_packet(INBOUND, came) == through(told)


def test_the_client_may_report_its_path_mtu_too() -> None:
    gateway = gateway_in_use(N6, "tcp")
    rest = b"\x00\x00\x05\x00"
    quote = N6.came("tcp", far=N6.proxies[0], payload=bytes(1_400))[:1_232]
    sent = icmp_error(f"{V6.client} > {N6.proxies[0]}", 2, quoting=quote, rest=rest)
    original = N6.came("tcp", payload=bytes(1_400))[:1_232]
    tells = icmp_error(f"{V6.client} > {N6.real[0]}", 2, quoting=original, rest=rest)
    assert gateway.handle_packet(OUTBOUND, sent) == through(tells)


# --- The quote -----------------------------------------------------------------------------


def cut_to(names: Names, kind: str, translated: bytes, untranslated: bytes, size: int) -> bytes:
    """Cut a quote, and leave a checksum as it was of which a byte is missing then."""
    transport = {"tcp": 16, "udp": 6, "echo": 2}[kind]
    place = transport + (20 if names is N4 else 40)
    if size >= place + 2:
        return translated[:size]
    return patched(translated, place, untranslated[place : place + 2])[:size]


@every_kind
@both_names
def test_inbound_a_quote_cut_anywhere_stays_as_long_as_it_was(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    quote = names.sent(kind, far=names.real[0], payload=b"payload")
    original = names.sent(kind, payload=b"payload")
    least = (20 if names is N4 else 40) + 8
    for size in range(least, len(quote) + 1):
        came = error(names, INBOUND, names.real[0], quote[:size])
        cut = cut_to(names, kind, original, quote, size)
        seen = error(names, INBOUND, names.proxies[0], cut)
        assert gateway.handle_packet(INBOUND, came) == through(seen)
        assert len(seen) == len(came)
    for size in range(least):
        came = error(names, INBOUND, names.real[0], quote[:size])
        assert gateway.handle_packet(INBOUND, came) == REFUSED


@every_kind
@both_names
def test_outbound_a_quote_cut_anywhere_stays_as_long_as_it_was(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    quote = names.came(kind, far=names.proxies[0], payload=b"payload")
    original = names.came(kind, payload=b"payload")
    least = (20 if names is N4 else 40) + 8
    for size in range(least, len(quote) + 1):
        sent = error(names, OUTBOUND, names.proxies[0], quote[:size])
        cut = cut_to(names, kind, original, quote, size)
        seen = error(names, OUTBOUND, names.real[0], cut)
        assert gateway.handle_packet(OUTBOUND, sent) == through(seen)
    for size in range(least):
        sent = error(names, OUTBOUND, names.proxies[0], quote[:size])
        assert gateway.handle_packet(OUTBOUND, sent) == REFUSED


@pytest.mark.parametrize(("names", "shape"), SHAPES)
@every_kind
def test_a_quote_with_options_or_extension_headers_is_translated(
    names: Names, shape: Shape, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    quote = names.sent(kind, far=names.real[0], payload=b"odd", **shape)
    original = names.sent(kind, payload=b"odd", **shape)
    came = error(names, INBOUND, names.family.public, quote)
    seen = error(names, INBOUND, names.proxies[0], original)
    assert gateway.handle_packet(INBOUND, came) == through(seen)


@pytest.mark.parametrize(("names", "shape"), SHAPES)
@both_directions
def test_an_error_with_options_or_extension_headers_is_translated(
    names: Names, shape: Shape, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    client, proxy, real = names.family.client, names.proxies[0], names.real[0]
    kind = unreachable(names)
    flows = {
        INBOUND: (f"{real} > {client}", f"{proxy} > {client}"),
        OUTBOUND: (f"{client} > {proxy}", f"{client} > {real}"),
    }[direction]
    quote, original = {
        INBOUND: (names.sent(far=real), names.sent()),
        OUTBOUND: (names.came(far=proxy), names.came()),
    }[direction]
    before = icmp_error(flows[0], kind, quoting=quote, **shape)
    after = icmp_error(flows[1], kind, quoting=original, **shape)
    assert gateway.handle_packet(direction, before) == through(after)


@both_names
def test_a_quoted_udp_checksum_of_zero_stays_zero(names: Names) -> None:
    gateway = gateway_in_use(names)
    came = error(names, INBOUND, names.real[0], without_checksum(names.sent(far=names.real[0])))
    seen = error(names, INBOUND, names.proxies[0], without_checksum(names.sent()))
    assert gateway.handle_packet(INBOUND, came) == through(seen)


@both_names
def test_a_quote_of_a_first_fragment_is_translated(names: Names) -> None:
    gateway = gateway_in_use(names)
    quote = fragment(names.sent(far=names.real[0], payload=bytes(40)), 0, 16)
    original = fragment(names.sent(payload=bytes(40)), 0, 16)
    came = error(names, INBOUND, names.real[0], quote)
    seen = error(names, INBOUND, names.proxies[0], original)
    assert gateway.handle_packet(INBOUND, came) == through(seen)


@both_names
def test_a_quote_of_a_later_fragment_is_refused(names: Names) -> None:
    gateway = gateway_in_use(names)
    quote = fragment(names.sent(far=names.real[0], payload=bytes(40)), 16)
    assert gateway.handle_packet(INBOUND, error(names, INBOUND, names.real[0], quote)) == REFUSED


@both_names
def test_an_error_that_is_a_fragment_is_refused(names: Names) -> None:
    gateway = gateway_in_use(names)
    came = error(names, INBOUND, names.real[0], names.sent(far=names.real[0], payload=bytes(40)))
    assert gateway.handle_packet(INBOUND, fragment(came, 0, 64)) == REFUSED


@both_names
def test_the_packet_handed_in_is_left_alone(names: Names) -> None:
    gateway = gateway_in_use(names)
    came = bytearray(error(names, INBOUND, names.real[0], names.sent(far=names.real[0])))
    before = bytes(came)
    decision = gateway.handle_packet(INBOUND, came)
    assert isinstance(decision, Translate)
    assert type(decision.packet) is bytes
    assert came == before


@pytest.mark.parametrize("size", range(28, 44))
def test_the_checksums_of_translated_errors_hold_whatever_the_length(size: int) -> None:
    for names in (N4, N6):
        gateway = gateway_in_use(names)
        quote = names.sent(far=names.real[0], payload=bytes(40))
        cut = quote[: size + (20 if names is N6 else 0)]
        decision = gateway.handle_packet(INBOUND, error(names, INBOUND, names.real[0], cut))
        assert isinstance(decision, Translate)
        assert checksums_hold(decision.packet)


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
@both_names
def test_a_wrong_checksum_of_an_error_stays_as_wrong_as_it_was(
    names: Names, wrong_by: int
) -> None:
    gateway = gateway_in_use(names)
    place = (20 if names is N4 else 40) + 2
    came = error(names, INBOUND, names.real[0], names.sent(far=names.real[0]))
    seen = error(names, INBOUND, names.proxies[0], names.sent())
    (before,), (right,) = unpack_from("!H", came, place), unpack_from("!H", seen, place)
    damaged = patched(came, place, pack("!H", before ^ wrong_by))
    decision = gateway.handle_packet(INBOUND, damaged)
    assert isinstance(decision, Translate)
    (after,) = unpack_from("!H", decision.packet, place)
    assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF


# --- What decides --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "port", "passes"),
    [
        ("tcp", 442, False),
        ("tcp", 443, True),
        ("tcp", 444, False),
        ("udp", 52, False),
        ("udp", 53, True),
        ("udp", 54, False),
    ],
)
@both_names
def test_the_filters_of_the_dns_resource_decide_by_the_quoted_port(
    names: Names, kind: str, port: int, *, passes: bool
) -> None:
    gateway = gateway_in_use(names, kind)
    gateway.update_resource(app(Tcp(443), Udp(53)))
    inbound = error(names, INBOUND, names.real[0], names.sent(kind, far=names.real[0], port=port))
    quote = names.came(kind, far=names.proxies[0], port=port)
    outbound = error(names, OUTBOUND, names.proxies[0], quote)
    for direction, packet in ((INBOUND, inbound), (OUTBOUND, outbound)):
        decision = gateway.handle_packet(direction, packet)
        assert refusal(decision) == (None if passes else Reason.ICMP_ERROR)


@both_names
def test_errors_about_an_echo_need_the_icmp_filter_and_others_do_not(names: Names) -> None:
    for kind, filters, passes in (
        ("echo", [Icmp()], True),
        ("echo", [Tcp(), Udp()], False),
        ("udp", [Udp(443)], True),
    ):
        gateway = gateway_in_use(names, kind)
        gateway.update_resource(app(*filters))
        came = error(names, INBOUND, names.real[0], names.sent(kind, far=names.real[0]))
        assert gateway.handle_packet(INBOUND, came).allowed == passes


@both_names
def test_an_error_about_a_session_is_judged_as_the_dns_resources(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    gateway.update_resource(app(Udp(444)))
    came = error(names, INBOUND, names.real[0], names.sent(far=names.real[0]))
    assert gateway.handle_packet(INBOUND, came) == REFUSED
    other = error(names, INBOUND, names.real[0], names.sent(number=9, far=names.real[0]))
    assert gateway.handle_packet(INBOUND, other) == Forward("alice", "direct")


@every_kind
@both_names
def test_an_error_passes_until_the_session_is_over(names: Names, kind: str) -> None:
    inbound = error(names, INBOUND, names.real[0], names.sent(kind, far=names.real[0]))
    quote = names.came(kind, far=names.proxies[0])
    outbound = error(names, OUTBOUND, names.proxies[0], quote)
    gateway = gateway_in_use(names, kind)
    for direction, packet in ((INBOUND, inbound), (OUTBOUND, outbound)):
        assert gateway.handle_packet(direction, packet, 60.0 - TICK).allowed
    for direction, packet in ((INBOUND, inbound), (OUTBOUND, outbound)):
        assert gateway.handle_packet(direction, packet, 60.0) == REFUSED


@both_names
def test_inbound_an_error_about_no_session_is_refused(names: Names) -> None:
    gateway = gateway_in_use(names)
    client, real = names.family.client, names.real[0]
    for quote in (
        names.sent(number=5402, far=real),
        names.sent("tcp", far=real),
        names.sent("echo", far=real),
        names.sent(far=names.real[1]),
        names.sent(far=names.proxies[0]),
        ip(f"{client} > {real}", ESP, bytes(8)),
    ):
        assert gateway.handle_packet(INBOUND, error(names, INBOUND, real, quote)) == REFUSED


@both_names
def test_inbound_an_error_about_an_echo_reply_is_of_no_session(names: Names) -> None:
    gateway = gateway_in_use(names, "echo")
    flow = f"{names.family.client} > {names.real[0]}"
    quote = icmp_echo(flow, reply=True, identifier=5401)
    assert gateway.handle_packet(INBOUND, error(names, INBOUND, names.real[0], quote)) == REFUSED


@both_names
def test_inbound_the_quoted_source_is_the_client(names: Names) -> None:
    gateway = gateway_in_use(names)
    quote = names.came(far=names.real[0])
    assert gateway.handle_packet(INBOUND, error(names, INBOUND, names.real[0], quote)) == REFUSED


@pytest.mark.parametrize(
    ("names", "kind"), [(N4, 4), (N4, 5), (N6, 0), (N6, 5), (N6, 127), (N6, 137)]
)
@both_directions
def test_quench_redirects_and_undefined_errors_never_pass(
    names: Names, kind: int, direction: Direction
) -> None:
    gateway = gateway_in_use(names)
    packets = {
        INBOUND: error(names, INBOUND, names.real[0], names.sent(far=names.real[0]), kind),
        OUTBOUND: error(names, OUTBOUND, names.proxies[0], names.came(far=names.proxies[0]), kind),
    }
    assert gateway.handle_packet(direction, packets[direction]) == REFUSED


@both_names
def test_before_anything_was_resolved_errors_about_proxies_are_refused(names: Names) -> None:
    gateway = gateway_for_alice(app())
    quote = names.came(far=names.proxies[0])
    sent = error(names, OUTBOUND, names.proxies[0], quote)
    assert gateway.handle_packet(OUTBOUND, sent) == REFUSED


@both_names
def test_errors_about_other_sessions_do_not_mix(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:3], real=names.real[:1])
    for proxy in names.proxies[:3]:
        gateway.handle_packet(OUTBOUND, names.sent(far=proxy))
    for number, proxy in enumerate(names.proxies[:3], 5401):
        quote = names.sent(number=number, far=names.real[0])
        seen = error(names, INBOUND, proxy, names.sent(far=proxy))
        decision = gateway.handle_packet(INBOUND, error(names, INBOUND, names.real[0], quote))
        assert decision == through(seen)
