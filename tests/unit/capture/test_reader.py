"""Classic capture files, and files that are no capture."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.formats import MAX_PACKET
from firezone_filter.capture.frames import CHUNK_FRAMES
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from firezone_filter.capture.walk import walk_pcap
from tests.captures import (
    ByteOrder,
    enhanced,
    interface,
    pcap,
    pcap_header,
    pcap_record,
    read_capture,
    section,
    simple,
)

CAPTURES = Path(__file__).parents[4] / "shared/captures"
REAL = {
    "sites.pcapng": 699,
    "quic.pcap": 518,
    "http_ipv6.pcap": 193,
    "dnscrypt-v1-and-resolver-pings.pcap": 608,
    "dns_fragmented.pcap": 66,
    "ip_fragmented_garbage.pcap": 1252,
    "6in4tunnel.pcap": 127,
    "sctp.cap": 4,
    "fuzz-2006-09-29-28586.pcap": 131,
    "malformed_icmp.pcap": 1,
}
"""The number of packets in each."""

MICROSECONDS, NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D


class BrokenDisk(io.BytesIO):
    """Fails when all its data has been read."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError(5, "Input/output error")
        return data

    read1 = read


def read(data: bytes) -> list[Record]:
    return read_capture(data)


# --- Records -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "ticks", "time_ns"),
    [(MICROSECONDS, 999_999, 17_999_999_000), (NANOSECONDS, 999_999_999, 17_999_999_999)],
    ids=["microseconds", "nanoseconds"],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_resolutions_are_read_in_both_byte_orders(
    order: ByteOrder, magic: int, ticks: int, time_ns: int
) -> None:
    data = pcap_header(order, magic=magic) + pcap_record(b"E", 17, ticks, order=order)
    assert read(data) == [Record(time_ns, 101, b"E", 1)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_modified_captures_with_longer_packet_headers_are_read(order: ByteOrder) -> None:
    record = pcap_record(b"E", 17, 1, order=order)
    data = pcap_header(order, magic=0xA1B2CD34) + record[:16] + bytes(8) + record[16:]
    assert read(data) == [Record(17_000_001_000, 101, b"E", 1)]


def test_seconds_are_the_nearest_float_to_the_nanoseconds() -> None:
    assert Record(1_700_000_000_123_456_789, 1, b"", 0).seconds == 1_700_000_000.123456789


@pytest.mark.parametrize("wire_length", [0, 1, 2, 0xFFFF_FFFF])
def test_the_original_length_is_read_whatever_it_is(wire_length: int) -> None:
    data = pcap_header() + pcap_record(b"E", wire_length=wire_length)
    assert read(data)[0].wire_length == wire_length


def test_bits_about_check_sequences_are_no_part_of_the_link_type() -> None:
    data = pcap_header(link_type=0x5000_0001) + pcap_record(b"E")
    assert read(data)[0].link_type == 1


@pytest.mark.parametrize(
    ("data", "link_type"),
    [(pcap(link_type=113), 113), (section() + interface(), None)],
    ids=["pcap", "pcapng"],
)
def test_only_a_pcap_has_one_link_type(data: bytes, link_type: int | None) -> None:
    assert Capture(io.BytesIO(data)).link_type == link_type


def test_the_position_is_behind_the_last_record_read() -> None:
    capture = Capture(io.BytesIO(pcap(b"E", b"EE")))
    next(iter(capture))
    assert capture.position == 24 + 17


def test_the_longest_packet_is_read() -> None:
    assert len(read(pcap(bytes(MAX_PACKET)))[0].frame) == MAX_PACKET


@pytest.mark.parametrize("ticks", [999_999, 1_000_000, 0xFFFF_FFFF])
def test_a_fraction_of_any_size_is_read(ticks: int) -> None:
    data = pcap_header() + pcap_record(b"E", 0xFFFF_FFFF, ticks)
    assert read(data)[0].time_ns == 4_294_967_295_000_000_000 + ticks * 1_000


# --- Damage ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "complaint"),
    [
        (io.BytesIO, pcap(b"EEEE", b"EEEE")[:-1], "it is cut short at byte 63"),
        (io.BytesIO, pcap(b"EEEE") + b"\0\0", "it is cut short at byte 46"),
        (
            io.BytesIO,
            pcap(b"E", bytes(MAX_PACKET + 1)),
            "the packet before byte 57 claims 262145 bytes",
        ),
        (BrokenDisk, pcap(b"E"), "reading stops: Input/output error"),
    ],
    ids=["cut frame", "cut header", "too long", "broken disk"],
)
def test_records_before_the_damage_are_good(
    kind: type[io.BytesIO], data: bytes, complaint: str
) -> None:
    good = 0
    with pytest.raises(DamagedCaptureError) as caught:
        for good, _ in enumerate(Capture(kind(data)), 1):  # noqa: B007 - read afterwards
            pass
    assert (good, str(caught.value)) == (1, complaint)


