"""`replay` with several captures, and with outputs of all kinds."""

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firezone_filter.capture.reader import Capture
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.cli.streams import standard_output
from tests.captures import ALLOWED, ANSWER, POLICY, REFUSED, START_S, pcap

from .terminal import Said, screenful, terminal

DAY = "2023-11-14T22:13"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "p.json").write_text(json.dumps(POLICY))
    (tmp_path / "a.pcap").write_bytes(pcap(ALLOWED, REFUSED))
    (tmp_path / "b.pcap").write_bytes(pcap(ANSWER))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replay(*arguments: str) -> int:
    return run(["replay", "--policy", "p.json", *arguments])


@pytest.mark.usefixtures("folder")
def test_several_captures_make_one_summary(said: Callable[[], Said]) -> None:
    assert replay("a.pcap", "b.pcap", "--decisions", "d.jsonl") == ExitStatus.DONE
    printed = said()
    assert printed.out[0] == "a.pcap and 1 more: 3 packets, 120 bytes"
    lines = [json.loads(line) for line in Path("d.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["direction"]) for line in lines] == [
        (1, "outbound"),
        (2, "inbound"),
        (3, "outbound"),
    ]


@pytest.mark.parametrize("captures", ["d", "d/*.pcap"])
def test_no_capture_that_was_found_is_written_over(
    folder: Path, said: Callable[[], Said], captures: str
) -> None:
    (folder / "d").mkdir()
    capture = pcap(ALLOWED)
    (folder / "d" / "a.pcap").write_bytes(capture)
    assert replay(captures, "--forwarded", "d/a.pcap") == ExitStatus.UNUSABLE
    complaint = "d/a.pcap: cannot be written, it is in use as d/a.pcap"
    assert said().err == [f"firezone-filter: {complaint}"]
    assert (folder / "d" / "a.pcap").read_bytes() == capture


@pytest.mark.parametrize(
    ("others", "line"),
    [(["b"], "d: left out, being no capture: d/b"), (["b", "c"], "no capture: d/b and 1 more")],
)
def test_files_of_a_directory_that_are_no_captures_are_named(
    folder: Path, said: Callable[[], Said], others: list[str], line: str
) -> None:
    (folder / "d").mkdir()
    for name in others:
        (folder / "d" / name).write_text("no capture")
    (folder / "d" / "a.pcap").write_bytes(pcap(ALLOWED))
    assert replay("d") == ExitStatus.DONE
    (printed,) = said().err
    assert line in printed


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "packets"),
    [
        (["--since", f"{DAY}:21Z"], 1),
        (["--until", f"{DAY}:20.000000001"], 1),
        (["--since", f"{DAY}:21.5", "--until", f"{DAY}:60"], 0),
        (["--count", "1"], 1),
    ],
)
def test_frames_are_chosen(said: Callable[[], Said], options: list[str], packets: int) -> None:
    assert START_S == 1_700_000_000
    replay("a.pcap", *options)
    assert said().out[0].startswith(f"a.pcap: {packets} packet")


@pytest.mark.parametrize("captures", [".", "*.pcap"])
def test_no_capture_of_a_folder_or_a_pattern_is_written_over(
    folder: Path, said: Callable[[], Said], captures: str
) -> None:
    before = (folder / "b.pcap").read_bytes()
    assert replay(captures, "--forwarded", "b.pcap") == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: b.pcap: cannot be written, it is in use as b.pcap"]
    assert (folder / "b.pcap").read_bytes() == before


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["a.pcap", "--flows", "f.txt"],
            "f.txt: its name has to end in .jsonl, .csv or .parquet, also followed by .gz or .zst",
        ),
        (["a.pcap", "--since", "2026-01-02", "--until", "2026-01-01"], "--until is not after"),
        (["a.pcap", "p.json"], "p.json: not a capture: it is neither pcap nor pcapng"),
        (["a.pcap", "-", "-"], "standard input: can be named only once"),
    ],
)
def test_what_cannot_be_used_is_reported_in_one_line(
    said: Callable[[], Said], arguments: list[str], complaint: str
) -> None:
    assert replay(*arguments) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert line.startswith(f"firezone-filter: {complaint}")


@pytest.mark.usefixtures("folder")
def test_a_format_without_its_extra_names_it(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert replay("a.pcap", "--decisions", "d.parquet") == ExitStatus.UNUSABLE
    missing = "pyarrow is missing: pip install 'firezone-filter[replay]'"
    assert said().err[-1] == f"firezone-filter: {missing}"
    assert not Path("d.parquet").exists()


def test_a_capture_without_the_extra_that_unpacks_it_names_it(
    folder: Path, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pytest.importorskip("lz4.frame").compress((folder / "a.pcap").read_bytes())
    (folder / "b.pcap").write_bytes(packed)
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    missing = "b.pcap: lz4 is missing: pip install 'firezone-filter[replay]'"
    for capture in ("b.pcap", "."):
        assert replay(capture) == ExitStatus.UNUSABLE
        assert said().err == [f"firezone-filter: {missing}"]


def test_outputs_are_compressed_as_their_names_say(folder: Path) -> None:
    zstd = pytest.importorskip("backports.zstd", reason="needs the extra cli")
    assert replay("a.pcap", "--flows", "f.csv.gz", "--refused", "r.pcapng.zst") == ExitStatus.DONE
    assert gzip.decompress((folder / "f.csv.gz").read_bytes()).startswith(b"event,client_id,")
    with zstd.open(folder / "r.pcapng.zst") as stream:
        assert [record.frame for record in Capture(stream)] == [REFUSED]
    assert not list(folder.glob(".*"))


def test_a_pipe_without_an_ending_gets_json_lines(folder: Path) -> None:
    reading, writing = os.pipe()
    assert replay("a.pcap", "--decisions", f"/dev/fd/{writing}") == ExitStatus.DONE
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert [json.loads(line)["frame"] for line in stream] == [1, 2]
    assert not list(folder.glob(".*"))


def test_what_goes_to_a_terminal_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80) as (stream, screen):
        monkeypatch.setattr(sys, "stdout", stream)
        output = standard_output()
        output.write(b"at once\0")
        assert os.read(screen, 100).startswith(b"at once")
        assert screenful(stream, screen) == ""
