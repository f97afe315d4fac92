"""Each command that asks a policy has a section with an example (`test_pages` runs it)."""

import pytest

from firezone_filter.cli.ask.commands import COMMANDS
from tests.snippets import ROOT

PAGE = ROOT / "docs" / "how-to" / "policies.md"


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_each_command_that_asks_has_a_section_with_an_example(name: str) -> None:
    _, heading, section = PAGE.read_text().partition(f"\n## {name}\n")
    assert heading
    assert f"firezone-filter {name} " in section.partition("\n## ")[0]
