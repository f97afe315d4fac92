"""Any number of captures as one."""

import gzip
import io
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firezone_filter.capture import (
    Captures,
    DamagedCaptureError,
    InvalidFilterError,
    MissingExtraError,
    NotACaptureError,
    Record,
    UnreadableCaptureError,
    merge,
    open_captures,
    sources,
)
from firezone_filter.testing import tcp, udp
from tests.captures import (
    ethernet,
    interface,
    packet_block,
    pcap,
    pcap_header,
    pcap_record,
    section,
)

WEB = tcp("10.0.0.5:5000 > 10.0.0.6:443")
DNS = udp("10.0.0.5:5000 > 10.0.0.7:53")


def capture(*times: int, frame: bytes = b"E") -> bytes:
    return pcap_header() + b"".join(pcap_record(frame, seconds) for seconds in times)


def write(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        (folder / f"{name}.pcap").write_bytes(data)


def seconds(captures: Captures) -> list[float]:
    with captures:
        return [record.seconds for record in captures.records()]


def numbers(captures: Captures) -> list[int]:
    return [number for frames in captures.chunks() for number in frames.numbers.tolist()]


# --- What is read ------------------------------------------------------------------------


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1, 4), b=capture(2, 3, 5))
    assert seconds(open_captures([tmp_path / "a.pcap", tmp_path / "b.pcap"])) == [1, 2, 3, 4, 5]


def test_a_pattern_stands_for_the_files_that_fit(tmp_path: Path) -> None:
    write(tmp_path, a1=capture(1), a2=capture(2), b=capture(3))
    assert seconds(open_captures(f"{tmp_path}/a*.pcap")) == [1, 2]


def test_a_file_may_have_the_characters_of_a_pattern(tmp_path: Path) -> None:
    write(tmp_path, **{"[a]": capture(1)})
    assert seconds(open_captures(f"{tmp_path}/[a].pcap")) == [1]


def test_a_directory_stands_for_the_captures_in_it(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1), b=gzip.compress(capture(2)), c=b"", **{".d": capture(4)})
    (tmp_path / "README").write_text("About these captures")
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", e=capture(5))
    captures = open_captures(tmp_path)
    assert captures.left_out == (f"{tmp_path}/README", f"{tmp_path}/c.pcap")
    assert captures.names == (f"{tmp_path}/a.pcap", f"{tmp_path}/b.pcap")
    assert seconds(captures) == [1, 2]


def test_files_of_a_rotation_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    for number in ("", "1", "2", "10"):
        (tmp_path / f"big.pcap{number}").write_bytes(capture(1, frame=number.encode()))
    frames = [record.frame for record in open_captures(tmp_path).records()]
    assert frames == [b"", b"1", b"2", b"10"]


def test_a_file_is_read_once_however_often_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1))
    assert seconds(open_captures([tmp_path, tmp_path / "a.pcap", f"{tmp_path}/*.pcap"])) == [1]


def test_a_file_has_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a=capture(1))
    (tmp_path / "link").symlink_to("a.pcap")
    (tmp_path / "hard").hardlink_to(tmp_path / "a.pcap")
    monkeypatch.chdir(tmp_path)
    assert seconds(open_captures(["a.pcap", "./a.pcap", tmp_path / "a.pcap", "link", "hard"])) == [
        1
    ]


def test_standard_input_is_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a=capture(1, 3))
    stdin = io.TextIOWrapper(io.BytesIO(gzip.compress(capture(2, 4))))
    monkeypatch.setattr(sys, "stdin", stdin)
    captures = open_captures([tmp_path / "a.pcap", "-"])
    assert captures.names[1] == "standard input"
    assert captures.size is None
    assert seconds(captures) == [1, 2, 3, 4]
    assert not stdin.buffer.closed


def test_a_named_pipe_is_opened_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # For both ways, so that opening it waits for nobody.
    both = os.open(pipe, os.O_RDWR)
    os.write(both, capture(2))
    captures = open_captures([pipe])
    os.close(both)
    assert seconds(captures) == [2]


