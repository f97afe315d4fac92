"""The commands that the documents show print what these say."""

import shlex

import pytest

from firezone_filter.cli.ask.commands import COMMANDS
from firezone_filter.cli.command import run
from tests import snippets
from tests.snippets import ROOT

DOCUMENTS = {
    "README": ROOT / "README.md",
    "commands": ROOT / "docs" / "how-to" / "policies.md",
    "replay": ROOT / "docs" / "how-to" / "replay.md",
    "policy_tests": ROOT / "examples" / "policy_tests" / "README.md",
}
SHOWN = [
    pytest.param(*each, id=f"{name} {number}")
    for name, document in DOCUMENTS.items()
    for number, each in enumerate(snippets.console(document))
]


@pytest.mark.parametrize(("command", "output", "status"), SHOWN)
def test_a_command_prints_what_the_document_says(
    command: str,
    output: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert (program, run(arguments)) == ("firezone-filter", status)
    assert capsys.readouterr().out == output


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_each_command_that_asks_has_a_section_with_an_example(name: str) -> None:
    _, heading, section = DOCUMENTS["commands"].read_text().partition(f"\n## {name}\n")
    assert heading
    assert f"firezone-filter {name} " in section.partition("\n## ")[0]
