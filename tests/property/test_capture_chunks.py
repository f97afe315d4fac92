"""Captures read in chunks are those read record by record, whole, cut or damaged."""

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture import (
    Capture,
    DamagedCaptureError,
    Frames,
    Record,
    UnreadableCaptureError,
)
from firezone_filter.capture.frames import clamped
from tests.captures import ByteOrder, block, interface, option, pcap_header, pcap_record, section
from tests.unit.capture.test_compression import gzip_member, lz4_frame, xz_stream, zstd_frame

CAPTURES = Path(__file__).parents[3] / "shared/captures"

ORDERS: st.SearchStrategy[ByteOrder] = st.sampled_from(["<", ">"])
WORDS = st.integers(0, 2**32 - 1)
USUAL_TICKS = st.integers(1_700_000_000_000_000, 1_700_000_000_000_999)
FRAMES = st.binary(max_size=40)

Read = tuple[list[Record], str | None]


class Trickle(io.BytesIO):
    """Gives a few bytes at a time, like a pipe."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        super().__init__(data)
        self._sizes = sizes or [1 << 20]
        self._turn = 0

    def read1(self, size: int | None = -1) -> bytes:
        self._turn += 1
        few = self._sizes[self._turn % len(self._sizes)]
        return self.read(few if size is None or size < 0 else min(few, size))


def by_records(data: bytes, sizes: Sequence[int] = ()) -> Read:
    """Return all records, with times of 64 bits, and the complaint at the end."""
    records: list[Record] = []
    try:
        capture = Capture(Trickle(data, sizes))
        records.extend(evolve(one, time_ns=clamped(one.time_ns)) for one in capture)
    except (DamagedCaptureError, UnreadableCaptureError) as error:
        return records, str(error)
    return records, None


def by_chunks(data: bytes, size: int, sizes: Sequence[int]) -> Read:
    records: list[Record] = []
    try:
        for frames in Capture(Trickle(data, sizes)).chunks(lambda: size):
            assert len(frames) > 0
            assert frames.first_number == len(records) + 1
            records.extend(frames.records())
    except (DamagedCaptureError, UnreadableCaptureError) as error:
        return records, str(error)
    return records, None


@st.composite
def pcaps(draw: st.DrawFn) -> bytes:
    order = draw(ORDERS)
    magic = draw(st.sampled_from([0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34]))
    data = pcap_header(order, magic=magic, link_type=draw(st.sampled_from([1, 101])))
    for frame in draw(st.lists(FRAMES, max_size=30)):
        wire = draw(st.none() | WORDS)
        one = pcap_record(frame, draw(WORDS), draw(WORDS), order=order, wire_length=wire)
        more = bytes(8) if magic == 0xA1B2CD34 else b""
        data += one[:16] + more + one[16:]
    return data


@st.composite
def interfaces(draw: st.DrawFn, order: ByteOrder) -> bytes:
    options = b""
    resolution = draw(st.none() | st.sampled_from([0, 3, 6, 9, 12, 25, 0x80, 0x9E, 0xA8, 0xFF]))
    if resolution is not None:
        options += option(9, bytes([resolution]), order)
    offset = draw(st.none() | st.sampled_from([0, 17, -17, 2**62, -(2**63)]))
    if offset is not None:
        options += option(14, struct.pack(order + "q", offset), order)
    snap = draw(st.sampled_from([0, 10]))
    return interface(draw(st.sampled_from([1, 101])), options, order=order, snap_length=snap)


@st.composite
def packets(draw: st.DrawFn, order: ByteOrder, interface_count: int) -> bytes:
    frame, kind = draw(FRAMES), draw(st.sampled_from([6, 6, 6, 6, 2, 3, 4]))
    number = draw(st.integers(0, interface_count))
    number -= number == interface_count > 0 and draw(st.integers(0, 9)) > 0
    ticks = draw(USUAL_TICKS | st.integers(0, 2**64 - 1))
    times = ticks >> 32, ticks & 0xFFFF_FFFF
    wire = draw(st.just(len(frame)) | WORDS)
    if kind == 6:
        head = struct.pack(order + "IIIII", number, *times, len(frame), wire)
        return block(6, head + frame, order)
    if kind == 2:
        head = struct.pack(order + "HHIIII", number, 0, *times, len(frame), wire)
        return block(2, head + frame, order)
    if kind == 3:
        return block(3, struct.pack(order + "I", len(frame)) + frame, order)
    return block(4, frame, order)


@st.composite
def pcapngs(draw: st.DrawFn) -> bytes:
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        order, count = draw(ORDERS), 0
        data += section(order)
        for _ in range(draw(st.integers(0, 3))):
            for _ in range(draw(st.integers(0, 2))):
                data += draw(interfaces(order))
                count += 1
            for _ in range(draw(st.integers(0, 12)) if count else 0):
                data += draw(packets(order, count))
    return data


@st.composite
def damaged(draw: st.DrawFn, captures: st.SearchStrategy[bytes]) -> bytes:
    data = draw(captures)
    how = draw(st.sampled_from(["whole", "whole", "cut", "changed"]))
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if how == "changed":
        at = draw(st.integers(0, len(data) - 1))
        return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
    return data


PACKERS: list[Callable[[bytes], bytes]] = [gzip_member, zstd_frame, xz_stream, lz4_frame]


@given(damaged(pcaps() | pcapngs()), st.integers(1, 400), st.lists(st.integers(1, 300)))
def test_chunks_are_the_records(data: bytes, size: int, sizes: list[int]) -> None:
    assert by_chunks(data, size, sizes) == by_records(data)


@given(
    damaged(st.builds(lambda data, pack: pack(data), pcaps(), st.sampled_from(PACKERS))),
    st.lists(st.integers(1, 300)),
)
def test_so_they_are_of_a_compressed_capture(data: bytes, sizes: list[int]) -> None:
    # (Damaged bytes cost what is unpacked together with them, so both get them in equal pieces.)
    assert by_chunks(data, 200, sizes) == by_records(data, sizes)


@pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")
@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*cap*")), ids=lambda path: path.name)
@pytest.mark.parametrize("size", [300, 20_000, 8 << 20])
def test_so_they_are_of_a_real_capture(path: Path, size: int) -> None:
    data = path.read_bytes()
    assert by_chunks(data, size, []) == by_records(data)
    cut = data[: len(data) * 2 // 3]
    assert by_chunks(cut, size, []) == by_records(cut)


def test_a_chunk_says_the_same_in_all_its_forms() -> None:
    data = pcap_header() + pcap_record(b"EE") + pcap_record(b"")
    frames: Frames = next(Capture(io.BytesIO(data)).chunks())
    assert frames.numbers.tolist() == [1, 2]
    assert frames.link_types.tolist() == [101, 101]
    assert [one.frame for one in frames.records()] == [b"EE", b""]
