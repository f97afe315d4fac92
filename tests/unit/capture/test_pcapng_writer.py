"""What is written as pcapng, read back by our reader and by Wireshark's."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from firezone_filter.capture.interface import Interface, ticks_per_second
from firezone_filter.capture.pcapng_writer import PcapngWriter
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import NS_PER_S, TIME_END_NS
from tests.captures import ALLOWED, ETHERNET, RAW, enhanced, ethernet, interface, option, section

TSHARK = shutil.which("tshark")
NAMED = Interface(ETHERNET, 96, 9, ((2, b"eth0"), (3, b"to the office"), (13, b"\4")))
TIME_NS = 1_700_000_000_123_456_789


def test_each_frame_is_read_as_it_was_written() -> None:
    stream = io.BytesIO()
    writer = PcapngWriter(stream)
    frames = [(NAMED, b"abc", 3), (Interface(RAW), ALLOWED, 60), (NAMED, b"", 0)]
    for kept, frame, length in frames:
        writer.write(kept, TIME_NS // 1000 * 1000, frame, length, "drop icmp")
    stream.seek(0)
    records = list(Capture(stream))
    assert [(one.interface, one.frame, one.wire_length) for one in records] == frames
    assert {one.time_ns for one in records} == {TIME_NS // 1000 * 1000}


@pytest.mark.parametrize("seconds", [0, 1, 1_700_000_000, TIME_END_NS // NS_PER_S - 1])
@pytest.mark.parametrize("resolution", [0, 3, 6, 7, 9, 0x9E, 0x80, 0x8A, 0x94, 0x9D, 0xA0])
def test_a_time_survives_at_any_resolution(resolution: int, seconds: int) -> None:
    per_second = ticks_per_second(resolution)
    ticks = seconds * per_second + per_second // 7
    options = option(9, bytes([resolution])) + option(2, b"en0") + option(0, b"")
    given = section() + interface(RAW, options) + enhanced(ALLOWED, ticks)
    (record,) = Capture(io.BytesIO(given))
    assert record.interface is not None
    stream = io.BytesIO()
    PcapngWriter(stream).write(record.interface, record.time_ns, record.frame, 40)
    stream.seek(0)
    (again,) = Capture(stream)
    assert again == record
    assert again.interface is not None
    assert again.interface.options == ((2, b"en0"),)


def test_a_comment_of_any_length_is_cut_between_two_characters() -> None:
    stream = io.BytesIO()
    PcapngWriter(stream).write(NAMED, TIME_NS, b"", 0, "a" + "\u00e9" * 40_000)
    stream.seek(0)
    assert len(list(Capture(stream))) == 1


@pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
def test_wireshark_reads_interface_time_and_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream)
        writer.write(
            NAMED, TIME_NS, ethernet(0x0800, ALLOWED), 60, "reject tcp-port client=zo\u00eb"
        )
    fields = ["frame.interface_name", "frame.time_epoch", "frame.comment", "frame.len"]
    shown = [part for name in fields for part in ("-e", name)]
    command = [str(TSHARK), "-r", str(path), "-T", "json", *shown]
    printed = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - tshark
    (frame,) = json.loads(printed)
    layers = frame["_source"]["layers"]
    assert layers["frame.interface_name"] == ["eth0"]
    assert layers["frame.comment"] == ["reject tcp-port client=zo\u00eb"]
    assert layers["frame.len"] == ["60"]
    assert "123456789" in layers["frame.time_epoch"][0]
    assert TIME_NS // NS_PER_S == 1_700_000_000
