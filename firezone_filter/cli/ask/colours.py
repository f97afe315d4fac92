"""Lines in colours, if they go to a terminal that shows any (and `NO_COLOR` is not set)."""

from collections.abc import Iterable
from typing import TextIO

from firezone_filter.cli.terminal import around, console

Line = tuple[str, str]
"""Text, which is escaped already, and style; no style is plain."""


def print_coloured(lines: Iterable[Line], stream: TextIO) -> None:
    """Print *lines* to *stream*."""
    all_lines = tuple(lines)
    screen = console(stream)
    # Before anything is written: rich flushes the stream, and ends the process if that has a
    # closed pipe behind it.
    colours = {style: around(screen, style) for style in {style for _, style in all_lines}}
    for text, style in all_lines:
        before, after = colours[style]
        stream.write(f"{before}{text}{after}\n")
    stream.flush()
