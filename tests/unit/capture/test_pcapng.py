"""pcapng: sections, interfaces, packet blocks, and the damage that each can have."""

import io
import struct

import pytest

from firezone_filter.capture import pcapng
from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.formats import MAX_PACKET
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from tests.captures import (
    ByteOrder,
    block,
    enhanced,
    interface,
    option,
    packet_block,
    read_capture,
    section,
    simple,
)

TIME_RESOLUTION = 9
TIME_OFFSET = 14


def read(*blocks: bytes) -> list[Record]:
    return read_capture(b"".join(blocks))


def resolution(*value: int) -> bytes:
    return option(TIME_RESOLUTION, bytes(value))


def offset(seconds: int) -> bytes:
    return option(TIME_OFFSET, struct.pack("<q", seconds))


def time_of_tick(ticks: int, *options: bytes) -> int:
    return read(section(), interface(1, b"".join(options)), enhanced(b"E", ticks))[0].time_ns


# --- Packets -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_enhanced_packets_are_read_in_both_byte_orders(order: ByteOrder) -> None:
    blocks = section(order), interface(1, order=order), enhanced(b"EE", 17_000_001, order=order)
    assert read(*blocks) == [Record(17_000_001_000, 1, b"EE", 2)]


def test_the_older_packet_blocks_are_read() -> None:
    blocks = section(), interface(1), packet_block(b"EE", 17_000_001)
    assert read(*blocks) == [Record(17_000_001_000, 1, b"EE", 2)]


def test_a_simple_packet_has_the_time_of_the_packet_before() -> None:
    blocks = section(), interface(), enhanced(b"E", 17_000_000), simple(b"EE")
    assert read(*blocks)[1] == Record(17_000_000_000, 101, b"EE", 2)


def test_a_simple_packet_is_cut_at_the_snap_length() -> None:
    blocks = section(), interface(snap_length=2), simple(b"EE", wire_length=9)
    assert read(*blocks) == [Record(0, 101, b"EE", 9)]


def test_each_interface_has_its_own_link_type_and_resolution() -> None:
    interfaces = interface(1), interface(113, resolution(9))
    packets = enhanced(b"E", 5, number=1), enhanced(b"E", 5, number=0)
    records = read(section(), *interfaces, *packets)
    assert [(record.link_type, record.time_ns) for record in records] == [(113, 5), (1, 5000)]


def test_a_new_section_may_have_the_other_byte_order() -> None:
    later = section(">"), interface(1, order=">"), enhanced(b"E", 17, order=">")
    assert read(section(), interface(), *later) == [Record(17_000, 1, b"E", 1)]


def test_sections_may_lie_anywhere_in_what_is_read_at_once() -> None:
    data = (section() + interface() + enhanced(b"EEEEE")) * 30
    chunks = Capture(io.BytesIO(data)).chunks(lambda: 1)
    assert [one for frames in chunks for one in frames.records()] == read(data)


def test_blocks_without_packets_are_skipped() -> None:
    names, packet = block(4, bytes(8)), enhanced(b"E")
    assert len(read(section(), names, interface(), names, packet, names)) == 1


def test_the_longest_block_is_read() -> None:
    assert read(section(), block(5, bytes(pcapng.MAX_BLOCK - 12))) == []


def test_as_many_interfaces_as_a_packet_block_can_number_are_read() -> None:
    last = packet_block(b"E", number=pcapng.MAX_INTERFACES - 1)
    assert len(read(section(), interface() * pcapng.MAX_INTERFACES, last)) == 1


# --- Times -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticks", "options", "time_ns"),
    [
        pytest.param(3, [], 3_000, id="microseconds by default"),
        pytest.param(3, [resolution(0)], 3_000_000_000, id="10^0"),
        pytest.param(3, [resolution(3)], 3_000_000, id="10^-3"),
        pytest.param(3, [resolution(9)], 3, id="10^-9"),
        pytest.param(3, [resolution(12)], 0, id="10^-12"),
        pytest.param(3, [resolution(0x80)], 3_000_000_000, id="2^0"),
        pytest.param(3 << 30 | 1 << 29, [resolution(0x9E)], 3_500_000_000, id="2^-30"),
        pytest.param(3, [offset(17)], 17_000_003_000, id="offset"),
        pytest.param(3_000_000, [offset(-1)], 2_000_000_000, id="negative offset"),
        pytest.param(3, [option(0, b""), resolution(9)], 3_000, id="end of options"),
        pytest.param(3, [option(1, b"\xff\xfe"), resolution(9)], 3, id="comment of any bytes"),
    ],
)
def test_options_give_the_resolution_and_the_offset_of_time(
    ticks: int, options: list[bytes], time_ns: int
) -> None:
    assert time_of_tick(ticks, *options) == time_ns


