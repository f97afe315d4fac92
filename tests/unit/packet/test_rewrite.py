"""Rewriting: every changed packet equals one that was built with the new ends.

Checksums are changed along with what they cover; `firezone_filter.testing` computes them from
scratch.
"""

from random import Random
from struct import pack, unpack_from

import pytest
from attrs import frozen

from firezone_filter import Direction
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.rewrite import (
    FlowRewriting,
    Rewriting,
    adjust,
    adjust_udp,
    difference,
    far_address,
    prepare,
    rewrite,
    rewrite_address,
    rewrite_error,
)
from firezone_filter.testing import (
    authentication,
    destination_options,
    fragment,
    hop_by_hop,
    icmp_error,
    internet_checksum,
    patched,
    routing,
)
from tests.numbers import AUTHENTICATION
from tests.scenes import INBOUND, OUTBOUND, both_directions
from tests.translations import N4, N6, Names, Shape, both_names, every_kind, without_checksum
from tests.unit.reading import packed, read

# --- Checksums -------------------------------------------------------------------------------

# RFC 1624, section 4: a checksum of 0xdd2f over data in which 0x5555 becomes 0x3285.
CHECKSUM_OF_THE_RFC = 0xDD2F
CHANGE_OF_THE_RFC = difference(b"\x55\x55", b"\x32\x85")


def test_the_example_of_rfc_1624_becomes_zero_not_minus_zero_and_ones_in_udp() -> None:
    assert adjust(CHECKSUM_OF_THE_RFC, CHANGE_OF_THE_RFC) == 0x0000
    assert adjust_udp(CHECKSUM_OF_THE_RFC, CHANGE_OF_THE_RFC) == 0xFFFF


@pytest.mark.parametrize("change", [0, 1, 2, 0x7FFF, 0x8000, CHANGE_OF_THE_RFC, 0xFFFD, 0xFFFE])
def test_every_checksum_changes_and_comes_back_by_the_reverse_change(change: int) -> None:
    for checksum in range(0xFFFF):
        there = adjust(checksum, change)
        assert 0 <= there <= 0xFFFF
        assert adjust(there, 0xFFFF - change) == checksum
        # 0 says that there is no checksum (RFC 768).
        assert adjust_udp(checksum, change) == (0 if checksum == 0 else there or 0xFFFF)


def test_without_a_change_even_a_checksum_of_ones_stays() -> None:
    assert (adjust(0xFFFF, 0), adjust_udp(0xFFFF, 0)) == (0xFFFF, 0xFFFF)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 16, 41])
def test_an_adjusted_checksum_equals_one_from_scratch(size: int) -> None:
    random = Random(size)
    for _ in range(500):
        data = random.randbytes(60)
        # An odd number of bytes is the end of what is summed.
        place = 60 - size - size % 2 if size % 2 else random.randrange(0, 60 - size, 2)
        data = data[: place + size] if size % 2 else data
        changed = patched(data, place, random.randbytes(size))
        change = difference(data[place : place + size], changed[place : place + size])
        before, after = internet_checksum(data), internet_checksum(changed)
        assert adjust(before, change) == after
        # A wrong checksum stays as wrong as it was.
        assert adjust(adjust(before, 0x1234), change) == adjust(after, 0x1234)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff", b"\xff\xff", b"odd", bytes(range(40))])
def test_equal_bytes_make_no_difference(data: bytes) -> None:
    assert difference(data, data) == 0


@pytest.mark.parametrize("size", [2, 4, 16])
def test_zeros_and_ones_are_the_same_to_a_sum(size: int) -> None:
    zeros, ones = bytes(size), b"\xff" * size
    assert difference(zeros, ones) == difference(ones, zeros) == 0
    assert internet_checksum(b"more" + zeros) == internet_checksum(b"more" + ones)


# --- Packets -------------------------------------------------------------------------------

PAYLOADS = pytest.mark.parametrize(
    "payload",
    [b"", b"o", b"ev", b"odd", bytes(range(256)) * 5],
    ids=lambda payload: f"{len(payload)}-bytes",
)

SHAPES: dict[str, tuple[Names, Shape]] = {
    "plain4": (N4, {}),
    "option": (N4, {"options": b"\x01"}),
    "options": (N4, {"options": b"\x94\x04\x00\x00" * 10}),
    "plain6": (N6, {}),
    "extension": (N6, {"extensions": (hop_by_hop(),)}),
    "extensions": (
        N6,
        {"extensions": (hop_by_hop(1), routing(), destination_options(2), authentication())},
    ),
}
shapes = pytest.mark.parametrize(("names", "shape"), SHAPES.values(), ids=SHAPES)


