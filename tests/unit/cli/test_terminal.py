"""Consoles, and how wide they are."""

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from firezone_filter.cli.terminal import MIN_WIDTH, WIDTH, console


@contextmanager
def terminal(columns: int) -> Iterator[TextIO]:
    """Give a terminal that says that it has so many columns."""
    other, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(end, "w", encoding="utf-8") as stream:
        yield stream
    os.close(other)


@pytest.mark.parametrize(
    ("columns", "width"),
    [(0, MIN_WIDTH), (MIN_WIDTH - 1, MIN_WIDTH), (MIN_WIDTH, MIN_WIDTH), (132, 132)],
)
def test_a_terminal_is_as_wide_as_it_says_but_never_too_narrow(columns: int, width: int) -> None:
    with terminal(columns) as stream:
        assert console(stream).width == width


def test_what_is_no_terminal_has_the_usual_width() -> None:
    assert console(io.StringIO()).width == WIDTH


def test_a_stream_that_is_closed_has_the_usual_width() -> None:
    with terminal(132) as stream:
        pass
    assert console(stream, interactive=False).width == WIDTH


@pytest.mark.parametrize("variable", ["COLUMNS", "LINES"])
@pytest.mark.parametrize("size", ["0", "1", "²", "9" * 5000, "no"])
def test_the_environment_has_no_say_in_the_width(
    monkeypatch: pytest.MonkeyPatch, variable: str, size: str
) -> None:
    monkeypatch.setenv(variable, size)
    with terminal(132) as stream:
        assert console(stream).width == 132


@pytest.mark.parametrize("interactive", [True, False])
def test_whether_somebody_watches_may_be_told(*, interactive: bool) -> None:
    assert console(io.StringIO(), interactive=interactive).is_interactive is interactive


def test_somebody_watches_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with terminal(80) as stream:
        assert console(stream).is_interactive
