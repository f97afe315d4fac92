"""The output of a run, and a closed pipe or a terminal for it."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest
from attrs import frozen


@frozen
class Said:
    """The lines of a run on standard output and on standard error."""

    out: list[str]
    err: list[str]


@contextmanager
def closed_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make standard output a pipe without a reader.

    Closing it in the end raises an error if the run has left anything in it, as Python would
    at exit. This is no fixture because pytest sets standard output after the fixtures.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield


@contextmanager
def terminal(columns: int) -> Iterator[tuple[TextIO, int]]:
    """Give a terminal that reports so many columns, and the descriptor of its screen."""
    screen, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(end, "w", encoding="utf-8") as stream:
        yield stream, screen
    os.close(screen)


def screenful(stream: TextIO, screen: int) -> str:
    """Return what was written to the terminal *stream*, colours included."""
    stream.write("\0")
    stream.flush()
    text = ""
    while "\0" not in text:
        text += os.read(screen, 65_536).decode()
    return text.replace("\0", "")


def written(stream: TextIO, screen: int) -> list[str]:
    """Return the lines written to the terminal *stream*, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", screenful(stream, screen)).splitlines()
