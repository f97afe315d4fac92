"""Captures are merged as `mergecap` merges them, and filtered as `tcpdump` filters them."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from firezone_filter.capture import Capture, Record, open_captures
from tests.captures import pcap_header, pcap_record

CAPTURES = Path(__file__).parents[3] / "shared/captures"
REAL = sorted(CAPTURES.glob("*cap*"))

shared = pytest.mark.skipif(not REAL, reason="the shared captures are not here")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")  # pragma: no cover - it is where this counts
    return found


def output(*command: str | Path) -> bytes:
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - found above
    return done.stdout


def by_mergecap(paths: list[Path]) -> list[Record]:
    return list(Capture(io.BytesIO(output(program("mergecap"), "-w", "-", *paths))))


@shared
def test_real_captures_are_merged_as_by_mergecap() -> None:
    assert list(open_captures(REAL).records()) == by_mergecap(REAL)


def test_files_out_of_order_are_merged_as_by_mergecap(tmp_path: Path) -> None:
    # (Of two frames at one time, mergecap takes that of the later file.)
    times = {"a": (50, 10, 70, 71, 30), "b": (51, 60, 72, 20), "c": (90, 11), "d": (12, 73, 1)}
    paths = []
    for name, seconds in times.items():
        paths.append(tmp_path / name)
        records = (pcap_record(f"{name}{n}".encode(), each) for n, each in enumerate(seconds))
        paths[-1].write_bytes(pcap_header() + b"".join(records))
    assert list(open_captures(paths).records()) == by_mergecap(paths)


@shared
@pytest.mark.parametrize(
    "text",
    ["tcp port 443", "ip6", "host 192.168.1.109", "less 70", "ip[6:2] & 0x1fff > 0"],
)
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_captures_are_filtered_as_by_tcpdump(path: Path, text: str) -> None:
    pytest.importorskip("cypcap")
    kept = output(program("tcpdump"), "-r", path, "-w", "-", text)
    expected = list(Capture(io.BytesIO(kept)))
    assert [one.frame for one in open_captures(path, filter=text).records()] == [
        one.frame for one in expected
    ]


def test_a_live_capture_is_passed_on_as_it_comes() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:  # noqa: PTH123 - a descriptor
        os.write(writing, pcap_header() + pcap_record(b"one"))
        chunks = Capture(stream).chunks()
        assert [one.frame for one in next(chunks).records()] == [b"one"]
        os.write(writing, pcap_record(b"two") + pcap_record(b"three")[:18])
        assert [one.frame for one in next(chunks).records()] == [b"two"]
        os.write(writing, pcap_record(b"three")[18:])
        assert [one.frame for one in next(chunks).records()] == [b"three"]
        os.close(writing)
        assert list(chunks) == []
