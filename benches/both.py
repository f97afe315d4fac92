"""All benches in both builds, and the table: `python -m benches.both`.

The two builds take turns, module by module, so that what stands side by side was measured
within minutes: a machine is not equally fast all the time. The plain build is the same
package with the extension module switched off.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benches.build import Build
from benches.report import Run, print_tables, read_run

_BENCHES = Path(__file__).parent
_NOTHING_SELECTED = 5
"""What pytest ends with if `-k` leaves nothing of a module."""


def environment(build: Build) -> dict[str, str]:
    """Return the environment in which that build is the one that is imported."""
    return os.environ | {"FIREZONE_FILTER_PURE": "1" if build is Build.PLAIN else ""}


def is_built() -> bool:
    """Tell whether there is an extension module to measure."""
    ask = "from benches import build; raise SystemExit(build.BUILD is not build.Build.COMPILED)"
    # The command is written right here.
    asked = subprocess.run([sys.executable, "-c", ask], env=environment(Build.COMPILED))  # noqa: PLW1510, S603
    return asked.returncode == 0


def modules(patterns: Sequence[str]) -> list[Path]:
    """Return the modules of benches whose name contains one of the patterns; all if none."""
    found = sorted(_BENCHES.glob("bench_*.py"))
    return [path for path in found if not patterns or any(one in path.stem for one in patterns)]


def measured(module: Path, build: Build, folder: Path, options: Sequence[str]) -> Iterator[Run]:
    """Run a module's benches in a process of its own; yield what was measured, if anything."""
    written = folder / f"{module.stem}-{build.value}-{len(list(folder.iterdir()))}.json"
    command = [sys.executable, "-m", "pytest", str(module), "--quiet", "--benchmark-enable"]
    command += ["--benchmark-quiet", f"--benchmark-json={written}", *options]
    # A module may skip all of its benches.
    command += ["-W", "ignore:Not saving anything"]
    # What a module prints would stand in the middle of the table that this command prints.
    ran = subprocess.run(command, env=environment(build), stdout=sys.stderr)  # noqa: PLW1510, S603
    if ran.returncode not in {0, _NOTHING_SELECTED}:
        sys.exit(f"{module.name}, {build.value}: pytest ended with {ran.returncode}")
    if written.exists():
        yield read_run(written)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benches and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benches.both", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="a part of a module's name"
    )
    parser.add_argument("--runs", type=int, default=1, help="how many of each build")
    parser.add_argument("--output", type=Path, help="folder for the files of all runs")
    parser.add_argument("options", nargs="*", help="more for pytest, after --")
    chosen = parser.parse_args(arguments)
    if not is_built():
        sys.exit("there is no extension module: see CONTRIBUTING.md for how to build it")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        runs = [
            run
            for _ in range(chosen.runs)
            for module in modules(chosen.only)
            for build in Build
            for run in measured(module, build, folder, chosen.options)
        ]
    print_tables(runs)


if __name__ == "__main__":
    main()