def test_the_position_reaches_the_size(tmp_path: Path) -> None:
    write(tmp_path, a=gzip.compress(capture(1)), b=capture(2))
    captures = open_captures(tmp_path)
    assert captures.position == 0
    assert seconds(captures) == [1, 2]
    assert (
        captures.position
        == captures.size
        == sum(path.stat().st_size for path in tmp_path.iterdir())
    )


def test_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_OPEN", 3)
    # So that each is read in several goes, and left in between.
    monkeypatch.setattr(merge, "_ALL_BYTES", 1)
    names = [f"f{number}" for number in range(9)]
    body = bytes(100_000)
    write(tmp_path, **{name: capture(1, 2, 3, frame=body) for name in names})
    captures = open_captures(tmp_path)
    fds = Path("/proc/self/fd")
    before = len(list(fds.iterdir())) if fds.exists() else 0
    most = 0
    for _ in captures.chunks():
        most = max(most, len(list(fds.iterdir())) if fds.exists() else 0)
    assert most <= before + 3
    # Closed early, when most of them are closed anyway.
    with open_captures(tmp_path) as captures:
        chunks = captures.chunks()
        assert [len(next(chunks)) for _ in range(6)] == [1] * 6


# --- What is chosen ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({"since": 2}, [2, 3, 4]),
        ({"until": 3}, [1, 2]),
        ({"since": 2.5, "until": 4.0}, [3]),
        ({"since": datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)}, [3, 4]),
        ({"count": 2}, [1, 2]),
        ({"count": 0}, []),
        ({"since": 2, "count": 2}, [2, 3]),
        ({"since": 10**30}, []),
        ({"until": -(10**30)}, []),
    ],
)
def test_frames_are_chosen(tmp_path: Path, choice: dict[str, float], found: Sequence[int]) -> None:
    write(tmp_path, a=capture(1, 3), b=capture(2, 4))
    assert seconds(open_captures(tmp_path, **choice)) == found  # type: ignore[arg-type]
    # What is chosen keeps its number: here that is the second.
    assert numbers(open_captures(tmp_path, **choice)) == found  # type: ignore[arg-type]


def test_records_come_with_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1, 3), b=capture(2, 4))
    captures = open_captures(tmp_path, since=3)
    assert [(number, one.seconds) for number, one in captures.numbered()] == [(3, 3), (4, 4)]


def test_a_time_needs_a_zone(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1))
    with pytest.raises(ValueError, match="a time without a zone"):
        open_captures(tmp_path, since=datetime(2026, 1, 1))  # noqa: DTZ001 - on purpose


@pytest.mark.parametrize("time", [float("nan"), float("inf")], ids=str)
def test_a_time_is_finite(tmp_path: Path, time: float) -> None:
    with pytest.raises(ValueError, match=f"not a time: {time}"):
        open_captures(tmp_path, until=time)


def test_a_count_is_not_negative(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count must not be negative"):
        open_captures(tmp_path, count=-1)


def test_no_more_is_read_than_the_first_so_many(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1), b=capture(2, 3)[:-1])
    captures = open_captures(tmp_path, count=1)
    assert seconds(captures) == [1]
    assert captures.damage == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tcp port 443", [1, 3]),
        ("dst host 10.0.0.7", [2, 4]),
        ("greater 100", [4]),
        ("ip6", []),
        ("", [1, 2, 3, 4]),
    ],
)
def test_frames_are_filtered_by_what_tcpdump_would_show(
    tmp_path: Path, text: str, found: Sequence[int]
) -> None:
    pytest.importorskip("cypcap")
    raw = pcap_header() + pcap_record(WEB, 1) + pcap_record(DNS, 2)
    both = section() + interface(1) + interface(101)
    both += packet_block(ethernet(0x0800, WEB), 3_000_000) + packet_block(DNS, 4_000_000, number=1)
    long = pcap_record(DNS, 4, wire_length=200)
    write(tmp_path, a=raw, b=both if text != "greater 100" else pcap_header() + long)
    expected = found
    assert seconds(open_captures(tmp_path, filter=text)) == expected


def test_a_filter_that_libpcap_does_not_take_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("cypcap")
    write(tmp_path, a=pcap(WEB))
    with pytest.raises(InvalidFilterError, match=r"filter 'host host', link type 101: .*syntax"):
        open_captures(tmp_path, filter="host host")


