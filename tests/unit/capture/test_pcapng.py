"""pcapng: sections, interfaces, packet blocks, and what can be wrong with each."""

import io
import struct

import pytest

from firezone_filter.capture import pcapng
from firezone_filter.capture.errors import DamagedCaptureError, UnreadableCaptureError
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
    section,
    simple,
)

TIME_RESOLUTION = 9
TIME_OFFSET = 14


def read(*blocks: bytes) -> list[Record]:
    return list(Capture(io.BytesIO(b"".join(blocks))))


def time_of_tick(ticks: int, *options: bytes) -> int:
    return read(section(), interface(1, b"".join(options)), enhanced(b"E", ticks))[0].time_ns


def damage(*blocks: bytes) -> str:
    """Return the complaint about *blocks*, which follow a section with one interface."""
    with pytest.raises(DamagedCaptureError) as caught:
        read(section(), interface(), *blocks)
    return str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
def test_enhanced_packets_are_read_in_both_byte_orders(order: ByteOrder) -> None:
    blocks = section(order), interface(1, order=order), enhanced(b"EE", 17_000_001, order=order)
    assert read(*blocks) == [Record(17_000_001_000, 1, b"EE", 2)]


def test_the_older_packet_blocks_are_read() -> None:
    blocks = section(), interface(1), packet_block(b"EE", 17_000_001)
    assert read(*blocks) == [Record(17_000_001_000, 1, b"EE", 2)]


def test_a_simple_packet_comes_at_the_time_of_the_one_before() -> None:
    blocks = section(), interface(), enhanced(b"E", 17_000_000), simple(b"EE")
    assert read(*blocks)[1] == Record(17_000_000_000, 101, b"EE", 2)


def test_a_simple_packet_is_cut_at_the_snap_length() -> None:
    blocks = section(), interface(snap_length=2), simple(b"EE", wire_length=9)
    assert read(*blocks) == [Record(0, 101, b"EE", 9)]


def test_each_interface_has_its_own_link_type() -> None:
    packets = enhanced(b"E", number=1), enhanced(b"E", number=0)
    records = read(section(), interface(1), interface(113), *packets)
    assert [record.link_type for record in records] == [113, 1]


def test_each_interface_has_its_own_clock() -> None:
    clocks = interface(), interface(1, option(TIME_RESOLUTION, b"\x09"))
    records = read(section(), *clocks, enhanced(b"E", 5, number=0), enhanced(b"E", 5, number=1))
    assert [record.time_ns for record in records] == [5000, 5]


def test_a_new_section_forgets_the_interfaces() -> None:
    with pytest.raises(DamagedCaptureError, match=r"of interface 0, which nothing describes$"):
        read(section(), interface(), section(), enhanced(b"E"))


def test_a_new_section_may_have_the_other_byte_order() -> None:
    later = section(">"), interface(1, order=">"), enhanced(b"E", 17, order=">")
    assert read(section(), interface(), *later) == [Record(17_000, 1, b"E", 1)]


def test_time_is_in_microseconds_unless_said() -> None:
    assert time_of_tick(3) == 3_000


@pytest.mark.parametrize(
    ("resolution", "time_ns"),
    [(0, 3_000_000_000), (3, 3_000_000), (9, 3), (12, 0), (0x80, 3_000_000_000)],
)
def test_time_resolution_is_a_power_of_ten(resolution: int, time_ns: int) -> None:
    assert time_of_tick(3, option(TIME_RESOLUTION, bytes([resolution]))) == time_ns


def test_time_resolution_may_be_a_power_of_two() -> None:
    assert time_of_tick(3 << 30 | 1 << 29, option(TIME_RESOLUTION, b"\x9e")) == 3_500_000_000


def test_the_time_offset_is_added_in_seconds() -> None:
    assert time_of_tick(3, option(TIME_OFFSET, struct.pack("<q", 17))) == 17_000_003_000


def test_the_time_offset_may_be_negative() -> None:
    assert time_of_tick(3_000_000, option(TIME_OFFSET, struct.pack("<q", -1))) == 2_000_000_000


def test_a_time_before_1970_is_damage() -> None:
    with pytest.raises(DamagedCaptureError, match=r"^packet 1 is not of the years 1970 to 2106$"):
        time_of_tick(0, option(TIME_OFFSET, struct.pack("<q", -1)))


def test_options_end_where_they_say() -> None:
    assert time_of_tick(3, option(0, b""), option(TIME_RESOLUTION, b"\x09")) == 3_000


