"""docs/tutorial/gateway.md: its blocks, one after another in one shell, do what the page says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT
from tests.snippets import fenced

PAGE = ROOT / "docs/tutorial/gateway.md"
# Its network namespaces have names that a machine may have already: here nobody else sees them.
ALONE = ("unshare", "--net", "--mount", "--propagation", "private")
HIDDEN = "mkdir -p /run/netns\nmount -t tmpfs none /run/netns\n"


@pytest.mark.usefixtures("able")
def test_a_stranger_has_a_first_gateway(tmp_path: Path) -> None:
    blocks = fenced(PAGE)
    for block in blocks:
        if block.is_file:
            (tmp_path / block.label).write_text(block.text)
    script = "".join(block.text for block in blocks if block[:2] == ("sh", ""))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*ALONE, "bash", "-euo", "pipefail", "-c", HIDDEN + script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # curl, the server's ping, `explain`, and what is sent after the filter was killed.
    assert done.stdout.count("refused\n") == 4
    assert "Couldn't connect to server" in done.stderr
    assert "reason=tcp-port" in done.stdout
