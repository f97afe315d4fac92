"""The ratios of some runs, as Markdown: `python -m benches.report RUN.json ...`.

Reads what `--benchmark-json` wrote, of the compiled build, of the plain one, or of both side by
side: each file says which it measured. Of each bench it takes the fastest round: other
processes only ever make a round slower, and every round does the same work, so that the
minimum is what repeats from run to run; medians move with the load of the machine. Of
several runs of a build it takes the fastest round of all, and tells how far the runs by
themselves are apart.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from attrs import frozen

from benches.build import Build
from benches.rows import OTHERS, TARGETS, Row, Times

_CELLS = 3
"""Columns of a build."""


@frozen
class Run:
    """What was measured in one process."""

    build: Build
    times: Times


def read_run(path: Path) -> Run:
    """Read the fastest round of each bench of a run, for one packet or call."""
    run = json.loads(path.read_text(encoding="utf-8"))
    times = {
        (bench["group"], bench["extra_info"]["side"]): _value(bench) for bench in run["benchmarks"]
    }
    return Run(Build(run["machine_info"]["build"]), times)


def _value(bench: dict[str, dict[str, float]]) -> float:
    info = bench["extra_info"]
    return info["value"] if "value" in info else bench["stats"]["min"] / info["count"]


def fastest(runs: Iterable[Times]) -> Times:
    """Return the fastest round of each bench in any of the runs."""
    least: Times = {}
    for times in runs:
        for bench, value in times.items():
            least[bench] = min(value, least.get(bench, value))
    return least


def cells(row: Row, build: Build, runs: Sequence[Run]) -> list[str]:
    """Return the columns of a build: its worst ratio, the target, and whether it is met."""
    target = row.target(build)
    least_or_most = "" if target is None else f"{'≥' if row.is_speed else '≤'} {target:g}"
    of_build = [run.times for run in runs if run.build is build]
    ratios = row.ratios(fastest(of_build))
    if not ratios:
        return ["", least_or_most, ""]
    worst = (min if row.is_speed else max)(ratios, key=lambda case: ratios[case])
    alone = [in_run[worst] for times in of_build if worst in (in_run := row.ratios(times))]
    ratio = f"{ratios[worst]:.2f}"
    if len(alone) > 1:
        ratio += f" ({min(alone):.2f} to {max(alone):.2f})"
    if worst:
        ratio += f", {worst}"
    met = "" if target is None else "yes" if row.is_met(build, ratios[worst]) else "**no**"
    return [ratio, least_or_most, met]


def table(rows: Iterable[Row], runs: Sequence[Run]) -> str:
    """Return a table of those rows that the runs have something for."""
    builds = [build for build in Build if any(run.build is build for run in runs)]
    lines = [
        ["what", "beside", *(name for build in builds for name in (build.value, "target", "met"))],
        ["---"] * (2 + _CELLS * len(builds)),
    ]
    for row in rows:
        measured = [cells(row, build, runs) for build in builds]
        if any(ratio for ratio, _, _ in measured):
            lines.append([row.what, row.baseline or "", *chain.from_iterable(measured)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def absent(rows: Iterable[Row], runs: Sequence[Run]) -> list[str]:
    """Name the rows that the runs have nothing for."""
    times = fastest(run.times for run in runs)
    missing = [row for row in rows if not row.ratios(times)]
    return [row.what + (f" by {row.baseline}" if row.baseline else "") for row in missing]


def print_tables(runs: Sequence[Run]) -> None:
    """Print what has targets, and then what has none."""
    sys.stdout.write(f"{table(TARGETS, runs)}\n\n{table(OTHERS, runs)}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of some files."""
    parser = argparse.ArgumentParser(prog="python -m benches.report", description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, help="what --benchmark-json wrote")
    runs = [read_run(path) for path in parser.parse_args(arguments).run]
    print_tables(runs)
    if names := absent((*TARGETS, *OTHERS), runs):
        sys.stderr.write(f"not in what was run: {', '.join(names)}\n")


if __name__ == "__main__":
    main()
