"""Whatever is handed in gets a decision, the model's: any bytes, and almost right packets."""

from struct import pack

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from firezone_filter import Direction, Drop, Forward, Reason, Reject, Translate
from firezone_filter.testing import (
    Extension,
    destination_options,
    fragment,
    fragment_header,
    hop_by_hop,
    ip_fragment,
    patched,
    resized,
    tcp,
    udp,
)
from tests.numbers import TCP, UDP
from tests.property.policies import roomy
from tests.property.pools import CLIENTS, INBOUND, OUTBOUND, PROXIES
from tests.property.strategies import versions, whole_packets
from tests.property.wire import version_of
from tests.scenes import V4, V6, Family, both_directions, both_families, refusal

directions = st.sampled_from(Direction)
client_ids = st.one_of(st.none(), st.sampled_from(CLIENTS), st.text(max_size=3))
aimed = st.one_of(
    whole_packets(OUTBOUND).map(lambda packet: (OUTBOUND, packet)),
    whole_packets(INBOUND).map(lambda packet: (INBOUND, packet)),
)
either_way = st.sampled_from(
    (
        (OUTBOUND, V4.client, "10.0.0.5"),
        (OUTBOUND, V4.client, PROXIES[4][0]),
        (INBOUND, "10.0.0.5", V4.client),
        (OUTBOUND, V6.client, "fd10::5"),
        (OUTBOUND, V6.client, PROXIES[6][0]),
        (INBOUND, "fd10::5", V6.client),
    )
)
"""Who may talk to whom, directly and through the NAT."""

HEADER = {4: 20, 6: 40}


@given(
    directions,
    st.binary(max_size=200),
    client_ids,
    st.sampled_from((bytes, bytearray, memoryview)),
)
@example(OUTBOUND, b"", None, bytes)
def test_any_bytes_get_a_decision(
    direction: Direction, packet: bytes, client_id: str | None, kind: type[bytes]
) -> None:
    gateway = roomy().gateway

    decision = gateway.handle_packet(direction, kind(packet), 1.0, client_id=client_id)

    assert isinstance(decision, Forward | Translate | Reject | Drop)


@given(directions, st.sampled_from((0x45, 0x46, 0x4F, 0x60)), st.binary(min_size=39))
def test_any_bytes_behind_a_version_get_the_decision_of_the_model(
    direction: Direction, first: int, rest: bytes
) -> None:
    twins = roomy()

    twins.packet(direction, bytes([first]) + rest)
    twins.packet(direction, resized(bytes([first]) + rest))


# --- Almost right ----------------------------------------------------------------------------


@given(aimed, st.data())
def test_one_byte_off_gets_the_decision_of_the_model(
    what: tuple[Direction, bytes], data: st.DataObject
) -> None:
    direction, packet = what
    twins = roomy()
    twins.packet(direction, packet)

    place = data.draw(st.integers(0, len(packet) - 1))
    for new in data.draw(st.binary(min_size=1, max_size=5)):
        twins.packet(direction, patched(packet, place, bytes([new])))


@given(aimed, st.integers(-9, 9).filter(bool), client_ids)
def test_a_length_field_that_lies_is_malformed(
    what: tuple[Direction, bytes], by: int, client_id: str | None
) -> None:
    direction, packet = what
    assume(len(packet) + by >= HEADER[version_of(packet)])

    decision = roomy().packet(direction, resized(packet, by), None, client_id)

    assert refusal(decision) is Reason.MALFORMED


@given(aimed, st.integers(1, 9))
def test_a_packet_cut_short_is_malformed_unless_its_length_says_so(
    what: tuple[Direction, bytes], less: int
) -> None:
    direction, packet = what
    twins = roomy()

    assert refusal(twins.packet(direction, packet[:-less])) is Reason.MALFORMED
    # What is left may be a packet.
    left = max(len(packet) - less, HEADER[version_of(packet)])
    twins.packet(direction, resized(packet[:left]))


@both_directions
@both_families
@pytest.mark.parametrize(("protocol", "fixed"), [("tcp", 20), ("udp", 8)])
def test_a_packet_is_whole_from_the_last_byte_of_its_headers_on(
    direction: Direction, family: Family, protocol: str, fixed: int
) -> None:
    twins = roomy()
    far = "10.0.0.5" if family is V4 else "fd10::5"
    build = family.tcp if protocol == "tcp" else family.udp
    packet = build(direction, far=far)
    least = HEADER[family.version] + fixed

    for size in range(HEADER[family.version], least):
        assert refusal(twins.packet(direction, resized(packet[:size]))) is Reason.MALFORMED
    assert refusal(twins.packet(direction, resized(packet[:least]))) is not Reason.MALFORMED


# --- Chains ----------------------------------------------------------------------------------