def test_without_libpcap_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a=capture(1))
    monkeypatch.setitem(sys.modules, "cypcap", None)
    with pytest.raises(MissingExtraError, match=r"firezone-filter\[filter\]"):
        open_captures(tmp_path, filter="tcp")


def test_captures_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1, 2))
    captures = open_captures(tmp_path)
    assert len(list(captures.records())) == 2
    with pytest.raises(ValueError, match="read once"):
        captures.chunks()


def test_nothing_more_is_read_of_closed_captures(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1, 3), b=capture(2, 4))
    with open_captures(tmp_path) as begun:
        chunks = begun.chunks()
        assert next(chunks)
    assert list(chunks) == []
    with open_captures(tmp_path) as closed:
        pass
    with pytest.raises(ValueError, match="read once"):
        closed.chunks()


# --- What goes wrong ---------------------------------------------------------------------


def test_in_a_directory_a_file_that_needs_a_missing_extra_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pytest.importorskip("lz4.frame").compress(capture(2))
    write(tmp_path, a=capture(1), b=packed, c=b"no capture")
    assert seconds(open_captures(tmp_path)) == [1, 2]
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    complaint = r"b\.pcap: lz4 is missing: pip install 'firezone-filter\[replay\]'$"
    with pytest.raises(MissingExtraError, match=complaint) as raised:
        open_captures(tmp_path)
    assert not isinstance(raised.value, UnreadableCaptureError)


def test_damage_of_one_file_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1, 3)[:-1], b=capture(2, 4), c=gzip.compress(capture(5))[:-4])
    captures = open_captures(tmp_path)
    found: list[Record] = []
    with pytest.raises(DamagedCaptureError) as caught:
        found.extend(captures.records())
    cut = f"{tmp_path}/a.pcap: it is cut short at byte 57"
    packed = f"{tmp_path}/c.pcap: the compressed data is cut short"
    assert str(caught.value) == f"{cut}; {packed}"
    assert list(captures.damage) == [f"{tmp_path}/a.pcap", f"{tmp_path}/c.pcap"]


def test_damage_of_the_only_file_is_not_named_twice(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1)[:-1])
    with pytest.raises(DamagedCaptureError, match=r"^it is cut short at byte 40$"):
        list(open_captures(tmp_path).records())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("missing.pcap", "missing.pcap: No such file or directory"),
        ("*.cap", "[*].cap: no file fits"),
        ("x" * 5_000, "x{5000}: File name too long"),
        ("empty", "empty: there are no files in this directory"),
        ("others", "no captures among 1 files"),
        ("others/text", "others/text: not a capture: it is neither pcap nor pcapng"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others/text").write_text("text")
    with pytest.raises(UnreadableCaptureError, match=f"^{complaint}$"):
        open_captures(name)


def test_nothing_to_read_is_an_error() -> None:
    with pytest.raises(UnreadableCaptureError, match="no captures to read"):
        open_captures([])


def test_a_file_that_is_no_capture_is_told_from_one_that_is_not_supported(
    tmp_path: Path,
) -> None:
    write(tmp_path, a=pcap_header(version=(3, 0)))
    with pytest.raises(UnreadableCaptureError, match=r"a\.pcap: pcap version 3\.0") as caught:
        open_captures(tmp_path)
    assert not isinstance(caught.value, NotACaptureError)


def test_a_file_that_has_gone_meanwhile_is_named(tmp_path: Path) -> None:
    write(tmp_path, a=capture(1), b=capture(2))
    captures = open_captures(tmp_path)
    (tmp_path / "b.pcap").unlink()
    with pytest.raises(UnreadableCaptureError, match=r"b\.pcap: No such file"):
        list(captures.records())


def test_a_section_of_an_unknown_version_is_named(tmp_path: Path) -> None:
    write(tmp_path, a=section() + section(version=(9, 9)))
    with pytest.raises(UnreadableCaptureError, match=r"a\.pcap: pcapng version 9\.9"):
        list(open_captures(tmp_path).records())


def test_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UnreadableCaptureError, match="standard input: it is closed"):
        open_captures("-")
