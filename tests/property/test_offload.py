"""What is left undone in a packet: translated with it, or after it, the same bytes are sent."""

from struct import pack

from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter import Direction, DnsResource, Forward, Gateway, Translate
from firezone_filter.host.offload import NOTHING_LEFT, Frame, received, sent
from firezone_filter.testing import (
    broken_packets,
    checksums_hold,
    icmp_echo,
    packets,
    patched,
    tcp,
    udp,
)
from tests.model.packets import parse
from tests.property.segmenting import TCP, UDP, Undone, completed, undone, undone_packets
from tests.scenes import OUTBOUND, V4, V6, Family, at, gateway_for_alice

FAMILIES = {4: V4, 6: V6}
versions = st.sampled_from((4, 6))
directions = st.sampled_from(Direction)


def with_a_name(family: Family) -> Gateway:
    """Let Alice reach a host by a proxy address, and all others as they are."""
    gateway = gateway_for_alice(family.everything(), DnsResource("name", "name.test"))
    gateway.domain_resolved(
        "alice",
        "name",
        "name.test",
        proxy_addresses=[family.proxy],
        resolved_addresses=[family.host],
    )
    return gateway


def flow(family: Family, far: str, direction: Direction) -> str:
    ends = at(family.client, 5401), at(far, 443)
    return " > ".join(ends if direction is OUTBOUND else ends[::-1])


def carried(gateway: Gateway, direction: Direction, given: Undone) -> Undone:
    """Let a packet through, as a host does, and return what goes on."""
    frame = received(given.header, given.packet)
    assert frame == Frame(given.packet, given.header)
    decision = gateway.handle_packet(direction, frame.packet, 0.0)
    assert isinstance(decision, Forward | Translate)
    going_on = sent(frame, decision)
    assert going_on.header == given.header
    return given.with_packet(going_on.packet)


def carried_whole(gateway: Gateway, direction: Direction, packet: bytes) -> bytes:
    """Let a packet through in which nothing is left undone."""
    frame = received(NOTHING_LEFT, packet)
    assert frame == Frame(packet)
    decision = gateway.handle_packet(direction, frame.packet, 0.0)
    assert isinstance(decision, Forward | Translate)
    assert sent(frame, decision) == Frame(decision.to_send(packet))
    return decision.to_send(packet)


def opened(gateway: Gateway, family: Family) -> None:
    """Have Alice begin both flows that may be answered."""
    for build in (tcp, udp):
        begun = gateway.handle_packet(OUTBOUND, build(flow(family, family.proxy, OUTBOUND)), 0.0)
        assert isinstance(begun, Translate)


@given(st.data(), versions, directions)
def test_segments_of_what_is_translated_are_the_translated_segments(
    data: st.DataObject, version: int, direction: Direction
) -> None:
    family = FAMILIES[version]
    gateway = with_a_name(family)
    opened(gateway, family)
    far = family.proxy if direction is OUTBOUND else family.host
    one = data.draw(undone_packets(flow(family, far, direction)))
    translated = carried(gateway, direction, one)
    assert translated.packet != one.packet
    segments = list(translated.segments())
    assert segments == [carried_whole(gateway, direction, each) for each in one.segments()]
    assert all(checksums_hold(segment) for segment in segments)


@given(st.data(), versions, directions)
def test_what_is_forwarded_goes_on_as_it_came(
    data: st.DataObject, version: int, direction: Direction
) -> None:
    family = FAMILIES[version]
    one = data.draw(undone_packets(flow(family, family.stranger, direction)))
    assert carried(with_a_name(family), direction, one) == one
    assert all(checksums_hold(segment) for segment in one.segments())


