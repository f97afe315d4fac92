"""Reading logs: one after the other, merged by time, and as they grow."""

import gzip
import io
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.cli.logs import splitter
from firezone_filter.cli.logs.entries import Entry
from firezone_filter.cli.logs.reading import POLL_S, Reading
from firezone_filter.cli.logs.source import CHUNK, Source
from tests.unit.capture.test_compression import gzip_member, lz4_frame, zstd_frame

from .log_entries import at, line


@define
class Logs:
    """Logs in an empty folder, and the complaints about them."""

    folder: Path
    complaints: list[str] = field(factory=list)
    waits: int = 0

    def write(self, name: str, *lines: bytes) -> str:
        (self.folder / name).write_bytes(b"".join(lines))
        return str(self.folder / name)

    def append(self, name: str, *lines: bytes) -> None:
        with (self.folder / name).open("ab") as stream:
            stream.write(b"".join(lines))

    def reading(self, *names: str, by_time: bool = False) -> Reading:
        return Reading(names, by_time, self.complaints.append, self._wait)

    def read(self, *names: str, by_time: bool = False) -> list[str]:
        return [text(entry) for entry in self.reading(*names, by_time=by_time)]

    def _wait(self) -> None:
        self.waits += 1


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def text(entry: Entry) -> str:
    """Return the message of an entry, or the line if it is not JSON."""
    return str(entry.fields["message"]) if entry.fields else entry.piece.data.decode()


class Unreadable(io.BytesIO):
    """A file on a disk that fails after its first bytes."""

    def __init__(self, data: bytes, strerror: str | None = "Input/output error") -> None:
        super().__init__(data)
        self._error = OSError(5, strerror) if strerror else OSError()

    def read1(self, size: int | None = -1, /) -> bytes:
        if data := super().read1(size):
            return data
        raise self._error


def standard_input(monkeypatch: pytest.MonkeyPatch, stream: io.BytesIO) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))


# --- One after the other -----------------------------------------------------------------


def test_files_are_read_one_after_the_other(logs: Logs) -> None:
    a, b = logs.write("a", at(2, "two"), at(3, "three")), logs.write("b", at(1, "one"))
    assert logs.read(a, b) == ["two", "three", "one"]


