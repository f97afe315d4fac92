"""What a release says of itself, in several places: version, dates, and Pythons."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.public_api import CHANGELOG, ROOT, UNRELEASED, newest

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())

PYTHON = "Programming Language :: Python :: "
PYTHONS = re.findall(rf"{PYTHON}(3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
RELEASES = re.findall(r"^## \[([\d.]+)\] - (\S+)$", CHANGELOG.read_text(), re.MULTILINE)


def test_the_changelog_begins_with_the_version_of_the_package_or_with_what_is_next() -> None:
    assert newest(CHANGELOG.read_text())[0] in {PROJECT["project"]["version"], UNRELEASED}
    assert RELEASES[0][0] == PROJECT["project"]["version"]


def test_releases_have_dates_and_the_latest_is_the_first() -> None:
    dates = [date.fromisoformat(day) for _, day in RELEASES]
    assert dates == sorted(dates, reverse=True)


def test_the_changelog_names_no_file_that_there_is_not() -> None:
    section = newest(CHANGELOG.read_text())[1]
    paths = re.findall(r"`((?:docs|examples|contrib|firezone_filter|\.ci)/[\w./-]*)`", section)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_python_that_is_promised_is_tested_and_has_wheels() -> None:
    assert WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["python"] == PYTHONS
    wheels = [f"cp{version.replace('.', '')}-*" for version in PYTHONS]
    assert PROJECT["tool"]["cibuildwheel"]["build"] == wheels
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"


def test_the_workflow_may_only_read() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [name for name, job in WORKFLOW["jobs"].items() if "permissions" in job] == []


@pytest.mark.parametrize("extra", sorted(PROJECT["project"]["optional-dependencies"]))
def test_every_extra_is_told_of(extra: str) -> None:
    told = [
        path
        for path in _documents()
        if re.search(rf"\[[\w,]*\b{extra}\b|`{extra}`", path.read_text())
    ]
    assert told != []


def _documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
