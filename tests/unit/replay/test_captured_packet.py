"""A captured packet, whole again for its judgement, and cut again to be written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.packet.headers import read_headers
from firezone_filter.replay.captured_packet import read_packet
from firezone_filter.testing import icmp_echo, tcp, udp
from tests.captures import CLIENT, CLIENT_6, RESOURCE, RESOURCE_6, ipv4, ipv6, ports

V4 = ipv4(payload=b"four")
V6 = ipv6(payload=b"six")
TCP_4 = tcp(f"{CLIENT}:40000 > {RESOURCE}:5432", b"x" * 1000)
TCP_6 = tcp(f"[{CLIENT_6}]:40000 > [{RESOURCE_6}]:5432", b"x" * 1000)
UDP_4 = udp(f"{CLIENT}:40000 > {RESOURCE}:53", b"x" * 1000)
UDP_6 = udp(f"[{CLIENT_6}]:40000 > [{RESOURCE_6}]:53", b"x" * 1000)
PING_4 = icmp_echo(f"{CLIENT} > {RESOURCE}", payload=b"x" * 1000)
PING_6 = icmp_echo(f"{CLIENT_6} > {RESOURCE_6}", payload=b"x" * 1000)

# With the bytes that must have been captured.
WITH_HEADERS = {
    "TCP": (TCP_4, 40),
    "TCP over IPv6": (TCP_6, 60),
    "UDP": (UDP_4, 28),
    "UDP over IPv6": (UDP_6, 48),
    "ping": (PING_4, 28),
    "ping over IPv6": (PING_6, 48),
    "GRE": (ipv4(protocol=47, payload=b"x" * 1000), 20),
    "options": (ipv4(protocol=47, options=b"\1" * 8, payload=b"x" * 1000), 28),
    "destination options": (ipv6(protocol=60, payload=b"\x11\1" + bytes(14) + UDP_6[40:]), 64),
    "first fragment": (ipv4(protocol=6, payload=TCP_4[20:1020], fragment=0x2000), 40),
    "later fragment": (ipv4(protocol=6, payload=b"x" * 1000, fragment=7), 20),
}
on_each = pytest.mark.parametrize(
    ("packet", "least"), WITH_HEADERS.values(), ids=list(WITH_HEADERS.keys())
)


def without_length(packet: bytes) -> bytes:
    """Return *packet* as offloading leaves it."""
    at = 2 if packet[0] >> 4 == 4 else 4
    return packet[:at] + bytes(2) + packet[at + 2 :]


# --- Bytes behind it ---------------------------------------------------------------------


@pytest.mark.parametrize("packet", [V4, V6, ipv4(), ipv6(protocol=59), ipv4(options=bytes(4))])
@pytest.mark.parametrize("behind", [0, 1, 4, 26])
def test_bytes_behind_the_packet_are_cut_off(packet: bytes, behind: int) -> None:
    read = read_packet(packet + bytes(behind), len(packet) + behind)
    assert (read.captured, read.whole, read.length) == (packet, packet, len(packet))
    assert not read.is_cut


def test_only_the_bytes_behind_may_have_been_cut() -> None:
    read = read_packet(V4 + bytes(2), len(V4) + 26)
    assert (read.whole, read.is_cut) == (V4, False)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\x44" + V4[1:] + bytes(22), id="header of 16 bytes"),
        pytest.param(b"\x44" + V4[1:2] + bytes(2) + V4[4:], id="the same without a length"),
        pytest.param(b"\x4f" + V4[1:] + bytes(40), id="header longer than the packet"),
        pytest.param(V4[:2] + b"\x00\x13" + V4[4:], id="length less than the header"),
        pytest.param(V4[:-1], id="shorter than its length"),
        pytest.param(V6[:-1], id="shorter than its length, IPv6"),
        pytest.param(V4[:19], id="IPv4 header cut short"),
        pytest.param(V6[:39], id="IPv6 header cut short"),
        pytest.param(b"\x50" + V4[1:] + bytes(22), id="version 5"),
        pytest.param(ipv6(protocol=0)[:40] + bytes(6), id="jumbogram"),
        pytest.param(b"", id="nothing"),
    ],
)
@pytest.mark.parametrize("wire", [0, 1])
def test_a_bad_packet_stays_as_it_is(bad: bytes, wire: int) -> None:
    read = read_packet(bad, len(bad) * wire)
    assert (read.captured, read.whole, read.length) == (bad, bad, len(bad))
    assert read_headers(read.whole) is None


# --- Cut by the snap length --------------------------------------------------------------


@on_each
def test_a_packet_cut_behind_its_headers_is_whole_again(packet: bytes, least: int) -> None:
    for size in (least, least + 1, len(packet) - 1):
        read = read_packet(packet[:size], len(packet) + 6)
        assert read.whole == packet[:size] + bytes(len(packet) - size)
        assert (read.captured, read.length, read.is_cut) == (packet[:size], len(packet), True)
        assert read_headers(read.whole) == read_headers(packet)


@on_each
def test_a_packet_cut_inside_its_headers_is_malformed(packet: bytes, least: int) -> None:
    for size in range(least):
        read = read_packet(packet[:size], len(packet))
        assert (read.whole, read.is_cut) == (packet[:size], True)
        assert read_headers(read.whole) is None


def test_a_packet_that_was_shorter_on_the_wire_than_it_claims_is_malformed() -> None:
    read = read_packet(TCP_4[:60], len(TCP_4) - 1)
    assert (read.whole, read.length) == (TCP_4[:60], len(TCP_4) - 1)


@on_each
def test_a_cut_packet_is_written_as_it_was_captured(packet: bytes, least: int) -> None:
    read = read_packet(packet[:least], len(packet))
    assert read.as_captured(read.whole) == packet[:least]
    changed = read.whole[:12] + bytes(8) + read.whole[20:]
    assert read.as_captured(changed) == packet[:12] + bytes(8) + packet[20:least]


# --- ICMP errors -------------------------------------------------------------------------

ERRORS = {
    "IPv4": ipv4(RESOURCE, CLIENT, 1, b"\3\1" + bytes(6) + TCP_4[:500]),
    "IPv6": ipv6(RESOURCE_6, CLIENT_6, 58, b"\1\1" + bytes(6) + TCP_6[:500]),
}
on_each_error = pytest.mark.parametrize("error", ERRORS.values(), ids=list(ERRORS))


@on_each_error
@pytest.mark.parametrize("missing", [1, 400, 472, 500])
def test_of_an_icmp_error_only_what_was_captured_is_judged(error: bytes, missing: int) -> None:
    cut = error[:-missing]
    read = read_packet(cut, len(error))
    assert (read.length, len(read.whole)) == (len(error), len(cut))
    assert read_headers(read.whole) is not None
    assert read.as_captured(read.whole) == cut


@on_each_error
def test_an_icmp_error_cut_inside_its_header_is_malformed(error: bytes) -> None:
    assert read_headers(read_packet(error[:-501], len(error)).whole) is None


def test_a_fragment_of_an_icmp_error_keeps_its_length() -> None:
    fragment = ipv4(RESOURCE, CLIENT, 1, b"\3\1" + bytes(6) + TCP_4[:488], fragment=0x2000)
    assert len(read_packet(fragment[:99], len(fragment)).whole) == len(fragment)


# --- Segmentation offload ----------------------------------------------------------------


@pytest.mark.parametrize("packet", [TCP_4, TCP_6, UDP_4, UDP_6, PING_4])
def test_without_a_length_that_of_the_frame_counts(packet: bytes) -> None:
    offloaded = without_length(packet)
    read = read_packet(offloaded, len(packet))
    assert (read.whole, read.length, read.is_cut) == (packet, len(packet), False)
    assert read.as_captured(read.whole) == offloaded


def test_without_a_length_the_packet_may_also_be_cut() -> None:
    read = read_packet(without_length(TCP_4)[:70], len(TCP_4))
    assert read.whole == TCP_4[:70].ljust(len(TCP_4), b"\0")
    assert read.as_captured(read.whole) == without_length(TCP_4)[:70]


@pytest.mark.parametrize(
    ("packet", "longest"),
    [
        (ipv4(protocol=6, payload=ports(1, 2, 65_515)), 65_535),
        (ipv6(protocol=6, payload=ports(1, 2, 65_535)), 65_575),
    ],
    ids=["IPv4", "IPv6"],
)
def test_of_a_packet_beyond_the_longest_only_that_is_judged(packet: bytes, longest: int) -> None:
    offloaded = without_length(packet) + b"more"
    read = read_packet(offloaded, len(offloaded))
    assert (len(read.whole), read.length) == (longest, longest + 4)
    assert read_headers(read.whole) is not None
    assert read.as_captured(read.whole) == offloaded


def test_a_length_of_0_before_another_protocol_of_ipv6_is_one() -> None:
    assert read_packet(ipv6(protocol=50) + b"more", 44).whole == ipv6(protocol=50)


def test_a_packet_without_length_and_headers_is_malformed() -> None:
    assert read_headers(read_packet(without_length(TCP_4)[:39], 39).whole) is None


# --- Any bytes ---------------------------------------------------------------------------

START = st.sampled_from([packet for packet, _ in WITH_HEADERS.values()] + list(ERRORS.values()))


@given(
    START, st.integers(0, 80), st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255))),
    st.integers(0, 70_000),
)  # fmt: skip
def test_nothing_that_decides_is_ever_invented(
    packet: bytes, size: int, changes: list[tuple[int, int]], wire: int
) -> None:
    data = bytearray(packet[:size])
    for at, value in changes:
        data[at : at + 1] = bytes([value])[: len(data[at : at + 1])]
    read = read_packet(bytes(data), wire)
    headers = read_headers(read.whole)
    assert headers is None or headers.transport <= len(read.captured)
    assert read.as_captured(read.whole) == read.captured