@given(count=st.integers(0, 10), hops_first=st.booleans(), direction=directions)
@example(count=8, hops_first=True, direction=OUTBOUND)
@example(count=9, hops_first=True, direction=OUTBOUND)
@example(count=8, hops_first=False, direction=INBOUND)
@example(count=9, hops_first=False, direction=INBOUND)
def test_eight_extension_headers_pass_and_nine_do_not(
    *, count: int, hops_first: bool, direction: Direction
) -> None:
    chain = [destination_options()] * count
    chain[:1] = [hop_by_hop()] if hops_first and chain else chain[:1]
    ends = (V6.client, "fd10::5") if direction is OUTBOUND else ("fd10::5", V6.client)
    packet = tcp("[{}]:443 > [{}]:443".format(*ends), extensions=chain)

    decision = roomy().packet(direction, packet)

    assert decision.allowed is (count <= 8)


extension_headers = st.one_of(
    st.builds(
        Extension,
        st.sampled_from((0, 43, 51, 60)),
        st.tuples(st.sampled_from((0, 0, 0, 1, 2, 255)), st.binary(min_size=6, max_size=14)).map(
            lambda parts: bytes([parts[0]]) + parts[1]
        ),
    ),
    st.builds(fragment_header, st.sampled_from((0, 8, 0xFFF8)), more=st.booleans()),
)


@given(st.lists(extension_headers, max_size=9), directions)
def test_any_chain_of_headers_gets_the_decision_of_the_model(
    chain: list[Extension], direction: Direction
) -> None:
    ends = (V6.client, "fd10::5") if direction is OUTBOUND else ("fd10::5", V6.client)

    roomy().packet(direction, tcp("[{}]:443 > [{}]:443".format(*ends), extensions=chain))


@given(st.binary(max_size=40), directions)
@example(b"\x07\x04\4\0", OUTBOUND)
@example(b"\x07\x05\4\0", OUTBOUND)
@example(b"\x83\x03\4\0", INBOUND)
def test_any_options_get_the_decision_of_the_model(options: bytes, direction: Direction) -> None:
    ends = (V4.client, "10.0.0.5") if direction is OUTBOUND else ("10.0.0.5", V4.client)

    roomy().packet(direction, tcp("{}:443 > {}:443".format(*ends), options=options))


# --- Fragments -------------------------------------------------------------------------------


@st.composite
def fragments(draw: st.DrawFn) -> list[tuple[Direction, bytes]]:
    """Draw fragments of few packets: ports in the wrong ones, overlaps, in any order."""
    direction, source, destination = draw(either_way)
    version = V4.version if "." in source else V6.version
    ends = (
        f"{source}:1 > {destination}:443"
        if version == 4
        else f"[{source}]:1 > [{destination}]:443"
    )
    packet = draw(st.sampled_from((tcp, udp)))(ends, bytes(32))
    header = HEADER[version]
    places = st.sampled_from((0, 0, 0, 8, 16, 24, 32))
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        start, size = draw(places), draw(st.sampled_from((8, 16, 24, 32, 40, 41)))
        more = draw(st.one_of(st.none(), st.booleans()))
        number = draw(st.integers(1, 2))
        part = packet if draw(st.booleans()) else patched(packet, header + 3, b"\x50")
        pieces.append(
            (
                direction,
                fragment(part, start, start + size, more=more, identification=number),
            )
        )
    return pieces


@given(fragments())
def test_fragments_get_the_decisions_of_the_model(
    pieces: list[tuple[Direction, bytes]],
) -> None:
    twins = roomy()

    for direction, piece in pieces:
        twins.packet(direction, piece)


@given(
    who=either_way,
    size=st.sampled_from((8, 16, 24, 32)),
    start=st.sampled_from((8, 16, 24, 32)),
    more=st.booleans(),
)
def test_a_later_fragment_never_brings_what_the_first_should_have(
    *, who: tuple[Direction, str, str], size: int, start: int, more: bool
) -> None:
    direction, source, destination = who
    twins = roomy()
    flow = f"{source} > {destination}"
    ports = pack("!HH", 1, 443)

    first = ip_fragment(flow, TCP, ports + bytes(size - 4), more=True)
    second = ip_fragment(flow, TCP, ports + bytes(20), start=start, more=more)
    third = ip_fragment(flow, TCP, bytes(8), start=64)

    # Behind the 20 bytes that are judged, there is only data.
    passes = size >= 20 and start >= 20
    assert twins.packet(direction, first).allowed is (size >= 20)
    assert twins.packet(direction, second).allowed is passes
    assert twins.packet(direction, third).allowed is passes


@given(versions, st.integers(0, 3), st.integers(65_400, 65_600))
def test_a_fragment_that_ends_too_late_gets_the_decision_of_the_model(
    version: int, chain: int, end: int
) -> None:
    near, far = (V4.client, "10.0.0.5") if version == 4 else (V6.client, "fd10::5")
    extensions = [destination_options()] * chain
    start = 65_400 - 65_400 % 8 - 64
    data = bytes(end - start)

    roomy().packet(
        OUTBOUND,
        ip_fragment(f"{near} > {far}", UDP, data, start=start, extensions=extensions),
    )
