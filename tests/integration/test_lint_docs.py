"""lint.md: its program prints what it says, and its codes are those of the table."""

import re
from typing import Any, Final

import pytest

from firezone_filter.policy.analysis.findings import CODES, LintCode
from tests import snippets
from tests.snippets import ROOT

LINT: Final = ROOT / "docs" / "reference" / "lint.md"


def sections() -> dict[str, str]:
    """Return the text about each code, in one line, by its title."""
    _, *parts = re.split(r"^###? ", LINT.read_text(), flags=re.MULTILINE)
    split = (part.partition("\n") for part in parts)
    return {title: " ".join(text.split()) for title, _, text in split if title.startswith("FZ")}


def test_the_program_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = snippets.blocks(LINT, "python")
    names: dict[str, Any] = {}
    exec(compile(program, "lint.md", "exec"), names)  # noqa: S102 - ours
    (printed,) = snippets.blocks(LINT, "text")
    assert capsys.readouterr().out == printed


def test_every_code_has_a_section_in_the_order_of_the_table() -> None:
    assert list(sections()) == [f"{one.code} {one.name}" for one in CODES.values()]


@pytest.mark.parametrize("one", CODES.values(), ids=CODES)
def test_the_page_says_of_a_code_what_the_table_says_and_what_to_do(one: LintCode) -> None:
    text = sections()[f"{one.code} {one.name}"]
    assert text.startswith(f"```{{from-code}} lint {one.code} ``` Example: ")
    assert re.search(r" \*Why it matters\.\* .+ \*What to do\.\* .+", text)