def test_a_comment_that_is_no_text_costs_nothing() -> None:
    assert time_of_tick(3, option(1, b"\xff\xfe"), option(TIME_RESOLUTION, b"\x09")) == 3


def test_blocks_without_packets_are_skipped() -> None:
    names, packet = block(4, bytes(8)), enhanced(b"E")
    assert len(read(section(), names, interface(), names, packet, names)) == 1


@pytest.mark.parametrize("version", [(1, 0), (1, 2)])
def test_the_versions_that_exist_are_read(version: tuple[int, int]) -> None:
    assert read(section(version=version)) == []


@pytest.mark.parametrize("version", [(1, 1), (2, 0)])
def test_other_versions_are_not_supported(version: tuple[int, int]) -> None:
    with pytest.raises(UnreadableCaptureError, match=r"^pcapng version \d\.\d is not supported$"):
        read(section(version=version))


def test_a_first_section_that_is_cut_short_is_no_capture() -> None:
    with pytest.raises(
        UnreadableCaptureError, match=r"^no capture can be read: it is cut short at byte 7$"
    ):
        read(section()[:7])


def test_a_section_without_byte_order_is_no_capture() -> None:
    with pytest.raises(UnreadableCaptureError, match=r"a section of it has no byte order$"):
        read(section()[:8] + bytes(20))


def test_a_section_that_is_too_short_is_no_capture() -> None:
    with pytest.raises(UnreadableCaptureError, match=r"is too short for its kind$"):
        read(block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)))


@pytest.mark.parametrize("left", [3, 4, 7, 8, 32])
def test_a_block_that_is_cut_short_is_damage(left: int) -> None:
    # 28 bytes of section and 20 of interface stand before it.
    assert damage(enhanced(b"E")[:left]) == f"it is cut short at byte {48 + left}"


@pytest.mark.parametrize("length", [0, 8, 13, pcapng.MAX_BLOCK + 4])
def test_a_length_that_no_block_has_is_damage(length: int) -> None:
    complaint = f"the block before byte 56 claims {length} bytes"
    assert damage(struct.pack("<II", 5, length) + bytes(16)) == complaint


def test_the_longest_block_is_read() -> None:
    assert read(section(), block(5, bytes(pcapng.MAX_BLOCK - 12))) == []


def test_two_lengths_that_differ_are_damage() -> None:
    bad = block(5, b"")[:-1] + b"\x01"
    assert damage(bad).endswith("ends with another length than it begins with")


@pytest.mark.parametrize("kind", [1, 2, 3, 6])
def test_a_block_without_its_fields_is_damage(kind: int) -> None:
    assert damage(block(kind, b"")).endswith("is too short for its kind")


def test_a_packet_that_is_longer_than_its_block_is_damage() -> None:
    assert damage(enhanced(b"E", captured=5)).endswith("is too short for a packet of 5 bytes")


def test_a_length_that_no_packet_has_is_damage() -> None:
    assert damage(enhanced(b"E", captured=MAX_PACKET + 1)).endswith(
        f"claims {MAX_PACKET + 1} bytes"
    )


@pytest.mark.parametrize("packet", [enhanced(b"E", number=1), packet_block(b"E", number=1)])
def test_a_packet_of_an_unknown_interface_is_damage(packet: bytes) -> None:
    assert damage(packet).endswith("is of interface 1, which nothing describes")


def test_an_option_that_is_longer_than_its_block_is_damage() -> None:
    bad = interface(1, struct.pack("<HH", 1, 9) + bytes(4))
    assert damage(bad).endswith("has an option that is longer than itself")


def test_a_time_resolution_of_two_bytes_is_damage() -> None:
    bad = interface(1, option(TIME_RESOLUTION, b"\x09\x09"))
    assert damage(bad).endswith("has a time resolution that is not one byte")


def test_a_time_offset_of_four_bytes_is_damage() -> None:
    bad = interface(1, option(TIME_OFFSET, bytes(4)))
    assert damage(bad).endswith("has a time offset that is not eight bytes")


def test_as_many_interfaces_as_a_packet_block_can_name_are_read() -> None:
    last = packet_block(b"E", number=pcapng.MAX_INTERFACES - 1)
    assert len(read(section(), interface() * pcapng.MAX_INTERFACES, last)) == 1


def test_more_interfaces_than_a_packet_block_can_name_are_damage() -> None:
    complaint = damage(interface() * pcapng.MAX_INTERFACES)
    assert complaint.endswith("is more than the 65536th interface")
