"""Shared by the tests of both commands."""

import signal
from collections.abc import Callable, Iterator

import pytest

from .terminal import Said


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts() -> Iterator[None]:
    # What a shell starts in the background ignores Ctrl-C, and so would the tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], Said]:
    """Return a function that returns the output since its last call."""

    def read() -> Said:
        captured = capsys.readouterr()
        return Said(captured.out.splitlines(), captured.err.splitlines())

    return read
