"""The tests of docs/how-to/scapy.md pass, and its packets are what it says."""

from typing import Any, Final

import pytest

from tests.snippets import ROOT, blocks

pytest.importorskip("scapy", reason="scapy is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of scapy's own

PAGE: Final = ROOT / "docs" / "how-to" / "scapy.md"
TESTS, REPLY = blocks(PAGE, "python")


def defined_by(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(program, "docs", "exec"), names)  # noqa: S102 - ours
    return names


def test_the_tests_of_the_page_pass() -> None:
    tests = [value for name, value in defined_by(TESTS).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_the_reply_is_as_the_page_says() -> None:
    assert "reply" in defined_by(REPLY)