@given(st.data(), versions, directions, st.binary(min_size=2, max_size=2))
def test_no_decision_depends_on_a_checksum(
    data: st.DataObject, version: int, direction: Direction, other: bytes
) -> None:
    family = FAMILIES[version]
    far = data.draw(st.sampled_from((family.proxy, family.host, family.stranger)))
    one = data.draw(undone_packets(flow(family, far, direction)))
    place = one.start + one.place
    decisions = [
        with_a_name(family).handle_packet(direction, patched(one.packet, place, checksum), 0.0)
        for checksum in (one.packet[place : place + 2], other)
    ]
    assert type(decisions[0]) is type(decisions[1])
    blank = [patched(each.to_send(b"") or b"", place, bytes(2)) for each in decisions]
    assert blank[0] == blank[1]


def facts(packet: bytes) -> object:
    """Return all that decisions are made by."""
    read = parse(packet)
    assert read is not None
    ports = read.source_port, read.destination_port, read.icmp_type
    position = read.transport_at, read.fragment
    flags = read.tcp_flags & 7 if read.protocol == TCP and not read.is_later_fragment else None
    return read.source, read.destination, read.protocol, ports, position, flags


HOSTILE_PORT = udp("100.64.0.2:5401 > 10.0.0.5:443", b"data")
HOSTILE_ADDRESS = tcp("100.64.0.2:5401 > 10.0.0.5:443", b"data")


@given(
    st.one_of(packets(), broken_packets()),
    st.integers(0, 3),
    st.sampled_from((0, 0x80)),
    st.one_of(st.integers(0, 100), st.integers(0, 0xFFFF)),
    st.one_of(st.integers(0, 20), st.integers(0, 0xFFFF)),
)
@example(HOSTILE_PORT, 1, 0, 20, 2)
@example(HOSTILE_ADDRESS, 1, 0, 0, 16)
@example(HOSTILE_ADDRESS, 1, 0, 20, 16)
@example(icmp_echo("100.64.0.2 > 10.0.0.5"), 1, 0, 20, 0)
def test_what_is_decided_about_is_what_will_be_sent(
    packet: bytes, flags: int, kind: int, start: int, place: int
) -> None:
    header = pack("=BBHHHH", flags, kind, 40, 0, start, place)
    frame = received(header, packet)
    to_be_sent = packet
    if flags & 1 and start + place + 2 <= len(packet):
        to_be_sent = completed(packet, start, place)
    elif flags & 1:
        assert frame is None
        return
    assert frame is not None
    if frame.header:
        assert frame == Frame(packet, header)
        assert facts(packet) == facts(to_be_sent)
    else:
        assert frame.packet == to_be_sent


@given(st.data(), versions, st.integers(0, 255).filter(lambda one: one & 0x7F), st.booleans())
def test_a_super_packet_is_of_the_kind_that_its_headers_are_of(
    data: st.DataObject,
    version: int,
    kind: int,
    fragmented: bool,  # noqa: FBT001 - drawn
) -> None:
    family = FAMILIES[version]
    one = data.draw(undone_packets(flow(family, family.host, OUTBOUND), plain=True))
    is_fragment = fragmented and version == 4
    packet = patched(one.packet, 6, b"\x20\x00") if is_fragment else one.packet
    header = Undone(packet, kind, 1000, one.start, one.place).header
    right = {(4, TCP): {1, 0x81}, (6, TCP): {4, 0x84}}.get((version, one.protocol), {5, 0x85})
    is_right = kind in right and not is_fragment
    assert received(header, packet) == (Frame(packet, header) if is_right else None)


def test_both_protocols_have_a_place_for_their_checksum() -> None:
    # The model itself, by hand: 100.64.0.2 and 10.0.0.5, 6 or 17, and 20 or 8 bytes.
    packet = tcp("100.64.0.2:5401 > 10.0.0.5:443")
    assert undone(packet, TCP, 20).packet[36:38] == pack("!H", 0x6440 + 2 + 0x0A00 + 5 + 6 + 20)
    packet = udp("100.64.0.2:5401 > 10.0.0.5:443")
    assert undone(packet, UDP, 20).packet[26:28] == pack("!H", 0x6440 + 2 + 0x0A00 + 5 + 17 + 8)
