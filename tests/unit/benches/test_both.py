"""Both builds in turn: what is run, where, and what comes of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benches import both
from benches.build import Build

Process = subprocess.CompletedProcess[bytes]


class Runs:
    """What is run in place of pytest; each module takes the compiled build 1 and the plain 5."""

    def __init__(self, ends_with: int = 0) -> None:
        self.ran: list[tuple[str, str]] = []
        self.is_built = True
        self.ends_with = ends_with

    def __call__(self, command: list[str], *, env: dict[str, str], **_: Any) -> Process:  # noqa: ANN401
        if "-c" in command:
            return subprocess.CompletedProcess(command, int(not self.is_built))
        build = Build.PLAIN if env["FIREZONE_FILTER_PURE"] else Build.COMPILED
        self.ran.append((Path(command[3]).stem, build.value))
        written = next(one for one in command if one.startswith("--benchmark-json="))
        library = {"side": "alone", "value": 1.0 if build is Build.COMPILED else 5.0}
        benches = [
            {"group": "established: v4", "extra_info": info}
            for info in ({"side": "floor", "value": 2.0}, library)
        ]
        found = {"machine_info": {"build": build.value}, "benchmarks": benches}
        Path(written.partition("=")[2]).write_text(json.dumps(found))
        return subprocess.CompletedProcess(command, self.ends_with)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(subprocess, "run", runs)
    return runs


def test_the_builds_take_turns_module_by_module(runs: Runs) -> None:
    both.main(["--only", "refused", "--runs", "2"])
    once = [
        (module, build)
        for module in ("bench_refused", "bench_refused_among")
        for build in ("compiled", "plain")
    ]
    assert runs.ran == once * 2


def test_without_a_pattern_all_modules_are_run(runs: Runs) -> None:
    both.main([])
    folder = Path(both.__file__).parent
    assert {module for module, _ in runs.ran} == {one.stem for one in folder.glob("bench_*.py")}


def test_the_table_has_both_builds(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    both.main(["--only", "established"])
    expected = "| established flow | floor | 0.50, v4 | ≤ 0.5 | yes | 2.50, v4 | ≤ 3 | yes |"
    assert expected in capsys.readouterr().out
    assert len(runs.ran) == 2


def test_the_files_of_all_runs_are_kept_on_request(runs: Runs, tmp_path: Path) -> None:
    both.main(["--only", "memory", "--runs", "3", "--output", str(tmp_path / "all")])
    assert len(list((tmp_path / "all").iterdir())) == len(runs.ran) == 6


def test_a_module_of_which_nothing_was_selected_is_left_out(runs: Runs) -> None:
    runs.ends_with = 5
    both.main(["--only", "memory", "--", "-k", "nothing"])
    assert len(runs.ran) == 2


def test_a_bench_that_fails_ends_it(runs: Runs) -> None:
    runs.ends_with = 1
    with pytest.raises(SystemExit, match=r"bench_memory\.py, compiled: pytest ended with 1"):
        both.main(["--only", "memory"])


def test_without_an_extension_module_it_says_so(runs: Runs) -> None:
    runs.is_built = False
    with pytest.raises(SystemExit, match="there is no extension module"):
        both.main([])
    assert runs.ran == []


def test_the_plain_build_is_the_one_with_the_module_switched_off() -> None:
    ask = "from benches import build; raise SystemExit(build.BUILD is not build.Build.PLAIN)"
    # The command is written above.
    asked = subprocess.run(  # noqa: S603
        [sys.executable, "-c", ask], env=both.environment(Build.PLAIN), check=False
    )
    assert asked.returncode == 0
