"""Whole commands that read a capture, beside one another: `python -m benches.commands`.

Those of this library run in both builds, with the extension module and without. What counts is CPU
time, that of all threads and of the start included: a user waits for imports too. The commands
take turns, and the fastest round of each counts.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Final

from attrs import frozen

from benches.both import is_built
from benches.build import Build
from benches.captures import MILLION, kept_captures

SUMMARY, PARQUET, JSON_LINES = "summary", "Parquet", "JSON lines"
"""What `firezone-filter replay` writes: a summary alone, or the decisions too."""

OURS: Final = (SUMMARY, PARQUET, JSON_LINES)
BASELINES: Final = ("tcpdump", "tshark", "dpkt")

_FEW: Final = 1_000

_ONCE: Final = {"tshark"}

_DPKT: Final = """
import sys
from dpkt.pcap import Reader

with open(sys.argv[1], "rb") as stream:
    for _ in Reader(stream):
        pass
"""

# A process begins with the size of the one that started it, for the system's books: with a
# small one in between, what is told is its own.
_LAUNCH: Final = """
import os, sys

nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere)
_, status, usage = os.wait4(child, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


_CHOOSES: Final = {
    Build.COMPILED: ["-u", "FIREZONE_FILTER_PURE"],
    Build.PLAIN: ["FIREZONE_FILTER_PURE=1"],
}
"""What `env` is told for each build."""


@frozen
class Taken:
    """What a command took."""

    cpu: float
    """Seconds."""

    wall: float
    """Seconds."""

    memory: int
    """The most that it had resident, in kilobytes (of Linux)."""

    def least(self, other: "Taken") -> "Taken":
        """Return the least of each, of two runs."""
        return Taken(
            min(self.cpu, other.cpu),
            min(self.wall, other.wall),
            min(self.memory, other.memory),
        )


def commands(capture: Path, outputs: Path) -> dict[str, list[str]]:
    """Return the commands that can be run here, by their names.

    Args:
        capture: what they read; the policy through which it is replayed is beside it.
        outputs: a folder to write to.
    """
    python, policy = sys.executable, capture.with_name("policy.json")
    replay = [python, "-m", "firezone_filter", "replay", str(capture), "--policy", str(policy)]
    all_of_them = {
        SUMMARY: replay,
        PARQUET: [*replay, "--decisions", str(outputs / "decisions.parquet")],
        JSON_LINES: [*replay, "--decisions", str(outputs / "decisions.jsonl")],
        "tcpdump": ["tcpdump", "-nr", str(capture)],
        "tshark": ["tshark", "-nr", str(capture)],
        "dpkt": [python, "-c", _DPKT, str(capture)],
    }
    if find_spec("pyarrow") is None:
        del all_of_them[PARQUET]
    return {name: one for name, one in all_of_them.items() if shutil.which(one[0])}


def in_both_builds(these: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the same commands, those of this library once for each build that there is."""
    builds = Build if is_built() else [Build.PLAIN]
    both = {
        f"{name}, {build.value}": ["env", *_CHOOSES[build], *these[name]]
        for name in OURS
        if name in these
        for build in builds
    }
    return both | {name: these[name] for name in BASELINES if name in these}


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which a command is run: at its best.

    Bytecode is kept in *folder*, as it is of installed packages. And the time zone is said, since
    without it `tcpdump` asks for `/etc/localtime` with each packet, which takes half of its time.
    """
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "TZ": "UTC0",
    }


def fastest(
    these: Mapping[str, Sequence[str]], environ: Mapping[str, str], rounds: int
) -> dict[str, Taken]:
    """Run the commands in turn; return the least that each took.

    Those that nothing is held to, and that take longer than all others, run in the first round.
    """
    all_rounds = [
        {name: run(these[name], environ) for name in these if number == 0 or name not in _ONCE}
        for number in range(rounds)
    ]
    return {
        name: reduce(Taken.least, (one[name] for one in all_rounds if name in one))
        for name in these
    }


def run(command: Sequence[str], environ: Mapping[str, str]) -> Taken:
    """Run a command, whose text goes nowhere."""
    # The command is the one that launches those of this module.
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, *command]
    begin = perf_counter()
    launched = subprocess.run(  # noqa: S603
        launch, env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    wall = perf_counter() - begin
    cpu, memory, status = launched.stdout.split()
    if int(status) != 0:
        raise subprocess.CalledProcessError(int(status), command)
    return Taken(float(cpu), wall, int(memory))


def table(taken: Mapping[str, Taken], packets: int) -> str:
    """Return what was taken, and how many times as fast that is as each baseline."""
    beside = [name for name in BASELINES if name in taken]
    heads = [f"{packets:,} packets", "packets/s", *(f"by {name}" for name in beside)]
    rows = [[*heads, "CPU, s", "elapsed, s", "MB"], ["---", *["---:"] * (len(heads) + 2)]]
    for name, one in taken.items():
        ratios = [f"{taken[other].cpu / one.cpu:.2f}" for other in beside]
        took = [f"{one.cpu:.2f}", f"{one.wall:.2f}", f"{one.memory / 1024:.0f}"]
        rows.append([name, f"{packets / one.cpu:,.0f}", *ratios, *took])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a capture, run all commands, and print packets a second."""
    parser = argparse.ArgumentParser(prog="python -m benches.commands", description=__doc__)
    parser.add_argument("--packets", type=int, default=MILLION)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=[*OURS, *BASELINES])
    chosen = parser.parse_args(arguments)
    (capture,) = kept_captures(chosen.packets)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        these, environ = commands(capture, folder), environment(folder)
        picked = {name: these[name] for name in chosen.only or these if name in these}
        # Whatever runs first compiles bytecode.
        (few,) = kept_captures(min(_FEW, chosen.packets))
        fastest(in_both_builds(commands(few, folder)), environ, 1)
        taken = fastest(in_both_builds(picked), environ, chosen.rounds)
    sys.stdout.write(table(taken, chosen.packets))


if __name__ == "__main__":
    main()
