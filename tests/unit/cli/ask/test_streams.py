"""How every command that asks ends when its streams or its user do."""

import io
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from firezone_filter.cli.ask import diff_job, explain_job, lint_job, reach_job, tests_job
from firezone_filter.cli.exit import ExitStatus
from tests.unit.cli.terminal import Said, closed_pipe

from .asking import ALICE, POLICY, PROPOSED, ask, document, written

FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")

TARGET = ["tcp", "10.0.0.5:5432"]
COMMANDS = {
    "explain": ["explain", "--policy", POLICY, "--client", "alice", *TARGET],
    "reach": ["reach", "--policy", POLICY, "--client", "alice"],
    "who": ["who", "--policy", POLICY, *TARGET],
    "test": ["test", "--policy", POLICY],
    "lint": ["lint", POLICY],
    "diff": ["diff", PROPOSED, POLICY],
}
"""Every command that reads a policy, with arguments that make it print something."""

each_command = pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)


@each_command
def test_a_closed_pipe_ends_in_silence(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, arguments: list[object]
) -> None:
    with closed_pipe(monkeypatch):
        assert ask(*arguments) == ExitStatus.CLOSED_PIPE
    assert said().err == []


@needs_full_disk
@each_command
def test_a_full_disk_is_reported_once(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, arguments: list[object]
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ask(*arguments) == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: writing stops: No space left on device"]


@each_command
def test_ctrl_c_ends_in_silence(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, arguments: list[object]
) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    for module in (diff_job, explain_job, lint_job, reach_job, tests_job):
        monkeypatch.setattr(module, "read_policy", interrupt)
    assert ask(*arguments) == ExitStatus.INTERRUPTED
    assert said() == Said([], [])


@each_command
def test_each_fault_of_a_policy_is_a_line_and_nothing_else_is_printed(
    said: Callable[[], Said], tmp_path: Path, arguments: list[object]
) -> None:
    faulty = document(ALICE, clients=[], optoins={}, tests=7)
    del faulty["gateway"]
    name = written(tmp_path, faulty, "\x1b.json")
    given = [name if one == POLICY else one for one in arguments]
    assert ask(*given) == ExitStatus.UNUSABLE
    printed = said()
    assert printed.out == []
    shown = name.replace("\x1b", "\\x1b")
    assert len(printed.err) == 3
    assert all(line.startswith(f"firezone-filter: {shown}: ") for line in printed.err)


@each_command
def test_a_policy_may_come_from_standard_input(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, arguments: list[object]
) -> None:
    ask(*arguments)
    expected = said().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POLICY.read_bytes())))
    ask(*("-" if one == POLICY else one for one in arguments))
    shown = [line.replace(str(POLICY), "standard input") for line in expected]
    assert said() == Said(shown, [])


def test_the_schema_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("schema") == ExitStatus.DONE
    shipped = files("firezone_filter.policy").joinpath("policy.schema.json")
    assert capsys.readouterr().out == shipped.read_text()
