"""The README is short, its commands are the gate's, its program runs, and its picture is there."""

import re
from typing import Final

import pytest

from firezone_filter.testing import icmp_echo
from tests.snippets import ROOT, blocks

README: Final = ROOT / "README.md"
MAX_LINES: Final = 150


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_LINES


def test_its_sh_blocks_are_the_example_and_the_tests() -> None:
    example, tests = blocks(README, "sh")
    assert "firezone-filter replay examples/office/office.pcap" in example
    assert "-m pytest" in tests


def test_its_one_program_lets_a_ping_pass(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks(README, "python")
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - ours
    ping = icmp_echo("100.64.0.2 > 10.0.0.5")
    assert capsys.readouterr().out == f"to the network: {ping.hex()}\n"


def test_its_one_picture_is_small() -> None:
    (name,) = re.findall(r"!\[[^\]]+\]\((.+)\)", README.read_text())
    picture = ROOT / name
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000


def test_its_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https:)([^)#]+)", README.read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []
