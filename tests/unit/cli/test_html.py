"""`replay --html`: a report of a capture."""

import json
import sys
from pathlib import Path

import pytest

from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from tests.captures import ALLOWED, FOREIGN, POLICY, REFUSED, WIFI, pcap


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "office.pcap").write_bytes(pcap(ALLOWED, REFUSED, FOREIGN))
    return tmp_path


def run_in(folder: Path, *options: str | Path) -> int:
    capture, policy_file = folder / "office.pcap", folder / "policy.json"
    arguments = ["replay", capture, "--policy", policy_file, *options]
    return run([str(argument) for argument in arguments])


def test_the_report_says_what_was_decided(files: Path) -> None:
    assert run_in(files, "--html", files / "report.html") == ExitStatus.DONE
    page = (files / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for text in ("office.pcap", "policy.json", "Database", "<dt>Not ours</dt><dd>1</dd>"):
        assert text in page
    assert str(files) not in page
    assert "✗ resource " in page


def test_it_may_go_to_standard_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in(files, "--html", "-") == ExitStatus.DONE
    said = capsys.readouterr()
    assert said.out.endswith("</html>\n")
    assert "3 packets" in said.err


def test_what_is_odd_about_the_capture_is_in_the_report(files: Path) -> None:
    (files / "office.pcap").write_bytes(pcap(ALLOWED, link_type=WIFI)[:-1])
    assert run_in(files, "--html", files / "report.html") == ExitStatus.DAMAGED
    page = (files / "report.html").read_text()
    assert "decided up to there" in page
    assert "nothing was decided" in page


def test_it_never_takes_the_place_of_an_input(files: Path) -> None:
    assert run_in(files, "--html", files / "office.pcap") == ExitStatus.UNUSABLE
    assert (files / "office.pcap").read_bytes() == pcap(ALLOWED, REFUSED, FOREIGN)


def test_without_its_extra_the_command_says_so_before_it_begins(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run_in(files, "--html", files / "report.html") == ExitStatus.UNUSABLE
    assert capsys.readouterr().err.splitlines() == [
        f"firezone-filter: {files / 'report.html'}: not written",
        "firezone-filter: matplotlib is missing: pip install 'firezone-filter[report]'",
    ]
    assert not (files / "report.html").exists()
