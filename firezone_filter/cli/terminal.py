"""The consoles that rich writes to, of a size that can be trusted."""

import os
from typing import Final, TextIO

from rich.console import Console

WIDTH: Final = 80
"""Columns of what is no terminal."""

MIN_WIDTH: Final = 40
"""Columns that are counted on; a terminal may say that it has 0."""

_HEIGHT: Final = 25
"""Lines. Nothing here is laid out by them."""


def console(stream: TextIO, *, interactive: bool | None = None) -> Console:
    """Return a console that writes to *stream*.

    Rich would believe the environment: with `COLUMNS=0` it prints nothing, and `COLUMNS=²` or
    `LINES=²` makes it raise. So it is told both sizes.

    Args:
        stream: A terminal, or not.
        interactive: Whether somebody watches; `None` if the stream is a terminal.
    """
    return Console(
        file=stream,
        width=max(_columns(stream), MIN_WIDTH),
        height=_HEIGHT,
        force_interactive=interactive,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printable(text: str) -> str:
    """Return *text* with its control characters escaped.

    File names and ids come from elsewhere: a line break in one would break the promise of
    one line, an escape sequence could rewrite what the terminal shows.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # no terminal, no file at all, or closed
        return WIDTH