def test_a_file_may_be_read_twice(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"))
    assert logs.read(a, a) == ["one", "one"]


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(at(1, "one").rstrip(), ["one"], id="last line unfinished"),
        pytest.param(
            at(1, "x" * (CHUNK // 2)) * 5, ["x" * (CHUNK // 2)] * 5, id="lines across chunks"
        ),
    ],
)
def test_a_file_is_read_to_its_end(logs: Logs, data: bytes, messages: list[str]) -> None:
    assert logs.read(logs.write("a", data)) == messages


def test_an_entry_has_its_file_and_its_line(logs: Logs) -> None:
    a = logs.write("a", b"\n", at(1, "one"), b"panic")
    assert [(each.source, each.piece.number) for each in logs.reading(a)] == [(a, 2), (a, 3)]


def test_standard_input_is_read_and_left_open(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, io.BytesIO(at(1, "one")))
    assert [(each.source, text(each)) for each in logs.reading("-")] == [("standard input", "one")]
    assert not sys.stdin.closed


def test_the_output_is_flushed_before_each_read(logs: Logs) -> None:
    logs.read(logs.write("a", b"\n" * (2 * CHUNK)))
    assert logs.waits == 3


# --- Compressed files --------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip_member, zstd_frame])
def test_a_compressed_file_is_read_whatever_its_name(
    logs: Logs, pack: Callable[[bytes], bytes]
) -> None:
    a = logs.write("a.log", pack(at(1, "one") + at(2, "two")))
    b = logs.write("b.gz", at(3, "three"))
    assert logs.read(a, b) == ["one", "two", "three"]
    assert logs.complaints == []


@pytest.mark.parametrize("pack", [gzip_member, zstd_frame])
def test_compressed_standard_input_is_read(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    standard_input(monkeypatch, io.BytesIO(pack(at(1, "one"))))
    assert logs.read("-") == ["one"]


def test_rotated_files_are_merged_with_the_present_one(logs: Logs) -> None:
    names = [
        logs.write("a.log.2.gz", gzip_member(at(1, "one"))),
        logs.write("a.log.1.zst", zstd_frame(at(2, "two"))),
        logs.write("a.log", at(3, "three")),
    ]
    assert logs.read(*reversed(names), by_time=True) == ["one", "two", "three"]


@pytest.mark.parametrize("pack", [gzip_member, zstd_frame])
def test_the_position_is_that_in_the_compressed_file(
    logs: Logs, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(at(1, "one") * 10_000)
    reading = logs.reading(logs.write("a", packed))
    list(reading)
    assert (reading.position, reading.size()) == (len(packed), len(packed))


def test_a_compressed_file_that_is_cut_short_gets_a_complaint_after_its_lines(logs: Logs) -> None:
    packed = gzip.compress(at(1, "one") + at(2, "two"), 0)
    a, b = logs.write("a", packed[:-12]), logs.write("b", at(3, "three"))
    assert logs.read(a, b)[::2] == ["one", "three"]
    assert logs.complaints == [f"{a}: reading stops: the compressed data is cut short"]


def test_a_file_that_a_missing_package_would_unpack_gets_one_complaint(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = logs.write("a", lz4_frame(at(1, "one"))), logs.write("b", at(2, "two"))
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    assert logs.read(a, b) == ["two"]
    missing = "lz4 is missing: pip install 'firezone-filter[replay]'"
    assert logs.complaints == [f"{a}: reading stops: {missing}"]


def test_a_damaged_compressed_file_gets_one_complaint(logs: Logs) -> None:
    a = logs.write("a", gzip_member(at(1, "one")) + b"garbage" * CHUNK)
    assert logs.read(a) == ["one"]
    (complaint,) = logs.complaints
    assert complaint.startswith(f"{a}: reading stops: the compressed data is damaged (")


def test_a_file_of_the_first_byte_of_a_compressed_one_is_read(logs: Logs) -> None:
    assert logs.read(logs.write("a", b"(")) == ["("]


# --- Files that cannot be read ------------------------------------------------------------


def test_a_missing_file_gets_a_complaint_and_the_others_are_read(logs: Logs) -> None:
    a, b = logs.write("a", at(1, "one")), logs.write("b", at(2, "two"))
    assert logs.read(a, "/no/such.log", b) == ["one", "two"]
    assert logs.complaints == ["/no/such.log: No such file or directory"]


def test_a_folder_gets_a_complaint(logs: Logs) -> None:
    reading = logs.reading(str(logs.folder))
    assert list(reading) == []
    assert (logs.complaints, reading.complaints) == ([f"{logs.folder}: Is a directory"], 1)


def test_closed_standard_input_gets_a_complaint(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert logs.read("-") == []
    assert logs.complaints == ["standard input: it is closed"]


@pytest.mark.parametrize("by_time", [False, True])
def test_a_failing_disk_gets_a_complaint_and_the_rest_is_read(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, *, by_time: bool
) -> None:
    standard_input(monkeypatch, Unreadable(at(1, "one") + b"rest"))
    assert logs.read("-", logs.write("a", at(2, "two")), by_time=by_time) == ["one", "rest", "two"]
    assert logs.complaints == ["standard input: reading stops: Input/output error"]


def test_a_failure_without_a_reason_gets_a_complaint_too(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard_input(monkeypatch, Unreadable(b"", strerror=None))
    logs.read("-")
    assert logs.complaints == ["standard input: reading stops: "]


def test_a_failing_disk_gets_one_complaint_however_often_it_is_read(logs: Logs) -> None:
    source = Source("a", Unreadable(at(1, "one")), logs.complaints.append, lambda: None)
    assert [text(entry) for _ in range(3) for entry in source.entries()] == ["one"]
    assert logs.complaints == ["a: reading stops: Input/output error"]


@pytest.mark.parametrize("by_time", [False, True])
def test_all_files_are_closed_if_the_iteration_stops_early(logs: Logs, *, by_time: bool) -> None:
    names = [logs.write(name, at(1), at(2)) for name in "ab"]
    entries = iter(logs.reading(*names, by_time=by_time))
    next(entries)
    # A file left open would raise a warning, which is an error in tests.
    del entries


# --- Size and position -------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), [("b", 5), ("no", None), ("pipe", None)])
def test_the_size_is_that_of_all_files_if_all_are_files(
    logs: Logs, name: str, size: int | None
) -> None:
    os.mkfifo(logs.folder / "pipe")
    logs.write("b", b"45")
    assert logs.reading(logs.write("a", b"123"), str(logs.folder / name)).size() == size


def test_standard_input_has_the_size_of_its_file(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(logs.write("a", b"123")).open(encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert logs.reading("-").size() == 3


@pytest.mark.parametrize("stdin", [None, io.StringIO()], ids=["closed", "not a file"])
def test_any_other_standard_input_has_no_size(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert logs.reading("-").size() is None


@pytest.mark.parametrize("by_time", [False, True])
def test_the_position_counts_the_bytes_of_all_files(logs: Logs, *, by_time: bool) -> None:
    names = [logs.write("a", b"123"), logs.write("b", b"45")]
    reading = logs.reading(*names, by_time=by_time)
    before = reading.position
    list(reading)
    assert (before, reading.position) == (0, 5)


# --- Merged by time -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "merged"),
    [
        pytest.param(
            [at(1, "a1"), at(3, "a3"), at(5, "a5")],
            [at(2, "b2"), at(4, "b4")],
            ["a1", "b2", "a3", "b4", "a5"],
            id="by time",
        ),
        pytest.param(
            [at(1, "a"), at(1, "a")],
            [at(1, "b"), at(2, "b")],
            ["a", "a", "b", "b"],
            id="first file first at one time",
        ),
        pytest.param(
            [line(time="2026-08-22T12:00:00.10000001Z", message="second")],
            [line(time="2026-08-22T14:00:00.1+02:00", message="first")],
            ["first", "second"],
            id="across zones and digits",
        ),
        pytest.param(
            [at(1, "a1"), b"panic\n", line(message="no time"), at(3, "a3")],
            [at(2, "b2")],
            ["a1", "panic", "no time", "b2", "a3"],
            id="a line without a time stays with the line before",
        ),
        pytest.param(
            [at(1, "a1")],
            [b"panic\n", at(2, "b2")],
            ["panic", "a1", "b2"],
            id="lines before the first time come first",
        ),
        pytest.param(
            [at(5, "a5"), at(1, "a1")],
            [at(4, "b4"), at(6, "b6")],
            ["b4", "a5", "a1", "b6"],
            id="a file out of order keeps its order",
        ),
    ],
)
def test_files_are_merged(logs: Logs, a: list[bytes], b: list[bytes], merged: list[str]) -> None:
    assert logs.read(logs.write("a", *a), logs.write("b", *b), by_time=True) == merged


def test_pieces_of_a_long_line_stay_together(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitter, "MAX_LINE", 1_000)
    a = logs.write("a", at(1, "a1"), b"x" * 2_000 + b"\n")
    b = logs.write("b", at(1, "b1"))
    assert logs.read(a, b, by_time=True) == ["a1", "x" * 1_000, "x" * 1_000, "b1"]


FILES = st.lists(st.lists(st.integers(0, 90)).map(sorted), max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merged")


@given(files=FILES)
def test_merged_files_are_sorted_stable_and_complete(folder: Path, files: list[list[int]]) -> None:
    logs = Logs(folder)
    names = [
        logs.write(str(n), *(at(second, f"{n}:{m}") for m, second in enumerate(seconds)))
        for n, seconds in enumerate(files)
    ]
    merged = list(logs.reading(*names, by_time=True))
    assert all(one.key <= other.key for one, other in pairwise(merged))
    expected = [
        (second, n, m) for n, seconds in enumerate(files) for m, second in enumerate(seconds)
    ]
    assert [text(entry) for entry in merged] == [f"{n}:{m}" for _, n, m in sorted(expected)]


# --- As they grow ------------------------------------------------------------------------

Step = Callable[[], object]


class TheEnd(Exception):  # noqa: N818 - it is no error
    """Ends a test, as Ctrl-C does."""


def follow(logs: Logs, *names: str, steps: list[Step], by_time: bool = False) -> list[str]:
    """Return the messages read while the *steps* are done, one in each wait."""
    left: Final = iter(steps)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        for step in left:
            step()
            return
        raise TheEnd

    read: list[str] = []
    with pytest.raises(TheEnd):
        # The entries before the end stay in the list.
        read.extend(map(text, logs.reading(*names, by_time=by_time).follow(sleep)))
    assert waited == [POLL_S] * (len(steps) + 1)
    return read


def test_appended_lines_follow_the_first(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"))
    more: list[Step] = [lambda: logs.append("a", at(2, "two"), at(3, "three"))]
    assert follow(logs, a, steps=more) == ["one", "two", "three"]


def test_an_unfinished_line_waits_for_its_end(logs: Logs) -> None:
    a, whole = logs.write("a"), at(1, "one")
    halves: list[Step] = [
        lambda: logs.append("a", whole[:9]),
        lambda: logs.append("a", whole[9:]),
    ]
    assert follow(logs, a, steps=halves) == ["one"]


def test_a_truncated_file_is_read_from_its_start(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"), at(2, "two"))
    assert follow(logs, a, steps=[lambda: logs.write("a", at(3, "3"))]) == ["one", "two", "3"]


def rotate(logs: Logs, *last: bytes) -> None:
    """Rotate the log a, after its program has written *last* to it."""
    logs.append("a", *last)
    (logs.folder / "a").rename(logs.folder / "a.1")
    logs.write("a", at(9, "nine"))


def test_a_replaced_file_is_read_to_its_end_before_the_new_one(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"))
    read = follow(logs, a, steps=[lambda: rotate(logs, at(2, "two"), b"rest")])
    assert read == ["one", "two", "rest", "nine"]


def test_a_line_written_right_before_the_rotation_is_read(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = logs.write("a", at(1, "one"))
    look = Path.stat
    last = iter([at(2, "two")])

    def look_late(path: Path) -> os.stat_result:
        for written in last:
            rotate(logs, written)
        return look(path)

    # A wait would be an error: everything is there already.
    no_waits: dict[float, None] = {}
    entries = logs.reading(a).follow(no_waits.__getitem__)
    assert text(next(entries)) == "one"
    monkeypatch.setattr(Path, "stat", look_late)
    assert [text(next(entries)), text(next(entries))] == ["two", "nine"]
    entries.close()


def test_a_new_file_is_followed_too(logs: Logs) -> None:
    a = logs.write("a")
    steps: list[Step] = [lambda: rotate(logs), lambda: logs.append("a", at(10, "ten"))]
    assert follow(logs, a, steps=steps) == ["nine", "ten"]


def test_a_missing_file_is_read_when_it_comes_back(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"))
    steps: list[Step] = [(logs.folder / "a").unlink, lambda: logs.write("a", at(2, "two"))]
    assert follow(logs, a, steps=steps) == ["one", "two"]


def test_a_pipe_in_the_place_of_a_file_is_not_opened(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"))
    steps: list[Step] = [(logs.folder / "a").unlink, lambda: os.mkfifo(a)]
    assert follow(logs, a, steps=steps) == ["one"]


def test_a_compressed_file_is_followed_too(logs: Logs) -> None:
    a = logs.write("a", gzip_member(at(1, "one")))
    more: list[Step] = [lambda: logs.append("a", gzip_member(at(2, "two")))]
    assert follow(logs, a, steps=more) == ["one", "two"]


def test_several_files_are_followed(logs: Logs) -> None:
    a, b = logs.write("a", at(1, "a1")), logs.write("b", at(0, "b0"))
    steps: list[Step] = [
        lambda: logs.append("b", at(3, "b3")),
        lambda: logs.append("a", at(2, "a2")),
    ]
    assert follow(logs, a, b, steps=steps) == ["a1", "b0", "b3", "a2"]


def test_lines_that_come_in_one_wait_are_merged(logs: Logs) -> None:
    a, b = logs.write("a", at(1, "a1")), logs.write("b", at(0, "b0"))

    def append() -> None:
        logs.append("a", at(4, "a4"))
        logs.append("b", at(3, "b3"))

    assert follow(logs, a, b, steps=[append], by_time=True) == ["b0", "a1", "b3", "a4"]


def test_the_output_is_flushed_before_each_wait(logs: Logs) -> None:
    a = logs.write("a")
    follow(logs, a, steps=[])
    # Once before the read that finds nothing, once before the wait.
    assert logs.waits == 2


@pytest.mark.parametrize("name", ["no", "pipe", "."])
def test_a_file_that_cannot_be_followed_gets_a_complaint_at_once(logs: Logs, name: str) -> None:
    os.mkfifo(logs.folder / "pipe")
    waited: list[float] = []
    assert list(logs.reading(str(logs.folder / name)).follow(waited.append)) == []
    assert (len(logs.complaints), waited) == (1, [])


def test_the_other_files_are_followed_all_the_same(logs: Logs) -> None:
    a = logs.write("a", at(1, "one"))
    assert follow(logs, "/no/such.log", a, steps=[]) == ["one"]
