"""The programs of docs/how-to/replay.md run, and find what there is to be found."""

import inspect
import re
from pathlib import Path

import pytest

from firezone_filter import replay
from firezone_filter.cli.command import cli
from tests import snippets
from tests.snippets import ROOT

PAGE = ROOT / "docs" / "how-to" / "replay.md"
OPTIONS = cli.commands["replay"].params
FIRST, WITH_PANDAS, WITH_DUCKDB = snippets.blocks(PAGE, "python")


def printed_by(
    program: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    (folder / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(folder)
    exec(compile(program, "docs", "exec"), {"__name__": "docs"})  # noqa: S102 - ours
    return capsys.readouterr().out


def test_the_first_program_tells_what_is_refused_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, *refused = printed_by(FIRST, tmp_path, monkeypatch, capsys).splitlines()
    assert summary.startswith("165 packets AuthorizationExpired(")
    assert len(refused) == 34
    assert (refused[0], refused[-1]) == ("73 outbound tcp-port", "165 outbound no-resource")
    assert len((tmp_path / "decisions.jsonl").read_text().splitlines()) == 165
    assert (tmp_path / "refused.pcapng").stat().st_size > 0


def test_pandas_counts_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="needs the extra replay")
    pytest.importorskip("pyarrow", reason="needs the extra replay")
    printed = printed_by(WITH_PANDAS, tmp_path, monkeypatch, capsys)
    assert re.search(r" icmp +2\n", printed)
    assert "165 (AuthorizationExpired(" in printed


def test_duckdb_asks_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    pytest.importorskip("pyarrow", reason="needs the extra replay")
    printed = printed_by(WITH_DUCKDB, tmp_path, monkeypatch, capsys)
    rows = [line for line in printed.splitlines() if "alice" in line]
    assert len(rows) == 5
    assert re.search(r"alice.*no-resource.*20.*2026-11-23 11:51:1", rows[0])


@pytest.mark.parametrize("name", [name for name in vars(replay.Replay) if name[0] != "_"])
def test_the_page_names_what_a_run_can_be_asked(name: str) -> None:
    assert re.search(rf"`(run|Replay)\.{name}\b", PAGE.read_text())


@pytest.mark.parametrize("name", replay.__all__)
def test_the_page_names_whatever_is_public(name: str) -> None:
    assert re.search(rf"`{name}\b", PAGE.read_text())


@pytest.mark.parametrize("name", [*inspect.signature(replay.replay).parameters][2:])
def test_the_page_tells_of_every_argument(name: str) -> None:
    assert re.search(rf"`{name}(=|`)", PAGE.read_text())


@pytest.mark.parametrize("option", [one.opts[-1] for one in OPTIONS if one.opts[-1][0] == "-"])
def test_the_page_tells_of_every_option(option: str) -> None:
    assert re.search(rf"{option}\b", PAGE.read_text())