@pytest.mark.parametrize(
    ("ticks", "seconds"), [(0, -1), (0, 2**63 - 1), (2**64 - 1, 0)], ids=["1969", "late", "later"]
)
def test_a_time_of_any_year_is_read(ticks: int, seconds: int) -> None:
    expected = ticks * 1_000 + seconds * 1_000_000_000
    assert time_of_tick(ticks, offset(seconds)) == expected


# --- Sections ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(1, 0), (1, 2)])
def test_the_versions_in_use_are_read(version: tuple[int, int]) -> None:
    assert read(section(version=version)) == []


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (section(version=(1, 1)), "pcapng version 1.1 is not supported"),
        (section(version=(2, 0)), "pcapng version 2.0 is not supported"),
        (section()[:7], "no capture can be read: it is cut short at byte 7"),
        (
            section()[:8] + bytes(20),
            "no capture can be read: a section of it has no byte order",
        ),
        (
            block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)),
            "no capture can be read: the block before byte 16 is too short for its kind",
        ),
    ],
)
def test_a_bad_first_section_is_no_capture(data: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableCaptureError) as caught:
        read(data)
    assert str(caught.value) == complaint


# --- Damage ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        *(
            # A section of 28 bytes and an interface of 20 come before.
            pytest.param(
                enhanced(b"E")[:left], f"it is cut short at byte {48 + left}", id=f"{left}"
            )
            for left in (3, 4, 7, 8, 32)
        ),
        *(
            pytest.param(
                struct.pack("<II", 5, length) + bytes(16),
                f"the block before byte 56 claims {length} bytes",
                id=f"length {length}",
            )
            for length in (0, 8, 13, pcapng.MAX_BLOCK + 4)
        ),
        pytest.param(
            block(5, b"")[:-1] + b"\x01",
            "the block before byte 60 ends with another length than it begins with",
            id="two lengths",
        ),
        *(
            pytest.param(
                block(kind, b""), "the block before byte 60 is too short for its kind", id=kind_of
            )
            for kind, kind_of in ((1, "interface"), (2, "older"), (3, "simple"), (6, "enhanced"))
        ),
        pytest.param(
            enhanced(b"E", captured=5),
            "the block before byte 84 is too short for a packet of 5 bytes",
            id="longer than its block",
        ),
        pytest.param(
            enhanced(b"E", captured=MAX_PACKET + 1),
            f"the packet before byte 84 claims {MAX_PACKET + 1} bytes",
            id="longer than any packet",
        ),
        pytest.param(
            enhanced(b"E", number=1),
            "the block before byte 84 is of interface 1, which nothing describes",
            id="unknown interface",
        ),
        pytest.param(
            packet_block(b"E", number=1),
            "the block before byte 84 is of interface 1, which nothing describes",
            id="unknown interface, older block",
        ),
        pytest.param(
            section() + enhanced(b"E"),
            "the block before byte 112 is of interface 0, which nothing describes",
            id="interface of the section before",
        ),
        pytest.param(
            interface(1, struct.pack("<HH", 1, 9) + bytes(4)),
            "the block before byte 76 has an option that is longer than itself",
            id="long option",
        ),
        pytest.param(
            interface(1, resolution(9, 9)),
            "the block before byte 76 has a time resolution that is not one byte",
            id="resolution of two bytes",
        ),
        pytest.param(
            interface(1, option(TIME_OFFSET, bytes(4))),
            "the block before byte 76 has a time offset that is not eight bytes",
            id="offset of four bytes",
        ),
        pytest.param(
            interface() * pcapng.MAX_INTERFACES,
            "the block before byte 1310768 is more than the 65536th interface",
            id="too many interfaces",
        ),
    ],
)
def test_damage_is_located(blocks: bytes, complaint: str) -> None:
    with pytest.raises(DamagedCaptureError) as caught:
        read(section(), interface(), blocks)
    assert str(caught.value) == complaint
