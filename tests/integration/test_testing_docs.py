"""The tests that docs/how-to/testing.md shows pass and fail as it says."""

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import settings

from firezone_filter import testing
from tests import snippets
from tests.snippets import ROOT

TESTING: Final = ROOT / "docs" / "how-to" / "testing.md"
FOUND: Final = settings(max_examples=500, derandomize=True, database=None)

EXAMPLE, PLANTED, STORIES = snippets.blocks(TESTING, "python")


def defined_by(program: str) -> Callable[[], None]:
    """Run a program of the page, and return the one test that it defines."""
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(program, "docs", "exec"), names)  # noqa: S102 - ours
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    found: Callable[[], None] = test
    return found


@pytest.mark.parametrize("program", [EXAMPLE, STORIES], ids=["example", "stories"])
def test_what_should_hold_holds(program: str) -> None:
    defined_by(program)()


def test_the_planted_fault_is_found_and_explained_as_the_page_shows() -> None:
    (shown,) = snippets.blocks(TESTING, "text")
    with pytest.raises(AssertionError) as raised:
        FOUND(defined_by(PLANTED))()
    assert str(raised.value) == shown.rstrip("\n")


def test_without_the_fault_the_property_holds() -> None:
    planted = 'CidrResource("monitoring", "10.20.30.0/24")'
    assert PLANTED.count(planted) == 1
    FOUND(defined_by(PLANTED.replace(planted, f"{planted[:-1]}, [Tcp(9100)])")))()


@pytest.mark.parametrize("name", testing.__all__)
def test_the_page_names_whatever_is_public(name: str) -> None:
    assert re.search(rf"`{name}\b|\b{name}[`(]", TESTING.read_text())
