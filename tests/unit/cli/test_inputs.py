"""The inputs of a replay: the policy and the capture."""

import io
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.inputs import is_pipe, opened_capture, read_policy
from tests.captures import POLICY, pcap, policy
from tests.unit.capture.test_compression import lz4_frame


def unusable_policy(path: Path) -> tuple[str, ...]:
    with pytest.raises(UnusableError) as caught:
        read_policy(str(path))
    return caught.value.lines


def unusable_capture(name: str) -> str:
    with ExitStack() as stack, pytest.raises(UnusableError) as caught:
        stack.enter_context(opened_capture(name))
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- The policy --------------------------------------------------------------------------


def test_a_policy_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "policy.json", json.dumps(POLICY).encode())
    assert read_policy(str(path)) == policy()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"],
    ids=["empty", "cut short", "not UTF-8", "deep", "array", "null"],
)
def test_a_bad_policy_is_named(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "policy.json", content)
    assert all(line.startswith(f"{path}: ") for line in unusable_policy(path))


def test_every_fault_of_a_policy_has_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "policy.json", b'{"gateway": {}, "clients": [{}, {}]}')
    assert len(unusable_policy(path)) >= 3


# --- The capture -------------------------------------------------------------------------


def test_a_file_is_opened_with_its_size(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pcap", pcap(b"E"))
    with opened_capture(str(path)) as (capture, size):
        assert ([record.frame for record in capture], size) == ([b"E"], 41)


def test_a_pipe_is_opened_without_a_size(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    os.write(writer, pcap(b"E"))
    with opened_capture(str(pipe)) as (_, size):
        assert size is None
    os.close(reader)
    os.close(writer)


def test_a_dash_is_standard_input_without_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap(b"E"))))
    with opened_capture("-") as (capture, size):
        assert ([record.frame for record in capture], size) == ([b"E"], None)


def test_a_file_that_is_no_capture_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pcap", b"text")
    assert unusable_capture(str(path)).startswith(f"{path}: not a capture: ")


@pytest.mark.parametrize(
    ("stdin", "complaint"),
    [
        (io.TextIOWrapper(io.BytesIO()), "standard input: not a capture: it is empty"),
        (None, "standard input: it is closed"),
    ],
    ids=["empty", "closed"],
)
def test_unusable_standard_input_is_named(
    monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOWrapper | None, complaint: str
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert unusable_capture("-") == complaint


@pytest.mark.parametrize(
    ("name", "stdin", "expected"),
    [
        ("-", "pipe", True),
        ("-", "file", False),
        ("-", "no file", False),
        ("-", "closed", False),
        ("a.pcap", "pipe", False),
    ],
)
def test_only_standard_input_is_taken_for_a_pipe(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stdin: str,
    expected: bool,  # noqa: FBT001 - a case
) -> None:
    reading, writing = os.pipe()
    with (
        open(reading, "rb") as pipe,  # noqa: PTH123 - a descriptor
        open(writing, "wb"),  # noqa: PTH123 - a descriptor
        written(tmp_path / "b.pcap", b"").open("rb") as file,
    ):
        streams = {"pipe": pipe, "file": file, "no file": io.BytesIO(), "closed": None}
        monkeypatch.setattr(sys, "stdin", streams[stdin])
        assert is_pipe(name) is expected


# --- Both --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "complaint"), [("no", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, complaint: str) -> None:
    path = tmp_path / name
    assert unusable_policy(path) == (f"{path}: {complaint}",)
    assert unusable_capture(str(path)) == f"{path}: {complaint}"


def test_what_unpacks_a_capture_is_named_if_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.pcap", lz4_frame(pcap()))
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    assert unusable_capture(str(path)) == (
        f"{path}: lz4 is missing: pip install 'firezone-filter[replay]'"
    )
