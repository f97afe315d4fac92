"""docs/reference/captures.md: its example runs, and it names whatever is public."""

import re

import pytest

from firezone_filter import capture
from tests import snippets
from tests.snippets import ROOT

CAPTURES = ROOT / "docs" / "reference" / "captures.md"


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = snippets.blocks(CAPTURES, "python")
    exec(compile(program, "docs", "exec"), {"__name__": "docs"})  # noqa: S102 - ours
    assert capsys.readouterr().out == "1 1234567890000000000 1\n"


@pytest.mark.parametrize("name", capture.__all__)
def test_the_page_names_whatever_is_public(name: str) -> None:
    assert re.search(rf"`{name}\b", CAPTURES.read_text())
