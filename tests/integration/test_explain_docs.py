"""explain.md: its programs print what it says, and its table is that of the code."""

import re
from typing import Any, Final

import pytest

from tests import snippets
from tests.property.asked import ROWS
from tests.property.pools import INBOUND, OUTBOUND
from tests.snippets import ROOT

EXPLAIN: Final = ROOT / "docs" / "how-to" / "explain.md"


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without its head."""
    _, _, rest = EXPLAIN.read_text().partition(f"\n## {heading}\n")
    rows = re.findall(r"^\| (.*) \|$", rest.partition("\n## ")[0], re.MULTILINE)
    return [re.split(r" ?\| ", row) for row in rows[2:]]


def test_the_programs_run_and_the_first_prints_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for program in snippets.blocks(EXPLAIN, "python"):
        names: dict[str, Any] = {}
        exec(compile(program, "explain.md", "exec"), names)  # noqa: S102 - ours
    (printed,) = snippets.blocks(EXPLAIN, "text")
    assert capsys.readouterr().out == printed


def test_every_check_is_in_the_table_in_the_order_of_its_direction() -> None:
    rows = table("The checks")
    for column, direction in enumerate((OUTBOUND, INBOUND), 1):
        names = [row[0].strip("`") for row in rows if row[column].strip()]
        assert tuple(names) == ROWS[direction]
