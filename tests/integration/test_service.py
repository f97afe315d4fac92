"""The unit for systemd: it is a unit, and it may do little."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "contrib" / "firezone-filter.service"
PROGRAM = "/opt/firezone-filter/bin/firezone-filter"

EXPOSURE = 25
"""Of 100, by `systemd-analyze security`; a service without restrictions has 96."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


@pytest.mark.parametrize(
    "command",
    [("verify",), ("security", "--offline=true", f"--threshold={EXPOSURE}")],
    ids=["valid", "restricted"],
)
def test_systemd_takes_it_and_lets_it_do_little(tmp_path: Path, command: tuple[str, ...]) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert PROGRAM in text
    # It need not be installed to be checked.
    unit.write_text(text.replace(PROGRAM, "/bin/sh"))
    done = subprocess.run(  # noqa: S603 - written here
        ["systemd-analyze", *command, unit],  # noqa: S607 - where the machine has it
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
