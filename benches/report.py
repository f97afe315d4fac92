"""The ratios of a run, as a Markdown table: `python -m benches.report RUN.json ...`.

Reads what `--benchmark-json` wrote. Of each bench it takes the fastest round: other
processes only ever make a round slower, and every round does the same work, so that the
minimum is what repeats from run to run; medians move with the load of the machine. Of
several runs it takes the fastest round of all, and tells how far the runs by themselves are
apart.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from attrs import frozen

Times = dict[tuple[str, str], float]
"""Seconds for one packet or call, by group and side."""


@frozen
class Ratio:
    """One row: one side of some groups beside another side of the same."""

    what: str
    """The row's name."""

    group: str
    """How the names of its groups begin: one group for each case."""

    side: str
    """What is measured."""

    baseline: str
    """What it is measured by."""

    at_most: float | None = None
    """The target, if it is to take no longer than so many times the baseline."""

    at_least: float | None = None
    """The target, if it is to be so many times as fast as the baseline."""

    @property
    def is_speed(self) -> bool:
        """Whether the ratio says how many times as fast, rather than as long."""
        return self.at_least is not None

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    def is_met(self, ratio: float) -> bool:
        if self.at_least is not None:
            return ratio >= self.at_least
        return self.at_most is None or ratio <= self.at_most

    def cases(self, times: Times) -> dict[str, float]:
        """Return the ratio of each of its groups in a run."""
        ratios = {}
        for (group, side), seconds in times.items():
            baseline = times.get((group, self.baseline))
            if group.startswith(self.group) and side == self.side and baseline:
                ratios[group] = baseline / seconds if self.is_speed else seconds / baseline
        return ratios


ROWS: Final = (
    Ratio("established flow, by the floor", "established", "alone", "floor", at_most=2.5),
    Ratio("the same with `now`", "established", "timed", "floor", at_most=2.5),
    Ratio("the same with `now` and `client_id`", "established", "named", "floor", at_most=2.5),
    Ratio("established flow, by hand", "established", "alone", "by hand", at_least=15),
    Ratio("the same with `now`", "established", "timed", "by hand", at_least=15),
    Ratio("the same with `now` and `client_id`", "established", "named", "by hand", at_least=15),
    Ratio("first packet, by hand", "first packet", "first packet", "by hand", at_least=2.5),
    Ratio(
        "first packet with a full memory, by hand",
        "first packet",
        "memory full",
        "by hand",
        at_least=2.5,
    ),
    Ratio("refused by its port, by a first packet", "refused", "port", "first packet", 1.25),
    Ratio("refused by its host", "refused", "no resource", "first packet", 1.25),
    Ratio("refused, no token left for a reply", "refused", "no token", "first packet", 1.25),
    Ratio("refused with a reply", "refused", "reply", "first packet"),
    Ratio("translated, established, by dpkt", "translated", "gateway", "dpkt", at_least=5),
    Ratio(
        "10 to 100,000 networks: established flow",
        "networks: established flow",
        "100,000",
        "10",
        1.25,
    ),
    Ratio(
        "10 to 100,000 networks: first packet",
        "networks: first packet",
        "100,000",
        "10",
        2,
    ),
    Ratio(
        "10 to 100,000 networks: `ClientFilterTable.match`",
        "networks: look-up in a table",
        "100,000",
        "10",
        2,
    ),
    Ratio(
        "1 to 10,000 clients: established flow",
        "clients: established flow",
        "10,000",
        "1",
        1.25,
    ),
    Ratio("1 to 10,000 clients: first packet", "clients: first packet", "10,000", "1", 2),
    Ratio("10 to 10,000 resources: `authorize`", "lifecycle: authorize", "10,000", "10", 2),
    Ratio("10 to 10,000 resources: `revoke`", "lifecycle: revoke", "10,000", "10", 2),
    Ratio("1 to 10,000 clients: `client_connected`", "lifecycle: client_c", "10,000", "1", 2),
    Ratio("after a scan: another's established flow", "scan", "after", "before", 1.1),
    Ratio("during a scan: another's established flow", "scan", "during", "before", 1.1),
    Ratio("`handle_packets`, by a loop", "batch", "batch", "loop", 1),
    Ratio("all 257 ports taken, by a new session", "new session", "no port left", "own port"),
    Ratio(
        "1 to 1,000 resources of one network: refused",
        "resources of one network",
        "1,000",
        "1",
    ),
    Ratio(
        "1 to 10,000 clients: established flows of all in turn",
        "clients: flows of all",
        "10,000",
        "1",
    ),
)


def read_times(path: Path) -> Times:
    """Read the fastest round of each bench of a run, for one packet or call."""
    run = json.loads(path.read_text(encoding="utf-8"))
    return {
        (bench["group"], bench["extra_info"]["side"]): (
            bench["stats"]["min"] / bench["extra_info"]["count"]
        )
        for bench in run["benchmarks"]
    }


def fastest(runs: list[Times]) -> Times:
    """Return the fastest round of each bench in any of the runs."""
    benches = {bench for times in runs for bench in times}
    return {bench: min(times[bench] for times in runs if bench in times) for bench in benches}


def row(ratio: Ratio, runs: list[Times]) -> str | None:
    """Return a line of the table, or `None` if the runs do not have what it needs."""
    cases = ratio.cases(fastest(runs))
    if not cases:
        return None
    ranked = sorted(cases, key=lambda case: cases[case], reverse=not ratio.is_speed)
    worst, best = ranked[0], ranked[-1]
    alone = [in_run[worst] for times in runs if worst in (in_run := ratio.cases(times))]
    cells = (
        ratio.what,
        worst.partition(": ")[2] if len(cases) > 1 else "",
        f"{cases[worst]:.2f}",
        f"{cases[best]:.2f} ({best.partition(': ')[2]})" if len(cases) > 1 else "",
        f"{min(alone):.2f} to {max(alone):.2f}" if len(alone) > 1 else "",
        ratio.target,
        ("yes" if ratio.is_met(cases[worst]) else "**no**") if ratio.target else "",
    )
    return f"| {' | '.join(cells)} |"


def table(runs: list[Times]) -> str:
    """Return the whole table."""
    head = [
        "| what | worst case | ratio | best case | single runs | target | met |",
        "|---|---|---:|---|---|---|---|",
    ]
    return "\n".join(head + [line for ratio in ROWS if (line := row(ratio, runs))])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.report", description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, help="what --benchmark-json wrote")
    runs = [read_times(path) for path in parser.parse_args().run]
    sys.stdout.write(table(runs) + "\n")


if __name__ == "__main__":
    main()
