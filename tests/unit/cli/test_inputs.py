"""Files to read: the policy and the capture."""

import io
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.inputs import opened_capture, read_policy
from tests.captures import POLICY, pcap, policy


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


def test_a_policy_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "policy.json", json.dumps(POLICY).encode())
    assert read_policy(str(path)) == policy()


def test_a_missing_policy_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    assert unusable_policy(path) == (f"{path}: No such file or directory",)


def test_a_directory_is_no_policy(tmp_path: Path) -> None:
    assert unusable_policy(tmp_path) == (f"{tmp_path}: Is a directory",)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"])
def test_what_is_no_policy_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "policy.json", content)
    assert all(line.startswith(f"{path}: ") for line in unusable_policy(path))


def test_every_fault_of_a_policy_has_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "policy.json", b'{"gateway": {}, "clients": [{}, {}]}')
    assert len(unusable_policy(path)) >= 3


def test_a_capture_is_opened(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pcap", pcap(b"E"))
    with opened_capture(str(path)) as (capture, _):
        assert [record.frame for record in capture] == [b"E"]


def test_the_size_of_a_file_is_known(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pcap", pcap(b"E"))
    with opened_capture(str(path)) as (_, size):
        assert size == 41


def test_the_size_of_a_pipe_is_not_known(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    os.write(writer, pcap(b"E"))
    with opened_capture(str(pipe)) as (_, size):
        assert size is None
    os.close(reader)
    os.close(writer)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap(b"E"))))
    with opened_capture("-") as (capture, size):
        assert ([record.frame for record in capture], size) == ([b"E"], None)


def test_standard_input_that_is_no_capture_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert unusable_capture("-") == "standard input: not a capture: it is empty"


def test_standard_input_that_is_closed_is_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert unusable_capture("-") == "standard input: it is closed"


def test_a_missing_capture_is_unusable(tmp_path: Path) -> None:
    name = str(tmp_path / "a.pcap")
    assert unusable_capture(name) == f"{name}: No such file or directory"


def test_a_directory_is_no_capture(tmp_path: Path) -> None:
    assert unusable_capture(str(tmp_path)) == f"{tmp_path}: Is a directory"


def test_what_is_no_capture_is_told_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pcap", b"text")
    assert unusable_capture(str(path)).startswith(f"{path}: not a capture: ")
