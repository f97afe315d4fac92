"""`received` and `sent`, case by case: what may be left undone, and what may not."""

from collections.abc import Callable
from struct import pack

import pytest

from firezone_filter import Forward, Translate
from firezone_filter.host.offload import NOTHING_LEFT, Frame, received, sent
from firezone_filter.testing import (
    checksums_hold,
    destination_options,
    fragment_header,
    icmp_echo,
    icmp_error,
    ip,
    patched,
    tcp,
    udp,
)

V4 = "100.64.0.2:5401 > 10.0.0.5:443"
V6 = "[fd00:2021:1111::2]:5401 > [fd00:5::5]:443"
TCPV4, UFO, TCPV6, UDP_L4, ECN = 1, 3, 4, 5, 0x80


def header(start: int, place: int, *, kind: int = 0, flags: int = 1) -> bytes:
    return pack("=BBHHHH", flags, kind, 54, 1000 if kind else 0, start, place)


# --- What stays partial --------------------------------------------------------------------

LEFT = {
    "tcp4": (tcp(V4, b"data"), header(20, 16)),
    "tcp6": (tcp(V6, b"data"), header(40, 16)),
    "udp4": (udp(V4, b"data"), header(20, 6)),
    "udp6": (udp(V6, b"data"), header(40, 6)),
    "options": (tcp(V4, options=bytes(4)), header(24, 16)),
    "extension": (udp(V6, extensions=[destination_options()]), header(48, 6)),
    "atomic-fragment": (udp(V6, extensions=[fragment_header()]), header(48, 6)),
    "tso4": (tcp(V4, bytes(9_000)), header(20, 16, kind=TCPV4)),
    "tso4-ecn": (tcp(V4, bytes(9_000)), header(20, 16, kind=TCPV4 | ECN)),
    "tso6": (tcp(V6, bytes(9_000)), header(40, 16, kind=TCPV6)),
    "uso4": (udp(V4, bytes(9_000)), header(20, 6, kind=UDP_L4)),
    "uso6": (udp(V6, bytes(9_000)), header(40, 6, kind=UDP_L4)),
}


@pytest.mark.parametrize(("packet", "left"), LEFT.values(), ids=LEFT)
def test_whole_tcp_and_udp_may_be_partial_in_their_checksum(packet: bytes, left: bytes) -> None:
    assert received(left, packet) == Frame(packet, left)


@pytest.mark.parametrize("flags", [0, 2], ids=["unchecked", "checked"])
def test_a_packet_in_which_nothing_is_left_undone_goes_without_a_header(flags: int) -> None:
    packet = tcp(V4)
    assert received(header(0, 0, flags=flags), packet) == Frame(packet)


# --- What is completed ---------------------------------------------------------------------

PING = icmp_echo("100.64.0.2 > 10.0.0.5", payload=b"odd")
FIRST = patched(udp(V4, b"whole in eights."), 6, b"\x20\x00")
WITHIN = ip(V4, 47, tcp(V4, b"data"))


def test_what_is_partial_elsewhere_is_completed_before_the_decision() -> None:
    frame = received(header(20, 2), patched(PING, 22, bytes(2)))
    assert frame == Frame(PING)


@pytest.mark.parametrize(
    ("packet", "start", "place"),
    [(FIRST, 20, 6), (WITHIN, 40, 16), (udp(V4, b"data"), 20, 2), (tcp(V4), 0, 18)],
    ids=["fragment", "inner", "port", "address"],
)
def test_a_checksum_that_would_be_written_elsewhere_is_written_at_once(
    packet: bytes, start: int, place: int
) -> None:
    frame = received(header(start, place), packet)
    assert frame is not None
    assert frame.header == b""
    at = start + place
    # Written over itself, it leaves a sum of 0.
    word = int.from_bytes(frame.packet[at : at + 2])
    before = int.from_bytes(packet[at : at + 2])
    covered = patched(packet, at, bytes(2))[start:]
    total = sum(int.from_bytes(covered[n : n + 2]) for n in range(0, len(covered), 2))
    assert (word + total + before) % 0xFFFF == 0
    assert patched(frame.packet, at, packet[at : at + 2]) == packet


