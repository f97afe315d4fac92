"""Shared by the tests of both commands."""

from collections.abc import Callable

import pytest

from .terminal import Said


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], Said]:
    """Return a function that returns the output since its last call."""

    def read() -> Said:
        captured = capsys.readouterr()
        return Said(captured.out.splitlines(), captured.err.splitlines())

    return read
