"""Classic capture files, and what is no capture at all."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.errors import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.formats import MAX_PACKET
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from tests.captures import ByteOrder, interface, pcap, pcap_header, pcap_record, section, simple

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


class BrokenDisk(io.BytesIO):
    """Fails after what it holds has been read."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError(5, "Input/output error")
        return data


def read(data: bytes) -> list[Record]:
    return list(Capture(io.BytesIO(data)))


def unusable(data: bytes) -> str:
    with pytest.raises(UnreadableCaptureError) as caught:
        Capture(io.BytesIO(data))
    return str(caught.value)


def damaged(data: bytes) -> tuple[int, str]:
    """Return how many records were good, and the complaint after them."""
    good = 0
    with pytest.raises(DamagedCaptureError) as caught:
        for good, _ in enumerate(Capture(io.BytesIO(data)), 1):  # noqa: B007 - read afterwards
            pass
    return good, str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
def test_microseconds_are_read_in_both_byte_orders(order: ByteOrder) -> None:
    data = pcap_header(order) + pcap_record(b"E", 17, 999_999, order=order)
    assert read(data) == [Record(17_999_999_000, 101, b"E", 1)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_nanoseconds_are_read_in_both_byte_orders(order: ByteOrder) -> None:
    data = pcap_header(order, magic=0xA1B23C4D) + pcap_record(b"E", 17, 999_999_999, order=order)
    assert read(data) == [Record(17_999_999_999, 101, b"E", 1)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_modified_captures_with_longer_packet_headers_are_read(order: ByteOrder) -> None:
    record = pcap_record(b"E", 17, 1, order=order)
    data = pcap_header(order, magic=0xA1B2CD34) + record[:16] + bytes(8) + record[16:]
    assert read(data) == [Record(17_000_001_000, 101, b"E", 1)]


def test_a_capture_without_packets_is_a_capture() -> None:
    assert read(pcap()) == []


def test_seconds_are_the_nearest_float_to_the_nanoseconds() -> None:
    assert Record(1_700_000_000_123_456_789, 1, b"", 0).seconds == 1_700_000_000.123456789


def test_a_frame_with_all_its_bytes_is_not_cut() -> None:
    assert not Record(0, 101, b"E", 1).is_cut


def test_a_frame_with_fewer_bytes_than_it_had_is_cut() -> None:
    data = pcap_header() + pcap_record(b"E", wire_length=2)
    assert read(data)[0].is_cut


def test_the_bits_about_check_sequences_are_no_part_of_the_link_type() -> None:
    data = pcap_header(link_type=0x5000_0001) + pcap_record(b"E")
    assert read(data)[0].link_type == 1


def test_the_link_type_of_a_pcap_is_known_at_once() -> None:
    assert Capture(io.BytesIO(pcap(link_type=113))).link_type == 113


def test_the_link_type_of_a_pcapng_is_not_one() -> None:
    assert Capture(io.BytesIO(section() + interface())).link_type is None


def test_the_position_is_that_of_what_was_read() -> None:
    capture = Capture(io.BytesIO(pcap(b"E", b"EE")))
    next(iter(capture))
    assert capture.position == 24 + 17


def test_what_comes_before_a_cut_is_good() -> None:
    assert damaged(pcap(b"EEEE", b"EEEE")[:-1]) == (1, "it is cut short at byte 63")


def test_a_cut_between_the_fields_of_a_packet_is_noticed() -> None:
    assert damaged(pcap(b"EEEE") + b"\0\0") == (1, "it is cut short at byte 46")


def test_the_longest_packet_is_read() -> None:
    assert len(read(pcap(bytes(MAX_PACKET)))[0].frame) == MAX_PACKET


def test_a_length_that_no_packet_has_is_damage() -> None:
    good, complaint = damaged(pcap(b"E", bytes(MAX_PACKET + 1)))
    assert (good, complaint) == (1, "the packet before byte 57 claims 262145 bytes")


def test_the_last_moment_that_a_capture_can_tell_is_read() -> None:
    data = pcap_header() + pcap_record(b"E", 0xFFFF_FFFF, 999_999)
    assert read(data)[0].time_ns == 4_294_967_295_999_999_000


def test_a_time_beyond_what_a_capture_can_tell_is_damage() -> None:
    data = pcap(b"E") + pcap_record(b"E", 0xFFFF_FFFF, 1_000_000)
    assert damaged(data) == (1, "packet 2 is not of the years 1970 to 2106")


def test_a_disk_that_fails_is_damage() -> None:
    with pytest.raises(DamagedCaptureError, match=r"^reading stops: Input/output error$"):
        list(Capture(BrokenDisk(pcap(b"E"))))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a capture: it is empty"),
        (b"\x1f\x8b\x08\x00", "not a capture: compressed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "not a capture: compressed with zstd; unpack it first"),
        (b"\xfd7zXZ\x00", "not a capture: compressed with xz; unpack it first"),
        (b"snoop\0\0\0", "not a capture: a snoop capture; only pcap and pcapng are supported"),
        (b"{}", "not a capture: it is neither pcap nor pcapng"),
    ],
)
def test_what_is_no_capture_is_called_by_its_name(data: bytes, complaint: str) -> None:
    assert unusable(data) == complaint


def test_a_header_that_is_cut_short_is_no_capture() -> None:
    assert unusable(pcap()[:23]) == "no capture can be read: it is cut short at byte 23"


@pytest.mark.parametrize("version", [(2, 3), (1, 4), (3, 0)])
def test_other_versions_are_not_supported(version: tuple[int, int]) -> None:
    complaint = f"pcap version {version[0]}.{version[1]} is not supported"
    assert unusable(pcap_header(version=version)) == complaint


def test_a_later_minor_version_is_read() -> None:
    assert read(pcap_header(version=(2, 5)) + pcap_record(b"E"))[0].frame == b"E"


def test_pcapng_is_recognized() -> None:
    assert read(section() + interface() + simple(b"EEEE")) == [Record(0, 101, b"EEEE", 4)]


def readable(data: bytes) -> bool:
    """Return whether *data* is a capture that ends well."""
    try:
        read(data)
    except (DamagedCaptureError, UnreadableCaptureError):
        return False
    return True


BEGINNINGS = [
    b"",
    pcap_header(),
    pcap_header(">", magic=0xA1B23C4D),
    section(),
    section() + interface(),
    section(">") + interface(order=">"),
]


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(beginning: bytes, rest: bytes) -> None:
    assert readable(beginning + rest) in {True, False}


@pytest.mark.parametrize(
    ("capture", "ends"),
    [
        pytest.param(pcap(b"EEE", b"EE"), [24, 43, 61], id="pcap"),
        pytest.param(section() + interface() + simple(b"EEEE"), [28, 48, 68], id="pcapng"),
    ],
)
def test_a_capture_ends_well_only_between_packets(capture: bytes, ends: list[int]) -> None:
    assert [size for size in range(len(capture) + 1) if readable(capture[:size])] == ends


@pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")
@pytest.mark.parametrize("name", REAL)
def test_every_packet_of_a_real_capture_is_read(name: str) -> None:
    with (CAPTURES / name).open("rb") as stream:
        assert sum(1 for _ in Capture(stream)) == REAL[name]
