"""The table of ratios: worst cases, several runs, both builds side by side, targets."""

import json
from pathlib import Path
from typing import Any

import pytest

from benches.build import Build
from benches.report import Run, cells, main, read_run, table
from benches.rows import OTHERS, TARGETS, Row, Times

COMPILED, PLAIN = Build

SLOWNESS = Row("a packet", "fast", "library", "floor", compiled=0.5, plain=2.5)
SPEED = Row("a packet", "fast", "library", "by hand", compiled=30, plain=15, is_speed=True)
SHARE = Row("memory", "memory", "client", None, compiled=1, plain=1)

ONE_RUN: Times = {
    ("fast: v4", "floor"): 1.0,
    ("fast: v4", "library"): 2.0,
    ("fast: v4", "by hand"): 40.0,
    ("fast: v6", "floor"): 1.0,
    ("fast: v6", "library"): 3.0,
    ("fast: v6", "by hand"): 30.0,
}


def bench(group: str, side: str, **info: float) -> dict[str, Any]:
    return {
        "group": group,
        "extra_info": {"side": side, **info},
        "stats": {"min": 1.0, "median": 2.0},
    }


def write(path: Path, *benches: dict[str, Any], build: Build = PLAIN) -> Path:
    machine = {"build": build.value}
    path.write_text(json.dumps({"machine_info": machine, "benchmarks": benches}))
    return path


def timed(library: float, floor: float = 1.0, build: Build = PLAIN) -> Run:
    return Run(build, {("fast: v4", "floor"): floor, ("fast: v4", "library"): library})


# --- Reading -----------------------------------------------------------------------------


def test_the_fastest_round_is_divided_by_its_packets(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", bench("fast: v4", "floor", count=4))
    assert read_run(run) == Run(PLAIN, {("fast: v4", "floor"): 0.25})


def test_what_was_recorded_as_a_ratio_is_taken_as_it_is(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", bench("memory: own", "client", value=0.75), build=COMPILED)
    assert read_run(run) == Run(COMPILED, {("memory: own", "client"): 0.75})


# --- Ratios ------------------------------------------------------------------------------


def test_each_case_has_its_own_baseline() -> None:
    assert SLOWNESS.ratios(ONE_RUN) == {"v4": 2.0, "v6": 3.0}


def test_speed_is_how_many_times_as_fast() -> None:
    assert SPEED.ratios(ONE_RUN) == {"v4": 20.0, "v6": 10.0}


def test_a_group_without_cases_has_one() -> None:
    row = Row("clients", "clients: established flow", "10,000", "1")
    group = "clients: established flow"
    assert row.ratios({(group, "1"): 2.0, (group, "10,000"): 3.0}) == {"": 1.5}


def test_a_group_whose_name_goes_on_is_another() -> None:
    times = {("faster: v4", "floor"): 1.0, ("faster: v4", "library"): 2.0}
    assert SLOWNESS.ratios(times) == {}


def test_a_case_without_the_baseline_is_left_out() -> None:
    assert SLOWNESS.ratios({("fast: v4", "library"): 2.0}) == {}


def test_a_recorded_ratio_needs_no_baseline() -> None:
    assert SHARE.ratios({("memory: own", "client"): 0.75}) == {"own": 0.75}


# --- The table ---------------------------------------------------------------------------


def test_the_slowest_case_counts_for_what_may_take_so_long() -> None:
    assert cells(SLOWNESS, PLAIN, [Run(PLAIN, ONE_RUN)]) == ["3.00, v6", "≤ 2.5", "**no**"]


def test_the_slowest_case_counts_for_what_must_be_so_fast() -> None:
    assert cells(SPEED, PLAIN, [Run(PLAIN, ONE_RUN)]) == ["10.00, v6", "≥ 15", "**no**"]


@pytest.mark.parametrize(
    ("build", "library", "met"),
    [
        (COMPILED, 0.5, "yes"),
        (COMPILED, 0.51, "**no**"),
        (PLAIN, 2.5, "yes"),
        (PLAIN, 2.51, "**no**"),
    ],
)
def test_each_build_has_a_target_of_its_own(build: Build, library: float, met: str) -> None:
    assert cells(SLOWNESS, build, [timed(library, build=build)])[2] == met


def test_a_row_without_a_target_is_neither_met_nor_missed() -> None:
    row = Row("a packet", "fast", "library", "floor", compiled=1)
    assert cells(row, PLAIN, [Run(PLAIN, ONE_RUN)]) == ["3.00, v6", "", ""]


def test_the_fastest_rounds_of_all_runs_of_a_build_count_and_each_run_is_told() -> None:
    runs = [timed(4.4, floor=4.0), timed(4.0, floor=2.0), timed(0.1, build=COMPILED)]
    assert cells(SLOWNESS, PLAIN, runs) == ["2.00 (1.10 to 2.00), v4", "≤ 2.5", "yes"]


def test_both_builds_stand_side_by_side() -> None:
    assert table([SLOWNESS], [timed(2.0), timed(0.4, build=COMPILED)]).splitlines() == [
        "| what | beside | compiled | target | met | plain | target | met |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a packet | floor | 0.40, v4 | ≤ 0.5 | yes | 2.00, v4 | ≤ 2.5 | yes |",
    ]


def test_a_build_that_was_not_run_has_no_columns() -> None:
    assert table([SLOWNESS], [timed(2.0)]).splitlines()[2:] == [
        "| a packet | floor | 2.00, v4 | ≤ 2.5 | yes |"
    ]


def test_rows_that_were_not_run_are_left_out_of_the_table() -> None:
    assert table([SLOWNESS, SHARE], [Run(PLAIN, ONE_RUN)]).count("\n") == 2


def test_rows_that_were_not_run_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    floor = bench("established: v4", "floor", count=1)
    run = write(tmp_path / "run.json", floor, bench("established: v4", "alone", count=1))
    main([str(run)])
    printed = capsys.readouterr()
    assert "| established flow | floor | 1.00, v4 | ≤ 3 | yes |" in printed.out
    assert "memory of a client" in printed.err
    assert not printed.err.startswith("not in what was run: established flow by floor,")


# --- The rows ----------------------------------------------------------------------------


def test_no_row_is_there_twice() -> None:
    rows = [(row.group, row.side, row.baseline) for row in (*TARGETS, *OTHERS)]
    assert len(rows) == len(set(rows))


def test_the_rows_of_the_design_have_targets_and_the_others_none() -> None:
    assert all(row.compiled or row.plain for row in TARGETS)
    assert not any(row.compiled or row.plain for row in OTHERS)
