"""Whatever the documents show to be typed is run, or says that it is only shown.

`tests.snippets` has the convention.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import click
import pytest

from firezone_filter.cli.command import cli, run
from tests import snippets
from tests.snippets import DOCUMENTS, ROOT, Block, fenced, page_name

ELSEWHERE: Final = {
    "README": "tests/integration/test_readme.py",  # and the gate, which pastes its commands
    "docs/how-to/gateway": "tests/e2e/test_gateway_docs.py",
    "docs/tutorial/gateway": "tests/e2e/test_tutorial.py",
}
"""Pages whose commands need more than a folder, and who runs them."""

LABELS: Final = {
    "python": {"", "shown"},
    "json": {"", "shown"},
    "sh": {"", "shown"},
    "console": {"", "fails", "shown"},
}
OTHER_SHELLS: Final = {"bash", "shell", "zsh", "py", "python3", "pycon"}

PAGES: Final = {page_name(document): document for document in DOCUMENTS}
TYPED: Final = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            "jq --" in document.read_text("utf-8") and shutil.which("jq") is None,
            reason="jq is not installed",
        ),
    )
    for name, document in PAGES.items()
    if name not in ELSEWHERE
    and any(one.language in ("sh", "console") and one.label != "shown" for one in fenced(document))
]
COMMAND: Final = re.compile(r"(?:^|[|(&;$ ])\s*firezone-filter((?: |\\\n)[^|)&;]+)", re.MULTILINE)
SHELL: Final = re.compile(r"[|<>$;&]")


@pytest.mark.parametrize("name", PAGES)
def test_a_block_is_run_or_saved_or_says_that_it_is_only_shown(name: str) -> None:
    for block in fenced(PAGES[name]):
        assert block.language not in OTHER_SHELLS, block
        assert block.is_file or block.label in LABELS.get(block.language, {""}), block


@pytest.mark.parametrize("name", PAGES)
def test_no_example_hides_behind_an_indent(name: str) -> None:
    assert not re.search(r"^ +```(sh|console|python)\b", PAGES[name].read_text(), re.MULTILINE)


def test_who_runs_what_is_not_run_here_is_there() -> None:
    assert all((ROOT / runner).exists() for runner in ELSEWHERE.values())


def in_shell(command: str, folder: Path) -> tuple[int, str]:
    """Run commands as they would be pasted; return the exit status and what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(  # noqa: S603 - ours
        ["/usr/bin/env", "bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def typed(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command; ours alone, as nearly all are, without a process of its own."""
    program, *arguments = shlex.split(command)
    if program != "firezone-filter" or SHELL.search(command):
        return in_shell(command, folder)
    return run(arguments), capsys.readouterr().out


def check(block: Block, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a block, and compare what it prints with what it shows."""
    if block.is_file:
        (folder / block.label).write_text(block.text)
    elif block.language == "sh" and not block.label:
        assert in_shell(block.text, folder)[0] == 0, block.text
    elif block.language == "console" and block.label != "shown":
        for command, output in snippets.steps(block):
            assert typed(command, folder, capsys) == (int(block.label == "fails"), output)


@pytest.mark.parametrize("name", TYPED)
def test_the_commands_of_a_page_do_what_it_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for block in fenced(PAGES[name]):
        check(block, tmp_path, capsys)


def found(words: list[str]) -> click.Command:
    """Return the command that the first words name."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
    return command


@pytest.mark.parametrize("name", PAGES)
def test_every_option_that_a_page_shows_is_there(name: str) -> None:
    for block in fenced(PAGES[name]):
        for shown in COMMAND.findall(block.text):
            line = shown.replace("\\\n", " ").partition("\n")[0]
            words = re.findall(r"[^\s']+", line)
            there = {option for one in found(words).params for option in one.opts}
            options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert options <= there | {"--help", "-h"}, line


@pytest.mark.parametrize("name", PAGES)
def test_every_extra_that_a_page_installs_is_there(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"(?:firezone-filter|'\.)\[([\w,]+)\]", PAGES[name].read_text()):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