@frozen
class Flow:
    """A translated flow in one direction, and the client's port or echo id on each side of it."""

    names: Names
    kind: str
    direction: Direction = OUTBOUND
    numbers: tuple[int, int] = (5401, 61_000)

    def before(self, payload: bytes = b"", **shape: object) -> bytes:
        """Build a packet as it arrives."""
        build = self.names.sent if self.direction is OUTBOUND else self.names.came
        return build(self.kind, self.numbers[0], payload=payload, **shape)  # type: ignore[arg-type]

    def after(self, payload: bytes = b"", **shape: object) -> bytes:
        """Build the packet that goes on."""
        names, number = self.names, self.numbers[1]
        build, far = (
            (names.sent, names.real[0])
            if self.direction is OUTBOUND
            else (names.came, names.proxies[0])
        )
        return build(self.kind, number, far=far, payload=payload, **shape)  # type: ignore[arg-type]

    @property
    def rewriting(self) -> Rewriting:
        proxy, real = packed(self.names.proxies[0], self.names.real[0])
        outbound = self.direction is OUTBOUND
        return prepare(
            read(self.before()).protocol,
            (proxy, real) if outbound else (real, proxy),
            self.numbers,
            source_address=not outbound,
        )

    def rewritten(self, packet: bytes) -> bytes:
        return rewrite(packet, read(packet).transport, self.rewriting)

    def rewritten_in_one_piece(self, packet: bytes) -> bytes:
        """Rewrite a packet of the flow without options or extension headers."""
        return self.in_one_piece.apply(packet)

    @property
    def in_one_piece(self) -> FlowRewriting:
        before = self.before()
        headers = read(before)
        key = flow_key(headers, before)
        assert key is not None
        outbound = self.direction is OUTBOUND
        (address,) = packed((self.names.real if outbound else self.names.proxies)[0])
        return FlowRewriting(key, headers.protocol, address, self.numbers[1], outbound)

    def both(self, packet: bytes) -> bytes:
        """Rewrite a packet either way: they are the same."""
        changed = self.rewritten(packet)
        assert self.rewritten_in_one_piece(packet) == changed
        return changed

    def checksum(self, packet: bytes) -> tuple[int, int]:
        """Return where the transport checksum of a packet is, and the checksum."""
        place = read(packet).transport + {"tcp": 16, "udp": 6, "echo": 2}[self.kind]
        return place, unpack_from("!H", packet, place)[0]


every_flow = pytest.mark.parametrize(
    "flow",
    [
        pytest.param(Flow(names, kind, way), id=f"{kind}-{way.value}-{names}")
        for kind in ("tcp", "udp", "echo")
        for way in Direction
        for names in (N4, N6)
    ],
)


@PAYLOADS
@both_directions
@every_kind
@shapes
def test_the_far_address_and_the_clients_number_change_with_the_checksums(
    names: Names, shape: Shape, kind: str, direction: Direction, payload: bytes
) -> None:
    flow = Flow(names, kind, direction)
    before = flow.before(payload, **shape)
    copy = bytes(bytearray(before))
    changed = flow.rewritten(before) if shape else flow.both(before)
    assert (type(changed), changed) == (bytes, flow.after(payload, **shape))
    assert before == copy


@every_kind
@both_names
def test_every_number_gets_the_checksum_from_scratch_the_same_number_included(
    names: Names, kind: str
) -> None:
    for number in (0, 1, 255, 256, 5401, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF):
        flow = Flow(names, kind, numbers=(5401, number))
        assert flow.both(flow.before()) == flow.after()


@every_flow
def test_all_other_fields_stay_as_they_are(flow: Flow) -> None:
    shape: Shape = {"hops": 3, "identification": 0xBEEF} if flow.names is N4 else {"hops": 3}
    before, after = flow.before(b"odd", **shape), flow.after(b"odd", **shape)
    # Traffic class and flow label, or type of service: no checksum but IPv4's covers them.
    labels = bytes([before[0] | (flow.names is N6), 0xA5])
    assert flow.both(patched(before, 0, labels)) == patched(after, 0, labels)


def test_an_authentication_header_in_front_stays_as_it_is() -> None:
    flow = Flow(N6, "tcp")
    before = flow.before(extensions=(authentication(4),))
    assert before[6] == AUTHENTICATION
    assert flow.rewritten(before)[40:64] == before[40:64]


# --- Wrong and missing checksums -----------------------------------------------------------


@pytest.mark.parametrize("checksum", [0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF])
@every_flow
def test_a_wrong_transport_checksum_stays_as_wrong_as_it_was(flow: Flow, checksum: int) -> None:
    place, right_before = flow.checksum(flow.before(b"odd"))
    changed = flow.both(patched(flow.before(b"odd"), place, pack("!H", checksum)))
    _, right_after = flow.checksum(flow.after(b"odd"))
    _, after = flow.checksum(changed)
    if flow.kind == "udp" and checksum == 0:
        assert after == 0
    else:
        assert (after - right_after) % 0xFFFF == (checksum - right_before) % 0xFFFF


