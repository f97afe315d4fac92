"""A week of logs: a million lines, read in bounded memory with a progress bar."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[4]
STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="no /proc/self/status on this system")

MAX_MORE_KIB: Final = 8 * 1024
"""The memory that a long log may take beyond a short one. As objects, 50,000 lines take 50 MiB."""

# The process reports its own peak of memory: the usage of child processes would include others.
SCRIPT: Final = """
import sys
from pathlib import Path
from firezone_filter.cli import progress
from firezone_filter.cli.command import run

progress.PATIENCE_S = 0
status = run(["logs", *sys.argv[2:]])
Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text())
raise SystemExit(status)
"""


def write_week(path: Path, lines: int) -> None:
    week_s = 7 * 24 * 3600
    with path.open("w", encoding="ascii") as stream:
        for number in range(lines):
            second = number * week_s // lines
            day, rest = divmod(second, 24 * 3600)
            clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
            stream.write(
                f'{{"time":"2026-08-{15 + day}T{clock}.{number:09}Z","severity":"INFO",'
                f'"message":"Refused packet","cid":"client-{number % 50}",'
                f'"dst":"10.0.0.5","dst_port":{number % 65_536}}}\n'
            )


def terminal_output(end: int) -> bytes:
    """Return all output on a terminal whose other end is closed."""
    seen = b""
    # On Linux the end is an error.
    with suppress(OSError):
        while True:
            seen += os.read(end, 65_536)
    return seen


def read(folder: Path, *arguments: str) -> tuple[int, bytes]:
    """Return the peak of memory in KiB, and the output on a terminal."""
    ours, theirs = pty.openpty()
    report, out = folder / "status", folder / "out"
    with out.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-c", SCRIPT, str(report), *arguments],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm"},
            stdout=stream,
            stderr=theirs,
        )
    os.close(theirs)
    shown = terminal_output(ours)
    os.close(ours)
    assert process.wait() == 0
    peak = re.search(r"VmHWM:\s*(\d+) kB", report.read_text())
    assert peak is not None
    return int(peak[1]), shown


@pytest.mark.parametrize("options", [[], ["--merge", "--since", "2026-08-15", "--grep", "Ref"]])
def test_a_week_is_read_in_bounded_memory_with_a_bar(
    tmp_path: Path, options: list[str], *, thorough: bool
) -> None:
    lines = 1_000_000 if thorough else 50_000
    week, one = tmp_path / "week.log", tmp_path / "one.log"
    write_week(week, lines)
    write_week(one, 1)
    least, _ = read(tmp_path, str(one), *options)
    most, shown = read(tmp_path, str(week), *options)
    with (tmp_path / "out").open("rb") as stream:
        assert sum(1 for _ in stream) == lines
    assert most - least < MAX_MORE_KIB
    assert re.search(rb"\d/\d+\.\d MB", shown)
