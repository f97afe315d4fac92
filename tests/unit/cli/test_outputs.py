"""The files of a run: which outputs are refused, and which are reported incomplete."""

import errno
import os
import sys
from pathlib import Path

import pytest

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.outputs import Outputs, refuse_clashes

FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
STREAMS = {
    "stdin": "standard input",
    "stdout": "standard output",
    "stderr": "standard error",
}


def refused(inputs: list[str], outputs: list[str]) -> str:
    with pytest.raises(UnusableError) as caught:
        refuse_clashes(inputs, outputs)
    return str(caught.value)


def clash(name: str, other: str) -> str:
    return f"{name}: cannot be written, it is in use as {other}"


# --- Clashes -----------------------------------------------------------------------------


def test_an_output_is_no_input_under_any_name(tmp_path: Path) -> None:
    name, link = str(tmp_path / "in"), str(tmp_path / "link")
    Path(name).touch()
    Path(link).hardlink_to(name)
    assert refused([name], [name]) == clash(name, name)
    assert refused([name], [link]) == clash(link, name)


def test_two_outputs_are_not_one_file(tmp_path: Path) -> None:
    one, two = str(tmp_path / "new"), str(tmp_path / "." / "x" / ".." / "new")
    assert refused([], [one, two]) == clash(two, one)
    assert refused([], ["-", "-"]) == clash("-", "-")


def test_two_outputs_are_not_one_loop_of_links(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert refused([], [str(loop)] * 2) == clash(str(loop), str(loop))


@pytest.mark.parametrize(
    ("stream", "inputs", "outputs"),
    [
        pytest.param("stdout", [], [], id="stdout"),
        pytest.param("stderr", [], [], id="stderr"),
        # Even if the summary goes elsewhere.
        pytest.param("stdout", [], ["-"], id="stdout is an output too"),
        pytest.param("stdin", ["-"], [], id="stdin"),
    ],
)
def test_an_output_is_not_the_file_of_a_stream(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stream: str,
    inputs: list[str],
    outputs: list[str],
) -> None:
    name = str(tmp_path / "new")
    with Path(name).open("w+", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, stream, opened)
        assert refused(inputs, [*outputs, name]) == clash(name, STREAMS[stream])


@pytest.mark.parametrize("outputs", [[], ["-"]], ids=["summary", "output"])
def test_standard_output_is_not_the_file_of_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: list[str]
) -> None:
    name = str(tmp_path / "in")
    with Path(name).open("a", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        assert refused([name], outputs) == clash("standard output", name)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param(["in"], ["one", "two"], id="different files"),
        pytest.param(["-"], ["-"], id="standard input and output"),
        pytest.param([".", "."], [], id="one input twice"),
        pytest.param([], [os.devnull, os.devnull], id="nowhere twice"),
    ],
)
def test_files_that_destroy_nothing_do_not_clash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], outputs: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_clashes(inputs, outputs)


def test_standard_output_and_standard_error_may_be_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        monkeypatch.setattr(sys, "stderr", opened)
        refuse_clashes([], ["-", str(tmp_path / "new")])


def test_a_pipe_cannot_be_destroyed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        refuse_clashes([], [f"/dev/fd/{writer}"])
    os.close(reader)


def test_closed_streams_clash_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
    monkeypatch.setattr(sys, "stdin", None)
    refuse_clashes(["-"], ["-", str(tmp_path / "log")])


# --- Files -------------------------------------------------------------------------------


def test_a_dash_is_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with Outputs(print) as outputs:
        outputs.text("-").write("text\n")
        sys.stdout.flush()
        outputs.binary("-").write(b"bytes\n")
    sys.stdout.flush()
    assert capsysbinary.readouterr().out == b"text\nbytes\n"


def test_files_are_written_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    with Outputs(said.append) as outputs:
        outputs.text(str(tmp_path / "text")).write("ä")
        outputs.binary(str(tmp_path / "bytes")).write(b"\xff")
    written = [(tmp_path / name).read_bytes() for name in ("text", "bytes")]
    assert (written, said) == (["ä".encode(), b"\xff"], [])


def test_a_file_that_cannot_be_opened_is_unusable(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refuse_clashes([str(tmp_path)], [str(loop)])
    with Outputs(print) as outputs:
        with pytest.raises(UnusableError, match="Too many levels"):
            outputs.text(str(loop))
        with pytest.raises(UnusableError, match=r": Is a directory$"):
            outputs.binary(str(tmp_path))


def test_a_failed_run_names_the_incomplete_files(tmp_path: Path) -> None:
    said: list[str] = []
    outputs = Outputs(said.append)
    outputs.text(str(tmp_path / "one"))
    outputs.text(str(tmp_path / "two"))
    with pytest.raises(KeyboardInterrupt), outputs:
        raise KeyboardInterrupt
    assert said == [f"{tmp_path / 'one'}: incomplete", f"{tmp_path / 'two'}: incomplete"]


@needs_full_disk
def test_a_disk_that_fills_up_at_the_end_fails_the_run() -> None:
    said: list[str] = []
    outputs = Outputs(said.append)
    with pytest.raises(OSError, match="No space left") as caught, outputs:
        outputs.text(str(FULL)).write("more than fits")
    assert (caught.value.errno, said) == (errno.ENOSPC, ["/dev/full: incomplete"])


@needs_full_disk
def test_the_first_error_is_raised() -> None:
    outputs = Outputs(lambda _: None)
    outputs.text(str(FULL)).write("more than fits")
    with pytest.raises(KeyboardInterrupt), outputs:
        raise KeyboardInterrupt
