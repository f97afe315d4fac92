"""The site of the docs, built for a test."""

import subprocess
import sys
from pathlib import Path

from tests.snippets import ROOT


def build(folder: Path) -> None:
    """Build the site into a folder; what Sphinx warns of is an error."""
    options = ["--quiet", "--nitpicky", "--fail-on-warning", "--keep-going"]
    subprocess.run(  # noqa: S603 - a program of our own choice
        [
            sys.executable,
            "-m",
            "sphinx",
            *options,
            "-d",
            folder / "trees",
            "docs",
            folder / "site",
        ],
        cwd=ROOT,
        check=True,
        timeout=300,
    )