@pytest.mark.parametrize("left", [bytes(8), b"\xff\xff" + bytes(6)], ids=["0", "0xffff"])
def test_a_checksum_of_0_is_written_as_0xffff(left: bytes) -> None:
    packet = ip(V4, 99, left)
    assert received(header(20, 6), packet) == Frame(patched(packet, 26, b"\xff\xff"))


# --- What goes no further ------------------------------------------------------------------

LOST = {
    "whole-super-packet": (tcp(V4), header(20, 16, kind=TCPV4, flags=0)),
    "checked-super-packet": (tcp(V4), header(20, 16, kind=TCPV4, flags=2)),
    "other-family": (tcp(V4), header(20, 16, kind=TCPV6)),
    "other-protocol": (udp(V4), header(20, 6, kind=TCPV4)),
    "ufo": (udp(V4), header(20, 6, kind=UFO)),
    "unknown": (tcp(V4), header(20, 16, kind=2)),
    "misplaced": (tcp(V4), header(20, 14, kind=TCPV4)),
    "misplaced-start": (tcp(V4), header(24, 12, kind=TCPV4)),
    "fragment": (FIRST, header(20, 6, kind=UDP_L4)),
    "icmp": (PING, header(20, 2, kind=UDP_L4)),
    "broken": (b"\x45", header(20, 16, kind=TCPV4)),
    "behind-the-end": (tcp(V4), header(20, 19)),
    "far-behind-the-end": (tcp(V4), header(65_535, 65_535)),
    "empty": (b"", header(0, 0)),
}


@pytest.mark.parametrize(("packet", "left"), LOST.values(), ids=LOST)
def test_what_nobody_can_foresee_goes_no_further(packet: bytes, left: bytes) -> None:
    assert received(left, packet) is None


def test_the_last_word_of_a_packet_can_be_completed() -> None:
    frame = received(header(20, 18), tcp(V4))
    assert frame is not None
    assert frame.header == b""


# --- What goes on --------------------------------------------------------------------------


def test_what_is_forwarded_is_the_frame_itself() -> None:
    frame = Frame(tcp(V4), header(20, 16))
    assert sent(frame, Forward("alice", "db")) is frame


def test_what_is_translated_whole_is_the_library_s_packet() -> None:
    packet = tcp("100.64.0.2:5401 > 10.0.0.9:443")
    assert sent(Frame(tcp(V4)), Translate(packet, "alice", "db")) == Frame(packet)
    assert checksums_hold(packet)


@pytest.mark.parametrize(
    ("build", "flow", "start", "place", "partial"),
    [
        # 0xc000 + 0x0201 + 0xc633 + 0x6401, the protocol and the length, with carries added.
        (tcp, "192.0.2.1:5 > 198.51.100.1:6", 20, 16, 0xEC36 + 6 + 24),
        (udp, "192.0.2.1:5 > 198.51.100.1:6", 20, 6, 0xEC36 + 17 + 12),
        # Twice 0x2001 + 0x0db8, 1 + 2, the protocol and the length.
        (tcp, "[2001:db8::1]:5 > [2001:db8::2]:6", 40, 16, 0x5B75 + 6 + 24),
        (udp, "[2001:db8::1]:5 > [2001:db8::2]:6", 40, 6, 0x5B75 + 17 + 12),
    ],
    ids=["tcp4", "udp4", "tcp6", "udp6"],
)
def test_of_what_is_translated_partially_the_sum_is_made_anew(
    build: Callable[..., bytes], flow: str, start: int, place: int, partial: int
) -> None:
    packet = build(flow, b"data")
    left = header(start, place)
    going_on = sent(Frame(b"before", left), Translate(packet, "alice", "db"))
    assert going_on == Frame(patched(packet, start + place, pack("!H", partial)), left)


def test_a_sum_of_0_is_0xffff() -> None:
    # 0xffd5 + 6 + 36 = 0xffff, which is 0 in the arithmetic of checksums.
    packet = tcp("0.0.0.0:5 > 255.213.0.0:6", bytes(16))
    going_on = sent(Frame(packet, header(20, 16)), Translate(packet, "alice", "db"))
    assert going_on.packet[36:38] == b"\xff\xff"


def test_a_reply_has_nothing_left_undone() -> None:
    reply = icmp_error("10.0.0.5 > 100.64.0.2", 3, 13, quoting=tcp(V4)[:28])
    assert Frame(reply) == received(NOTHING_LEFT, reply)
