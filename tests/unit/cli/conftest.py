"""What the tests of both commands share."""

from collections.abc import Callable

import pytest

from .terminal import Said


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], Said]:
    """Return what returns what has been said since it was last asked."""

    def read() -> Said:
        captured = capsys.readouterr()
        return Said(captured.out.splitlines(), captured.err.splitlines())

    return read