def test_every_wrong_ipv4_header_checksum_stays_as_wrong_as_it_was() -> None:
    flow = Flow(N4, "udp")
    before, after, rewriting = flow.before(), flow.after(), flow.rewriting
    one_piece = flow.in_one_piece.apply
    (right_before,), (right_after,) = (unpack_from("!H", one, 10) for one in (before, after))
    for checksum in range(0x1_0000):
        wrong = patched(before, 10, pack("!H", checksum))
        changed = rewrite(wrong, 20, rewriting)
        assert one_piece(wrong) == changed
        (became,) = unpack_from("!H", changed, 10)
        assert (became - right_after) % 0xFFFF == (checksum - right_before) % 0xFFFF


@both_directions
@both_names
def test_a_udp_checksum_of_zero_stays_zero(names: Names, direction: Direction) -> None:
    flow = Flow(names, "udp", direction)
    assert flow.both(without_checksum(flow.before())) == without_checksum(flow.after())


@every_flow
def test_a_checksum_that_becomes_zero_is_sent_as_zero_or_in_udp_as_ones(flow: Flow) -> None:
    # The two bytes with which the checksum of the translated packet computes to zero.
    payload = pack("!H", flow.checksum(flow.after(bytes(2)))[1])
    changed = flow.both(flow.before(payload))
    assert changed == flow.after(payload)
    assert flow.checksum(changed)[1] == (0xFFFF if flow.kind == "udp" else 0)


@both_names
def test_a_udp_checksum_of_ones_changes_like_any_other(names: Names) -> None:
    after = Flow(names, "udp", INBOUND)
    payload = pack("!H", after.checksum(after.before(bytes(2)))[1])
    assert after.checksum(after.before(payload))[1] == 0xFFFF
    assert after.both(after.before(payload)) == after.after(payload)


# --- Quotes that were cut short ------------------------------------------------------------


@every_kind
@shapes
def test_a_quote_cut_anywhere_stays_as_long_as_it_was(
    names: Names, shape: Shape, kind: str
) -> None:
    flow = Flow(names, kind)
    before, after = flow.before(b"payload", **shape), flow.after(b"payload", **shape)
    place, _ = flow.checksum(before)
    transport = read(before).transport
    for size in range(transport + 8, len(before)):
        cut = rewrite(before[:size], transport, flow.rewriting)
        # A checksum of which a byte is missing cannot be changed.
        whole = after if size >= place + 2 else patched(after, place, before[place : place + 2])
        assert cut == whole[:size]


@pytest.mark.parametrize("source", [False, True], ids=["outbound", "inbound"])
@every_kind
@both_names
def test_an_error_is_rewritten_with_its_quote_and_its_own_checksum(
    names: Names, kind: str, *, source: bool
) -> None:
    # What is quoted went the other way: an error to the client quotes what the client sent.
    build, ends = (names.sent, (0, 1)) if source else (names.came, (1, 0))
    old, new = names.real[0], names.proxies[0]
    old, new = (old, new) if source else (new, old)
    quote, expected_quote = build(kind, 61_000, far=old), build(kind, 5401, far=new)
    rewriting = prepare(
        read(quote).protocol,
        (packed(old)[0], packed(new)[0]),
        (61_000, 5401),
        source_address=not source,
    )
    client = names.family.client
    flow, expected_flow = (
        f"{(far, client)[ends[0]]} > {(far, client)[ends[1]]}" for far in (old, new)
    )
    unreachable = 3 if names is N4 else 1
    error = icmp_error(flow, unreachable, quoting=quote)
    changed = rewrite_error(error, read(error), read(quote), rewriting, source=source)
    expected = icmp_error(expected_flow, unreachable, quoting=expected_quote)
    assert (type(changed), changed) == (bytes, expected)


# --- Addresses alone -----------------------------------------------------------------------


@pytest.mark.parametrize("source", [False, True], ids=["destination", "source"])
@both_names
def test_of_a_later_fragment_only_the_ip_header_changes(names: Names, *, source: bool) -> None:
    build = names.came if source else names.sent
    before = fragment(build(far=names.proxies[0], payload=bytes(range(64))), 16)
    changed = rewrite_address(before, *packed(names.real[0]), source=source)
    header = 20 if names is N4 else 40
    expected = fragment(build(far=names.real[0], payload=bytes(64)), 16)
    assert (type(changed), changed) == (bytes, expected[:header] + before[header:])


def test_the_ipv4_header_checksum_follows_an_address_in_front_of_options_too() -> None:
    sent = N4.sent(options=b"\x01\x01\x01")
    changed = rewrite_address(sent, *packed(N4.real[0]), source=False)
    assert internet_checksum(changed[:24]) == 0


@both_names
def test_the_far_address_is_the_one_that_is_not_the_clients(names: Names) -> None:
    proxy, real = packed(names.proxies[0], names.real[0])
    assert far_address(names.sent(), outbound=True) == proxy
    assert far_address(names.came(), outbound=False) == real
