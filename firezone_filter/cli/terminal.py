"""Safe output on terminals: rich consoles with a reliable size, and escaped text."""

import os
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

WIDTH: Final = 80
"""Columns where the output is not a terminal."""

MIN_WIDTH: Final = 40
"""The fewest columns to lay out for; some terminals report 0."""

_HEIGHT: Final = 25
"""Lines; no layout depends on them."""


def console(stream: TextIO, *, interactive: bool | None = None) -> Console:
    """Return a console that writes to *stream*.

    Both sizes are set here, because rich would trust the environment: it prints nothing with
    `COLUMNS=0`, and raises with `COLUMNS=²` or `LINES=²`.

    Args:
        stream: A terminal, or any other stream.
        interactive: Whether a person watches; by default, whether the stream is a terminal.
    """
    columns = terminal_columns(stream)
    return Console(
        file=stream,
        width=max(WIDTH if columns is None else columns, MIN_WIDTH),
        height=_HEIGHT,
        force_interactive=interactive,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printable(text: str) -> str:
    """Return *text* with its control characters escaped.

    File names and ids come from outside: a line break in one would make a message look like
    two, and an escape sequence could rewrite the screen.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def around(screen: Console, style: str) -> tuple[str, str]:
    """Return the control sequences before and after a text in *style*; empty where it has none.

    For output of many lines, since rich takes its time for each.
    """
    with screen.capture() as coloured:
        screen.print(Text("|", style), end="")
    before, _, after = coloured.get().partition("|")
    return before, after


def terminal_columns(stream: TextIO) -> int | None:
    """Return how many columns the terminal behind *stream* reports; `None` if it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # not a terminal, not a file, or closed
        return None
