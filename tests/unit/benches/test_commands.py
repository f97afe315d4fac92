"""Whole commands beside one another: which they are, and the table of what they take."""

from pathlib import Path
from subprocess import CalledProcessError

import pytest

from benches.commands import (
    BASELINES,
    JSON_LINES,
    OURS,
    SUMMARY,
    Taken,
    commands,
    environment,
    fastest,
    in_both_builds,
    main,
    run,
    table,
)


def test_all_commands_read_the_capture(tmp_path: Path) -> None:
    these = commands(tmp_path / "some.pcap", tmp_path)
    assert {SUMMARY, JSON_LINES, "dpkt"} <= set(these) <= {*OURS, *BASELINES}
    assert all(str(tmp_path / "some.pcap") in command for command in these.values())


def test_a_program_that_is_missing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("benches.commands.find_spec", lambda _: None)
    assert set(commands(tmp_path / "some.pcap", tmp_path)) == {SUMMARY, JSON_LINES, "dpkt"}


@pytest.mark.parametrize(
    ("builds", "chosen"),
    [(["summary, compiled", "summary, plain"], ["", "1", "0"]), (["summary, plain"], ["1", "0"])],
    ids=["two", "one"],
)
def test_those_of_this_library_run_in_each_build_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[str], chosen: list[str]
) -> None:
    monkeypatch.setattr("benches.commands.is_built", lambda: len(builds) > 1)
    monkeypatch.setenv("FIREZONE_FILTER_PURE", "0")
    asks = ["sh", "-c", f"echo $FIREZONE_FILTER_PURE >>{tmp_path}/log"]
    these = in_both_builds({SUMMARY: asks, "dpkt": asks})
    assert list(these) == [*builds, "dpkt"]
    fastest(these, environment(tmp_path), 1)
    assert (tmp_path / "log").read_text().splitlines() == chosen


def test_commands_keep_their_bytecode_and_know_their_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environ = environment(tmp_path)
    assert environ["PYTHONPYCACHEPREFIX"].startswith(str(tmp_path))
    assert environ["TZ"] == "UTC0"
    assert "PYTHONDONTWRITEBYTECODE" not in environ


def test_commands_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = ("one", "tshark", "other")
    these = {name: ["sh", "-c", f"echo {name} >>{log}"] for name in names}
    taken = fastest(these, environment(tmp_path), 2)
    assert log.read_text().split() == ["one", "tshark", "other", "one", "other"]
    assert list(taken) == list(names)
    assert all(each.wall > 0 and each.memory > 100 for each in taken.values())


def test_the_least_of_each_round_counts() -> None:
    assert Taken(1.0, 4.0, 300).least(Taken(2.0, 3.0, 200)) == Taken(1.0, 3.0, 200)


def test_a_command_that_fails_is_no_measure(tmp_path: Path) -> None:
    with pytest.raises(CalledProcessError):
        run(["sh", "-c", "exit 3"], environment(tmp_path))


def test_the_table_tells_how_many_times_as_fast_each_is() -> None:
    taken = {"summary": Taken(0.5, 0.6, 50 << 10), "tcpdump": Taken(1.0, 1.1, 9 << 10)}
    head, _, ours, theirs = table(taken, 1_000_000).splitlines()
    assert head == "| 1,000,000 packets | packets/s | by tcpdump | CPU, s | elapsed, s | MB |"
    assert ours == "| summary | 2,000,000 | 2.00 | 0.50 | 0.60 | 50 |"
    assert theirs == "| tcpdump | 1,000,000 | 1.00 | 1.00 | 1.10 | 9 |"


def test_the_command_prints_a_row_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    main(["--packets", "300", "--rounds", "1", "--only", "summary", "--only", "dpkt"])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| 300 packets | packets/s | by dpkt |")
    names = [row.split(" | ")[0] for row in rows]
    assert names[-2:] == ["| summary, plain", "| dpkt"]
