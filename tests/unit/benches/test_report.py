"""The table of ratios: worst cases, several runs, targets."""

import json
from pathlib import Path
from typing import Any

import pytest

from benches.report import line, main, read_times, table
from benches.rows import OTHERS, TARGETS, Row, Times

SLOWNESS = Row("a packet", "fast", "library", "floor", at_most=2.5)
SPEED = Row("a packet", "fast", "library", "by hand", at_least=15, is_speed=True)
SHARE = Row("memory", "memory", "client", None, at_most=1)

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


def write(path: Path, *benches: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"benchmarks": benches}))
    return path


# --- Reading -----------------------------------------------------------------------------


def test_the_fastest_round_is_divided_by_its_packets(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", bench("fast: v4", "floor", count=4))
    assert read_times(run) == {("fast: v4", "floor"): 0.25}


def test_what_was_recorded_as_a_ratio_is_taken_as_it_is(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", bench("memory: own", "client", value=0.75))
    assert read_times(run) == {("memory: own", "client"): 0.75}


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
    expected = "| a packet | floor | v6 | 3.00 | 2.00 (v4) |  | at most 2.5 | **no** |"
    assert line(SLOWNESS, [ONE_RUN]) == expected


def test_the_slowest_case_counts_for_what_must_be_so_fast() -> None:
    expected = "| a packet | by hand | v6 | 10.00 | 20.00 (v4) |  | at least 15 | **no** |"
    assert line(SPEED, [ONE_RUN]) == expected


def test_a_target_that_is_just_reached_is_met() -> None:
    times = {("fast: v4", "floor"): 2.0, ("fast: v4", "library"): 5.0}
    assert line(SLOWNESS, [times]) == "| a packet | floor | v4 | 2.50 |  |  | at most 2.5 | yes |"


def test_a_row_without_a_target_is_neither_met_nor_missed() -> None:
    row = Row("a packet", "fast", "library", "floor")
    assert line(row, [ONE_RUN]) == "| a packet | floor | v6 | 3.00 | 2.00 (v4) |  |  |  |"


def test_the_fastest_rounds_of_all_runs_count_and_each_run_is_told() -> None:
    times = {("fast: v4", "floor"): 2.0, ("fast: v4", "library"): 4.0}
    slow_floor = {("fast: v4", "floor"): 4.0, ("fast: v4", "library"): 4.4}
    expected = "| a packet | floor | v4 | 2.00 |  | 1.10 to 2.00 | at most 2.5 | yes |"
    assert line(SLOWNESS, [slow_floor, times]) == expected


def test_rows_that_were_not_run_are_left_out_of_the_table() -> None:
    assert table([SLOWNESS, SHARE], [ONE_RUN]).count("\n") == 2


def test_rows_that_were_not_run_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(
        tmp_path / "run.json",
        bench("established: v4", "floor", count=1),
        bench("established: v4", "alone", count=1),
    )
    main([str(run)])
    printed = capsys.readouterr()
    assert "| established flow | floor | v4 | 1.00 |  |  | at most 3 | yes |" in printed.out
    assert "memory of a client" in printed.err
    assert not printed.err.startswith("not in what was run: established flow, with `now`,")


def test_no_row_is_there_twice() -> None:
    rows = [(row.group, row.side, row.baseline) for row in (*TARGETS, *OTHERS)]
    assert len(rows) == len(set(rows))


def test_the_rows_of_the_design_have_targets_and_the_others_none() -> None:
    assert all(row.target for row in TARGETS)
    assert not any(row.target for row in OTHERS)
