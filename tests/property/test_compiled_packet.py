"""What is done to bytes in C gives what the plain form gives, for any bytes."""

import struct
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firezone_filter import Direction, Reason
from firezone_filter.compiled.twins import IS_COMPILED, PLAIN
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import NO_PORT, read_headers
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.packet.rewrite import FlowRewriting
from firezone_filter.testing import patched, resized, tcp
from firezone_filter.values.decisions import make_reject, make_translate
from tests.property.strategies import whole_packets

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="the extension module is not in use")

# Protocols of either family and extension headers, by which the headers are read.
KINDS: Final = (0, 1, 6, 17, 43, 44, 47, 51, 58, 59, 60)

right = st.sampled_from(Direction).flatmap(whole_packets)


@st.composite
def almost_right(draw: st.DrawFn) -> bytes:
    """Draw a packet with a few other bytes, or cut off; its length field may fit."""
    packet = draw(right)
    is_ipv4 = packet[0] >> 4 == 4
    if draw(st.booleans()):
        kind = draw(st.sampled_from(KINDS))
        packet = patched(packet, 9 if is_ipv4 else 6, bytes([kind]))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(1, 47 if len(packet) > 48 else len(packet) - 1))
        packet = patched(packet, place, draw(st.binary(min_size=1, max_size=1)))
    if draw(st.booleans()):
        packet = packet[: draw(st.integers(20 if is_ipv4 else 40, len(packet)))]
    by = draw(st.sampled_from((None, 0, 0, 0, -1, 1)))
    # (No length field says more than the longest packet has.)
    return packet if by is None or len(packet) >= 0xFFFF else resized(packet, by)


any_packets = st.one_of(st.binary(max_size=100), right, almost_right())


def plain(name: str) -> Any:  # noqa: ANN401 - a function or a class
    return PLAIN[name]


def outcome(call: Callable[..., bytes], *args: object) -> bytes | type[Exception]:
    try:
        return call(*args)
    except struct.error as error:
        return type(error)


@given(any_packets)
def test_headers_are_the_same_of_any_bytes(packet: bytes) -> None:
    ours, theirs = read_headers(packet), plain("read_headers")(packet)
    assert ours == theirs
    assert type(ours) is type(theirs)
    assert [type(one) for one in ours or ()] == [type(one) for one in theirs or ()]


@given(any_packets)
def test_flow_keys_are_the_same_of_any_well_formed_packet(packet: bytes) -> None:
    headers = read_headers(packet)
    assume(headers is not None)
    assert headers is not None
    assert flow_key(headers, packet) == plain("flow_key")(headers, packet)


@given(data=st.data(), packet=right, outbound=st.booleans(), port=st.integers(0, 0xFFFF))
def test_a_flow_is_rewritten_to_the_same_bytes(
    data: st.DataObject, packet: bytes, port: int, *, outbound: bool
) -> None:
    headers = read_headers(packet)
    assert headers is not None
    key = flow_key(headers, packet)
    assume(key is not None)
    assert key is not None
    size, has_ports = len(headers.source), headers.source_port != NO_PORT
    address = data.draw(st.binary(min_size=size, max_size=size))
    facts = (key, headers.protocol, address, port, outbound)
    ours, theirs = FlowRewriting(*facts), plain("FlowRewriting")(*facts)
    assert ours.apply(packet) == theirs.apply(packet)
    # The same flow with anything else in its packet, checksums too, and cut off anywhere.
    start, end = headers.transport - 2 * size, headers.transport + (4 if has_ports else 1)
    keyed = {*range(start, end), *(() if has_ports else (end + 3, end + 4))}
    for _ in range(4):
        place = data.draw(st.sampled_from([*set(range(len(packet))) - keyed]))
        other = patched(packet, place, data.draw(st.binary(min_size=1, max_size=1)))
        other = other[: data.draw(st.integers(0, len(packet)))]
        assert outcome(ours.apply, other) == outcome(theirs.apply, other)