def test_what_came_before_a_disk_broke_is_good_in_chunks_too() -> None:
    chunks = Capture(BrokenDisk(pcap(b"E") + b"more")).chunks()
    assert [one.frame for one in next(chunks).records()] == [b"E"]
    with pytest.raises(DamagedCaptureError, match="reading stops: Input/output error"):
        next(chunks)


def test_a_disk_that_is_broken_from_the_start_is_diagnosed() -> None:
    with pytest.raises(UnreadableCaptureError, match="no capture can be read: reading stops"):
        Capture(BrokenDisk())


@pytest.mark.parametrize(
    "data",
    [
        pcap_header() + pcap_record(b"") * (CHUNK_FRAMES + 1),
        section() + interface() + enhanced(b"") * (CHUNK_FRAMES + 1),
    ],
    ids=["pcap", "pcapng"],
)
def test_a_chunk_has_so_many_frames_at_most(data: bytes) -> None:
    chunks = list(Capture(io.BytesIO(data)).chunks())
    assert [(len(one), one.first_number) for one in chunks] == [
        (CHUNK_FRAMES, 1),
        (1, CHUNK_FRAMES + 1),
    ]
    assert len(read(data)) == CHUNK_FRAMES + 1


def test_places_beyond_the_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="there are not so many bytes or frames"):
        walk_pcap(np.empty(9, np.uint8), 0, 10, np.empty((5, 1), np.int64), 0, 16, False, 1)  # noqa: FBT003


# --- Files that cannot be read -----------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a capture: it is empty"),
        (b"\x1f\x8b\x08\x00", "no capture can be read: the compressed data is cut short"),
        (b"BZh91AY&SY", "not a capture: compressed with bzip2; unpack it first"),
        (b"snoop\0\0\0", "not a capture: a snoop capture; only pcap and pcapng are supported"),
        (b"{}", "not a capture: it is neither pcap nor pcapng"),
        (pcap()[:23], "no capture can be read: it is cut short at byte 23"),
        (pcap_header(version=(2, 3)), "pcap version 2.3 is not supported"),
        (pcap_header(version=(1, 4)), "pcap version 1.4 is not supported"),
        (pcap_header(version=(3, 0)), "pcap version 3.0 is not supported"),
    ],
)
def test_an_unreadable_file_is_diagnosed(data: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableCaptureError) as caught:
        Capture(io.BytesIO(data))
    assert str(caught.value) == complaint


def test_a_later_minor_version_is_read() -> None:
    assert read(pcap_header(version=(2, 5)) + pcap_record(b"E"))[0].frame == b"E"


def test_pcapng_is_recognized() -> None:
    assert read(section() + interface() + simple(b"EEEE")) == [Record(0, 101, b"EEEE", 4)]


# --- Any bytes ---------------------------------------------------------------------------


def is_whole(data: bytes) -> bool:
    """Tell whether *data* is a capture without damage."""
    try:
        read(data)
    except (DamagedCaptureError, UnreadableCaptureError):
        return False
    return True


BEGINNINGS = [
    b"",
    pcap_header(),
    pcap_header(">", magic=NANOSECONDS),
    section(),
    section() + interface(),
    section(">") + interface(order=">"),
]


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(beginning: bytes, rest: bytes) -> None:
    assert is_whole(beginning + rest) in {True, False}


@pytest.mark.parametrize(
    ("capture", "ends"),
    [
        pytest.param(pcap(b"EEE", b"EE"), [24, 43, 61], id="pcap"),
        pytest.param(section() + interface() + simple(b"EEEE"), [28, 48, 68], id="pcapng"),
    ],
)
def test_a_capture_is_whole_only_between_packets(capture: bytes, ends: list[int]) -> None:
    assert [size for size in range(len(capture) + 1) if is_whole(capture[:size])] == ends


@pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")
@pytest.mark.parametrize("name", REAL)
def test_every_packet_of_a_real_capture_is_read(name: str) -> None:
    with (CAPTURES / name).open("rb") as stream:
        assert sum(1 for _ in Capture(stream)) == REAL[name]
