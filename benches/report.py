"""The ratios of a run, as Markdown: `python -m benches.report RUN.json ...`.

Reads what `--benchmark-json` wrote. Of each bench it takes the fastest round: other
processes only ever make a round slower, and every round does the same work, so that the
minimum is what repeats from run to run; medians move with the load of the machine. Of
several runs it takes the fastest round of all, and tells how far the runs by themselves are
apart.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benches.rows import OTHERS, TARGETS, Row, Times


def read_times(path: Path) -> Times:
    """Read the fastest round of each bench of a run, for one packet or call."""
    run = json.loads(path.read_text(encoding="utf-8"))
    return {
        (bench["group"], bench["extra_info"]["side"]): _value(bench) for bench in run["benchmarks"]
    }


def _value(bench: dict[str, dict[str, float]]) -> float:
    info = bench["extra_info"]
    return info["value"] if "value" in info else bench["stats"]["min"] / info["count"]


def fastest(runs: Sequence[Times]) -> Times:
    """Return the fastest round of each bench in any of the runs."""
    benches = {bench for times in runs for bench in times}
    return {bench: min(times[bench] for times in runs if bench in times) for bench in benches}


def line(row: Row, runs: Sequence[Times]) -> str | None:
    """Return a line of the table, or `None` if the runs do not have what it needs."""
    ratios = row.ratios(fastest(runs))
    if not ratios:
        return None
    ranked = sorted(ratios, key=lambda case: ratios[case], reverse=not row.is_speed)
    worst, best = ranked[0], ranked[-1]
    alone = [in_run[worst] for times in runs if worst in (in_run := row.ratios(times))]
    cells = (
        row.what,
        row.baseline or "",
        worst,
        f"{ratios[worst]:.2f}",
        f"{ratios[best]:.2f} ({best})" if len(ratios) > 1 else "",
        f"{min(alone):.2f} to {max(alone):.2f}" if len(alone) > 1 else "",
        row.target,
        ("yes" if row.is_met(ratios[worst]) else "**no**") if row.target else "",
    )
    return f"| {' | '.join(cells)} |"


def table(rows: Iterable[Row], runs: Sequence[Times]) -> str:
    """Return a table of those rows that the runs have something for."""
    head = [
        "| what | beside | worst case | ratio | best case | single runs | target | met |",
        "|---|---|---|---:|---|---|---|---|",
    ]
    return "\n".join(head + [text for row in rows if (text := line(row, runs))])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what has a target, and then what has none."""
    parser = argparse.ArgumentParser(prog="python -m benches.report", description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, help="what --benchmark-json wrote")
    runs = [read_times(path) for path in parser.parse_args(arguments).run]
    sys.stdout.write(f"{table(TARGETS, runs)}\n\n{table(OTHERS, runs)}\n")
    absent = [row.what for row in (*TARGETS, *OTHERS) if not row.ratios(fastest(runs))]
    if absent:
        sys.stderr.write(f"not in what was run: {', '.join(absent)}\n")


if __name__ == "__main__":
    main()
