"""Files to write: what is refused, and what is said when a run ends badly."""

import errno
import os
import sys
from pathlib import Path

import pytest

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.outputs import Outputs, refuse_clashes

FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


def refused(inputs: list[str], outputs: list[str]) -> str:
    with pytest.raises(UnusableError) as caught:
        refuse_clashes(inputs, outputs)
    return str(caught.value)


def test_different_files_are_fine(tmp_path: Path) -> None:
    refuse_clashes([str(tmp_path / "in")], [str(tmp_path / "one"), str(tmp_path / "two")])


def test_an_input_is_not_written(tmp_path: Path) -> None:
    name = str(tmp_path / "in")
    Path(name).touch()
    assert refused([name], [name]) == f"{name}: cannot be written, it is in use as {name}"


def test_an_input_is_not_written_under_another_name(tmp_path: Path) -> None:
    name, link = str(tmp_path / "in"), str(tmp_path / "link")
    Path(name).touch()
    Path(link).hardlink_to(name)
    assert refused([name], [link]) == f"{link}: cannot be written, it is in use as {name}"


def test_two_outputs_are_not_one_file(tmp_path: Path) -> None:
    one, two = str(tmp_path / "new"), str(tmp_path / "." / "x" / ".." / "new")
    assert refused([], [one, two]).startswith(two)


def test_two_outputs_are_not_both_standard_output() -> None:
    assert refused([], ["-", "-"]) == "-: cannot be written, it is in use as -"


@pytest.mark.parametrize(
    ("stream", "called"), [("stdout", "standard output"), ("stderr", "standard error")]
)
def test_an_output_is_not_the_file_of_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str, called: str
) -> None:
    name = str(tmp_path / "new")
    with Path(name).open("w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, stream, opened)
        assert refused([], [name]) == f"{name}: cannot be written, it is in use as {called}"


def test_an_output_is_not_the_file_of_standard_output_even_if_the_summary_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tmp_path / "new")
    with Path(name).open("w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        assert refused([], ["-", name]).startswith(name)


def test_an_output_is_not_the_file_of_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tmp_path / "in")
    Path(name).touch()
    with Path(name).open(encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        assert refused(["-"], [name]).endswith("it is in use as standard input")


@pytest.mark.parametrize("outputs", [[], ["-"]])
def test_standard_output_is_not_the_file_of_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: list[str]
) -> None:
    name = str(tmp_path / "in")
    with Path(name).open("a", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        complaint = f"standard output: cannot be written, it is in use as {name}"
        assert refused([name], outputs) == complaint


def test_standard_output_and_standard_error_may_be_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        monkeypatch.setattr(sys, "stderr", opened)
        refuse_clashes([], ["-", str(tmp_path / "new")])


def test_a_pipe_is_not_destroyed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        refuse_clashes([], [f"/dev/fd/{writer}"])
    os.close(reader)


def test_streams_that_are_closed_clash_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
    monkeypatch.setattr(sys, "stdin", None)
    refuse_clashes(["-"], ["-", str(tmp_path / "log")])


def test_a_loop_of_links_is_told_by_the_system(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refuse_clashes([str(tmp_path)], [str(loop)])
    with Outputs(print) as outputs, pytest.raises(UnusableError, match="Too many levels"):
        outputs.text(str(loop))


def test_two_outputs_are_not_one_loop_of_links(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert refused([], [str(loop)] * 2).startswith(str(loop))


def test_standard_input_and_output_do_not_clash() -> None:
    refuse_clashes(["-"], ["-"])


def test_two_inputs_may_be_the_same(tmp_path: Path) -> None:
    refuse_clashes([str(tmp_path)] * 2, [])


def test_two_outputs_may_both_go_nowhere() -> None:
    refuse_clashes([], [os.devnull, os.devnull])


def test_a_dash_is_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with Outputs(print) as outputs:
        outputs.text("-").write("text\n")
        sys.stdout.flush()
        outputs.binary("-").write(b"bytes\n")
    sys.stdout.flush()
    assert capsysbinary.readouterr().out == b"text\nbytes\n"


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    with Outputs(print) as outputs:
        outputs.text(str(tmp_path / "text")).write("ä")
        outputs.binary(str(tmp_path / "bytes")).write(b"\xff")
    assert [(tmp_path / name).read_bytes() for name in ("text", "bytes")] == [
        "ä".encode(),
        b"\xff",
    ]


def test_a_good_run_says_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    with Outputs(said.append) as outputs:
        outputs.text(str(tmp_path / "text"))
    assert said == []


def test_a_file_that_cannot_be_opened_is_unusable(tmp_path: Path) -> None:
    with Outputs(print) as outputs, pytest.raises(UnusableError, match=r": Is a directory$"):
        outputs.binary(str(tmp_path))


def test_a_bad_run_says_which_files_are_incomplete(tmp_path: Path) -> None:
    said: list[str] = []
    outputs = Outputs(said.append)
    outputs.text(str(tmp_path / "one"))
    outputs.text(str(tmp_path / "two"))
    with pytest.raises(KeyboardInterrupt), outputs:
        raise KeyboardInterrupt
    assert said == [f"{tmp_path / 'one'}: incomplete", f"{tmp_path / 'two'}: incomplete"]


@needs_full_disk
def test_a_disk_that_fills_up_at_the_end_makes_the_run_a_bad_one() -> None:
    said: list[str] = []
    outputs = Outputs(said.append)
    with pytest.raises(OSError, match="No space left") as caught, outputs:
        outputs.text(str(FULL)).write("more than fits")
    assert (caught.value.errno, said) == (errno.ENOSPC, ["/dev/full: incomplete"])


@needs_full_disk
def test_the_first_error_is_the_one_that_counts() -> None:
    outputs = Outputs(lambda _: None)
    outputs.text(str(FULL)).write("more than fits")
    with pytest.raises(KeyboardInterrupt), outputs:
        raise KeyboardInterrupt