@pytest.mark.parametrize(
    ("key", "protocol", "address", "port"),
    [
        pytest.param(bytes(11), 6, bytes(4), 1, id="key-of-an-echo"),
        pytest.param(bytes(36), 17, bytes(4), 1, id="key-of-the-other-family"),
        pytest.param(bytes(12), 17, bytes(5), 1, id="no-address"),
        pytest.param(bytes(12), 47, bytes(4), 1, id="no-ports"),
        pytest.param(bytes(11), 58, bytes(4), 1, id="icmp-of-the-other-family"),
        pytest.param(bytes(12), 6, bytes(4), 0x10000, id="no-port"),
        pytest.param(bytes(12), 6, bytes(4), -1, id="negative-port"),
    ],
)
def test_nothing_is_read_where_a_flow_is_none(
    key: bytes, protocol: int, address: bytes, port: int
) -> None:
    with pytest.raises(KeyError):
        FlowRewriting(key, protocol, address, port, True)  # noqa: FBT003


@given(
    data=st.data(),
    packet=st.one_of(any_packets, st.binary(min_size=500, max_size=1_300)),
    size=st.sampled_from((4, 16)),
    prohibited=st.booleans(),
)
def test_replies_are_the_same_bytes(
    data: st.DataObject, packet: bytes, size: int, *, prohibited: bool
) -> None:
    ends = [data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2)]
    ours = unreachable_reply(packet, *ends, prohibited=prohibited)
    assert ours == plain("unreachable_reply")(packet, *ends, prohibited=prohibited)


@pytest.mark.parametrize("sizes", [(4, 16), (16, 4), (0, 0), (5, 5)])
def test_no_reply_is_built_between_ends_of_other_sizes(sizes: tuple[int, int]) -> None:
    source, destination = (bytes(size) for size in sizes)
    with pytest.raises(ValueError, match="4 or 16 bytes"):
        unreachable_reply(b"packet", source, destination, prohibited=True)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        pytest.param(make_translate, (b"translated", "alice", "git"), id="translate"),
        pytest.param(make_reject, (b"reply", Reason.TCP_PORT, "alice"), id="reject"),
    ],
)
def test_decisions_are_made_alike_and_hold_what_they_were_made_of_once(
    make: Callable[..., object], facts: tuple[object, ...]
) -> None:
    theirs = plain(make.__name__)(*facts)
    packet = bytes(bytearray(range(200)))
    before = sys.getrefcount(packet)
    made = make(packet, *facts[1:])
    assert sys.getrefcount(packet) == before + 1
    del made
    assert sys.getrefcount(packet) == before
    ours = make(*facts)
    assert (ours, hash(ours), repr(ours), type(ours)) == (
        theirs,
        hash(theirs),
        repr(theirs),
        type(theirs),
    )


@pytest.mark.parametrize("bad", [None, 1, bytearray(40), "text"])
def test_what_is_no_bytes_raises_as_the_plain_form_does_or_a_type_error(bad: object) -> None:
    packet = tcp("100.64.0.2:5401 > 10.0.0.5:443")
    headers = read_headers(packet)
    assert headers is not None
    flow = FlowRewriting(packet[12:24], 6, bytes(4), 1, True)  # noqa: FBT003
    calls: tuple[Callable[[Any], object], ...] = (
        lambda one: flow_key(headers, one),
        flow.apply,
        lambda one: unreachable_reply(one, bytes(4), bytes(4), prohibited=True),
        lambda one: unreachable_reply(packet, one, bytes(4), prohibited=True),
        lambda one: FlowRewriting(one, 6, bytes(4), 1, True),  # noqa: FBT003
        lambda one: FlowRewriting(packet[12:24], 6, one, 1, True),  # noqa: FBT003
    )
    for call in calls:
        with pytest.raises(TypeError):
            call(bad)
